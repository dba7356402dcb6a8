--- What goes into a queue, checked and written: names, and values as JSON that reads back exactly.

local copy = require "core.journal.plain".copy
local engine = require "core.engine"
local errors = require "core.errors"
local plain = require "core.store.plain"

local M = {}

--- Check a name: of a stream, a group, a key, an id, a bucket, a log.
---@param what string "queue:publish: the stream"
---@param name any
---@return string name
---Raises `argument`.
function M.name(what, name)
  if type(name) ~= "string" then errors.argument("%s must be a text, got %s", what, errors.describe(name)) end
  if name == "" or #name > engine.LONGEST then
    errors.argument("%s must have 1 to %d bytes, got %d", what, engine.LONGEST, #name)
  end
  if name:find "%z" or not utf8.len(name) then errors.argument("%s must be UTF-8 without zero bytes", what) end
  return name
end

--- The same, where it may be nil.
function M.maybe(what, name)
  if name ~= nil then return M.name(what, name) end
end

--- Check a whole number.
---@param what string
---@param n any
---@param least integer
---@param most? integer
---@return integer
function M.whole(what, n, least, most)
  if math.type(n) ~= "integer" or n < least or n > (most or n) then
    errors.argument("%s must be a whole number %s, got %s", what,
      most and ("from %d to %d"):format(least, most) or ("of at least %d"):format(least), errors.describe(n))
  end
  return n
end

--- A value as bytes.
---@param what string
---@param value any plain data
---@return string text
---Raises `argument` for what is no data, `limit` for what is too large.
function M.encode(what, value)
  local text, err = plain.encode(value, nil, false, engine.LARGEST)
  if text then return text end
  if not err or err.kind ~= "limit" then
    errors.argument("%s: a queue carries plain data, and %s", what, select(2, copy(value)) or "this is none")
  end
  errors.raise("limit", ("%s: a queue carries values of up to %d bytes"):format(what, engine.LARGEST),
    { hint = "put it into a file, and its name into the queue" })
end

--- A value of bytes.
---@param what string whose value it is: a format
---@param text string|nil
---@param v integer|nil the protocol it was written in
---@param ... any of the format, which is filled in where something is wrong
---@return any
---Raises `protocol`.
function M.decode(what, text, v, ...)
  if v and v > engine.PROTOCOL then
    errors.raise("protocol",
      ("%s was written by a newer stoke (protocol %d; this one knows %d)"):format(what:format(...), v, engine.PROTOCOL),
      { hint = "bring this program up to date" })
  end
  if text == nil then return nil end
  local value, err = plain.decode(text)
  if err then
    errors.raise("protocol", ("%s holds no value of stoke's: %s"):format(what:format(...), err.message or tostring(err)))
  end
  return value
end

return M
