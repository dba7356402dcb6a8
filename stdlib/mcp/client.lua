--- The connection to an MCP server: begun when something is asked, begun anew when it has ended. Both eras of the protocol: the
--- stateless one (2026-07-28), found by server/discover, and the ones with a handshake.

local about = require "core.about"
local config = require "stoke.mcp.config"
local driver = require "core.driver.mcp"
local errors = require "core.errors"
local http = require "stoke.mcp.http"
local json = require "core.json"
local log = require "stoke.log"
local rpc = require "stoke.mcp.rpc"
local scopes = require "core.scope"
local stdio = require "stoke.mcp.stdio"
local tasks = require "core.task"
local traceparent = require "core.gate.traceparent"
local time = require "stoke.time"

local M = {}

--- The version without a handshake, and those with one, the newest first.
M.MODERN, M.LEGACY = "2026-07-28", { "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05" }
--- Seconds until a server that does not answer server/discover is also asked in the old way.
M.PROBE = 3
--- Seconds for a server to start, and for an answer, where nobody says.
M.START, M.TIMEOUT = 60, 120
--- Seconds: a server that lived this long has not failed to start. Wait before the first new start, and at most.
M.LIVED, M.BACK_OFF, M.MOST_OFF = 10, 0.5, 30
--- Notes of progress that wait for one request, at most; the oldest are dropped.
M.NOTES = 100

local META = "io.modelcontextprotocol/"
local OURS <const> = { name = "stoke", version = about.version }
local KNOWN = { [M.MODERN] = "modern" }
for _, version in ipairs(M.LEGACY) do KNOWN[version] = "legacy" end

---@class stoke.mcp.client
---@field name string
---@field spec table as stoke.mcp.connect checked it
---@field era? "modern"|"legacy"
---@field version? string of the protocol
---@field server? table name and version, as it says
---@field capabilities table
---@field instructions? string
local Client = {}
Client.__index = Client
Client.__name = "stoke.mcp.client"
M.Client = Client

--- A client; nothing is started.
---@param spec table
---@return stoke.mcp.client
function M.new(spec)
  return setmetatable({ name = spec.name, spec = spec, rpc = rpc.new(), failures = 0, capabilities = {}, refused = 0 }, Client)
end

-- ---- messages from the server ----------------------------------------------------------------------------------------------

local function settle(entry, message, err)
  entry.message, entry.err, entry.over = message, err, true
  tasks.wake(entry.task)
end

local function note(entry, params)
  local notes = entry.notes
  if #notes >= M.NOTES then table.remove(notes, 1) end
  notes[#notes + 1] = params
  tasks.wake(entry.task)
end

local LEVELS = { debug = "debug", info = "info", notice = "info", warning = "warn" }

local HEARD = {
  ["notifications/progress"] = function(client, params)
    local entry = client.rpc.pending[params.progressToken]
    if entry and entry.notes then note(entry, params) end
  end,
  ["notifications/tools/list_changed"] = function(client) client.tools_changed = true end,
  ["notifications/message"] = function(client, params)
    local level = LEVELS[params.level] or "error"
    if log.enabled(level) then
      log[level](("MCP server %s: %s"):format(client.name, type(params.data) == "string" and params.data
        or json.encode(params.data)))
    end
  end,
}

--- What a server of the old era may ask of us.
local ASKED = {
  ping = function() return json.object {} end,
  ["roots/list"] = function(client)
    if not client.spec.roots then return nil end
    local roots = {}
    for i, root in ipairs(client.spec.roots) do roots[i] = { uri = root } end
    return { roots = json.array(roots) }
  end,
  ["elicitation/create"] = function(client, params)
    if not client.spec.on_elicit then return nil end
    return client:elicited(params)
  end,
}

local function reply(client, message)
  local answer = ASKED[message.method]
  local ok, result = pcall(answer or errors.refused, client, message.params or {})
  local out
  if ok and result ~= nil then
    out = { id = message.id, result = result }
  else
    if answer and not ok then
      log.error(("MCP server %s: %s could not be answered"):format(client.name, message.method), { error = tostring(result) })
    end
    client.refused = client.refused + 1
    out = rpc.refusal(message.id, -32601, "this client does not do " .. message.method)
  end
  local line = rpc.encode(out)
  if line and client.wire then client.wire:send(line, out) end
end

--- A message has come.
---@return boolean unasked
local function receive(client, line)
  local kind, message, entry = client.rpc:read(line)
  if kind == "answer" then
    settle(entry, message)
    return false
  elseif kind == "notification" then
    local hear = HEARD[message.method]
    if hear then hear(client, message.params or {}) end
  elseif kind == "request" then
    tasks.spawn(reply, { system = true, name = "mcp answer" }, client, message)
  end
  return true
end

--- What was answered, and the server's own answers to what was left out.
local function with_defaults(content, schema)
  local properties = type(schema) == "table" and schema.properties
  if type(content) ~= "table" or type(properties) ~= "table" then return content end
  local out = {}
  for name, value in next, content do out[name] = value end
  for name, property in next, properties do
    if out[name] == nil and type(property) == "table" then out[name] = property.default end
  end
  return json.object(out)
end

--- The answer of a person to what a server asks, as the protocol has it.
---@param params table
---@return table
---
--- Example: `local answer = client:elicited { message = "Your name?" }`
function Client:elicited(params)
  local content = self.spec.on_elicit(type(params.message) == "string" and params.message or "", params.requestedSchema, params)
  if content == nil then return { action = "decline" } end
  return { action = "accept", content = with_defaults(content, params.requestedSchema) }
end

-- ---- one request ----------------------------------------------------------------------------------------------------------

--- An error belongs to one who waits.
local function copy(err) return errors.new(err.kind, err.message, { hint = rawget(err, "hint"), retryable = false,
  expired = rawget(err, "expired"), status = rawget(err, "status") }) end

local function capabilities(client)
  return json.object { elicitation = client.spec.on_elicit and json.object { form = json.object {} } or nil,
    roots = client.spec.roots and json.object {} or nil }
end

--- The parameters with what the version wants in each request.
local function parameters(client, params, id, era, span)
  local out = {}
  for name, value in next, params or {} do out[name] = value end
  if era == "modern" then
    out._meta = { [META .. "protocolVersion"] = M.MODERN, [META .. "clientInfo"] = OURS,
      [META .. "clientCapabilities"] = capabilities(client), progressToken = id }
  elseif id then
    out._meta = { progressToken = id }
  end
  if span then out._meta = traceparent.meta(out._meta, span) end
  return json.object(out)
end

--- Send a request.
local function begin(client, method, params, entry, era)
  entry.task, entry.method = tasks.current(), method
  local id, full = client.rpc:expect(entry)
  if not id then return nil, full end
  entry.id = id
  local message = { id = id, method = method, params = parameters(client, params, entry.notes and id, era, entry.span) }
  local line, err = rpc.encode(message)
  local ok
  if line then ok, err = client.wire:send(line, message, entry) end
  if ok then return id end
  client.rpc:forget(id)
  return nil, err
end

--- Nobody waits for it any more.
local function abandon(client, entry, reason)
  if not client.rpc:forget(entry.id) or not client.wire then return end
  client.wire:cancel(entry.id, reason)
end

local function tell(entry, on_progress)
  local notes = entry.notes
  while notes[1] do
    local params = table.remove(notes, 1)
    on_progress { progress = params.progress, total = params.total, message = params.message }
  end
end

--- Wait for the answer to a request.
local function await(client, entry, seconds, on_progress)
  local deadline = seconds and time.monotonic() + seconds
  while not entry.over do
    local left = deadline and math.max(0, deadline - time.monotonic())
    local woken, err = driver.wait("mcp " .. entry.method, left)
    if entry.notes and entry.notes[1] and woken then
      local ok, raised = pcall(tell, entry, on_progress)
      if not ok then woken, err = nil, errors.wrap(raised) end
    end
    if entry.over then break end
    if woken == nil then
      abandon(client, entry, "cancelled")
      return nil, err
    elseif woken == false then
      abandon(client, entry, "timeout")
      return nil, errors.new("timeout", ("%s: %s was not answered within %g s"):format(client.name, entry.method, seconds),
        { retryable = false })
    end
  end
  if entry.err then return nil, copy(entry.err) end
  local message = entry.message
  if message.result == nil then return nil, rpc.failure(message.error, ("%s: %s"):format(client.name, entry.method)) end
  if type(message.result) ~= "table" then
    return nil, errors.new("protocol", ("%s: the result of %s is no object"):format(client.name, entry.method))
  end
  return message.result
end

local function exchange(client, method, params, seconds, on_progress, era, span)
  local entry = { over = false, notes = on_progress and {} or nil, span = span }
  local id, err = begin(client, method, params, entry, era or client.era)
  if not id then return nil, err end
  return await(client, entry, seconds, on_progress)
end

-- ---- the start of a connection ------------------------------------------------------------------------------------------------

local function notify(client, method, params)
  local message = { method = method, params = params }
  return client.wire:send(assert(rpc.encode(message)), message)
end
Client.notify = notify

local function text(value) return type(value) == "string" and value or nil end
local function object(value) return type(value) == "table" and value or {} end

local function modern(client, result)
  local versions = object(result.supportedVersions)
  for _, version in ipairs(versions) do
    if version == M.MODERN then
      client.era, client.version = "modern", version
      client.capabilities, client.instructions = object(result.capabilities), text(result.instructions)
      client.server = object(object(result._meta)[META .. "serverInfo"])
      return true
    end
  end
  return false
end

local function legacy(client, result)
  if KNOWN[result.protocolVersion] ~= "legacy" then
    return nil, errors.new("protocol", ("%s speaks version %s of MCP; known are %s and %s"):format(client.name,
      errors.describe(result.protocolVersion), M.MODERN, table.concat(M.LEGACY, ", ")))
  end
  client.era, client.version = "legacy", result.protocolVersion
  client.capabilities, client.instructions = object(result.capabilities), text(result.instructions)
  client.server = object(result.serverInfo)
  notify(client, "notifications/initialized")
  return true
end

--- A server that knows the new era, but not our version of it.
local function versions_of(client, err)
  local data = object(err.data)
  for _, version in ipairs(object(data.supported)) do
    if KNOWN[version] == "legacy" then return true end
  end
  return nil, errors.new("protocol", ("%s speaks other versions of MCP: %s"):format(client.name,
    json.encode(data.supported or json.null)))
end

local function initialize_params(client)
  return { protocolVersion = M.LEGACY[1], capabilities = capabilities(client), clientInfo = OURS }
end

--- Find the era of a server. One that does not answer in time may be old, or still be starting: both questions are then out.
local function discover(client, seconds)
  local probe = { over = false }
  local id, err = begin(client, "server/discover", {}, probe, "modern")
  if not id then return nil, err end
  local deadline = time.monotonic() + M.PROBE
  while not probe.over and time.monotonic() < deadline do driver.wait("mcp.start", deadline - time.monotonic()) end
  local hello = { over = false }
  local function answered()
    if not probe.over then return false end
    if probe.err then error(copy(probe.err), 0) end
    local result = probe.message.result
    if type(result) == "table" and result.supportedVersions then
      if modern(client, result) then return true end
      err = { data = { supported = result.supportedVersions } }
    else
      err = object(probe.message.error)
    end
    if rpc.MODERN[err.code] or err.data and result then errors.check(versions_of(client, err)) end
    return false
  end
  if answered() then return true end
  errors.check(begin(client, "initialize", initialize_params(client), hello, "legacy"))
  deadline = time.monotonic() + seconds
  while not hello.over do
    if time.monotonic() >= deadline then
      errors.raise("timeout", ("%s did not start within %g s"):format(client.name, seconds), { retryable = false })
    end
    driver.wait("mcp.start", deadline - time.monotonic())
    if not hello.over and answered() then
      client.rpc:forget(hello.id)
      return true
    end
  end
  client.rpc:forget(probe.id)
  local taken = hello.message and type(hello.message.result) == "table"
  if not taken and probe.over and answered() then return true end -- both answers have come together
  if hello.err then error(copy(hello.err), 0) end
  if type(hello.message.result) ~= "table" then
    error(rpc.failure(object(hello.message.error), client.name .. ": initialize"), 0)
  end
  return errors.check(legacy(client, hello.message.result))
end

local function handshake(client)
  local seconds = client.spec.start_timeout or M.START
  if client.assumed == "legacy" then
    local result = errors.check(exchange(client, "initialize", initialize_params(client), seconds, nil, "legacy"))
    return errors.check(legacy(client, result))
  end
  return discover(client, seconds)
end

local function fail_all(client, why)
  local err = errors.is(why) and why or errors.new("incomplete", client.name .. " was closed")
  for id, entry in next, client.rpc.pending do
    client.rpc:forget(id)
    settle(entry, nil, err)
  end
end

--- Nothing is heard of changes any more.
local function unwatch(client)
  local watcher = client.watcher
  client.watcher = nil
  if watcher and watcher ~= tasks.current() then watcher:cancel "the MCP server is gone" end
end

local function down(client, wire, why)
  if client.wire ~= wire then return end
  unwatch(client)
  client.wire, client.up = nil, false
  client.failures = time.monotonic() - client.began < M.LIVED and client.failures + 1 or 0
  client.tools_changed = client.pins and true or nil -- the next one may be another program
  fail_all(client, why)
end

local function transport(client)
  local wire
  local on = {
    up = function() end,
    message = function(line) return receive(client, line) end,
    failed = function(id, err)
      local entry = client.rpc:forget(id)
      if entry then settle(entry, nil, err) end
    end,
    down = function(why) down(client, wire, why) end,
    words = function(words) log.debug(("MCP server %s: %s"):format(client.name, (words:gsub("%s+$", "")))) end,
  }
  client.began = time.monotonic()
  wire = (client.spec.url and http or stdio).open(client, on)
  client.wire = wire
end

--- Hear of changes as long as the connection lasts. A subscription that ends is begun again: what changed meanwhile is looked up.
local function watch(client)
  local wire, short = client.wire, 0
  while wire and client.wire == wire do
    local entry, since = { over = false }, time.monotonic()
    if not begin(client, "subscriptions/listen", { notifications = { toolsListChanged = true } }, entry, "modern") then return end
    while not entry.over do
      if driver.wait "mcp.listen" == nil then return end
    end
    if client.wire ~= wire then return end
    local err = entry.err
    if entry.message and entry.message.error or err and rawget(err, "status") then return end -- it does not do that, after all
    client.tools_changed = true
    short = time.monotonic() - since > http.LONG and 1 or short + 1
    time.sleep(http.pause(short))
  end
end

local function connect(client)
  if client.spec.configured then client.spec = config.check(config.find(client.name), "mcp.connect") end
  if client.failures > 0 then time.sleep(math.min(M.MOST_OFF, M.BACK_OFF * 2 ^ (client.failures - 1))) end
  transport(client)
  local ok, err = pcall(handshake, client)
  if not ok and not client.wire and client.assumed ~= "legacy" and errors.is(err) and err.kind == "incomplete" then
    client.assumed = "legacy" -- some old servers end when they are asked what they do not know
    transport(client)
    ok, err = pcall(handshake, client)
    if not ok then client.assumed = nil end
  end
  if not ok then
    local wire = client.wire
    if wire then
      client.wire = nil
      client.failures = client.failures + 1
      wire:close()
    end
    error(err, 0)
  end
  client.up = true
  if client.era == "modern" and object(client.capabilities.tools).listChanged then
    client.watcher = tasks.spawn(watch, { system = true, name = "mcp changes " .. client.name }, client)
  end
end

--- Wait until the server can be asked; starts it when it is not there.
---@return boolean|nil ok
---@return stoke.error|nil err
local function ready(client)
  while not client.up do
    if client.closed then return nil, errors.new("argument", ("the MCP client %s was closed"):format(client.name)) end
    local attempt = client.attempt
    if not attempt then
      attempt = { waiting = {} }
      client.attempt = attempt
      tasks.spawn(function()
        local ok, err = pcall(connect, client)
        attempt.over, attempt.err, client.attempt = true, not ok and errors.wrap(err) or nil, nil
        scopes.wake_all(attempt.waiting)
      end, { system = true, name = "mcp start " .. client.name })
    end
    while not attempt.over do
      local woken, err = scopes.queue_up(attempt.waiting, tasks.current(), "mcp.start")
      if woken == nil then return nil, err end
    end
    if attempt.err then return nil, copy(attempt.err) end
  end
  return true
end

-- ---- what others call ---------------------------------------------------------------------------------------------------------

local Job = {}
Job.__index = Job

function Job:ask(q, span)
  local client = self.client
  local result
  for _ = 1, 2 do
    local ok, err = ready(client)
    if not ok then return nil, err end
    local wire = client.wire
    result, err = exchange(client, q.method, q.params, q.timeout, self.on_progress, nil, span)
    if not err or not rawget(err, "expired") then return result, err end
    if client.wire == wire then client.wire, client.up = nil, false end -- a session that has ended has done nothing
  end
  return nil, errors.new("incomplete", client.name .. " ends each session at once", { retryable = false })
end

--- Ask the server something.
---@param method string
---@param params? table
---@param options? { class?: "pure"|"idempotent"|"unsafe", timeout?: number|false, on_progress?: fun(note: table) }
---@return table|nil result
---@return stoke.error|nil err
---Raises `cancelled`.
---
--- Example: `local result, err = client:request("tools/list", {}, { class = "pure" })`
function Client:request(method, params, options)
  options = options or {}
  local timeout = options.timeout
  if timeout == nil then timeout = self.spec.timeout or M.TIMEOUT end
  return driver.perform({ server = self.name, method = method, params = params, class = options.class or "pure",
    timeout = timeout or nil }, setmetatable({ client = self, on_progress = options.on_progress }, Job))
end

--- The same from inside of an effect, whose driver asks.
---@private
---@param method string
---@param params? table
---@return table|nil result
---@return stoke.error|nil err
---
--- Example: `local result, err = client:direct "tools/list"`
function Client:direct(method, params)
  local timeout = self.spec.timeout
  if timeout == nil then timeout = M.TIMEOUT end
  return setmetatable({ client = self }, Job):ask { method = method, params = params, timeout = timeout or nil }
end

--- End the connection, and the server's process. A no-op the second time.
---
--- Example: `files:close()`
function Client:close()
  if self.closed then return end
  self.closed = true
  local wire = self.wire
  self.wire, self.up = nil, false
  unwatch(self)
  fail_all(self, true)
  if wire then wire:close() end
end

function Client:__close() self:close() end

function Client:__tostring() return ("MCP server %s"):format(self.name) end

return M
