--- What an MCP server offers, as ours: its tools as tools of agents, its resources and prompts as functions.
---
--- A server may change its tools. A tool is pinned as it was first seen (stdlib/mcp/pins.lua): the model keeps reading what was
--- pinned, and a call of a tool that has changed since, or is gone, asks a person first. Who approves the call accepts the change.

local base64 = require "stoke.mcp.base64"
local client = require "stoke.mcp.client"
local driver = require "core.driver.mcp"
local errors = require "core.errors"
local headers = require "stoke.mcp.headers"
local json = require "core.json"
local log = require "stoke.log"
local pins = require "stoke.mcp.pins"
local progress = require "stoke.tool.progress"
local schema = require "stoke.schema"
local tool = require "stoke.tool"

local M = {}

local Client = client.Client

--- Pages and items of a list, rounds of questions of one call, at most.
M.PAGES, M.ITEMS, M.ROUNDS = 200, 4096, 8

local function bad(self, what) return errors.new("protocol", ("%s: %s"):format(self.name, what)) end

-- ---- lists ------------------------------------------------------------------------------------------------------------------

--- All pages of a list. `ask` is how: as an effect of its own, or from inside of one.
local function list(self, method, field, ask)
  local items, cursor = {}, nil
  for _ = 1, M.PAGES do
    local result = errors.check((ask or self.request)(self, method, { cursor = cursor }))
    if type(result[field]) ~= "table" then error(bad(self, ("%s gave no list of %s"):format(method, field)), 0) end
    for _, item in ipairs(result[field]) do
      if type(item) ~= "table" then error(bad(self, method .. " gave an item that is no object"), 0) end
      items[#items + 1] = item
    end
    if #items > M.ITEMS then errors.raise("limit", ("%s: %s gives more than %d items"):format(self.name, method, M.ITEMS)) end
    local following = result.nextCursor
    if type(following) ~= "string" or following == "" then return items end
    if following == cursor then error(bad(self, method .. " gives the same page again and again"), 0) end
    cursor = following
  end
  errors.raise("limit", ("%s: %s has more than %d pages"):format(self.name, method, M.PAGES))
end

--- A list that the server may not have: one without the capability is empty.
local function optional(self, capability, method, field)
  local ok, items = pcall(list, self, method, field)
  if ok then return items end
  if errors.is(items) and items.kind == "protocol" and not self.capabilities[capability] then return {} end
  error(items, 0)
end

-- ---- results ----------------------------------------------------------------------------------------------------------------

local SAID = {
  text = function(part) return type(part.text) == "string" and part.text or "" end,
  resource = function(part)
    local resource = type(part.resource) == "table" and part.resource or {}
    if type(resource.text) == "string" then return resource.text end
    return ("[resource %s]"):format(tostring(resource.uri))
  end,
  resource_link = function(part) return ("[resource %s]"):format(tostring(part.uri)) end,
}

--- The parts of a content as a text: what is no text is named.
---@param content table[]
---@return string
function M.text(content)
  local out = {}
  for _, part in ipairs(content) do
    if type(part) == "table" then
      local say, kind, mime = SAID[part.type], tostring(part.type or "part"), tostring(part.mimeType or "?")
      out[#out + 1] = say and say(part) or ("[%s %s, %d bytes]"):format(kind, mime,
        type(part.data) == "string" and #part.data * 3 // 4 or 0)
    end
  end
  return table.concat(out, "\n")
end

--- Answer what a server asks in the middle of a call (stateless versions), and ask again.
local function answers(self, result, params)
  local responses
  for key, asked in next, type(result.inputRequests) == "table" and result.inputRequests or {} do
    local method = type(asked) == "table" and asked.method or nil
    if method ~= "elicitation/create" or not self.spec.on_elicit then
      errors.raise("denied", ("%s wants %s in the middle of a call"):format(self.name, errors.describe(method)),
        { hint = "on_elicit = function(message, schema) answers questions; a server may not use the model" })
    end
    responses = responses or {}
    responses[key] = self:elicited(type(asked.params) == "table" and asked.params or {})
  end
  local again = {}
  for name, value in next, params do again[name] = value end
  again.inputResponses, again.requestState = responses, result.requestState
  return again
end

--- Ask, however often the server asks back.
local function ask(self, method, params, options)
  local asked = params
  for _ = 1, M.ROUNDS do
    local result, err = self:request(method, asked, options)
    if err then return nil, err end
    local kind = result.resultType
    if kind == nil or kind == "complete" then return result end
    if kind ~= "input_required" then
      return nil, bad(self, ("%s: a result of the unknown type %s"):format(method, errors.describe(kind)))
    end
    asked = answers(self, result, params)
  end
  return nil, errors.new("limit", ("%s: %s asked back %d times"):format(self.name, method, M.ROUNDS))
end

---@class stoke.mcp.result
---@field text string the parts of its content that are text; others are named
---@field content table[] as the server gave it
---@field structured? any
---@field failed boolean the tool says that it failed

--- Call a tool by its name.
---@param name string as the server has it
---@param arguments? table
---@param options? { timeout?: number|false, on_progress?: fun(note: { progress: number, total?: number, message?: string }) }
---@return stoke.mcp.result
---Raises `tool` for an error of the server, `protocol`, `timeout`, `incomplete`, `denied`, `cancelled`, `auth`, `os`.
---
--- Example: `print(files:call("read_file", { path = "notes.txt" }).text)`
function Client:call(name, arguments, options)
  if type(name) ~= "string" then errors.argument("client:call: the name of a tool expected, got %s", errors.describe(name)) end
  options = errors.options(options, { timeout = true, on_progress = "function" }, "client:call") or {}
  local result, err = M.call(self, name, arguments or {}, options)
  if err then error(err, 0) end
  return result
end

--- The same, for tools.
---@private
function M.call(self, name, arguments, options)
  local seen = self.offered and self.offered[name]
  local promised = self.spec.trust and seen and seen.annotations or {}
  local class = promised.readOnlyHint == true and "pure" or promised.idempotentHint == true and "idempotent" or "unsafe"
  local result, err = ask(self, "tools/call", { name = name, arguments = json.object(arguments) }, { class = class,
    timeout = options.timeout, on_progress = options.on_progress or self.spec.on_progress })
  if err then return nil, err end
  local content = result.content == nil and {} or result.content
  if type(content) ~= "table" then return nil, bad(self, ("%s: its content is no list"):format(name)) end
  local structured = result.structuredContent
  if structured == json.null then structured = nil end
  return { text = M.text(content), content = content, structured = structured, failed = result.isError == true }
end

-- ---- tools --------------------------------------------------------------------------------------------------------------------

--- Ask for the tools, and compare them with those that were pinned.
local function refresh(self)
  self.tools_changed = nil -- a change that comes meanwhile is seen the next time
  local ok, items = pcall(list, self, "tools/list", "tools", self.direct)
  if not ok then
    self.tools_changed = true
    error(items, 0)
  end
  self.pins = self.pins or pins.read(self)
  local order, names = {}, {}
  for _, item in ipairs(items) do
    if type(item.name) ~= "string" or item.name == "" then error(bad(self, "a tool has no name"), 0) end
    if names[item.name] then error(bad(self, ("two tools are named %s"):format(item.name)), 0) end
    names[item.name] = true
    local mirrored, why = headers.mirrored(item.inputSchema)
    if not mirrored and self.spec.url then
      log.warn(("the tool %s of the MCP server %s is left out: %s"):format(item.name, self.name, why))
      goto continue
    end
    local seen = { name = item.name, title = item.title, description = item.description, inputSchema = item.inputSchema,
      annotations = type(item.annotations) == "table" and item.annotations or {}, pin = pins.of(item), mirrored = mirrored }
    if not seen.pin then error(bad(self, ("the tool %s is described without end"):format(item.name)), 0) end
    order[#order + 1] = seen
    ::continue::
  end
  pins.first(self, order)
  for _, seen in ipairs(order) do seen.pinned = self.pins[seen.name] end
  return order
end

local Look = {}
Look.__index = Look

function Look:look()
  local one = self.client
  if one.order and not one.tools_changed then return one.order end
  local ok, order = pcall(refresh, one)
  if ok then return order end
  return nil, errors.wrap(order)
end

--- The tools as they are now. In a durable run they are what they were there.
local function current(self)
  self.looks = self.looks or setmetatable({ client = self }, Look)
  local order = errors.check(driver.look(self.name, self.looks))
  if order == self.order then return order end
  local offered, known = {}, self.pins or {}
  for _, seen in ipairs(order) do
    offered[seen.name] = seen
    known[seen.name] = known[seen.name] or seen.pinned
  end
  self.offered, self.order, self.pins = offered, order, known
  return order
end

--- Is a tool no longer what it was when it was given to somebody? What it is now is what a person is asked about.
local function changed(self, name)
  current(self)
  if not pins.changed(self, name) then return false end
  self.asking = self.asking or {}
  self.asking[name] = self.offered[name] and self.offered[name].pin
  return true
end

--- A name that models can say.
local function sayable(name)
  name = name:gsub("[^%w_.-]", "_")
  if not name:find "^[%a_]" then name = "_" .. name end
  return name:sub(1, 64)
end

local function needs(self, seen)
  local given = self.spec.needs_approval
  local own = seen.annotations.destructiveHint
  if type(given) == "table" then given = given[seen.name] end
  return function(args)
    if changed(self, seen.name) then
      log.warn(("the tool %s of the MCP server %s has changed since it was first seen"):format(seen.name, self.name))
      return true
    end
    if errors.callable(given) then return given(args, seen.name) end
    if given == nil then return self.spec.trust == true and own == true end
    return given == true
  end
end

--- The schema of a tool's arguments; one that cannot be checked here is the server's to check.
local function parameters(self, seen)
  local pinned = self.pins[seen.name].item.inputSchema
  local given = type(pinned) == "table" and pinned or { type = "object" }
  local ok, made = pcall(schema.json, given)
  if ok and made:json_schema().type == "object" then return made end
  log.warn(("the schema of the tool %s of the MCP server %s cannot be used: %s"):format(seen.name, self.name,
    ok and "it is not of an object" or errors.wrap(made).message))
  return schema.json { type = "object" }
end

local function text(value) return type(value) == "string" and value or nil end
local function number(value) return type(value) == "number" and value or nil end

local function perform(self, seen, args)
  local now = self.offered and self.offered[seen.name]
  if now and pins.changed(self, seen.name) then
    if not self.asking or self.asking[seen.name] ~= now.pin then
      return nil, errors.new("denied", ("%s: the tool %s changed while its call waited"):format(self.name, seen.name))
    end
    pins.accept(self, now)
  end
  local on_progress
  if progress.listener() then
    on_progress = function(note) progress.say(text(note.message), number(note.progress), number(note.total)) end
  end
  local result, err = M.call(self, seen.name, args, { on_progress = on_progress })
  if err then return nil, err end
  if result.failed then
    local words = result.text ~= "" and result.text or seen.name .. " failed without a word"
    return nil, errors.new("tool", words, { retryable = false })
  end
  if result.text ~= "" or result.structured == nil then return result.text end
  return result.structured
end

local function as_tool(self, seen, name)
  local timeout = self.spec.timeout
  return tool {
    name = name, description = self.pins[seen.name].item.description, params = parameters(self, seen),
    needs_approval = needs(self, seen), timeout = timeout == nil and client.TIMEOUT or timeout,
    idempotent = self.spec.trust and (seen.annotations.readOnlyHint == true or seen.annotations.idempotentHint == true) or nil,
    run = function(args) return perform(self, seen, args) end,
  }
end

--- Its tools, for agents: `tools = files:tools()`.
---@param options? { only?: string[], prefix?: string } only: of these names; prefix: before each name ("files_")
---@return stoke.tool[] in the server's order
---Raises as client:call, and `argument` for a name that the server does not have.
---
--- Example: `local bot = stoke.agent { model = m, tools = files:tools { only = { "read_file" } } }`
function Client:tools(options)
  options = errors.options(options, { only = "table", prefix = "string" }, "client:tools") or {}
  local items = current(self)
  if options.only then
    local names = {}
    for i, seen in ipairs(items) do names[i] = seen.name end
    items = {}
    for i, name in ipairs(options.only) do
      items[i] = self.offered[name]
      if not items[i] then
        local near = errors.suggest(tostring(name), names)
        errors.raise("argument", ("the MCP server %s has no tool %s"):format(self.name, errors.describe(name)),
          { hint = near and ("did you mean %s?"):format(near) or "it has " .. table.concat(names, ", ") })
      end
    end
  end
  local out = {}
  for i, seen in ipairs(items) do
    out[i] = as_tool(self, seen, sayable((options.prefix or "") .. seen.name))
  end
  return out
end

--- What the server says of its tools: name, description, inputSchema, annotations.
---@return table[] in the server's order
---Raises as client:call.
---
--- Example: `for _, t in ipairs(files:list()) do print(t.name) end`
function Client:list() return table.move(current(self), 1, #self.order, 1, {}) end

-- ---- resources and prompts ----------------------------------------------------------------------------------------------------

--- Its resources: uri, name, description, mimeType.
---@return table[]
---Raises as client:call.
---
--- Example: `for _, r in ipairs(files:resources()) do print(r.uri) end`
function Client:resources() return optional(self, "resources", "resources/list", "resources") end

--- Read a resource.
---@param uri string
---@return string text of all its parts; bytes that are no text are decoded
---@return table[] contents as the server gave them: uri, mimeType, text or blob
---Raises as client:call.
---
--- Example: `print(files:read "file:///notes.txt")`
function Client:read(uri)
  if type(uri) ~= "string" then errors.argument("client:read: a URI expected, got %s", errors.describe(uri)) end
  local result = errors.check(ask(self, "resources/read", { uri = uri }, { class = "pure" }))
  if type(result.contents) ~= "table" then error(bad(self, "resources/read gave no contents"), 0) end
  local out = {}
  for i, part in ipairs(result.contents) do
    if type(part) ~= "table" then error(bad(self, "resources/read gave a part that is no object"), 0) end
    out[i] = type(part.text) == "string" and part.text or type(part.blob) == "string" and base64.decode(part.blob) or ""
  end
  return table.concat(out, "\n"), result.contents
end

--- Its prompts: name, description, arguments.
---@return table[]
---Raises as client:call.
---
--- Example: `for _, p in ipairs(files:prompts()) do print(p.name) end`
function Client:prompts() return optional(self, "prompts", "prompts/list", "prompts") end

--- A prompt, filled in, as messages for a model.
---@param name string
---@param arguments? table<string, string>
---@return table[] messages { role, content }
---Raises as client:call.
---
--- Example: `local answer = bot:run(server:prompt("review", { code = source }))`
function Client:prompt(name, arguments)
  if type(name) ~= "string" then errors.argument("client:prompt: a name expected, got %s", errors.describe(name)) end
  local result = errors.check(ask(self, "prompts/get", { name = name, arguments = json.object(arguments or {}) },
    { class = "pure" }))
  if type(result.messages) ~= "table" then error(bad(self, "prompts/get gave no messages"), 0) end
  local out = {}
  for i, message in ipairs(result.messages) do
    local content = type(message) == "table" and message.content
    if type(content) ~= "table" then error(bad(self, "prompts/get gave a message without content"), 0) end
    out[i] = { role = message.role == "assistant" and "assistant" or "user",
      content = M.text(content[1] and content or { content }) }
  end
  return out
end

return M
