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

local APART = { input_tokens = true, output_tokens = true, seconds = true }
local NONE = {}
--- Facts beside a usage.
local BESIDE, USAGE = { attempts = 1, counts = true }, { usage = true }

local math_type, unusual = math.type, plain.unusual

--- What of a usage is not as usages of models are; true: nothing; nil: it is another kind.
local function regular(usage)
  if math_type(usage.input_tokens) ~= "integer" or math_type(usage.output_tokens) ~= "integer" then return nil end
  return math_type(usage.seconds) == "float" and unusual(usage, USUAL, APART) or nil
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
  local out, input, output, seconds, usage = {}, null, null, null, facts.usage
  local rest = type(usage) == "table" and regular(usage)
  if rest and unusual(facts, BESIDE, USAGE) == true then -- as of most calls
    local made, err = null, nil
    if rest ~= true then made, err = text({ usage = rest }, sink, max) end
    return made, usage.input_tokens, usage.output_tokens, usage.seconds, err
  end
  for name, value in next, facts do out[name] = value end
  if rest and facts.attempts == 1 and math_type(facts.attempts) == "integer" and facts.counts == true then
    input, output, seconds = usage.input_tokens, usage.output_tokens, usage.seconds
    out.attempts, out.counts, out.usage = nil, nil, rest ~= true and rest or nil
  end
  local sums = unusual(facts.nested, NOTHING, NONE)
  if sums then out.nested, out.nested_beyond_0 = nil, sums == true and {} or sums end
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
