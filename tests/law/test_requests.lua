-- What a journal keeps of requests: long histories are shared by the rows of a run, and nobody can change them.

local test = require "stoke.test"
local effect = require "core.effect"
local engine = require "core.json"
local journal = require "core.journal"
local json = require "stoke.json"
local runs = require "runs"

local ask = runs.ask

local function history(n)
  local list = {}
  for i = 1, n do list[i] = { role = "user", content = ("word %d "):format(i):rep(40) } end
  return list
end

test("a history that grows has the digest of one that is made at once: either replays the other", function(t)
  local function grown()
    local list = engine.growing {}
    for i, message in ipairs(history(6)) do
      list[i] = message
      ask("step", { messages = list })
    end
  end
  local function made()
    for i = 1, 6 do ask("step", { messages = history(i) }) end
  end
  local a, b = runs.record(grown), runs.record(made)
  for i = 1, 6 do
    t.eq(a.rows[i].digest, b.rows[i].digest)
    t.eq(a.rows[i].request, b.rows[i].request)
    t.eq(#a.rows[i].request.messages, i)
  end
  t.eq({ journal.replay(a, made).err, journal.replay(b, grown).err }, {})
end)

test("rows share the messages of a history that grows, and have copies of all else", function(t)
  local list, plain = engine.growing(history(3)), history(3)
  local tape = runs.record(function() for _ = 1, 2 do ask("step", { messages = list, plain = plain }) end end)
  local first, second = tape.rows[1].request, tape.rows[2].request
  t.ok(first.messages ~= second.messages and first.messages[1] == second.messages[1])
  t.ok(first.plain[1] ~= second.plain[1] and first.plain[1] ~= plain[1])
end)

effect.define("test.redacted", { class = "pure", run = function() return 1 end,
  redact = function(request, redactor) redactor:fields(request) end })

test("secrets are taken out of a copy: the history that is sent keeps them", function(t)
  local list = engine.growing { { role = "user", password = "open sesame" } }
  local tape = runs.record(function() effect.perform("test.redacted", { messages = list }) end)
  t.eq(json.encode(tape.rows[1].request):find "sesame", nil)
  t.eq(list[1].password, "open sesame")
end)

test("what is not plain is named by its path", function(t)
  local cycle = {}
  cycle.again = cycle
  for words, value in pairs { ["answer%.list%[2%]%.f is a function"] = { answer = { list = { 1, { f = print } } } },
    ["a%.b has a key that is a table"] = { a = { b = { [{}] = 1 } } }, ["it has a key that is a function"] = { [print] = 1 },
    ["x is an object of a class"] = { x = setmetatable({}, { __index = {} }) },
    ["again.*is nested too deep, or contains itself"] = cycle } do
    local copy, odd = require "core.journal.plain".copy(value)
    t.eq(copy, nil)
    t.match(odd, "^" .. words .. "$")
  end
end)
