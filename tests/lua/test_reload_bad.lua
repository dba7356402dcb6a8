-- Edits that do not work: the old code goes on, and one message says where.

local test = require "stoke.test"
local fs = require "stoke.fs"
local modules = require "core.modules"
local reload = require "stoke.reload"
local reloading = require "reloading"
local scripted = require "scripted"
local stoke = require "stoke"

local GOOD = ([[
local stoke = require "stoke"
local search = stoke.tool { name = "search", params = { q = "string" }, run = function(a) return a.q end }
local M = { bot = stoke.agent { name = "bot", model = %q, instructions = "good", tools = { search } } }
function M.f() return "good" end
stoke.every("bad tick", 60, M.f)
return M
]]):format(scripted.MODEL)

local function with(line) return (GOOD:gsub("return M\n", line:gsub("%%", "%%%%") .. "\nreturn M\n")) end

-- name, text, what the message says
local EDITS = {
  { "a syntax error", with "x = = 1", "bot.lua:6: unexpected symbol near '='" },
  { "an unknown global", with "undefined_thing()", "bot.lua:6: undefined variable 'undefined_thing'" },
  { "an error in the body", with "local t = nil; t.x = 1", "bot.lua:6: attempt to index a nil value" },
  { "an error with a text", with "error 'my words'", "bot.lua:6: my words" },
  { "an error object", with "error { code = 7 }", "bot.lua:6: an error that is no text: a table { code }" },
  { "error(nil)", with "error()", "bot.lua:6: an error that is no text: nil" },
  { "half a file", GOOD:sub(1, #GOOD // 2), "bot.lua:%d: " },
  { "half a line", GOOD:sub(1, #GOOD - 4), "bot.lua:6: .*near <eof>" },
  { "an empty file", "", "bot.lua:1: the file is empty" },
  { "a file of blanks", "\n \n", "bot.lua:1: the file is empty" },
  { "only a comment", "-- nothing yet\n", "bot.lua: the body returned nothing, where it returned a table before" },
  { "no UTF-8", with "local s = '\xff'", "bot.lua:6: the text is not UTF%-8" },
  { "UTF-16", "\xff\xfe" .. GOOD:gsub(".", "%0\0"), "bot.lua:1: the text is not UTF%-8" },
  { "binary code", "\27Lua\x54\0", "bot.lua" },
  { "a body that sleeps", with "stoke.sleep(1)", "bot.lua:6: an effect in the body of a file: stoke.sleep%(1%)" },
  { "a body that reads a file", with "stoke.fs.read 'x'", "bot.lua:6: an effect .*: stoke.fs.read 'x'" },
  { "a body that rolls dice", with "local n = math.random(6)", "bot.lua:6: an effect" },
  { "a body that asks a model", with "M.bot:run 'x'", "bot.lua:6: an effect" },
  { "a body that spawns a task", with "stoke.spawn(M.f)", "bot.lua:6: an effect" },
  { "a body that spawns elsewhere", with "package.loaded.user.scope:spawn(M.f)", "bot.lua:6: an effect" },
  { "a body that sends", with "stoke.state('bad').channel:send(1)", "bot.lua:6: an effect" },
  { "a body that waits for a channel", with "stoke.channel(0):recv()", "bot.lua:6: an effect" },
  { "a body that opens a scope", with "local s <close> = stoke.scope {}", "bot.lua:6: .* nothing can wait here: it is the body" },
  { "an effect whose error is caught", with "pcall(stoke.sleep, 1)",
    "bot.lua:6: an effect .*: pcall%(stoke.sleep, 1%) .the body caught" },
  { "an effect that stoke.try catches", with "stoke.try(stoke.fs.read, 'x')", "bot.lua:6: an effect .*: stoke.try" },
  { "an effect in a <close> handler", with "do local _ <close> = setmetatable({}, { __close = function() math.random() end }) end",
    "bot.lua:6: an effect" },
  { "a loop without end", with "while true do end", "bot.lua:6: the body runs for more than 0.5 s" },
  { "a loop without end that catches errors", with "while true do pcall(function() while true do end end) end",
    "bot.lua:6: the body runs for more than 0.5 s" },
  { "a loop whose steps are long", with "local s = ('x'):rep(2000000) for i = 1, 1e9 do local _ = s .. i end",
    "bot.lua:6: the body runs for more than 0.5 s" },
  { "recursion without end", with "local function f() return 1 + f() end f()", "bot.lua:6: stack overflow" },
  { "returns nil", (GOOD:gsub("return M\n", "return nil\n")), "returned nothing, where it returned a table" },
  { "returns a function", (GOOD:gsub("return M\n", "return M.f\n")), "returned a function, where it returned a table" },
  { "returns false", (GOOD:gsub("return M\n", "return false\n")), "returned a boolean, where it returned a table" },
  { "two agents of one name", with "M.other = stoke.agent { name = 'bot', model = 'm' }", "bot.lua: 2 agents are named bot" },
  { "an unknown option", (GOOD:gsub("instructions =", "instruction =")), "bot.lua:3: .*unknown option instruction" },
  { "an agent without a model", with "stoke.agent { name = 'x' }", "bot.lua:6: .*model" },
  { "a bad schema", (GOOD:gsub('q = "string"', 'q = "strnig"')), "bot.lua:2: stoke.tool search: params" },
  { "a schema that is no object", (GOOD:gsub('{ q = "string" }', '{ type = "string" }')), "bot.lua:2: .*params" },
  { "a tool without run", (GOOD:gsub("run = function%b() return a.q end", "")), "bot.lua:2: .*run is missing" },
  { "a bad timer", with "stoke.every('x', -1, M.f)", "bot.lua:6: .*seconds" },
  { "a missing module", with "require 'not.there'", "bot.lua:6: module 'not.there' not found" },
  { "a module of the runtime", with "require 'stoke.nonsense'", "bot.lua:6: .*no module 'stoke.nonsense'" },
  { "a module that is broken", with "require 'broken'", "broken.lua:1: " },
  { "a module that fails", with "require 'fails'", "fails.lua:1: failed" },
  { "a circle", with "require 'user'", "bot.lua:6: module 'user' requires itself" },
  { "itself", with "require 'bot'", "bot.lua:6: module 'bot' requires itself" },
  { "a new global in a function", with "local function g() new_one = 1 end g()", "bot.lua:6: assignment to the undeclared global" },
  { "os.exit", with "os.exit(3)", "bot.lua:6" },
  { "string.dump", with "string.dump(M.f)", "bot.lua:6: string.dump is not available" },
}

local OTHERS = {
  ["user.lua"] = "local bot = require 'bot' return { bot = bot }",
  ["broken.lua"] = "return {", ["fails.lua"] = "error 'failed'",
}

for _, edit in ipairs(EDITS) do
  local name, text, message = edit[1], edit[2], edit[3]
  test("bad edit: " .. name, function(t)
    local server <close> = scripted(function(request) return request.messages[1].content end)
    stoke.models {}
    local files <close> = reloading(OTHERS)
    files.write("bot.lua", GOOD:gsub("instructions =", ("endpoint = %q, instructions ="):format(server.url)))
    files.write("s.lua", "local stoke = require 'stoke' require 'user'")
    files.script("s.lua", function()
      local user, scope <close> = require "user", stoke.scope {}
      user.scope, stoke.state "bad".channel = scope, stoke.channel(1)
      local chat, f, before = user.bot.bot:session(), user.bot.f, modules.by_name.bot.text
      local tool = user.bot.bot.definition.tools[1]
      local err = files.bad("bot.lua", text)
      t.eq(err.kind, "script")
      t.match(err.message, message)
      local _, lines = err.message:gsub("\n", "")
      t.eq(lines, 0, err.message)
      t.eq({ chat:run("hi").text, user.bot.f() }, { "good", "good" })
      t.ok(rawequal(user.bot.f, f))
      local bot = modules.by_name.bot
      t.eq({ bot.text, user.bot.bot.definition.tools[1] == tool, require "bot" == user.bot }, { before, true, true })
      t.eq(require "core.keeper".exit_code, nil)
      -- mended, it works, with all that was there before
      files.edit("bot.lua", (GOOD:gsub("instructions = \"good\"", ("endpoint = %q, instructions = 'mended'"):format(server.url))))
      t.eq(chat:run("hi").text, "mended")
    end)
  end)
end

test("bad edit: agents and sessions of a body that failed are not listed", function(t)
  local inspect = require "stoke.inspect"
  local good = "local stoke = require 'stoke' return { s = stoke.agent { name = 'w', model = 'm' }:session() }"
  local files <close> = reloading { ["lib.lua"] = good }
  local lib = require "lib"
  local agents, sessions = #inspect.agents(), #inspect.sessions()
  for _ = 1, 3 do
    files.bad("lib.lua", "require 'stoke'.agent { name = 'late', model = 'm' }:session() error 'late'")
  end
  t.eq({ #inspect.agents(), #inspect.sessions(), lib.s.agent }, { agents, sessions, "w" })
end)

test("bad edit: a file that is gone, or is a folder, is told once, and again when it comes back broken", function(t)
  local files <close> = reloading { ["lib.lua"] = "return { n = 1 }" }
  local lib = require "lib"
  fs.remove(files.path .. "/lib.lua")
  local report = reload.all()
  t.match(report.lines[1], "lib.lua.*; the old code of .*lib.lua goes on")
  t.eq(#report.lines, 1)
  t.eq(reload.all().lines, {})
  t.raises("os", reload.module, "lib")
  fs.mkdir(files.path .. "/lib.lua")
  t.eq({ #reload.all().lines, lib.n }, { 0, 1 })
  fs.remove(files.path .. "/lib.lua")
  files.bad("lib.lua", "return {")
  files.edit("lib.lua", "return { n = 2 }")
  t.eq(lib.n, 2)
end)

test("bad edit: a script without its stoke.main", function(t)
  local files <close> = reloading { ["s.lua"] = "local stoke = require 'stoke' stoke.main(function() end)" }
  files.script("s.lua", function()
    local main = require "core.script".main
    t.match(files.bad("s.lua", "local stoke = require 'stoke'").message, "s.lua: the script does not call stoke.main any more")
    t.ok(rawequal(require "core.script".main, main))
  end)
end)

test("bad edit: a removed agent lives on for those who hold it", function(t)
  local server <close> = scripted { "one", "two" }
  local text = 'local stoke = require "stoke" return { bot = %s }'
  local files <close> = reloading { ["bots.lua"] = text:format(
    ('stoke.agent { name = "bot", model = %q, endpoint = %q }'):format(scripted.MODEL, server.url)) }
  local bots = require "bots"
  local chat = bots.bot:session()
  chat:run "a"
  local report = files.edit("bots.lua", text:format "nil")
  t.match(report.lines[1], "agent `bot`: removed")
  t.eq({ bots.bot, chat:run("b").text }, { nil, "two" })
end)

test("bad edit: it is not tried again until something changes, and its message comes once", function(t)
  local files <close> = reloading { ["lib.lua"] = "return {}" }
  require "lib"
  local count = 0
  local stop = reload.on_change(function() count = count + 1 end)
  files.bad("lib.lua", "return {")
  stop()
  t.eq(count, 1)
end)
