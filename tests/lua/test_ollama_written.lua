-- Requests written in one pass of C go out byte for byte as the way through Lua writes them, and what is wrong is told in its
-- words.

local test = require "stoke.test"
local errors = require "core.errors"
local fake = require "fake"
local json = require "stoke.json"
local model = require "stoke.model"
local ollama = require "stoke.ollama"
local protocol = require "stoke.ollama.protocol"
local stoke = require "stoke"
local unseen = require "unseen"

local REPLY = [[{"model":"m","message":{"role":"assistant","content":"ok"},"response":"ok","done":true,"done_reason":"stop",]]
  .. [["prompt_eval_count":12,"eval_count":2}]]

--- Whole numbers below `n`, the same in each run (Numerical Recipes' generator).
local function dice(seed)
  return function(n)
    seed = (seed * 1664525 + 1013904223) % 4294967296
    return seed // 65536 % n
  end
end

local TOOLS = { { type = "function", ["function"] = { name = "look", parameters = { type = "object" } } } }
local TEXTS = { "", "hi", "a \"quoted\" \\ line\n", "\u{e9}\u{1F600}", ("long "):rep(300), "\0\1</script>" }

--- One of several, or nothing.
local function maybe(roll, ...)
  local n = select("#", ...)
  local i = roll(2 * n)
  return i < n and (select(i + 1, ...)) or nil
end

local function text(roll) return TEXTS[roll(#TEXTS) + 1] end

local function message_of(roll)
  local made = { role = ({ "user", "assistant", "system", "tool" })[roll(4) + 1], content = text(roll) }
  if roll(4) == 0 then made.thinking = text(roll) end
  if roll(4) == 0 then made.tool_name, made.tool_call_id = "look", "call_1" end
  if roll(3) == 0 then
    made.tool_calls = { { id = maybe(roll, "call_1"), ["function"] = { name = "look", index = maybe(roll, 0),
      arguments = maybe(roll, { city = text(roll), n = roll(9) / 4 }, json.object { b = 1, a = { 1, 2 } }) or {} } } }
  end
  if roll(8) == 0 then made.tool_calls = {} end
  if roll(8) == 0 then made.images = { "aGk=" } end
  if roll(8) == 0 then made.extra = { roll(5) } end
  return made
end

--- Options of all sorts, now and then one that only the way through Lua knows, or one that is wrong.
local function given_of(roll, url)
  local given = { model = "m", endpoint = url, think = maybe(roll, true, false, "low"), truncate = maybe(roll, true, false) }
  given.options = maybe(roll, {}, { temperature = 0.5 }, { seed = 7, stop = { "x" }, num_predict = 9, top_p = 1 }, { stop = {} },
    { num_predict = 8.0 }, { temperature = "hot" }, { num_predict = 0.5 }, "creative", { num_ctx = 9 }, { new_option = { 1 } })
  given.format = roll(8) == 0 and { type = "object" } or nil
  given.split_thinking, given.any_arguments = maybe(roll, true, false), maybe(roll, true)
  given.think = roll(16) == 0 and "hard" or given.think
  if roll(2) == 0 then
    given.messages = {}
    for i = 1, roll(4) do given.messages[i] = message_of(roll) end
    if roll(16) == 0 then given.messages[1] = { role = "human", content = "hi" } end
    given.tools = roll(3) == 0 and TOOLS or nil
  else
    given.prompt, given.suffix, given.system = text(roll), maybe(roll, text(roll)), maybe(roll, text(roll))
    given.raw, given.context, given.template = maybe(roll, true, false), maybe(roll, { 1, 2 }, {}), maybe(roll, "{{ .Prompt }}")
  end
  return given
end

local function words_of(raised) return (errors.wrap(raised).message:gsub("ollama%.%w+", "it")) end

--- What goes out, or what is raised, by both ways.
local function both(t, server, given)
  local asked = #server.requests
  local fine, wanted = pcall(ollama.request, given)
  local sent, raised = pcall(given.messages and ollama.chat or ollama.generate, given)
  if not fine then
    t.eq({ sent, words_of(raised), #server.requests }, { false, words_of(wanted), asked })
    return false
  end
  t.eq({ #server.requests, server.requests[asked + 1].body }, { asked + 1, wanted.body })
  return true
end

local function profiled(profile)
  ollama.profiles { m = profile }
  return setmetatable({}, { __close = function() ollama.profiles { m = {} } end })
end

for _, case in ipairs {
  { "without a profile", {} },
  { "with a profile", { num_ctx = 4096, use_mmap = false, shift = false, temperature = 0.25, stop = { "end" }, seed = 3 } },
  { "with a window that grows", { num_ctx = "auto", temperature = 1 } },
} do
  test("random requests go out as Lua writes them, " .. case[1], function(t)
    local server <close> = fake { REPLY }
    local alone <close> = unseen() -- luacheck: ignore
    local _ <close> = profiled(case[2])
    local roll, fine = dice(#case[1]), 0
    for _ = 1, 200 do
      if both(t, server, given_of(roll, server.url)) then fine = fine + 1 end
    end
    t.ok(fine > 60 and fine < 200, fine)
  end)
end

local HI = { { role = "user", content = "hi" } }

test("a plain call is written at once; under a budget, and with a growing window, it is data", function(t)
  local alone <close> = unseen() -- luacheck: ignore
  local server <close> = fake { REPLY }
  local target = protocol.at("m", server.url)
  local function way()
    local q = protocol.chat(target, {}, false, HI)
    return rawget(q, "sent") ~= nil, rawget(q, "body") ~= nil
  end
  t.eq({ way() }, { true, false })
  do
    local scope <close> = stoke.scope { budget = { calls = 9 } } -- luacheck: ignore
    t.eq({ way() }, { false, true })
  end
  local _ <close> = profiled { num_ctx = "auto" }
  target = protocol.at("m", server.url)
  t.eq({ way() }, { false, true })
end)

test("an agent's question goes out as Lua writes it, its messages as pieces too", function(t)
  local alone <close> = unseen() -- luacheck: ignore
  local server <close> = fake { REPLY }
  local _ <close> = profiled { num_ctx = 4096, seed = 3 }
  local target = model.open("m", server.url)
  local format, sampling = { type = "object" }, { temperature = 0.5 }
  local piece = require "core.json".piece
  for _, case in ipairs { { HI }, { { piece(HI[1]) } }, { HI, nil, format }, { HI, nil, nil, sampling },
    { HI, nil, nil, { stop = {} } } } do
    assert(model.ask(target, { think = "low" }, table.unpack(case, 1, 4)))
    local wanted
    do
      local scope <close> = stoke.scope { budget = { calls = 9 } } -- luacheck: ignore
      wanted = model.request(target, { think = "low" }, false, table.unpack(case, 1, 4)).body
    end
    t.eq(server.requests[#server.requests].body, wanted)
  end
end)

test("a call that is tried again asks the same again", function(t)
  local alone <close> = unseen() -- luacheck: ignore
  local server <close> = fake { { status = 503, body = [[{"error":"busy"}]] }, REPLY }
  ollama.chat { model = "m", messages = HI, endpoint = server.url }
  t.eq({ #server.requests, server.requests[1].body }, { 2, server.requests[2].body })
end)

test("a body is made where a server leaves its counts out", function(t)
  local alone <close> = unseen() -- luacheck: ignore
  local server <close> = fake { [[{"message":{"role":"assistant","content":"ok"},"done":true}]] }
  local reply = ollama.chat { model = "m", messages = HI, endpoint = server.url }
  t.eq({ reply.usage.estimated, reply.usage.input_tokens > 0 }, { true, true })
end)

test("a call that waited for its slot asks what it would have asked at once", function(t)
  local alone <close> = unseen() -- luacheck: ignore
  local server <close> = fake { { body = REPLY, delay = 0.1 } }
  local scope <close> = stoke.scope {}
  for i = 1, 3 do
    scope:spawn(function() ollama.generate { model = "m", prompt = "number " .. i, endpoint = server.url } end)
  end
  scope:wait()
  local asked = {}
  for i, request in ipairs(server.requests) do asked[i] = json.decode(request.body).prompt end
  t.eq(asked, { "number 1", "number 2", "number 3" })
end)
