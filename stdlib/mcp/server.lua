--- An MCP server of tools and agents: what a message is answered with. The transports (server/stdio.lua, server/http.lua) bring the
--- messages. Both eras: a request that names its version is answered by itself, without state; others as after a handshake.

local about = require "core.about"
local agent = require "stoke.agent"
local client = require "stoke.mcp.client"
local errors = require "core.errors"
local json = require "core.json"
local modules = require "core.modules"
local rpc = require "stoke.mcp.rpc"
local tool = require "stoke.tool"

local M = {}

local META <const> = "io.modelcontextprotocol/"
local SUPPORTED = json.array { client.MODERN, table.unpack(client.LEGACY) }
local KNOWN = {}
for _, version in ipairs(client.LEGACY) do KNOWN[version] = true end

-- ---- what is offered -----------------------------------------------------------------------------------------------------

local function is_agent(value) return getmetatable(value) == agent.Agent end
local function is_offer(value) return tool.is(value) or is_agent(value) end

--- A tool or an agent, as what clients call.
local function entry(value, name)
  local made = tool.is(value) and value or value:as_tool { name = name and name:gsub("[^%w_-]", "_") or nil }
  return { name = name or made.name, tool = made, agent = not tool.is(value) and value or nil }
end

local function add(entries, value, name, where)
  local one = entry(value, name)
  if entries[one.name] then errors.argument("%s: two tools are named %s", where, one.name) end
  entries[one.name], entries[#entries + 1] = one, one
end

--- Tools and agents: one, a list, or a map of names to them.
---@param given any
---@param where string for errors
---@return table entries
---Raises `argument`.
function M.entries(given, where)
  if is_offer(given) then given = { given } end
  if type(given) ~= "table" then
    errors.argument("%s: tools and agents expected, got %s", where, errors.describe(given))
  end
  local entries, names = {}, {}
  for i, value in ipairs(given) do
    if not is_offer(value) then errors.argument("%s[%d] must be a tool or an agent, got %s", where, i, errors.describe(value)) end
    add(entries, value, nil, where)
  end
  for name, value in next, given do
    if math.type(name) ~= "integer" then
      if type(name) ~= "string" or not is_offer(value) then
        errors.argument("%s.%s must be a tool or an agent, got %s", where, tostring(name), errors.describe(value))
      end
      names[#names + 1] = name
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do add(entries, given[name], name, where) end
  return entries
end

--- What a file offers: what it returns, else all tools and agents with a name that it made.
---@param path string
---@param value any what it returned
---@return table entries
---Raises `usage` when there is none.
function M.of_file(path, value)
  local offers = is_offer(value)
  for _, item in next, type(value) == "table" and not offers and value or {} do
    offers = is_offer(item)
    if not offers then break end
  end
  local entries
  if offers then
    entries = M.entries(value, path)
  else
    local list = {}
    for _, kind in ipairs { "tool", "agent" } do
      for _, made in next, modules.newest(path, kind) do list[#list + 1] = made end
    end
    table.sort(list, function(a, b) return (a.name or a.definition.name) < (b.name or b.definition.name) end)
    entries = M.entries(list, path)
  end
  if not entries[1] then
    errors.raise("usage", path .. " has no tool and no agent with a name", { hint = "return { a_tool, an_agent } at its end" })
  end
  return entries
end

-- ---- methods ----------------------------------------------------------------------------------------------------------------

--- An answer that is an error.
local function refuse(code, message, data) return nil, { code = code, message = message, data = data } end

local METHODS = {}

METHODS["server/discover"] = function(server)
  return { supportedVersions = SUPPORTED, capabilities = { tools = json.object {} }, instructions = server.instructions,
    ttlMs = 0, cacheScope = "private" }
end

METHODS.initialize = function(server, params)
  local wanted = params.protocolVersion
  if type(wanted) ~= "string" then return refuse(-32602, "protocolVersion is missing") end
  return { protocolVersion = KNOWN[wanted] and wanted or client.LEGACY[1], capabilities = { tools = json.object {} },
    serverInfo = server.info, instructions = server.instructions }
end

METHODS.ping = function() return {} end

METHODS["tools/list"] = function(server, params)
  if params.cursor ~= nil then return refuse(-32602, "no such cursor: all tools are on one page") end
  local list = {}
  for i, one in ipairs(server.entries) do
    local definition = one.tool:definition()["function"]
    list[i] = { name = one.name, description = definition.description ~= "" and definition.description or one.name,
      inputSchema = definition.parameters, annotations = one.tool.idempotent and { idempotentHint = true } or nil }
  end
  return { tools = json.array(list), ttlMs = 0, cacheScope = "private" }
end

--- A value as structured content: what JSON has as an object.
local function structured(value)
  if type(value) ~= "table" or json.is_array(value) or value[1] ~= nil or next(value) == nil then return nil end
  return json.encode(value) and value or nil
end

local function failed(words) return { content = { { type = "text", text = words } }, isError = true } end

local NOBODY <const> = "nobody is here to be asked; a tool that is served needs none, or a rule of stoke.policy that allows it"
local function reject(pending) pending:reject(NOBODY) end

--- Run an agent; each of its calls is told as progress.
local function run_agent(one, args, progress)
  local count, done = 0, nil
  local stream <close> = one.agent:stream(args.input)
  for event in stream do
    if event.type == "tool_call" then
      count = count + 1
      progress(count, "calls " .. event.name)
    elseif event.type == "approval" then
      reject(event.pending)
    elseif event.type == "done" then
      done = event.result
    end
  end
  if done.output ~= nil then return done.output end
  return done.text
end

local function work(one, args, progress)
  if not one.agent then return one.tool:perform(args, { agent = "mcp", on_pending = reject }) end
  local checked, err = one.tool:check(args)
  if err then return nil, err end
  local ok, value = pcall(run_agent, one, checked, progress)
  if ok then return value end
  if errors.is(value) and value.kind == "cancelled" then error(value, 0) end
  return nil, errors.wrap(value)
end

METHODS["tools/call"] = function(server, params, emit)
  local one = type(params.name) == "string" and server.entries[params.name]
  if not one then
    local names = {}
    for i, known in ipairs(server.entries) do names[i] = known.name end
    local near = type(params.name) == "string" and errors.suggest(params.name, names)
    return refuse(-32602, ("Unknown tool: %s%s"):format(tostring(params.name), near and (" (did you mean %s?)"):format(near) or ""))
  end
  local args = params.arguments
  if args == nil or args == json.null then args = json.object {} end
  if type(args) ~= "table" or json.is_array(args) then return refuse(-32602, "arguments must be an object") end
  local token = type(params._meta) == "table" and params._meta.progressToken or nil
  local function progress(count, message)
    if token == nil or token == json.null then return end
    emit { jsonrpc = "2.0", method = "notifications/progress", params = { progressToken = token, progress = count,
      message = message } }
  end
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

--- Long: it ends with its request. Nothing is announced there, as nothing changes while a server runs.
METHODS["subscriptions/listen"] = function(_, _, emit, id, wait)
  emit { jsonrpc = "2.0", method = "notifications/subscriptions/acknowledged", params = { notifications = json.object {},
    _meta = { [META .. "subscriptionId"] = id } } }
  wait()
  return {}
end

-- Which of them belong to one era alone.
local LEGACY_ONLY = { initialize = true, ping = true }
local MODERN_ONLY = { ["server/discover"] = true, ["subscriptions/listen"] = true }

-- ---- one message ------------------------------------------------------------------------------------------------------------

---@class stoke.mcp.server
---@field entries table what it offers
---@field info { name: string, version: string }
---@field instructions? string
---@field report fun(name: string, err: stoke.error) told of mistakes in tools
local Server = {}
Server.__index = Server

--- A server of what a file offers.
---@param entries table
---@param fields { name: string, instructions?: string, report?: fun(name: string, err: stoke.error) }
---@return stoke.mcp.server
function M.new(entries, fields)
  return setmetatable({ entries = entries, info = { name = fields.name, version = about.version }, instructions =
    fields.instructions, report = fields.report or function() end }, Server)
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
  if MODERN_ONLY[message.method] then return refuse(-32602, META .. "protocolVersion is missing in _meta") end
  if not METHODS[message.method] then return refuse(-32601, "Method not found: " .. message.method) end
  return "legacy"
end

--- Answer a request.
---@param message table without M.problem, with an id
---@param emit fun(message: table) sends what comes before the answer
---@param wait fun() until the request is cancelled
---@return table answer
---Raises `cancelled`.
function Server:answer(message, emit, wait)
  local era, err = check(message)
  local result
  if era then result, err = METHODS[message.method](self, message.params or {}, emit, message.id, wait) end
  if not result then return rpc.refusal(message.id, err.code, err.message, err.data) end
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
