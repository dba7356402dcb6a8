-- stoke ps: lists the running hosts.

local args = require "stoke.args"
local attach = require "stoke.attach"
local json = require "stoke.json"
local stdio = require "core.stdio"
local term = require "stoke.term"

local SPEC = {
  name = "stoke ps", summary = "List the running hosts.",
  examples = { { "stoke ps", "name, process, what lives in them" }, { "stoke ps --json", "one JSON object a line" } },
  options = { { "json", type = "boolean", help = "one JSON object a line" } },
}

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local hosts = attach.hosts()
  if a.json then
    for _, host in ipairs(hosts) do stdio.write(json.encode(host) .. "\n") end
    return
  end
  if #hosts == 0 then return stdio.err "no host is running\n" end
  local rows = { { "NAME", "PID", "UP", "TASKS", "AGENTS", "SESSIONS", "CLIENTS", "SCRIPT" } }
  for _, host in ipairs(hosts) do
    if host.busy or host.locked then
      local why = host.busy and "busy: it does not answer" or "it wants another secret than ours"
      rows[#rows + 1] = { host.name, "-", "-", "-", "-", "-", "-", why }
    else
      rows[#rows + 1] = { host.name, tostring(host.pid), term.duration(host.seconds), tostring(host.tasks), tostring(host.agents),
        tostring(host.sessions), tostring(host.clients or "-"), host.script or "" }
    end
  end
  term.table(rows, { right = { [2] = true, [4] = true, [5] = true, [6] = true, [7] = true } })
end
