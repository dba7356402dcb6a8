--- JSON-RPC 2.0 as MCP uses it, pure: messages as lines, which answer belongs to which request, errors of the other side as ours.

local errors = require "core.errors"
local json = require "core.json"

local M = {}

--- Requests that wait for an answer of one connection, at most.
M.PENDING = 1024

-- Codes that say the sides do not understand each other; all others are of what was asked.
local PROTOCOL = { [-32700] = true, [-32600] = true, [-32601] = true, [-32020] = true, [-32021] = true, [-32022] = true }

--- Errors by which a server shows that it knows the stateless versions of the protocol.
M.MODERN = { [-32020] = true, [-32021] = true, [-32022] = true }

---@class stoke.mcp.rpc what is known of one connection
---@field pending table<integer, table> entries of the caller's, by the ids of their requests
---@field count integer how many
---@field unknown integer answers to nothing that was asked; they are ignored
---@field bad integer lines that are no message; they are ignored
local Rpc = {}
Rpc.__index = Rpc

--- The state of a new connection.
---@return stoke.mcp.rpc
function M.new() return setmetatable({ pending = {}, count = 0, last = 0, unknown = 0, bad = 0 }, Rpc) end

--- A message as a line, without its end. An encoded message holds no line break.
---@param message table
---@return string|nil line
---@return stoke.error|nil err
function M.encode(message)
  message.jsonrpc = "2.0"
  return json.encode(message)
end

--- Note a request.
---@param entry table of the caller's: given back with the answer
---@return integer|nil id
---@return stoke.error|nil err kind `limit`
function Rpc:expect(entry)
  if self.count >= M.PENDING then
    return nil, errors.new("limit", ("%d requests to one MCP server wait for their answers"):format(M.PENDING))
  end
  local id = self.last + 1
  self.last, self.count, self.pending[id] = id, self.count + 1, entry
  return id
end

--- No answer to this request is expected any more.
---@param id integer
---@return table|nil entry
function Rpc:forget(id)
  local entry = self.pending[id]
  if entry == nil then return nil end
  self.pending[id], self.count = nil, self.count - 1
  return entry
end

local function is_id(id) return type(id) == "string" or math.type(id) == "integer" end

--- A message as a table. A text that was cut in the middle of a character comes with half of a surrogate pair in it, or with
--- bytes that are no UTF-8: they become U+FFFD, as in what models say.
local function decode(text)
  local message, err = json.decode(text)
  if err == nil then return message end
  local wire = require "stoke.reading.wire"
  local damaged
  message, err, damaged = wire.decode(text)
  if err then return nil end
  return damaged and wire.mend(message) or message
end

--- The error of an answer that has none of the protocol's form, nor a result.
local function formless(err)
  return { code = -32600, message = type(err) == "string" and err ~= "" and err or "an answer with neither a result nor an error" }
end

--- What a message of the other side is.
---@param text string
---@return "answer"|"request"|"notification"|nil kind nil: to be ignored; it has been counted
---@return table|nil message
---@return table|nil entry of an answer
function Rpc:read(text)
  local message = decode(text)
  if type(message) ~= "table" or message.jsonrpc ~= "2.0" then
    self.bad = self.bad + 1
    return nil
  end
  local id = rawget(message, "id")
  if type(message.method) == "string" then
    if type(message.params or message) ~= "table" then message.params = nil end
    if id == nil then return "notification", message end
    if is_id(id) then return "request", message end
  elseif id ~= nil then
    if message.result == nil and type(message.error) ~= "table" then message.error = formless(message.error) end
    -- some servers give numbers back as text
    local entry = self:forget(math.type(id) == "integer" and id or type(id) == "string" and math.tointeger(tonumber(id)) or 0)
    if entry then return "answer", message, entry end
    self.unknown = self.unknown + 1
    return nil
  end
  self.bad = self.bad + 1
  return nil
end

--- The error of an answer.
---@param err table as it came: { code, message, data }
---@param what string "files: tools/call"
---@return stoke.error
function M.failure(err, what)
  local code = math.type(err.code) == "integer" and err.code or nil
  local said = type(err.message) == "string" and err.message ~= "" and err.message or "an error without a word"
  return errors.new(PROTOCOL[code or 0] and "protocol" or "tool", ("%s: %s"):format(what, said), { code = code,
    data = err.data, retryable = false })
end

--- The answer to a request of the other side that cannot be done.
---@param id string|integer
---@param code integer
---@param message string
---@param data? any
---@return table
function M.refusal(id, code, message, data)
  return { jsonrpc = "2.0", id = id, error = { code = code, message = message, data = data } }
end

return M
