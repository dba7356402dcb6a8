-- The simulator's HTTP layer in a world of its own: texts, framing, faults. No host, no sockets.

local test = require "stoke.test"
local sim = require "stoke.sim"
local world = require "world"

local function new(o)
  local w = world.new()
  o = o or {}
  o.seams, o.load_seconds, o.tokens_per_second = w.seams, o.load_seconds or 1, o.tokens_per_second or 10
  o.vram_wait, o.prefill = o.vram_wait or 0, o.prefill or 0
  return sim.new(o), w
end

-- One request to its end.
local function ask(s, w, path, body, method)
  local c = w:request(s, method or "POST", path, body)
  w:run()
  return c
end

local function error_of(s, w, path, body)
  local c = ask(s, w, path, body)
  return { c.status, c.body:match '^{"error":"(.*)"}$' or c.body }
end

local HI = '{"model":"qwen2.5:3b","messages":[{"role":"user","content":"Hi"}]}'

test("golden: a chat stream, line by line", function(t)
  local s, w = new { script = { "Hi <b>\u{e9}" } }
  local c = ask(s, w, "/api/chat", HI)
  t.eq(c.status, 200)
  t.eq(c.type, "application/x-ndjson")
  t.eq(c.writes, {
    '{"model":"qwen2.5:3b","created_at":"2026-01-02T03:04:06.101Z","message":{"role":"assistant","content":"Hi"},'
      .. '"done":false}\n',
    '{"model":"qwen2.5:3b","created_at":"2026-01-02T03:04:06.201Z","message":{"role":"assistant","content":'
      .. '" \\u003cb\\u003e\u{e9}"},"done":false}\n',
    '{"model":"qwen2.5:3b","created_at":"2026-01-02T03:04:06.201Z","message":{"role":"assistant","content":""},'
      .. '"done":true,"done_reason":"stop","total_duration":1201000000,"load_duration":1001000000,'
      .. '"prompt_eval_count":3,"prompt_eval_duration":1000,"eval_count":2,"eval_duration":200000000}\n',
  })
end)

test("golden: a generate reply in one piece, name echoed as sent, context at the end", function(t)
  local s, w = new { script = { { text = "Yes.", thinking = "Hm" } } }
  local c = ask(s, w, "/api/generate", '{"model":"QWEN2.5:3B","prompt":"Hi","stream":false}')
  t.eq(c.type, "application/json; charset=utf-8")
  t.eq(c.body, '{"model":"QWEN2.5:3B","created_at":"2026-01-02T03:04:06.201Z","response":"Yes.","thinking":"Hm",'
    .. '"done":true,"done_reason":"stop","context":[31494,1707,24124,30965],"total_duration":1201000000,'
    .. '"load_duration":1001000000,"prompt_eval_count":3,"prompt_eval_duration":1000,"eval_count":2,'
    .. '"eval_duration":200000000}')
  c = ask(s, w, "/api/generate", '{"model":"qwen2.5:3b","prompt":"Hi","stream":false,"raw":true}')
  t.ok(not c.body:find '"context"', "not in raw mode")
end)

test("golden: thinking comes first, in lines of its own", function(t)
  local s, w = new { script = { { text = "b", thinking = "a" }, { text = "b", thinking = "a" } } }
  local c = ask(s, w, "/api/chat", '{"model":"qwen3:4b","messages":[{"role":"user","content":"x"}]}')
  t.eq(c.writes[1]:match '"message":.*', '"message":{"role":"assistant","content":"","thinking":"a"},"done":false}\n')
  t.eq(c.writes[2]:match '"message":.*', '"message":{"role":"assistant","content":"b"},"done":false}\n')
  c = ask(s, w, "/api/generate", '{"model":"qwen3:4b","prompt":"x"}')
  t.eq(c.writes[1]:match '"response":.*', '"response":"","thinking":"a","done":false}\n')
end)

test("golden: load, unload, empty embed", function(t)
  local s, w = new()
  local function body(path, text) return ask(s, w, path, text).body end
  t.eq(body("/api/generate", '{"model":"qwen2.5:3b"}'),
    '{"model":"qwen2.5:3b","created_at":"2026-01-02T03:04:06Z","response":"","done":true,"done_reason":"load"}')
  t.eq(body("/api/chat", '{"model":"qwen2.5:3b","messages":[]}'),
    '{"model":"qwen2.5:3b","created_at":"2026-01-02T03:04:06Z","message":{"role":"assistant","content":""},'
    .. '"done":true,"done_reason":"load"}')
  t.eq(body("/api/generate", '{"model":"qwen2.5:3b","keep_alive":0}'),
    '{"model":"qwen2.5:3b","created_at":"2026-01-02T03:04:06Z","response":"","done":true,"done_reason":"unload"}')
  t.eq(body("/api/embed", '{"model":"nomic-embed-text"}'), '{"model":"nomic-embed-text","embeddings":[]}')
  t.eq(s.ledger.loads, 2)
end)

test("golden: inventory", function(t)
  local s, w = new { models = { "tiny,family=llama,size=1G,params=1B,context=2048,embedding=64,caps=completion,sha=ab" } }
  t.eq(ask(s, w, "/", nil, "GET").body, "Ollama is running")
  t.eq(ask(s, w, "/", nil, "HEAD").status, 200)
  t.eq(ask(s, w, "/api/version", nil, "GET").body, '{"version":"0.33.0"}')
  t.eq(ask(s, w, "/api/ps", nil, "GET").body, '{"models":[]}')
  t.eq((ask(s, w, "/api/tags", nil, "GET").body:gsub('"digest":"%x+"', '"digest":"D"')),
    '{"models":[{"name":"tiny:latest","model":"tiny:latest","modified_at":"2026-01-02T03:04:04Z","size":1000000000,'
    .. '"digest":"D","details":{"parent_model":"","format":"gguf","family":"llama","families":["llama"],'
    .. '"parameter_size":"1B","quantization_level":"Q4_K_M","context_length":2048,"embedding_length":64},'
    .. '"capabilities":["completion"]}]}')
  ask(s, w, "/api/generate", '{"model":"tiny","keep_alive":-1}')
  local ps = ask(s, w, "/api/ps", nil, "GET").body
  t.ok(ps:find('"expires_at":"2318-', 1, true), ps)
  t.ok(ps:find('"context_length":2048}]}', 1, true), "clamped to the training length")
end)

test("routes: 404 and 405 are texts", function(t)
  local s, w = new()
  local c = ask(s, w, "/api/nothing")
  t.eq({ c.status, c.type, c.body }, { 404, "text/plain", "404 page not found" })
  c = ask(s, w, "/api/chat", nil, "GET")
  t.eq({ c.status, c.body }, { 405, "405 method not allowed" })
end)

test("errors: bodies", function(t)
  local s, w = new()
  local function chat(body) return error_of(s, w, "/api/chat", body) end
  t.eq(chat "", { 400, "missing request body" })
  t.eq(chat "}", { 400, "invalid character '}' looking for beginning of value" })
  t.eq(chat '{"model":', { 400, "unexpected EOF" })
  t.eq(chat '{"messages":"x"}',
    { 400, "json: cannot unmarshal string into Go struct field ChatRequest.messages of type []api.Message" })
  t.eq(chat '{"messages":[{"role":"user","content":["x"]}]}',
    { 400, "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string" })
  t.eq(chat '{"keep_alive":"300"}', { 400, 'time: missing unit in duration \\"300\\"' })
  t.eq(chat '{"keep_alive":true}', { 400, "Unsupported type: 'bool'" })
  t.eq(chat '{"think":"much"}', { 400, 'invalid think value: \\"much\\" (must be \\"high\\", \\"medium\\", \\"low\\", '
    .. '\\"max\\", true, or false)' })
  t.eq(chat '{"messages":[{"images":["data:image/png;base64,xx"]}]}', { 400, "illegal base64 data at input byte 4" })
  t.eq(chat '{"messages":[{"tool_calls":[{"function":{"arguments":"{}"}}]}]}',
    { 400, "Value looks like object, but can't find closing '}' symbol" })
  t.eq(ask(s, w, "/api/chat", '{"model":"qwen2.5:3b","unknown":1} trailing').status, 200)
end)

test("errors: models, by endpoint", function(t)
  local s, w = new()
  local function e(path, body) return error_of(s, w, path, body) end
  t.eq(e("/api/chat", "{}"), { 400, "model is required" })
  t.eq(e("/api/embeddings", "{}"), { 400, "model is required" })
  t.eq(e("/api/show", "{}"), { 400, "model is required" })
  t.eq(e("/api/generate", "{}"), { 404, "model '' not found" })
  t.eq(e("/api/embed", "{}"), { 404, "model '' not found" })
  t.eq(e("/api/pull", '{"model":"a b"}'), { 400, "invalid model name" })
  t.eq(e("/api/chat", '{"model":"x"}'), { 404, "model 'x' not found" })
  t.eq(e("/api/generate", '{"model":"x"}'), { 404, "model 'x' not found" })
  t.eq(e("/api/show", '{"model":"x"}'), { 404, "model 'x' not found" })
  t.eq(e("/api/embed", '{"model":"x","input":"a"}'), { 404, 'model \\"x\\" not found, try pulling it first' })
  t.eq(e("/api/copy", '{"source":"x","destination":"y"}'), { 404, 'model \\"x\\" not found' })
  local c = ask(s, w, "/api/delete", '{"model":"x"}', "DELETE")
  t.eq({ c.status, c.body }, { 404, [[{"error":"model 'x' not found"}]] })
end)

test("errors: abilities, options, format, images, lengths", function(t)
  local s, w = new { models = { "qwen2.5:3b", "nomic-embed-text", "old,template=native,num_ctx=64,caps=completion" } }
  local function e(path, body) return error_of(s, w, path, body) end
  local tool = '"tools":[{"type":"function","function":{"name":"f"}}],"messages":[{"role":"user","content":"x"}]}'
  t.eq(e("/api/chat", '{"model":"nomic-embed-text","messages":[{"role":"user"}]}'),
    { 400, '\\"nomic-embed-text\\" does not support chat' })
  t.eq(e("/api/generate", '{"model":"nomic-embed-text","prompt":"x"}'),
    { 400, '\\"nomic-embed-text\\" does not support generate' })
  t.eq(e("/api/chat", '{"model":"old",' .. tool), { 400, "registry.ollama.ai/library/old:latest does not support tools" })
  t.eq(e("/api/generate", '{"model":"old","prompt":"a","suffix":"b"}'),
    { 400, "registry.ollama.ai/library/old:latest does not support insert" })
  t.eq(e("/api/chat", '{"model":"old","think":true,"messages":[{"role":"user"}]}'),
    { 400, '\\"old\\" does not support thinking' })
  t.eq(e("/api/generate", '{"model":"old","options":{"num_ctx":"8"}}'),
    { 500, 'option \\"num_ctx\\" must be of type integer' })
  t.eq(e("/api/generate", '{"model":"old","options":{"stop":"x"}}'), { 500, 'option \\"stop\\" must be of type array' })
  t.eq(e("/api/generate", '{"model":"old","prompt":"x","format":"yaml"}'),
    { 500, 'invalid format: \\"\\\\\\"yaml\\\\\\"\\"; expected \\"json\\" or a valid JSON Schema object' })
  t.eq(e("/api/generate", '{"model":"old","prompt":"x","top_logprobs":21}'),
    { 400, "top_logprobs must be between 0 and 20" })
  t.eq(e("/api/generate", '{"model":"old","prompt":"x","raw":true,"system":"y"}'),
    { 400, "raw mode does not support template, system, or context" })
  t.eq(e("/api/embed", '{"model":"nomic-embed-text","input":[1]}'), { 400, "invalid input type" })
  t.eq(e("/api/embed", '{"model":"nomic-embed-text","truncate":false,"input":"' .. ("x"):rep(9000) .. '"}'),
    { 400, "the input length exceeds the context length" })
  local long = '"messages":[{"role":"user","content":"' .. ("x"):rep(400) .. '"}]}'
  local nested = { 400, '{\\"error\\":{\\"code\\":400,\\"message\\":\\"request (102 tokens) exceeds the available context size '
    .. '(64 tokens), try increasing it\\",\\"type\\":\\"exceed_context_size_error\\",\\"n_prompt_tokens\\":102,\\"n_ctx\\":64}}' }
  t.eq(e("/api/chat", '{"model":"old",' .. long), nested, "a native template refuses")
  t.eq(e("/api/chat", '{"model":"qwen2.5:3b","truncate":false,"options":{"num_ctx":64},' .. long), nested)
  local c = ask(s, w, "/api/chat", '{"model":"qwen2.5:3b","stream":false,"options":{"num_ctx":64},' .. long)
  t.ok(c.body:find('"prompt_eval_count":32,', 1, true), "a rendered one is cut to half the window")
end)

test("history is dropped from the front, system and last message stay", function(t)
  local s, w = new()
  local m = {}
  for i = 1, 20 do m[i] = ('{"role":"user","content":"%s"}'):format(("x"):rep(40) .. i) end
  local body = ('{"model":"qwen2.5:3b","stream":false,"options":{"num_ctx":64},"messages":[{"role":"system","content":"S"},%s]}')
    :format(table.concat(m, ","))
  local n = tonumber(ask(s, w, "/api/chat", body).body:match '"prompt_eval_count":(%d+)')
  t.ok(n <= 64 and n > 50, tostring(n))
end)

test("num_predict, stop strings and done_reason", function(t)
  local s, w = new { script = function() return "one two three four" end }
  local function tail(options)
    local c = ask(s, w, "/api/generate", '{"model":"qwen2.5:3b","prompt":"x","stream":false,"options":' .. options .. "}")
    return { c.body:match '"response":"(.-)"', c.body:match '"done_reason":"(%a+)"', c.body:match '"eval_count":(%d+)' }
  end
  t.eq(tail '{"num_predict":2}', { "one two", "length", "2" })
  t.eq(tail '{"stop":["zzz"," three"]}', { "one two", "stop", "2" })
  t.eq(tail '{"num_predict":4}', { "one two three four", "stop", "4" })
  t.eq(tail '{"num_predict":-1}', { "one two three four", "stop", "4" })
end)

test("tool calls: in a done:false line, or in the last one where the model is so", function(t)
  local call = { text = "Well", tool_calls = { { name = "f", arguments = '{"b":1,"a":2}', id = "call_x" } } }
  local s, w = new { script = function() return call end, models = { "go", "native,template=native" } }
  local body = '"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}]}'
  local calls = '"tool_calls":[{"id":"call_x","function":{"index":0,"name":"f","arguments":{"b":1,"a":2}}}]'
  local c = ask(s, w, "/api/chat", '{"model":"go",' .. body)
  t.eq(c.writes[2]:match '"message":.*', '"message":{"role":"assistant","content":"",' .. calls .. '},"done":false}\n')
  t.ok(c.writes[3]:find('"content":""},"done":true,"done_reason":"stop"', 1, true), c.writes[3])
  c = ask(s, w, "/api/chat", '{"model":"native",' .. body)
  t.eq(#c.writes, 2)
  t.ok(c.writes[2]:find('"content":"",' .. calls .. '},"done":true,"done_reason":"stop"', 1, true), c.writes[2])
end)

test("tokens a line: one, two, up to three; never half a character", function(t)
  local text = ("h\u{e9}llo \u{1F600}\u{1F600}\u{1F600}\u{1F600} w\u{f6}rld "):rep(20)
  for _, chunk in ipairs { "1", "2", "random" } do
    local s, w = new { models = { "m,chunk=" .. chunk }, script = { text } }
    local c = ask(s, w, "/api/generate", '{"model":"m","prompt":"x"}')
    local out, last = {}, 0
    for i, line in ipairs(c.writes) do
      t.ok(utf8.len(line), "valid UTF-8")
      t.ok(c.times[i] >= last)
      last = c.times[i]
      out[i] = line:match '"response":"(.-)","done":false' or ""
    end
    t.eq(table.concat(out), text)
  end
end)

test("the same seed gives the same bytes; another seed other call ids", function(t)
  local function run(seed)
    local s, w = new { seed = seed, models = { "m,chunk=random" } }
    return ask(s, w, "/api/chat", '{"model":"m","messages":[{"role":"user","content":"weather in Oslo?"}],"tools":'
      .. '[{"function":{"name":"get_weather","parameters":{"properties":{"city":{"type":"string"}},"required":["city"]}}}]}').body
  end
  t.eq(run(1), run(1))
  t.ok(run(1) ~= run(2))
end)

test("the load queue's 503, word for word, and no other", function(t)
  local s, w = new { max_queue = 1, load_seconds = 10 }
  local function chat(m) return w:request(s, "POST", "/api/chat", HI:gsub("qwen2.5:3b", m)) end
  chat "qwen2.5:3b"
  chat "llama3.2:3b"
  local c = chat "qwen3:4b"
  w:run(1)
  t.eq({ c.status, c.body },
    { 503, '{"error":"server busy, please try again.  maximum pending requests exceeded"}' })
  t.eq(s.ledger.busy_503, 1)
  w:run()
  t.eq(s.ledger.streams_open, 0)
end)

test("a client that leaves is seen at once, and frees its slot", function(t)
  local s, w = new { script = function() return ("word "):rep(1000) end }
  local a, b = w:request(s, "POST", "/api/chat", HI), w:request(s, "POST", "/api/chat", HI)
  w:run(5)
  t.eq({ s.ledger.streams_open, s.ledger.disconnects, #b.writes }, { 2, 0, 0 })
  w:hang_up(a)
  t.eq({ s.ledger.streams_open, s.ledger.disconnects }, { 1, 1 })
  w:run(5.3)
  t.ok(#b.writes > 0)
  w:hang_up(b)
  w:run(1000)
  t.eq({ s.ledger.streams_open, s.ledger.disconnects, s.waiters, #w.tasks }, { 0, 2, 0, 0 })
  t.eq(ask(s, w, "/api/ps", nil, "GET").body, '{"models":[]}', "and the model expires as always")
end)

test("leaving in the queue and during one's own load", function(t)
  local s, w = new()
  local a = w:request(s, "POST", "/api/chat", HI)
  local b = w:request(s, "POST", "/api/chat", (HI:gsub("qwen2.5:3b", "llama3.2:3b")))
  w:run(0.5)
  w:hang_up(a)
  t.eq(s.ledger.aborted_loads, 1)
  w:hang_up(b)
  w:run()
  t.eq({ s.ledger.aborted_loads, s.scheduler.n_loaded, s.waiters, #w.tasks }, { 2, 0, 0, 0 })
end)

local function faulty(kind, body)
  local s, w = new { fault = kind, script = function() return "one two three four" end }
  local c = w:request(s, "POST", "/api/chat", body or HI)
  w:run(1000)
  return c, s, w
end

test("faults: instead of an answer", function(t)
  local c = faulty "404"
  t.eq({ c.status, c.body }, { 404, [[{"error":"model 'qwen2.5:3b' not found"}]] })
  c = faulty "500"
  t.eq(c.status, 500)
  c = faulty "503"
  t.eq(c.body, '{"error":"server busy, please try again.  maximum pending requests exceeded"}')
  c = faulty "html"
  t.eq({ c.status, c.type }, { 502, "text/html" })
  t.eq(c.body:sub(1, 6), "<html>")
end)

test("faults: hang before the first byte and mid-stream, until the client leaves", function(t)
  local c, s, w = faulty "hang"
  t.eq({ c.status == nil, c.ended == nil, s.ledger.streams_open }, { true, true, 1 })
  w:hang_up(c)
  t.eq({ s.ledger.streams_open, s.ledger.disconnects }, { 0, 1 })
  c, s, w = faulty "hang-mid"
  t.eq({ #c.writes, c.ended == nil }, { 2, true })
  w:hang_up(c)
  local r = s.scheduler:resident()[1].runner
  t.eq({ r.refs, r.cache.free }, { 0, 1 })
end)

test("faults: reset in a line, error line, silent end, done:false", function(t)
  local plain = HI:gsub("}$", ',"stream":false}')
  local c, s = faulty "reset"
  t.ok(c.cut and not c.writes[#c.writes]:find "\n")
  t.eq(s.ledger.disconnects, 0, "the client did not leave")
  c = faulty "error-line"
  t.eq(c.writes[#c.writes], '{"error":"an error was encountered while running the model: boom"}\n')
  c = faulty("error-line", plain)
  t.eq(c.status, 500)
  c = faulty "silent-end"
  t.ok(c.ended and not c.body:find '"done":true')
  c = faulty("nondone", plain)
  t.eq({ c.status, c.body:match '"message":.*' },
    { 200, '"message":{"role":"assistant","content":"one two"},"done":false}' })
end)

test("faults: slow bytes and cuts move boundaries, not bytes", function(t)
  local want = faulty(nil).body
  local function text(body) return (body:gsub('"created_at":"[^"]*"', "")) end
  for _, kind in ipairs { "slow", "cuts" } do
    local c = faulty(kind)
    t.eq(text(c.body), text(want))
    local whole = 0
    for _, x in ipairs(c.writes) do if x:sub(-1) == "\n" then whole = whole + 1 end end
    t.ok(whole < #c.writes)
  end
  local s, w = new { script = { { text = "one two", cut = { 3, 1, 500 } } } }
  local c = ask(s, w, "/api/chat", HI)
  t.eq({ #c.writes[1], #c.writes[2], #c.writes[3] > 300 }, { 3, 1, true })
end)

test("faults: by model, by reply, at a rate", function(t)
  local s, w = new { models = { "bad,fault=500", "good" }, script = { "x", { text = "y", fault = "silent-end" },
    { error = "boom", status = 418 }, { text = "a b c d", error = "late", error_after = 2 } } }
  local function gen(m) return ask(s, w, "/api/generate", ('{"model":"%s","prompt":"x"}'):format(m)) end
  t.eq(gen("bad").status, 500)
  t.eq(gen("good").status, 200)
  t.ok(not gen("good").body:find '"done":true')
  local c = gen "good"
  t.eq({ c.status, c.body }, { 418, '{"error":"boom"}' })
  c = gen "good"
  t.eq({ c.status, #c.writes, c.writes[3] }, { 200, 3, '{"error":"late"}\n' })
  local hit = 0
  s, w = new { fault = "500:0.25" }
  for _ = 1, 400 do if ask(s, w, "/api/chat", HI).status == 500 then hit = hit + 1 end end
  t.ok(hit > 60 and hit < 140, tostring(hit))
end)

test("a script that fails, or says nothing sensible, is a 500 that says so", function(t)
  local s, w = new { script = function(_, n) if n == 1 then error "no" end return n == 2 and 7 or { tekst = "x" } end }
  t.ok(ask(s, w, "/api/chat", HI).body:find "the script failed")
  t.ok(ask(s, w, "/api/chat", HI).body:find "got 7")
  t.ok(ask(s, w, "/api/chat", HI).body:find "unknown field tekst")
end)

test("options of the simulator are checked", function(t)
  local e = t.raises("argument", sim.new, { slot = 1 })
  t.ok(e == nil or e.message:find "unknown option 'slot'")
  t.raises("argument", sim.new, { slots = "2" })
  t.raises("argument", sim.new, { fault = "resett" })
  t.raises("argument", sim.new, { models = { "a,tsp=3" }, seams = world.new().seams })
  t.raises("argument", sim.new, { models = { "a b" }, seams = world.new().seams })
end)

test("pull, push, create, copy, delete, blobs", function(t)
  local s, w = new { models = { "qwen2.5:3b" } }
  local c = ask(s, w, "/api/pull", '{"model":"gemma3:4b"}')
  t.eq(c.writes[1], '{"status":"pulling manifest"}\n')
  t.ok(c.writes[2]:match '^{"status":"pulling %x+","digest":"sha256:%x+","total":%d+}\n$', c.writes[2])
  t.ok(c.writes[3]:match ',"completed":%d+}\n$')
  t.eq(c.writes[#c.writes], '{"status":"success"}\n')
  c = ask(s, w, "/api/pull", '{"model":"no-such"}')
  t.eq({ c.status, c.type, c.writes }, { 200, "application/x-ndjson", { '{"status":"pulling manifest"}\n',
    '{"error":"pull model manifest: file does not exist"}\n' } })
  c = ask(s, w, "/api/pull", '{"model":"no-such","stream":false}')
  t.eq({ c.status, c.type, c.body }, { 500, "application/json", '{"error":"pull model manifest: file does not exist"}' })
  t.eq(ask(s, w, "/api/pull", '{"name":"gemma3:4b","stream":false}').body, '{"status":"success"}')
  t.eq(ask(s, w, "/api/copy", '{"source":"gemma3:4b","destination":"mine"}').status, 200)
  t.eq(ask(s, w, "/api/show", '{"model":"MINE:latest"}').status, 200)
  t.eq(ask(s, w, "/api/delete", '{"model":"mine"}', "DELETE").status, 200)
  t.eq(ask(s, w, "/api/show", '{"model":"mine"}').status, 404)
  c = ask(s, w, "/api/push", '{"model":"gemma3:4b"}')
  t.eq(c.writes[1], '{"status":"retrieving manifest"}\n')
  t.eq(error_of(s, w, "/api/create", '{"model":"x"}'), { 400, "neither 'from' or 'files' was specified" })
  local blob = "GGUF and so on"
  local hex = w.seams.sha256(blob)
  t.eq(ask(s, w, "/api/blobs/sha256:" .. hex, nil, "HEAD").status, 404)
  t.eq(error_of(s, w, "/api/blobs/sha256:zz", blob), { 400, "invalid digest format" })
  t.eq(ask(s, w, "/api/blobs/sha256:" .. ("0"):rep(64), blob).status, 400)
  t.eq(ask(s, w, "/api/blobs/sha256:" .. hex, blob).status, 201)
  t.eq(ask(s, w, "/api/blobs/sha256:" .. hex, blob).status, 200)
  c = ask(s, w, "/api/create", ('{"model":"x","files":{"x.gguf":"sha256:%s"},"parameters":{"num_ctx":512}}'):format(hex))
  t.eq(c.writes[#c.writes], '{"status":"success"}\n')
  ask(s, w, "/api/generate", '{"model":"x"}')
  t.ok(ask(s, w, "/api/ps", nil, "GET").body:find('"context_length":512', 1, true))
  t.eq(ask(s, w, "/api/create", '{"model":"y","from":"x","system":"S","stream":false}').body, '{"status":"success"}')
  t.ok(ask(s, w, "/api/show", '{"model":"y"}').body:find('"system":"S"', 1, true))
end)

test("the ledger is one JSON object with every field", function(t)
  local s, w = new { models = { "qwen2.5:3b" }, script = { "a b" } }
  ask(s, w, "/api/chat", HI)
  t.eq(ask(s, w, "/sim/ledger", nil, "GET").body,
    '{"requests":1,"streams_open":0,"streams_max":1,"disconnects":0,"loads":1,"swaps":0,"aborted_loads":0,'
    .. '"slot_seconds":0.201,"tokens":2,"busy_503":0,"answers":1,"models":{"qwen2.5:3b":{"requests":1,"loads":1,'
    .. '"slot_seconds":0.201,"tokens":2,"prompt_tokens":3,"cached_tokens":0}}}')
end)
