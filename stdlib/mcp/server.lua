--- An MCP server of tools, agents, resources and prompts: what a message is answered with. The transports (server/stdio.lua,
--- server/http.lua) bring the messages. Both eras: a request that names its version is answered by itself, without state; others as
--- after a handshake.

local about = require "core.about"
local client = require "stoke.mcp.client"
local errors = require "core.errors"
local json = require "core.json"
local offers = require "stoke.mcp.offers"
local rpc = require "stoke.mcp.rpc"
local made_of = require "stoke.mcp.server.entries"
local scopes = require "core.scope"
local spans = require "core.gate.span"
local tasks = require "core.task"
local traceparent = require "core.gate.traceparent"

local M = {}

local META <const> = "io.modelcontextprotocol/"
local SUPPORTED = json.array { client.MODERN, table.unpack(client.LEGACY) }
local KNOWN = {}
for _, version in ipairs(client.LEGACY) do KNOWN[version] = true end

-- ---- methods ----------------------------------------------------------------------------------------------------------------

--- An answer that is an error.
local function refuse(code, message, data) return nil, { code = code, message = message, data = data } end

local METHODS = {}

--- What is told to be there: of resources and prompts only where a file has some, or may have some after a reload.
local function capabilities(server)
  local has, changes = server.entries, { listChanged = server.source and true or false }
  return { tools = changes, resources = (server.source or has.resources[1]) and changes or nil,
    prompts = (server.source or has.prompts[1]) and changes or nil }
end

METHODS["server/discover"] = function(server)
  return { supportedVersions = SUPPORTED, capabilities = capabilities(server), instructions = server.instructions,
    ttlMs = 0, cacheScope = "private" }
end

METHODS.initialize = function(server, params)
  local wanted = params.protocolVersion
  if type(wanted) ~= "string" then return refuse(-32602, "protocolVersion is missing") end
  return { protocolVersion = KNOWN[wanted] and wanted or client.LEGACY[1], capabilities = capabilities(server),
    serverInfo = server.info, instructions = server.instructions }
end

METHODS.ping = function() return {} end

--- A list, all on one page.
local function page(params, field, list)
  if params.cursor ~= nil then return refuse(-32602, ("no such cursor: all %s are on one page"):format(field)) end
  return { [field] = json.array(list), ttlMs = 0, cacheScope = "private" }
end

METHODS["tools/list"] = function(server, params)
  local list = {}
  for i, one in ipairs(server.entries.tools) do
    local definition = one.tool:definition()["function"]
    list[i] = { name = one.name, description = definition.description ~= "" and definition.description or one.name,
      inputSchema = definition.parameters, annotations = one.tool.idempotent and { idempotentHint = true } or nil }
  end
  return page(params, "tools", list)
end

--- A value as structured content: what JSON has as an object.
local function structured(value)
  if type(value) ~= "table" or json.is_array(value) or value[1] ~= nil or next(value) == nil then return nil end
  return json.encode(value) and value or nil
end

local function failed(words) return { content = { { type = "text", text = words } }, isError = true } end

local NOBODY <const> = "nobody is here to be asked; a tool that is served needs none, or a rule of stoke.policy that allows it"
local function reject(pending) pending:reject(NOBODY) end

--- Run an agent; each of its calls is told as progress, and what its tools say of theirs.
local function run_agent(one, args, progress)
  local done
  local stream <close> = one.agent:stream(args.input)
  for event in stream do
    if event.type == "tool_call" then
      progress { message = "calls " .. event.name }
    elseif event.type == "tool_progress" then
      progress { message = event.text and ("%s: %s"):format(event.name, event.text) or event.name }
    elseif event.type == "approval" then
      reject(event.pending)
    elseif event.type == "done" then
      done = event.result
    end
  end
  if done.output ~= nil then return done.output end
  return done.text
end

local function nothing() end

local function work(one, args, progress)
  if not one.agent then return one.tool:perform(args, { agent = "mcp", on_pending = reject, on_progress = progress }) end
  local checked, err = one.tool:check(args)
  if err then return nil, err end
  local ok, value = pcall(run_agent, one, checked, progress or nothing)
  if ok then return value end
  if errors.is(value) and value.kind == "cancelled" then error(value, 0) end
  return nil, errors.wrap(value)
end

--- Tells progress to who asked for it. The number of a note is more than that of the one before, whatever a tool says.
local function teller(params, emit)
  local token = type(params._meta) == "table" and params._meta.progressToken or nil
  if token == nil or token == json.null then return nil end
  local last = 0
  return function(note)
    last = note.done and note.done > last and note.done or last + (note.done and 1e-6 or 1)
    emit { jsonrpc = "2.0", method = "notifications/progress", params = { progressToken = token, progress = last,
      total = note.total, message = note.message } }
  end
end

--- The nearest one of what there is, as words.
local function near(name, list)
  local names = {}
  for i, known in ipairs(list) do names[i] = known.name end
  local found = type(name) == "string" and errors.suggest(name, names)
  return ("%s%s"):format(tostring(name), found and (" (did you mean %s?)"):format(found) or "")
end

METHODS["tools/call"] = function(server, params, emit)
  local one = type(params.name) == "string" and server.entries.tools[params.name]
  if not one then return refuse(-32602, "Unknown tool: " .. near(params.name, server.entries.tools)) end
  local args = params.arguments
  if args == nil or args == json.null then args = json.object {} end
  if type(args) ~= "table" or json.is_array(args) then return refuse(-32602, "arguments must be an object") end
  local progress = teller(params, emit)
  local value, err = work(one, args, progress)
  if err then
    if errors.bug(err) then
      server.report(one.name, err)
      return failed(one.name .. " failed by a mistake of its own")
    end
    return failed(err.message)
  end
  return { content = { { type = "text", text = one.tool:text(value) } }, structuredContent = structured(value) }
end

-- ---- resources and prompts ----------------------------------------------------------------------------------------------

METHODS["resources/list"] = function(server, params)
  local list = {}
  for _, one in ipairs(server.entries.resources) do
    if not one.pattern then list[#list + 1] = offers.listed(one) end
  end
  return page(params, "resources", list)
end

METHODS["resources/templates/list"] = function(server, params)
  local list = {}
  for _, one in ipairs(server.entries.resources) do
    if one.pattern then list[#list + 1] = offers.listed(one) end
  end
  return page(params, "resourceTemplates", list)
end

--- Call a function of a script: its mistake is told here, and to the client that there was one.
local function guarded(server, name, f, ...)
  local ok, value = pcall(f, ...)
  if ok then return value end
  if errors.is(value) and value.kind == "cancelled" then error(value, 0) end
  local err = errors.wrap(value)
  if not errors.bug(err) then return nil, err.message end
  server.report(name, err)
  return nil, name .. " failed by a mistake of its own"
end

METHODS["resources/read"] = function(server, params, _, _, _, modern)
  local uri = params.uri
  if type(uri) ~= "string" then return refuse(-32602, "uri is missing") end
  local one, parts = offers.find(server.entries.resources, uri)
  local value, problem
  if one then value, problem = guarded(server, one.name, one.read, parts, uri) end
  if problem then return refuse(-32603, problem) end
  if value == nil then return refuse(modern and -32602 or -32002, "Resource not found: " .. uri, { uri = uri }) end
  local contents, bad = offers.contents(one, uri, value)
  if not contents then
    server.report(one.name, errors.new("argument", bad))
    return refuse(-32603, bad)
  end
  return { contents = json.array { contents }, ttlMs = 0, cacheScope = "private" }
end

METHODS["prompts/list"] = function(server, params)
  local list = {}
  for i, one in ipairs(server.entries.prompts) do list[i] = offers.shown(one) end
  return page(params, "prompts", list)
end

METHODS["prompts/get"] = function(server, params)
  local one = type(params.name) == "string" and server.entries.prompts[params.name]
  if not one then return refuse(-32602, "Unknown prompt: " .. near(params.name, server.entries.prompts)) end
  local given = type(params.arguments) == "table" and params.arguments or json.object {}
  local args, wrong = one.arguments:try(given)
  if wrong then return refuse(-32602, ("the arguments of %s do not fit: %s"):format(one.name, wrong.message)) end
  local value, problem = guarded(server, one.name, one.run, args)
  if problem then return refuse(-32603, problem) end
  local messages, bad = offers.messages(one, value)
  if not messages then
    server.report(one.name, errors.new("argument", bad))
    return refuse(-32603, bad)
  end
  return { description = one.description, messages = messages }
end

-- ---- changes ------------------------------------------------------------------------------------------------------------

local CHANGES <const> = { tools = "toolsListChanged", prompts = "promptsListChanged", resources = "resourcesListChanged" }

--- Tell what has changed, until the request is cancelled: changes that come while one is told are one.
local function listen(server, wanted, wait, tell)
  local listener = { task = tasks.current(), changed = {} }
  server.listeners[listener] = true
  local _ <close> = setmetatable({}, { __close = function() server.listeners[listener] = nil end })
  while true do
    for _, kind in ipairs { "tools", "resources", "prompts" } do
      if listener.changed[kind] then
        listener.changed[kind] = nil
        if wanted[kind] then tell(kind) end
      end
    end
    if not next(listener.changed) then wait() end
  end
end

--- What a client of a version with a handshake hears of changes, on a stream of its own or between answers.
---@param emit fun(message: table)
---@param wait fun() until somebody wakes the task
---Raises `cancelled`: it ends with the client.
function M.announce(server, emit, wait)
  listen(server, { tools = true, resources = true, prompts = true }, wait, function(kind)
    emit { jsonrpc = "2.0", method = ("notifications/%s/list_changed"):format(kind) }
  end)
end

--- Long: it ends with its request.
METHODS["subscriptions/listen"] = function(server, params, emit, id, wait)
  local asked = type(params.notifications) == "table" and params.notifications or {}
  local wanted, honoured = {}, json.object {}
  for kind, name in next, CHANGES do
    if server.source and asked[name] == true then wanted[kind], honoured[name] = true, true end
  end
  local meta = { [META .. "subscriptionId"] = id }
  emit { jsonrpc = "2.0", method = "notifications/subscriptions/acknowledged", params = { notifications = honoured, _meta = meta } }
  listen(server, wanted, wait, function(kind)
    emit { jsonrpc = "2.0", method = ("notifications/%s/list_changed"):format(kind), params = { _meta = meta } }
  end)
  return {}
end

--- Which of them belong to one era alone.
local LEGACY_ONLY = { initialize = true, ping = true }
M.MODERN_ONLY = { ["server/discover"] = true, ["subscriptions/listen"] = true }

-- ---- one message ------------------------------------------------------------------------------------------------------------

---@class stoke.mcp.server
---@field entries stoke.mcp.entries what it offers
---@field source? fun(): stoke.mcp.entries of a file that may change
---@field info { name: string, version: string }
---@field instructions? string
---@field report fun(name: string, err: stoke.error) told of mistakes in tools
local Server = {}
Server.__index = Server

--- A server of what a file, or a script, offers.
---@param given stoke.mcp.entries|fun(): stoke.mcp.entries a function is asked again when the file has changed
---@param fields { name: string, instructions?: string, report?: fun(name: string, err: stoke.error) }
---@return stoke.mcp.server
function M.new(given, fields)
  local source = errors.callable(given) and given or nil
  local offered = source and source() or given
  return setmetatable({ entries = offered, source = source, digests = source and made_of.digests(offered) or nil, listeners = {},
    info = { name = fields.name, version = about.version }, instructions = fields.instructions,
    report = fields.report or function() end }, Server)
end

--- The file has changed: ask it again, and tell who listens which lists are other ones now.
---@return boolean changed
---Raises what the source raises; then what was offered stays.
function Server:refresh()
  local before = self.digests -- of then: a reload has changed the tools themselves
  local fresh = self.source()
  local after, changed = made_of.digests(fresh), false
  self.entries, self.digests = fresh, after
  for kind, digest in next, after do
    if digest ~= before[kind] then
      changed = true
      for listener in next, self.listeners do
        listener.changed[kind] = true
        tasks.wake(listener.task)
      end
    end
  end
  return changed
end

--- Is this a message at all? The id of an answer that says what is wrong.
---@param message any
---@return string|nil problem
---@return any id
function M.problem(message)
  if type(message) ~= "table" or json.is_array(message) then return "a message is one object; batches are not taken", json.null end
  local id = message.id
  local readable = (type(id) == "string" or math.type(id) == "integer") and id or json.null
  if message.jsonrpc ~= "2.0" then return 'jsonrpc must be "2.0"', readable end
  if type(message.method) ~= "string" then return "method is missing", readable end
  if id ~= nil and readable == json.null then return "id must be a text or an integer", readable end
  if message.params ~= nil and (type(message.params) ~= "table" or json.is_array(message.params)) then
    return "params must be an object", readable
  end
end

--- The version that a request names.
---@param message table
---@return string|nil version
---@return table meta
function M.version(message)
  local meta = message.params and message.params._meta
  if type(meta) ~= "table" then return nil, {} end
  local version = meta[META .. "protocolVersion"]
  return type(version) == "string" and version or nil, meta
end

local function check(message)
  local version, meta = M.version(message)
  if version and message.method ~= "initialize" then
    if version ~= client.MODERN then
      return refuse(-32022, "Unsupported protocol version", { supported = SUPPORTED, requested = version })
    end
    if type(meta[META .. "clientCapabilities"]) ~= "table" then
      return refuse(-32602, META .. "clientCapabilities is missing in _meta")
    end
    if not METHODS[message.method] or LEGACY_ONLY[message.method] then
      return refuse(-32601, "Method not found: " .. message.method)
    end
    return "modern"
  end
  if M.MODERN_ONLY[message.method] then return refuse(-32602, META .. "protocolVersion is missing in _meta") end
  if not METHODS[message.method] then return refuse(-32601, "Method not found: " .. message.method) end
  return "legacy"
end

--- The span of a request, where somebody traces. It belongs to the trace of who asks.
local function span_of(message)
  local params = message.params or {}
  local meta = type(params._meta) == "table" and params._meta or {}
  local name = type(params.name) == "string" and params.name or nil
  local seen = spans.enter("mcp.serve", name and ("%s %s"):format(message.method, name) or message.method,
    traceparent.read(meta.traceparent, meta.tracestate))
  if seen then seen.facts = { method = message.method, target = name, request = tostring(message.id) } end
  return seen
end

--- Answer a request.
---@param message table without M.problem, with an id
---@param emit fun(message: table) sends what comes before the answer
---@param wait fun() until the request is cancelled
---@return table answer
---Raises `cancelled`.
function Server:answer(message, emit, wait)
  local seen <close> = spans.on and span_of(message) or nil
  local _ <close> = seen and scopes.open { span = seen } or nil
  local era, err = check(message)
  local result
  if era then result, err = METHODS[message.method](self, message.params or {}, emit, message.id, wait, era == "modern") end
  if not result then
    if seen then seen.failed = errors.new("protocol", err.message, { code = err.code }) end
    return rpc.refusal(message.id, err.code, err.message, err.data)
  end
  if seen and result.isError then seen.failed = errors.new("tool", result.content[1].text) end
  if era == "modern" then
    result.resultType = result.resultType or "complete"
    result._meta = { [META .. "serverInfo"] = self.info }
    if message.method == "subscriptions/listen" then result._meta[META .. "subscriptionId"] = message.id end
  else
    result.ttlMs, result.cacheScope = nil, nil
  end
  return { jsonrpc = "2.0", id = message.id, result = json.object(result) }
end

return M
