--- Names of OpenTelemetry's conventions, all of them here: what leaves this process is named by nobody else. Pinned to release
--- 0.1.0 of the conventions for generative AI (https://github.com/open-telemetry/semantic-conventions-genai, all of them in
--- development there) and 1.45.0 of the general ones (https://github.com/open-telemetry/semantic-conventions). What is ours alone
--- begins with "stoke.". Data; pure.

local M = {}

--- Releases that these names are of.
M.GENAI, M.GENERAL = "0.1.0", "1.45.0"

--- What a span describes: values of gen_ai.operation.name.
M.operations = { chat = "chat", complete = "text_completion", embed = "embeddings", agent = "invoke_agent", tool = "execute_tool" }

--- Attributes of spans (and labels of metrics).
M.genai = {
  operation = "gen_ai.operation.name", provider = "gen_ai.provider.name", conversation = "gen_ai.conversation.id",
  agent = "gen_ai.agent.name", output_type = "gen_ai.output.type",
  request_model = "gen_ai.request.model", stream = "gen_ai.request.stream", max_tokens = "gen_ai.request.max_tokens",
  temperature = "gen_ai.request.temperature", top_k = "gen_ai.request.top_k", top_p = "gen_ai.request.top_p",
  seed = "gen_ai.request.seed", stop = "gen_ai.request.stop_sequences", presence_penalty = "gen_ai.request.presence_penalty",
  frequency_penalty = "gen_ai.request.frequency_penalty",
  response_model = "gen_ai.response.model", response_id = "gen_ai.response.id", finish = "gen_ai.response.finish_reasons",
  first = "gen_ai.response.time_to_first_chunk", -- seconds
  input_tokens = "gen_ai.usage.input_tokens", output_tokens = "gen_ai.usage.output_tokens",
  tool = "gen_ai.tool.name", tool_call = "gen_ai.tool.call.id", tool_type = "gen_ai.tool.type", modality = "gen_ai.token.modality",
  -- contents, where they are asked for:
  input = "gen_ai.input.messages", output = "gen_ai.output.messages", system = "gen_ai.system_instructions",
  tools = "gen_ai.tool.definitions", arguments = "gen_ai.tool.call.arguments", result = "gen_ai.tool.call.result",
}

--- Attributes of requests to MCP servers, on both sides. The transport is "pipe" or "tcp".
M.mcp = { method = "mcp.method.name", resource = "mcp.resource.uri", version = "mcp.protocol.version", session = "mcp.session.id",
  request = "jsonrpc.request.id", prompt = "gen_ai.prompt.name", status = "rpc.response.status_code",
  transport = "network.transport", tool_error = "tool_error" }

--- Attributes that conventions of all kinds share.
M.general = {
  error = "error.type", message = "exception.message", exception = "exception", server = "server.address", port = "server.port",
  method = "http.request.method", status = "http.response.status_code", url = "url.full", path = "url.path", route = "http.route",
  service = "service.name", service_version = "service.version", sdk = "telemetry.sdk.name", sdk_version = "telemetry.sdk.version",
  language = "telemetry.sdk.language", process = "process.pid",
}

--- Ours: seconds where nothing else is said.
M.own = {
  name = "stoke.name",         -- of the span as `stoke trace` shows it: "llm.chat", "agent.run" ...
  about = "stoke.about",       -- what it is about: a path, an address
  task = "stoke.task",
  queue = "stoke.queue",       -- it waited before its work began
  reason = "stoke.queue.reason", -- why, in words
  slot = "stoke.slot",         -- for which lane
  load = "stoke.load",         -- loading the model
  prefill = "stoke.prefill",   -- reading the prompt
  decode = "stoke.decode",     -- writing the answer
  first = "stoke.first",       -- to the first event of a stream
  cache = "stoke.cache.tier",  -- which cache answered
  attempts = "stoke.attempts", -- how many
  replayed = "stoke.replayed", -- its outcome came from a journal
  endpoint = "stoke.endpoint", -- name in the settings
  kind = "stoke.error.kind",
  server = "stoke.mcp.server", -- name in the settings
  cut = "stoke.content.cut",   -- contents were left out, or cut, as they are too long
}

--- Instruments of the conventions, with unit and what they count. Histograms have the buckets that the conventions give. `chunk`
--- is listed, and told nowhere: a span does not know when each piece came.
---@type table<string, { name: string, unit: string, kind: "histogram"|"counter", buckets?: number[] }>
M.metrics = {}

--- Limits of the conventions' buckets: durations in seconds, tokens of one call.
M.buckets = {
  seconds = { 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92 },
  tokens = { 1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864 },
  http = { 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10 },
  mcp = { 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300 },
}

local function histogram(name, unit, buckets) return { name = name, unit = unit, kind = "histogram", buckets = buckets } end
local function counter(name, unit) return { name = name, unit = unit, kind = "counter" } end
local seconds, tokens = M.buckets.seconds, M.buckets.tokens

M.metrics.duration = histogram("gen_ai.client.inference.duration", "s", seconds)
M.metrics.first = histogram("gen_ai.client.inference.time_to_first_chunk", "s", seconds)
M.metrics.chunk = histogram("gen_ai.client.inference.time_per_output_chunk", "s", seconds)
M.metrics.input = histogram("gen_ai.client.inference.operation.input_tokens", "{token}", tokens)
M.metrics.output = histogram("gen_ai.client.inference.operation.output_tokens", "{token}", tokens)
M.metrics.input_total = counter("gen_ai.client.inference.usage.input_tokens", "{token}") -- labels: those of duration, and modality
M.metrics.output_total = counter("gen_ai.client.inference.usage.output_tokens", "{token}")
M.metrics.agent = histogram("gen_ai.invoke_agent.duration", "s", seconds)
M.metrics.tool = histogram("gen_ai.execute_tool.duration", "s", seconds)
M.metrics.mcp = histogram("mcp.client.operation.duration", "s", M.buckets.mcp)
M.metrics.served = histogram("http.server.request.duration", "s", M.buckets.http)

--- Of a unit what its name ends with in Prometheus; one in braces is left out.
local UNITS = { s = "_seconds", By = "_bytes" }

--- An instrument's name, or an attribute's, as Prometheus spells it.
---@param name string
---@param unit? string
---@param kind? "histogram"|"counter"
---@return string
---
--- Example: `assert(conventions.prometheus("http.server.request.duration", "s") == "http_server_request_duration_seconds")`
function M.prometheus(name, unit, kind)
  return (name:gsub("[^%w_]", "_")) .. (unit and UNITS[unit] or "") .. (kind == "counter" and "_total" or "")
end

--- The names of the same until release 1.41.0, when they were part of the general conventions: what dashboards were made for.
--- One histogram of tokens, with the label gen_ai.token.type ("input" or "output").
M.older = { duration = "gen_ai.client.operation.duration", tokens = "gen_ai.client.token.usage", token_type = "gen_ai.token.type",
  first = "gen_ai.client.operation.time_to_first_chunk" }

--- Kinds of spans, as OTLP numbers them.
M.kinds = { internal = 1, server = 2, client = 3 }

--- Effects that are a call of a model, by their name in a trace.
M.calls = { ["llm.chat"] = true, ["llm.stream"] = true }

--- Which operation a request to a model server is, by its path.
---@param path? string "/api/chat", "/v1/embeddings"
---@return string
---
--- Example: `assert(conventions.operation "/api/embed" == "embeddings")`
function M.operation(path)
  if path and path:find("embed", 1, true) then return M.operations.embed end
  if path and (path:find "generate$" or path:find "completions$" and not path:find("chat", 1, true)) then
    return M.operations.complete
  end
  return M.operations.chat
end

--- The provider of a call: the conventions know those that sell models; a server of one's own is named by its dialect.
---@param dialect string as it is registered: "ollama", "openai"
---@return string
---
--- Example: `assert(conventions.provider "ollama" == "ollama")`
function M.provider(dialect) return (dialect:match "^%w+") end

--- Host and port of a URL: what server.address and server.port say.
---@param url string
---@return string|nil host
---@return integer|nil port
---
--- Example: `assert(select(2, conventions.place "https://models.example/v1") == 443)`
function M.place(url)
  local scheme, rest = url:match "^(%a[%w+.-]*)://([^/?#]*)"
  if not scheme then return nil end
  rest = rest:gsub("^.*@", "")
  local host, port = rest:match "^(%[.*%]):?(%d*)$"
  if not host then host, port = rest:match "^([^:]*):?(%d*)$" end
  if not host or host == "" then return nil end
  return (host:gsub("^%[(.*)%]$", "%1")), math.tointeger(tonumber(port)) or scheme == "https" and 443 or 80
end

return M
