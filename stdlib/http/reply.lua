--- The response object that a handler writes to.

local errors = require "core.errors"
local json = require "stoke.json"
local scopes = require "core.scope"
local tasks = require "core.task"

---@class stoke.http.reply
---@field started boolean the head is on its way
---@field ended boolean
---@field gone boolean the client has left
local Reply = {}
Reply.__index = Reply
Reply.__name = "stoke.http.reply"

---@param exchange table of the host
---@param id integer its number
---@param server { over: fun(res: stoke.http.reply), waiting: integer, max_waiting: integer } over: called when nothing more can be
---  sent; waiting: bytes that writers hold for slow clients, max_waiting: when a reply that has not begun is refused
local function new(exchange, id, server) -- eight fields: one more, and the table is twice as large
  return setmetatable({ exchange = exchange, started = false, ended = false, gone = false, size = false, lost = false, id = id,
    server = server }, Reply)
end

--- Its task ends, for whatever reason: the client is not left waiting.
function Reply:__close()
  self:reset()
  self.server.over(self)
end

--- What is set on a reply as on those of other servers (res.status = 404) would be lost without a word.
function Reply:__newindex(key)
  errors.raise("argument", ("a reply has no field %s to set"):format(tostring(key)),
    { hint = "res:reply(status, headers, body) answers at once, res:start(status, headers) before res:write" })
end

--- "Name: value" lines, sorted by name: the order of a table must not show on the wire.
local function lines_of(headers)
  local lines = {}
  if headers == nil then return lines end
  if type(headers) ~= "table" then
    errors.argument('headers are a table { ["Name"] = value }, got %s', errors.describe(headers))
  end
  for name, value in next, headers do
    if type(name) ~= "string" then
      errors.argument("headers are a table { [\"Name\"] = value }, got a key that is a %s", type(name))
    end
    local values = type(value) == "table" and value or { value }
    for i, v in ipairs(values) do
      if type(v) ~= "string" and type(v) ~= "number" then
        errors.argument("header %s: a string expected, got %s", name, type(v))
      end
      lines[#lines + 1] = { name, i, ("%s: %s"):format(name, v) }
    end
  end
  table.sort(lines, function(a, b)
    if a[1] ~= b[1] then return a[1] < b[1] end
    return a[2] < b[2]
  end)
  for i, line in ipairs(lines) do lines[i] = line[3] end
  return lines
end

local function has(headers, wanted)
  for name in next, headers do
    if type(name) == "string" and name:lower() == wanted then return true end
  end
  return false
end

function Reply:fail(err)
  if err.kind == "cancelled" then scopes.deliver(tasks.current()) end
  if err.kind == "incomplete" then self.gone = true end
  error(err, 0)
end

function Reply:check_unsent(what)
  if self.started or self.ended then errors.argument("%s: this request has been replied to already", what) end
end

--- The status, for the span of the request.
local function note(res, status)
  local statuses = res.server.statuses
  if statuses then statuses[res.id] = status end
end

function Reply:begin(status, lines, length)
  if math.type(status) ~= "integer" then errors.argument("the status must be an integer, got %s", tostring(status)) end
  local ok, err = self.exchange:reply(status, lines, length)
  if not ok then self:fail(err) end
  self.started = true
  note(self, status)
end

--- Reply at once and whole.
---@param status integer
---@param headers? table<string, string|string[]>
---@param body? string|table a table goes out as JSON
---Raises `argument`; `incomplete` when the client has gone.
---
--- Example: `res:reply(201, { Location = "/notes/7" })`
function Reply:reply(status, headers, body)
  self:check_unsent "res:reply"
  if type(body) == "table" then
    headers = headers or {}
    if not has(headers, "content-type") then
      local copy = { ["Content-Type"] = "application/json" }
      for name, value in next, headers do copy[name] = value end
      headers = copy
    end
    body = json.encode(body)
  elseif body ~= nil and type(body) ~= "string" then
    errors.argument("res:reply: the body must be a string or a table, got %s", type(body))
  end
  self:whole(status, lines_of(headers), body or "")
end

local BUSY = { "Connection: close", "Retry-After: 1" }

--- Does this server hold so much for slow clients that it takes no more? A reply to the only one is never too large.
---@private
---@param size integer bytes of the reply
---@return boolean|nil refused whether it was answered with 503 instead
function Reply:too_much(size)
  local server = self.server
  if server.waiting == 0 or server.waiting + size <= server.max_waiting then return nil end
  local ok, err = self.exchange:answer(503, BUSY, "")
  if not ok and err then self:fail(err) end
  self.started, self.ended = true, true
  note(self, 503)
  return true
end

--- Head and bytes in one; piece by piece where a slow client must be waited for.
---@private
---@param lines string[] "Name: value"
function Reply:whole(status, lines, body)
  if math.type(status) ~= "integer" then errors.argument("the status must be an integer, got %s", tostring(status)) end
  local me = body ~= "" and tasks.current()
  if me then scopes.deliver(me) end
  self.size = #body
  local whole, err = self.exchange:answer(status, lines, body)
  if whole then
    self.started, self.ended = true, true
    return note(self, status)
  end
  if err then self:fail(err) end
  if self:too_much(self.size) then return end
  self:begin(status, lines, self.size)
  self:write(body)
  self:finish()
end

--- Begin a reply whose bytes follow by res:write; it ends when the handler returns.
---@param status? integer 200 unless given
---@param headers? table<string, string|string[]>
---
--- Example: `res:start(200, { ["Content-Type"] = "application/x-ndjson" })`
function Reply:start(status, headers)
  self:check_unsent "res:start"
  self:begin(status or 200, lines_of(headers), -1)
end

local Held = {}
Held.__close = function(held) held.server.waiting = held.server.waiting - held.bytes end

--- Send the rest of bytes that a slow client did not take at once. They are in memory until it has.
local function write_rest(self, bytes, at)
  local server, size = self.server, #bytes
  local _ <close> = setmetatable({ server = server, bytes = size }, Held)
  server.waiting = server.waiting + size
  repeat
    local taken, err = self.exchange:write(bytes, at)
    if not taken then self:fail(err) end
    at = taken
  until at > size
end

--- Send bytes; each call is a chunk of its own, or several when it is long. Waits while a slow client has more to take than its
--- share of 64 MB, from 16 KB up to 1 MB.
---@param bytes string
---Raises `incomplete` when the client has gone.
---
--- Example: `res:write "a piece of the answer"`
function Reply:write(bytes)
  if type(bytes) ~= "string" then
    scopes.check_self(self, Reply, "res:write()")
    errors.argument("res:write: a string expected, got %s", errors.describe(bytes))
  end
  if self.ended then errors.argument "res:write: the reply has ended" end
  if not self.started then self:start() end
  local me = tasks.current()
  if me then scopes.deliver(me) end
  local at, err = self.exchange:write(bytes, 1)
  if not at then self:fail(err) end
  if at <= #bytes then write_rest(self, bytes, at) end
end

--- End the reply now; otherwise it ends when the handler returns.
---
--- Example: `res:finish()`
function Reply:finish()
  if self.ended then return end
  self.exchange:finish()
  self.ended = true -- not before: when the call itself fails, reset still has to let the client go
end

--- Cut the connection, so that the client knows the reply is not whole; what was written goes out before.
---
--- Example: `res:reset()`
function Reply:reset()
  if self.ended then return end
  self.exchange:reset()
  self.ended, self.lost = true, self.size
end

return { new = new }
