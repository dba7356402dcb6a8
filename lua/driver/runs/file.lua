--- A run as one file of text: a line of JSON for what it is, one for each source and each record, one for the order. It is a bug
--- report that repeats itself: `stoke replay FILE` needs neither the store it came from nor the world. Values are written as in the
--- store (host/bind/bind_plain.h), so they come back exactly.

local errors = require "core.errors"
local json = require "core.json"
local plain = require "core.store.plain"
local stores = require "core.store"

local M = {}

--- Version of the format.
local VERSION <const> = 1

--- Of a run: what is not the store's own.
local FIELDS = { "id", "workflow", "state", "waits", "created", "changed", "input", "result", "error", "code", "seed", "printed" }

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
    elseif value.record then
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
    log:state(head.state, head.waits)
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
