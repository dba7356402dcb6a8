-- Words of the command line: other programs' verbs, -V, --env-file, errors as JSON, colour.

local test = require "stoke.test"
local about = require "core.about"
local envfile = require "core.envfile"
local env = require "stoke.env"
local json = require "stoke.json"
local term = require "stoke.term"

local place = require "binary".place

-- ---- other programs' words --------------------------------------------------------------------------------------------------

test("words: a verb of another program is answered with ours", { real = true }, function(t)
  local here <close> = place()
  for word, hint in pairs { ls = "stoke models", list = "stoke models", serve = "stoke sim", rm = "delete",
    start = "stoke run", exec = "stoke attach", status = "stoke ps", install = "luarocks" } do
    local r = here.run(word)
    t.eq(r.code, 2)
    t.ok(r.stderr:find(hint, 1, true), word .. ": " .. r.stderr)
  end
end)

test("words: -V is --version", { real = true }, function(t)
  local here <close> = place()
  local r = here.run "-V"
  t.eq({ r.code, r.stdout }, { 0, "stoke " .. about.version .. "\n" })
end)

-- ---- errors under --json ----------------------------------------------------------------------------------------------------

local function error_of(t, r)
  t.eq(select(2, r.stderr:gsub("\n", "")), 1, r.stderr)
  local err = json.decode(r.stderr)
  t.eq(err.exit_code, r.code)
  return err
end

test("words: with --json an error of a verb is one JSON object on stderr", { real = true }, function(t)
  local here <close> = place { ["a.lua"] = "error 'its own'", ["bad.lua"] = "return { timeouts = { idlee = 3 } }" }
  local err = error_of(t, here.run("models", "--json", "--endpoint", "127.0.0.1:1"))
  t.eq({ err.kind, err.exit_code, err.retryable }, { "refused", 4, true })
  t.match(err.message, "127%.0%.0%.1:1")
  t.ok(err.hint)
  t.eq(error_of(t, here.run("pull", "--json")).message, "missing argument: NAME")
  t.match(error_of(t, here.run("models", "--json", "--lodaed")).hint, "did you mean %-%-loaded%?")
  t.match(error_of(t, here.run("modls", "--json")).hint, "stoke models")
  t.match(error_of(t, here.run("models", "--json", "--config", "bad.lua")).hint, "did you mean 'idle'")
  t.match(error_of(t, here.run("models", "--json", "--endpoint")).message, "%-%-endpoint wants a value")
end)

test("words: a script's own --json is the script's", { real = true }, function(t)
  local here <close> = place { ["a.lua"] = "error 'its own'" }
  for _, argv in ipairs { { "a.lua", "--json" }, { "run", "a.lua", "--json" }, { "-e", "error 'its own'", "--json" } } do
    t.match(here.run(table.unpack(argv)).stderr, "^stoke: script: ")
  end
end)

-- ---- files of variables -----------------------------------------------------------------------------------------------------

test("env file: quotes, comments, export; nothing is expanded", function(t)
  local text = table.concat({
    "\xEF\xBB\xBF# a comment", "", "PLAIN=value", "  SPACED =  some words  # a comment", "URL=http://x/#here", "EMPTY=",
    "export EXPORTED=yes", "HASH=a#b", "SINGLE='$HOME \\n # \"x\"' # behind", 'DOUBLE="a\\nb\\t\\"c\\" \\\\ \\$HOME $HOME"',
    "TWO='first", "second'", 'THREE="first', 'second"', "DOLLAR=$HOME ${HOME} $(id) `id`",
    "AGAIN=1", "AGAIN=2\r",
  }, "\n")
  t.eq(env.parse(text), {
    AGAIN = "2", PLAIN = "value", SPACED = "some words", URL = "http://x/#here", EMPTY = "", EXPORTED = "yes", HASH = "a#b",
    SINGLE = '$HOME \\n # "x"', DOUBLE = 'a\nb\t"c" \\ $HOME $HOME', TWO = "first\nsecond", THREE = "first\nsecond",
    DOLLAR = "$HOME ${HOME} $(id) `id`" })
end)

test("env file: what is wrong is told with file and line, never with the value", function(t)
  local function problem(text)
    local err = t.raises("usage", envfile.parse, text, "my.env")
    t.ok(not err.message:find "secret", err.message)
    return err.message
  end
  t.match(problem "A=1\n\nsecret here", "^my%.env:3: the line has no '='")
  t.match(problem "1A=secret", '^my%.env:1: the string "1A" is no name')
  t.match(problem "A='x\ny'\nB='secret", "^my%.env:3: B: the quote ' is not closed")
  t.match(problem 'A="x" secret', "^my%.env:1: A: there is text behind the closing quote")
  t.match(problem "A='x\ny'z", "^my%.env:2: A: there is text")
  t.match(problem "A=b\0c", "^my%.env:1: a NUL byte")
end)

test("env file: what is set already stays; a later file goes before an earlier one", { real = true }, function(t)
  local here <close> = place { ["one.env"] = "A=one\nB=one\nC=one\n", ["two.env"] = "B=two\nC=two\n" }
  here.env.C = "real"
  local show = "print(os.getenv 'A', os.getenv 'B', os.getenv 'C', require('stoke.env').get 'B')"
  t.eq(here.run("--env-file", "one.env", "--env-file=two.env", "-e", show).stdout, "one\ttwo\treal\ttwo\n")
  local child = "require('stoke.proc').run({ argv = { 'sh', '-c', 'echo $A' }, env_allow = { 'A', 'PATH' } }).stdout"
  t.eq(here.run("-e", ("print(%s)"):format(child), "--env-file", "one.env").stdout, "one\n\n")
end)

test("env file: settings come from it, and doctor says so", { real = true }, function(t)
  local here <close> = place { ["my.env"] = "# the server\nOLLAMA_HOST=127.0.0.1:1\n" }
  local report = json.decode(here.run("doctor", "--json", "--env-file", "my.env").stdout)
  t.eq(report.server.from, "environment OLLAMA_HOST (my.env:2)")
  local r = here.run("--env-file", "none.env", "-e", "")
  t.eq(r.code, 2)
  t.match(r.stderr, "%-%-env%-file: cannot read none%.env: No such file")
  t.match(here.run("--env-file", ".", "-e", "").stderr, "cannot read")
end)

-- ---- colour -----------------------------------------------------------------------------------------------------------------

test("term: FORCE_COLOR asks for colour or forbids it; NO_COLOR goes before all", function(t)
  local function colour(vars) return term.colour(1, function(name) return vars[name] end) end
  t.eq(colour { FORCE_COLOR = "1" }, true)
  t.eq(colour { FORCE_COLOR = "3", TERM = "dumb" }, true)
  t.eq(colour { FORCE_COLOR = "true" }, true)
  t.eq(colour { FORCE_COLOR = "0", CLICOLOR_FORCE = "1" }, false)
  t.eq(colour { FORCE_COLOR = "1", NO_COLOR = "1" }, false)
  t.eq(colour { FORCE_COLOR = "" }, colour {})
  t.eq(colour { CLICOLOR_FORCE = "0" }, colour {})
end)
