--- Records as rows of a journal and back, exactly.

local errors = require "core.errors"
local copy = require "core.journal.plain".copy
local json = require "core.json"
local known = require "core.store.facts"
local pieces = require "core.store.pieces"
local plain = require "core.store.plain"

local M = {}

local encode, decode, named, unpack_digest, null = plain.encode, plain.decode, plain.name, plain.unpack, json.null
local next, find = next, string.find

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
  local value, alone = outcome.value, outcome.text
  if alone and outcome.facts and next(outcome, (next(outcome, (next(outcome))))) == nil then
    if known.is_once(outcome.facts) then return alone end
    local facts, input, output, seconds, failed = known.keep(outcome.facts, text_of, sink, max)
    if failed then return nil, failed end
    return { kind = "value", value = alone, err = null, facts = facts, more = null, input = input, output = output,
      seconds = seconds }
  end
  if value ~= nil and is_plain(outcome) then
    local text = encode(value, sink, false, max)
    if text then return text end
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
function M.or_nil(value)
  if value == null then return nil end
  return value
end

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

--- Columns of a record.
M.COLUMNS = "id,key,class,digest,base,kept,request,line,time,took,inline,seen,at,outcome,value,facts,name,inside,intent,lengths,"
  .. "error,more,asks,input_tokens,output_tokens,seconds"
--- What tells whether a record is as it was written.
local SUM = "stoke_sum(key,class,digest,outcome,value,lengths,error)"

--- The same as a row is read (M.row), by names: `broken` is not as it was written.
M.READ = "id&4294967295 AS number,key,name,class,digest AS sha,base,kept,request AS asked,line AS \"where\",time,took,"
  .. "inline AS \"inline?\",seen,at,inside AS \"inside?\",intent AS \"intent?\",nullif(ifnull(outcome,'none'),'value') AS kind,"
  .. "value AS text,facts,lengths,error,more,asks,input_tokens AS input,output_tokens AS output,seconds,"
  .. "nullif(sum IS " .. SUM .. ",1) AS broken"

local OTHERS = { "kind", "text", "facts", "lengths", "error", "more", "asks", "input", "output", "seconds" }
local FLAGS = { cut = "cut", refused = "refusal", secret = "secret" }

--- The outcome of a record that is no value alone.
local function outcome_of(row, contents)
  local kind, text = row.kind, row.text
  if kind == "none" then return nil end
  local outcome = value_of(row.more, contents) or {}
  outcome.facts = known.give(row.facts, row.input, row.output, row.seconds, contents)
  if FLAGS[kind] then outcome[FLAGS[kind]] = true end
  outcome.err = value_of(row.error, contents)
  if kind ~= "stream" then
    outcome.value = value_of(text, contents)
  else
    outcome.items = text and pieces.part(value_of(text, contents), row.lengths or "") or {}
  end
  return outcome
end

--- Make what M.READ gives a row of a journal. Most outcomes, a value alone that refers to no contents, are made from `text` when
--- they are first read, as are digest, name and request: see M.lazy.
---@param row table
---@param contents table<string, string>
---Raises `protocol` where the file is damaged.
function M.row(row, contents)
  local text = row.text
  if text and not (row.kind or row.facts or row.more or row.input or find(text, '{"$', 1, true)) then return end
  local outcome, asks = outcome_of(row, contents), value_of(row.asks, contents)
  for _, name in ipairs(OTHERS) do row[name] = nil end
  row.outcome, row.asks = outcome, asks
end

--- What of a row is made when it is first read, beside its request.
---@type table<string, fun(row: table): any>
M.lazy = {
  digest = function(row)
    local sha = rawget(row, "sha")
    return sha and unpack_digest(sha)
  end,
  name = function(row) return named(row.key) end,
  outcome = function(row)
    local text = rawget(row, "text")
    return text and { value = value_of(text), facts = { attempts = 1 } }
  end,
}

return M
