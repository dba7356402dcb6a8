--- What is known of an outcome beside its value, in few bytes: what a call of a model used goes into columns of its own, and of
--- sums only those are written that are not what they mostly are.

local json = require "core.json"
local once = require "core.journal.outcome".ONCE
local plain = require "core.store.plain"

local M = {}

local null, decode = json.null, plain.decode

local ONCE <const> = '{"attempts":1}'

--- Fields of a usage beside tokens and seconds, as they mostly are; and of what a tool's agents used.
local USUAL = { attempts = 1, calls = 1, estimated = false, load_seconds = 0, repairs = 0, tool_calls = 0 }
local NOTHING = { attempts = 0, calls = 0, estimated = false, input_tokens = 0, load_seconds = 0, output_tokens = 0, repairs = 0,
  seconds = 0, tool_calls = 0 }

local function count_of(t)
  local n = 0
  for _ in next, t do n = n + 1 end
  return n
end
local USUALS <const>, NOTHINGS <const> = count_of(USUAL), count_of(NOTHING)

local math_type = math.type

--- What of a table is not usual; nil where it has not exactly these names, and those apart.
local function unusual(t, usual, names, apart)
  local out = {}
  for name, value in next, t do
    local mostly = usual[name]
    if mostly ~= nil then
      names = names - 1
      if value ~= mostly or math_type(value) ~= math_type(mostly) then out[name] = value end
    elseif not apart or not apart[name] then
      return nil
    end
  end
  return names == 0 and out or nil
end

local APART = { input_tokens = true, output_tokens = true, seconds = true }

--- A usage that is as usages of models are.
local function regular(facts)
  local usage = facts.usage
  if facts.attempts ~= 1 or math_type(facts.attempts) ~= "integer" or facts.counts ~= true
    or getmetatable(usage) then return nil end
  if math_type(usage.input_tokens) ~= "integer" or math_type(usage.output_tokens) ~= "integer" then return nil end
  if math_type(usage.seconds) ~= "float" then return nil end
  return unusual(usage, USUAL, USUALS, APART)
end

--- Is nothing more known than that it took one attempt?
---@param facts any
---@return boolean
function M.is_once(facts)
  if facts == once then return true end
  if type(facts) ~= "table" then return false end
  local name, value = next(facts)
  return name == "attempts" and value == 1 and math.type(value) == "integer" and next(facts, name) == nil
end

--- Facts as they are kept.
---@param facts any
---@param text fun(value: any, sink: table, max: integer): string?, stoke.error? makes a value a text
---@param sink table<string, string>
---@param max integer
---@return any facts json.null: once
---@return any input_tokens json.null: no usage, or one that is unlike others
---@return any output_tokens
---@return any seconds
---@return stoke.error|nil err
function M.keep(facts, text, sink, max)
  if type(facts) ~= "table" or not facts.usage and not facts.nested then
    local made, err = text(facts == nil and null or facts, sink, max)
    return made == ONCE and null or made, null, null, null, err
  end
  local out, input, output, seconds = {}, null, null, null
  for name, value in next, facts do out[name] = value end
  local rest = type(facts.usage) == "table" and regular(facts)
  if rest then
    input, output, seconds = facts.usage.input_tokens, facts.usage.output_tokens, facts.usage.seconds
    out.attempts, out.counts, out.usage = nil, nil, next(rest) and rest or nil
  end
  local sums = type(facts.nested) == "table" and not getmetatable(facts.nested) and unusual(facts.nested, NOTHING, NOTHINGS)
  if sums then out.nested, out.nested_beyond_0 = nil, sums end
  if next(out) == nil then return null, input, output, seconds end
  local made, err = text(out, sink, max)
  return made, input, output, seconds, err
end

local function filled(t, usual)
  for name, value in next, usual do
    if t[name] == nil then t[name] = value end
  end
  return t
end

--- The same again, from what there is of it.
---@param kept string|nil
---@param input integer|nil
---@param output integer|nil
---@param seconds number|nil
---@param contents table<string, string>
---@return any facts
---Raises `protocol` where the file is damaged.
function M.give(kept, input, output, seconds, contents)
  if input == nil and kept == nil then return { attempts = 1 } end
  local facts, err = {}, nil
  if kept ~= nil then facts, err = decode(kept, contents) end
  if err then error(err, 0) end
  if facts == null then return nil end
  if type(facts) ~= "table" then return facts end
  if input ~= nil then
    facts.attempts, facts.counts = 1, true
    facts.usage = filled(facts.usage or {}, USUAL)
    facts.usage.input_tokens, facts.usage.output_tokens, facts.usage.seconds = input, output, seconds
  end
  if facts.nested_beyond_0 then
    facts.nested, facts.nested_beyond_0 = filled(facts.nested_beyond_0, NOTHING), nil
  end
  return facts
end

return M
