--- Streams: what perform returns for an effect with `stream`, and the sources they read from.

local host = require "host.task"
local errors = require "core.errors"
local scopes = require "core.scope"
local monotonic = require "host.time".monotonic

local M = {}

local current, deliver = host.current, scopes.deliver

-- ---- a stream -------------------------------------------------------------------------------------------------------------

--- What perform returns for an effect with `stream`: owned by the scope it was opened in, settled once.
---@class stoke.stream
local Stream = {}
Stream.__index = Stream
Stream.__name = "stoke.stream"

local function stream_end(stream, err)
  if stream.ended then return end
  stream.ended = true
  scopes.disown(stream.scope, stream)
  local source = stream.source
  if err and source.came then stream.call.came = source:came() end -- it broke off: nobody tells what it used
  source:close()
  stream.call:settle(err == nil and stream.source or nil, err)
end

--- The next item; nil at the end; nil and an error when it broke. `given` is what the caller has taken off the source itself.
function Stream:next(given)
  if self.ended then return nil, self.err end
  local task = current()
  deliver(task)
  local item, err = self.source:next(given)
  if item ~= nil then
    self.call.begun = true
    return item
  end
  self.err = err
  stream_end(self, err)
  if err and err.kind == "cancelled" then deliver(task) end
  return nil, err
end

--- Cut the stream; its connection closes at once. A no-op the second time.
function Stream:close()
  if not self.ended then stream_end(self, errors.new("cancelled", "the stream was closed")) end
end

function Stream:__close()
  self:close()
end

--- A stream that belongs to a scope.
---@param source table
---@param scope table
---@param call table settled when the stream ends
---@return stoke.stream
function M.open(source, scope, call)
  local stream = setmetatable({ source = source, scope = scope, call = call }, Stream)
  scopes.own(scope, stream)
  return stream
end

-- ---- from a tape, and onto one --------------------------------------------------------------------------------------------

--- What both kinds of source have that is a driver's: llm.stream is read through these (lua/driver/llm.lua).
local function source(class, q, fields)
  fields.protocol, fields.state, fields.events, fields.first = { specs = {} }, { q = q }, {}, 1
  return setmetatable(fields, class)
end

--- Wait until `at` seconds after the request; false and an error when the wait was cut off.
function M.until_due(began, at)
  local left = began + at - monotonic()
  if left <= 0 then return true end
  local _, err = host.park("replay", left)
  if err then return false, err end
  return true
end

local Player = {}
Player.__index = Player

function Player:next()
  local entry = self.entry
  local chunk = entry.chunks[self.position + 1]
  if not chunk then
    if entry.cut then return nil, entry.cut() end
    local ok, err = M.until_due(self.began, entry.at)
    if not ok then return nil, err end
    return nil, entry.err
  end
  local ok, err = M.until_due(self.began, chunk.at)
  if not ok then return nil, err end
  self.position = self.position + 1
  if chunk.value.type == "done" then self.done = chunk.value end
  return chunk.value
end

function Player.close() end

local Recorder = {}
Recorder.__index = Recorder

function Recorder:tell(kind, value)
  if kind ~= "chunk" then
    if self.ended then return end
    self.ended = true
  end
  self.tape:put(self.entry, kind, monotonic() - self.began, value)
end

function Recorder:next()
  local item, err = self.inner:next()
  if item ~= nil then
    if item.type == "done" then self.done = item end
    self:tell("chunk", item)
    return item
  end
  if err then
    self:tell(err.kind == "cancelled" and "cut" or "error", err)
    return nil, err
  end
  self:tell "end"
end

function Recorder:close()
  self:tell "cut"
  self.inner:close()
end

--- A source that tells a tape what is read from another one.
function M.recorder(inner, q, tape, entry, began)
  return source(Recorder, q, { inner = inner, tape = tape, entry = entry, began = began })
end

--- A source that gives what is on a tape.
function M.player(q, entry, began)
  return source(Player, q, { entry = entry, began = began, position = 0 })
end

return M
