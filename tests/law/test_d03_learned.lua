-- D3: what the process has learned of a model does not change what an agent run asks. The run begins with a record of it, which is
-- on the tape; from there on it learns from its own answers alone.

local test = require "stoke.test"
local endpoints = require "core.endpoint"
local http = require "stoke.http"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local proc = require "stoke.proc"
local scopes = require "core.scope"
local stoke = require "stoke"
local cassette = require "stoke.test.cassette"

local MODEL = "historian"

local count = 0

-- A server whose model counts eight bytes a token, so that what it teaches differs much from the guess of one who knows nothing.
-- `answer(n)` is the n-th message.
local function server(answer)
  count = count + 1
  local requests = {}
  local own = http.serve { mem = "law" .. count, drain = 0, max_body = 1 << 24, handler = function(req, res)
    if req.path ~= "/api/chat" then return res:reply(404, {}, "{}") end
    local body = json.decode(req.body)
    requests[#requests + 1] = body
    local bytes = 0
    for _, message in ipairs(body.messages) do bytes = bytes + #message.content end
    return res:reply(200, { ["Content-Type"] = "application/json" }, json.encode { model = MODEL, done = true, done_reason = "stop",
      message = answer and answer(#requests) or { role = "assistant", content = "Noted." }, prompt_eval_count = bytes // 8,
      eval_count = 3, total_duration = 1, load_duration = 1 })
  end }
  return setmetatable({ url = own.url, requests = requests }, { __close = function() own:close() end })
end

-- Fourteen long turns and a question: more than the window holds, unless a token has many bytes.
local function conversation()
  local messages = {}
  for i = 1, 14 do
    messages[2 * i - 1] = { role = "user", content = ("turn %d: "):format(i) .. ("some words of history "):rep(12) }
    messages[2 * i] = { role = "assistant", content = ("answer %d: "):format(i) .. ("more words of history "):rep(12) }
  end
  messages[#messages + 1] = { role = "user", content = "And then?" }
  return messages
end

local function agent(url, tools)
  return stoke.agent { name = "historian", model = MODEL, endpoint = url, tools = tools }
end

-- Another agent run has been there before.
local function teach(url) agent(url):run(("several other words "):rep(40)) end

-- Run f under a tape.
local function under(tape, f)
  local scope <close> = scopes.open { tape = tape } -- luacheck: ignore
  return f()
end

local function last(own) return own.requests[#own.requests] end

local function folder()
  local path = proc.run { argv = { "mktemp", "-d" } }.stdout:gsub("\n$", "")
  return path, setmetatable({}, { __close = function() proc.run { argv = { "rm", "-rf", path } } end })
end

-- Record a run in a process of one history, and replay it in one of another.
local function replayed(t, before_recording, before_replay)
  stoke.models { [MODEL] = { num_ctx = 2048 } }
  local path, gone = folder()
  local _ <close> = gone
  local own <close> = server()
  local bot = agent(own.url)
  before_recording(own.url)
  local tape = cassette.record(path .. "/d3.jsonl", "d3", 7)
  local first = under(tape, function() return bot:run(conversation()) end)
  local sent = #last(own).messages
  tape:save()
  before_replay(own.url)
  local asked, problems = #own.requests, {}
  local again = cassette.load(path .. "/d3.jsonl", function(flags) return flags end, problems)
  local second = under(again, function() return bot:run(conversation()) end)
  t.eq(problems, {})
  t.eq({ second.text, second.usage.input_tokens, #own.requests }, { first.text, first.usage.input_tokens, asked })
  return sent
end

local function fresh() endpoints.forget() end

test("d3: a run that began with knowledge asks the same in a process that has none", function(t)
  local knowing = replayed(t, teach, fresh)
  local knew_nothing = replayed(t, fresh, teach)
  t.ok(knowing > knew_nothing, ("what was learned makes a difference here: %d and %d messages"):format(knowing, knew_nothing))
end)

test("d3: what other runs learn meanwhile does not change what a run asks", function(t)
  stoke.models { [MODEL] = { num_ctx = 2048 } }
  local function second_question(meanwhile)
    fresh()
    local own <close> = server(function(n)
      if n > 1 then return nil end
      local call = { id = "call_1", ["function"] = { name = "wait", arguments = {} } }
      return { role = "assistant", content = "", tool_calls = { call } }
    end)
    local other <close> = server()
    local tool = stoke.tool { name = "wait", description = "Wait", params = {}, run = function()
      if meanwhile then meanwhile(own.url, other) end
      return "waited"
    end }
    agent(own.url, { tool }):run(conversation())
    return #last(own).messages
  end
  local alone = second_question()
  local beside = second_question(function(url)
    for _ = 1, 3 do endpoints.target(endpoints.of(url), MODEL, endpoints.of(url).targets[MODEL].dialect).learned.rate = 0.6 end
  end)
  t.eq(beside, alone)
end)

test("d3: a run learns from its own answers, and so do those that begin later", function(t)
  stoke.models { [MODEL] = { num_ctx = 2048 } }
  fresh()
  local own <close> = server()
  agent(own.url):run(conversation())
  local before = #last(own).messages
  agent(own.url):run(conversation())
  t.ok(#last(own).messages > before, "the second knows what the first was taught")
end)

-- f(url) under a recording in a process that has learned the window already, and replayed in one that has not: nobody asks for it.
local function window_known(t, f)
  local path, gone = folder()
  local _ <close> = gone
  fresh()
  local asked = 0
  local own = http.serve { mem = "lawps", drain = 0, max_body = 1 << 24, handler = function(req, res)
    if req.path == "/api/ps" then
      asked = asked + 1
      return res:reply(200, {}, json.encode { models = { { name = MODEL .. ":latest", context_length = 2048 } } })
    end
    return res:reply(200, {}, json.encode { model = MODEL, done = true, done_reason = "stop", prompt_eval_count = 900,
      message = { role = "assistant", content = "Noted." }, eval_count = 3 })
  end }
  local _ <close> = setmetatable({}, { __close = function() own:close() end })
  stoke.models { [MODEL] = {} }
  f(own.url)
  t.eq(asked, 1)
  local tape = cassette.record(path .. "/d3.jsonl", "d3", 7)
  under(tape, function() f(own.url) end)
  tape:save()
  fresh()
  local problems = {}
  under(cassette.load(path .. "/d3.jsonl", function(flags) return flags end, problems), function() f(own.url) end)
  t.eq({ problems, asked }, { {}, 1 }, "nobody asks for it again, in the recording or in its replay")
end

test("d3: a window that the server told is part of the record that an agent run begins with", function(t)
  window_known(t, function(url) agent(url):run(conversation()) end)
end)

test("d3: so it is of a call by hand", function(t)
  window_known(t, function(url) ollama.chat { model = MODEL, messages = conversation(), endpoint = url } end)
end)
