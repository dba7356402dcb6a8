-- The questions of asked.lua, drawn by Zipf's law, through the whole of stoke: the embedding model of a real server, the cache in a
-- file, and a chat model that knows the answers, behind a server of this script. Prints what was sent, given and wrong.
--   OLLAMA_HOST=127.0.0.1:11434 stoke tests/pairs/live.lua all-minilm [--asked 2000] [--error 0.01] [--cold] [--shadow] [--draw 1]
--   [--noise 0.01: so often the chat model words its answer in another way] [--judge MODEL]
-- It may be run several times, and side by side, on one cache: what was learned goes on. `stoke cache` then tells about it.
local folder = arg and arg[0] and arg[0]:match "^(.*)/" or "tests/pairs"
package.path = folder .. "/?.lua;" .. package.path
local stoke = require "stoke"
local asked = require "asked"
local pairs_of = require "read"

local SPEC = { name = "live.lua", positionals = { { "model" } }, options = { { "asked", type = "integer", default = 2000 },
  { "error", type = "number", default = 0.01 }, { "draw", type = "integer", default = 1 }, { "cold", type = "boolean" },
  { "shadow", type = "boolean" }, { "noise", type = "number", default = 0 }, { "judge" } } }

local DIGEST <const> = ("5e"):rep(32)

--- A chat model that knows every intent: its answer is the intent's number. `noise`: so often it says it in other words.
local function knowing(intent_of, noise, random)
  local seen = { calls = 0 }
  local function reply(res, value) return res:reply(200, { ["content-type"] = "application/json" }, stoke.json.encode(value)) end
  local server = stoke.http.serve { port = 0, handler = function(req, res)
    if req.path == "/api/tags" then return reply(res, { models = { { name = "knowing:latest", digest = DIGEST } } }) end
    if req.path ~= "/api/chat" then return res:reply(404, {}, "{}") end
    seen.calls = seen.calls + 1
    local text = stoke.json.decode(req.body).messages[1].content
    local answer = tostring(intent_of[text])
    if random:float() < noise then answer = "It is " .. answer end
    reply(res, { model = "knowing", done = true, done_reason = "stop", prompt_eval_count = 9, eval_count = 2,
      message = { role = "assistant", content = answer } })
  end }
  return server, seen
end

local function draw(intents, random)
  local chosen, cumulative, sum = intents, {}, 0
  for i = #chosen, 2, -1 do
    local j = random:int(1, i)
    chosen[i], chosen[j] = chosen[j], chosen[i]
  end
  for i = 1, #chosen do
    sum = sum + 1 / i
    cumulative[i] = sum
  end
  return function()
    local at, x = 1, random:float() * sum
    while cumulative[at] < x do at = at + 1 end
    return chosen[at][random:int(1, #chosen[at])], at
  end
end

stoke.main(function(words)
  local given = stoke.args.parse(SPEC, words)
  local random, intents, intent_of = stoke.rand.new(given.draw), asked.intents(), {}
  for i, wordings in ipairs(intents) do
    for _, text in ipairs(wordings) do intent_of[text] = i end
  end
  local server <close>, seen = knowing(intent_of, given.noise, stoke.rand.new(given.draw + 1))
  local url = ("http://127.0.0.1:%d"):format(server.port)
  local next_one, counts, drawn, intents_drawn, wrong = draw(intents, random), {}, {}, 0, 0
  local from = stoke.time.monotonic()
  for _ = 1, given.asked do
    local text, at = next_one()
    if not drawn[at] then drawn[at], intents_drawn = true, intents_drawn + 1 end
    local answer = stoke.ollama.chat { model = "knowing", endpoint = url, options = { temperature = 0 },
      messages = { { role = "user", content = text } },
      cache = { semantic = { model = given.model, endpoint = stoke.env.get "OLLAMA_HOST", error = given.error, cold = given.cold,
        shadow = given.shadow, judge = given.judge, same = function(a, b) return a == b end } } }
    local how = answer.cached or "sent"
    counts[how] = (counts[how] or 0) + 1
    if how == "semantic" and answer.message.content:match "%d+$" ~= tostring(intent_of[text]) then wrong = wrong + 1 end
  end
  local seconds = stoke.time.monotonic() - from
  print(("sent %d of %d (%.1f %%), distinct intents %d; exact %d, by meaning %d, wrong %s; %.1f ms a question"):format(seen.calls,
    given.asked, 100 * seen.calls / given.asked, intents_drawn, counts.exact or 0, counts.semantic or 0,
    pairs_of.rate(wrong, counts.semantic or 0), 1000 * seconds / given.asked))
end)
