-- Kept sessions whose process is killed in a turn, and two processes with one session.

local test = require "stoke.test"
local about = require "core.about"
local durable = require "durable"
local http = require "stoke.http"
local proc = require "stoke.proc"
local sim = require "stoke.sim"
local stoke = require "stoke"

local CHAT = [[
local stoke = require "stoke"
local url, how, text, shop = table.unpack(arg)
local buy = stoke.tool { name = "buy", description = "d", run = function()
  return stoke.http.post(shop, { body = "x", idempotency = true }).body
end, idempotent = true }
local bot = stoke.agent { name = "bot", model = "qwen2.5:3b", endpoint = url, tools = { buy } }
stoke.main(function()
  if how == "start" then return stoke.sleep(tonumber(text)) end
  local chat = bot:session { id = "ada", wait = how == "wait" and 0.3 or nil }
  if how == "look" then return print(chat.turns, #chat.messages) end
  print(chat:run(text, how == "key" and { key = text } or nil).text)
end)
]]

-- A model server that the test holds back: it answers what `answers` says, the first time only after `go`.
local function server_of(answers)
  local asked, gate = {}, { open = false }
  local server = sim.serve { port = 0, load_seconds = 0, tokens_per_second = 0, script = function(request, n)
    asked[n] = request
    while not gate.open do stoke.sleep(0.005) end
    return answers(request, n)
  end }
  return setmetatable({ url = server.url, asked = asked, gate = gate }, { __close = function() server:close() end })
end

local function answer(request) return #request.messages .. " messages" end

-- Begin a turn and kill its process while the model is asked.
local function killed_in_turn(t, server, case, words, signal)
  local scope <close> = stoke.scope {}
  local status
  local one = scope:spawn(function() status = case:run(nil, words, 60) end)
  local before = #server.asked
  while #server.asked == before do stoke.sleep(0.005) end
  case.last:kill(signal or "SIGKILL")
  one:await()
  t.ok(signal and status.code == 143 or status.signal == "SIGKILL")
end

test("a turn cut by kill -9 goes on when the session is opened again, and later turns wait for it", { real = true, timeout = 120 },
  function(t)
    local server <close> = server_of(answer)
    local case = durable.new(t, CHAT)
    killed_in_turn(t, server, case, { server.url, "run", "one" })
    server.gate.open = true
    local _, out, err = case:run(nil, { server.url, "run", "two" }, 60)
    t.eq(out, "3 messages\n", err)
    t.eq(server.asked[3].messages[1].content, "one")
    t.eq(select(2, case:run(nil, { server.url, "look" }, 60)), "2\t4\n")
  end)

test("a turn cut by kill -9 goes on when a script starts that makes its agent", { real = true, timeout = 120 }, function(t)
  local server <close> = server_of(answer)
  local case = durable.new(t, CHAT)
  killed_in_turn(t, server, case, { server.url, "run", "one" })
  server.gate.open = true
  case:run(nil, { server.url, "start", "0" }, 60)
  t.eq(select(2, case:run(nil, { server.url, "look" }, 60)), "1\t2\n")
  t.eq(#server.asked, 2)
end)

test("a turn in which its process is told to end goes on in the next one", { real = true, timeout = 120 }, function(t)
  local server <close> = server_of(answer)
  local case = durable.new(t, CHAT)
  killed_in_turn(t, server, case, { server.url, "run", "one" }, "SIGTERM")
  server.gate.open = true
  t.eq(select(2, case:run(nil, { server.url, "run", "two" }, 60)), "3 messages\n")
end)

test("the same key after kill -9 is the same turn", { real = true, timeout = 120 }, function(t)
  local server <close> = server_of(answer)
  local case = durable.new(t, CHAT)
  killed_in_turn(t, server, case, { server.url, "key", "msg-17" })
  server.gate.open = true
  for _ = 1, 2 do t.eq(select(2, case:run(nil, { server.url, "key", "msg-17" }, 60)), "1 messages\n") end
  t.eq(#server.asked, 2)
end)

test("two processes, one session: the second waits for its turn, or is told who has it", { real = true, timeout = 120 }, function(t)
  local server <close> = server_of(answer)
  local case = durable.new(t, CHAT)
  local scope <close> = stoke.scope {}
  local first = scope:spawn(function() return select(2, case:run(nil, { server.url, "run", "one" }, 60)) end)
  while #server.asked == 0 do stoke.sleep(0.005) end
  local status, _, err = case:run(nil, { server.url, "wait", "two" }, 60)
  t.eq(status.code, 124, err)
  t.match(err, 'the session "ada" waits for its turn 1: process %d+ has had it since %d+')
  local second = scope:spawn(function() return select(2, case:run(nil, { server.url, "run", "three" }, 60)) end)
  stoke.sleep(0.3)
  server.gate.open = true
  t.eq((first:await()), "1 messages\n")
  t.eq((second:await()), "3 messages\n")
end)

local SHOP = [[
local stoke = require "stoke"
local url, shop, text = table.unpack(arg)
local buy = stoke.tool { name = "buy", description = "d", run = function() return stoke.http.post(shop, { body = "x" }).body end }
local bot = stoke.agent { name = "bot", model = "qwen2.5:3b", endpoint = url, tools = { buy } }
stoke.main(function()
  local chat = bot:session { id = "ada" }
  if text then print(chat:run(text).text) end
end)
]]

test("a turn cut in a tool that must not happen twice waits for a person, and says so each time", { real = true, timeout = 120 },
  function(t)
    local server <close> = server_of(function(request)
      local last = request.messages[#request.messages]
      if last.role == "user" and last.content == "buy" then return { tool_calls = { { name = "buy", arguments = {} } } } end
      return last.role .. ": " .. last.content
    end)
    server.gate.open = true
    local asked, free = 0, false
    local shop <close> = http.serve { port = 0, handler = function(_, res)
      asked = asked + 1
      while not free do stoke.sleep(0.005) end
      res:reply(200, {}, "bought")
    end }
    local case = durable.new(t, SHOP)
    local scope <close> = stoke.scope {}
    local one = scope:spawn(function() case:run(nil, { server.url, shop.url, "buy" }, 60) end)
    while asked == 0 do stoke.sleep(0.005) end
    case.last:kill "SIGKILL"
    one:await()
    free = true
    for _ = 1, 2 do
      local status, _, err = case:run(nil, { server.url, shop.url, "more" }, 60)
      t.eq(status.code, 5)
      t.match(err, 'in_doubt: the session "ada" waits for its turn 1: .*stoke resolve')
    end
    t.eq(asked, 1)
    local resolved = proc.run { argv = { about.executable(), "resolve", "session ada turn 1", "--value", '"bought it"' },
      cwd = case.folder }
    t.eq(resolved.code, 0, resolved.stderr)
    t.eq(select(2, case:run(nil, { server.url, shop.url, "more" }, 60)), "user: more\n")
    t.eq({ asked, server.asked[2].messages[3].content, #server.asked[3].messages }, { 1, "bought it", 5 })
  end)

-- A generator of its own, so that a seed means the same everywhere.
local function numbers(seed)
  local state = seed
  return function()
    state = (state * 1103515245 + 12345) % 2147483648
    return state / 2147483648
  end
end

test("killed at random moments, between a commit and its word, too, each turn is there once", { real = true, timeout = 300 },
  function(t)
    local server <close> = server_of(function(request)
      local last = request.messages[#request.messages]
      if last.role == "user" then return { tool_calls = { { name = "buy", arguments = {} } } } end
      return "bought: " .. #request.messages
    end)
    local witness <close> = durable.witness()
    server.gate.open = true
    local case, random = durable.new(t, CHAT), numbers(17)
    for i = 1, 4 do
      local status
      for try = 1, 60 do -- at first too early for any machine
        local out
        status, out = case:run(nil, { server.url, "key", "k" .. i, witness.url .. "/buy" }, (0.5 + random()) * 0.004 * try)
        if not status.signal then t.eq(out, ("bought: %d\n"):format(i * 4 - 1)) break end
      end
      t.eq(status.code, 0, case.told[#case.told])
    end
    t.eq(select(2, case:run(nil, { server.url, "look" }, 60)), "4\t16\n")
    t.eq(witness.count, 4)
    t.ok(case.kills > 0)
  end)
