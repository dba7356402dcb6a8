--- A tool of an MCP server is pinned as it was first seen: its name, description, schema and annotations. Pins are kept in the
--- user's own file, so that a change between two processes is noticed, too. Models read a tool as it is pinned, until a person
--- accepts what it has become.

local driver = require "core.driver.mcp"
local errors = require "core.errors"
local hash = require "core.hash"
local json = require "core.json"
local log = require "stoke.log"

local M = {}

---@class stoke.mcp.pin
---@field pin string digest of the tool
---@field item { description?: string, inputSchema?: any } as models read it

--- The digest of a tool; nil for one that has none: it is nested without end.
---@param item table as the server gave it
---@return string|nil
---
--- Example: `pins.of { name = "add", inputSchema = { type = "object" } }`
function M.of(item)
  local ok, digest = pcall(json.digest, { item.name, item.description or "", item.inputSchema or {}, item.annotations or {} })
  return ok and digest or nil
end

--- What a server is known by: its name here, and what is started or asked. It must have been reached.
local function key(client)
  if not client.pin_key then
    local spec = client.spec
    local text = json.encode { spec.name, spec.url or json.null, spec.argv and json.array(spec.argv) or json.null,
      spec.cwd or json.null }
    client.pin_key = hash.sha256(text):sub(1, 32)
  end
  return client.pin_key
end

local function item_of(seen)
  return { description = type(seen.description) == "string" and seen.description or nil,
    inputSchema = type(seen.inputSchema) == "table" and seen.inputSchema or nil }
end

--- Where pins cannot be kept, they are this process's alone; that is said once for a server.
local function told(client, err)
  if client.pins_told then return end
  client.pins_told = true
  log.warn(("what the tools of the MCP server %s are cannot be kept: a change is noticed in this process alone")
    :format(client.name), { error = err.message })
end

--- The pins of a server, from earlier processes. As M.first, for who is inside an effect.
---@param client stoke.mcp.client
---@return table<string, stoke.mcp.pin> by names of tools
---Raises `cancelled`.
---
--- Example: `client.pins = pins.read(client)`
function M.read(client)
  local list, err = driver.pins(key(client))
  if err then told(client, err) end
  local out = {}
  for _, one in ipairs(list or {}) do out[one.name] = { pin = one.pin, item = one.item } end
  return out
end

--- Pin the tools that were not known.
---@param client stoke.mcp.client
---@param order table[] its tools now
---Raises `cancelled`.
---
--- Example: `pins.first(client, order)`
function M.first(client, order)
  local fresh = {}
  for _, seen in ipairs(order) do
    if not client.pins[seen.name] then
      local item = item_of(seen)
      client.pins[seen.name] = { pin = seen.pin, item = item }
      fresh[#fresh + 1] = { name = seen.name, pin = seen.pin, item = item }
    end
  end
  local _, err
  if fresh[1] then _, err = driver.pin(key(client), fresh) end
  if err then told(client, err) end
end

--- A person accepts what a tool is now.
---@param client stoke.mcp.client
---@param seen table the tool
---Raises `cancelled`.
---
--- Example: `pins.accept(client, client.offered.add)`
function M.accept(client, seen)
  seen.pinned = { pin = seen.pin, item = item_of(seen) }
  client.pins[seen.name], client.accepted = seen.pinned, (client.accepted or 0) + 1
  local _, err = driver.accept(key(client), { name = seen.name, pin = seen.pin, item = seen.pinned.item })
  if err then told(client, err) end
end

--- Is this tool another one than the one that was pinned?
---@param client stoke.mcp.client
---@param name string
---@return boolean changed also where it is gone
---
--- Example: `if pins.changed(client, "add") then print "add is another tool now" end`
function M.changed(client, name)
  local seen, known = client.offered[name], client.pins[name]
  return not seen or not known or seen.pin ~= known.pin
end

--- The tools that have changed, in the server's order.
---@param client stoke.mcp.client after its tools were listed
---@return table[] seen
---
--- Example: `for _, seen in ipairs(pins.list(client)) do print(seen.name) end`
function M.list(client)
  local out = {}
  for _, seen in ipairs(client.order or errors.argument "the tools were not listed yet") do
    if M.changed(client, seen.name) then out[#out + 1] = seen end
  end
  return out
end

return M
