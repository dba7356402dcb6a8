-- A second dialect, on a real socket: agents with tools, streams and outputs run on it, and no file of theirs knows.

local test = require "stoke.test"
local about = require "core.about"
local config = require "stoke.config"
local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "stoke.json"
local llm = require "core.driver.llm"
local model = require "stoke.model"
local proc = require "stoke.proc"
local stoke = require "stoke"
require "toy"

local JSON, EVENTS = { ["Content-Type"] = "application/json" }, { ["Content-Type"] = "text/event-stream" }

-- A toy server: `script[n]` is what the n-th answer is, { text =, calls = }, or a status.
local function toy(script)
  local requests = {}
  local server
  local function handler(req, res)
    requests[#requests + 1] = json.decode(req.body)
    local n = #requests
    local a = script[n] or script[#script]
    if type(a) == "number" then return res:reply(a, JSON, "busy") end
    local calls = a.calls
    if not requests[n].stream then
      local message = { role = "assistant", content = a.text, tool_calls = calls }
      return res:reply(200, JSON, json.encode { choices = { { message = message, finish_reason = "stop" } },
        usage = { prompt_tokens = 20 + n, completion_tokens = 5 } })
    end
    res:start(200, EVENTS)
    local function send(delta, reason)
      res:write("data: " .. json.encode { choices = { { delta = delta, finish_reason = reason } },
        usage = reason and { prompt_tokens = 20 + n, completion_tokens = 5 } or nil } .. "\n\n")
    end
    for word in (a.text or ""):gmatch "%S+%s*" do send { content = word } end
    send({ tool_calls = calls }, "stop")
    res:write "data: [DONE]\n\n"
  end
  server = http.serve { port = 0, drain = 0, handler = handler }
  config.use_endpoint("toy", server.url, "this test", false, "toy")
  return setmetatable({ requests = requests, url = server.url }, { __close = function() server:close() end })
end

local function weather()
  return stoke.tool { name = "get_weather", description = "Weather", params = { city = "string: a city" },
    run = function(a) return "rain in " .. a.city end }
end

local CALL = { { id = "call_7", type = "function", ["function"] = { name = "get_weather", arguments = '{"city":"Oslo"}' } } }

local REAL = { real = true }

test("toy: an agent calls its tool, in this dialect's own words", REAL, function(t)
  local server <close> = toy { { calls = CALL }, { text = "Take one." } }
  local result = stoke.agent { model = "m", endpoint = "toy", instructions = "Short.", tools = { weather() } }:run "Umbrella?"
  t.eq({ result.text, result.steps, result.usage.input_tokens, result.usage.tool_calls }, { "Take one.", 2, 43, 1 })
  local sent = server.requests[2].messages
  t.eq(sent[3].tool_calls[1]["function"].arguments, '{"city":"Oslo"}')
  t.eq({ sent[4].role, sent[4].content, sent[4].tool_call_id }, { "tool", "rain in Oslo", "call_7" })
  t.eq({ server.requests[1].num_predict, server.requests[1].max_tokens }, { nil, 4096 })
end)

test("toy: a stream gives its events as they come, a tool call among them", REAL, function(t)
  local server <close> = toy { { calls = CALL }, { text = "Take one with you." } }
  local seen, text = {}, ""
  for ev in stoke.agent { model = "m", endpoint = "toy", tools = { weather() } }:stream "Umbrella?" do
    if ev.type == "text" then text = text .. ev.text else seen[#seen + 1] = ev.type end
  end
  t.eq(text, "Take one with you.")
  t.eq(seen, { "tool_call", "tool_result", "usage", "done" })
  t.eq(server.requests[1].stream, true)
end)

test("toy: an output is bound by this dialect's way to send a schema, and asked for again", REAL, function(t)
  local server <close> = toy { { text = '{"total": "many"}' }, { text = '{"total": 12}' } }
  local bot = stoke.agent { model = "m", endpoint = "toy", output = stoke.schema { total = "integer" } }
  t.eq(bot:run("A bill of 12.").output, { total = 12 })
  t.eq(server.requests[1].response_format.json_schema.schema.properties.total.type, "integer")
  t.eq(#server.requests, 2)
end)

test("toy: a budget's cut-down is said in this dialect's words, and what it counted is settled", REAL, function(t)
  local server <close> = toy { { text = "yes" } }
  local scope <close> = stoke.scope { budget = { tokens = 100 } }
  stoke.agent { model = "m", endpoint = "toy" }:run "Is it?"
  t.ok(server.requests[1].max_tokens < 100, server.requests[1].max_tokens)
  t.eq(scope.budget.used.tokens, 26)
end)

test("toy: what it calls busy is tried again, and its other errors are told", REAL, function(t)
  local server <close> = toy { 429, { text = "now" }, 404 }
  local target = model.open("m", "toy")
  t.eq(assert(model.ask(target, {}, { { role = "user", content = "Hi" } })).text, "now")
  t.eq(#server.requests, 2)
  local answer, err = model.ask(target, {}, { { role = "user", content = "Hi" } })
  t.eq({ answer, err.kind, err.message }, { nil, "http", "status 404: busy" })
end)

test("toy: of a wire that tells the tokens alone each answer is one call, and the rest is nothing", REAL, function(t)
  local dialect = llm.dialect "toy"
  local whole = dialect.usage
  function dialect.usage(value)
    return { input_tokens = value.usage.prompt_tokens, output_tokens = value.usage.completion_tokens }
  end
  local _ <close> = setmetatable({}, { __close = function() dialect.usage = whole end })
  local server <close> = toy { { calls = CALL }, { text = "Rain." } }
  local bot = stoke.agent { model = "m", endpoint = "toy", tools = { weather() } }
  local expected = { input_tokens = 43, output_tokens = 10, calls = 2, attempts = 2, tool_calls = 1, repairs = 0, seconds = 0,
    load_seconds = 0, estimated = false }
  t.eq(bot:run("Weather?").usage, expected)
  local last
  for ev in bot:stream "And now?" do last = ev end
  t.eq(last.result.usage, { input_tokens = 23, output_tokens = 5, calls = 1, attempts = 1, tool_calls = 0, repairs = 0, seconds = 0,
    load_seconds = 0, estimated = false })
end)

test("toy: what a dialect leaves out is an error that says so, or nothing", REAL, function(t)
  local server <close> = toy { { text = "yes" } } -- luacheck: ignore
  local target = model.open("m", "toy")
  t.eq({ model.window(target), model.known(target), model.room(target, 100) }, {})
  for name, err in pairs { load = select(2, model.load(target)), unload = select(2, model.unload(target)),
    capabilities = select(2, model.capabilities(target)), residency = select(2, model.residency "toy"),
    probe = select(2, model.probe "toy"), embed = select(2, model.embed(target, {}, { "a" })) } do
    t.eq({ err.kind, err.message }, { "usage", "the dialect toy has no " .. name })
  end
end)

test("a dialect that nobody registered is a wrong setting", function(t)
  config.use_endpoint("odd", "http://127.0.0.1:9", "this test", false, "olama")
  local err = t.raises("usage", model.open, "m", "odd")
  t.eq(err.message, 'endpoint odd: no dialect is named "olama" (did you mean ollama?)')
end)

test("toy: a script registers it as well, and its settings name it", REAL, function(t)
  local server <close> = toy { { calls = CALL }, { text = "Take one." } }
  local settings = t.tmp() .. "/stoke.config.lua"
  fs.write(settings, ("return { endpoint = 'here', endpoints = { here = { url = %q, dialect = 'toy' } } }"):format(server.url))
  local r = proc.run { argv = { about.executable(), "-e", [[
    local stoke = require "stoke"
    require "toy"
    local tool = stoke.tool { name = "get_weather", description = "Weather", params = { city = "string: a city" },
      run = function(a) return "rain in " .. a.city end }
    stoke.main(function() print(stoke.agent { model = "m", tools = { tool } }:run "Umbrella?".text) end)
  ]] }, env = { LUA_PATH = "tests/lua/?.lua;;", STOKE_CONFIG = settings }, timeout = 30 }
  t.eq({ r.stdout, r.stderr, r.code }, { "Take one.\n", "", 0 })
end)

test("toy: a dialect that lacks a function, and an unknown kind of error, are said at once", function(t)
  local err = t.raises("argument", model.register, "half", { chat = print })
  t.match(err.message, "the dialect half has no function request")
  t.match(t.raises("argument", model.register, 5, {}).message, "a name and a table expected, got")
  t.match(t.raises("argument", model.error, "odd", "x").message, "there is no kind odd")
end)
