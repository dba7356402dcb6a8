--- A run as one file of text: a line of JSON for what it is, one for each source and each record, one for the order. It is a bug
--- report that repeats itself: `stoke replay FILE` needs neither the store it came from nor the world. Values are written as in the
--- store (host/bind/bind_plain.h), so they come back exactly.

local errors = require "core.errors"
local json = require "core.json"
local ordered = require "core.ordered"
local plain = require "core.store.plain"
local stores = require "core.store"

local M = {}

--- Version of the format.
local VERSION <const> = 1

--- Of a run: what is not the store's own.
local FIELDS = { "id", "workflow", "state", "waits", "why", "created", "changed", "input", "result", "error", "code", "seed",
  "printed" }

local function line(value)
  local text = plain.encode(value, nil, true)
  return text or error(errors.new("script", "a record of the run is no plain data"), 0)
end

--- A run as text.
---@param parts stoke.store.parts with `run`
---@return string
function M.write(parts)
  local head = { stoke_run = VERSION }
  for _, name in ipairs(FIELDS) do head[name] = parts.run[name] end
  local out = { line(head) }
  for _, source in ipairs(parts.sources) do out[#out + 1] = line { source = source.name, text = source.text } end
  if #parts.modules > 0 then out[#out + 1] = line { modules = parts.modules } end
  for _, row in ipairs(parts.rows) do out[#out + 1] = line { record = row } end
  out[#out + 1] = line { order = (parts.deliveries:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) }
  return table.concat(out, "\n") .. "\n"
end

local function wrong(path, number, what)
  return errors.new("usage", ("%s:%d: %s"):format(path, number, what), { hint = "stoke export ID FILE writes such files" })
end

-- ---- what a file may hold: it comes from somebody else ------------------------------------------------------------------------

local STATES = { running = true, waiting = true, parked = true, done = true, failed = true, cancelled = true }
local CLASSES = { pure = true, idempotent = true, unsafe = true }

local function is(kind) return function(value) return type(value) == kind end end
local function maybe(check) return function(value) return value == nil or check(value) end end

local function list_of(check)
  return function(value)
    if type(value) ~= "table" then return false end
    local count = 0
    for key, inner in next, value do
      if math.type(key) ~= "integer" or not check(inner) then return false end
      count = count + 1
    end
    return count == #value
  end
end

local is_text, is_number, is_flag = is "string", is "number", is "boolean"
local is_error = maybe(errors.is)

local function is_item(value)
  return type(value) == "table" and maybe(is_flag)(value.inline) and maybe(is_flag)(value.ended) and is_error(value.err)
end

local function is_outcome(value)
  return type(value) == "table" and maybe(list_of(is_item))(value.items) and is("table")(value.facts) and is_error(value.err)
    and maybe(list_of(is_number))(value.came) and (value.items == nil or value.closed == nil or type(value.closed) == "table")
end

local HEAD = { id = is_text, workflow = is_text, seed = is_text, created = is_number, changed = is_number,
  waits = maybe(is_text), code = maybe(is_text),
  printed = maybe(function(value) return math.type(value) == "integer" end), error = is_error,
  state = function(value) return STATES[value] ~= nil end,
  why = maybe(function(value) return value == "in_doubt" or value == "replay" or value == "parked" end) }
local RECORD = { name = is_text, digest = is_text, key = function(value) return is_text(value) and value:find "#%d+$" ~= nil end,
  class = function(value) return CLASSES[value] ~= nil end, where = maybe(is_text), time = maybe(is_number),
    took = maybe(is_number),
  seen = maybe(is_number), at = maybe(is_number), inside = maybe(is_flag), inline = maybe(is_flag), intent = maybe(is_flag),
  outcome = maybe(is_outcome) }

--- The name of a field that is not what it must be.
local function odd_field(value, shape)
  for _, name in ipairs(ordered.names(shape)) do
    if not shape[name](value[name]) then return name end
  end
end

--- What is wrong with a line, in words.
local function odd_line(value, number)
  if number == 1 then return odd_field(value, HEAD) end
  if value.record ~= nil then return type(value.record) ~= "table" and "record" or odd_field(value.record, RECORD) end
  if value.source ~= nil then return not is_text(value.source) and "source" or not is_text(value.text) and "text" or nil end
  if value.modules ~= nil then return not list_of(is_text)(value.modules) and "modules" or nil end
  if value.order ~= nil then
    return not (is_text(value.order) and #value.order % 2 == 0 and not value.order:find "[^%x]") and "order" or nil
  end
  return "record, source, modules or order"
end

local function parse(path, text)
  local parts, number = { rows = {}, sources = {}, modules = {}, deliveries = "" }, 0
  for l in text:gmatch "[^\n]+" do
    number = number + 1
    local ok, value = pcall(plain.decode, l)
    if not ok or type(value) ~= "table" then return nil, wrong(path, number, "this is no line of an exported run") end
    if number == 1 then
      if value.stoke_run == nil then return nil, wrong(path, 1, "this is no exported run") end
      if value.stoke_run ~= VERSION then
        return nil, wrong(path, 1, ("it was written by another stoke: format %s, this one knows %d"):format(
          json.encode(value.stoke_run) or "?", VERSION))
      end
      parts.run = value
    end
    local odd = odd_line(value, number)
    if odd then return nil, wrong(path, number, ("its field %s is missing, or not what it must be"):format(odd)) end
    if value.record then
      parts.rows[#parts.rows + 1] = value.record
      if value.record.number ~= #parts.rows then return nil, wrong(path, number, ("record %d is missing"):format(#parts.rows)) end
    elseif value.source then
      parts.sources[#parts.sources + 1] = { name = value.source, text = value.text }
    elseif value.modules then
      parts.modules = value.modules
    elseif value.order then
      parts.deliveries = value.order:gsub("%x%x", function(digits) return string.char(tonumber(digits, 16)) end)
      parts.whole = true
    end
  end
  if not parts.run then return nil, wrong(path, 1, "the file is empty") end
  if not parts.whole then return nil, wrong(path, number, "the file ends in the middle: the order of the run is missing") end
  return parts
end

local function put(store, parts)
  local head = parts.run
  local run, err = store:create { id = head.id, workflow = head.workflow, input = head.input, code = head.code, seed = head.seed }
  if not run then return nil, err end
  local log
  log, err = store:log(run)
  if not log then return nil, err end
  for _, name in ipairs(parts.modules) do log:module(name) end
  for _, source in ipairs(parts.sources) do log:source(source.name, source.text) end
  for _, row in ipairs(parts.rows) do
    log:row(row)
    if row.outcome then log:outcome(row) end
    for i in ipairs(row.outcome and row.outcome.items or {}) do log:item(row, i) end
    if row.intent then log:intent(row) end
  end
  log:deliveries(parts.deliveries)
  log:printed(head.printed or 0)
  if head.state == "done" or head.state == "failed" or head.state == "cancelled" then
    log:finish(head.state, head.result, head.error)
  else
    log:state(head.state, head.waits, head.why)
  end
  local ok
  ok, err = log:barrier()
  if not ok then return nil, err end
  return store:find(head.id)
end

--- A store in memory with the run that a file holds.
---@param path string for messages
---@param text string
---@return stoke.store|nil
---@return stoke.store.run|stoke.error run
function M.read(path, text)
  local parts, err = parse(path, text)
  if not parts then return nil, err end
  local store
  store, err = stores.open ":memory:"
  if not store then return nil, err end
  local run
  run, err = put(store, parts)
  if run then
    run.created, run.changed = parts.run.created, parts.run.changed
    return store, run
  end
  store:close()
  return nil, err
end

return M
