-- The collector of OpenTelemetry is shown a run: its own parser judges what it gets, and what it writes is the run.

local about = require "core.about"
local fs = require "stoke.fs"
local json = require "stoke.json"
local peers = require "peers"
local proc = require "stoke.proc"
local stoke = require "stoke"
local test = require "stoke.test"

local CONFIG <const> = [[
receivers:
  otlp:
    protocols:
      http:
        endpoint: 127.0.0.1:%d
exporters:
  file:
    path: %s/spans.json
    flush_interval: 100ms
service:
  telemetry:
    metrics:
      level: none
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [file]
]]

local SCRIPT <const> = [[
local stoke = require "stoke"
local weather = stoke.tool { name = "get_weather", description = "Weather of a city", params = { city = "string" },
  run = function(a) return "sunny in " .. a.city end }
local bot = stoke.agent { name = "umbrella", model = "qwen2.5:3b", tools = { weather } }
stoke.main(function()
  print(bot:run("weather in Oslo?").text)
  for _ in bot:stream "and tomorrow?" do end
  stoke.try(bot.run, stoke.agent { name = "lost", model = "no-such-model" }, "x")
end)
]]

--- A port that was free a moment ago.
local function free_port()
  local server <close> = require "stoke.http".serve { port = 0, system = true, handler = function() end }
  return server.port
end

--- A collector, once it listens.
local function collecting(home)
  local port = free_port()
  fs.write(home.path .. "/collector.yaml", CONFIG:format(port, home.path))
  local argv = { peers.path "collector/otelcol", "--config", home.path .. "/collector.yaml" }
  local child = proc.spawn { argv = argv, stderr = "merge" }
  for line in child:lines() do
    if line:find("Everything is ready", 1, true) then return child, ("http://127.0.0.1:%d"):format(port) end
    if line:find "^Error" then error(line, 0) end
  end
  error("the collector ended before it listened", 0)
end

local function attributes(list)
  local out = {}
  for _, a in ipairs(list) do
    local v = a.value
    out[a.key] = v.stringValue or math.tointeger(v.intValue) or v.doubleValue or v.boolValue or v.arrayValue
  end
  return out
end

--- Spans as the collector wrote them, once there are so many.
local function written(home, least)
  for _ = 1, 100 do
    local spans = {}
    for line in (fs.stat(home.path .. "/spans.json") and fs.read(home.path .. "/spans.json") or ""):gmatch "[^\n]+" do
      for _, resource in ipairs(json.decode(line).resourceSpans) do
        for _, one in ipairs(resource.scopeSpans[1].spans) do
          one.service, one.own = attributes(resource.resource.attributes)["service.name"], attributes(one.attributes)
          spans[#spans + 1] = one
        end
      end
    end
    if #spans >= least then return spans end
    stoke.sleep(0.1)
  end
  error("the collector wrote too few spans", 0)
end

test("a collector of OpenTelemetry reads what a run sends, all of it in one trace", peers.REAL, function(t)
  peers.needs(t, "collector.stamp", "collector/otelcol")
  local home <close> = peers.home()
  local child <close>, url = collecting(home)
  fs.write(home.path .. "/weather.lua", SCRIPT)
  local done = proc.run { argv = { about.executable(), "--sim", "weather.lua" }, cwd = home.path, env_allow = peers.PASSED_ON,
    env = { HOME = home.path, OTEL_EXPORTER_OTLP_ENDPOINT = url, OTEL_SERVICE_NAME = "town" } }
  t.eq({ done.code, done.stderr }, { 0, "" })
  local by_name, traces, known = {}, {}, {}
  for _, one in ipairs(written(home, 9)) do
    by_name[one.name], traces[one.traceId], known[one.spanId] = one, true, true
    t.eq(one.service, "town")
    t.ok(tonumber(one.endTimeUnixNano) >= tonumber(one.startTimeUnixNano))
  end
  local first = next(traces)
  t.eq(next(traces, first), nil)
  for _, name in ipairs { "script weather.lua", "invoke_agent umbrella", "chat qwen2.5:3b", "execute_tool get_weather" } do
    t.ok(by_name[name], name)
    t.ok(name:find "^script" or known[by_name[name].parentSpanId], name)
  end
  local chat = by_name["chat qwen2.5:3b"]
  t.eq({ chat.kind, chat.own["gen_ai.operation.name"], chat.own["gen_ai.provider.name"], chat.own["gen_ai.response.model"] },
    { 3, "chat", "ollama", "qwen2.5:3b" })
  t.ok(chat.own["gen_ai.usage.input_tokens"] > 0)
  child:kill "TERM"
  t.eq(child:wait().code, 0)
end)
