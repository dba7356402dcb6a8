-- make bench: what a tool loop costs at least in Lua: the two calls of loop.lua over the bindings of libcurl and JSON, with neither
-- effects nor checks nor an agent between.  RUNS=N stoke test --internal --file floor.lua
local http = require "host.http"
local json = require "core.json"
local test = require "stoke.test"

local system, question = { role = "system", content = "Answer in one sentence." }, { role = "user", content = "Umbrella in Oslo?" }
local tools = json.fixed { { type = "function", ["function"] = { name = "get_weather", description = "Current weather in a city",
  parameters = { type = "object", properties = { city = { type = "string", description = "city name" } },
    required = { "city" } } } } }

local function weather(a) return "4 degrees, rain in " .. a.city end

local function ask(options, messages)
  local status, head, text = http.fetch(options, json.encode { model = "tools", messages = messages, tools = tools, stream = false,
    think = false, truncate = false })
  if status ~= 200 then error(status and text or head) end
  return json.decode(text).message
end

local function loop(options)
  local said = ask(options, { system, question })
  local call = said.tool_calls[1]
  local result = { role = "tool", tool_name = "get_weather", tool_call_id = call.id, content = weather(call["function"].arguments) }
  return ask(options, { system, question, said, result }).content
end

test("floor", { real = true, timeout = 600 }, function()
  local options = http.prepare { method = "POST", url = os.getenv "OLLAMA_HOST" .. "/api/chat", connect = 10, first_byte = 600,
    idle = 60, total = 0, plain = true, headers = { "Content-Type: application/json" } }
  for _ = 1, tonumber(os.getenv "RUNS") do assert(#loop(options) > 0) end
end)
