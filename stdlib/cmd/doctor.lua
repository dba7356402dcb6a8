-- stoke doctor: version, settings, server and problems: doctor/look.lua collects the facts, doctor/checks.lua judges
-- them.

local about = require "core.about"
local args = require "stoke.args"
local checks = require "stoke.cmd.doctor.checks"
local config = require "stoke.config"
local errors = require "core.errors"
local json = require "core.json"
local look = require "stoke.cmd.doctor.look"
local stdio = require "core.stdio"
local proc = require "stoke.proc"
local term = require "stoke.term"

local SPEC = {
  name = "stoke doctor",
  summary = "Check the set-up, say what is wrong and what to set, and print every setting with the place it came from. The exit "
    .. "code tells what is broken: 2 the settings, 4 the server, 5 its models.",
  examples = { { "stoke doctor", "for people" }, { "stoke doctor --json", "for scripts" },
               { "stoke doctor --probe", "also asks a model a few short questions: slots, models at once, keep_alive" } },
  options = { { "json", type = "boolean", help = "one JSON object; problems = a list of check, level, what, why, set" },
              { "wait", default = 3.0, placeholder = "SECONDS", help = "how long the server may take" },
              { "probe", type = "boolean", help = "send at most 11 calls of a few tokens, to see what only calls can show" },
              { "probe-wait", default = 120.0, placeholder = "SECONDS", help = "how long all of these may take" } },
}

local function model_names(list)
  local out = {}
  for i, m in ipairs(list or {}) do out[i] = m.name end
  return json.array(out)
end

local function names_text(list)
  if #list == 0 then return "none" end
  local shown = table.move(list, 1, math.min(#list, 5), 1, {})
  if #list > 5 then shown[6] = ("and %d more"):format(#list - 5) end
  return term.clean(table.concat(shown, ", "))
end

-- ---- for people -----------------------------------------------------------------------------------------------------------------

local function add_lua(add, lua)
  add(nil, "Lua modules", lua.lua_modules[1] and table.concat(lua.lua_modules, ", ") or "no folder lua_modules here")
  for _, name in ipairs { "path", "cpath" } do
    for i, template in ipairs(lua[name]) do add(nil, i == 1 and "package." .. name or "", template) end
  end
end

local function add_probe(add, probe)
  local text = { ("%d calls"):format(probe.calls) }
  if probe.slots then text[#text + 1] = probe.slots > 1 and ("at least %d at once"):format(probe.slots) or "one at a time" end
  if probe.models then text[#text + 1] = ("%d models in memory"):format(probe.models) end
  if probe.keep_alive then text[#text + 1] = ("kept for %s"):format(term.duration(probe.keep_alive)) end
  if probe.problem then text[#text + 1] = "ended early: " .. term.clean(probe.problem) end
  add(not probe.problem, "probe", (probe.model and probe.model .. ": " or "") .. table.concat(text, ", "))
end

local function add_machine(add, report)
  add(nil, "stoke", report.libraries.stoke)
  local names = {}
  for name in pairs(report.libraries) do if name ~= "stoke" then names[#names + 1] = name end end
  table.sort(names)
  for _, name in ipairs(names) do
    add(nil, name, tostring(report.libraries[name]):gsub("^%a+[ /]", ""):match "^%S+")
  end
  local t = report.terminal
  add(nil, "terminal", ("%s, %d columns, %s"):format(t.tty and "yes" or "no", t.columns, t.colour and "colour" or "no colour"))
  if report.open_files then add(report.open_files >= 1024, "open files", ("at most %d"):format(report.open_files)) end
  add(report.sandbox:find "landlock" ~= nil, "sandbox", report.sandbox .. (report.sandbox:find "landlock" and ""
      or " (programs that tools run are held by limits alone)"))
  add_lua(add, report.lua)
  for name, value in pairs(report.proxies) do add(nil, "proxy", ("%s=%s"):format(name, value)) end
end

local function add_server(add, s)
  add(s.reachable, "server", ("%s (%s)"):format(s.url, s.from))
  if s.reachable then
    add(#s.models > 0, s.dialect, ("%s, answered in %.0f ms"):format(s.version, s.seconds * 1000))
    local own = s.dialect == "ollama"
    add(nil, "models", #s.models > 0 and names_text(s.models) or own and "none; try: stoke pull qwen2.5:3b" or "none")
    if own then add(nil, "loaded", names_text(s.loaded)) end
  else
    add(nil, "", s.error.message)
    if s.error.hint then add(nil, "", s.error.hint) end
  end
end

local COLOUR = { error = "red", warning = "yellow", note = "cyan" }

local function problems_text(problems, colour)
  if not problems[1] then return "\nnothing is wrong\n" end
  local out, count = {}, { error = 0, warning = 0, note = 0 }
  for _, p in ipairs(problems) do
    count[p.level] = count[p.level] + 1
    out[#out + 1] = ("\n%s  %s"):format(term.paint(COLOUR[p.level], p.level .. ": " .. p.check, colour), term.clean(p.what))
    if p.inferred then out[#out + 1] = "  from: " .. p.inferred end
    out[#out + 1] = "  why:  " .. p.why
    out[#out + 1] = "  set:  " .. p.set
  end
  local words = {}
  for i, level in ipairs { "error", "warning", "note" } do
    words[i] = ("%d %s%s"):format(count[level], level, count[level] == 1 and "" or "s")
  end
  out[#out + 1] = "\n" .. table.concat(words, ", ")
  return table.concat(out, "\n") .. "\n"
end

local function lines(report, colour)
  local out = {}
  local function add(mark, label, text)
    mark = mark == nil and " " or mark and term.paint("green", "+", colour)
           or term.paint("red", "!", colour)
    out[#out + 1] = ("%s %s %s\n"):format(mark, term.fit(label, 14), (term.clean(text):gsub("\n", " ")))
  end
  add_machine(add, report)
  add_server(add, report.server)
  if report.probe then add_probe(add, report.probe) end
  local rows = { { "SETTING", "VALUE", "FROM" } }
  for _, r in ipairs(report.settings) do
    rows[#rows + 1] = { r.key, tostring(r.value), r.source }
  end
  out[#out + 1] = "\n" .. term.layout(rows, { colour = colour })
  out[#out + 1] = problems_text(report.problems, colour)
  return table.concat(out)
end

-- ---- the report -----------------------------------------------------------------------------------------------------------------

local function probe(facts, a)
  if not a.probe or not facts.server.reachable or facts.server.dialect ~= "ollama" then return nil end
  local function say(text) stdio.err(("stoke: probe: %s\n"):format(text)) end
  return require "stoke.cmd.doctor.probe".run(facts, a.probe_wait, say)
end

---@param argv string[]
---Raises `exit` with the exit code of the first error's kind when something is broken.
return function(argv)
  local a = args.parse(SPEC, argv)
  local facts = look.facts(a.wait)
  facts.probe = probe(facts, a)
  local s = facts.server
  local problems = checks.run(facts)
  local report = {
    libraries = about.versions(), open_files = facts.open_files, settings = json.array(config.explain()),
    sandbox = proc.sandbox_level(), problems = json.array(problems), probe = facts.probe, lua = facts.lua,
    proxies = facts.proxies,
    terminal = { tty = stdio.is_tty(1), colour = term.colour(1), columns = term.columns() },
    server = { name = s.name, url = s.url, from = s.from, reachable = s.reachable, dialect = s.dialect, error = s.error,
      version = s.version,
      seconds = s.seconds, clock_behind = s.clock_behind, models = s.reachable and model_names(s.list) or nil,
      loaded = s.reachable and model_names(s.ps) or nil },
  }
  stdio.write(a.json and json.encode(report) .. "\n" or lines(report, term.colour(1)))
  local code = checks.exit(problems)
  if code ~= 0 then errors.raise("exit", "", { code = code }) end
end
