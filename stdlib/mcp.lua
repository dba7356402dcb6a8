--- stoke.mcp: tools of other programs, by the Model Context Protocol. A server is a child process (standard streams) or an address
--- (streamable HTTP); its tools are tools of agents, its resources and prompts are functions.
---
---     local files = stoke.mcp.connect { command = "npx", args = { "-y", "@modelcontextprotocol/server-filesystem", "." } }
---     local bot = stoke.agent { model = "qwen2.5:3b", tools = files:tools() }
---     print(bot:run("What is in notes.txt?").text)

local errors = require "core.errors"
local client = require "stoke.mcp.client"
local config = require "stoke.mcp.config"
require "stoke.mcp.tools"

local M = {}

---@class stoke.mcp.spec
---@field name? string what errors call it; the last word of the command, or the host
---@field command? string a program, found along PATH
---@field args? string[]
---@field env? table<string, string> additional variables: it gets PATH, HOME and the like, and these
---@field cwd? string
---@field sandbox? boolean|stoke.proc.sandbox as stoke.proc has it; none when not given
---@field url? string of a server on the network, instead of a command
---@field headers? table<string, string>
---@field timeout? number|false seconds for an answer (120)
---@field start_timeout? number seconds until it must have started (60)
---@field trust? boolean believe what it says of its tools: that they only read, may be repeated, or destroy
---@field needs_approval? boolean|fun(args: table, name: string): boolean|table<string, boolean> which of its tools ask a person
---@field on_progress? fun(note: { progress: number, total?: number, message?: string })
---@field on_elicit? fun(message: string, schema?: table): table|nil answers what the server asks in the middle of a call; nil
---  declines
---@field roots? string[] URIs that it is told to work in

--- A server: by its name in .mcp.json, or described here. It is started when
--- something is asked of it, again when it has ended, and ends with the host.
---@param spec string|stoke.mcp.spec
---@return stoke.mcp.client client `client:tools()`, `client:call(name, args)`, `client:resources()`, `client:read(uri)`,
---  `client:prompts()`, `client:prompt(name, args)`, `client:close()`
---Raises `argument`, `usage` for a name that nobody configured.
---
--- Example: `local files = stoke.mcp.connect { command = "mcp-server-files", args = { "." }, sandbox = true }`
function M.connect(spec)
  if type(spec) == "string" then spec = config.find(spec) end
  return client.new(config.check(spec, "mcp.connect"))
end

--- The tools of several servers in one list. Names that two of them have get the server's before them ("files_read").
---@param servers (string|stoke.mcp.spec|stoke.mcp.client)[]
---@param taken? string[] names that others have: they, too, get the server's before them
---@return stoke.tool[]
---Raises as stoke.mcp.connect and client:tools.
---
--- Example: `local bot = stoke.agent { model = m, tools = stoke.mcp.tools { "files", "git" } }`
function M.tools(servers, taken)
  if type(servers) ~= "table" then errors.argument("mcp.tools: a list of servers expected, got %s", errors.describe(servers)) end
  local clients, times = {}, {}
  for _, name in ipairs(taken or {}) do times[name] = 1 end
  for i, given in ipairs(servers) do
    clients[i] = getmetatable(given) == client.Client and given or M.connect(given)
    for _, seen in ipairs(clients[i]:list()) do times[seen.name] = (times[seen.name] or 0) + 1 end
  end
  local out = {}
  for _, one in ipairs(clients) do
    for _, seen in ipairs(one:list()) do
      local made = one:tools { only = { seen.name }, prefix = times[seen.name] > 1 and one.name .. "_" or nil }
      out[#out + 1] = made[1]
    end
  end
  return out
end

--- A resource that `stoke mcp FILE` offers: a text, or bytes, at an address, or at all addresses of a pattern.
---@param given { uri: string, name?: string, description?: string, mime?: string, read: fun(parts: table<string, string>,
---  uri: string): string|table|nil } read gives a text, { text =, mime = } or { bytes =, mime = }; nil: there is none
---@return stoke.mcp.resource
---Raises `argument`.
---
--- Example: `stoke.mcp.resource { uri = "notes://{day}", read = function(at) return stoke.fs.read(at.day .. ".txt") end }`
function M.resource(given) return require "stoke.mcp.offers".resource(given) end

--- A prompt that `stoke mcp FILE` offers: messages to begin with, which a person chooses in a client.
---@param given { name: string, description?: string, arguments?: table<string, string>, run: fun(args: table): string|table[] }
---  arguments: texts, as stoke.schema has them; run gives a text, or messages { { role = "user", content = } ... }
---@return stoke.mcp.prompt
---Raises `argument`.
---
--- Example: `stoke.mcp.prompt { name = "review", arguments = { code = "string" }, run = function(a) return "See " .. a.code end }`
function M.prompt(given) return require "stoke.mcp.offers".prompt(given) end

return M
