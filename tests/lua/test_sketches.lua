-- What users write: an agent with a tool, a session, a scope with a budget, structured output. Typed as people type it.

local test = require "stoke.test"
local http = require "stoke.http"
local ollama = require "stoke.ollama"
local scripted = require "scripted"
local stoke = require "stoke"

--- Asks and answers as a model would.
local function model(request)
  local messages = request.messages
  local last = messages[#messages]
  if request.format then
    return '{"vendor":"Acme","total":41.5,"due":"2026-02-01","lines":[{"item":"nut","qty":3}]}'
  elseif last.role == "tool" then
    return "You need one: " .. last.content .. "."
  elseif request.tools and #request.tools > 0 then
    local city = last.content:match "in (%u%l+)" or last.content:match "(%u%l+)%?"
    return { tool_calls = { { name = "get_weather", arguments = { city = city } } } }
  end
  return "Fine: " .. last.content
end

--- The model behind the default endpoint, as --sim puts the simulator there.
local function serve()
  local server = scripted(model)
  require "stoke.config".use_endpoint("scripted", server.url, "test")
  return server
end

local weather = stoke.tool {
  name = "get_weather", description = "Current weather in a city",
  params = { city = "string: city name" },
  run = function(a) return stoke.http.get("http://localhost.mem/weather", { query = { city = a.city } }).body end,
}
local bot = stoke.agent { name = "umbrella", model = "qwen2.5:3b", instructions = "Answer in one sentence.", tools = { weather } }

local function weather_service()
  return http.serve { mem = "localhost", handler = function(req, res) res:reply(200, nil, "rain in " .. req.query.city) end }
end

test("sketch: an agent with a tool; a session that remembers and streams", function(t)
  local server <close> = serve()
  local service = weather_service()
  local gone <close> = setmetatable({}, { __close = function() service:close() end })
  t.eq(bot:run("Do I need an umbrella in Oslo?").text, "You need one: rain in Oslo.")
  local chat = bot:session()
  chat:run "Do I need an umbrella in Oslo?"
  local out = {}
  for ev in chat:stream("And in Rome?") do
    if ev.type == "text" then out[#out + 1] = ev.text end
  end
  t.eq(table.concat(out), "You need one: rain in Rome.")
  t.eq(#server.requests, 6)
end)

test("sketch: several agents at once under one deadline and budget, in the order of the list", function(t)
  local server <close> = serve()
  local critic = stoke.agent { name = "critic", model = "qwen2.5:3b" }
  local sections = { "one", "two", "three", "four" }
  local scope <close> = stoke.scope { deadline = 60, budget = { tokens = 20000 } }
  local notes = scope:map(sections, function(s) return critic:run(s).text end, { limit = 8 })
  t.eq(notes, { "Fine: one", "Fine: two", "Fine: three", "Fine: four" })
  t.eq(#server.requests, 4)
end)

test("sketch: a text becomes a checked invoice", function(t)
  local server <close> = serve()
  local Invoice = stoke.schema { vendor = "string", total = "number >= 0", due = "date?",
                                 lines = { { item = "string", qty = "integer >= 1" } } }
  local inv = stoke.agent { model = "qwen2.5:3b", output = Invoice, repair = 2 }:run("an invoice").output
  t.eq({ inv.vendor, inv.total, inv.lines[1].qty }, { "Acme", 41.5, 3 })
  t.eq(server.requests[1].format.properties.lines.items.properties.qty.minimum, 1)
end)

test("sketch: a deadline of an agent ends its run", function(t)
  local slow <close> = scripted { { text = "late", delay = 100 } }
  local late = stoke.agent { model = "qwen2.5:3b", deadline = 5, endpoint = slow.url }
  local began = stoke.time.monotonic()
  local err = t.raises("deadline", late.run, late, "hurry")
  t.near(stoke.time.monotonic() - began, 5, 0.1)
  t.eq({ err.exit, err.work.steps }, { 124, 1 })
end)

test("sketch: the plain client and agents speak to the same model", function(t)
  local server <close> = serve()
  t.eq(ollama.chat { model = "qwen2.5:3b", messages = { { role = "user", content = "x" } } }.message.content, "Fine: x")
  t.eq(#server.requests, 1)
end)
