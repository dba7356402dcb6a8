-- What servers say when something fails, text by text: the kind, whether the same call may work later, a hint that mends it. The
-- texts
-- are those of Ollama's source and what a real one was heard to say; each row of stoke.ollama.meanings has one.

local test = require "stoke.test"
local failures = require "stoke.ollama.failures"
local fake = require "fake"
local json = require "stoke.json"
local meanings = require "stoke.ollama.meanings"
local ollama = require "stoke.ollama"
local retry = require "core.gate.retry"
local stoke = require "stoke"

retry.earned = 1000

local HI = { { role = "user", content = "Hi" } }

--- status, text, kind, retryable, a pattern of the hint
local CALLS = {
  { 404, "model 'm' not found", "http", false, "^stoke pull m$" },
  { 404, 'model "m" not found, try pulling it first', "http", false, "^stoke pull m$" },
  { 400, "model is required", "http", false, '^"m" cannot be read as a name: a name is' },
  { 400, "use either :local or :cloud, not both", "http", false, "leave one" },
  { 400, "invalid model name", "http", false, '^"m" cannot be read as a name: a name is' },
  { 500, "unqualified name: ../../etc:latest", "http", false, "a name is" },
  { 500, "unqualified name: registry.ollama.ai/library/!MISSING!", "http", false, "a name is" },
  { 400, '"m" does not support chat', "http", false, "stoke models" }, { 400, '"m" does not support generate', "http", false,
    "models" },
  { 400, "registry.ollama.ai/library/m:latest does not support tools", "http", false, "capability tools" },
  { 400, "registry.ollama.ai/library/m:latest does not support insert", "http", false, "capability insert" },
  { 400, '"m" does not support thinking', "http", false, "leave `think` out" },
  { 400, 'think value "high" is not supported for this model', "http", false, "true and false only" },
  { 400, 'invalid think value: "x" (must be "high", "medium", "low", true, or false)', "http", false, "think is true" },
  { 500, "Failed to create new sequence: failed to process inputs: this model is missing data required for image input", "http",
    false,
    "capability vision" },
  { 500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", "http", false,
    "vision" },
  { 400, '"m" does not support image input', "http", false, "vision" }, { 400, "m does not support vision", "http", false,
    "vision" },
  { 501, "this model does not support embeddings", "http", false, "embedding model" },
  { 501, "This server does not support embeddings. Start it with `--embeddings`", "http", false, "embedding model" },
  { 500, "the runner was started without embedding mode", "http", false, "embedding model" },
  { 500, "start it with --embeddings", "http", false, "embedding model" },
  { 500, "failed to encode response: json: unsupported value: NaN", "invalid_output", false, "no number for a text" },
  { 500, 'option "num_ctx" must be of type integer', "http", false, "wrong type" },
  { 400, "top_logprobs must be between 0 and 20", "http", false, "0 to 20" },
  { 500, 'invalid format: "x"; expected "json" or a valid JSON Schema object', "http", false, "JSON Schema" },
  { 500, "invalid JSON schema in format", "http", false, "cannot use this schema" },
  { 400, "failed to parse grammar", "http", false, "simplify" },
  { 400, "structured outputs are not supported", "http", false, "leave `format` out" },
  { 503, "server busy, please try again.  maximum pending requests exceeded", "overloaded", true, "queue of loads" },
  { 500,
    "error loading model: this model may be incompatible with your version of Ollama. If you previously pulled this model, try "
    .. "updating it by running `ollama pull m`", "http", false, "update" },
  { 500, "unable to load model: unknown model architecture: 'x'", "http", false, "update" },
  { 500, "model requires more system memory (9.1 GiB) than is available (7.9 GiB)", "overloaded", false, "lower num_ctx" },
  { 500, "model requires more gpu memory than is currently available", "overloaded", false, "lower num_ctx" },
  { 500, "unable to load full model on GPU", "overloaded", false, "lower num_ctx" },
  { 500, "memory layout cannot be allocated", "overloaded", false, "lower num_ctx" },
  { 500, "llama-server reported out-of-memory during startup: x", "overloaded", false, "lower num_ctx" },
  { 500, "llama runner process has terminated: CUDA error: out of memory", "overloaded", false, "lower num_ctx" },
  { 500, "unable to allocate CPU buffer", "overloaded", false, "lower num_ctx" },
  { 500, "llama runner process has terminated: exit status 2", "incomplete", true, "log" },
  { 500, "llama-server process has terminated: signal: killed", "incomplete", true, "log" },
  { 500, "llama runner process no longer running: -1", "incomplete", true, "log" },
  { 500, "llama runner process no longer running: 2 error loading model", "incomplete", true, "log" },
  { 500, "llama-server process no longer running: 137", "incomplete", true, "log" },
  { 500,
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check ollama server logs "
    .. "for details", "incomplete", true, "log" },
  { 500, "an error was encountered while running the model: boom", "incomplete", true, "log" },
  { 500, "an error was encountered while running the model: unexpected EOF", "incomplete", true, "log" },
  { 500, "unexpected EOF", "incomplete", true, "log" },
  { 500, 'POST predict: Post "http://127.0.0.1:40001/completion": EOF', "incomplete", true, "log" },
  { 500, 'Post "http://127.0.0.1:40001/completion": dial tcp 127.0.0.1:40001: connect: connection refused', "incomplete", true,
    "log" },
  { 500, 'do load request: Post "x": connection reset', "incomplete", true, "log" },
  { 500, "do embedding request: x", "incomplete", true, "log" }, { 500, "health resp: x", "incomplete", true, "log" },
  { 500, "error loading llama server", "incomplete", true, "log" },
  { 500, "timed out waiting for llama runner to start - progress 0.40 - ", "timeout", true, "OLLAMA_LOAD_TIMEOUT" },
  { 500, "timed out waiting for llama-server to start - ", "timeout", true, "OLLAMA_LOAD_TIMEOUT" },
  { 499, "request canceled", "incomplete", true, "asking again" }, { 500, "context canceled", "incomplete", true, "asking again" },
  { 500, "no slots available after 10 retries", "overloaded", true, "busy" },
  { 500, "unexpected server status: 1", "overloaded", true, "busy" },
  { 400, "the input length exceeds the context length", "context_overflow", false, "num_ctx" },
  { 500, "input (596 tokens) is too large to process. increase the physical batch size (current batch size: 512)",
    "context_overflow", false, "num_ctx" },
  { 500, "input is too large to process. increase the physical batch size", "context_overflow", false, "num_ctx" },
  { 400, "the prompt is longer than the context length currently available to the model; x", "context_overflow", false, "num_ctx" },
  { 400,
    '{"error":{"code":400,"message":"request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it",'
    .. '"type":"exceed_context_size_error"}}', "context_overflow", false, "num_ctx" },
  { 500, "error parsing tool call: raw='x', err=y", "invalid_output", true, "another seed" },
  { 500, 'llama-server returned invalid tool call arguments for "f": x', "invalid_output", true, "another seed" },
  { 500, "Failed to parse input at pos 7: x", "invalid_output", true, "another seed" },
  { 401, "unauthorized", "auth", false, "OLLAMA_API_KEY" },
  { 403, "ollama cloud is disabled: remote model is unavailable", "auth", false, "OLLAMA_NO_CLOUD" },
  { 429, "you (name) have reached your session usage limit, upgrade for higher limits", "overloaded", true, "limit at ollama.com" },
  { 503, "account unavailable", "overloaded", true, "ollama.com" },
  { 503, "Server overloaded, please retry shortly (ref: 1)", "overloaded", true, "busy" },
  { 503, "timed out waiting for a concurrent request slot", "overloaded", true, "at once" },
  { 500, "template: :1: unclosed action", "http", false, "Go template" }, { 400, "template error: x", "http", false,
    "Go template" },
  { 400, 'time: missing unit in duration "300"', "http", false, "unit" }, { 400, "Unsupported type: 'bool'", "http", false,
    "keep_alive" },
  { 400, "illegal base64 data at input byte 4", "http", false, "base64" }, { 400, "invalid input type", "http", false,
    "list of texts" },
  { 400, "missing request body", "http", false, "version of the server" },
  { 400, "unexpected EOF", "http", false, "version of the server" },
  { 400, "invalid character '}' looking for beginning of value", "http", false, "version of the server" },
  { 400, "json: cannot unmarshal number into Go struct field .tools.function.parameters of type string", "http", false,
    "which field" },
  { 400, 'digest mismatch, expected "x", got "y"', "http", false, "upload" }, { 400, "invalid digest format", "http", false,
    "64 hex" },
  { 404, 'blob "sha256:x" not found', "http", false, "upload it" },
  { 500, "open /x: no such file or directory", "http", false, "upload it" },
  { 500, "stoke sim: the script failed: x", "script", false, "Scripted replies" }, { 500, "boom", "http", false, nil },
}

--- What a pull, a push, a create is told: text, kind, retryable, hint.
local MOVING = {
  { "pull model manifest: file does not exist", "http", false, "library" }, { "manifest unknown", "http", false, "library" },
  { "pull model manifest: 404: page not found", "http", false, "library" }, { "pull model manifest: x", "http", false, "library" },
  { 'pull model manifest: Get "https://registry.ollama.ai/v2/library/m/manifests/latest": dial tcp: lookup registry.ollama.ai on '
    .. "10.255.255.53:53: no such host", "dns", false, "the server, not this machine" },
  { 'pull model manifest: Get "https://x/": dial tcp: lookup x on 127.0.0.53:53: server misbehaving', "dns", false, "DNS" },
  { 'pull model manifest: Get "https://x/": dial tcp: lookup x: i/o timeout', "dns", false, "DNS" },
  { 'pull model manifest: Get "https://x/": dial tcp: lookup x: Temporary failure in name resolution', "dns", false, "DNS" },
  { 'pull model manifest: Get "https://x/": dial tcp: lookup x on 127.0.0.1:53: read udp: connection refused', "dns", false,
    "DNS" },
  { 'pull model manifest: Get "https://x/": dial tcp 127.0.0.1:9: connect: connection refused', "unreachable", false, "registry" },
  { "network is unreachable", "unreachable", false, "registry" }, { "no route to host", "unreachable", false, "registry" },
  { 'pull model manifest: Get "https://x/": net/http: TLS handshake timeout', "unreachable", true, "registry" },
  { 'pull model manifest: Get "https://x/": proxyconnect tcp: dial tcp 10.0.0.1:3128: connect: connection refused', "unreachable",
    false, "HTTPS_PROXY" },
  { 'pull model manifest: Get "https://x/": Proxy Authentication Required', "unreachable", false, "password" },
  { 'pull model manifest: Get "https://x/": tls: failed to verify certificate: x509: certificate signed by unknown authority',
    "tls",
    false, "trust" },
  { 'pull model manifest: Get "https://x/": tls: first record does not look like a TLS handshake', "tls", false, "trust" },
  { 'pull model manifest: Get "https://x/": http: server gave HTTP response to HTTPS client', "tls", false, "insecure" },
  { "pull model manifest: 412: The model you are attempting to pull requires a newer version of Ollama.", "http", false, "update" },
  { "pull model manifest: 412: x", "http", false, "update" },
  { "pull model manifest: 401: unauthorized", "auth", false, "signin" },
  { "you are not authorized to push to this namespace, create the model under a namespace you own", "auth", false, "signin" },
  { "pull model manifest: 429: too many requests", "overloaded", true, "later" },
  { "pull model manifest: 503: x", "overloaded", true, "later" },
  { "write /root/.ollama/models/blobs/sha256-x-partial: no space left on device", "os", false, "disk is full" },
  { "write x: disk quota exceeded", "os", false, "quota" }, { "open x: read-only file system", "os", false, "OLLAMA_MODELS" },
  { "open /usr/share/ollama/x: permission denied", "os", false, "OLLAMA_MODELS" },
  { "digest mismatch, file must be downloaded again: want x, got y", "incomplete", true, "again" },
  { "max retries exceeded: unexpected EOF", "incomplete", true, "again" },
  { "read tcp 1.2.3.4:5->6.7.8.9:443: read: connection reset by peer", "incomplete", true, "again" },
  { "unsupported quantization type FOO - supported types are F32, F16, Q4_K_S, Q4_K_M, Q8_0", "http", false, "quantize" },
  { "neither 'from' or 'files' was specified", "http", false, "from =" }, { "supplied file was not in GGUF format", "http", false,
    "GGUF" },
  { "failed to validate GGUF with llama-quantize x", "http", false, "architecture" },
}

test("each text that is known, with a status: its kind, its hint, whether it is asked again", function(t)
  for _, row in ipairs(CALLS) do
    local asked = 0
    local server <close> = fake(function(req, res)
      if req.path == "/api/ps" or req.path == "/api/tags" then return res:reply(200, {}, '{"models":[]}') end
      asked = asked + 1
      return res:reply(row[1], {}, json.encode { error = row[2] })
    end)
    local err = t.raises(row[3], ollama.chat, { model = "m", messages = HI, endpoint = server.url })
    t.eq({ err.kind, err.retryable }, { row[3], row[4] }, row[2])
    if row[5] then t.match(tostring(err.hint), row[5]) else t.eq(rawget(err, "hint"), nil, row[2]) end
    t.eq(asked, row[4] and row[3] ~= "invalid_output" and 3 or 1, row[2])
    if row[3] ~= "context_overflow" then t.eq(err.status, row[1], row[2]) end
  end
end)

test("each text about moving a model: it blames who it is about", function(t)
  for _, row in ipairs(MOVING) do
    local server <close> = fake { { lines = { '{"status":"pulling manifest"}', json.encode { error = row[1] } } } }
    local err = t.raises(row[2], function() for _ in ollama.pull { model = "m", endpoint = server.url } do end end)
    t.eq({ err.kind, err.retryable }, { row[2], row[3] }, row[1])
    t.match(tostring(err.hint), row[4])
  end
end)

test("every row of the table is said by one of these texts", function(t)
  local hit = {}
  for _, row in ipairs(CALLS) do
    local meaning = failures.meaning(row[2], "/api/chat", row[1])
    if meaning then hit[meaning] = true end
  end
  for _, row in ipairs(MOVING) do hit[failures.meaning(row[1], "/api/pull") or row] = true end
  for _, list in ipairs { meanings.calls, meanings.moving } do
    for _, meaning in ipairs(list) do t.ok(hit[meaning], meaning[1] .. ": no text") end
  end
end)

test("a runner that dies loses no call that waits behind it", function(t)
  local server <close> = fake(function(_, res, n)
    if n == 1 then return res:reply(500, {}, '{"error":"llama runner process no longer running: -1"}') end
    return res:reply(200, {}, '{"model":"m","message":{"role":"assistant","content":"Hi"},"done":true,"done_reason":"stop"}')
  end)
  local reply = ollama.chat { model = "m", messages = HI, endpoint = server.url }
  t.eq({ reply.message.content, reply.usage.attempts }, { "Hi", 2 })
end)

test("an answer in another dialect says which one, and is not asked for again", function(t)
  for _, row in ipairs {
    { '{"id":"x","object":"chat.completion","choices":[{"message":{"content":"Hi"}}]}', "OpenAI" },
    { '{"object":"chat.completion.chunk","choices":[]}', "OpenAI" }, { '{"object":"response","output":[]}', "OpenAI" },
    { '{"id":"x","type":"message","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn"}', "Anthropic" },
    { '{"type":"content_block_delta","delta":{}}', "Anthropic" }, { '{"candidates":[]}', "Google" },
    { '{"content":"Hi","stop":true,"tokens_predicted":1}', "llama%-server" }, { '{"generated_text":"Hi"}', "text%-generation" },
  } do
    for _, answer in ipairs { row[1], { lines = { row[1] } } } do
      local server <close> = fake { answer }
      local function ask()
        if type(answer) == "string" then return ollama.chat { model = "m", messages = HI, endpoint = server.url } end
        for _ in ollama.stream { model = "m", messages = HI, endpoint = server.url } do end
      end
      local err = t.raises("protocol", ask)
      t.match(err.message, "the dialect of " .. row[2])
      t.match(err.hint, "address of an Ollama server")
      t.eq(#server.requests, 1)
    end
  end
  local server <close> = fake { { lines = { 'data: {"choices":[]}', "", "data: [DONE]" } } }
  local err = t.raises("protocol", function()
    for _ in ollama.stream { model = "m", messages = HI, endpoint = server.url } do end
  end)
  t.match(err.message, "events %(SSE%)")
end)

-- ---- auto_pull ------------------------------------------------------------------------------------------------------------------

local WHOLE = '{"model":"m","message":{"role":"assistant","content":"Hi"},"done":true,"done_reason":"stop"}'

--- A server without models; a pull brings the one that is asked for, or fails.
local function empty_server(failing)
  local state = { pulls = 0 }
  state.server = fake(function(req, res)
    if req.path == "/api/pull" then
      state.pulls = state.pulls + 1
      res:start(200)
      res:write '{"status":"pulling manifest"}\n'
      stoke.sleep(1)
      if failing then return res:write '{"error":"pull model manifest: file does not exist"}\n' end
      state.there = true
      return res:write '{"status":"pulling x","total":10,"completed":10}\n{"status":"success"}\n'
    end
    if not state.there then return res:reply(404, {}, '{"error":"model \'m\' not found"}') end
    if json.decode(req.body).stream then
      res:start(200)
      return res:write(WHOLE .. "\n")
    end
    return res:reply(200, {}, WHOLE)
  end)
  return setmetatable(state, { __close = function() state.server.server:close() end })
end

test("auto_pull: a missing model is pulled once for all calls that wait, where it was asked for", function(t)
  local state <close> = empty_server()
  local given = { model = "m", messages = HI, endpoint = state.server.url, auto_pull = true }
  local scope <close> = stoke.scope {}
  local texts = scope:map({ 1, 2, 3, 4 }, function(i)
    if i % 2 == 0 then return ollama.chat(given).message.content end
    local text = ""
    for ev in ollama.stream(given) do text = text .. (ev.type == "text" and ev.text or "") end
    return text
  end)
  t.eq({ texts, state.pulls }, { { "Hi", "Hi", "Hi", "Hi" }, 1 })
end)

test("auto_pull: never unless it was asked for; the profile and an agent may ask", function(t)
  local state <close> = empty_server()
  local given = { model = "m", messages = HI, endpoint = state.server.url }
  t.eq(t.raises("http", ollama.chat, given).hint, "stoke pull m")
  t.eq(state.pulls, 0)
  ollama.profiles { m = { auto_pull = true } }
  given.auto_pull = false
  t.raises("http", ollama.chat, given)
  t.eq(state.pulls, 0)
  given.auto_pull = nil
  t.eq({ ollama.chat(given).message.content, state.pulls }, { "Hi", 1 })
  ollama.profiles { m = {} }
  local other <close> = empty_server()
  t.eq(stoke.agent { model = "m", endpoint = other.server.url, auto_pull = true }:run("Hi").text, "Hi")
  t.eq(other.pulls, 1)
end)

test("auto_pull: a pull that fails is the error of all; one that is cancelled is taken over", function(t)
  local failing <close> = empty_server(true)
  local given = { model = "m", messages = HI, endpoint = failing.server.url, auto_pull = true }
  local scope <close> = stoke.scope {}
  local kinds = scope:map({ 1, 2 }, function()
    local _, err = stoke.try(ollama.chat, given)
    return err.message
  end)
  t.eq({ kinds, failing.pulls }, { { "pull model manifest: file does not exist", "pull model manifest: file does not exist" }, 1 })

  local state <close> = empty_server()
  given.endpoint = state.server.url
  local first = stoke.spawn(function() return stoke.try(ollama.chat, given) end)
  local second = stoke.spawn(ollama.chat, given)
  stoke.sleep(0.5)
  first:cancel()
  t.eq({ second:await().message.content, state.pulls }, { "Hi", 2 })
end)

test("a model of the cloud is neither loaded nor kept: no request is made", function(t)
  local server <close> = fake { WHOLE }
  for _, name in ipairs { "gpt-oss:120b-cloud", "glm-4.6:cloud" } do
    t.eq(ollama.load({ model = name, endpoint = server.url }).remote, true)
    t.eq(ollama.pin(name, server.url).remote, true)
    t.eq(ollama.unload(name, server.url).done_reason, "unload")
    t.eq(ollama.window(name, server.url), nil)
  end
  t.eq(#server.requests, 0)
  ollama.load { model = "cloud", endpoint = server.url }
  t.eq(#server.requests, 1)
end)
