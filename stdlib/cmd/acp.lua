-- stoke acp FILE: the agents of a file in an editor, by the Agent Client Protocol.

local approval = require "core.approval"
local args = require "stoke.args"
local errors = require "core.errors"
local lines = require "stoke.mcp.lines"
local log = require "stoke.log"
local registry = require "stoke.serve.registry"
local offered = require "stoke.cmd.offered"
local reload = require "stoke.reload"
local script = require "core.script"
local servers = require "stoke.acp.server"

local SPEC = {
  name = "stoke acp",
  summary = "Put the agents of a file into an editor (Zed, and others that speak the Agent Client Protocol). The editor starts "
    .. "this program, and talks to it over standard input and output.",
  examples = { { "stoke acp agents/served.lua", "what an editor is told to start" },
               { "stoke acp agents/served.lua --agent desk", "new sessions are with this agent" },
               { "stoke acp agents/served.lua --sim", "the same, answered by the built-in simulator" } },
  options = { { "agent", placeholder = "NAME", help = "the agent of a new session; the first by name when not given" } },
  positionals = { { "file", help = "the script: agents in its body, or those it returns" } },
}

local function report(method, err) log.error(method .. " failed", { error = tostring(err) }) end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  lines.hold()
  approval.asker = nil -- the client is asked, also where this was started on a terminal
  local cmd = require "stoke.cmd"
  cmd.check_file(a.file)
  cmd.announce(a.file)
  local _ <close> = offered.restore
  reload.watch(true)
  local known = registry.new(registry.of_file(a.file, script.run_body(a.file)))
  if not known.list[1] then
    errors.raise("usage", a.file .. " has no agent with a name", { hint = 'stoke.agent { name = "poet", ... } in its body' })
  end
  if a.agent and not known:find(a.agent) then
    local near = known:near(a.agent)
    errors.raise("usage", ("%s has no agent %s"):format(a.file, a.agent), { hint = near and ("did you mean %s?"):format(near) })
  end
  offered.follow(known, "the agents stay as they were")
  local made = servers.new(known, { name = a.file:match "([^/]*)%.lua$" or a.file, send = lines.send, report = report,
    default = a.agent and known:find(a.agent).name or nil })
  made:serve(lines.each)
end
