-- What the simulator does like one version and not like another, and what it says to requests that are no good.
-- luacheck: max line length 160

local test = require "stoke.test"
local sim = require "stoke.sim"
local world = require "world"
local json = require "stoke.ollama.server.gojson"

local MODELS = { "small,family=llama,caps=completion,context=4096,tps=10", "own,family=gemma3,caps=completion",
  "mind,family=llama,caps=completion+thinking", "hand,family=llama,caps=completion+tools", "eye,family=gemma3,caps=completion+vision",
  "nomic-embed-text" }

local function new(like, o)
  local w = world.new()
  o = o or {}
  o.seams, o.like, o.models = w.seams, like, o.models or MODELS
  o.load_seconds, o.prefill = o.load_seconds or 0, o.prefill or 0
  if not o.models or o.models == MODELS then o.tokens_per_second = o.tokens_per_second or 0 end
  return sim.new(o), w
end

local function ask(s, w, path, body, method)
  local c = w:request(s, method or "POST", path, body)
  w:run(w.now + 60)
  return c
end

local function answer(s, w, path, body)
  local c = ask(s, w, path, body)
  local value = json.decode(c.body)
  return { c.status, value and value.error or c.body }
end

local USER = '"messages":[{"role":"user","content":"hi"}],'

local function format(s, w, text)
  return answer(s, w, "/api/generate", '{"model":"small","prompt":"x","stream":false,"format":' .. text .. "}")
end

test("a version's name: 0.17, 0.30 or a whole one; others are refused", function(t)
  t.eq({ (new()).version, (new "0.17").version, (new "0.30").version, (new "0.24.0").version },
    { "0.33.0", "0.17.4", "0.33.0", "0.24.0" })
  local err = t.raises("argument", new, "0.9")
  t.match(err.message, "no habits are known of version 0%.9")
  t.match(err.hint, "0%.17 0%.30")
  t.raises("argument", new, "new")
  t.eq((new("0.17", { version = "9.9.9" })).version, "9.9.9", "what it says can be something else")
end)

test("a format that is no schema: 500 before 0.30, then llama-server's own 400", function(t)
  for _, text in ipairs { '{"type":"nosuch"}', '{"$ref":"#/nope"}', '{"$ref":"x.json"}', '{"type":"string","pattern":"("}', '{"type":"string","pattern":"abc"}',
    '{"type":"string","pattern":"^[a$"}', '{"type":"object","properties":"x"}', '{"type":"object","properties":{"a":{"type":"nosuch"}}}',
    '{"type":5}', '{"type":["string","nosuch"]}', '{"anyOf":5}', '{"anyOf":[{"type":"nosuch"}]}', '{"type":"array","items":5}', '{"foo":1}', '{"not":{}}',
    '{"type":"string","minLength":"x"}', '{"type":"string","format":5}', '{"type":"object","additionalProperties":{"type":"nosuch"}}' } do
    local s, w = new "0.17"
    t.eq(format(s, w, text), { 500, "invalid JSON schema in format" }, text)
    s, w = new()
    local got = format(s, w, text)
    t.eq(got[1], 400, text)
    t.match(json.decode(got[2]).error.message, "^\"json_schema\": JSON schema conversion failed:\n", text)
  end
  for _, text in ipairs { "{}", '{"type":"object"}', '{"type":"null"}', '{"enum":"x"}', '{"const":1}', '{"properties":{"a":{"type":"integer"}}}',
    '{"$ref":"#/$defs/a","$defs":{"a":{"type":"string"}}}', '{"type":"string","pattern":"^(a|b)$"}', '{"type":"object","required":"a"}',
    '{"type":"string","format":"nosuch"}', '{"allOf":[{"type":"nosuch"}]}', '{"type":["string","null"]}', '{"type":"number","minimum":"x"}' } do
    local s, w = new "0.17"
    t.eq(format(s, w, text)[1], 200, text)
  end
end)

test("a pattern that the old engine's grammar does not survive takes the runner along", function(t)
  local s, w = new "0.17"
  t.eq(format(s, w, '{"type":"string","pattern":"^\\\\d$"}')[1], 500)
  t.match(format(s, w, '{"oneOf":[]}')[2], "^model runner has unexpectedly stopped")
  t.eq(format(s, w, "{}")[1], 200)
  t.eq(s.ledger.loads, 3, "each death costs a load")
end)

test("tools: wrong types are named as Go names them", function(t)
  local s, w = new()
  local function parameters(text)
    return answer(s, w, "/api/chat", '{"model":"hand","tools":[{"type":"function","function":{"name":"f","parameters":' .. text .. "}}]}")[2]
  end
  local WHERE = "json: cannot unmarshal %s into Go struct field ToolFunctionParameters.tools.function.parameters.%s"
  t.eq(parameters '{"type":5}', WHERE:format("number", "type of type string"))
  t.eq(parameters '{"properties":{"a":{"type":5}}}', WHERE:format("number", "properties.type of type []string"))
  t.eq(parameters '{"properties":{"a":{"type":[5]}}}', WHERE:format("number", "properties.type of type string"))
  t.eq(parameters '{"properties":{"a":5}}', WHERE:format("number", "properties of type api.ToolProperty"))
  t.eq(parameters '{"properties":{"a":{"description":5}}}', WHERE:format("number", "properties.description of type string"))
  t.eq(parameters '{"properties":{"a":{"enum":"x"}}}', WHERE:format("string", "properties.enum of type []interface {}"))
  t.eq(parameters '{"properties":{"a":{"anyOf":[{"type":5}]}}}', WHERE:format("number", "properties.anyOf.type of type []string"))
  t.eq(parameters '{"properties":{"a":{"properties":{"b":{"type":true}}}}}', WHERE:format("bool", "properties.properties.type of type []string"))
  t.eq(parameters '{"required":[5]}', WHERE:format("number", "required of type string"))
  t.eq(parameters '{"properties":5}', "Value looks like object, but can't find closing '}' symbol")
end)

test("logprobs: an entry a token, at the top of the reply, the likeliest others when asked for", function(t)
  local s, w = new(nil, { script = function() return "Hi there" end })
  local c = ask(s, w, "/api/chat", '{"model":"small","logprobs":true,' .. USER .. '"stream":true}')
  t.match(c.writes[1], '"content":"Hi"},"done":false,"logprobs":%[{"token":"Hi","logprob":%-?[%d.]+,"bytes":%[72,105%]}%]}\n$')
  t.eq(json.decode(c.writes[3]).logprobs, nil, "none at the end")
  local o = json.decode(ask(s, w, "/api/chat", '{"model":"small","logprobs":true,"top_logprobs":2,' .. USER .. '"stream":false}').body)
  t.eq({ #o.logprobs, #o.logprobs[1].top_logprobs, o.logprobs[2].token }, { 2, 2, " there" })
  t.eq({ o.logprobs[1].top_logprobs[1].token, o.logprobs[1].top_logprobs[1].logprob }, { "Hi", o.logprobs[1].logprob })
  t.ok(o.logprobs[1].top_logprobs[2].logprob < o.logprobs[1].logprob)
  c = ask(s, w, "/api/generate", '{"model":"small","logprobs":true,"prompt":"x","stream":false}')
  t.match(c.body, '"eval_count":2,"eval_duration":%d+,"logprobs":%[.*%]}$')
  t.eq(json.decode(ask(s, w, "/api/chat", '{"model":"small","top_logprobs":2,' .. USER .. '"stream":false}').body).logprobs, nil,
    "top_logprobs alone gives none")
  t.eq(answer(s, w, "/api/chat", '{"model":"small","top_logprobs":21,' .. USER .. '"stream":false}'),
    { 400, "top_logprobs must be between 0 and 20" })
end)

test("an image for a model without sight: refused with 500, taken for text by the llama.cpp runner", function(t)
  local function image(like, model)
    local s, w = new(like)
    return answer(s, w, "/api/chat", ('{"model":"%s","stream":false,"messages":[{"role":"user","content":"x","images":["AAAA"]}]}'):format(model))
  end
  t.eq(image("0.17", "own"),
    { 500, "Failed to create new sequence: failed to process inputs: this model is missing data required for image input" })
  t.eq({ image("0.17", "small")[1], image("0.17", "eye")[1], image(nil, "eye")[1] }, { 200, 200, 200 })
  local new_one = image(nil, "small")
  t.eq(new_one[1], 500)
  t.match(new_one[2], "image input is not supported")
end)

test("a bad template: 500 in generate, 400 in create, in Go's words", function(t)
  local s, w = new()
  local function generate(text)
    return answer(s, w, "/api/generate", '{"model":"small","prompt":"x","stream":false,"template":' .. json.quote(text) .. "}")
  end
  for text, says in pairs {
    ["{{"] = "unclosed action", ["{{ if }}"] = "missing value for if", ["{{ end }}"] = "unexpected {{end}}", ["{{ else }}"] = "unexpected {{else}}",
    ["{{ if .Prompt }}x"] = "unexpected EOF", ["{{ foo }}"] = 'function "foo" not defined', ['{{ "a }}'] = "unterminated quoted string",
    ["{{}}"] = "missing value for command", ["{{ $x }}"] = 'undefined variable "$x"', ["{{ . }"] = 'unexpected "}" in operand',
  } do
    t.eq(generate(text), { 500, "template: :1: " .. says }, text)
  end
  t.eq(generate "a\nb{{ if }}", { 500, "template: :2: missing value for if" })
  t.eq(answer(s, w, "/api/create", '{"model":"x","from":"small","template":"{{ if }}"}'),
    { 400, "template error: template: :1: missing value for if" })
  for _, text in ipairs { "{{ .Prompt }}", "}}", "{{/* note */}}", "{{- $a := .Prompt -}}{{ $a }}", '{{ if eq .Prompt "x" }}a{{ else }}b{{ end }}',
    "{{ range $i, $m := .Messages }}{{ $m.Content }}{{ end }}", "{{ .Prompt | json }}" } do
    t.eq(generate(text)[1], 200, text)
  end
end)

test("create: what is wrong, before the first line with its status, after it as a line", function(t)
  local s, w = new()
  local function create(rest) return ask(s, w, "/api/create", '{"model":"x",' .. rest .. "}") end
  local gone = "sha256:" .. ("0"):rep(64)
  local c = create('"files":{"x.gguf":"' .. gone .. '"}')
  t.eq({ c.status, c.writes }, { 200, { '{"status":"parsing GGUF"}\n',
    '{"error":"open /models/blobs/sha256-' .. ("0"):rep(64) .. ': no such file or directory"}\n' } })
  c = create('"stream":false,"files":{"x.gguf":"' .. gone .. '"}')
  t.eq({ c.status, c.type }, { 500, "application/json" })
  local function says(rest) return { create(rest).status, json.decode(create(rest).body).error } end
  t.eq(says '"from":"small","quantize":"q9"',
    { 500, "unsupported quantization type Q9 - supported types are F32, F16, Q4_K_S, Q4_K_M, Q8_0" })
  t.eq(says '"from":"small","quantize":"q8_0"', { 500, "quantization is only supported for F16 and F32 models" })
  t.eq(says('"files":{"x":"' .. gone .. '"}'), { 400, "unknown type" })
  t.eq(says('"files":{"../x.gguf":"' .. gone .. '"}'), { 400, "file path must be relative" })
  t.eq(says '"from":"a b"', { 400, "invalid model name" })
  t.eq(says '"from":"small","license":5', { 500, "json: cannot unmarshal number into Go value of type []string" })
  t.eq(create '"from":"no-such"'.writes[2], '{"error":"pull model manifest: file does not exist"}\n')
  t.eq(s.models:find "x", nil, "nothing was made")
end)

test("names that are none", function(t)
  local s, w = new "0.17"
  local function embed(name) return answer(s, w, "/api/embed", '{"model":"' .. name .. '","input":"x"}') end
  t.eq(embed "a b", { 500, "unqualified name: registry.ollama.ai/library/a b:latest" })
  t.eq(embed "../../etc", { 500, "unqualified name: ../../etc:latest" })
  t.eq(embed "", { 500, "unqualified name: registry.ollama.ai/library/!MISSING!:latest" })
  t.eq(embed "x:", { 500, "unqualified name: registry.ollama.ai/library/x:!MISSING!" })
  t.eq(embed "/x", { 500, "unqualified name: registry.ollama.ai/!MISSING!/x:latest" })
  t.eq(answer(s, w, "/api/show", '{"model":"a b"}'), { 500, "unqualified name: registry.ollama.ai/library/a b:latest" })
  t.eq(answer(s, w, "/api/generate", '{"model":"a b"}'), { 404, "model 'a b' not found" })
  t.eq(answer(s, w, "/api/chat", '{"model":"a b"}'), { 400, "model is required" })
  local c = ask(s, w, "/api/delete", '{"model":"a b"}', "DELETE")
  t.eq({ c.status, c.body }, { 400, [[{"error":"name \"a b\" is invalid"}]] })
  c = ask(s, w, "/api/push", '{"model":"no-such"}')
  t.eq({ c.writes[2], json.decode(c.writes[3]).error },
    { '{"status":"couldn\'t retrieve manifest"}\n', "open /models/manifests/registry.ollama.ai/library/no-such/latest: no such file or directory" })
  s, w = new()
  for _, path in ipairs { "/api/embed", "/api/show", "/api/generate", "/api/chat", "/api/embeddings" } do
    t.eq(answer(s, w, path, '{"model":"a b"}'), { 400, "invalid model name" }, path)
  end
end)

test("levels of thinking: only for models made for them before 0.17.7; max is known since 0.22", function(t)
  local function chat(like, model, think)
    local s, w = new(like)
    return answer(s, w, "/api/chat", ('{"model":"%s","think":%s,%s"stream":false}'):format(model, think, USER))
  end
  t.eq(chat("0.17", "mind", '"high"'), { 400, 'think value "high" is not supported for this model' })
  t.eq(chat("0.17", "small", '"high"'), { 400, '"small" does not support thinking' })
  local s, w = new "0.17"
  t.eq(answer(s, w, "/api/generate", '{"model":"small","think":"high","prompt":"x","stream":false}'),
    { 400, 'think value "high" is not supported for this model' })
  t.eq(chat("0.17.7", "mind", '"high"')[1], 200)
  t.eq(chat("0.17", "mind", '"max"'), { 400, 'invalid think value: "max" (must be "high", "medium", "low", true, or false)' })
  t.eq(chat("0.17", "mind", "5"), { 400, 'think must be a boolean or string ("high", "medium", "low", true, or false)' })
  t.eq({ chat("0.22.0", "mind", '"max"')[1], chat(nil, "mind", '"max"')[1] }, { 200, 200 })
end)

test("embeddings of a chat model: by engine", function(t)
  local function embed(like, model, path)
    local s, w = new(like)
    return answer(s, w, path or "/api/embed", ('{"model":"%s","input":"x","prompt":"x"}'):format(model))
  end
  t.eq(embed("0.17", "small")[1], 200)
  t.eq(embed("0.17", "own"), { 501, "this model does not support embeddings" })
  t.eq(embed("0.17", "own", "/api/embeddings"), { 500, "this model does not support embeddings" })
  t.eq({ embed(nil, "small")[1], embed("0.17", "nomic-embed-text")[1] }, { 501, 200 })
  local s, w = new("0.17", { models = { "m,family=gemma3,engine=llama" } })
  t.eq(answer(s, w, "/api/embed", '{"model":"m","input":"x"}')[1], 200, "a model can be given its engine")
end)

test("tags and show tell window, width and abilities since 0.30", function(t)
  for like, told in pairs { ["0.17"] = false, ["0.30"] = true } do
    local s, w = new(like)
    local entry = json.decode(ask(s, w, "/api/tags", nil, "GET").body).models[1]
    t.eq({ entry.capabilities ~= nil, entry.details.context_length ~= nil, entry.details.embedding_length ~= nil }, { told, told, told }, like)
    t.eq(json.decode(ask(s, w, "/api/show", '{"model":"small"}').body).details.context_length ~= nil, told)
  end
end)

test("a prompt beyond the window: short words before 0.30; cut, it fills all of it", function(t)
  local long = ("word "):rep(5000)
  local s, w = new "0.17"
  t.eq(answer(s, w, "/api/generate", '{"model":"small","truncate":false,"stream":false,"prompt":"' .. long .. '"}'),
    { 400, "the input length exceeds the context length" })
  local c = ask(s, w, "/api/generate", '{"model":"small","stream":false,"prompt":"' .. long .. '"}')
  t.eq(json.decode(c.body).prompt_eval_count, 4096)
  s, w = new()
  t.eq(json.decode(ask(s, w, "/api/generate", '{"model":"small","stream":false,"prompt":"' .. long .. '"}').body).prompt_eval_count, 2048)
end)

test("load_duration of a loaded model: 2 to 4 ms in the llama.cpp runner, 150 to 175 in Ollama's own engine", function(t)
  local s, w = new "0.17"
  local function warm(model)
    local list = {}
    for i = 1, 6 do
      w:run(w.now + 1)
      list[i] = json.decode(ask(s, w, "/api/chat", ('{"model":"%s",%s"stream":false}'):format(model, USER)).body).load_duration / 1e6
    end
    table.remove(list, 1)
    table.sort(list)
    return list[1], list[5]
  end
  local low, high = warm "small"
  t.ok(low >= 2 and high <= 4, low .. " " .. high)
  low, high = warm "own"
  t.ok(low >= 150 and high <= 175, low .. " " .. high)
end)

test("num_batch = 0 kills the runner while it loads; the next call loads anew", function(t)
  local s, w = new "0.17"
  t.eq(answer(s, w, "/api/generate", '{"model":"small","prompt":"x","stream":false,"options":{"num_batch":0}}'),
    { 500, "llama runner process has terminated: exit status 2" })
  t.match(answer(s, w, "/api/generate", '{"model":"own","prompt":"x","options":{"num_batch":0}}')[2], "^model failed to load, ")
  t.eq(answer(s, w, "/api/generate", '{"model":"small","prompt":"x","stream":false}')[1], 200)
  t.eq(s.ledger.loads, 3)
end)

test("a cancelled prompt holds its slot to its end before 0.30", function(t)
  for like, expected in pairs { ["0.17"] = 10, ["0.30"] = 2 } do
    local s, w = new(like, { models = { "m,family=llama,caps=completion,prefill=100,tps=0,context=8192" }, prefill = 100 })
    w:request(s, "POST", "/api/generate", '{"model":"m"}')
    w:run(1)
    local c = w:request(s, "POST", "/api/generate", '{"model":"m","prompt":"' .. ("x"):rep(4000) .. '"}')
    w:run(2.5)
    w:hang_up(c)
    local other = w:request(s, "POST", "/api/generate", '{"model":"m","prompt":"y"}')
    w:run(40)
    t.ok(math.abs(other.times[#other.times] - 1 - expected) < 0.2, like .. ": " .. other.times[#other.times])
  end
end)

test("A, B, A on one server: the old cache has forgotten A, the new one has not", function(t)
  local function third(like, slots)
    local s, w = new(like, { models = { "m,family=llama,caps=completion,context=8192" }, prefill = 1000, slots = slots })
    local function read(word)
      local c = ask(s, w, "/api/generate", '{"model":"m","stream":false,"prompt":"' .. word:rep(400) .. '"}')
      return json.decode(c.body).prompt_eval_duration / 1e6
    end
    read "aaaa"
    read "bbbb"
    return read "aaaa"
  end
  t.ok(third("0.17", 1) > 300)
  t.ok(third("0.17", 4) > 300, "a slot with the same template is taken, though others are empty")
  t.ok(third("0.30", 1) < 10)
end)
