-- Errors of the server, with texts that say what the model did, or nothing, or too much.

local say = require "tests.hostile.model.say"

local GOOD = say.text "It rains."
local list = {}

local function failure(name, status, message, expect, more)
  local body = type(message) == "string" and say.encode { error = message } or say.encode(message)
  local case = { name = name, raw = { { status = status, body = body }, GOOD }, expect = expect }
  for key, value in pairs(more or {}) do case[key] = value end
  list[#list + 1] = case
end

local PARSE = "error parsing tool call: raw='%s', err=%s"

failure("a call as bare arguments", 500, PARSE:format('{"city": "Oslo"', "unexpected end of JSON input"), "value", { repairs = 1 })
failure("a call with its name", 500, PARSE:format('{"name":"get_weather","arguments":{"city":"Oslo"},}',
  "invalid character '}'"), "value",
  { repairs = 1 })
failure("a call of which nothing is left", 500, PARSE:format("", "unexpected end of JSON input"), "value",
  { repairs = 1, requests = 2, text = "It rains." })
failure("words for a call", 500, PARSE:format("I would call the weather", "invalid character 'I'"), "value", { repairs = 1,
  requests = 2 })
failure("a call of an unknown tool", 500, PARSE:format('{"name":"nope","arguments":{}', "unexpected end"), "value", { repairs = 2 })
failure("quotes in the call", 500, PARSE:format([[{"city":"O'Slo', err=no"}]], "invalid"), "value", { repairs = 1 })
failure("lines and controls in the call", 500, PARSE:format('{"city":\n\t"Os\1lo"', "invalid"), "value", { repairs = 1 })
failure("llama-server's words", 500, 'llama-server returned invalid tool call arguments for "get_weather": {"city": "Oslo"',
  "value",
  { repairs = 1 })
failure("llama-server's words, no arguments", 500, 'llama-server returned invalid tool call arguments for "get_weather": ', "value",
  { repairs = 1, requests = 2 })
failure("an unknown parser's words", 500, "error parsing tool call: XML syntax error on line 3", "value", { repairs = 1,
  requests = 2 })
failure("a megabyte of call", 500, PARSE:format(("x"):rep(1000000), "invalid"), "value", { repairs = 1 })
failure("JSON in JSON", 500, '{"error":{"message":"error parsing tool call: raw=\'\', err=unexpected end of JSON input"}}', "value",
  { repairs = 1, requests = 2 })
failure("every time a call that cannot be read", 500, "x", "invalid_output", { repairs = 2, requests = 3,
  raw = { { status = 500, body = say.encode { error = PARSE:format("", "unexpected end of JSON input") } } } })
failure("a 500 of nothing", 500, "", "http", {})
failure("a 500 of null", 500, { error = say.null }, "http", {})
failure("a 500 of a list", 500, { error = { 1, 2 } }, "http", {})
failure("a 500 of deep objects", 500, { error = { error = { error = { error = { error = { error = "boom" } } } } } }, "http", {})
failure("a 500 of words", 500, "boom", "http", { says = "boom" })
failure("a 500 of lines", 500, "boom\nand\tboom\r\nagain\27[31m", "http", {})
failure("a 500 of a megabyte", 500, ("boom "):rep(200000), "http", {})
failure("a 400 of the window", 400, "the input length exceeds the context length", "value context_overflow", {})
failure("a 400 of the window with numbers", 400,
  '{"error":{"code":400,"message":"request (9000 tokens) exceeds the available context '
  .. 'size (4096 tokens), try increasing it"}}', "value", { repairs = 1, requests = 2 })
failure("a window of nothing", 400, "request (9000 tokens) exceeds the available context size (0 tokens)",
  "value context_overflow", {})
failure("a window of too large numbers", 400, "request (99999999999999999999999 tokens) exceeds the available context size "
  .. "(99999999999999999999999 tokens)", "value context_overflow", {})
failure("tools are not supported", 400, 'registry.ollama.ai/library/m:latest does not support tools', "http",
  { says = "does not support" })
failure("no such model", 404, "model 'm' not found", "http", {})
failure("not allowed", 401, "unauthorized", "auth", {})
failure("too often", 429, "you have reached your session usage limit", "value overloaded", {})
failure("always busy", 503, "x", "overloaded", { raw = { { status = 503, body = '{"error":"server busy, please try again."}' } },
  requests = 3 })
failure("memory", 500, "model requires more system memory (9.1 GiB) than is available (7.9 GiB)", "overloaded", { requests = 1 })
failure("a redirect", 302, "x", "protocol http value", {})
failure("a page", 502, "x", "value overloaded", { raw = { { status = 502, body = "<html>Bad Gateway</html>" } } })
failure("an empty page", 500, "x", "http", { raw = { { status = 500, body = "" } } })
failure("bytes that are no UTF-8", 500, "x", "http", { raw = { { status = 500, body = '{"error":"caf\xE9\xFF"}' } } })
failure("NUL bytes", 500, "x", "http", { raw = { { status = 500, body = "\0\0\0" } } })
failure("an error and an answer at once", 200, { error = "boom", message = { content = "It rains." }, done = true }, "http",
  { raw = { say.text("It rains.", { error = "boom" }) } })

return list
