-- A whole reply where somebody watches whether its server is wedged: it is read from a stream, and nobody can tell from the reply.

local test = require "stoke.test"
local fake = require "fake"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local pool = require "core.gate.pool"
local stoke = require "stoke"

local LAST = [["done":true,"done_reason":"stop","total_duration":90000000000,"load_duration":1,"prompt_eval_count":5,]] ..
  [["prompt_eval_duration":1000000,"eval_count":900,"eval_duration":90000000000]] -- ten tokens a second

local function chunk(message, more) return ([[{"model":"m","created_at":"t","message":%s,%s}]]):format(message, more) end

-- Answers each call by the lines or the whole that it asks for; what was asked is in `asked`.
local function peer(whole, lines)
  local asked = {}
  return fake(function(req, res)
    local body = req:json()
    if req.method ~= "POST" then return res:reply(200, nil, "{}") end
    asked[#asked + 1] = body.stream
    if not body.stream then return res:reply(200, nil, whole) end
    res:start(200, { ["Content-Type"] = "application/x-ndjson" })
    for _, line in ipairs(lines) do res:write(line .. "\n") end
  end), asked
end

local function both(t, whole, lines, more)
  pool.forget()
  local server <close>, asked = peer(whole, lines)
  local replies = {}
  for i, how in ipairs { { endpoint = server.url }, { route = { "m@" .. server.url, "m@http://nobody.mem" } } } do
    local q = { model = "m", messages = { { role = "user", content = "Hi" } } }
    for name, value in pairs(how) do q[name] = value end
    for name, value in pairs(more or {}) do q[name] = value end
    replies[i] = { stoke.try(ollama.chat, q) }
    if replies[i][1] then replies[i][1].endpoint = nil end
  end
  t.eq({ asked[1], asked[#asked] }, { false, true }) -- an error is tried again
  return replies[1], replies[2]
end

for name, case in pairs {
  ["text"] = { chunk('{"role":"assistant","content":"Hello you"}', LAST),
    { chunk('{"role":"assistant","content":"Hello"}', '"done":false'),
      chunk('{"role":"assistant","content":" you"}', '"done":false'), chunk('{"role":"assistant","content":""}', LAST) } },
  ["thoughts"] = { chunk('{"role":"assistant","content":"Hi","thinking":"A guest."}', LAST),
    { chunk('{"role":"assistant","content":"","thinking":"A "}', '"done":false'),
      chunk('{"role":"assistant","content":"","thinking":"guest."}', '"done":false'),
      chunk('{"role":"assistant","content":"Hi"}', '"done":false'), chunk('{"role":"assistant","content":""}', LAST) } },
  ["thoughts in tags"] = { chunk('{"role":"assistant","content":"<think>Hm</think>Hi"}', LAST),
    { chunk('{"role":"assistant","content":"<thi"}', '"done":false'), chunk('{"role":"assistant","content":"nk>Hm</think>Hi"}',
      '"done":false'), chunk('{"role":"assistant","content":""}', LAST) }, { split_thinking = true } },
  ["odds of tokens"] = { chunk('{"role":"assistant","content":"ab"}', '"logprobs":[{"token":"a","logprob":-1.5},' ..
    '{"token":"b","logprob":-2.5}],' .. LAST),
    { chunk('{"role":"assistant","content":"a"}', '"logprobs":[{"token":"a","logprob":-1.5}],"done":false'),
      chunk('{"role":"assistant","content":"b"}', '"logprobs":[{"token":"b","logprob":-2.5}],"done":false'),
      chunk('{"role":"assistant","content":""}', LAST) }, { logprobs = true } },
  ["a character in two lines"] = { chunk('{"role":"assistant","content":"caf\xc3\xa9"}', LAST),
    { chunk('{"role":"assistant","content":"caf\xc3"}', '"done":false'), chunk('{"role":"assistant","content":"\xa9"}',
      '"done":false'), chunk('{"role":"assistant","content":""}', LAST) } },
  ["one line alone"] = { chunk('{"role":"assistant","content":"Hi"}', LAST),
    { chunk('{"role":"assistant","content":"Hi"}', LAST) } },
} do
  test("ollama: a gathered reply is the same as a whole one: " .. name, function(t)
    local whole, got = both(t, case[1], case[2], case[3])
    t.eq(json.encode(got[1]), json.encode(whole[1]))
    t.eq(got[1].message, whole[1].message)
  end)
end

test("ollama: a gathered reply that breaks off was seen by nobody: it is asked for at another server", function(t)
  pool.forget()
  local broken <close> = peer("", { chunk('{"role":"assistant","content":"Hel"}', '"done":false') })
  local hi = chunk('{"role":"assistant","content":"Hi"}', LAST)
  local other <close> = peer(hi, { hi })
  local reply = ollama.chat { model = "m", messages = { { role = "user", content = "Hi" } },
    route = { "m@" .. broken.url, "m@" .. other.url } }
  t.eq({ reply.message.content, #broken.requests > 0, reply.endpoint }, { "Hi", true, other.url })
end)

test("ollama: an error in a gathered reply is told as that of a whole one", function(t)
  local whole, second = both(t, [[{"error":"out of memory"}]], { chunk('{"role":"assistant","content":"Hel"}', '"done":false'),
    [[{"error":"out of memory"}]] })
  t.eq(second[2].kind, whole[2].kind)
  t.contains(second[2].message, "out of memory")
end)

test("ollama: a reply is not gathered where the model is too fast to be taken for wedged, nor with tools", function(t)
  pool.forget()
  local fast = LAST:gsub("90000000000", "900000000")
  local hi = chunk('{"role":"assistant","content":"Hi"}', fast)
  local server <close>, asked = peer(hi, { hi })
  local q = { model = "m", messages = { { role = "user", content = "Hi" } }, route = { "m@" .. server.url, "m@http://nobody.mem" } }
  for _ = 1, 3 do ollama.chat(q) end
  t.eq(asked, { true, false, false }) -- how fast it is the first one tells
  pool.forget()
  q.tools = { { type = "function", ["function"] = { name = "f", parameters = { type = "object" } } } }
  ollama.chat(q)
  t.eq(asked[4], false)
end)
