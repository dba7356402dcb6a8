-- The command line tells about itself: help of names, completion, the manual page, a folder to begin with.

local about = require "core.about"
local doc = require "stoke.doc"
local fs = require "stoke.fs"
local json = require "stoke.json"
local proc = require "stoke.proc"
local test = require "stoke.test"

-- A folder of its own with a home of its own; run(...) is the command in it.
local function place()
  local path = proc.run { argv = { "mktemp", "-d" } }.stdout:match "^(.-)%s*$"
  local self = { path = path }
  self.env = { HOME = path, PATH = os.getenv "PATH", STOKE_SIM = "on", STOKE_PATH = os.getenv "STOKE_PATH" }
  setmetatable(self, { __close = function() proc.run { argv = { "rm", "-rf", path } } end })
  function self.exec(argv, cwd)
    return proc.run { argv = argv, cwd = cwd or path, env = self.env, timeout = 60 }
  end
  function self.run(...) return self.exec { about.executable(), ... } end
  function self.words(...)
    local out = {}
    for word in self.run("completion", "--words", "--", ...).stdout:gmatch "([^\t\n]+)[^\n]*\n" do out[#out + 1] = word end
    return out
  end
  return self
end

local function has(list, word)
  for _, item in ipairs(list) do
    if item == word then return true end
  end
  return false
end

local function there(name) return proc.run { argv = { "sh", "-c", "command -v " .. name } }.code == 0 end

-- ---- help -------------------------------------------------------------------------------------------------------------------

test("help: a name of the library prints its documentation", { real = true }, function(t)
  local here <close> = place()
  local r = here.run("help", "ollama.chat")
  t.eq({ r.code, r.stderr }, { 0, "" })
  t.match(r.stdout, "^ollama%.chat%(given%) %-> table\n")
  t.match(here.run("help", "stoke.http").stdout, "http%.get%(url, options%?%)")
  t.match(here.run("help", "agent:run").stdout, "^agent:run%(")
end)

test("help: topics are listed and shown", { real = true }, function(t)
  local here <close> = place()
  local overview = here.run "help".stdout
  for _, topic in ipairs { "retry", "images", "thinking", "budget", "approval", "errors", "embeddings" } do
    t.match(overview, "%f[%w]" .. topic .. "%f[%W]")
    local r = here.run("help", topic)
    t.eq({ r.code, r.stderr }, { 0, "" })
    t.ok(#r.stdout > 200)
  end
  t.match(here.run("help", "retrry").stderr, "did you mean 'retry'")
  t.ok(has(here.words("help", "retr"), "retry"))
end)

test("help: a verb goes before a name of the library", { real = true }, function(t)
  local here <close> = place()
  t.match(here.run("help", "models").stdout, "stoke models %-%-loaded")
  t.match(here.run("help", "stoke.models").stdout, "^stoke%.models%(profiles%)")
end)

test("help: a wrong name is answered with the likely ones, exit code 2", { real = true }, function(t)
  local here <close> = place()
  local r = here.run("help", "olama.caht")
  t.eq(r.code, 2)
  t.match(r.stderr, "did you mean 'ollama%.chat'")
  t.match(here.run("help", "modls").stderr, "did you mean 'models'%?")
  t.match(here.run("help", "zzzzzz").stderr, "stoke help lists the verbs")
end)

-- ---- completion ---------------------------------------------------------------------------------------------------------------

test("completion: the first word is a verb, a file or a flag of the runtime", { real = true }, function(t)
  local here <close> = place()
  t.eq(here.words "mo", { "models", ":files" })
  local all = here.words ""
  for _, verb in ipairs { "run", "chat", "test", "init", "completion", "help" } do t.ok(has(all, verb), verb) end
  t.ok(has(here.words "--", "--endpoint"))
  t.ok(has(here.words "--ver", "--version"))
end)

test("completion: after a verb come its flags, with the runtime's", { real = true }, function(t)
  local here <close> = place()
  t.eq(here.words("models", "--l"), { "--loaded", "--log" })
  t.eq(here.words("chat", "--sys"), { "--system" })
  t.eq(here.words("chat", "--system", "--"), {})
  t.ok(has(here.words("chat", "--system", "be brief", "--s"), "--stats"))
  t.eq(here.words("chat", "--", "--s"), {})
end)

test("completion: a flag's value is one of its choices", { real = true }, function(t)
  local here <close> = place()
  t.eq(here.words("--log", "w"), { "warn" })
  t.eq(here.words("models", "--log=d"), { "--log=debug" })
  t.eq(here.words "--sim=a", { "--sim=auto" })
  t.eq(here.words("completion", ""), { "bash", "zsh", "fish" })
  t.eq(here.words("--config", ""), { ":files" })
end)

test("completion: models are those the server has, and none when it does not answer", { real = true }, function(t)
  local here <close> = place()
  t.ok(has(here.words("chat", "qwen2"), "qwen2.5:3b"))
  t.ok(has(here.words("pull", ""), "qwen2.5:3b"))
  here.env.STOKE_SIM, here.env.OLLAMA_HOST = nil, "127.0.0.1:9"
  t.eq(here.words("chat", "q"), {})
end)

test("completion: a script's words are files, help's are verbs and names", { real = true }, function(t)
  local here <close> = place()
  t.eq(here.words("town.lua", ""), { ":files" })
  t.eq(here.words("run", ""), { ":files" })
  t.eq(here.words("help", "ollama.ch"), { "ollama.chat" })
  t.ok(has(here.words("help", "do"), "doctor"))
end)

-- What bash makes of a line: COMPREPLY after its function ran.
local function in_bash(here, line)
  local script = [[
stoke() { "$STOKE" "$@"; }
source <("$STOKE" completion bash) || exit 1
COMP_LINE=$1 COMP_POINT=${#1}
_stoke
printf '%s\n' "${COMPREPLY[@]}"
]]
  here.env.STOKE = about.executable()
  local words = line:gsub("^stoke%f[%s]", about.executable())
  local r = here.exec { "bash", "-c", script, "bash", words }
  return r.stdout, r.stderr
end

test("completion: bash completes verbs, flags, models with a colon, and files", { real = true }, function(t)
  if not there "bash" then t.skip "no bash here" end
  local here <close> = place()
  fs.write(here.path .. "/town.lua", "")
  t.eq(in_bash(here, "stoke mod"), "models\n")
  t.eq(in_bash(here, "stoke chat --sy"), "--system\n")
  t.eq(in_bash(here, "stoke chat qwen2.5:"), "3b\n") -- bash has split at the colon
  t.eq(in_bash(here, "stoke run to"), "town.lua\n")
  t.eq(in_bash(here, "stoke --log=wa"), "warn\n")
  t.match(in_bash(here, "stoke completion "), "bash\nzsh\nfish\n")
end)

test("completion: the scripts are good shell", { real = true }, function(t)
  local here <close> = place()
  for _, shell in ipairs { "bash", "zsh", "fish" } do
    local r = here.run("completion", shell)
    t.eq(r.code, 0, r.stderr)
    fs.write(here.path .. "/script", r.stdout)
    if there(shell) then
      local checked = here.exec { shell, "-n", "script" }
      t.eq({ checked.code, checked.stderr }, { 0, "" }, shell)
    end
  end
  t.eq(here.run("completion", "tcsh").code, 2)
  t.eq(here.run("completion").code, 2)
end)

-- ---- the manual page ------------------------------------------------------------------------------------------------------------

test("man: every verb parses its words by a description, which completion and the page are made of", function(t)
  local args, cmd = require "stoke.args", require "stoke.cmd"
  for _, verb in ipairs(cmd.verbs) do
    local spec = args.described(cmd.command(verb))
    t.ok(spec, verb.name .. " has none")
    t.eq(spec.name, "stoke " .. verb.name)
    t.ok(spec.summary and spec.summary ~= "", verb.name .. " does not say what it does")
  end
end)

test("man: every verb and flag is on the page", function(t)
  local page = doc.man():gsub("\\%-", "-")
  for _, verb in ipairs(require "stoke.cmd".verbs) do
    t.ok(page:find('.SS "stoke ' .. verb.name, 1, true), verb.name .. " is missing")
  end
  for _, flag in ipairs(require "stoke.cmd.flags".list) do
    t.ok(page:find("--" .. flag.name, 1, true), flag.name .. " is missing")
  end
  for _, title in ipairs { "NAME", "SYNOPSIS", "DESCRIPTION", "VERBS", "LIBRARY", '"EXIT STATUS"', "ENVIRONMENT", "EXAMPLES" } do
    t.ok(page:find("\n.SH " .. title .. "\n", 1, true), title)
  end
end)

test("man: no line but a request begins with a dot or a quote", function(t)
  local known = {}
  for request in ("TH SH SS TP B BR PP RS RE EX EE br"):gmatch "%S+" do known[request] = true end
  for line in (doc.man(1) .. doc.man(3)):gmatch "[^\n]+" do
    local request = line:match "^[.'](%S*)"
    t.ok(not request or known[request], line)
  end
end)

test("man: the formatter has nothing to say against it", { real = true }, function(t)
  local tool = there "mandoc" and { "mandoc", "-Tlint", "-Wwarning" }
    or there "groff" and { "groff", "-man", "-Tutf8", "-ww", "-z" }
  if not tool then t.skip "neither mandoc nor groff here" end
  for _, part in ipairs { 1, 3 } do
    local r = proc.run { argv = tool, stdin = doc.man(part), timeout = 30, stderr = "merge" }
    t.eq({ part, r.code, r.stdout }, { part, 0, "" })
  end
end)

test("man: every module and function that scripts have is on stoke(3)", function(t)
  local page = doc.man(3):gsub("\\%-", "-")
  for _, name in ipairs(doc.modules()) do
    t.ok(page:find('.SH "' .. name .. '"\n', 1, true), name .. " is missing")
    for _, entry in ipairs(doc.module(name).entries) do
      t.ok(page:find('.SS "' .. entry.signature:gsub('"', "\\(dq"), 1, true), entry.signature .. " is missing")
    end
  end
  t.raises("argument", doc.man, 7)
end)

-- ---- stoke init -----------------------------------------------------------------------------------------------------------------

test("init: the folder it makes tests and runs, offline", { real = true }, function(t)
  local here <close> = place()
  local made = here.run("init", "town")
  t.eq({ made.code, made.stderr }, { 0, "" })
  t.match(made.stdout, "cd town && stoke test && stoke run %-%-sim")
  local town = here.path .. "/town"
  here.env.STOKE_SIM = nil
  local tested = here.exec({ about.executable(), "test" }, town)
  t.match(tested.stdout, "2 passed, 0 failed\n$")
  t.eq(tested.code, 0)
  local ran = here.exec({ about.executable(), "run", "--sim" }, town)
  t.match(ran.stdout, "get_weather.*Oslo")
  t.eq({ ran.code, ran.stderr }, { 0, "" })
end)

test("init: nothing is overwritten, and nothing half made", { real = true }, function(t)
  local here <close> = place()
  fs.write(here.path .. "/main.lua", "-- mine")
  local r = here.run "init"
  t.eq(r.code, 2)
  t.match(r.stderr, "main%.lua is there already")
  t.eq(fs.read(here.path .. "/main.lua"), "-- mine")
  t.eq(fs.stat(here.path .. "/agent.lua"), nil)
  t.eq(here.run("init", "main.lua").code, 2)
end)

test("init: --types writes the definitions anew, and nothing else", { real = true }, function(t)
  local here <close> = place()
  t.eq(here.run("init", "--types").code, 0)
  t.eq(here.run("init", "--types").code, 0)
  t.eq(fs.stat(here.path .. "/main.lua"), nil)
  t.match(fs.read(here.path .. "/.stoke/types/stoke/http.lua"), "^%-%-%-@meta stoke%.http\n")
end)

test("init: an editor is told where the definitions are", { real = true }, function(t)
  local here <close> = place()
  here.run("init", "town")
  local settings = json.decode(fs.read(here.path .. "/town/.luarc.json"))
  t.eq(settings["workspace.library"], { ".stoke/types" })
  t.eq(settings["runtime.version"], "Lua 5.4")
end)

test("definitions: what may be left out in the middle makes two ways to call", function(t)
  local tests = doc.definitions()["stoke/test.lua"]
  t.match(tests, "@overload fun%(name: string, options: {[^\n]*}, f: fun%(t: stoke%.test%.t%)%)\n")
  t.match(tests, "@overload fun%(name: string, f: fun%(t: stoke%.test%.t%)%)\n")
  t.match(tests, "@param name string[^\n]*\n%-%-%-@param script [^\n]*\n%-%-%-@return[^\n]*\n%-%-%-@overload fun%(script: ")
  for path, text in pairs(doc.definitions()) do
    for list in text:gmatch "@overload fun(%b())" do
      t.ok(not list:find "%?: [%w_.]+, [%w_]+: ", path .. ": " .. list)
    end
  end
end)

test("definitions: each is Lua, names its module, and declares what the module has", function(t)
  local files = doc.definitions()
  for _, name in ipairs(doc.modules()) do
    local text = files[name:gsub("%.", "/") .. ".lua"]
    t.ok(load(text, "=" .. name), name)
    t.match(text, "^%-%-%-@meta " .. name:gsub("%.", "%%.") .. "\n")
    for _, entry in ipairs(doc.module(name).entries) do
      local member = entry.name:match "[^.]+$"
      t.ok(text:find("M." .. member .. "(", 1, true) or text:find("M." .. member .. " =", 1, true), entry.name)
    end
  end
  t.match(files["stoke/agent.lua"], "%-%-%-@overload fun%(given: stoke%.agent%.definition%): stoke%.agent\n")
  t.match(files["stoke/schema.lua"], "@overload fun%(definition: string|table, options%?: stoke%.schema%.options%)")
  t.match(files["stoke/agent.lua"], "function stoke_agent:run%(given, options%) end")
  t.match(files["stoke.lua"], "%-%-%-@field ollama lib%.stoke%.ollama\n")
end)
