--- What the spans of this process add up to: how many calls, how long, how many tokens; a sink (lua/gate/span.lua) that keeps
--- numbers, and nothing else of a span. Names and buckets are those of the conventions in stdlib/traces/conventions.lua, also by
--- their older names; what is ours alone begins with `stoke_`. What a cache or a journal answered was no call of a model, and is
--- not counted as one.

local names = require "stoke.traces.conventions"

local M = {}

local genai, general, metrics, older = names.genai, names.general, names.metrics, names.older
local spelled = names.prometheus

local function labels(list)
  for i, name in ipairs(list) do list[i] = spelled(name) end
  return list
end

--- A histogram or a counter of the conventions.
local function standard(group, metric, help)
  local name = spelled(metric.name, metric.unit, metric.kind)
  if metric.kind == "counter" then return group:counter(name, help) end
  return group:histogram(name, help, metric.buckets)
end

--- A shorter load is none: servers look for the model with every call.
local LOAD <const> = 0.1

--- The model that answered, as its server names it.
local function answered(value)
  if type(value) ~= "table" then return nil end
  local done = rawget(value, "done") -- of a stream: its last event
  local reply = type(done) == "table" and done.reply or value
  return type(reply) == "table" and type(reply.model) == "string" and reply.model or nil
end

-- ---- calls of models ------------------------------------------------------------------------------------------------------------

local function calls_of(set)
  local group = set:group(labels { genai.operation, genai.provider, genai.request_model, genai.response_model, general.server,
    general.port, general.error })
  local took = standard(group, metrics.duration, "Seconds that a call of a model took, without its wait for a slot.")
  local first = standard(group, metrics.first, "Seconds until the first piece of a streamed answer.")
  local input = standard(group, metrics.input, "Tokens of the prompt of a call.")
  local output = standard(group, metrics.output, "Tokens of the answer of a call.")
  local input_total = standard(group, metrics.input_total, "Tokens of prompts.")
  local output_total = standard(group, metrics.output_total, "Tokens of answers.")
  group:also(took, spelled(older.duration, "s"), "The same as gen_ai_client_inference_duration_seconds, by its older name.")
  group:also(first, spelled(older.first, "s"),
    "The same as gen_ai_client_inference_time_to_first_chunk_seconds, by its older name.")
  local kind = spelled(older.token_type)
  for _, one in ipairs { { input, "input" }, { output, "output" } } do
    group:also(one[1], spelled(older.tokens), "Tokens of a call, by their older name.", ('%s="%s"'):format(kind, one[2]))
  end
  local waits = set:group { "model", "phase" }
  local spent = waits:counter("stoke_call_seconds_total",
    "Seconds of calls: their wait here (queue), and what their server tells: load, prefill (the prompt is read), decode.")
  local models = set:group { "model" }
  local queued = models:histogram("stoke_call_queue_seconds", "Seconds that a call waited here for its slot.",
    names.buckets.seconds)
  local loaded = models:counter("stoke_call_loads_total", "Calls whose model had to be loaded first.")

  local function phase(model, word, seconds)
    if seconds and seconds > 0 then spent:add(waits:row(model, word), seconds) end
  end

  return function(record, call, value)
    if record.cached or record.replayed then return end
    local asked, target = record.about or record.model, call and call.target
    local model = models:row(asked)
    queued:observe(model, record.queue)
    if (record.load or 0) >= LOAD then loaded:add(model, 1) end
    phase(asked, "queue", record.queue)
    if record.error and not (call and call.started) then return end -- it was never sent
    local host, port
    if target and target.endpoint and target.endpoint.meant then host, port = names.place(target.endpoint.meant) end
    local q = call and call.q or {}
    local dialect = target and target.dialect and target.dialect.name or q.protocol
    local row = group:row(names.operation(q.path), dialect and names.provider(dialect), asked, answered(value), host, port,
      record.error)
    took:observe(row, record.run)
    if record.first and value and record.name == "llm.stream" then first:observe(row, record.first) end
    for _, name in ipairs { "load", "prefill", "decode" } do phase(asked, name, record[name]) end
    if record.input_tokens then
      input:observe(row, record.input_tokens)
      input_total:add(row, record.input_tokens)
    end
    if record.output_tokens then
      output:observe(row, record.output_tokens)
      output_total:add(row, record.output_tokens)
    end
  end
end

-- ---- agents, tools, MCP, requests -----------------------------------------------------------------------------------------------

local function agents_of(set)
  local group = set:group(labels { genai.operation, genai.agent, general.error })
  local took = standard(group, metrics.agent, "Seconds that a run of an agent took.")
  return function(record)
    took:observe(group:row(names.operations.agent, record.about, record.error), record.run)
  end
end

local function tools_of(set)
  local group = set:group(labels { genai.operation, genai.tool, general.error })
  local took = standard(group, metrics.tool, "Seconds that a call of a tool took, with what it did inside.")
  return function(record)
    if record.replayed then return end
    took:observe(group:row(names.operations.tool, record.about, record.error), record.run)
  end
end

local function mcp_of(set)
  local group = set:group(labels { names.mcp.method, names.own.server, general.error })
  local took = standard(group, metrics.mcp, "Seconds that an MCP server took to answer.")
  return function(record, call)
    if record.replayed then return end
    local q = call and call.q or {}
    took:observe(group:row(q.method, q.server, record.error), record.run)
  end
end

--- Methods that are named; clients may send any word.
local METHODS <const> = { GET = true, HEAD = true, POST = true, PUT = true, DELETE = true, OPTIONS = true, PATCH = true }

local function requests_of(set)
  local group = set:group(labels { general.method, general.route, general.status, general.error })
  local took = standard(group, metrics.served, "Seconds that a request to a server of this process took.")
  return function(record)
    local method = METHODS[record.method] and record.method or "_OTHER"
    took:observe(group:row(method, record.route, record.status, record.error), record.run)
  end
end

-- ---- the sink -------------------------------------------------------------------------------------------------------------------

--- Spans that are counted with what they are about, by name.
local KINDS <const> = { { calls_of, "llm.chat", "llm.stream" }, { agents_of, "agent.run" }, { tools_of, "tool.call" },
  { mcp_of, "mcp.request" }, { requests_of, "serve.request" } }

--- A sink that counts into a set.
---@param set stoke.metrics.set
---@return fun(record: core.span.record, call?: table, value?: any)
---
--- Example: `spans.listen(counting.sink(set))`
function M.sink(set)
  local by_name = {}
  for _, kind in ipairs(KINDS) do
    local count = kind[1](set)
    for i = 2, #kind do by_name[kind[i]] = count end
  end
  local effects = set:group { "effect", "error_type" }
  local ended = effects:counter("stoke_effects_total", "Effects that ended: calls, tools, files, requests and the like.")
  local again = set:group { "effect", "model" }
  local retried = again:counter("stoke_retries_total", "Attempts after the first one.")
  return function(record, call, value)
    local kind = by_name[record.name]
    if kind then kind(record, call, value) end
    if record.around then return end
    if not record.replayed then ended:add(effects:row(record.name, record.error), 1) end
    local attempts = record.attempts or 1
    if attempts > 1 and not record.replayed then retried:add(again:row(record.name, record.model), attempts - 1) end
  end
end

return M
