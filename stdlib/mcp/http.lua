--- An MCP server at an address: each message is a request of its own, its answer is JSON or a stream of events. Authorization by
--- OAuth is not done: a server that wants it gets a token in `headers`, from whoever runs the program.

local errors = require "core.errors"
local floods = require "stoke.mcp.flood"
local headers = require "stoke.mcp.headers"
local http = require "stoke.http"
local json = require "core.json"
local rpc = require "stoke.mcp.rpc"
local tasks = require "core.task"
local time = require "stoke.time"

local M = {}

--- Bytes of a line, and of a whole answer, at most.
M.LINE, M.BODY = 16 << 20, 64 << 20
--- A stream that breaks off is opened again so often, at most; seconds before that, at most; one that lasted so long was none of
--- them.
M.AGAIN, M.RETRY_MOST, M.LONG = 5, 30, 10

---@class stoke.mcp.http
---@field session? string of the versions with a handshake
local Wire = {}
Wire.__index = Wire

--- A request has the time of who waits for its answer. For a notification nobody waits but this connection, and for the one that
--- ends the handshake all requests do.
local TIMEOUT <const> = { connect = 10, first_byte = false, idle = false }
local NOTICE <const> = { connect = 10, first_byte = 10, idle = 10 }

local function head(self, message, entry)
  local client, out = self.client, {}
  for name, value in next, client.spec.headers or {} do out[name] = value end
  out.Accept, out["Content-Type"] = "application/json, text/event-stream", "application/json"
  out["Mcp-Session-Id"] = self.session
  local params = message.params or {}
  local modern = params._meta and params._meta["io.modelcontextprotocol/protocolVersion"]
  out["MCP-Protocol-Version"] = modern or message.method ~= "initialize" and client.version or nil
  if not modern then return out end
  out["Mcp-Method"] = message.method
  local name = headers.name(message.method, params)
  if name then out["Mcp-Name"] = headers.encode(name) end
  local seen = message.method == "tools/call" and entry and client.offered and client.offered[params.name]
  for _, one in ipairs(seen and seen.mirrored or {}) do
    local value = headers.value(params.arguments or {}, one.path)
    if value then out["Mcp-Param-" .. one.header] = headers.encode(value) end
  end
  return out
end

-- ---- answers ------------------------------------------------------------------------------------------------------------------

--- All of an answer, a line at a time: what is no stream of events is small, or wrong.
local function whole(res, most)
  local parts, size = {}, 0
  for line in res:lines() do
    parts[#parts + 1], size = line, size + #line + 1
    if size > most then errors.raise("limit", ("an answer of more than %d MB"):format(most >> 20), { retryable = false }) end
  end
  return table.concat(parts, "\n")
end

--- Events of a stream: of each its data counts, and where to go on when the stream breaks off.
local function events(self, res, at)
  local data, size = {}, 0
  for line in res:lines() do
    line = line:gsub("\r$", "")
    if line == "" then
      if data[1] then self.flood:note(self.on.message(table.concat(data, "\n"))) end
      data, size = {}, 0
    else
      local field, part = line:match "^(%l+): ?(.*)$"
      if field == "data" and (part ~= "" or data[1]) then
        data[#data + 1], size = part, size + #part + 1 -- an empty line takes memory, too
      elseif field == "id" then
        at.last = part
      elseif field == "retry" and part:find "^%d+$" then
        at.retry = math.min(tonumber(part) / 1000, M.RETRY_MOST)
      end
      if size > M.LINE then
        errors.raise("limit", ("%s sent an event of more than %d MB"):format(self.client.name, M.LINE >> 20), { retryable = false })
      end
    end
  end
end

--- Open a stream of what a server of the older versions says by itself, or of the rest of one that broke off.
---@return boolean|nil opened
local function get(self, at)
  local client = self.client
  local out = {}
  for name, value in next, client.spec.headers or {} do out[name] = value end
  out.Accept, out["Mcp-Session-Id"], out["MCP-Protocol-Version"] = "text/event-stream", self.session, client.version
  out["Last-Event-ID"] = at.last
  local res = http.request { method = "GET", url = client.spec.url, headers = out, timeout = TIMEOUT, raise = false,
    stream = "lines", max_line = M.LINE, max_bytes = math.maxinteger, max_redirects = 0 }
  local guard <close> = setmetatable({}, { __close = function() res:close() end }) -- luacheck: ignore
  if res.status >= 300 or not (res.headers["content-type"] or ""):find("event-stream", 1, true) then return nil end
  events(self, res, at)
  return true
end

--- Seconds until a stream that has ended is opened again: longer each time that it ends at once.
---@param short integer how often it did
---@return number
function M.pause(short) return math.min(M.RETRY_MOST, 2 ^ (short - 1)) end

--- Listen to what a server of the older versions says by itself, if it has a stream for that. One that ends is opened again: what
--- was said meanwhile may have been that the tools have changed.
local function listen(self)
  local at, short = {}, 0
  while not self.over do
    local since = time.monotonic()
    local ok, opened = pcall(get, self, at)
    if ok and not opened or self.over then return end
    if not at.last and self.client.pins then self.client.tools_changed = true end
    short = time.monotonic() - since > M.LONG and 1 or short + 1
    time.sleep(math.max(at.retry or 1, M.pause(short)))
  end
end

local WHERE <const> = "put a token into the headers of this server; OAuth is not done here"

--- A redirect is not followed: the headers of this server, a token among them, are for its address alone.
local function moved(self, res)
  local to = res.headers.location
  local shown = type(to) == "string" and to:match "^[^?#]*":gsub("//[^/@]*@", "//") or nil
  return errors.new("http", ("%s: HTTP %d, it redirects%s"):format(self.client.name, res.status, shown and " to " .. shown or ""),
    { status = res.status, retryable = false, hint = shown and "if you trust that address, it is the url of this server" or nil })
end

--- What a refusal means. One that carries an error of the protocol is an answer.
local function refusal(self, res, id)
  if res.status < 400 then return moved(self, res) end
  local status, body = res.status, whole(res, 1 << 20)
  local said = json.decode(body)
  local name = self.client.name
  if type(said) == "table" and type(said.error) == "table" and math.type(said.error.code) == "integer" and status ~= 401 then
    return nil, { jsonrpc = "2.0", id = id, error = said.error }
  end
  if status == 401 or status == 403 then
    return errors.new("auth", ("%s refuses: HTTP %d"):format(name, status), { hint = WHERE, status = status })
  elseif status == 404 and self.session then
    return errors.new("incomplete", name .. " has ended the session", { retryable = true, expired = true })
  elseif status == 429 or status == 503 then
    return errors.new("overloaded", ("%s is busy: HTTP %d"):format(name, status))
  end
  return errors.new("http", ("%s: HTTP %d"):format(name, status), { status = status, retryable = false,
    hint = status == 404 and "is this the whole URL of the server? Many end in /mcp" or nil })
end

local function post(self, line, message, entry)
  local id = message.method and message.id
  if self.hello and message.method ~= "notifications/initialized" then pcall(self.hello.await, self.hello) end
  local res = http.request { method = "POST", url = self.client.spec.url, body = line, headers = head(self, message, entry),
    timeout = id and TIMEOUT or NOTICE, raise = false, stream = "lines", max_line = M.LINE, max_bytes = M.BODY, max_redirects = 0 }
  local guard <close> = setmetatable({}, { __close = function() res:close() end }) -- luacheck: ignore
  if res.status >= 300 then
    local err, answer = refusal(self, res, id)
    if answer then
      if id then self.on.message(json.encode(answer)) end
      return
    end
    if message.method == "server/discover" and (res.status == 400 or res.status == 404 or res.status == 405) then
      return self.on.message(json.encode { jsonrpc = "2.0", id = id, error = { code = -32601, message = err.message } })
    end
    error(err, 0)
  end
  if message.method == "initialize" then self.session = res.headers["mcp-session-id"] end
  local kind = (res.headers["content-type"] or ""):lower()
  if kind:find("text/event-stream", 1, true) then
    local at = {}
    events(self, res, at)
    for _ = 1, M.AGAIN do -- the rest of an answer may be had by the number of the last event
      if not (id and at.last and self.client.era == "legacy" and self.client.rpc.pending[id]) then return end
      time.sleep(at.retry or 1)
      if not get(self, at) then return end
    end
    return
  end
  local body = whole(res, M.BODY)
  if body:find "%S" then self.on.message(body) end
end

--- Send a message; returns at once.
---@param line string
---@param message table the same
---@param entry? table of the request
---@return boolean|nil ok
---@return stoke.error|nil err
function Wire:send(line, message, entry)
  if self.over then return nil, errors.new("incomplete", self.client.name .. " was closed") end
  local id = message.method and message.id
  local task = tasks.spawn(function()
    local ok, err = pcall(post, self, line, message, entry)
    if id then
      self.tasks[id] = nil
      self.on.failed(id, not ok and errors.wrap(err) or errors.new("incomplete",
        ("%s: the answer to %s ended before it was whole"):format(self.client.name, message.method), { retryable = false }))
    end
  end, { system = true, name = "mcp " .. self.client.name })
  if id then self.tasks[id] = task end
  if message.method == "notifications/initialized" then
    self.hello = task -- what follows must not come before it
    self.listener = tasks.spawn(function()
      pcall(task.await, task)
      listen(self)
    end, { system = true, name = "mcp " .. self.client.name })
  end
  return true
end

--- Nobody waits for the answer to a request any more: closing its stream says so; older versions are also told in words.
---@param id integer
---@param reason string
function Wire:cancel(id, reason)
  local task = self.tasks[id]
  if task then task:cancel(reason) end
  if self.client.era == "legacy" then
    local message = { method = "notifications/cancelled", params = { requestId = id, reason = reason } }
    self:send(assert(rpc.encode(message)), message)
  end
end

--- Reach a server; nothing is sent yet.
---@param client stoke.mcp.client
---@param on table as for stdio, and failed(id, err)
---@return stoke.mcp.http
function M.open(client, on) return setmetatable({ client = client, on = on, tasks = {}, flood = floods.new() }, Wire) end

--- End what is under way, and the session.
function Wire:close()
  if self.over then return end
  self.over = true
  if self.listener then self.listener:cancel "the MCP client was closed" end
  for _, task in next, self.tasks do task:cancel "the MCP client was closed" end
  if not self.session then return end
  pcall(http.request, { method = "DELETE", url = self.client.spec.url, timeout = 2, raise = false,
    headers = { ["Mcp-Session-Id"] = self.session, ["MCP-Protocol-Version"] = self.client.version } })
end

return M
