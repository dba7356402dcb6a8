-- What stoke.ollama raises when something goes wrong: kind, message, hint, whether a retry may help, and how often it tried.

local test = require "stoke.test"
local asking = require "asking"
local failures = require "stoke.ollama.failures"
local fake = require "fake"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local sim = require "stoke.sim"
local pool = require "core.gate.pool"
local stoke = require "stoke"
local time = require "stoke.time"

local HI, DONE, TEXT, WHOLE = asking.HI, asking.DONE, asking.TEXT, asking.WHOLE
local options_for, stream, both = asking.options_for, asking.stream, asking.both

-- Each test may use up what retries a whole run would have.
local retry = require "core.gate.retry"
local EARNED = retry.earned
retry.earned = 1000

local function said(status, text) return { status = status, body = json.encode { error = text } } end


-- ---- answers with a status ------------------------------------------------------------------------------------------

test("404: the model is missing, and the hint pulls it", function(t)
  for _, text in ipairs { "model 'm' not found", 'model "m" not found, try pulling it first' } do
    both(t, said(404, text), { kind = "http", message = text, hint = "stoke pull m", fields = { status = 404 } })
  end
  both(t, { status = 404, headers = { ["Content-Type"] = "text/plain" }, body = "404 page not found" },
    { kind = "http", message = "status 404 (not found): 404 page not found", fields = { status = 404 },
      hint = "nothing is at this path; is it Ollama's address? (stoke doctor)" })
  local server <close> = sim.serve { mem = "nothing" }
  local err = t.raises("http", ollama.chat, { model = "nope:1b", messages = HI, endpoint = server.url })
  t.eq({ err.message, err.hint, err.status }, { "model 'nope:1b' not found", "stoke pull nope:1b", 404 })
  t.eq(tostring(err):match "hint: (.-)\n" or tostring(err):match "hint: (.*)$", "stoke pull nope:1b")
end)

test("400: what the server said, never again", function(t)
  both(t, said(400, "model is required"), { kind = "http", message = "model is required", fields = { status = 400 },
    hint = '"m" cannot be read as a name: a name is [host/][namespace/]model[:tag]: letters, digits, `-`, `_`, `.`' })
  both(t, said(400, '"m" does not support chat'), { kind = "http", message = '"m" does not support chat',
    hint = "`stoke models` lists models, ollama.show(name).capabilities what one can do", fields = { status = 400 } })
  both(t, said(500, 'option "stop" must be of type array'), { kind = "http", message = 'option "stop" must be of type array',
    hint = "an option has the wrong type", fields = { status = 500 } })
  both(t, said(500, 'invalid format: "x"; expected "json" or a valid JSON Schema object'), { kind = "http",
    message = 'invalid format: "x"; expected "json" or a valid JSON Schema object',
    hint = 'format must be "json" or a JSON Schema object' })
end)

test("401 and 403: who are you", function(t)
  both(t, { status = 401, body = [[{"error":"unauthorized","signin_url":"https://ollama.com/connect?x=1"}]] }, { kind = "auth",
    message = "unauthorized", hint = "sign in: https://ollama.com/connect?x=1",
    fields = { status = 401, signin_url = "https://ollama.com/connect?x=1" } })
  both(t, said(401, "unauthorized"), { kind = "auth", message = "unauthorized",
    hint = "set OLLAMA_API_KEY, or the endpoint's key in stoke.config.lua" })
  both(t, { status = 403, body = "" }, { kind = "auth", message = "status 403 (forbidden)",
    hint = "Ollama refuses this Host or Origin; check OLLAMA_HOST and OLLAMA_ORIGINS on the server" })
end)

test("429: waits as long as it is told to, then says so", function(t)
  local text = "you (name) have reached your session usage limit"
  local began = time.monotonic()
  both(t, { status = 429, headers = { ["Retry-After"] = "7" }, body = json.encode { error = text } },
    { kind = "overloaded", message = text, retryable = true, tries = 3, fields = { status = 429, retry_after = 7 },
      hint = "the account's limit at ollama.com; it is lifted with time, or by another plan" })
  t.near(time.monotonic() - began, 2 * 2 * 7, 0.1)
end)

test("499, 502, 503: the server is busy; asked again with pauses in between", function(t)
  both(t, said(499, "request canceled"), { kind = "incomplete", message = "request canceled", retryable = true, tries = 3,
    hint = "the server took this client for gone; asking again may help", fields = { status = 499 } })
  local busy = "server busy, please try again.  maximum pending requests exceeded"
  both(t, said(503, busy), { kind = "overloaded", message = busy:gsub("  ", " "), retryable = true, tries = 3,
    hint = "the server's queue of loads is full; ask for fewer models at once", fields = { status = 503 } })
  both(t, said(503, "Server overloaded, please retry shortly (ref: 1)"), { kind = "overloaded",
    message = "Server overloaded, please retry shortly (ref: 1)", retryable = true, tries = 3 })
  both(t, { status = 502, body = "" }, { kind = "overloaded", message = "status 502 (bad gateway)", retryable = true, tries = 3 })
end)

test("500: what died and what may be tried again", function(t)
  local runner = "the model's process ended on the server; its log says why"
  local memory = "unload another model (ollama.unload), or lower num_ctx in the profile"
  for text, want in pairs {
    ["model runner has unexpectedly stopped, this may be due to resource limitations"] = { "incomplete", true, runner, 3 },
    ["llama-server process has terminated: signal: killed"] = { "incomplete", true, runner, 3 },
    ["an error was encountered while running the model: boom"] = { "incomplete", true, runner, 3 },
    ["no slots available after 10 retries"] = { "overloaded", true, nil, 3 },
    ["timed out waiting for llama-server to start - "] = { "timeout", true,
      "the model did not finish loading on the server (OLLAMA_LOAD_TIMEOUT)", 3 },
    ["model requires more system memory (9.1 GiB) than is available (7.9 GiB)"] = { "overloaded", false, memory, 1 },
    ["llama-server reported out-of-memory during startup: x"] = { "overloaded", false, memory, 1 },
    ["something new"] = { "http", false, nil, 1 },
  } do
    both(t, said(500, text), { kind = want[1], message = text:gsub(" $", ""), retryable = want[2], hint = want[3],
      tries = want[4] })
  end
  both(t, { status = 500, body = "" }, { kind = "http", message = "status 500 (internal server error)" })
end)

test("500: a tool call that the model wrote badly is for the agent to ask again", function(t)
  local hint = "the model wrote a tool call that cannot be read; ask again, perhaps with another seed"
  for _, text in ipairs { "error parsing tool call: raw='{x', err=invalid character",
    'llama-server returned invalid tool call arguments for "f": unexpected end of JSON input' } do
    both(t, said(500, text), { kind = "invalid_output", message = text, retryable = true, hint = hint })
  end
end)

test("errors inside errors are unwrapped", function(t)
  local function nested(value) return { status = 500, body = json.encode { error = value } } end
  both(t, nested(json.encode { error = { code = 500, message = "deep", type = "x" } }), { kind = "http", message = "deep" })
  both(t, nested { message = "like OpenAI", type = "x" }, { kind = "http", message = "like OpenAI" })
  both(t, nested { error = { error = { error = { error = { error = {} } } } } }, { kind = "http", message = "unknown error" })
  both(t, nested "{not json", { kind = "http", message = "{not json" })
  both(t, nested(7), { kind = "http", message = "7" })
  both(t, nested(json.null), { kind = "http", message = "unknown error" })
  both(t, nested "", { kind = "http", message = "unknown error" })
  both(t, nested "red \27[31m\r\nalert\0", { kind = "http", message = "red [31m alert" })
end)

test("HTML from a proxy", function(t)
  local hint = "a proxy or another program answered; check the address (stoke doctor)"
  local page = "<html>\n<head><title>502 Bad Gateway</title></head></html>"
  both(t, { status = 502, body = page }, { kind = "overloaded", hint = hint, retryable = true, tries = 3,
    message = "status 502 (bad gateway) with HTML instead of JSON: 502 Bad Gateway" })
  both(t, { status = 404, body = "<html><p>gone" }, { kind = "http", fields = { status = 404 },
    hint = "nothing is at this path; is it Ollama's address? (stoke doctor)",
    message = "status 404 (not found) with HTML instead of JSON: <html><p>gone" })
  both(t, { status = 200, body = "<!DOCTYPE html><p>Log in" }, { kind = "protocol", hint = hint,
    message = "HTML instead of JSON: <!DOCTYPE html><p>Log in" })
end)

test("an HTML page does not hide what its status says", function(t)
  for status, want in pairs {
    [401] = { "auth", "unauthorized" }, [403] = { "auth", "forbidden" }, [407] = { "auth", "the proxy wants" },
    [413] = { "http", "too large" }, [429] = { "overloaded", "too many requests", true },
    [503] = { "overloaded", "service unavailable", true }, [504] = { "timeout", "gateway timeout", true },
    [524] = { "timeout", "gateway timeout", true },
  } do
    local server <close> = fake { { status = status, body = "<!DOCTYPE html>\n<title>Oops</title><p>x" } }
    local err = t.raises(want[1], ollama.chat, options_for(server))
    t.match(err.message, ("^status %d %%(.*%s.*%%) with HTML instead of JSON: Oops$"):format(status, want[2]))
    t.eq(err.retryable, want[3] or false)
  end
end)

test("504: the work may be running, so the gate does not ask again", function(t)
  for _, body in ipairs { "", "<html>", "upstream request timeout", json.encode { error = "timeout" } } do
    local server <close> = fake { { status = 504, body = body } }
    local err = t.raises("timeout", ollama.chat, options_for(server))
    t.eq({ #server.requests, err.retryable }, { 1, true }, body)
  end
end)

test("a redirect is told with the address it leads to", function(t)
  local function moved(status, location)
    local server <close> = fake { { status = status, headers = { Location = location }, body = "<html>" } }
    return t.raises("protocol", ollama.chat, options_for(server))
  end
  local err = moved(301, "https://me:pw@models.test:8443/ollama/api/chat?key=1")
  t.eq(err.message, "status 301 instead of an answer: the server sends its clients to https://models.test:8443/ollama/api/chat")
  t.eq(err.hint, "the server is at another address: set the endpoint, or OLLAMA_HOST, to https://models.test:8443/ollama")
  t.match(moved(308, "https://sso.test/login").hint, "is that the address that was meant")
  t.match(moved(307, "/v2/api/chat").message, "to /v2/api/chat$")
  t.eq(moved(302, "").message, "status 302 instead of an answer")
end)

test("Retry-After as a date is waited for, by the server's own clock", function(t)
  local date = "Sun, 06 Nov 1994 08:49:37 GMT"
  for after, seconds in pairs {
    ["Sun, 06 Nov 1994 08:49:44 GMT"] = 7, ["Sunday, 06-Nov-94 08:49:44 GMT"] = 7, ["Sun Nov  6 08:49:44 1994"] = 7,
    ["Sun, 06 Nov 1994 08:49:30 GMT"] = 0, ["Mon, 07 Nov 1994 00:00:00 GMT"] = 54623, ["Fri, 01 Jan 2100 00:00:00 GMT"] = 86400,
    [("9"):rep(30)] = 86400, ["soon"] = false, ["-5"] = false,
  } do
    local err = failures.status(429, "{}", { model = "m" }, ("Date: %s\nRetry-After: %s\n"):format(date, after))
    t.eq(err.retry_after or false, seconds, after)
  end
end)

-- ---- the prompt does not fit ----------------------------------------------------------------------------------------

test("context_overflow: both numbers, out of the server's text", function(t)
  local inner = json.encode { error = { code = 400, type = "exceed_context_size_error",
    message = "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it" } }
  both(t, said(400, inner), { kind = "context_overflow", message = "the prompt for m has 9000 tokens, its context window 4096",
    fields = { tokens = 9000, window = 4096, status = 400 } })
end)

test("context_overflow: the window out of the profile or /api/ps, the tokens estimated", function(t)
  local text = "the input length exceeds the context length"
  local function server()
    return fake(function(req, res)
      if req.path == "/api/ps" then return { models = { { name = "m:latest", context_length = 2048 } } } end
      res:reply(400, nil, { error = text })
    end)
  end
  local long = { { role = "user", content = ("x"):rep(12000) } }
  for _, ask in ipairs { ollama.chat, stream } do
    local one <close> = server()
    local err = t.raises("context_overflow", ask, options_for(one, { messages = long }))
    t.eq({ err.window, err.estimated, err.server }, { 2048, true, text })
    t.ok(err.tokens >= 3000 and err.tokens < 3100, err.tokens)
    t.eq(err.message, ("the prompt for m has about %d tokens, its context window 2048"):format(err.tokens))
    err = t.raises("context_overflow", ask, options_for(one))
    t.eq(err.tokens, 2049, "at least one too many")
    t.eq(#one.requests, 3, "asked once")
  end
  ollama.profiles { m = { num_ctx = 1024 } }
  local two <close> = server()
  local err = t.raises("context_overflow", ollama.chat, options_for(two))
  t.eq({ err.window, #two.requests }, { 1024, 1 })
  ollama.profiles { m = {} }
  local three <close> = fake(function(req, res)
    if req.path == "/api/ps" then return res:reply(500) end
    res:reply(400, nil, { error = text })
  end)
  err = t.raises("context_overflow", ollama.chat, options_for(three))
  t.eq({ err.window, err.message }, { nil, "the prompt for m has about 8 tokens, more than its context window" })
end)

-- A server of old that cuts without a word: prompt_eval_count fills the window.
local function cutting(state)
  return fake(function(req, res)
    if req.path == "/api/ps" then
      state.asked = (state.asked or 0) + 1
      return { models = { { name = "other" }, { name = "M", context_length = state.window } } }
    end
    local last = DONE:gsub('"done":true', ('"done":true,"prompt_eval_count":%d'):format(state.count))
    if json.decode(req.body).stream then return res:reply(200, nil, TEXT .. "\n" .. last .. "\n") end
    res:reply(200, nil, last)
  end)
end

test("context_overflow: a prompt that was cut silently is noticed, the window asked once a model", function(t)
  local state = { window = 4096, count = 4096 }
  local server <close> = cutting(state)
  for _, ask in ipairs { ollama.chat, stream } do
    local err = t.raises("context_overflow", ask, options_for(server))
    t.eq({ err.tokens, err.window, err.retryable }, { 4096, 4096, false })
  end
  state.count = 4095
  local before = state.asked
  for _ = 1, 5 do ollama.chat(options_for(server)) end
  t.eq(state.asked, before, "asked once")
  state.count, state.window = 6000, 8192
  ollama.chat(options_for(server))
  t.eq(state.asked, before + 1, "before it is said, it is asked again: the model may have been loaded anew")
  ollama.chat(options_for(server))
  state.count = 9000
  ollama.chat(options_for(server, { truncate = true }))
end)

test("context_overflow: short prompts and a profile ask nothing", function(t)
  local state = { window = 4096, count = 200 }
  local server <close> = cutting(state)
  ollama.chat(options_for(server))
  t.eq(state.asked, nil)
  ollama.profiles { m = { num_ctx = 512 } }
  state.count = 511
  ollama.chat(options_for(server))
  state.count = 512
  t.raises("context_overflow", ollama.chat, options_for(server))
  t.eq(state.asked, nil)
  ollama.profiles { m = {} }
end)

test("context_overflow: on the simulator, both kinds of template", function(t)
  for _, template in ipairs { "go", "native" } do
    local server <close> = sim.serve { mem = "window", models = { "m,template=" .. template }, context = 600 }
    local options = { model = "m", endpoint = server.url, messages = { { role = "user", content = ("word "):rep(2000) } } }
    local err = t.raises("context_overflow", ollama.chat, options)
    t.eq(err.window, 600)
    t.ok(err.tokens > 2000, err.tokens)
    t.raises("context_overflow", stream, options)
  end
end)

-- ---- time -----------------------------------------------------------------------------------------------------------

local function timed(t, phase, ask, options, limit)
  local began = time.monotonic()
  local err = t.raises("timeout", ask, options)
  t.near(time.monotonic() - began, limit, 0.05)
  t.eq({ err.phase, err.model, err.retryable }, { phase, "m", true })
  return err
end

test("timeout: the first byte; asked once, or the queue would fill with calls that left", function(t)
  local server <close> = fake { { delay = 1e5, body = WHOLE } }
  for _, ask in ipairs { ollama.chat, stream } do
    local err = timed(t, "first_byte", ask, options_for(server, { timeouts = { first_byte = 5 } }), 5)
    t.match(err.message, "^fake%d+%.mem:80: no answer within 5 s$")
    t.eq(err.hint, "a cold load or the server's queue comes first; ollama.load before, or raise timeouts.load and first_byte")
  end
  t.eq(#server.requests, 2)
end)

test("timeout: a cold load and the queue have their time by default", function(t)
  local server <close> = sim.serve { mem = "cold", models = { "m" }, load_seconds = 290, tokens_per_second = 1,
    script = function() return ("word "):rep(300) end }
  t.eq(ollama.chat(options_for(server)).done, true)
  t.raises("timeout", ollama.chat, options_for(server, { timeouts = { first_byte = 60 } }))
  local slower <close> = sim.serve { mem = "colder", models = { "m" }, load_seconds = 400 }
  local err = t.raises("timeout", stream, options_for(slower))
  t.match(err.message, "no answer within 360 s")
end)

test("timeout: silence between tokens", function(t)
  local server <close> = fake { { lines = { TEXT }, hang = true } }
  local seen = {}
  local began = time.monotonic()
  local err = t.raises("timeout", stream, options_for(server, { timeouts = { idle = 3 } }), seen)
  t.near(time.monotonic() - began, 3, 0.05)
  t.eq({ err.phase, #seen, #server.requests }, { "idle", 1, 1 })
  t.match(err.message, "nothing came for 3 s in the middle of the answer$")
  t.eq(err.hint, "the server fell silent in the middle of the answer; timeouts.idle says how long that may last")
  local slow <close> = fake { { lines = { TEXT, TEXT, TEXT, DONE }, gap = 2 } }
  t.eq(#stream(options_for(slow, { timeouts = { idle = 3 }, merge = false })), 4)
end)

test("timeout: all of it", function(t)
  local server <close> = fake { { lines = { TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, DONE }, gap = 2 } }
  local err = timed(t, "total", stream, options_for(server, { timeouts = { total = 5 } }), 5)
  t.match(err.message, "not done within 5 s$")
  t.eq(err.hint, "timeouts.total was given for this call; num_predict bounds the length of an answer")
  t.eq(#server.requests, 1)
end)

test("timeout: false lifts a limit", function(t)
  local server <close> = fake { { lines = { TEXT, DONE }, gap = 1e4, delay = 1e4 } }
  t.eq(#stream(options_for(server, { timeouts = { idle = false, first_byte = false } })), 2)
end)

test("timeout: time in the pool's queue does not count", function(t)
  local server <close> = fake { { delay = 4, body = WHOLE } }
  local _ <close> = setmetatable({}, { __close = function() pool.set_default(nil) end })
  pool.set_default(2)
  local scope <close> = stoke.scope {}
  local began = time.monotonic()
  scope:map({ 1, 2, 3, 4, 5, 6 }, function() return ollama.chat(options_for(server, { timeouts = { first_byte = 5 } })) end)
  t.near(time.monotonic() - began, 12, 0.1)
end)

-- ---- retries --------------------------------------------------------------------------------------------------------

test("retries: jittered, and never more than three attempts", function(t)
  local times = {}
  local server <close> = fake(function(_, res)
    times[#times + 1] = time.monotonic()
    res:reply(503, nil, { error = "server busy, please try again" })
  end)
  local pauses = {}
  for _ = 1, 5 do
    times = {}
    t.raises("overloaded", ollama.chat, options_for(server))
    t.eq(#times, 3)
    t.ok(times[2] - times[1] <= 0.25 and times[3] - times[2] <= 0.5)
    pauses[times[2] - times[1]] = true
  end
  local different = 0
  for _ in pairs(pauses) do different = different + 1 end
  t.ok(different >= 4, "the pauses differ")
end)

test("retries: a budget for all calls together, so that they cannot multiply the load", function(t)
  local server <close> = fake { said(503, "server busy, please try again") }
  local guard <close> = setmetatable({}, { __close = function() retry.earned = 1000 end })
  retry.earned = EARNED
  local calls = 60
  for _ = 1, calls do pcall(ollama.chat, options_for(server)) end
  t.ok(#server.requests < calls + 30, #server.requests .. " requests for " .. calls .. " calls")
end)

test("retries: version asks once", function(t)
  local server <close> = fake { said(503, "server busy") }
  t.raises("overloaded", ollama.version, server.url)
  t.eq(#server.requests, 1)
end)

test("a call that succeeded later says how many attempts it took", function(t)
  local server <close> = fake { said(503, "server busy"), said(503, "server busy"), WHOLE }
  t.eq(ollama.usage(ollama.chat(options_for(server))).attempts, 3)
end)
