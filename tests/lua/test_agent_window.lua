-- The context window: a history never exceeds it; the budget of tokens: never overspent.

local test = require "stoke.test"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local scripted = require "scripted"
local stoke = require "stoke"

local MODEL = scripted.MODEL

--- Tokens of a request as the simulator counts them.
local function tokens(request)
  local bytes = 0
  for _, m in ipairs(request.messages) do bytes = bytes + #(m.content or "") + 12 end
  return bytes // 4
end

test("window: a long conversation stays within it, with instructions and the newest question", function(t)
  local server <close> = scripted(function(_, n) return "answer " .. n .. " " .. ("words "):rep(60) end, { context = 2048 })
  local bot = stoke.agent { name = "bot", model = MODEL, instructions = "You are a historian.", endpoint = server.url }
  local chat = bot:session()
  for i = 1, 40 do chat:run("question " .. i .. " " .. ("why "):rep(40)) end
  t.eq(#chat.messages, 80)
  for i, request in ipairs(server.requests) do
    t.ok(tokens(request) <= 2048, "request " .. i)
    t.eq(request.messages[1].content, "You are a historian.")
    t.match(request.messages[#request.messages].content, "^question " .. i .. " ")
  end
end)

test("window: between compactions each request begins with the bytes of the one before", function(t)
  local server <close> = scripted(function() return ("words "):rep(60) end, { context = 2048 })
  local chat = stoke.agent { model = MODEL, instructions = "x", endpoint = server.url }:session()
  for i = 1, 40 do chat:run("question " .. i .. " " .. ("why "):rep(40)) end
  local breaks = 0
  for i = 2, #server.requests do
    local before, now = server.requests[i - 1].messages, server.requests[i].messages
    local same = #now > #before
    for k = 1, same and #before or 0 do same = same and before[k].content == now[k].content end
    if not same then breaks = breaks + 1 end
  end
  t.ok(breaks >= 2 and breaks <= 8, breaks .. " compactions in 40 turns")
end)

test("window: a call and its results stay or fall together", function(t)
  local n = 0
  local page = stoke.tool { name = "page", run = function() n = n + 1 return "page " .. n .. " " .. ("text "):rep(120) end }
  local server <close> = scripted(function(_, k)
    if k < 25 then return { tool_calls = { { name = "page", arguments = {} }, { name = "page", arguments = {} } } } end
    return "done"
  end, { context = 2048 })
  local result = stoke.agent { model = MODEL, tools = { page }, max_steps = 30, endpoint = server.url }:run "Read all pages."
  t.eq(result.text, "done")
  for _, request in ipairs(server.requests) do
    local open = {}
    for _, m in ipairs(request.messages) do
      for _, c in ipairs(m.tool_calls or {}) do open[c.id] = true end
      if m.role == "tool" then
        t.ok(open[m.tool_call_id], "a result without its call")
        open[m.tool_call_id] = nil
      end
    end
    t.eq(next(open), nil, "a call without its result")
    t.eq(request.messages[1].content, "Read all pages.")
  end
end)

test("window: what falls out is summarized when asked for, in a message of the conversation", function(t)
  local summaries = {}
  local server <close> = scripted(function(request)
    if request.messages[1].content:find "^Summarize the conversation" then
      summaries[#summaries + 1] = request.messages[2].content
      return "SUMMARY " .. #summaries
    end
    return ("words "):rep(80)
  end, { context = 2048 })
  local chat = stoke.agent { model = MODEL, instructions = "Be kind.", summarize = true, endpoint = server.url }:session()
  for i = 1, 25 do chat:run("question " .. i .. " " .. ("why "):rep(40)) end
  t.ok(#summaries >= 2)
  t.match(summaries[1], "question 1 ")
  t.match(summaries[2], "Earlier: SUMMARY 1")
  local messages = server.requests[#server.requests].messages
  t.eq(messages[1], { role = "system", content = "Be kind." }) -- what a tool said may be in the summary
  t.match(messages[2].content, "^Summary of the conversation so far, for information:\nSUMMARY %d+$")
  t.eq(messages[2].role, "user")
end)

test("window: a question that cannot fit is an error with the numbers", function(t)
  local server <close> = scripted({ "x" }, { context = 2048 })
  local bot = stoke.agent { model = MODEL, endpoint = server.url }
  local err = t.raises("context_overflow", bot.run, bot, ("long "):rep(4000))
  t.match(err.message, "context window 2048")
end)

test("window: a large result of a tool is cut to leave room", function(t)
  local huge = stoke.tool { name = "huge", max_output = 1 << 20, run = function() return ("data "):rep(50000) end }
  local server <close> = scripted({ { tool_calls = { { name = "huge", arguments = {} } } }, "done" }, { context = 2048 })
  local result = stoke.agent { model = MODEL, tools = { huge }, endpoint = server.url }:run "x"
  t.eq(result.text, "done")
  t.match(result.messages[3].content, "%[cut: the first %d+ of %d+ bytes%]$")
  t.ok(tokens(server.requests[2]) < 2048)
end)

test("budget: an agent of agents stops at its tokens, exactly as the server counted them", function(t)
  local server <close> = scripted(function(request)
    if request.messages[1].content == "work" then return ("result "):rep(30) end
    return { tool_calls = { { name = "worker", arguments = { input = "part " .. #request.messages } } } }
  end)
  local worker = stoke.agent { name = "worker", model = MODEL, instructions = "work", endpoint = server.url }
  local boss = stoke.agent { name = "boss", model = MODEL, tools = { worker }, max_steps = 100, endpoint = server.url,
    budget = { tokens = 3000 } }
  local err = t.raises("budget", function() boss:run "Do everything." end)
  local m = server.sim.ledger.models[MODEL]
  local counted = m.prompt_tokens + m.tokens
  t.eq(err.used, counted, "the gate and the server agree")
  t.ok(counted <= 3000, counted .. " tokens")
  t.ok(counted > 2000, "it was nearly used up: " .. counted)
  t.eq(err.work.usage.input_tokens + err.work.usage.output_tokens, counted)
  t.ok(#err.work.messages > 3)
  t.eq(err.exit, 6)
end)

test("budget: agents side by side do not spend the same tokens", function(t)
  local server <close> = scripted(function() return { text = ("word "):rep(100), delay = 1 } end, { slots = 8, max_loaded = 1 })
  local bot = stoke.agent { model = MODEL, endpoint = server.url }
  local _, err = stoke.try(function()
    local scope <close> = stoke.scope { budget = { tokens = 2000 } }
    local items = {}
    for i = 1, 40 do items[i] = i end
    scope:map(items, function(i) return bot:run("item " .. i).text end, { limit = 8 })
  end)
  t.eq(err.kind, "budget")
  local m = server.sim.ledger.models[MODEL]
  t.ok(m.prompt_tokens + m.tokens <= 2000, m.prompt_tokens + m.tokens)
  t.ok(m.prompt_tokens + m.tokens > 1000, m.prompt_tokens + m.tokens)
end)

test("budget: what is left bounds the answer (num_predict)", function(t)
  local server <close> = scripted(function() return ("word "):rep(400) end)
  local scope <close> = stoke.scope { budget = { tokens = 200 } }
  local result = stoke.agent { model = MODEL, endpoint = server.url }:run "Talk."
  t.eq(result.reason, "length")
  t.ok(server.requests[1].options, json.encode(server.requests[1].options or {}))
  local m = server.sim.ledger.models[MODEL]
  t.ok(m.prompt_tokens + m.tokens <= 200)
  t.eq(scope.budget.used.tokens, m.prompt_tokens + m.tokens)
  t.eq(scope.budget.held, 0)
end)

test("budget: a stream that is left early counts what it was asked with, and what has come", function(t)
  local server <close> = scripted({ ("word "):rep(400) }, { tokens_per_second = 10 })
  local scope <close> = stoke.scope { budget = { tokens = 1000 } }
  local texts = 0
  for ev in ollama.stream { model = MODEL, prompt = "Talk about rivers, please.", endpoint = server.url, merge = false } do
    if ev.type == "text" then texts = texts + 1 end
    if texts == 7 then break end
  end
  local used = scope.budget.used.tokens
  t.ok(used >= 7 + 8 and used <= 7 + 16, used)
  t.eq(scope.budget.held, 0)
  local err = t.raises("budget", function() -- leaving early again and again does not spend more than there is
    for _ = 1, 1000 do
      for ev in ollama.stream { model = MODEL, prompt = "Talk.", endpoint = server.url } do
        if ev.type == "text" then break end
      end
    end
  end)
  t.ok(err.used <= 1000)
end)

test("window: one of a profile holds, however small it is", function(t)
  stoke.models { ["small:1b"] = { num_ctx = 512 } }
  local server <close> = scripted(function() return ("words "):rep(30) end, { models = { { name = "small:1b" } } })
  local chat = stoke.agent { model = "small:1b", instructions = "x", endpoint = server.url }:session()
  local repairs = 0
  for i = 1, 30 do
    local question = "question " .. i .. " " .. ("why "):rep(20)
    local shown = json.decode(chat:next_request(question).body)
    repairs = repairs + chat:run(question).usage.repairs
    t.eq(#shown.messages, #server.requests[#server.requests].messages)
  end
  t.eq(repairs, 0)
end)

test("budget: a question that it refuses is no step", function(t)
  local server <close> = scripted(function(_, n) return { tool_calls = { { name = "look", arguments = { at = n } } } } end)
  local look = stoke.tool { name = "look", params = { at = "integer" }, run = function(a) return "nothing at " .. a.at end }
  local bot = stoke.agent { model = MODEL, tools = { look }, endpoint = server.url, budget = { calls = 3 } }
  local err = t.raises("budget", bot.run, bot, "Look.")
  t.eq({ err.work.steps, err.work.usage.calls, #server.requests }, { 3, 3, 3 })
end)
