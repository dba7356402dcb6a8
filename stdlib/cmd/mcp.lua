-- stoke mcp FILE | list | inspect | call: tools and agents of a file as an MCP server; MCP servers from the shell.

local args = require "stoke.args"
local client = require "stoke.mcp.client"
local config = require "stoke.mcp.config"
local entries = require "stoke.mcp.server.entries"
local errors = require "core.errors"
local fs = require "stoke.fs"
local json = require "core.json"
local lines = require "stoke.mcp.lines"
local log = require "stoke.log"
local mcp = require "stoke.mcp"
local over_http = require "stoke.mcp.server.http"
local over_stdio = require "stoke.mcp.server.stdio"
local output = require "stoke.runs.output"
local pins = require "stoke.mcp.pins"
local script = require "core.script"
local offered = require "stoke.cmd.offered"
local reload = require "stoke.reload"
local server = require "stoke.mcp.server"
local stdio = require "core.stdio"
local term = require "stoke.term"

local SPEC = {
  name = "stoke mcp", summary = "Serve the tools and agents of a file to MCP clients, or use MCP servers from the shell.",
  examples = { { "stoke mcp tools.lua", "over standard input and output: what an MCP client starts" },
               { "stoke mcp tools.lua --port 8931", "at http://127.0.0.1:8931/mcp" },
               { "stoke mcp list", "the servers of .mcp.json; nothing is started" },
               { "stoke mcp inspect files", "start a server and show what it offers" },
               { "stoke mcp inspect -- npx -y @modelcontextprotocol/server-filesystem .", "one that is not configured" },
               { "stoke mcp call files read_text_file path=notes.txt", "call a tool; its arguments may also be one JSON object" },
               { "stoke mcp accept files", "accept what tools of a server have become since they were first seen" },
               { "stoke mcp call http://127.0.0.1:8931/mcp add '{\"a\":1,\"b\":2}'", "at an address" } },
  options = { { "port", type = "integer", placeholder = "N", help = "serve over HTTP; 0 takes any free port" },
              { "address", placeholder = "ADDRESS", help = "serve at this address, not at 127.0.0.1 alone; wants --token" },
              { "token", placeholder = "FILE", help = "serve only who sends the token in this file" },
              { "host", type = "list", placeholder = "NAME", help = "serve: a name clients may call this machine by" },
              { "origin", type = "list", placeholder = "URL", help = "serve: a web page that may ask" },
              { "servers", placeholder = "FILE", help = "list, inspect, call, accept: this file instead of .mcp.json" },
              { "timeout", type = "number", placeholder = "S", help = "call: seconds for the answer (120)" },
              { "json", type = "boolean", help = "JSON instead of text" } },
  positionals = { { "what", placeholder = "FILE|list|inspect|call|accept", help = "a file to serve, or what to do" },
                  { "words", type = "list", optional = true,
                    help = "inspect, accept: NAME, URL or a command; call: NAME or URL, TOOL, ARGS" } },
}

-- ---- clients ---------------------------------------------------------------------------------------------------------------

local function connect(a, words)
  local name = words[1]
  if not name then errors.raise("usage", "which server? stoke mcp list shows those that are configured") end
  local spec
  if name:find "^https?://" then
    spec = { url = name }
  elseif a.command or #words > 1 then
    spec = { command = name, args = table.move(words, 2, #words, 1, {}) }
  else
    spec = config.find(name, a.servers)
  end
  spec.timeout = a.timeout or spec.timeout
  return mcp.connect(spec)
end

local DO = {}

function DO.list(a)
  local all = config.all(a.servers)
  if a.json then
    for _, one in ipairs(all) do
      output.print_json { name = one.name, file = one.path, disabled = one.disabled or nil, server = one.entry }
    end
    return
  end
  if #all == 0 then return stdio.err 'no MCP server is configured: .mcp.json { "mcpServers": { "NAME": { "command": ... } } }\n' end
  local rows = { { "NAME", "SERVER", "FILE" } }
  for _, one in ipairs(all) do
    local entry = type(one.entry) == "table" and one.entry or {}
    local words = { tostring(entry.url or entry.serverUrl or entry.httpUrl or entry.command) }
    for _, word in ipairs(type(entry.args) == "table" and entry.args or {}) do words[#words + 1] = tostring(word) end
    local shown = term.clean(table.concat(words, " ")) .. (one.disabled and " (disabled)" or "")
    rows[#rows + 1] = { term.clean(one.name), shown, one.path }
  end
  term.table(rows)
end

local function first_line(text) return type(text) == "string" and term.clean((text:match "^[^\n]*")) or "" end

local function section(title, items, show)
  if #items == 0 then return end
  stdio.write(("\n%s\n"):format(title))
  for _, item in ipairs(items) do
    local name, words = show(item)
    stdio.write(("  %s%s\n"):format(term.clean(name), words ~= "" and "  " .. words or ""))
  end
end

local function arguments_of(seen)
  local schema = type(seen.inputSchema) == "table" and seen.inputSchema or {}
  local required, names = {}, {}
  for _, name in ipairs(type(schema.required) == "table" and schema.required or {}) do required[name] = true end
  for name, property in next, type(schema.properties) == "table" and schema.properties or {} do
    local kind = type(property) == "table" and type(property.type) == "string" and property.type or "any"
    names[#names + 1] = ("%s%s: %s"):format(name, required[name] and "" or "?", kind)
  end
  table.sort(names)
  return ("%s(%s)"):format(seen.name, table.concat(names, ", "))
end

--- What tools have become since they were first seen.
local function changes(one)
  local changed = pins.list(one)
  section("Changed since they were first seen", changed, function(seen)
    local was, now = first_line(one.pins[seen.name].item.description), first_line(seen.description)
    return seen.name, was == now and "(its schema or annotations)" or ("was: %s; now: %s"):format(was, now)
  end)
  return changed
end

function DO.accept(a)
  local one <close> = connect(a, a.words)
  one:list()
  local changed = changes(one)
  for _, seen in ipairs(changed) do pins.accept(one, seen) end
  stdio.write(("%s%d of %d tools accepted\n"):format(changed[1] and "\n" or "", #changed, #one.order))
end

function DO.inspect(a)
  local one <close> = connect(a, a.words)
  local list, resources, prompts = one:list(), one:resources(), one:prompts()
  if a.json then
    local tools = {}
    for i, seen in ipairs(list) do
      tools[i] = { name = seen.name, description = seen.description, inputSchema = seen.inputSchema,
        annotations = seen.annotations, changed = pins.changed(one, seen.name) or nil }
    end
    return output.print_json { server = one.server, version = one.version, era = one.era, instructions = one.instructions,
      tools = json.array(tools), resources = json.array(resources), prompts = json.array(prompts) }
  end
  local about = one.server or {}
  local who = ("%s %s"):format(tostring(about.name or one.name), tostring(about.version or ""))
  stdio.write(("%s  MCP %s (%s)\n"):format(term.clean(who), one.version, one.era == "modern" and "stateless" or "with a handshake"))
  if one.instructions then stdio.write(term.clean(one.instructions), "\n") end
  section("Tools", list, function(seen) return arguments_of(seen), first_line(seen.description) end)
  changes(one)
  section("Resources", resources, function(item) return tostring(item.uri), first_line(item.description or item.name) end)
  section("Prompts", prompts, function(item) return tostring(item.name), first_line(item.description) end)
end

--- name=value by the types of the tool's schema.
local function typed(one, name, words)
  local out, properties = json.object {}, {}
  for _, seen in ipairs(one:list()) do
    if seen.name == name and type(seen.inputSchema) == "table" then properties = seen.inputSchema.properties or {} end
  end
  for _, word in ipairs(words) do
    local key, value = word:match "^([^=]+)=(.*)$"
    if not key then errors.raise("usage", ("%s is no argument: NAME=VALUE, or one JSON object"):format(word)) end
    local kind = type(properties[key]) == "table" and properties[key].type or "string"
    if kind ~= "string" then
      local decoded, bad = json.decode(value)
      if bad then errors.raise("usage", ("%s wants %s as JSON, got %s"):format(key, tostring(kind), value)) end
      value = decoded
    end
    out[key] = value
  end
  return out
end

function DO.call(a)
  local one <close> = connect(a, { a.words[1] })
  local name, words = a.words[2], table.move(a.words, 3, #a.words, 1, {})
  if not name then errors.raise("usage", "which tool? stoke mcp inspect NAME shows them") end
  local given
  if words[1] and words[1]:find "^%s*{" then
    local bad
    given, bad = json.decode(table.concat(words, " "))
    if bad then errors.raise("usage", "the arguments are no JSON: " .. bad.message) end
  else
    given = typed(one, name, words)
  end
  local result = one:call(name, given, { timeout = a.timeout or client.TIMEOUT })
  if a.json then
    output.print_json { content = json.array(result.content), structured = result.structured, failed = result.failed }
  elseif not result.failed then
    stdio.write(result.text ~= "" and result.text or json.encode(result.structured or json.object {}), "\n")
  end
  if result.failed then errors.raise("tool", result.text ~= "" and result.text or name .. " failed without a word") end
end

-- ---- serving ---------------------------------------------------------------------------------------------------------------

local function token_of(path)
  if not path then return nil end
  local token = fs.read(path):match "^%s*(%S+)%s*$"
  if not token then errors.raise("usage", path .. " does not hold one token") end
  return token
end

local function report(name, err) log.error(("the tool %s failed"):format(name), { error = tostring(err) }) end

local function serve(a)
  if not fs.stat(a.what) then
    local near = errors.suggest(a.what, { "list", "inspect", "call", "accept" })
    errors.raise("usage", "no file " .. a.what, { hint = near and ("did you mean stoke mcp %s?"):format(near) or nil })
  end
  local at_address = a.port or a.address
  lines.hold()
  require "stoke.cmd".announce(a.what)
  local _ <close> = offered.restore
  reload.watch(true)
  local made = server.new(entries.of_file(a.what, script.run_body(a.what)),
    { name = a.what:match "([^/]*)%.lua$" or a.what, report = report })
  offered.follow(made, "what is offered stays as it was")
  if not at_address then return over_stdio.serve(made) end
  local running <close> = over_http.serve(made, { port = a.port or 8931, address = a.address,
    token = token_of(a.token), hosts = a.host, origins = a.origin })
  stdio.put(1, running.url .. over_http.PATH .. "\n") -- the only line there: what the file prints goes to standard error
  running:wait()
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  a.words = a.words or {}
  if a.what ~= "call" then -- its words are the tool's
    for _, word in ipairs(argv) do a.command = a.command or word == "--" end
  end
  return (DO[a.what] or serve)(a)
end
