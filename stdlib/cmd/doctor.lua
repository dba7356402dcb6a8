-- stoke doctor: what this program is, what it was told, and whether the server is there.

local about = require "core.about"
local args = require "stoke.args"
local config = require "stoke.config"
local errors = require "core.errors"
local json = require "core.json"
local ollama = require "stoke.ollama"
local stdio = require "core.stdio"
local proc = require "stoke.proc"
local stoke = require "stoke"
local term = require "stoke.term"
local time = require "stoke.time"

local SPEC = {
  name = "stoke doctor",
  summary = "Check the set-up and print every setting with the place it came from.",
  examples = { { "stoke doctor", "for people" }, { "stoke doctor --json", "for scripts" } },
  options = { { "json", type = "boolean", help = "one JSON object" },
              { "wait", default = 3.0, placeholder = "SECONDS", help = "how long the server may take" } },
}

-- The descriptors this process may open, as the kernel says; nil where it says nothing.
local function open_files()
  local f = io.open("/proc/self/limits", "rb")
  if not f then return nil end
  local text = f:read "a"
  f:close()
  return math.tointeger(tonumber(text:match "Max open files%s+(%d+)"))
end

local function check_server(wait)
  local e = config.endpoint()
  local out = { name = e.name, url = e.url, from = e.source, reachable = false }
  local began = time.monotonic()
  local version, err = stoke.try(stoke.timeout, wait, ollama.version)
  if err then
    out.error = { kind = err.kind, message = err.message, hint = err.hint }
    return out, err
  end
  out.reachable, out.version = true, version.version
  out.seconds = math.floor((time.monotonic() - began) * 1e4 + 0.5) / 1e4
  local function names(f)
    local reply = stoke.try(stoke.timeout, wait, f)
    local list = {}
    for i, m in ipairs(reply and reply.models or {}) do list[i] = m.name end
    return json.array(list)
  end
  out.models, out.loaded = names(ollama.tags), names(ollama.ps)
  return out
end

local function names_text(list)
  if #list == 0 then return "none" end
  local shown = table.move(list, 1, math.min(#list, 5), 1, {})
  if #list > 5 then shown[6] = ("and %d more"):format(#list - 5) end
  return table.concat(shown, ", ")
end

local function lines(report, colour)
  local out = {}
  local function add(mark, label, text)
    mark = mark == nil and " " or mark and term.paint("green", "+", colour)
           or term.paint("red", "!", colour)
    out[#out + 1] = ("%s %s %s\n"):format(mark, term.fit(label, 14), text)
  end
  add(nil, "stoke", report.libraries.stoke)
  local names = {}
  for name in pairs(report.libraries) do if name ~= "stoke" then names[#names + 1] = name end end
  table.sort(names)
  for _, name in ipairs(names) do
    local version = tostring(report.libraries[name]):gsub("^%a+[ /]", "")
    add(nil, name, version:match "^%S+")
  end
  local t = report.terminal
  add(nil, "terminal", ("%s, %d columns, %s"):format(t.tty and "yes" or "no", t.columns,
      t.colour and "colour" or "no colour"))
  if report.open_files then
    add(report.open_files >= 1024, "open files", ("at most %d"):format(report.open_files))
  end
  add(report.sandbox:find "landlock" ~= nil, "sandbox", report.sandbox .. (report.sandbox:find "landlock" and ""
      or " (programs that tools run are held by limits alone)"))
  local s = report.server
  add(s.reachable, "server", ("%s (%s)"):format(s.url, s.from))
  if s.reachable then
    add(#s.models > 0, "ollama", ("%s, answered in %.0f ms"):format(s.version, s.seconds * 1000))
    add(nil, "models", #s.models > 0 and names_text(s.models) or "none; try: stoke pull qwen2.5:3b")
    add(nil, "loaded", names_text(s.loaded))
  else
    add(nil, "", s.error.message)
    if s.error.hint then add(nil, "", s.error.hint) end
  end
  local rows = { { "SETTING", "VALUE", "FROM" } }
  for _, r in ipairs(report.settings) do
    rows[#rows + 1] = { r.key, tostring(r.value), r.source }
  end
  out[#out + 1] = "\n" .. term.layout(rows, { colour = colour })
  return table.concat(out)
end

---@param argv string[]
---Raises `exit` with the exit code of the failure's kind when the server does not answer.
return function(argv)
  local a = args.parse(SPEC, argv)
  local server, err = check_server(a.wait)
  local report = {
    libraries = about.versions(), open_files = open_files(), server = server,
    settings = json.array(config.explain()), sandbox = proc.sandbox_level(),
    terminal = { tty = stdio.is_tty(1), colour = term.colour(1), columns = term.columns() },
  }
  stdio.write(a.json and json.encode(report) .. "\n" or lines(report, term.colour(1)))
  if err then
    local code = err.kind == "timeout" and 4 or errors.kinds[err.kind].exit
    errors.raise("exit", "", { code = code })
  end
end
