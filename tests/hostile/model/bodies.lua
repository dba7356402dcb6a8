-- What is wrong with the reply itself: no JSON, other JSON, wrong types at every place.

local say = require "tests.hostile.model.say"

local list = {}
local function add(case) list[#list + 1] = case end

local WRONG = { { "null", say.null }, { "a number", 7 }, { "a text", "text" }, { "true", true }, { "a list", { 1 } },
  { "an object", { a = 1 } } }

--- place -> what it may end in. A field that nothing hangs on changes nothing.
local PLACES = {
  { "message", "value protocol invalid_output" }, { "message.content", "value protocol invalid_output" },
  { "message.thinking", "value protocol" }, { "message.tool_calls", "value protocol invalid_output" },
  { "message.role", "value" }, { "message.tool_name", "value" }, { "done", "value incomplete" }, { "done_reason", "value" },
  { "prompt_eval_count", "value" }, { "eval_count", "value" }, { "total_duration", "value" }, { "load_duration", "value" },
  { "model", "value" }, { "created_at", "value" }, { "error", "value http" }, { "logprobs", "value" },
}

for _, place in ipairs(PLACES) do
  local inner = place[1]:match "^message%.(.*)"
  for _, wrong in ipairs(WRONG) do
    local message, more = { role = "assistant", content = "It rains." }, {}
    if inner then message[inner] = wrong[2] else more[place[1]] = wrong[2] end
    add { name = place[1] .. " is " .. wrong[1], raw = { say.last(message, more) }, expect = place[2] }
  end
end

for _, field in ipairs { "prompt_eval_count", "eval_count", "total_duration" } do
  for _, value in ipairs { "-1", "0", "1.5", "1e300", "-1e300", "9223372036854775807", "99999999999999999999" } do
    local body = say.text("It rains.", { [field] = "@" }):gsub('"@"', value)
    add { name = field .. " is " .. value, raw = { body }, expect = "value context_overflow" }
  end
end

local BODIES = {
  { "nothing", "", "incomplete" }, { "white space", " \n ", "protocol incomplete" }, { "null", "null", "protocol" },
  { "a list", "[]", "protocol" }, { "true", "true", "protocol" }, { "a number", "7", "protocol" },
  { "a text", '"It rains."', "protocol" }, { "an empty object", "{}", "incomplete" },
  { "a brace", "{", "incomplete protocol" }, { "HTML", "<html><body>Welcome</body></html>", "protocol" },
  { "words", "Internal Server Error", "protocol" }, { "half of it", say.text("It rains."):sub(1, 60), "incomplete protocol" },
  { "a byte order mark before it", "\xEF\xBB\xBF" .. say.text "It rains.", "value protocol" },
  { "events of a web stream", "data: " .. say.text "It rains." .. "\n\ndata: [DONE]\n", "protocol" },
  { "an OpenAI reply", '{"choices":[{"message":{"content":"It rains."}}]}', "protocol" },
  { "bytes that are no UTF-8", (say.text("It @ rains."):gsub("@", "\xFF\xFE")), "value" },
  { "half a surrogate pair", (say.text("@"):gsub("@", "\\ud83d")), "value" },
  { "control characters in a string", (say.text("@"):gsub("@", "a\1b")), "protocol" },
  { "NUL, escaped", (say.text("@"):gsub("@", "a\\u0000b")), "value" },
  { "single quotes", "{'done': true, 'message': {'content': 'It rains.'}}", "protocol" },
  { "a number that is too large", (say.text("x", { x = "@" }):gsub('"@"', "1e999")), "value" },
  { "two thousand brackets", (say.text("x", { x = "@" }):gsub('"@"', ("["):rep(2000) .. ("]"):rep(2000))), "protocol" },
  { "a key twice", '{"done":false,"done":true,"message":{"content":"no","content":"It rains."}}', "value" },
  { "no message but done", '{"done":true}', "invalid_output" },
  { "no role", '{"done":true,"message":{"content":"It rains."}}', "value" },
  { "an empty message", '{"done":true,"message":{}}', "invalid_output" },
  { "a load instead of an answer", '{"done":true,"done_reason":"load","message":{"content":""}}', "invalid_output" },
}
for _, body in ipairs(BODIES) do add { name = "the body is " .. body[1], raw = { body[2] }, expect = body[3] } end

return list
