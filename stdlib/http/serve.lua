--- An HTTP server, on a port or in memory.
---
---     local http = require "stoke.http"
---     local server <close> = http.serve { port = 8080, handler = function(req, res)
---       if req.path == "/time" then return { now = stoke.time.now() } end      -- a table: JSON
---       res:start(200, { ["Content-Type"] = "text/plain" })                    -- or piece by piece
---       for i = 1, 10 do res:write(i .. "\n") stoke.sleep(1) end
---     end }
---     server:wait()                             -- until Ctrl-C: leaving the block closes a `<close>` server
---
--- Without `<close>` the server belongs to the scope, which ends when it is closed: a script goes on serving after its main has
--- returned.
--- Each request runs in a task of its own. What its handler raises is answered with 500 and logged, and the server lives on.
--- A handler whose client leaves is cancelled; closing only its sending side counts as leaving. Cancelling the scope cuts what
--- runs; close() lets it end first.

local errors = require "core.errors"
local scopes = require "core.scope"
local raw_pcall = require "core.coro".raw_pcall
local tasks = require "core.task"
local effect = require "core.effect"
local json = require "stoke.json"
local log = require "stoke.log"
local overrun = require "core.overrun"
local replies = require "stoke.http.reply"
local requests = require "stoke.http.request"
local spans = require "core.gate.span"
local time = require "stoke.time"
local traceparent = require "core.gate.traceparent"
require "core.driver.server"

local MB = 1024 * 1024
local SOON = 1 -- seconds: closing a server earlier, before its first request, is probably a mistake (a scope ended too soon)
local FLUSH = 1 -- seconds for bytes still under way when the server has been cancelled
local TEXT = { "Content-Type: text/plain; charset=utf-8" }
local JSON = { "Content-Type: application/json" }

local OPTIONS = {
  port = "number", address = "string", mem = "string", socket = "string", handler = "function", on_error = "function",
  max_body = "number", max_header = "number", max_connections = "number", max_waiting = "number",
  header_timeout = "number", drain = "number",
  origins = "table", hosts = "table", system = "boolean", background = "boolean",
}

---@class stoke.http.server
---@field url string "http://127.0.0.1:8080", without a slash at its end
---@field port integer 0 in memory
local Server = {}
Server.__index = Server
Server.__name = "stoke.http.server"

-- ---- one request ----------------------------------------------------------------------------------------------------------

local function report(server, err, req)
  if server.on_error then
    local ok, second = xpcall(server.on_error, errors.handler, err, req)
    if ok then return end
    log.error("on_error of a server failed", { error = tostring(second) })
  end
  log.error("a request failed", { method = req.method, path = req.path, error = tostring(err) })
end

local HINT = "res:reply(status, headers, body) sets a status; a string that is returned goes out as text with 200, a table as JSON"
local PARTS = { status = true, statusCode = true, code = true, headers = true, body = true }

--- A table such as { status = 404, body = ... }: a reply as other servers take it. As JSON with 200 it would tell the client that
--- all is well.
local function refuse_reply(value)
  if value.status < 100 or value.status > 599 then return end
  for name in next, value do
    if not PARTS[name] then return end
  end
  local what = ("a handler returned a table with the status %d, which would go out as JSON with 200"):format(value.status)
  errors.raise("argument", what,
    { hint = "res:reply(status, headers, body) sets a status; res:reply(200, nil, table) sends this table as JSON" })
end

--- The handler came back with a value, or just came back.
local function conclude(res, value, err)
  if res.ended then return end
  if res.started then return res:finish() end
  if value == nil and err == nil then return res:reply(204) end
  if type(value) == "string" then return res:whole(200, TEXT, value) end
  if type(value) == "table" then
    if math.type(rawget(value, "status")) == "integer" then refuse_reply(value) end
    return res:whole(200, JSON, json.encode(value))
  end
  if value == nil then error(err, 0) end -- `return nil, err`, as stoke.try and Lua's own functions give
  errors.raise("argument", ("a handler returned %s"):format(errors.describe(value)), { hint = HINT })
end

--- The handler raised.
local function fail(server, err, req, res, me)
  err = errors.wrap(err) -- without memory no message handler runs
  if me.cancelled then
    if not res.started and not res.ended and (server.stopping or server.task.cancelled) and not server.left[res.id] then
      return pcall(res.reply, res, 503, { Connection = "close" })
    end
    return res:reset()
  end
  if res.gone then return res:reset() end
  local refused = math.type(rawget(err, "status")) == "integer" and err.kind == "protocol"
  if not refused then report(server, err, req) end
  if res.started or res.ended then return res:reset() end
  pcall(res.whole, res, refused and err.status or 500, TEXT, refused and err.message .. "\n" or "internal error\n")
end

--- Bytes of long replies whose clients left, until they are collected: a host that then only waits makes no garbage of its own, so
--- nothing else would collect them.
local DROPPED <const> = 64 * MB

local function drop(server, bytes)
  server.dropped = server.dropped + bytes
  if server.dropped < DROPPED then return end
  server.dropped = 0
  collectgarbage()
end

--- The server no longer counts on the task of this reply.
local function over(server, res)
  local id = res.id
  server.running[id], server.exchanges[id], server.left[id] = nil, nil, nil
  if server.statuses then server.statuses[id] = nil end
  if res.lost then drop(server, res.lost) end
end

local function respond(server, req, res)
  return conclude(res, server.handler(req, res))
end

--- The span of a request, where somebody traces: all that its handler does is inside. It belongs to the trace of who asks.
local function span_of(server, req)
  local headers = req.headers
  local far = traceparent.read(headers.traceparent, headers.tracestate)
  local seen = spans.enter("serve.request", req.method .. " " .. req.path, far)
  if not seen then return nil end
  spans.inside(seen)
  seen.facts = { method = req.method, path = req.path, route = nil, status = nil }
  server.statuses = server.statuses or {}
  return seen
end

--- What became of it. A handler that raised has been answered with a status.
local function note(server, seen, id, err)
  seen.facts.status = server.statuses[id]
  seen.failed = err and errors.wrap(err) or nil
end

local function answer(server, exchange, id)
  local res <close> = replies.new(exchange, id, server) -- whatever happens, the client is not left waiting
  local req, status = requests.read(exchange, server.guard)
  if not req then return res:reply(status) end
  if res:too_much(0) then return end
  local seen <close> = spans.on and span_of(server, req) or nil
  local ok, err = xpcall(respond, errors.handler, server, req, res)
  if not ok then fail(server, err, req, res, tasks.current()) end
  if seen then note(server, seen, id, not ok and err) end
end

-- ---- the server's own task ------------------------------------------------------------------------------------------------

--- A task of ours ended where answer() could not catch it (no memory, or it was cut off): its client still must not wait.
local function request_failed(server, task, err)
  for id, other in next, server.running do
    if other == task then
      if server.exchanges[id] then server.exchanges[id]:reset() end
      server.running[id], server.exchanges[id] = nil, nil
      break
    end
  end
  log.error("a request failed", { error = tostring(err) })
end

--- What is known of a request is kept beside its task: the record of a task with more fields than this one has is twice as large.
local function begin(server, exchange, id, me)
  local task
  if server.system then
    task = tasks.spawn(answer, { name = "http.request", system = true }, server, exchange, id)
    task.on_error = function(_, err) request_failed(server, task, err) end
  else
    task = tasks.start(me, "http.request", answer, server, exchange, id)
  end
  server.running[id], server.exchanges[id], server.served = task, exchange, true
end

local function running(server)
  local list = {}
  for id, task in next, server.running do list[#list + 1] = { id, task } end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

--- Until the task has ended, however it ends; raises the caller's own cancellation.
local function wait_for(task)
  while not task.state do
    local ok, err = pcall(task.await, task)
    if not ok and not task.state then error(err, 0) end
  end
end

--- Runs when the supervising task ends, for whatever reason.
local function shut(supervisor)
  local server = supervisor.server
  server.stopping = true
  server.native:stop()
  local left = running(server)
  for _, entry in ipairs(left) do entry[2]:cancel("the server was stopped") end
  for _, entry in ipairs(left) do wait_for(entry[2]) end
  while not server.native:close(supervisor.drained and server.drain or FLUSH) do
    supervisor.drained = false
    collectgarbage() -- an exchange that got lost (no memory) is reset by its finalizer
  end
  server.closed = true
  if server.closer then tasks.wake(server.closer) end
end

local function client_left(server, id)
  local task = server.running[id]
  if not task or task.state then return end
  server.left[id] = true
  task:cancel("the client has left")
end

local function supervise(server)
  local me = tasks.current()
  local supervisor <close> = setmetatable({ server = server }, { __close = shut })
  me.site_below = false -- no script spawns these: not to be looked for
  me.on_child_error = function(err, task) request_failed(server, task, err) end
  while true do
    local exchange, id = server.native:accept()
    local err = not exchange and id
    if math.type(exchange) == "integer" then
      client_left(server, exchange)
    elseif exchange then
      local ok, why = raw_pcall(begin, server, exchange, id, me)
      if not ok then
        exchange:reset()
        if server.task.cancelled then error(why, 0) end
        log.error("a request could not be taken", { error = tostring(why) })
      end
    elseif exchange == nil and not err then
      supervisor.drained = true
      return
    elseif err then
      scopes.deliver(me)
      if err.kind == "cancelled" then return end
      log.error("a request could not be taken", { error = err.message })
      scopes.park("http.serve", 0.1)
    end
  end
end

-- ---- what the caller holds --------------------------------------------------------------------------------------------------

local Cut = {}

--- close() was interrupted: no more patience.
function Cut.__close(cut)
  local task = cut.server.task
  if not task.state then task:cancel("the server was closed") end
end

--- Stop: no new requests; those under way have `drain` seconds to end, then they are cancelled. Waits until all is down.
--- A no-op the second time.
---
--- Example: `server:close()`
function Server:close()
  if self.closed then return end
  self.stopping = true
  self.native:stop()
  local task, me = self.task, tasks.current()
  if not me or task == me then return end
  do
    local _ <close> = setmetatable({ server = self }, Cut)
    self.closer = me
    if not task.state then scopes.park("http.serve.close", self.drain) end
  end
  wait_for(task)
end

--- Wait until the server is closed, by another task or with its scope (Ctrl-C).
---Raises `cancelled` when the waiting task is.
---
--- Example: `server:wait()`
function Server:wait()
  if not tasks.current() then errors.argument("server:wait waits, so it can only be called inside a task") end
  scopes.deliver(tasks.current())
  wait_for(self.task)
end

function Server:__close(err)
  local early = err == nil and self.port ~= 0 and not self.served and not self.closed and not self.system
  if early and time.monotonic() - self.began < SOON then
    log.warn("a server was closed at once and has served nobody; server:wait() keeps it until Ctrl-C", { url = self.url })
  end
  self:close()
end

local function set_of(list, what)
  local set = {}
  for i, item in ipairs(list or {}) do
    if type(item) ~= "string" then errors.argument("http.serve: %s[%d] must be a string", what, i) end
    set[item:lower()] = true
  end
  return set
end

local function check(options)
  options = errors.options(options, OPTIONS, "http.serve")
  if not options.handler then errors.argument("http.serve: handler is missing: fun(req, res)") end
  if (options.mem or options.socket) and (options.port or options.address) or options.mem and options.socket then
    errors.argument("http.serve: %s is a server without port and address", options.mem and "mem" or "socket")
  end
  for _, name in ipairs { "port", "max_body", "max_header", "max_connections", "max_waiting" } do
    local value = options[name]
    if value and (not math.tointeger(value) or value < 0) then
      errors.argument("http.serve: %s must be an integer, zero or more", name)
    end
  end
  for _, name in ipairs { "drain", "header_timeout" } do
    if options[name] and not (options[name] >= 0) then errors.argument("http.serve: %s must be seconds, zero or more", name) end
  end
  return options
end

--- Serve HTTP. The server is a child of the current scope, which therefore does not end before it.
---@param options { handler: fun(req: stoke.http.incoming, res: stoke.http.reply): any, port?: integer, mem?: string }
---  handler: a string it returns goes out as text, a table as JSON, nothing as 204, unless it used `res`; nil and an error are
---  that error. A status is set by res:reply alone: a table of status, headers and body is an error. A long answer is best
---  written in pieces (res:write), because the handler then waits for a slow client and no more is made than is taken;
---  port (0: any free one) and address (127.0.0.1), or mem: a name, for http://NAME.mem/ inside this process, or socket: a
---  path, for a socket in the file system that this user alone may open (http.get(url, { socket = path }));
---  on_error(err, req) instead of a line in the log; max_body (16 MB; 413 beyond), max_header (16 KB; 431;
---  each connection costs about that much memory),
---  max_connections (10000; more wait to be accepted), max_waiting (a quarter of max_memory: bytes of replies that slow clients
---  have yet to take; beyond, a request is answered with 503 and Retry-After), header_timeout (60 seconds for a request to arrive);
---  drain (5 seconds for requests under way when the server closes);
---  on loopback a request must be addressed to loopback or one of `hosts` ("*": any), and come from a page of loopback or one of
---  `origins` ("*": any), else 403; system: its tasks are the host's own, and no scope's children;
---  background: a host that waits for nothing but requests to it is at a standstill all the same
---@return stoke.http.server
---Raises `argument`; `os` when it cannot listen.
---
--- Example: `local server <close> = http.serve { port = 0, handler = function(req) return "you asked for " .. req.path end }`
local function serve(options)
  options = check(options)
  local address = options.address or "127.0.0.1"
  local native, failed = effect.perform("http.serve", {
    port = options.port and math.tointeger(options.port), address = options.address, mem = options.mem, path = options.socket,
    max_body = math.tointeger(options.max_body or 16 * MB), max_header = math.tointeger(options.max_header or 16 * 1024),
    max_connections = math.tointeger(options.max_connections or 10000), header_timeout = options.header_timeout or 60,
    background = options.background,
  })
  if failed and failed.code == 98 then failed.hint = "something listens there already; port = 0 takes a free one" end -- EADDRINUSE
  errors.check(native, failed)
  local host = address:find(":", 1, true) and "[" .. address .. "]" or address
  local guarded = not options.mem and not options.socket and requests.is_loopback(address)
  local server = setmetatable({
    native = native, handler = options.handler, on_error = options.on_error, drain = options.drain or 5,
    waiting = 0, max_waiting = options.max_waiting or overrun.share(4),
    system = options.system or false, served = false, began = time.monotonic(), port = native:port(), dropped = 0,
    running = {}, exchanges = setmetatable({}, { __mode = "v" }), left = {}, -- by number of the request; left: has its client?
    guard = guarded and { hosts = set_of(options.hosts, "hosts"), origins = set_of(options.origins, "origins") } or nil,
    url = options.mem and ("http://%s.mem"):format(options.mem) or options.socket and "http://localhost"
      or ("http://%s:%d"):format(host, native:port()),
  }, Server)
  function server.over(res) over(server, res) end
  if options.system then
    server.task = tasks.spawn(supervise, { name = "http.serve", system = true }, server)
  else
    server.task = tasks.spawn(supervise, { name = "http.serve" }, server)
  end
  return server
end

return serve
