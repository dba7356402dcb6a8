--- Records as rows of a journal and back, exactly.

local errors = require "core.errors"
local copy = require "core.journal.plain".copy
local json = require "core.json"
local known = require "core.store.facts"
local pieces = require "core.store.pieces"
local plain = require "core.store.plain"

local M = {}

local encode, decode, named, unpack_digest, null = plain.encode, plain.decode, plain.name, plain.unpack, json.null
local next = next

--- Bytes of one outcome, at most; more is an error of kind `limit` in its place.
M.LIMIT = 100 * 1024 * 1024

-- ---- outcomes -----------------------------------------------------------------------------------------------------------------

--- Fields with a column of their own; text: a value that is kept as text already; items: of streams, written apart.
local OWN = { value = true, err = true, facts = true, items = true, text = true, secret = true }

--- Which of these an outcome is, and what of it is said by that.
local function kind_of(outcome)
  if outcome.items then return "stream" end
  if outcome.secret == true then return "secret", "secret" end
  if outcome.err == nil then return "value" end
  if outcome.cut == true then return "cut", "cut" end
  if outcome.refusal == true then return "refused", "refusal" end
  return "error"
end

--- What has no column of its own.
local function more_of(outcome, said)
  local more
  for name, value in next, outcome do
    if (not OWN[name] or name == "secret") and name ~= said then
      more = more or {}
      more[name] = value
    end
  end
  return more
end

--- The same what plain.encode says, with words where it is not plain.
local function text_of(value, sink, max)
  local text, err = encode(value, sink, false, max)
  if text then return text end
  return nil, err or errors.new("script", "a durable run keeps plain data alone, and " .. (select(2, copy(value)) or "it is none"))
end
M.text = text_of

---@class stoke.store.outcome what is kept of an outcome; json.null where there is nothing
---@field kind string
---@field value string
---@field err string
---@field facts string
---@field input integer tokens that it used
---@field output integer
---@field seconds number
---@field more string

--- A value alone, and nothing unusual known of it: no third field is there.
local function is_plain(outcome)
  local facts = outcome.facts
  if facts == nil or not known.is_once(facts) then return false end
  return next(outcome, (next(outcome, (next(outcome))))) == nil
end

--- An outcome as it is kept, without the items of a stream. One that is a value and nothing else, as most are, is only its text.
---@param outcome stoke.journal.outcome
---@param sink table<string, string> takes contents by their hash
---@param max? integer bytes
---@return stoke.store.outcome|string|nil
---@return stoke.error|nil err `limit`
function M.outcome(outcome, sink, max)
  max = max or M.LIMIT
  local value = outcome.value
  if value ~= nil and is_plain(outcome) then
    local text = encode(value, sink, false, max)
    if text then return text end
  elseif outcome.text and is_plain(outcome) then
    return outcome.text
  end
  local kind, said = kind_of(outcome)
  local kept, err, failed = outcome.text or null, null, nil
  if value ~= nil then kept, failed = text_of(value, sink, max) end
  if not failed and outcome.err ~= nil then err, failed = text_of(outcome.err, sink, max) end
  if failed then return nil, failed end
  local facts, input, output, seconds
  facts, input, output, seconds, failed = known.keep(outcome.facts, text_of, sink, max)
  local more = not failed and more_of(outcome, said) or null
  if more ~= null then more, failed = text_of(more, sink, max) end
  if failed then return nil, failed end
  return { kind = kind, value = kept, err = err, facts = facts, more = more, input = input, output = output, seconds = seconds }
end

--- The items of a stream that has ended.
---@param items table[]
---@param sink table<string, string>
---@param max? integer bytes
---@return string|nil value
---@return string|stoke.error lengths
function M.items(items, sink, max)
  local joined, lengths = pieces.join(items)
  local text, err = text_of(joined, sink, max or M.LIMIT)
  if not text then return nil, err end
  return text, lengths
end

--- Has a stream ended?
---@param outcome stoke.journal.outcome
---@return boolean
function M.ended(outcome)
  local items = outcome.items
  local last = items and items[#items]
  return last ~= nil and last.ended ~= nil
end

-- ---- reading ------------------------------------------------------------------------------------------------------------------

--- nil for what is not there.
local function or_nil(value)
  if value == null then return nil end
  return value
end
M.or_nil = or_nil

--- A value of a text, nil for none.
---@param text any
---@param contents? table<string, string>
---@return any
---Raises `protocol` where the file is damaged.
function M.value(text, contents)
  if text == null or text == nil then return nil end
  local value, err = decode(text, contents)
  if err then error(err, 0) end
  return value
end
local value_of = M.value

--- Columns that most records have, and those that few have, in the order in which they are read.
M.MOST = "id,key,class,digest,base,kept,request,line,time,took,inline,seen,at,outcome,value,facts"
M.FEW = "name,inside,intent,lengths,error,more,asks,input_tokens,output_tokens,seconds"
M.COLUMNS = M.MOST .. "," .. M.FEW
--- What tells whether a record is as it was written.
M.SUM = "stoke_sum(key,class,digest,outcome,value,lengths,error)"

local NONE = { nil, null, null, null, null, null, null, null, null, null, null }
local FLAGS = { cut = "cut", refused = "refusal", secret = "secret" }

--- The outcome of a record; few: its columns of the second kind, where it has any.
local function outcome_of(r, few, contents)
  local kind = r[14]
  if kind == null then return nil end
  local value = r[15]
  if not few and kind == "value" then
    return { value = value_of(value, contents), facts = known.give(r[16], null, null, null, contents) }
  end
  few = few or NONE
  local outcome = few[7] ~= null and value_of(few[7], contents) or {}
  outcome.facts = known.give(r[16], few[9], few[10], few[11], contents)
  if FLAGS[kind] then outcome[FLAGS[kind]] = true end
  outcome.err = value_of(few[6], contents)
  if kind ~= "stream" then
    outcome.value = value_of(value, contents)
  elseif value == null then
    outcome.items = {}
  else
    outcome.items = pieces.part(value_of(value, contents), or_nil(few[5]) or "")
  end
  return outcome
end

local function flag(value)
  if value == null then return nil end
  return value == 1
end

--- A row of a journal from the columns of its record, without its request.
---@param r any[] M.MOST
---@param few any[]|nil its id and M.FEW, where it has any of these
---@param contents table<string, string>
---@return stoke.journal.row
---Raises `protocol` where the file is damaged.
function M.row(r, few, contents)
  local key, digest, name = r[2], r[4], nil
  if few then name = or_nil(few[2]) end
  local row = { number = r[1] & 0xFFFFFFFF, key = key, name = name or named(key), class = r[3],
    digest = digest ~= null and unpack_digest(digest) or nil, where = or_nil(r[8]), time = or_nil(r[9]), took = or_nil(r[10]),
    inline = flag(r[11]), seen = or_nil(r[12]), at = or_nil(r[13]), outcome = outcome_of(r, few, contents), inside = nil,
    intent = nil, asks = nil, request = nil, given = nil }
  if few then row.inside, row.intent, row.asks = flag(few[3]), flag(few[4]), value_of(few[8], contents) end
  return row
end

return M
