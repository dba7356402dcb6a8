-- Completions that go on with what was typed meanwhile.

local fake = require "fake"
local files = require "core.cache.file"
local gate = require "core.gate.cache"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
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
  return prefix.scope(q_of(body), "", "digest")
end

local function found(answers, ...)
  local text, reason = answers:find(...)
  return text, reason
end

test("prefix: what was typed is the beginning of the answer: the rest of it is the answer", function(t)
  local answers, scope = prefix.new(), fill()
  answers:keep(scope, FILL.prompt, "return a + b", "stop")
  t.eq({ found(answers, scope, FILL.prompt .. "ret") }, { "urn a + b", "stop" })
  t.eq({ found(answers, scope, FILL.prompt .. "return a +") }, { " b", "stop" })
  t.eq({ found(answers, scope, FILL.prompt) }, { "return a + b", "stop" })
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
  t.eq({ found(answers, scope, "abc") }, { "d new", "length" })
  answers:keep(scope, "ab", "x", "stop")
  t.eq({ found(answers, scope, "abc") }, { "d old", "stop" })
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
  t.ne(prefix.scope(q, "", "one digest"), prefix.scope(q, "", "another"))
end)

test("prefix: a prompt that is a message is not gone on with", function(t)
  t.eq(prefix.scope(q_of { prompt = "Hello" }, "", "d"), nil)
  t.eq(prefix.scope(q_of { prompt = "Hello", suffix = "" }, "", "d"), nil)
  t.eq(prefix.scope(q_of { messages = {} , suffix = "x" }, "", "d"), nil)
  t.eq(prefix.scope(q_of({ prompt = "Hello", raw = true }, "/api/chat"), "", "d"), nil)
  t.ok(prefix.scope(q_of { prompt = "Hello", raw = true }, "", "d"))
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
        if rows[i] then return rows[i].kind, rows[i].key end
      end
    end,
    get = function(_, _, key)
      for _, row in ipairs(rows) do
        if row.key == key then return row.value, { made = 7 } end
      end
    end,
  }
  local one, other, scope = prefix.new(), prefix.new(), fill()
  one:keep(scope, FILL.prompt, "return a + b", "stop", file)
  rows[2] = { kind = "prefix", key = "k", value = "no record" }
  other:load(file)
  other:load(file)
  t.eq({ reads, other:find(scope, FILL.prompt .. "return") }, { 1, " a + b", "stop", 7 })
  t.eq({ other:find(scope, FILL.prompt .. "return", function(made) return made > 7 end) }, {})
end)

-- ---- completions through the gate ---------------------------------------------------------------------------------------------

local DONE <const> = '{"model":"m","response":"%s","done":%s,"done_reason":"stop","prompt_eval_count":9,"eval_count":4}'

--- A server that completes with "return a + b".
local function server()
  gate.forget()
  local seen = { asked = 0 }
  local one = fake(function(req, res)
    if req.path == "/api/tags" then
      return res:reply(200, {}, '{"models":[{"name":"m:latest","digest":"' .. ("1"):rep(64) .. '"}]}')
    end
    seen.asked = seen.asked + 1
    if not json.decode(req.body).stream then return res:reply(200, {}, DONE:format(seen.text or "return a + b", "true")) end
    res:start(200, { ["Content-Type"] = "application/x-ndjson" })
    res:write('{"model":"m","response":"return","done":false}\n')
    res:write('{"model":"m","response":" a + b","done":false}\n')
    res:write(DONE:format("", "true") .. "\n")
  end)
  seen.url = one.url
  return setmetatable(seen, { __close = function()
    one.server:close()
    gate.forget()
  end })
end

local function generate(on, changes)
  local given = { model = "m", endpoint = on.url, cache = true, options = { temperature = 0 } }
  for name, value in next, FILL do given[name] = value end
  for name, value in next, changes or {} do given[name] = value end
  return given
end

test("prefix: a completion that was typed on is not asked for again, and costs nothing", function(t)
  local on <close> = server()
  t.eq(ollama.generate(generate(on)).response, "return a + b")
  local reply = ollama.generate(generate(on, { prompt = FILL.prompt .. "return a" }))
  t.eq({ reply.response, reply.cached, reply.done_reason, reply.usage.calls, reply.usage.cached, on.asked },
    { " + b", "prefix", "stop", 0, 1, 1 })
  t.eq(ollama.generate(generate(on)).cached, "exact")
end)

test("prefix: what was typed otherwise is asked for, as is another suffix; and without a cache everything", function(t)
  local on <close> = server()
  ollama.generate(generate(on))
  local typed = FILL.prompt .. "re"
  for _, changes in ipairs { { prompt = FILL.prompt .. "print" }, { prompt = typed, suffix = "x" },
    { prompt = typed, cache = false }, { prompt = typed, options = { temperature = 0, num_predict = 9 } } } do
    local before = on.asked
    t.eq({ ollama.generate(generate(on, changes)).cached, on.asked }, { nil, before + 1 })
  end
end)

test("prefix: it comes as a stream, too, and from one", function(t)
  local on <close> = server()
  local function streamed(changes)
    local list, last = {}, nil
    for event in ollama.stream(generate(on, changes)) do
      if event.type == "text" then list[#list + 1] = event.text end
      last = event
    end
    return table.concat(list), last
  end
  t.eq((streamed()), "return a + b")
  local text, last = streamed { prompt = FILL.prompt .. "ret" }
  t.eq({ text, last.cached, last.reason, last.usage.calls, on.asked }, { "urn a + b", "prefix", "stop", 0, 1 })
  local whole = ollama.generate(generate(on, { prompt = FILL.prompt .. "return" }))
  t.eq({ whole.response, whole.cached, on.asked }, { " a + b", "prefix", 1 })
end)

test("prefix: another process finds it in the file; an answer older than its ttl is not gone on with", function(t)
  local on <close> = server()
  files.path = t.tmp() .. "/cache.db"
  local after <close> = setmetatable({}, { __close = function() files.path = nil end }) -- luacheck: ignore
  files.forget()
  ollama.generate(generate(on, { cache = { ttl = 60 } }))
  gate.forget() -- all that this process knows
  local typed = { prompt = FILL.prompt .. "re", cache = { ttl = 60 } }
  t.eq({ ollama.generate(generate(on, typed)).cached, on.asked }, { "prefix", 1 })
  require "stoke.time".sleep(61)
  t.eq({ ollama.generate(generate(on, typed)).cached, on.asked }, { nil, 2 })
end)
