--- An MCP server as a child process: lines of JSON-RPC over its standard streams. The process belongs to the host, not to who asked
--- first; it has a cleared environment, and the sandbox that its owner wants.

local combine = require "core.combine"
local errors = require "core.errors"
local scopes = require "core.scope"
local tasks = require "core.task"
local floods = require "stoke.mcp.flood"
local proc = require "stoke.proc"

local M = {}

--- Bytes of a line from a server, at most.
M.LINE = 16 << 20
--- Bytes that wait to be taken by a server, at most.
M.OUT = 64 << 20
--- Seconds for a server to leave when its input has ended; then it gets SIGTERM, and SIGKILL two seconds later.
M.LEAVE = 2
--- Bytes of its standard error that an error shows.
local WORDS <const> = 1000
-- What a server gets of our environment; its owner gives it the rest by name.
local ALLOWED <const> = { "PATH", "HOME", "LANG", "LC_ALL", "TERM", "TMPDIR", "USER", "SHELL", "LOGNAME" }

---@class stoke.mcp.stdio
---@field over? stoke.error|true why it has ended
---@field sandbox? string the level of its sandbox
---@field pid? integer
local Wire = {}
Wire.__index = Wire

local function queue(self, line)
  self.out[#self.out + 1] = line
  self.size = self.size + #line + 1
  if self.writer then tasks.wake(self.writer) end
end

--- Send a message; returns at once.
---@param line string
---@return boolean|nil ok
---@return stoke.error|nil err kind `limit`, or why the server is gone
function Wire:send(line)
  if self.over then return nil, errors.is(self.over) and self.over or errors.new("incomplete", self.name .. " has ended") end
  if self.size + #line > M.OUT then
    return nil, errors.new("limit", ("%s does not read: %d bytes wait for it"):format(self.name, self.size))
  end
  queue(self, line)
  return true
end

--- Nobody waits for the answer to a request any more.
---@param id integer
---@param reason string
function Wire:cancel(id, reason)
  self:send(('{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d,"reason":"%s"}}'):format(id, reason))
end

local function write(self)
  self.writer = tasks.current()
  while true do
    local out = self.out
    if #out == 0 then
      if self.stopping then return self.process:close_stdin() end
      tasks.park "mcp.write"
    else
      self.out, self.size = {}, 0
      out[#out + 1] = ""
      if not self.process:write(table.concat(out, "\n")) then return end
    end
  end
end

--- Its standard error: what a user reads of it is the end.
local function listen(self)
  for bytes in function() return self.process:read(65536, "stderr") end do
    self.words = (self.words .. bytes):sub(-WORDS)
    if self.on_words then self.on_words(bytes) end
  end
end

local function read(self)
  local parts, size = {}, 0
  for bytes in function() return self.process:read() end do
    local from = 1
    while true do
      local lf = bytes:find("\n", from, true)
      local part = bytes:sub(from, (lf or 0) - 1)
      size = size + #part
      if size > M.LINE then
        errors.raise("limit", ("%s wrote a line of more than %d MB"):format(self.name, M.LINE >> 20), { retryable = false })
      end
      parts[#parts + 1] = part
      if not lf then break end
      local line = #parts == 1 and part or table.concat(parts)
      parts, size, from = {}, 0, lf + 1
      if line:find "%S" then self.flood:note(self.on_message(line)) end
    end
  end
end

local HINT <const> = "whether it did what it was asked is not known; the next call starts it again"

--- Why it is gone, with its last words.
local function ended(self, status)
  local how = status.signal and "was ended by " .. status.signal or ("ended with code %d"):format(status.code or -1)
  local words = self.words:gsub("%s+$", "")
  return errors.new("incomplete", ("%s %s%s"):format(self.name, how, words ~= "" and "; its last words: " .. words or ""),
    { retryable = false, hint = HINT })
end

--- How it ended. One that closed its output and stays is ended: nothing can be asked of it any more.
local function farewell(self, process, words)
  local status
  local in_time = pcall(combine.timeout, M.LEAVE, function()
    status = process:wait()
    words:await()
  end)
  if in_time or status then return ended(self, status) end
  return errors.new("incomplete", self.name .. " closed its output", { retryable = false, hint = HINT })
end

local function serve(self)
  local process <close> = proc.spawn(self.options)
  local scope <close> = scopes.open {}
  self.process, self.pid, self.sandbox = process, process.pid, process.sandbox
  tasks.spawn(write, { name = "mcp write" }, self)
  local words = tasks.spawn(listen, { name = "mcp words" }, self)
  self.on_up()
  read(self)
  local err = not self.stopping and farewell(self, process, words) or nil
  scope:cancel "the MCP server has ended"
  return err
end

--- Start a server.
---@param client stoke.mcp.client
---@param on { up: fun(), message: fun(line: string): boolean, down: fun(err: stoke.error|true), words?: fun(text: string) } called
---  in the connection's task: it runs; a line came (true: nobody asked for it); it is gone
---@return stoke.mcp.stdio
function M.open(client, on)
  local name, spec = client.name, client.spec
  local options = { argv = spec.argv, cwd = spec.cwd, env = spec.env, env_allow = ALLOWED, sandbox = spec.sandbox, stdin = true,
    stderr = "capture" }
  local wire = setmetatable({ name = name, options = options, out = {}, size = 0, words = "", flood = floods.new(),
    on_up = on.up, on_message = on.message, on_words = on.words }, Wire)
  wire.task = tasks.spawn(function()
    local ok, err = pcall(serve, wire)
    if not ok then err = errors.wrap(err) end
    wire.over = wire.stopping and true or err or true
    on.down(wire.over)
  end, { system = true, name = "mcp " .. name })
  return wire
end

--- Close its input, wait for its end, and end it when it does not. A no-op the second time.
function Wire:close()
  if self.over or self.stopping then return end
  self.stopping = true
  if self.writer then tasks.wake(self.writer) end
  local task = self.task
  local ended_in_time = pcall(combine.timeout, M.LEAVE, function() task:await() end)
  if not ended_in_time and not task.state then task:cancel "the MCP server was closed" end
end

return M
