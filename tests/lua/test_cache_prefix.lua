-- Completions that go on with what was typed meanwhile.

local prefix = require "core.cache.prefix"
local test = require "stoke.test"

local function q_of(body, path)
  body.model, body.stream = "m", body.stream or false
  return { protocol = "ollama", path = path or "/api/generate", model = "m", body = body }
end

local FILL = { prompt = "def add(a, b):\n  ", suffix = "\n\nprint(add(1, 2))" }

local function fill(changes)
  local body = {}
  for name, value in next, FILL do body[name] = value end
  for name, value in next, changes or {} do body[name] = value end
  return prefix.scope(q_of(body), "digest")
end

test("prefix: what was typed is the beginning of the answer: the rest of it is the answer", function(t)
  local answers, scope = prefix.new(), fill()
  answers:keep(scope, FILL.prompt, "return a + b", "stop")
  t.eq({ answers:find(scope, FILL.prompt .. "ret") }, { "urn a + b", "stop" })
  t.eq({ answers:find(scope, FILL.prompt .. "return a +") }, { " b", "stop" })
  t.eq({ answers:find(scope, FILL.prompt) }, { "return a + b", "stop" })
end)

test("prefix: typed otherwise, typed to the end, or less than was asked: nothing", function(t)
  local answers, scope = prefix.new(), fill()
  answers:keep(scope, FILL.prompt, "return a + b", "stop")
  for _, typed in ipairs { "x", "return b", "return a + b", "return a + b\n" } do
    t.eq({ answers:find(scope, FILL.prompt .. typed) }, {})
  end
  t.eq({ answers:find(scope, FILL.prompt:sub(1, -2)) }, {})
end)

test("prefix: of two answers that go on, the one that was asked last in the text counts", function(t)
  local answers, scope = prefix.new(), fill()
  answers:keep(scope, "a", "bcd old", "stop")
  answers:keep(scope, "ab", "cd new", "length")
  t.eq({ answers:find(scope, "abc") }, { "d new", "length" })
  answers:keep(scope, "ab", "x", "stop")
  t.eq({ answers:find(scope, "abc") }, { "d old", "stop" })
end)

test("prefix: another suffix, other options, another model or system: nothing of it", function(t)
  local answers = prefix.new()
  answers:keep(fill(), FILL.prompt, "return a + b", "stop")
  t.eq(fill { stream = true }, fill()) -- streamed or not is the same
  for _, changes in ipairs { { suffix = "x" }, { options = { num_predict = 5 } }, { system = "s" }, { raw = true },
    { template = "t" }, { something_new = 1 } } do
    t.ne(fill(changes), fill())
    t.eq({ answers:find(fill(changes), FILL.prompt .. "ret") }, {})
  end
  local q = q_of { prompt = "a", suffix = "b" }
  t.ne(prefix.scope(q, "one digest"), prefix.scope(q, "another"))
end)

test("prefix: a prompt that is a message is not gone on with", function(t)
  t.eq(prefix.scope(q_of { prompt = "Hello" }, "d"), nil)
  t.eq(prefix.scope(q_of { prompt = "Hello", suffix = "" }, "d"), nil)
  t.eq(prefix.scope(q_of { messages = {} , suffix = "x" }, "d"), nil)
  t.eq(prefix.scope(q_of({ prompt = "Hello", raw = true }, "/api/chat"), "d"), nil)
  t.ok(prefix.scope(q_of { prompt = "Hello", raw = true }, "d"))
end)

test("prefix: what one process kept another one reads, once; what is damaged is left out", function(t)
  local rows, reads = {}, 0
  local file = {
    put = function(_, kind, key, value) rows[#rows + 1] = { kind = kind, key = key, value = value } end,
    each = function()
      reads = reads + 1
      local i = 0
      return function()
        i = i + 1
        return rows[i]
      end
    end,
  }
  local one, other, scope = prefix.new(), prefix.new(), fill()
  one:keep(scope, FILL.prompt, "return a + b", "stop", file)
  rows[2] = { kind = "prefix", key = "k", value = "no record" }
  other:load(file)
  other:load(file)
  t.eq({ reads, other:find(scope, FILL.prompt .. "return") }, { 1, " a + b", "stop" })
end)
