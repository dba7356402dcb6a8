-- make bench: what a request costs before it is sent, by the checks and the shaping in Lua and by a spec in one pass of C; a
-- history as tables, and as pieces that were encoded when they came.  stoke test --internal --file request.lua
--
-- The specs are a prototype of what stoke.ollama may do: one for each endpoint, model and way, made when it is first asked.

local json = require "core.json"
local ollama = require "stoke.ollama"
local test = require "stoke.test"
local time = require "stoke.time"

local ROUNDS, SECONDS, HISTORY = 7, 0.02, 34000

local call = json.spec {
  { name = "function", kind = "record", required = true, of = json.spec {
    { name = "arguments", kind = "table", required = true }, { name = "index", kind = "integer" },
    { name = "name", kind = "string", required = true } } },
  { name = "id", kind = "string" }, { name = "type", kind = "string" },
}
local message = json.spec {
  { name = "content", kind = "string" }, { name = "role", kind = "string", required = true,
    words = { "user", "assistant", "tool", "system" } },
  { name = "thinking", kind = "string" }, { name = "tool_call_id", kind = "string" },
  { name = "tool_calls", kind = "list", min = 1, of = { kind = "record", of = call } }, { name = "tool_name", kind = "string" },
}

-- What a profile says is constant here, and what it says of sampling a default.
local sampling = json.spec {
  { name = "min_p", kind = "number" }, { name = "num_predict", kind = "integer" }, { name = "seed", kind = "number" },
  { name = "stop", kind = "list", min = 1 }, { name = "temperature", kind = "number" }, { name = "top_k", kind = "number" },
  { name = "top_p", kind = "number" },
}
local chat = json.spec {
  { name = "messages", kind = "list", required = true, of = { kind = "record", of = message, pieces = true } },
  { name = "model", kind = "string", required = true, min = 1 }, { name = "options", kind = "record", of = sampling },
  { name = "stream", constant = false }, { name = "think", kind = "boolean", default = false },
  { name = "tools", kind = "list", min = 1 }, { name = "truncate", kind = "boolean", default = false },
}

local function microseconds(f, times)
  time.sleep(0) -- a turn for the others: no watchdog in the figures
  local start = time.cpu()
  for _ = 1, times do f() end
  return (time.cpu() - start) / times * 1e6
end

-- Both in turns: the median of each.
local function row(what, ours, theirs)
  local times, a, b = 1, {}, {}
  while microseconds(theirs, times) * times < SECONDS * 1e6 do times = times * 2 end
  for i = 1, ROUNDS do a[i], b[i] = microseconds(ours, times), microseconds(theirs, times) end
  table.sort(a)
  table.sort(b)
  local mine, other = a[ROUNDS // 2 + 1], b[ROUNDS // 2 + 1]
  print(("%-46s %10.2f %10.2f %-6s %5.2fx"):format(what, mine, other, "us", mine / other))
end

local function request(what, given)
  assert(chat:encode(given) == ollama.request(given).body)
  row(what .. ", a spec beside Lua", function() return chat:encode(given) end, function() return ollama.request(given) end)
end

local parameters = { type = "object", properties = { city = { type = "string", description = "city name" } },
  required = { "city" } }
local tools = { { type = "function", ["function"] = { name = "get_weather", description = "Current weather in a city",
  parameters = parameters } } }
local asked = { role = "assistant", content = "", tool_calls = { { id = "call_1",
  ["function"] = { index = 0, name = "get_weather", arguments = { city = "Oslo" } } } } }
local hi = { role = "user", content = "hi" }
local answered = { role = "tool", tool_name = "get_weather", tool_call_id = "call_1", content = "4 degrees, rain in Oslo" }

local function history(length)
  local plain, pieces = {}, {}
  for i = 1, HISTORY // length do
    plain[i] = { role = i % 2 == 1 and "user" or "assistant", content = ("word "):rep(length // 5) }
    pieces[i] = json.piece(plain[i])
  end
  local a, b = { model = "m", messages = plain }, { model = "m", messages = pieces }
  assert(json.encode(a) == json.encode(b) and json.digest(a) == json.digest(b))
  local what = ("%d messages, %d kB: "):format(#plain, #json.encode(a) // 1000)
  row(what .. "pieces beside tables", function() return json.encode(b) end, function() return json.encode(a) end)
  row(what .. "their digest", function() return json.digest(b) end, function() return json.digest(a) end)
end

test("request", function()
  request("a request", { model = "bench", messages = { hi } })
  request("after a tool", { model = "bench", tools = tools, options = { temperature = 0.5, seed = 7 },
    messages = { { role = "system", content = "Answer in one sentence." }, hi, asked, answered } })
  history(450)
  history(3000)
end)
