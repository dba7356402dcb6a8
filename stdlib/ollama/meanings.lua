--- Every text of a model server that is known to mean something: its kind, whether the same call may work later, how to mend it.
--- The texts are those of Ollama's source (server/routes.go, server/sched.go, server/images.go, llm/server.go, the runners), of
--- llama-server and of the cloud; they differ between releases, so several patterns stand for one meaning. The first that fits
--- counts. Some mean that with one status only, the fifth member.

local PULL <const> = "pull"
local MEMORY <const> = "unload another model (ollama.unload), or lower num_ctx in the profile"
local CALL <const> = "the model wrote a tool call that cannot be read; ask again, perhaps with another seed"
local RUNNER <const> = "the model's process ended on the server; its log says why"
local NONE <const> = "the request names no model"
local NAME <const> = "a name is [host/][namespace/]model[:tag]: letters, digits, `-`, `_`, `.`"
local UPDATE <const> = "the server is too old for this model: update it (https://ollama.com/download), then pull again"
local REQUEST <const> = "this version of the server cannot read the request; it says which field (stoke doctor: the version)"
local LIBRARY <const> = "no such model in the library; check the name and the tag at https://ollama.com/library"
local REGISTRY <const> = "the server, not this machine, cannot reach the registry: check its network, its DNS and its HTTPS_PROXY"
local TLS <const> = "the server does not trust the registry's certificate: a proxy in between, or its clock"
local EYES <const> = "this model sees no images: take one with the capability vision (stoke models), or leave the images out"
local EMBEDS <const> = "take an embedding model, such as nomic-embed-text"
local CAN <const> = "`stoke models` lists models, ollama.show(name).capabilities what one can do"
local LIMIT <const> = "the account's limit at ollama.com; it is lifted with time, or by another plan"

--- What the registry, or the way to it, answered to a pull, a push, a create.
local MOVING = {
  { "manifest: file does not exist", "http", false, LIBRARY }, { "manifest unknown", "http", false, LIBRARY },
  { "pull model manifest: 404", "http", false, LIBRARY },
  { "newer version of Ollama", "http", false, UPDATE }, { "pull model manifest: 412", "http", false, UPDATE },
  { "proxyconnect", "unreachable", false, "the server's proxy does not answer: HTTPS_PROXY in the environment of `ollama serve`" },
  { "Proxy Authentication Required", "unreachable", false, "the server's proxy wants a password: HTTPS_PROXY of `ollama serve`" },
  { "x509:", "tls", false, TLS }, { "tls: ", "tls", false, TLS }, { "HTTP response to HTTPS client", "tls", false,
    "the registry speaks plain HTTP: insecure = true, if it is to be trusted" },
  { "lookup .*no such host", "dns", false, REGISTRY }, { "lookup .*server misbehaving", "dns", false, REGISTRY },
  { "lookup .*i/o timeout", "dns", false, REGISTRY }, { "lookup .*[Tt]emporary failure", "dns", false, REGISTRY },
  { "lookup .*connection refused", "dns", false, REGISTRY },
  { "dial tcp", "unreachable", false, REGISTRY }, { "network is unreachable", "unreachable", false, REGISTRY },
  { "no route to host", "unreachable", false, REGISTRY }, { "TLS handshake timeout", "unreachable", true, REGISTRY },
  { "no space left on device", "os", false,
    "the server's disk is full: delete models (ollama.delete), or set OLLAMA_MODELS there" },
  { "disk quota exceeded", "os", false, "the server's disk quota is used up: delete models, or set OLLAMA_MODELS there" },
  { "read%-only file system", "os", false, "the server cannot write its folder of models (OLLAMA_MODELS)" },
  { "permission denied", "os", false, "the server cannot write its folder of models (OLLAMA_MODELS)" },
  { "digest mismatch, file must be downloaded again", "incomplete", true, "what came was damaged; pull it again" },
  { "max retries exceeded", "incomplete", true, "the download broke off again and again; pull it again: it resumes" },
  { "connection reset by peer", "incomplete", true, "the registry broke off; do it again: what has come is kept" },
  { "pull model manifest: 401", "auth", false, "the registry wants to know who asks: `ollama signin` on the server's machine" },
  { "authorized to push", "auth", false, "push under your own name (you/model), signed in there: `ollama signin`" },
  { "pull model manifest: 429", "overloaded", true, "the registry has had too many requests; later" },
  { "pull model manifest: 5%d%d", "overloaded", true, "the registry is in trouble; later" },
  { "pull model manifest", "http", false, LIBRARY },
}

--- What a call, a load or an inventory is told. "pull" is a hint that names the model, and an error that `auto_pull` mends.
local CALLS = {
  { "^stoke sim: the script failed", "script", false, "the guide has the form of a reply under \"Scripted replies\"" },
  { "^model ['\"].-['\"] not found", "http", false, PULL }, { "^model is required", "http", false, NONE },
  { "use either :local or :cloud", "http", false, "the name says both; leave one away" },
  { "invalid model name", "http", false, NAME }, { "unqualified name", "http", false, NAME },
  { "does not support thinking", "http", false,
    "leave `think` out for this model, or take one with the capability thinking (stoke models)" },
  { "think value .- is not supported", "http", false, "this model knows think = true and false only" },
  { "invalid think value", "http", false, "think is true, false, \"low\", \"medium\" or \"high\" (\"max\" from 0.22 on)" },
  { "does not support tools", "http", false, "take a model with the capability tools (stoke models), or leave the tools out" },
  { "does not support insert", "http", false,
    "take a model with the capability insert, such as qwen2.5-coder, or leave `suffix` out" },
  { "does not support embedding", "http", false, EMBEDS }, { "without embedding", "http", false, EMBEDS },
  { "[Ss]tart it with `?%-%-embedding", "http", false, EMBEDS },
  { "does not support image", "http", false, EYES }, { "does not support vision", "http", false, EYES },
  { "missing data required for image input", "http", false, EYES }, { "image input is not supported", "http", false, EYES },
  { "does not support", "http", false, CAN },
  { "ollama cloud is disabled", "auth", false, "the server may not use the cloud (OLLAMA_NO_CLOUD); take a model it has itself" },
  { "usage limit", "overloaded", true, LIMIT }, { "account unavailable", "overloaded", true, LIMIT },
  { "concurrent request slot", "overloaded", true, "the account's calls at once are used up; ask for fewer (pool.per_model)" },
  { "Server overloaded", "overloaded", true },
  { "server busy", "overloaded", true, "the server's queue of loads is full; ask for fewer models at once" },
  { "incompatible with your version", "http", false, UPDATE }, { "unknown model architecture", "http", false, UPDATE },
  { "requires more .-memory", "overloaded", false, MEMORY }, { "unable to load full model", "overloaded", false, MEMORY },
  { "memory layout cannot be allocated", "overloaded", false, MEMORY }, { "out%-of%-memory", "overloaded", false, MEMORY },
  { "out of memory", "overloaded", false, MEMORY }, { "unable to allocate", "overloaded", false, MEMORY },
  { "no slots available", "overloaded", true }, { "unexpected server status", "overloaded", true },
  { "unexpectedly stopped", "incomplete", true, RUNNER }, { "no longer running", "incomplete", true, RUNNER },
  { "process has terminated", "incomplete", true, RUNNER },
  { "error was encountered while running the model", "incomplete", true, RUNNER },
  { "POST predict: ", "incomplete", true, RUNNER }, { "Post \"http://127%.0%.0%.1:", "incomplete", true, RUNNER },
  { "error loading llama server", "incomplete", true, RUNNER }, { "do load request", "incomplete", true, RUNNER },
  { "do embedding request", "incomplete", true, RUNNER }, { "health resp", "incomplete", true, RUNNER },
  { "^request canceled", "incomplete", true, "the server took this client for gone; asking again may help" },
  { "^context canceled", "incomplete", true, "the server took this client for gone; asking again may help" },
  { "timed out waiting for ", "timeout", true, "the model did not finish loading on the server (OLLAMA_LOAD_TIMEOUT)" },
  { "error parsing tool call", "invalid_output", true, CALL }, { "invalid tool call arguments", "invalid_output", true, CALL },
  { "Failed to parse input at pos", "invalid_output", true, CALL }, -- llama-server's reader of answers
  { "^option \"", "http", false, "an option has the wrong type" },
  { "top_logprobs must be", "http", false, "top_logprobs is a whole number from 0 to 20" },
  { "invalid JSON schema in format", "http", false,
    "the server cannot use this schema: an unknown type, a $ref or a pattern in it" },
  { "invalid format", "http", false, "format must be \"json\" or a JSON Schema object" },
  { "[Ff]ailed to parse grammar", "http", false, "the server cannot use this schema: simplify it, its patterns first" },
  { "structured output", "http", false,
    "this model cannot be bound to a schema: leave `format` out, and say the shape in the prompt" },
  { "template error", "http", false, "the template is no Go template the server can read" },
  { "^template: ", "http", false, "the template is no Go template the server can read" },
  { "unsupported quantization", "http", false, "`quantize` is one of the types the message names" },
  { "neither 'from' or 'files'", "http", false, "say from = \"MODEL\", or files = { [path] = digest }" },
  { "not in GGUF format", "http", false, "the file is no GGUF model" },
  { "validate GGUF", "http", false, "the server cannot load this file; is it whole, and is its architecture known there?" },
  { "invalid digest format", "http", false, "a digest is \"sha256:\" and 64 hex digits" },
  { "digest mismatch", "http", false, "the bytes are not those the digest is of; upload them again (ollama.blob)" },
  { "^blob .- not found", "http", false, "upload it first: ollama.blob { path = }" },
  { "no such file or directory", "http", false, "the server does not have this file; upload it first: ollama.blob { path = }" },
  { "illegal base64", "http", false, "images are plain base64, or { path = }" },
  { "missing unit in duration", "http", false, "a duration has a unit: \"300s\", \"5m\"" },
  { "^[Uu]nsupported type: ", "http", false, "keep_alive is seconds or a duration such as \"5m\"" },
  { "cannot unmarshal", "http", false, REQUEST }, { "^invalid character", "http", false, REQUEST },
  { "^unexpected EOF", "http", false, REQUEST, 400 }, { "EOF$", "incomplete", true, RUNNER },
  { "^missing request body", "http", false, REQUEST },
  { "unsupported value: NaN", "invalid_output", false,
    "the model computed no number for a text: other words, or another model (a known fault of some models and GPUs)" },
  { "invalid input type", "http", false, "input is a text or a list of texts" },
}

return { calls = CALLS, moving = MOVING, PULL = PULL, CALL = CALL, NAME = NAME, NONE = NONE, MEMORY = MEMORY }
