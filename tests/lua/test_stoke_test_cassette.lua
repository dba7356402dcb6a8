-- stoke test: cassettes, recorded from `stoke sim` on a port and replayed without it.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local json = require "stoke.json"
local proc = require "stoke.proc"
local redact = require "core.redact"
local stoke = require "stoke"

local PASSED_ON = require "binary".PASSED_ON
local HEAD = 'local test, stoke, ollama = require "stoke.test", require "stoke", require "stoke.ollama"\n'

-- A server in a process of its own, and its address, which is its first line.
local function server(script)
  local child = proc.spawn { argv = { about.executable(), "sim", "--port", "0", "--load-seconds", "0.05",
    "--tokens-per-second", "500", script and "--script", script }, env_allow = PASSED_ON, stderr = "merge", stdin = false }
  return child, (child:lines()():match "^http://[%d.]+:%d+$")
end

-- A folder with a_test.lua; run(...) is `stoke test ...` in it, record(...) the same with a server; `env` is added to both.
local function place(text)
  local path = proc.run { argv = { "mktemp", "-d" } }.stdout:gsub("\n$", "")
  local env = {}
  local self = setmetatable({ path = path, env = env }, { __close = function() fs.remove(path, { recursive = true }) end })
  function self.write(code) fs.write(path .. "/a_test.lua", HEAD .. code) end
  function self.run(...)
    local vars = { HOME = path, WORD = env.WORD, OLLAMA_API_KEY = env.OLLAMA_API_KEY, OLLAMA_HOST = env.OLLAMA_HOST }
    local r = proc.run { argv = { about.executable(), "test", ... }, cwd = path, env = vars, env_allow = PASSED_ON, stdin = "",
      timeout = 60 }
    r.all = r.stdout .. r.stderr
    r.last = r.stdout:match "([^\n]*)\n$"
    return r
  end
  function self.script(code)
    self.replies = path .. "/replies.lua"
    fs.write(self.replies, code)
  end
  function self.record(...)
    local _ <close>, url = server(self.replies)
    env.OLLAMA_HOST = url
    local r = self.run("--record", ...)
    env.OLLAMA_HOST = nil
    return r
  end
  function self.cassette(name) return path .. "/cassettes/" .. (name or "a_test-asks") .. ".jsonl" end
  self.write(text)
  return self
end

local function has(t, r, text) t.ok(r.all:find(text, 1, true), ("no %q in:\n%s"):format(text, r.all)) end

local function records(path)
  local list = {}
  for line in fs.read(path):gmatch "[^\n]+" do list[#list + 1] = json.decode(line) end
  return list
end

local ASKS = [[
  local function ask(text)
    local messages = { { role = "system", content = "Be short." }, { role = "user", content = text } }
    return ollama.chat { model = "qwen2.5:3b", messages = messages }.message.content
  end
  test("asks", { cassette = true }, function(t)
    local word = stoke.env.get "WORD" or "Oslo"
    print("answer: " .. ask("What is the weather in " .. word .. " today?"))
    t.ok(ask "And tomorrow?")
    if word == "again" or word == "show" then t.fail "shown" end
  end)]]

test("cassette: without one the test fails and says how to record it", { real = true }, function(t)
  local here <close> = place(ASKS)
  local r = here.run()
  t.eq({ r.code, r.last }, { 1, "0 passed, 1 failed" })
  has(t, r, "there is no cassette cassettes/a_test-asks.jsonl, so this test cannot run without a server\n"
    .. "     record it, with the server running: stoke test a_test.lua -f asks --record\n")
end)

test("cassette: recorded once, replayed offline; deleted, it is missed", { real = true }, function(t)
  local here <close> = place(ASKS)
  local r = here.record()
  has(t, r, "recorded cassettes/a_test-asks.jsonl, 2 requests\n")
  t.eq(r.last, "1 passed, 0 failed")
  local list = records(here.cassette())
  t.eq({ #list, list[1].cassette, list[1].test }, { 5, 2, "asks" })
  t.eq({ list[2].n, list[2].effect, list[2].request.body.messages[2].content },
    { 1, "llm.chat", "What is the weather in Oslo today?" })
  t.ok(list[3].at > 0 and list[3].value.message.content)
  t.eq(here.run().last, "1 passed, 0 failed")
  fs.remove(here.cassette())
  has(t, here.run(), "there is no cassette cassettes/a_test-asks.jsonl")
end)

test("cassette: a miss says which byte of which message changed, and how to record again", { real = true }, function(t)
  local here <close> = place(ASKS)
  here.record()
  here.env.WORD = "Rome"
  local r = here.run()
  t.eq({ r.code, r.last }, { 1, "0 passed, 1 failed" })
  has(t, r, "llm.chat qwen2.5:3b is not on the cassette cassettes/a_test-asks.jsonl (2 requests); "
    .. "nearest is request 1: messages[2].content differs at byte 24\n")
  has(t, r, 'recorded: "What is the weather in Oslo today?"\n')
  has(t, r, 'asked:    "What is the weather in Rome today?"\n')
  has(t, r, "record it again: stoke test a_test.lua -f asks --record")
end)

test("cassette: a miss fails the test also when its error is caught, a request too many as well", { real = true }, function(t)
  local text = [[
    test("asks", { cassette = true }, function()
      for _ = 1, tonumber(stoke.env.get "WORD") do
        stoke.try(ollama.chat, { model = "qwen2.5:3b", messages = { { role = "user", content = "x" } } })
      end
    end)]]
  local here <close> = place(text)
  here.env.WORD = "2"
  t.eq(here.record().last, "1 passed, 0 failed")
  t.eq(here.run().last, "1 passed, 0 failed")
  here.env.WORD = "1" -- fewer are no mistake
  t.eq(here.run().last, "1 passed, 0 failed")
  here.env.WORD = "3"
  local r = here.run()
  t.eq(r.last, "0 passed, 1 failed")
  has(t, r, "llm.chat qwen2.5:3b is asked 3 times, but is on the cassette cassettes/a_test-asks.jsonl (2 requests) only 2 times")
  here.write((text:gsub('content = "x"', 'content = "x", images = { "aGk=" }')))
  has(t, here.run(), "messages[1].images is new: ")
end)

test("cassette: streams, errors, tool calls and the web are replayed as they came", { real = true }, function(t)
  local here <close> = place [[
    local json = require "stoke.json"
    local f = { type = "function", ["function"] = { name = "look", parameters = { type = "object", properties = {
      z = { type = "string" }, a = { type = "string" } }, required = { "z", "a" } } } }
    test("asks", { cassette = true }, function(t)
      local seen = {}
      for ev in ollama.stream { model = "qwen2.5:3b", messages = { { role = "user", content = "look z a" } }, tools = { f } } do
        seen[#seen + 1] = json.encode { ev.type, ev.text or "", ev.name or "", ev.arguments or "" }
        if ev.call then t.ok(rawequal(ev.arguments, ev.call["function"].arguments)) end
        if ev.usage then seen[#seen + 1] = ev.usage.output_tokens end
      end
      for ev in ollama.stream { model = "qwen2.5:3b", prompt = "Hello" } do
        if ev.type == "text" then break end
      end
      local _, err = stoke.try(ollama.chat, { model = "nothere", messages = { { role = "user", content = "x" } } })
      seen[#seen + 1] = ("%s %s %s"):format(err.kind, err.status, err.message)
      local res = stoke.http.get(stoke.env.get "WORD")
      seen[#seen + 1] = ("%d %s %s"):format(res.status, res.headers["content-type"], res.body)
      seen[#seen + 1] = ollama.version().version
      t.ok(#seen > 5)
      t.golden("seen", seen)
    end)]]
  -- The web is the same server, at an address that the recording has to know beforehand.
  local child <close>, url = server()
  here.env.WORD, here.env.OLLAMA_HOST = url .. "/api/status", url
  local r = here.run("--record", "--update")
  t.eq(r.last, "1 passed, 0 failed", r.all)
  here.env.OLLAMA_HOST = nil
  child:close()
  r = here.run()
  t.eq(r.last, "1 passed, 0 failed", r.all)
  local ends = {}
  for _, record in ipairs(records(here.cassette())) do
    for _, kind in ipairs { "end", "cut", "error", "value" } do
      if record[kind] ~= nil then ends[#ends + 1] = kind end
    end
  end
  t.eq(ends, { "end", "cut", "error", "value", "value" })
end)

test("cassette: a stream that was left early is no longer than it was", { real = true }, function(t)
  local text = [[
    test("asks", { cassette = true }, function()
      local n = 0
      for ev in ollama.stream { model = "qwen2.5:3b", prompt = "Hello" } do
        n = n + 1
        if n == 2 then break end
      end
    end)]]
  local here <close> = place(text)
  t.eq(here.record().last, "1 passed, 0 failed")
  here.write((text:gsub("n == 2", "false")))
  has(t, here.run(), "was left before its end when it was recorded (request 1 of 1 on cassettes/a_test-asks.jsonl)")
end)

test("cassette: a reader that waits for more when its stream is left waits for it again", { real = true }, function(t)
  local here <close> = place [[
    test("asks", { cassette = true }, function(t)
      local pieces, bot = 0, stoke.agent { model = "qwen2.5:3b" }
      for ev in bot:stream "Hello" do -- the run behind it reads on, in a task of its own
        if ev.type == "text" then pieces = pieces + 1 end
        if pieces == 2 then break end
      end
      local late = stoke.spawn(function()
        local began = os.clock()
        repeat until os.clock() - began > 0.05 -- a wait that no virtual clock knows
        return bot:run "Once more"
      end)
      stoke.sleep(0.06)
      late:cancel()
      local _, err = stoke.try(late.await, late)
      t.eq({ pieces, err.kind }, { 2, "cancelled" })
    end)]]
  here.script 'return { { text = "one two three four", tps = 20 }, { text = "never", tps = 2 } }'
  t.eq(here.record().last, "1 passed, 0 failed")
  local r = here.run()
  t.eq(r.last, "1 passed, 0 failed", r.all)
end)

test("cassette: of an agent run that was not recorded a miss names the question, not what it knows", { real = true }, function(t)
  local text = [[
    test("asks", { cassette = true }, function()
      local bot = stoke.agent { model = "qwen2.5:3b" }
      bot:run "Hello"
    end)]]
  local here <close> = place(text)
  t.eq(here.record().last, "1 passed, 0 failed")
  here.write((text:gsub('bot:run "Hello"', '%0 bot:run "And then?"')))
  local r = here.run()
  has(t, r, "llm.chat")
  t.ok(not r.all:find("llm.learned", 1, true), r.all)
end)

test("cassette: one that was cut short or edited is refused, by name and with the way to mend it", { real = true }, function(t)
  local here <close> = place [[
    test("asks", { cassette = true }, function()
      ollama.chat { model = "qwen2.5:3b", messages = { { role = "user", content = "Hello" } } }
      for _ in ollama.stream { model = "qwen2.5:3b", prompt = "Hello" } do end
    end)]]
  t.eq(here.record().last, "1 passed, 0 failed")
  local whole = fs.read(here.cassette())
  local function refused(text, words)
    t.ne(text, whole)
    fs.write(here.cassette(), text)
    local r = here.run()
    t.eq(r.last, "0 passed, 1 failed")
    has(t, r, "cassettes/a_test-asks.jsonl" .. words)
    has(t, r, "record it again: stoke test a_test.lua")
  end
  refused(whole:match "^[^\n]*\n[^\n]*\n", " is not whole: what came of request 1 is missing")
  refused(whole:gsub('\n[^\n]*"end"[^\n]*', ""), " is not whole: what came of request 2 is missing")
  refused(whole:gsub('\n[^\n]*"type":"done"[^\n]*', ""), " is not whole: what came of request 2 is missing, or a part of it")
  refused(whole:gsub('"chunk":%b{}', '"chunk":5', 1), ":5 is no line of a cassette")
  refused(whole:gsub('"request":%b{}', '"request":5', 1), ":2 is no line of a cassette")
  refused(whole:gsub('"at":[%d.]+', '"at":"soon"', 1), ":2 is no line of a cassette")
  refused(whole:gsub('"start":[%d.]+', '"start":"now"', 1), ":1 is no line of a cassette")
end)

test("cassette: time, chance and pace are those of the recording, but take no time", { real = true }, function(t)
  local here <close> = place [[
    test("asks", { cassette = true }, function(t)
      local word = math.random(1 << 40) .. os.date "!%Y-%m-%d"
      local began = stoke.time.monotonic()
      for _ in ollama.stream { model = "qwen2.5:3b", prompt = word } do end
      stoke.sleep(0.5)
      print("took " .. stoke.time.monotonic() - began)
      if stoke.env.get "WORD" then t.fail "shown" end
    end)]]
  t.eq(here.record().last, "1 passed, 0 failed")
  here.env.WORD = "show"
  local began = stoke.time.monotonic()
  local r = here.run("--seed", "77")
  t.ok(stoke.time.monotonic() - began < 0.5, "it waited")
  t.ok(tonumber(r.all:match "took ([%d.]+)") > 0.55, r.all) -- the simulator loads and answers, then the half second
  has(t, r, "shown")
end)

test("cassette: a recording that fails keeps the old one, and only tests that have one are recorded", { real = true }, function(t)
  local here <close> = place(ASKS .. '\ntest("plain", function(t) t.raises("denied", stoke.http.get, "http://127.0.0.1:9/") end)')
  t.eq(here.record().last, "2 passed, 0 failed")
  local before = fs.read(here.cassette())
  here.env.WORD = "again"
  local r = here.record()
  has(t, r, "(the cassette was not written)")
  t.eq(fs.read(here.cassette()), before)
  here.env.OLLAMA_HOST = "http://127.0.0.1:9"
  t.eq(here.run("--record", "-f", "asks").last, "0 passed, 1 failed")
  t.eq(fs.read(here.cassette()), before)
end)

test("cassette: secrets stay off it, and the same request with another secret is still known", { real = true }, function(t)
  local child <close>, url = server()
  local here <close> = place(([[
    test("asks", { cassette = "shared" }, function()
      local word = stoke.env.get "WORD"
      local content = "my key is " .. stoke.env.get "OLLAMA_API_KEY"
      ollama.chat { model = "qwen2.5:3b", messages = { { role = "user", content = content } } }
      stoke.http.get("%s/api/status?city=Oslo&api_key=" .. word,
        { headers = { Authorization = "Bearer " .. word, ["X-Api-Key"] = word } })
      stoke.http.post("%s/api/show", { json = { model = "qwen2.5:3b", password = word } })
    end)]]):format(url, url))
  here.env.WORD, here.env.OLLAMA_API_KEY, here.env.OLLAMA_HOST = "s3cret-one", "ollama-key-1", url
  local r = here.run "--record"
  t.eq(r.last, "1 passed, 0 failed", r.all)
  local text = fs.read(here.cassette "shared")
  t.ok(not text:find("s3cret", 1, true) and not text:find("ollama-key", 1, true), text)
  t.contains(text, "city=Oslo&api_key=[redacted]")
  t.contains(text, '"Authorization: [redacted]"')
  t.contains(text, '"my key is [redacted]"')
  child:close()
  here.env.WORD, here.env.OLLAMA_API_KEY, here.env.OLLAMA_HOST = "another-s3cret", "ollama-key-2", nil
  r = here.run()
  t.eq(r.last, "1 passed, 0 failed", r.all)
end)

test("cassette: a file that is none is refused with its line", { real = true }, function(t)
  local here <close> = place(ASKS)
  fs.mkdir(here.path .. "/cassettes")
  fs.write(here.cassette(), '{"cassette":1,"seed":1,"start":1.0,"test":"asks"}\nnot json\n')
  has(t, here.run(), "cassettes/a_test-asks.jsonl:2 is no line of a cassette")
end)

test("cassette: t.model has no place beside one", { real = true }, function(t)
  local here <close> = place 'test("asks", { cassette = true }, function(t) t.model { "x" } end)'
  has(t, here.record(), "t.model: this test has a cassette, which answers for all models")
end)

test("redact: names that say secret, and no others", function(t)
  for _, name in ipairs { "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-API-Key", "api_key", "apikey", "key",
    "access_token", "token", "client_secret", "password", "sig", "signature" } do
    t.ok(redact.secret(name), name)
  end
  for _, name in ipairs { "Accept", "max_tokens", "keyword", "monkey", "Content-Type", "model", "author", "tokens" } do
    t.ok(not redact.secret(name), name)
  end
  local r = redact.new()
  t.eq(r:url "https://me:pass1234@h/x?a=1&key=abcdefgh#f", "https://[redacted]@h/x?a=1&key=[redacted]#f")
  t.eq(r:text "say abcdefgh and pass1234", "say [redacted] and [redacted]")
end)

test("redact: answers, headers with URLs, and the other ways to write a secret", function(t)
  local r = redact.new()
  local body, found = r:fields { id = 1, access_token = "RESP0006", inner = { { pwd = "x" } } }
  t.eq({ body, found }, { { id = 1, access_token = redact.MARK, inner = { { pwd = redact.MARK } } }, true })
  t.eq(select(2, r:fields { id = "token" }), false)
  t.eq(r:header "Location: http://u:pw12345@x/?token=LOC00009", "Location: http://[redacted]@x/?token=[redacted]")
  r:url "http://x/?key=A%20B%2FC0006"
  r:fields { password = 'a"b\\c0007' }
  t.eq(r:text 'A%20B%2FC0006 A B/C0006 a"b\\c0007 {"x":"a\\"b\\\\c0007"}',
    '[redacted] [redacted] [redacted] {"x":"[redacted]"}')
end)

test("cassette: secrets in an answer stay off it", { real = true }, function(t)
  local folder <close> = place ""
  local cassettes = require "stoke.test.cassette"
  local tape = cassettes.record(folder.path .. "/cassettes/a.jsonl", "tokens", 1)
  local entry = tape:open("http.request", { method = "GET", url = "http://x/", headers = {} })
  tape:put(entry, "value", 0, { status = 200, head = "Location: /?sig=LOC00009\n",
    body = '{"b":1,"access_token":"RESP0006","a":2}' })
  entry = tape:open("http.request", { method = "POST", url = "http://x/", headers = {}, body = "\xFF RESP0006" })
  tape:put(entry, "value", 0, { status = 200, head = "", body = "RESP0006 \xFF" })
  tape:save()
  local text = fs.read(folder.path .. "/cassettes/a.jsonl")
  t.ok(not text:find "RESP0006" and not text:find "LOC00009" and not text:find "5245535030303036", text)
  t.contains(text, '{\\"b\\":1,\\"access_token\\":\\"[redacted]\\",\\"a\\":2}')
end)

-- ---- what was met on the way is part of the outcome ------------------------------------------------------------------------

test("cassette: a retry and a call written as text are replayed, and counted as they were", { real = true }, function(t)
  local at <close> = place ""
  at.script [[return { { fault = "503" }, '{"name": "where", "arguments": {}}', "done" }]]
  at.write [[
    test("a bad day", { cassette = true }, function(t)
      local where = stoke.tool { name = "where", run = function() return "Oslo" end }
      local result = stoke.agent { model = "qwen2.5:3b", tools = { where } }:run "hello"
      t.eq({ result.text, result.usage.attempts, result.usage.repairs, result.usage.tool_calls }, { "done", 3, 1, 1 })
    end)]]
  t.eq(at.record().last, "1 passed, 0 failed", "recording")
  t.eq(at.run().last, "1 passed, 0 failed", "replaying")
end)

test("cassette: another budget finds the same request", { real = true }, function(t)
  local at <close> = place ""
  local code = [[
    test("within a budget", { cassette = true }, function(t)
      local scope <close> = stoke.scope { budget = { tokens = %d } } -- luacheck: ignore
      t.ok(#ollama.generate { model = "qwen2.5:3b", prompt = "hello" }.response > 0)
    end)]]
  at.write(code:format(1500))
  t.eq(at.record().last, "1 passed, 0 failed", "recording")
  at.write(code:format(1600))
  t.eq(at.run().last, "1 passed, 0 failed", "replaying")
end)

test("cassette: what a person approved is not asked about again", { real = true }, function(t)
  local web <close> = require "stoke.http".serve { port = 0, handler = function() return "hello" end }
  local at <close> = place(([[
    test("asks a person", { cassette = true }, function(t)
      stoke.policy { ask = { host = { "*" } } }
      local person = stoke.spawn(function()
        for _ = 1, 100 do
          for _, entry in ipairs(stoke.pending()) do entry:approve() end
          stoke.sleep(0.01)
        end
      end)
      if stoke.env.get "WORD" then person:cancel() end
      t.eq(stoke.http.get("%s").body, "hello")
      person:cancel()
    end)]]):format(web.url))
  t.eq(at.record().last, "1 passed, 0 failed", "recording")
  at.env.WORD = "nobody is there"
  t.eq(at.run().last, "1 passed, 0 failed", "replaying")
end)

test("cassette: a refusal is replayed, and a budget counts what is replayed", { real = true }, function(t)
  local at <close> = place [[
    test("spends its budget", { cassette = true }, function(t)
      local scope <close> = stoke.scope { budget = { calls = 2 } }
      local kinds = {}
      for i = 1, 3 do
        local _, err = stoke.try(ollama.generate, { model = "qwen2.5:3b", prompt = "hello " .. i })
        kinds[i] = err and err.kind or "done"
      end
      t.eq(kinds, { "done", "done", "budget" })
      t.eq(scope.budget.used.calls, 2)
      t.ok(scope.budget.used.tokens > 0)
    end)]]
  t.eq(at.record().last, "1 passed, 0 failed", "recording")
  t.eq(at.run().last, "1 passed, 0 failed", "replaying")
end)

-- ---- streams ------------------------------------------------------------------------------------------------------------------

test("cassette: a stream of the web is replayed, and what is secret in its head stays off", { real = true }, function(t)
  local web <close> = require "stoke.http".serve { port = 0, handler = function(_, res)
    res:start(200, { ["Set-Cookie"] = "id=s3cretcookie", ["Content-Type"] = "text/plain" })
    res:write "one\ntw\xFF\n"
  end }
  local at <close> = place(([[
    test("asks", { cassette = true }, function(t)
      local res, lines = stoke.http.get("%s/api", { stream = "lines" }), {}
      for line in res:lines() do lines[#lines + 1] = line end
      t.eq({ res.status, res.headers["content-type"], lines }, { 200, "text/plain", { "one", "tw\xFF" } })
      local bytes = {}
      for piece in stoke.http.get("%s/api", { stream = "bytes" }):chunks() do bytes[#bytes + 1] = piece end
      t.eq(table.concat(bytes), "one\ntw\xFF\n")
    end)]]):format(web.url, web.url))
  local r = at.record()
  t.eq(r.last, "1 passed, 0 failed", r.all)
  t.ok(not fs.read(at.cassette()):find("s3cret", 1, true))
  web:close()
  r = at.run()
  t.eq(r.last, "1 passed, 0 failed", r.all)
end)

test("cassette: one with the pieces of a stream among those of others, as they were written before, is replayed", { real = true },
function(t)
  local at <close> = place [[
    test("asks", { cassette = true }, function(t)
      local began, texts, times = stoke.time.monotonic(), {}, {}
      for ev in ollama.stream { model = "qwen2.5:3b", prompt = "Hello" } do
        texts[#texts + 1], times[#times + 1] = ev.text or ev.type, stoke.time.monotonic() - began
      end
      t.eq({ texts, times }, { { "a", "b", "done" }, { 0.25, 0.5, 0.75 } })
    end)]]
  fs.mkdir(at.path .. "/cassettes")
  fs.write(at.cassette(), [[
{"cassette":1,"seed":7,"start":1767225600.0,"stoke":"0","test":"asks"}
{"at":0.0,"effect":"llm.stream","n":1,"request":{"body":{"model":"qwen2.5:3b","prompt":"Hello","stream":true,"think":false,]] ..
[["truncate":false},"method":"POST","path":"/api/generate","protocol":"ollama"}}
{"at":0.25,"chunk":{"text":"a","type":"text"},"n":1}
{"at":0.5,"chunk":{"text":"b","type":"text"},"n":1}
{"at":0.75,"chunk":{"reason":"stop","reply":{"done":true},"type":"done","usage":{"input_tokens":1,"output_tokens":2}},"n":1}
{"at":0.75,"end":3,"n":1}
]])
  local r = at.run()
  t.eq(r.last, "1 passed, 0 failed", r.all)
end)

test("cassette: answers of the web, bytes and errors of format 1 are replayed", { real = true }, function(t)
  local at <close> = place [[
    test("asks", { cassette = true }, function(t)
      local res, bytes = stoke.http.get "http://127.0.0.1:18999/a", {}
      for piece in stoke.http.get("http://127.0.0.1:18999/b", { stream = "bytes" }):chunks() do bytes[#bytes + 1] = piece end
      local _, err = stoke.try(stoke.http.get, "http://127.0.0.1:9/c")
      t.eq({ res.body, res.headers["content-type"], bytes }, { "tw\xFF", "text/plain", { "tw\xFF" } })
      t.eq({ err.kind, err.code, err.message }, { "refused", 111, "cannot connect to 127.0.0.1:9: connection refused" })
    end)]]
  fs.mkdir(at.path .. "/cassettes")
  fs.write(at.cassette(), [[
{"cassette":1,"seed":7,"start":1767225600.0,"stoke":"0","test":"asks"}
{"at":0.0,"effect":"http.request","n":1,"request":{"headers":[],"method":"GET","url":"http://127.0.0.1:18999/a"}}
{"at":0.1,"n":1,"value":{"body":{"hex":"7477ff"},"head":"Content-Type: text/plain\nContent-Length: 3\n","status":200}}
{"at":0.1,"effect":"http.stream","n":2,"request":{"headers":[],"method":"GET","read":"bytes","url":"http://127.0.0.1:18999/b"}}
{"at":0.0,"chunk":{"bytes":{"hex":"7477ff"}},"n":2}
{"at":0.0,"end":1,"facts":{"about":{"head":"Content-Type: text/plain\n","status":200},"opened":0.0},"n":2}
{"at":0.2,"effect":"http.request","n":3,"request":{"headers":[],"method":"GET","url":"http://127.0.0.1:9/c"}}
{"at":0.0,"error":{"code":111,"kind":"refused","message":"cannot connect to 127.0.0.1:9: connection refused"},"n":3}
]])
  local r = at.run()
  t.eq(r.last, "1 passed, 0 failed", r.all)
end)
