-- What models and servers write into an answer besides words: halves of characters, their reasoning between tags, counts that are
-- missing or absurd. Whole and streamed, chat and generate alike.

local test = require "stoke.test"
local fake = require "fake"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local stoke = require "stoke"
local thinking = require "stoke.reading.thinking"
local wire = require "stoke.reading.wire"

local HI = { { role = "user", content = "Hi" } }
local COUNTS = [["done":true,"done_reason":"stop","prompt_eval_count":12,"eval_count":25]]

--- JSON text of a string whose bytes go out as they are, but for quotes, backslashes and line breaks.
local function raw(text) return '"' .. text:gsub('["\\]', "\\%0"):gsub("\n", "\\n") .. '"' end

local function piece(text) return ('{"model":"m","message":{"role":"assistant","content":%s},"done":false}'):format(text) end
local function thought(text)
  return ('{"model":"m","message":{"role":"assistant","content":"","thinking":%s},"done":false}'):format(text)
end
local function whole(text, more)
  return ('{"model":"m","message":{"role":"assistant","content":%s%s},%s}'):format(text, more or "", COUNTS)
end
local LAST = whole '""'

local function given(server, more)
  local options = { model = "m", messages = HI, endpoint = server.url }
  for name, value in pairs(more or {}) do options[name] = value end
  return options
end

--- What a stream of these pieces (JSON texts of strings, or whole lines) says: its text, its thinking, the done event, all events.
local function heard(pieces, more)
  local lines = {}
  for i, text in ipairs(pieces) do lines[i] = text:find "^{" and text or piece(text) end
  lines[#lines + 1] = LAST
  local server <close> = fake { { lines = lines } }
  local out, events = { text = "", thinking = "" }, {}
  for ev in ollama.stream(given(server, more)) do
    if out[ev.type] then out[ev.type] = out[ev.type] .. ev.text end
    events[#events + 1] = ev
  end
  return out.text, out.thinking, events[#events], events
end

-- ---- halves of characters -------------------------------------------------------------------------------------------------------

test("half a character at the end of a piece joins the next; alone it is U+FFFD, counted once, never fatal", function(t)
  for _, row in ipairs {
    { { '"caf\xC3"', '"\xA9!"' }, "caf\u{E9}!", 0 },
    { { '"\xF0"', '"\x9F"', '"\x98"', '"\x80"' }, "\u{1F600}", 0 },
    { { '"a\xF0\x9F"', '""', '"\x98\x80b"' }, "a\u{1F600}b", 0 },
    { { [["a\ud83d"]], [["\ude00b"]] }, "a\u{1F600}b", 0 },
    { { '"\xED\xA0\xBD"', '"\xED\xB8\x80"' }, "\u{1F600}", 0 },
    { { '"\xED\xA0\xBD\xED\xB8\x80"' }, "\u{1F600}", 0 },
    { { '"caf\xC3"', '"e"' }, "caf\u{FFFD}e", 1 },
    { { '"caf\xC3"' }, "caf\u{FFFD}", 1 },
    { { '"\xFF\xFE"', '"x\xC3("' }, "\u{FFFD}\u{FFFD}x\u{FFFD}(", 1 },
    { { [["\ud83d"]], '" plain "', [["\ude00"]] }, "\u{FFFD} plain \u{FFFD}", 1 },
    { { '"It \xE2\x82"', '"rains"', '" \xE2\x82"', '"\xAC"' }, "It \u{FFFD}rains \u{20AC}", 1 },
    { { '"\xF0\x9F\x98x"' }, "\u{FFFD}x", 1 },
    { { '"\xC0\x80"' }, "\u{FFFD}\u{FFFD}", 1 },
  } do
    for _, merge in ipairs { true, false } do
      local text, _, done = heard(row[1], { merge = merge })
      t.eq({ text, done.usage.repairs }, { row[2], row[3] }, table.concat(row[1], " "))
    end
    local all = {}
    for i, text in ipairs(row[1]) do all[i] = text:sub(2, -2) end
    local server <close> = fake { whole('"' .. table.concat(all) .. '"') }
    local reply = ollama.chat(given(server))
    t.eq({ reply.message.content, reply.usage.repairs }, { row[2], row[3] }, "whole: " .. row[2])
  end
end)

test("a half is told before what comes behind it, whatever that is", function(t)
  local _, _, _, events = heard { thought '"Hm\xC3"', '"It rains"', '"\xC3"', thought '"so"', '" \xF0"', '{"done":false}' }
  local said = {}
  for i, ev in ipairs(events) do said[i] = ev.type .. ":" .. (ev.text or "") end
  t.eq(said, { "thinking:Hm", "thinking:\u{FFFD}", "text:It rains", "text:\u{FFFD}", "thinking:so", "text: ", "text:\u{FFFD}",
    "done:" })
end)

test("halves in thinking, calls, names, a completion and probabilities are mended, too", function(t)
  local calls = [=[,"thinking":"\ud83d","tool_calls":[{"function":{"name":"f@","arguments":{"a@":["@"]}}}]]=]
  local server <close> = fake { whole('"x"', (calls:gsub("@", "\xC3"))), ('{"model":"m","response":"a\xC3",%s}'):format(COUNTS),
    whole('"x"'):gsub("}$", ',"logprobs":[{"token":"\xC3","logprob":-1,"bytes":[195]}]}') }
  local message = ollama.chat(given(server)).message
  t.eq({ message.thinking, json.encode(message.tool_calls[1]["function"]) },
    { "\u{FFFD}", '{"arguments":{"a\u{FFFD}":["\u{FFFD}"]},"name":"f\u{FFFD}"}' })
  t.eq(ollama.generate { model = "m", prompt = "x", endpoint = server.url }.response, "a\u{FFFD}")
  t.eq(ollama.chat(given(server)).logprobs[1].token, "\u{FFFD}")
  local said <close> = fake { { status = 500, body = '{"error":"error parsing tool call: raw=\'\xC3\', err=x"}' },
    { lines = { '{"error":"boom \xC3"}' } }, '{"version":"1\xC3"}' }
  t.match(t.raises("invalid_output", ollama.chat, given(said)).message, "raw='\u{FFFD}'")
  t.match(t.raises("http", function() for _ in ollama.stream(given(said)) do end end).message, "boom \u{FFFD}")
  t.eq(ollama.version(said.url).version, "1\u{FFFD}")
end)

test("the frame is read strictly", function(t)
  for _, body in ipairs { '{"model":"m"\xC3,"done":true}', '{"done":true,"message":{"content":"\\x"}}', '\xFF', '{"a":"\1"}' } do
    local server <close> = fake { body }
    t.raises("protocol", ollama.chat, given(server))
  end
end)

test("wire.join and wire.whole agree, wherever a text is cut", function(t)
  local text = "a\u{E9}\u{20AC}\u{1F600}\xFF\xC3(\xE2\x82\xED\xA0\xBD\xED\xB8\x80\xF0\x9F\x98z\xED\xBD\x98y\xED\xA0\xBD"
  local want = wire.whole(text)
  t.eq(want, "a\u{E9}\u{20AC}\u{1F600}\u{FFFD}\u{FFFD}(\u{FFFD}\u{1F600}\u{FFFD}z\u{FFFD}y\u{FFFD}")
  for cut = 0, #text do
    for second = cut, #text do
      local out, half = {}, ""
      for i, part in ipairs { text:sub(1, cut), text:sub(cut + 1, second), text:sub(second + 1) } do
        out[i], half = wire.join(half, part)
      end
      t.eq(table.concat(out) .. wire.whole(half), want, cut .. " " .. second)
    end
  end
end)

-- ---- reasoning in the text ----------------------------------------------------------------------------------------------------

--- answer, text, thinking
local TAGGED = {
  { "<think>Hm.</think>It rains.", "It rains.", "Hm." }, { "\n <think>\nHm.\n\n</think>\n\nIt rains.\n", "It rains.\n", "Hm." },
  { "<thinking>a < b</thinking>x", "x", "a < b" }, { "<reasoning>r</reasoning> x", "x", "r" }, { "<thought>r</thought>x", "x",
    "r" },
  { "<THINK>r</Think>x", "x", "r" }, { "[THINK]r[/THINK]x", "x", "r" }, { "<think></think>x", "x", "" }, { "<think>\n</think>\nx",
    "x", "" },
  { "<|begin_of_thought|>r<|end_of_thought|>\n<|begin_of_solution|>x", "x", "r" },
  { "<|START_THINKING|>r<|END_THINKING|><|START_RESPONSE|>x", "x", "r" },
  { "<|channel|>analysis<|message|>r<|end|><|start|>assistant<|channel|>final<|message|>x", "x", "r" },
  { "\u{25C1}think\u{25B7}r\u{25C1}/think\u{25B7}x", "x", "r" }, { "<think>a</think> <think>b</think>x", "x", "a\nb" },
  { "<think>a <think> b</think>x", "x", "a <think> b" }, { "<think>never ends ", "", "never ends" }, { "<think>r</think>", "",
    "r" },
  { "<think>r</thin</think>x", "x", "r</thin" }, { "<think>r</think>a <think>b</think> c", "a <think>b</think> c", "r" },
  { "It rains.", "It rains.", "" }, { " \n", " \n", "" }, { "<", "<", "" }, { "<thin", "<thin", "" }, { "<b>x</b>", "<b>x</b>",
    "" },
  { "[1, 2]", "[1, 2]", "" }, { "a <think>b</think> c", "a <think>b</think> c", "" }, { "<thinker>x", "<thinker>x", "" },
  { "\u{2013} x", "\u{2013} x", "" }, { "<|channel|>final<|message|>x", "<|channel|>final<|message|>x", "" },
}

test("reasoning at the beginning of an answer is its thinking: whole, streamed, in any pieces", function(t)
  for _, row in ipairs(TAGGED) do
    local server <close> = fake { whole(raw(row[1])), ('{"model":"m","response":%s,%s}'):format(raw(row[1]), COUNTS) }
    local message = ollama.chat(given(server)).message
    t.eq({ message.content, message.thinking or "" }, { row[2], row[3] }, row[1])
    local reply = ollama.generate { model = "m", prompt = "x", endpoint = server.url }
    t.eq({ reply.response, reply.thinking or "" }, { row[2], row[3] }, row[1])
    for size = 1, 7 do
      local pieces = {}
      for from = 1, #row[1], size do pieces[#pieces + 1] = raw(row[1]:sub(from, from + size - 1)) end
      local text, thinks = heard(pieces, { merge = size % 2 == 0 })
      t.eq({ text, thinks }, { row[2], row[3] }, ("%s in pieces of %d"):format(row[1], size))
    end
  end
end)

test("text is held back only while it may still be a tag", function(t)
  local _, _, _, events = heard({ '"<"', '"b"', '">"', '"x"' }, { merge = false })
  local said = {}
  for i, ev in ipairs(events) do said[i] = ev.text or ev.type end
  t.eq(said, { "<b", ">", "x", "done" })
  _, _, _, events = heard({ '"<think>"', '"one "', '"two"', '"</"', '"think>"', '"x"', '"<think>"' }, { merge = false })
  said = {}
  for i, ev in ipairs(events) do said[i] = ev.type .. ":" .. (ev.text or "") end
  t.eq(said, { "thinking:one", "thinking: two", "text:x", "text:<think>", "done:" })
end)

test("a closing tag alone ends a reasoning that began in the prompt; words about a tag end nothing", function(t)
  for _, row in ipairs {
    { "Hm, so.\n</think>\n\nIt rains.", "It rains.", "Hm, so." }, { "Hm.</think>It rains.", "It rains.", "Hm." },
    { "</think>It rains.", "It rains.", "" }, { "Hm[/THINK]x", "x", "Hm" }, { "r<|end_of_thought|><|begin_of_solution|>x", "x",
      "r" },
    { "Close it with </think> and go on." }, { "The tag `</think>`." }, { 'It is "</think>".' }, { "So:\n```\n</think>\n```\n" },
    { "a <think>b</think> c" }, { '{"a":"x</think>y"}' }, { "a </b> c" },
  } do
    local thinks, rest = thinking.lone(row[1])
    t.eq({ thinks, rest }, { row[3], row[2] or row[1] }, row[1])
    local server <close> = fake { whole(raw(row[1])) }
    local message = ollama.chat(given(server)).message
    t.eq({ message.content, message.thinking or "" }, { row[2] or row[1], row[3] or "" }, row[1])
  end
end)

test("the reasoning stays in the text where that was asked for, and where there is no template", function(t)
  local text = "<think>r</think>x"
  local answers = { whole(raw(text)), ('{"model":"m","response":%s,%s}'):format(raw(text), COUNTS) }
  local server <close> = fake(function(req, res) return res:reply(200, {}, answers[req.path == "/api/chat" and 1 or 2]) end)
  local function content(more) return ollama.chat(given(server, more)).message.content end
  t.eq({ content(), content { split_thinking = false } }, { "x", text })
  t.eq((heard({ raw(text) }, { split_thinking = false })), text)
  ollama.profiles { m = { split_thinking = false } }
  t.eq({ content(), content { split_thinking = true }, (heard { raw(text) }) }, { text, "x", text })
  ollama.profiles { m = {} }
  local function completed(more)
    more.model, more.prompt, more.endpoint = "m", "p", server.url
    return ollama.generate(more).response
  end
  t.eq({ completed {}, completed { raw = true }, completed { suffix = "s" } }, { "x", text, text })
  t.match(t.raises("argument", content, { split_thinking = "no" }).message, "split_thinking must be a boolean")
end)

test("an agent's result, history and structured answer are without the reasoning; a call quoted in it is not run", function(t)
  for _, text in ipairs { '<think>{"name":"f","arguments":{}}</think>\n{"a":1}', 'I could {"name":"f"}.\n</think>\n{"a":1}' } do
    local ran = 0
    local f = stoke.tool { name = "f", run = function() ran = ran + 1 end }
    local pieces = {}
    for from = 1, #text, 5 do pieces[#pieces + 1] = piece(raw(text:sub(from, from + 4))) end
    pieces[#pieces + 1] = LAST
    local server <close> = fake(function(req, res, n)
      if not json.decode(req.body).stream then return res:reply(200, {}, whole(raw(text))) end
      res:start(200)
      for _, line in ipairs(pieces) do res:write(line .. "\n") end
      return n
    end)
    local bot = stoke.agent { model = "m", endpoint = server.url, tools = { f } }
    local reader = stoke.agent { model = "m", endpoint = server.url, output = { a = "integer" } }
    local chat = bot:session()
    t.eq({ bot:run("x").text, chat:run("x").text, chat.messages[2].content }, { '{"a":1}', '{"a":1}', '{"a":1}' })
    t.eq({ reader:run("x").output.a, reader:run("x").usage.repairs }, { 1, 0 })
    for _, agent in ipairs { bot, reader } do
      for ev in agent:stream "x" do
        if ev.type == "done" then t.eq({ ev.result.text, ev.result.usage.repairs }, { '{"a":1}', 0 }, text) end
      end
    end
    t.eq(ran, 0)
  end
end)

test("probabilities go along with the text they are of", function(t)
  local function line(text) return piece(raw(text)):gsub("}$", (',"logprobs":[{"token":%s,"logprob":-1}]}'):format(raw(text))) end
  local _, _, _, events = heard({ (line "<think>"), (line "r"), (line "</think>"), (line "x") }, { logprobs = true })
  local said = {}
  for _, ev in ipairs(events) do
    local tokens = {}
    for i, entry in ipairs(ev.logprobs or {}) do tokens[i] = entry.token end
    said[#said + 1] = ev.type .. ":" .. (ev.text or "") .. ":" .. table.concat(tokens, "|")
  end
  t.eq(said, { "thinking:r:<think>|r", "text:x:</think>|x", "done::" })
end)

-- ---- counts ---------------------------------------------------------------------------------------------------------------------

local LONG = ("word "):rep(3000)

local function counted(more) return ('{"model":"m","message":{"role":"assistant","content":%s},"done":true,"done_reason":"stop"%s}')
  :format(raw(LONG), more) end

test("tokens that the server leaves out, or counts absurdly, are estimated from bytes, and said to be", function(t)
  for _, more in ipairs { "", ',"prompt_eval_count":0,"eval_count":0', ',"prompt_eval_count":-1,"eval_count":9223372036854775807',
      ',"prompt_eval_count":"7","eval_count":1e300', ',"prompt_eval_count":1.5,"eval_count":12345678901234567890123' } do
    local server <close> = fake { counted(more) }
    local usage = ollama.chat(given(server)).usage
    t.ok(usage.estimated, more)
    t.ok(usage.output_tokens > 3000 and usage.output_tokens < 10000, usage.output_tokens)
    t.ok(usage.input_tokens > 0 and usage.input_tokens < 100, usage.input_tokens)
    local lines <close> = fake { { lines = { piece(raw(LONG)), (LAST:gsub(',"prompt_eval_count":12,"eval_count":25', more)) } } }
    for ev in ollama.stream(given(lines)) do
      if ev.type == "done" then
        t.ok(ev.usage.estimated and ev.usage.output_tokens > 3000 and ev.usage.output_tokens < 10000, ev.usage.output_tokens)
      end
    end
  end
  local server <close> = fake { counted ',"prompt_eval_count":12,"eval_count":25',
    '{"model":"m","response":"","done":true,"done_reason":"load"}' }
  local usage = ollama.chat(given(server)).usage
  t.eq({ usage.input_tokens, usage.output_tokens, usage.estimated }, { 12, 25, false })
  usage = ollama.usage(ollama.load { model = "m", endpoint = server.url })
  t.eq({ usage.input_tokens, usage.output_tokens, usage.estimated }, { 0, 0, false })
end)

test("a budget of tokens counts an answer whose server does not", function(t)
  local server <close> = fake { counted "" }
  local _, err = stoke.try(function()
    local scope <close> = stoke.scope { budget = { tokens = 6000 } } -- luacheck: ignore
    for _ = 1, 10 do ollama.chat(given(server)) end
  end)
  t.eq(err.kind, "budget")
  t.ok(#server.requests <= 2, #server.requests)
end)

test("chat, generate and embed carry their usage, as a stream's last event does", function(t)
  local server <close> = fake { whole '"x"', ('{"model":"m","response":"x",%s}'):format(COUNTS),
    '{"model":"m","embeddings":[[1]],"prompt_eval_count":7}' }
  local chat = ollama.chat(given(server))
  local _, _, done = heard { '"x"' }
  t.eq(chat.usage, done.usage)
  t.eq(chat.usage, ollama.usage(chat))
  t.eq(ollama.generate { model = "m", prompt = "x", endpoint = server.url }.usage.output_tokens, 25)
  t.eq(ollama.embed { model = "m", input = "x", endpoint = server.url }.usage.input_tokens, 7)
  t.eq(json.decode(json.encode(ollama.try_chat(given(server)) or chat)).model, "m")
end)

test("arguments that are no object are an error, or come as they are to who asked for them", function(t)
  for _, text in ipairs { '[{"city":"Oslo"}]', '"Oslo"', "7", "false" } do
    local calls = (',"tool_calls":[{"function":{"name":"f","arguments":%s}}]'):format(text)
    local server <close> = fake { whole('""', calls) }
    t.match(t.raises("invalid_output", ollama.chat, given(server)).message, "the arguments of the tool call f are no JSON object")
    local reply = ollama.chat(given(server, { any_arguments = true }))
    t.eq(reply.message.tool_calls[1]["function"].arguments, json.decode(text))
    local lines <close> = fake { { lines = { whole('""', calls) } } }
    for ev in ollama.stream(given(lines, { any_arguments = true })) do
      if ev.type == "tool_call" then t.eq(ev.arguments, json.decode(text)) end
    end
  end
end)
