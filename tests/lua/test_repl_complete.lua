-- What TAB makes of a word.

local test = require "stoke.test"
local completer = require "stoke.repl.complete"
local evals = require "stoke.repl.eval"
local fs = require "stoke.fs"
local sim = require "stoke.sim"
local stoke = require "stoke"

local function session(names)
  local made = evals.new { stoke = stoke, ollama = require "stoke.ollama" }
  for name, value in pairs(names or {}) do made:set(name, value) end
  return made
end

--- The candidates, in one string, behind the byte where the word begins.
local function ask(before, names)
  local from, list = completer.complete(session(names), before)
  return from and from .. ": " .. table.concat(list, " ")
end

test("complete: globals, locals of the prompt, keywords", function(t)
  t.eq(ask "coro", "1: coroutine")
  t.eq(ask("x = my", { my_local = 1, my_other = 2 }), "5: my_local my_other")
  t.eq(ask "func", "1: function")
  t.eq(ask "whi", "1: while")
end)

test("complete: fields, also of fields", function(t)
  t.eq(ask("a.b.c", { a = { b = { cc = 1, cd = 2, x = 3 } } }), "5: cc cd")
  t.eq(ask("f(a.x", { a = { xy = 1 } }), "5: xy")
  t.eq(ask "string.gs", "8: gsub")
  t.eq(ask("a.", { a = { one = 1, _hidden = 2, ["no name"] = 3 } }), "3: one")
  t.eq(ask("a._", { a = { one = 1, _hidden = 2 } }), "3: _hidden")
end)

test("complete: methods, through __index tables and classes whose __index is a function", function(t)
  local Base = { run = function() end, size = 1 }
  Base.__index = Base
  local Derived = setmetatable({ walk = function() end }, Base)
  Derived.__index = Derived
  t.eq(ask("o:", { o = setmetatable({}, Derived) }), "3: run walk")
  t.eq(ask("o.", { o = setmetatable({ own = 1 }, Derived) }), "3: own run size walk")
  t.eq(ask("s:up", { s = "text" }), "3: upper")
  local Odd = { go = function() end }
  function Odd.__index() error "never called" end
  t.eq(ask("o:g", { o = setmetatable({}, Odd) }), "3: go")
  t.eq(ask("bot:st", { bot = stoke.agent { model = "m" } }), "5: stream")
end)

test("complete: modules of stoke are its fields before they are loaded", function(t)
  t.eq(ask "stoke.sle", "7: sleep")
  t.eq(ask "stoke.sch", "7: schema")
  t.eq(ask "stoke.json.enc", "12: encode")
end)

test("complete: modules that are the runtime's own are no fields of stoke", function(t)
  t.eq(ask "stoke.sho", "7: ")
  t.eq(ask "stoke.readi", "7: ")
end)

test("complete: private members of a module are not offered", function(t)
  local config = require "stoke.config"
  t.eq(type(config.use_endpoint), "function")
  t.eq(ask("config.", { config = config }), "8: endpoint explain get profile source")
end)

test("complete: nothing is called for it", function(t)
  local trap = setmetatable({}, { __index = function() error "never called" end, __pairs = function() error "never called" end })
  t.eq(ask("x.y", { x = trap }), "3: ")
  t.eq(ask("f().x", { f = function() error "never called" end }), nil)
end)

test("complete: module names behind require", function(t)
  t.eq(ask "require 'stoke.sch", "10: stoke.schema")
  t.eq(ask [[local x = require("stoke.ol]], "20: stoke.ollama")
end)

test("complete: files in other strings", function(t)
  local folder = (os.getenv "TMPDIR" or "/tmp") .. "/stoke-complete"
  fs.mkdir(folder .. "/inner", { parents = true })
  fs.write(folder .. "/notes.txt", "")
  fs.write(folder .. "/.hidden", "")
  t.eq(ask('stoke.fs.read("' .. folder .. "/n"), ("16: %s/notes.txt"):format(folder))
  t.eq(ask("stoke.fs.read'" .. folder .. "/"), ("%s%s/inner/ %s/notes.txt"):format("15: ", folder, folder))
  fs.remove(folder, { recursive = true })
end)

test("complete: names of models behind model =, asked in the background", function(t)
  local world <close> = sim.serve { mem = "complete", models = { "qwen2.5:3b", "llama3.2:1b" } }
  local config = require "stoke.config"
  config.use_endpoint("sim", world.url, "test")
  t.eq(ask [[ollama.chat { model = "qw]], "24: ", "not yet known, and nothing waits")
  stoke.sleep(1)
  t.eq(ask [[ollama.chat { model = "qw]], "24: qwen2.5:3b")
end)

test("complete: a policy is not asked what TAB may see", function(t)
  stoke.policy { otherwise = { path = "ask", host = "ask" } }
  t.eq(ask [["/et]], "2: ")
  stoke.policy(nil)
end)

test("complete: commands of the prompt", function(t)
  t.eq(ask ":relo", "2: reload")
  t.eq(ask ":time string.gs", "14: gsub")
  t.eq(ask ":watch o", "8: off on")
  t.eq(ask ":cancel o", "9: ", "no names of Lua's where none may stand")
  t.eq(ask "?string.gs", "9: gsub")
end)

test("complete: no names inside comments, numbers and finished strings", function(t)
  t.eq(ask "-- pri", nil)
  t.eq(ask "12", nil)
  t.eq(ask [["done"]], "7: " .. ask("", {}):sub(4))
end)
