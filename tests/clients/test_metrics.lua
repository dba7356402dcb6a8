-- Prometheus's own tool, on the figures of a script with agents, tools, a cache and failures, and of `stoke serve`.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local http = require "stoke.http"
local peers = require "peers"
local proc = require "stoke.proc"

local SCRIPT = [[
local stoke = require "stoke"
local bot = stoke.agent { name = "umbrella", model = "qwen2.5:3b", tools = { stoke.tools.calculator() }, cache = true }
stoke.metrics.counter("orders_total", "Orders that were taken.", { "shop" }):add(1, 'the "north"\nshop\\')
stoke.metrics.histogram("pick_seconds", "What picking took.", { 1, 10 }):observe(7.5)
stoke.main(function()
  for _ = 1, 3 do bot:run "What is 17 * 2?" end
  for _ in bot:stream "And 18 * 2?" do end
  stoke.try(stoke.chat, { model = "nobody", prompt = "x" })
  print "done"
  io.read()
end)
]]

--- The program, or the test is skipped.
local function promtool(t)
  local found = proc.run { argv = { "sh", "-c", "command -v promtool" }}.stdout:gsub("\n", "")
  if found ~= "" then return found end
  local words = "promtool is not there (package prometheus)"
  if os.getenv "PEERS_REQUIRED" then error(words, 0) end
  t.skip(words)
end

local function check(t, tool, text)
  local said = proc.run { argv = { tool, "check", "metrics" }, stdin = text}
  t.eq({ said.code, said.stdout .. said.stderr }, { 0, "" })
end

test("promtool: the figures of a script have nothing to complain about", peers.REAL, function(t)
  local tool = promtool(t)
  local home <close> = peers.home()
  fs.write(home.path .. "/a.lua", SCRIPT)
  local child <close> = proc.spawn { argv = { about.executable(), "--sim", "--metrics", "0", home.path .. "/a.lua" },
    env = { HOME = home.path }, env_allow = peers.PASSED_ON, stderr = "merge" }
  local lines, url = child:lines(), nil
  for line in lines do
    url = url or line:match "metrics at (http%S+)"
    if line == "done" then break end
  end
  local text = http.get(url).body
  t.contains(text, 'orders_total{shop="the \\"north\\"\\nshop\\\\"} 1')
  check(t, tool, text)
  child:write "\n"
  t.eq(child:wait().code, 0)
end)

test("promtool: those of stoke serve", peers.REAL, function(t)
  local tool = promtool(t)
  local place <close> = peers.serving(t)
  local messages = { { role = "user", content = "Hello" } }
  http.post(place.url .. "/api/chat", { json = { model = "poet", stream = false, messages = messages } })
  local text = http.get(place.url .. "/metrics").body
  t.contains(text, 'http_route="/api/chat"')
  check(t, tool, text)
end)
