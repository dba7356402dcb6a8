--- Records as rows of a journal and back, exactly.

local errors = require "core.errors"
local copy = require "core.journal.plain".copy
local json = require "core.json"
local known = require "core.store.facts"
local pieces = require "core.store.pieces"
local plain = require "core.store.plain"

local M = {}

local encode, decode, null = plain.encode, plain.decode, json.null
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

--- A value alone, and nothing unusual known of it.
local function is_plain(outcome)
  if not known.is_once(outcome.facts) then return false end
  for name in next, outcome do
    if name ~= "value" and name ~= "facts" then return false end
  end
  return true
end

--- An outcome as it is kept, without the items of a stream. One that is a value and nothing else, as most are, is only its text.
---@param outcome stoke.journal.outcome
---@param sink table<string, string> takes contents by their hash
---@param max? integer bytes
---@return stoke.store.outcome|string|nil
---@return stoke.error|nil err `limit`
function M.outcome(outcome, sink, max)
  max = max or M.LIMIT
  if outcome.value ~= nil and is_plain(outcome) then return text_of(outcome.value, sink, max) end
  local kind, said = kind_of(outcome)
  local made = { kind = kind, value = outcome.text or null, err = null, facts = null, more = null, input = null, output = null,
    seconds = null }
  local function text(value)
    local made_of, err = text_of(value, sink, max)
    if not made_of then error(err, 0) end
    return made_of
  end
  local ok, err = pcall(function()
    if outcome.value ~= nil then made.value = text(outcome.value) end
    if outcome.err ~= nil then made.err = text(outcome.err) end
    made.facts, made.input, made.output, made.seconds = known.keep(outcome.facts, text)
    local more = more_of(outcome, said)
    if more then made.more = text(more) end
  end)
  if not ok then return nil, err end
  return made
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

--- Columns of a record, in the order in which they are read.
M.COLUMNS = "id,key,name,class,digest,base,kept,request,line,time,inside,inline,intent,seen,at,outcome,value,"
  .. "lengths,error,facts,more,asks,took,input_tokens,output_tokens,seconds"

local FLAGS = { cut = "cut", refused = "refusal", secret = "secret" }

local function outcome_of(r, contents)
  local kind = r[16]
  if kind == null then return nil end
  local outcome = r[21] ~= null and value_of(r[21], contents) or {}
  outcome.facts = known.give(r[20], r[24], r[25], r[26], contents)
  if FLAGS[kind] then outcome[FLAGS[kind]] = true end
  outcome.err = value_of(r[19], contents)
  if kind ~= "stream" then
    outcome.value = value_of(r[17], contents)
  elseif r[17] == null then
    outcome.items = {}
  else
    outcome.items = pieces.part(value_of(r[17], contents), or_nil(r[18]) or "")
  end
  return outcome
end

local function flag(value)
  if value == null then return nil end
  return value == 1
end

--- A row of a journal from the columns of its record, without its request.
---@param r any[]
---@param contents table<string, string>
---@return stoke.journal.row
---Raises `protocol` where the file is damaged.
function M.row(r, contents)
  local key, digest = r[2], r[5]
  return { number = r[1] & 0xFFFFFFFF, key = key, name = or_nil(r[3]) or key:match "([^/]*)#%d+$", class = r[4],
    digest = digest ~= null and plain.unpack(digest) or nil, where = or_nil(r[9]), time = or_nil(r[10]), took = or_nil(r[23]),
      inside = flag(r[11]),
    inline = flag(r[12]), intent = flag(r[13]), seen = or_nil(r[14]), at = or_nil(r[15]), asks = value_of(r[22], contents),
    outcome = outcome_of(r, contents) }
end

local find, byte = string.find, string.byte
local SLASH <const>, HASH <const> = 47, 35

--- The name of an effect where its key does not end with it: a slash, the name, a hash mark and a number.
---@param key string
---@param name string
---@return any name or json.null
function M.name(key, name)
  local from, to = find(key, name, -#name - 9, true)
  if from and byte(key, from - 1) == SLASH and byte(key, to + 1) == HASH and not find(name, "/", 1, true) and
    not find(key, "#", to + 2, true) and not find(key, "/", to + 2, true) then return null end
  return name
end

return M
