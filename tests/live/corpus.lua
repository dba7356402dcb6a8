-- Requests whose answers a real Ollama and the simulator must give alike: same status, framing, headers and shape of the
-- body, same error texts. In bodies, CHAT stands for a model of the llama.cpp runner, OWN for one of Ollama's own engine,
-- TOOLS and THINK for models that can that, EMBED for an embedder. `differs` says why an answer may differ.

-- luacheck: no max line length

local corpus = {}

local function add(name, method, path, body, more)
  local entry = { name = name, method = method, path = path, body = body }
  for k, v in pairs(more or {}) do entry[k] = v end
  corpus[#corpus + 1] = entry
end

local function post(path, list, more)
  for _, body in ipairs(list) do add(("%s %s"):format(path, body), "POST", path, body, more) end
end

local ONE = '"stream":false,"options":{"num_predict":3,"temperature":0,"seed":1}'
local MANY = '"options":{"num_predict":3,"temperature":0,"seed":1}'
local USER = '"messages":[{"role":"user","content":"hi"}],'
local PIXEL = '"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="'

-- ---- routes, hosts, origins -------------------------------------------------------------------------------------------------

for _, path in ipairs { "/", "/api/version", "/api/tags", "/api/ps", "/api/nothing", "/api/tags/", "//api/tags", "/api//tags",
  "/api/./tags", "/api/x/../tags", "/api/version/?a=1&b=2", "//api/version?a=1", "/API/tags", "/api", "/api/", "/api/chat",
  "/api/chat/", "/api/blobs/x", "/api/status" } do
  add("GET " .. path, "GET", path)
end
for _, path in ipairs { "/", "/api/version", "/api/tags", "/api/chat", "/api/ps", "/api/nothing", "/api/tags/", "/api/status" } do
  add("HEAD " .. path, "HEAD", path)
end
for _, method in ipairs { "PUT", "PATCH", "DELETE", "POST", "OPTIONS" } do
  for _, path in ipairs { "/", "/api/version", "/api/tags", "/api/chat/", "/api/nothing", "//api/ps", "/api/delete/" } do
    add(method .. " " .. path, method, path)
  end
end
for _, path in ipairs { "/api/chat", "/api/delete", "/api/blobs/sha256:00" } do add("OPTIONS " .. path, "OPTIONS", path) end
for _, host in ipairs { "localhost", "localhost:1", "box.local", "box.internal", "a.localhost", "evil.example", "10.0.0.7", "192.168.1.2:80",
  "172.16.0.1", "172.32.0.1", "8.8.8.8", "0.0.0.0", "[::1]:80", "[::1]", "BOX.LOCAL", "local" } do
  add("Host " .. host, "GET", "/api/version", nil, { headers = { Host = host } })
  add("OPTIONS, Host " .. host, "OPTIONS", "/api/chat", nil, { headers = { Host = host } })
end
for _, origin in ipairs { "http://localhost", "http://localhost:3000", "https://127.0.0.1:8", "http://0.0.0.0", "app://x", "file://", "tauri://localhost",
  "vscode-webview://abc", "chrome-extension://abc", "http://evil.example", "null", "http://localhost.evil.example", "http://example.local" } do
  add("Origin " .. origin, "GET", "/api/version", nil, { headers = { Origin = origin } })
  add("Origin at an unknown path " .. origin, "GET", "/api/nothing", nil, { headers = { Origin = origin } })
  add("preflight " .. origin, "OPTIONS", "/api/chat", nil,
    { headers = { Origin = origin, ["Access-Control-Request-Method"] = "POST", ["Access-Control-Request-Headers"] = "content-type" } })
end
add("wrong method with an Origin", "GET", "/api/chat", nil, { headers = { Origin = "http://localhost:1" } })
add("an error with an Origin", "POST", "/api/chat", "{}", { headers = { Origin = "http://localhost:1" } })

-- ---- bodies -----------------------------------------------------------------------------------------------------------------

for _, path in ipairs { "/api/chat", "/api/generate", "/api/embed", "/api/embeddings", "/api/show", "/api/pull", "/api/push", "/api/create", "/api/copy" } do
  for _, body in ipairs { "", "  ", "{", "}", "[]", "5", '"x"', "null", '{"model":5}', '{"model":null}', "{}", '{"model":"a b"}', '{"model":"../../etc"}',
    '{"model":"x:"}', '{"model":"/x"}', '{"model":"no-such-model"}', "{'a':1}", '{"model":"x",}' } do
    add(("%s %s"):format(path, body), "POST", path, body)
  end
end
for _, body in ipairs { "", "{}", '{"model":"a b"}', '{"model":"no-such-model"}', '{"name":"no-such-model"}' } do
  add("DELETE /api/delete " .. body, "DELETE", "/api/delete", body)
end

-- ---- chat and generate ------------------------------------------------------------------------------------------------------

for _, model in ipairs { "CHAT", "OWN" } do
  local head = '{"model":"' .. model .. '",'
  post("/api/chat", { head .. USER .. ONE .. "}", head .. USER .. MANY .. "}", head .. '"messages":[]}', head .. '"messages":[],"keep_alive":"5m"}',
    head .. '"logprobs":true,' .. USER .. ONE .. "}", head .. '"logprobs":true,"top_logprobs":2,' .. USER .. MANY .. "}",
    head .. '"top_logprobs":2,' .. USER .. ONE .. "}", head .. '"logprobs":true,"top_logprobs":21,' .. USER .. ONE .. "}",
    head .. '"top_logprobs":-1,' .. USER .. ONE .. "}", head .. '"_debug_render_only":true,' .. USER .. ONE .. "}" })
  post("/api/generate", { head .. '"prompt":"hi",' .. ONE .. "}", head .. '"prompt":"hi",' .. MANY .. "}", head .. '"raw":true,"prompt":"hi",' .. ONE .. "}",
    head .. '"raw":true,"system":"x","prompt":"hi",' .. ONE .. "}", head .. '"prompt":""}', head .. '"suffix":"x","prompt":"hi",' .. ONE .. "}",
    head .. '"logprobs":true,"prompt":"hi",' .. ONE .. "}", head .. '"logprobs":true,"top_logprobs":3,"prompt":"hi",' .. MANY .. "}",
    head .. '"system":"x","prompt":"hi",' .. ONE .. "}", head .. '"template":"{{ .Prompt }}","prompt":"hi",' .. ONE .. "}" })
  post("/api/chat", { head .. '"messages":[{"role":"user","content":"hi","images":[' .. PIXEL .. "]}]," .. ONE .. "}",
    head .. '"messages":[{"role":"user","content":"hi","images":[' .. PIXEL .. "]}]," .. MANY .. "}",
    head .. '"messages":[{"role":"user","content":"hi","images":["!"]}],' .. ONE .. "}",
    head .. '"messages":[{"role":"user","content":"hi","images":["data:image/png;base64,aaaa"]}],' .. ONE .. "}" })
  post("/api/generate", { head .. '"prompt":"hi","images":[' .. PIXEL .. "]," .. ONE .. "}" })
  for _, think in ipairs { "true", "false", '"high"', '"low"', '"max"', '"much"', "5", "null", "[]" } do
    post("/api/chat", { head .. '"think":' .. think .. "," .. USER .. ONE .. "}" })
    post("/api/generate", { head .. '"think":' .. think .. ',"prompt":"hi",' .. ONE .. "}" })
  end
  post("/api/chat", { head .. '"tools":[{"type":"function","function":{"name":"f"}}],' .. USER .. ONE .. "}" })
  for _, text in ipairs { '"input":"hi"', '"input":["hi","you"]', '"input":[]', '"input":""', '"input":5', '"input":[5]', '"input":{}' } do
    post("/api/embed", { head .. text .. "}" })
  end
  post("/api/embeddings", { head .. '"prompt":"hi"}', head .. '"prompt":""}', head .. '"prompt":5}' })
  post("/api/show", { head:sub(1, -2) .. "}" })
end

for _, think in ipairs { "true", "false", '"high"', '"max"' } do
  for _, stream in ipairs { '"stream":false,', "" } do
    post("/api/chat", { '{"model":"THINK","think":' .. think .. "," .. USER .. stream .. '"options":{"num_predict":20}}' })
  end
end
post("/api/chat", { '{"model":"THINK","logprobs":true,' .. USER .. '"options":{"num_predict":20}}' })
post("/api/generate", { '{"model":"THINK","prompt":"hi","stream":false,"think":"high","options":{"num_predict":20}}' })

for _, option in ipairs { '"num_ctx":"x"', '"num_ctx":1.5', '"seed":"x"', '"stop":"x"', '"stop":[5]', '"stop":["x"]', '"temperature":"x"', '"use_mmap":5', '"top_k":null',
  '"nosuch":1', '"num_predict":"1"', '"num_keep":true' } do
  post("/api/generate", { '{"model":"CHAT","prompt":"hi","stream":false,"options":{"num_predict":2,' .. option .. "}}" })
end
for _, keep in ipairs { '"5m"', "300", "-1", '"-1m"', '"300"', '"x"', "true", "{}", "null", '"1h30m"' } do
  post("/api/generate", { '{"model":"CHAT","prompt":"","keep_alive":' .. keep .. "}" })
end

-- ---- formats (some patterns and empty unions are deadly to a real server: left out) -------------------------------------------

for _, format in ipairs { '"json"', '""', "null", "{}", '{"type":"object"}', '{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}',
  '{"type":"nosuch"}', '{"$ref":"#/nope"}', '{"$ref":"#/$defs/a","$defs":{"a":{"type":"string"}}}', '{"$ref":"other.json"}', '{"type":"string","pattern":"("}',
  '{"type":"string","pattern":"abc"}', '{"type":"string","pattern":"^[a$"}', '{"type":"string","pattern":"^(a|b)$"}', '{"type":"string","pattern":5}',
  '{"type":"object","properties":"x"}', '{"type":"object","properties":{"a":5}}', '{"type":"object","properties":{"a":{"type":"nosuch"}}}', '{"properties":[]}',
  "[1]", '"xml"', "5", "true", '{"type":5}', '{"type":["string","null"]}', '{"type":["string","nosuch"]}', '{"enum":"x"}', '{"enum":["a","b"]}', '{"anyOf":5}',
  '{"anyOf":[{"type":"string"},{"type":"nosuch"}]}', '{"type":"object","required":"a"}', '{"type":"array","items":5}', '{"type":"array","items":{"type":"string"},"minItems":"x"}',
  '{"type":"array","items":[{"type":"string"},{"type":"nosuch"}]}', '{"type":"string","format":"nosuch"}', '{"type":"string","format":5}', '{"type":"string","minLength":"x"}',
  '{"type":"string","minLength":2}', '{"allOf":[{"type":"nosuch"}]}', '{"allOf":[{"properties":{"a":{"type":"nosuch"}}}]}', '{"const":1}', '{"type":"null"}', '{"foo":1}',
  '{"title":"x"}', '{"type":"object","additionalProperties":{"type":"nosuch"}}', '{"type":"object","additionalProperties":false}', '{"not":{}}', '{"prefixItems":5}',
  '{"type":"integer","minimum":1}', '{"type":"integer","minimum":"x"}', '{"type":"number","minimum":"x"}', '{"type":"boolean"}' } do
  post("/api/generate", { '{"model":"CHAT","prompt":"hi","format":' .. format .. "," .. ONE .. "}" })
end
post("/api/chat", { '{"model":"CHAT","format":{"type":"nosuch"},' .. USER .. MANY .. "}", '{"model":"OWN","format":{"type":"nosuch"},' .. USER .. ONE .. "}" })

-- ---- tools --------------------------------------------------------------------------------------------------------------------

local function tools(text) post("/api/chat", { '{"model":"TOOLS","tools":' .. text .. "," .. USER .. ONE .. "}" }) end

local function parameters(text) tools('[{"type":"function","function":{"name":"f","parameters":' .. text .. "}}]") end

for _, text in ipairs { "5", "{}", "[5]", '[{"type":5}]', '[{"type":"function","function":5}]', '[{"type":"function","function":{"name":5}}]' } do tools(text) end
for _, text in ipairs { "5", "[]", '{"type":5}', '{"type":["object"]}', '{"type":"object","properties":5}', '{"type":"object","properties":null}',
  '{"type":"object","properties":{"a":5}}', '{"type":"object","properties":{"a":{"type":5}}}', '{"type":"object","properties":{"a":{"type":[5]}}}',
  '{"type":"object","properties":{"a":{"type":["string","null"]}}}', '{"type":"object","properties":{"a":{"type":{}}}}', '{"type":"object","properties":{"a":{"description":5}}}',
  '{"type":"object","properties":{"a":{"enum":"x"}}}', '{"type":"object","properties":{"a":{"anyOf":"x"}}}', '{"type":"object","properties":{"a":{"anyOf":[{"type":5}]}}}',
  '{"type":"object","properties":{"a":{"properties":{"b":{"type":true}}}}}', '{"type":"object","required":"a"}', '{"type":"object","required":[5]}' } do
  parameters(text)
end
local WEATHER = '"tools":[{"type":"function","function":{"name":"get_weather","description":"The weather in a city","parameters":{"type":"object",'
  .. '"properties":{"city":{"type":"string"}},"required":["city"]}}}],"messages":[{"role":"user","content":"What is the weather in Oslo?"}]'
post("/api/chat", { '{"model":"TOOLS",' .. WEATHER .. ',"stream":false,"options":{"num_predict":40,"temperature":0}}',
  '{"model":"TOOLS",' .. WEATHER .. ',"options":{"num_predict":40,"temperature":0}}' })
post("/api/chat", { '{"model":"TOOLS","messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}],' .. ONE .. "}",
  '{"model":"TOOLS","messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":[]}}]}],' .. ONE .. "}",
  '{"model":"TOOLS","messages":[{"role":"tool","content":5}],' .. ONE .. "}", '{"model":"TOOLS","messages":[5],' .. ONE .. "}",
  '{"model":"TOOLS","messages":{},' .. ONE .. "}", '{"model":"TOOLS","messages":[{"role":5}],' .. ONE .. "}" })

-- ---- embeddings ---------------------------------------------------------------------------------------------------------------

for _, text in ipairs { '"input":"hi"', '"input":["hi","you"]', '"input":[]', '"input":null', '"input":""', '"input":5', '"input":[5]', '"input":"hi","dimensions":8',
  '"input":"hi","truncate":false', '"input":"' .. ("word "):rep(700) .. '","truncate":false', '"input":"' .. ("word "):rep(700) .. '"' } do
  post("/api/embed", { '{"model":"EMBED",' .. text .. "}" })
end
post("/api/embeddings", { '{"model":"EMBED","prompt":"hi"}', '{"model":"EMBED","prompt":""}' })
post("/api/chat", { '{"model":"EMBED",' .. USER .. ONE .. "}" })
post("/api/generate", { '{"model":"EMBED","prompt":"hi",' .. ONE .. "}" })

-- ---- templates ------------------------------------------------------------------------------------------------------------------

for _, text in ipairs { "{{", "{{ .Nope }}", "{{ if }}", "{{ .Prompt", "{{ end }}", "{{ range .Messages }}{{ .Content }}", "{{ foo }}", [[{{ \"a }}]], "}}", "{{}}",
  "{{ if .Prompt }}x", "{{ .Prompt | nosuch }}", [[{{ template \"x\" }}]], "{{ $x }}", "{{ else }}", "{{ . }", "{{ .System }} {{ .Prompt }}", "{{ range }}{{end}}",
  "{{ with }}{{end}}", [[a\nb {{ if }}]], "{{/* note */}}{{ .Prompt }}", "{{- $a := .Prompt -}}{{ $a }}", [[{{ if eq .Prompt \"x\" }}a{{ else }}b{{ end }}]] } do
  post("/api/generate", { '{"model":"CHAT","prompt":"hi","template":"' .. text .. '",' .. ONE .. "}" })
end

-- ---- models come and go (nothing is made that was not there) --------------------------------------------------------------------

local GONE = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
for _, rest in ipairs { '"from":"CHAT","template":"{{ if }}"', '"from":"CHAT","quantize":"q9"', '"files":{"x.gguf":"' .. GONE .. '"}', '"files":{"x":"' .. GONE .. '"}',
  '"files":{"../x.gguf":"' .. GONE .. '"}', '"files":{"/x.gguf":"' .. GONE .. '"}', '"files":{"x.gguf":"junk"}', '"from":"no-such-model"', '"from":"a b"', '"files":{}',
  '"from":"CHAT","adapters":{"x.gguf":"' .. GONE .. '"}', '"from":"CHAT","license":5', '"from":5', '"files":[]', '"from":"CHAT","messages":5', '"system":"x"' } do
  post("/api/create", { '{"model":"never-made",' .. rest .. "}", '{"model":"never-made","stream":false,' .. rest .. "}" })
end
post("/api/copy", { '{"source":"a b","destination":"z"}', '{"source":"no-such-model","destination":"z"}', '{"source":"CHAT","destination":"z z"}' })
post("/api/push", { '{"model":"no-such-model","stream":false}' })
post("/api/pull", { '{"model":"no-such-model","stream":false}', '{"name":"no-such-model"}' })
for _, digest in ipairs { GONE, "sha256:00", "junk", "sha256-" .. ("0"):rep(64), "sha1:" .. ("0"):rep(64) } do
  add("HEAD a blob " .. digest, "HEAD", "/api/blobs/" .. digest)
  add("POST to a blob " .. digest, "POST", "/api/blobs/" .. digest, "not what the digest says")
end

return corpus
