-- make bench: what the cache costs and gives. A server in this process that answers at once.
-- stoke test --internal --file cache.lua
--
-- hit: a whole ollama.chat that is answered from memory, or from the file. miss: what a question that is not kept costs more than
-- one that nobody wants cached, with what it costs to keep the answer. FILL=entries: so many in a file of 64 MB.

package.path = "tests/lua/?.lua;" .. package.path

local effect = require "core.effect"
local fake = require "fake"
local files = require "core.cache.file"
local fs = require "stoke.fs"
local json = require "stoke.json"
local keys = require "core.cache.key"
local ollama = require "stoke.ollama"
local places = require "core.cache.place"
local protocol = require "stoke.ollama.protocol"
local stoke = require "stoke"
local test = require "stoke.test"
local time = require "stoke.time"

local folder = os.getenv "TMPDIR" or "/tmp"
local path = ("%s/stoke-bench-cache-%d.db"):format(folder, time.now() * 1000 // 1)

local function remove()
  for _, tail in ipairs { "", "-wal", "-shm", "-lock" } do
    if fs.stat(path .. tail) then fs.remove(path .. tail) end
  end
end

local server

local function serve()
  return fake(function(req, res)
    if req.path == "/api/tags" then
      return res:reply(200, {}, json.encode { models = { { name = "m:latest", digest = ("0"):rep(64) } } })
    end
    res:reply(200, {}, json.encode { model = "m", message = { role = "assistant", content = ("a word "):rep(60) }, done = true,
      done_reason = "stop", prompt_eval_count = 200, eval_count = 60, total_duration = 1000000, load_duration = 1,
      prompt_eval_duration = 1, eval_duration = 1 })
  end)
end

local SYSTEM = ("You are of great help. "):rep(20)

local function ask(text, cache)
  return ollama.chat { model = "m", endpoint = server.url, options = { temperature = 0 }, cache = cache,
    messages = { { role = "system", content = SYSTEM }, { role = "user", content = text } } }
end

local function say(text) io.stdout:write(text, "\n") end

local function figure(what, value, unit, limit)
  say(("%-46s %10.1f %10s %-6s %6s  (under %g)%s"):format(what, value, "", unit, "", limit, value > limit and "  MISSED" or ""))
end

local function per(n, f)
  local began = time.cpu()
  for i = 1, n do f(i) end
  return (time.cpu() - began) / n * 1e6
end

local function hits()
  ask("Hi", true)
  local memory = math.huge
  for _ = 1, 5 do memory = math.min(memory, per(2000, function() ask("Hi", true) end)) end
  figure("exact hit from memory, CPU of a whole call", memory, "us", 30)
  for i = 1, 500 do ask("question " .. i, true) end
  files.of():close()
  files.forget()
  ask("question 1", true)
  local began = time.monotonic()
  for i = 2, 500 do assert(ask("question " .. i, true).cached == "exact") end
  figure("exact hit from the file", (time.monotonic() - began) / 499 * 1e6, "us", 200)
end

--- What a miss adds before the model is asked: the key, and the look into memory and the file's filter.
local function looks()
  local target = protocol.at("m", server.url)
  local def, settings = effect.about "llm.chat", {}
  local q = { protocol = "ollama", path = "/api/chat", model = "m", body = { model = "m", stream = false, think = false,
    truncate = false, options = { temperature = 0 },
    messages = { { role = "system", content = SYSTEM }, { role = "user", content = "not kept" } } } }
  local call, least = { work = { target }, context = {} }, math.huge
  local file = files.of()
  for _ = 1, 7 do
    least = math.min(least, per(3000, function()
      local place = places.of(def, q, call, settings)[1]
      assert(not file:get(place.kind, place.key))
    end))
  end
  figure("a question that is not kept: looking for it", least, "us", 5)
end

--- In turns, so that what the machine does beside falls on both; the least counts.
local function misses()
  stoke.sleep(2.5) -- as long as another process may be there, each miss looks into the file
  ask("Hi", true)
  stoke.sleep(0.1)
  local without, with, n = math.huge, math.huge, 0
  for _ = 1, 9 do
    without = math.min(without, per(400, function(i) ask("plain " .. i, false) end))
    n = n + 1
    with = math.min(with, per(400, function(i) ask(n .. " new " .. i, true) end))
  end
  say(("%-46s %10.1f %10.1f %-6s"):format("a question that is not kept, CPU of a whole call", with, without, "us"))
end

--- Many entries: how long they take, the bytes on the disk at all times, and what looking costs then.
local function fill(count)
  local bytes, each = 64 << 20, 4000
  local own = path .. "-fill"
  local file = files.at(own, bytes)
  local most, began = 0, time.monotonic()
  for i = 1, count do
    file:put("exact", keys.of("fill", tostring(i)), ("entry %d "):format(i):rep(8))
    if i % each == 0 then
      file:flush()
      local size, log = fs.stat(own).size, fs.stat(own .. "-wal")
      most = math.max(most, size + (log and log.size or 0))
    end
  end
  local took, stats = time.monotonic() - began, file:stats()
  say(("%-46s %10d %10d %-6s  %d kept, %.0f s"):format(("%d entries into %d MB: the most on the disk"):format(count, bytes >> 20),
    most >> 20, bytes >> 20, "MB", stats.entries, took) .. (most > bytes and "  MISSED" or ""))
  collectgarbage()
  say(("%-46s %10.1f %10s %-6s"):format("Lua's memory with it", collectgarbage "count" / 1024, "", "MB"))
  file:close()
  began = time.monotonic()
  file = files.at(own, bytes)
  file:get("exact", keys.of("fill", "none"))
  say(("%-46s %10.0f %10s %-6s"):format("opening it again", (time.monotonic() - began) * 1e3, "", "ms"))
  local n, found = 2000, 0
  began = time.monotonic()
  for i = 1, n do
    if file:get("exact", keys.of("fill", tostring(count - i * 20))) then found = found + 1 end
  end
  local each_us = (time.monotonic() - began) / n * 1e6
  say(("%-46s %10.1f %10s %-6s  %d of %d found"):format("looking one up that is not in memory", each_us, "", "us", found, n))
  stoke.sleep(2.5) -- as long as another process may be there it is looked for
  file:get("exact", keys.of("fill", "none"))
  stoke.sleep(0.1)
  began = time.cpu()
  for i = 1, n do file:get("exact", keys.of("fill", "none " .. i)) end
  say(("%-46s %10.1f %10s %-6s"):format("looking for one that is not there", (time.cpu() - began) / n * 1e6, "", "us"))
  file:close()
end

test("the cache", { real = true, timeout = os.getenv "FILL" and 900 or 60 }, function()
  local own <close> = serve()
  server, files.path = own, path
  if os.getenv "FILL" then
    fill(tonumber(os.getenv "FILL"))
  else
    hits()
    misses()
    looks()
  end
  files.of():close()
  files.path = nil
  remove()
  path = path .. "-fill"
  remove()
end)
