-- Answers without end: the cap of an answer that nothing else bounds, and text that repeats itself.

local fake = require "fake"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local repeats = require "stoke.agent.repeats"
local scripted = require "scripted"
local stoke = require "stoke"
local test = require "stoke.test"

local MODEL = scripted.MODEL

--- Words that never come again.
local function words(count)
  local out = {}
  for i = 1, count do out[i] = "word" .. i end
  return table.concat(out, " ")
end

local function predict(server, given, run)
  given.model, given.endpoint = MODEL, server.url
  stoke.try(run or function(bot) bot:run "x" end, stoke.agent(given))
  local options = server.requests[#server.requests].options
  return options and options.num_predict
end

test("cap: num_predict is sent where nobody says how long an answer may get", function(t)
  local server <close> = scripted(function() return "ok" end)
  t.eq(predict(server, {}), 4096)
  t.eq(predict(server, { output = { x = "string" } }), 4096)
  stoke.try(function() stoke.agent { model = "qwen3:4b", think = true, endpoint = server.url }:run "x" end)
  t.eq(server.requests[#server.requests].options.num_predict, 32768)
  t.eq(predict(server, { options = { temperature = 0 } }), 4096)
  t.eq(server.requests[#server.requests].options.temperature, 0)
  t.eq(predict(server, { options = { num_predict = 50 } }), 50)
  t.eq(predict(server, { options = { num_predict = -1 } }), -1)
  t.eq(predict(server, { budget = { calls = 3 } }), 4096)
  t.ok(predict(server, { budget = { tokens = 3000 } }) < 3000)
end)

test("cap: the window of the model's profile, and num_predict of the profile before it", function(t)
  local server <close> = scripted(function() return "ok" end)
  local _ <close> = setmetatable({}, { __close = function() ollama.profiles { [MODEL] = {} } end })
  ollama.profiles { [MODEL] = { num_ctx = 2048 } }
  t.eq(predict(server, {}), 2048)
  ollama.profiles { [MODEL] = { num_ctx = 131072 } }
  t.eq(predict(server, {}), 4096, "a large window is no reason for a long answer")
  ollama.profiles { [MODEL] = { num_ctx = 2048, num_predict = 99, temperature = 0.5 } }
  t.eq(predict(server, {}), 99)
  t.eq(server.requests[#server.requests].options.temperature, 0.5)
end)

test("cap: an answer that reaches it ends with kind limit and the text so far; run, stream and session alike", function(t)
  local _ <close> = setmetatable({}, { __close = function() ollama.profiles { [MODEL] = {} } end })
  ollama.profiles { [MODEL] = { num_ctx = 512 } }
  local server <close> = scripted(function() return words(5000) end)
  local bot = stoke.agent { name = "bot", model = MODEL, endpoint = server.url }
  for _, way in ipairs {
    function() bot:run "x" end, function() for _ in bot:stream "x" do end end, function() bot:session():run "x" end, -- luacheck: ignore
  } do
    local err = t.raises("limit", way)
    t.match(err.message, "the answer of bot did not end: cut off after %d+ bytes, at 512 tokens")
    t.eq(err.limit, 512)
    t.match(err.text, "^word1 word2 ")
    t.eq(err.work.text, err.text)
  end
  local shaped = stoke.agent { name = "bot", model = MODEL, endpoint = server.url, output = { x = "string" } }
  t.match(t.raises("limit", shaped.run, shaped, "x").message, "did not end")
end)

test("cap: the error of an answer that repeats itself says what", function(t)
  local _ <close> = setmetatable({}, { __close = function() ollama.profiles { [MODEL] = {} } end })
  ollama.profiles { [MODEL] = { num_ctx = 2048 } }
  local server <close> = scripted(function() return ("It rains. "):rep(5000) end)
  local bot = stoke.agent { name = "bot", model = MODEL, endpoint = server.url }
  local err = t.raises("limit", bot.run, bot, "x")
  t.match(err.message, 'at 2048 tokens; it repeats "')
  t.match(err.hint, "repeat_penalty")
end)

test("cap: it is no reason for the window of num_ctx = \"auto\" to grow, in a stream neither", function(t)
  local _ <close> = setmetatable({}, { __close = function() ollama.profiles { [MODEL] = {} } end })
  ollama.profiles { [MODEL] = { num_ctx = "auto" } }
  local server <close> = scripted(function() return "ok" end)
  local bot = stoke.agent { name = "bot", model = MODEL, endpoint = server.url }
  local function sent() return server.requests[#server.requests].options.num_ctx end
  bot:run(words(2000))
  local size = sent()
  t.eq(size, 8192)
  for _ in bot:stream(words(2000)) do end -- luacheck: ignore
  t.eq(sent(), size)
end)

test("cap: a long answer that fits the window is whole", function(t)
  local text = words(1500)
  local server <close> = scripted(function() return text end, { context = 32768 })
  t.eq(stoke.agent { model = MODEL, endpoint = server.url }:run("x").text, text)
end)

test("cap: a stream whose server knows nothing of num_predict ends all the same", function(t)
  local text = words(100)
  local server <close> = fake(function(request, res)
    if request.path ~= "/api/chat" then return res:reply(404, {}, "{}") end
    res:start(200, {})
    for i = 1, 1e4 do
      res:write(json.encode { model = "m", done = false, message = { role = "assistant", content = text .. i } } .. "\n")
    end
  end)
  local err = t.raises("limit", function()
    for _ in stoke.agent { model = "m", endpoint = server.url }:stream "x" do end -- luacheck: ignore
  end)
  t.match(err.message, "did not end")
  t.match(err.text, "^word1 ")
  t.ok(#err.text < 1e6, #err.text)
end)

test("cap: where num_predict is given, an answer that is cut off is a result as before", function(t)
  local server <close> = scripted(function() return words(100) end)
  t.eq(stoke.agent { model = MODEL, endpoint = server.url, options = { num_predict = 10 } }:run("x").reason, "length")
end)

test("repeats: a cycle, the same line, blanks; and nothing in honest text", function(t)
  local function seen(text, piece)
    local watch = repeats.new()
    for i = 1, #text, piece do
      local cycle = watch:put(text:sub(i, i + piece - 1))
      if cycle then return cycle, i + piece - 1 end
    end
  end
  for _, piece in ipairs { 1, 4, 100, 5000, 1e6 } do
    for _, cycle in ipairs { "a", "ab", " rain", "It is the largest place in the world. ", "\\n", "| 0 | 0 |\n",
      ("x"):rep(300) .. "y" } do
      local found = seen(words(200) .. cycle:rep(12000 // #cycle + 1), piece)
      t.ok(found, cycle:sub(1, 10) .. " in pieces of " .. piece)
      if piece < 10 then t.eq(#found, #cycle) end
    end
    t.ok(seen("It rains." .. (" "):rep(5000), piece))
    t.ok(seen("It rains." .. ("Who are you?\n"):rep(200), piece), "a short cycle is seen at 2,048 bytes")
    t.ok(seen("It rains." .. ("\n \t"):rep(2000), piece))
    t.ok(not seen(words(20000), piece))
    t.ok(not seen(("-"):rep(200) .. words(300) .. ("="):rep(2000) .. words(300), piece))
  end
  local items = {}
  for i = 1, 3000 do items[i] = { item = "nut", qty = 3, number = i } end
  t.ok(not seen(json.encode(items), 7))
end)

test("repeats: a stream that repeats itself is cut with kind loop, its connection closed, and the slot is free", function(t)
  local server <close> = scripted({ ("It rains. "):rep(5000), "Sun." }, { tokens_per_second = 1000 })
  local bot = stoke.agent { name = "bot", model = MODEL, endpoint = server.url }
  local err = t.raises("loop", function() for _ in bot:stream "x" do end end) -- luacheck: ignore
  t.match(err.message, 'the answer of bot repeats "')
  t.match(err.text, "^It rains%. It rains%. ")
  t.eq(err.work.text, err.text)
  t.ok(#err.text < 10000, #err.text)
  t.eq(bot:run("x").text, "Sun.")
  t.eq(server.sim.ledger.disconnects, 1)
  t.eq(server.sim.ledger.streams_open, 0)
end)

test("repeats: thinking that repeats itself, too", function(t)
  local server <close> = scripted { { thinking = ("Hm, but wait. "):rep(2000), text = "Sun." } }
  local bot = stoke.agent { name = "bot", model = "qwen3:4b", endpoint = server.url, think = true }
  t.raises("loop", function() for _ in bot:stream "x" do end end) -- luacheck: ignore
end)
