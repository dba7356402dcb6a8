--- generate, chat and embed: what the server checks, in its order and with its texts, and the
--- request the scheduler gets.

local json = require "stoke.ollama.server.gojson"
local checks = require "stoke.ollama.server.checks"
local decode = require "stoke.ollama.server.decode"
local options = require "stoke.sim.options"
local models = require "stoke.sim.models"
local prompt = require "stoke.sim.prompt"
local reply = require "stoke.sim.reply"
local rules = require "stoke.sim.rules"
local wire = require "stoke.ollama.server.wire"
local deliver = require "stoke.sim.deliver"
local embed = require "stoke.sim.embed"
local scheduler = require "stoke.sim.scheduler"
local grammar = require "stoke.sim.grammar"
local gotemplate = require "stoke.ollama.server.gotemplate"
local habits = require "stoke.sim.habits"

local M = {}

local function refuse(res, status, text)
  res:reply(status, wire.JSON, wire.error(text))
  return nil
end

local function read(sim, req, res, name)
  local body, err = decode.request(req.body, decode.requests[name], sim.habits)
  if not body then return refuse(res, 400, err) end
  return body
end

-- The load options and merged options of a request, or nil after an error was sent.
local function resolve(sim, res, body, model)
  local merged, err = options.merge(decode.pairs_of(body.options), model)
  if not merged then return refuse(res, 500, err) end
  return merged, options.load_options(merged, model, sim.context, body.shift, sim.scheduler:slots_of(model),
    sim.habits.age == "runner")
end

-- An error as llama-server words it: the text of the error is itself JSON.
local function nested(code, message, kind)
  return json.encode(json.object { { "error", json.object { { "code", code }, { "message", message }, { "type", kind } } } })
end

-- A schema that is no schema; true when the engine will die of it, which llama-server does not.
local function check_schema(sim, format)
  if not json.is_object(format) then return end
  local verdict, why = grammar.judge(format)
  if verdict == "good" then return end
  if sim.habits.age == "runner" then
    if verdict == "deadly" then return nil, true end
    return { 500, "invalid JSON schema in format", late = true }
  end
  local text = why and '"json_schema": JSON schema conversion failed:\n' .. why or "failed to parse grammar"
  return { 400, nested(400, text, "invalid_request_error"), late = true }
end

local function has_images(body)
  if body.images and #body.images > 0 then return true end
  for _, m in ipairs(body.messages or {}) do if m.images and #m.images > 0 then return true end end
  return false
end

-- An image for a model without sight. The llama.cpp runner takes it for text.
local function blind(sim, body, model)
  if models.can(model, "vision") or not has_images(body) then return nil end
  local engine = habits.engine(sim.habits, model)
  if engine == "llama" then return nil end
  if engine == "ollama" then
    return { 500, "Failed to create new sequence: failed to process inputs: this model is missing data required for image input",
      late = true }
  end
  return { 500, nested(500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
    "server_error"), late = true }
end

local function scripted(sim, body, endpoint)
  sim.answers = sim.answers + 1
  if not sim.script then return nil end
  body.endpoint = endpoint
  return sim.script(body, sim.answers)
end

-- The answer of a request that only wants to see its prompt.
local function rendered(q, res, text)
  local o = wire.object { name = q.name, chat = q.chat, at = wire.time(q.sim.wall()), done = false }
  local info = json.encode(json.object { { "rendered_template", text } })
  return res:reply(200, wire.JSON, o:sub(1, -2) .. ',"_debug_info":' .. info .. "}")
end

-- Called by the scheduler when the request has a runner.
local function prepare(request, runner)
  local q = request.q
  local sim, body, model = q.sim, q.body, request.model
  local template = body.template or ""
  local problem = template ~= "" and gotemplate.problem(template)
  if problem then return nil, { 500, problem } end
  local text, tokens = prompt.build(body, model, request.merged, runner.opts, sim.habits)
  if body._debug_render_only and text then
    return { prompt = text, prompt_tokens = 0, n = 0, tps = 0, prefill = 0, lines = {}, thinking = 0, text = "",
      reply = function() return rendered(q, q.res, text) end }
  end
  local level = q.chat and q.unknown_level
  if level then return nil, { 400, level } end
  if not text then return nil, tokens end
  local format, bad = checks.format(body.format)
  if bad then return nil, { 500, bad, late = true } end
  local wrong, deadly = check_schema(sim, format)
  wrong = wrong or blind(sim, body, model)
  if wrong then return nil, wrong end
  local ok, answer, why = pcall(scripted, sim, body, q.chat and "chat" or "generate")
  if not ok then return nil, { 500, "the script failed: " .. tostring(answer) } end
  if why then return nil, { 500, why } end
  answer = answer or rules.answer {
    messages = body.messages, prompt = body.prompt, suffix = body.suffix, system = body.system, tools = body.tools,
    format = format, model = q.name, think = q.think,
  }
  return reply.job(answer, {
    model = model, prompt = text, prompt_tokens = tokens, merged = request.merged, opts = runner.opts,
    random = sim.random, fault = deadly and "runner-dies" or q.fault,
    logprobs = body.logprobs and (body.top_logprobs or 0) or nil,
  })
end

-- Checks abilities; true, or nil after an error was sent.
local function able(res, model, name, body, chat, level)
  if level and not chat then return refuse(res, 400, level) end
  if body.think and not models.can(model, "thinking") then
    return refuse(res, 400, ('"%s" does not support thinking'):format(name))
  end
  if not models.can(model, "completion") then
    return refuse(res, 400, ('"%s" does not support %s'):format(name, chat and "chat" or "generate"))
  end
  local function lacks(cap)
    return refuse(res, 400, models.long_name(name) .. " does not support " .. cap)
  end
  if body.tools and #body.tools > 0 and not models.can(model, "tools") then return lacks "tools" end
  if body.suffix and body.suffix ~= "" and not models.can(model, "insert") then return lacks "insert" end
  return true
end

-- Levels of thinking were at first only for the models made for them.
local function unknown_level(sim, model, body)
  if type(body.think) ~= "string" or sim.habits.levels or model.family == "gptoss" or model.family == "gpt-oss" then
    return nil
  end
  return ('think value "%s" is not supported for this model'):format(body.think)
end

-- What is said to a name that is none; nil when it is one, or empty.
local function malformed(sim, name)
  if name == "" or models.valid_name(name) or not sim.habits.names then return nil end
  return "invalid model name"
end

-- What generate and chat share once the model is known. `empty`: no prompt, so load or unload only.
local function serve(sim, res, body, model, chat, empty)
  local name = body.model
  if (body.top_logprobs or 0) < 0 or (body.top_logprobs or 0) > 20 then
    return refuse(res, 400, "top_logprobs must be between 0 and 20")
  end
  if empty and body.keep_alive == 0 then
    sim.scheduler:unload(model, sim.clock())
    sim:kick()
    return res:reply(200, wire.JSON, wire.object { name = name, chat = chat, at = wire.time(sim.wall()), done = true,
      done_reason = "unload" })
  end
  if body.raw and ((body.template or "") ~= "" or (body.system or "") ~= "" or #(body.context or {}) > 0) then
    return refuse(res, 400, "raw mode does not support template, system, or context")
  end
  local level = unknown_level(sim, model, body)
  if not able(res, model, name, body, chat, level) then return end
  local merged, opts = resolve(sim, res, body, model)
  if not merged then return end
  local think = body.think
  if think == nil then think = models.can(model, "thinking") end
  local q = { sim = sim, res = res, name = name, chat = chat, body = body, stream = body.stream ~= false, think = think,
    fault = sim:fault_for(model), unknown_level = level }
  q.request = { model = model, opts = opts, merged = merged, keep = scheduler.keep(body.keep_alive),
    kind = empty and "load" or "run", prepare = prepare, q = q }
  return deliver.run(sim, res, q)
end

--- POST /api/generate
function M.generate(sim, req, res)
  local body = read(sim, req, res, "generate")
  if not body then return end
  body.model, body.prompt = body.model or "", body.prompt or ""
  local bad = malformed(sim, body.model)
  if bad then return refuse(res, 400, bad) end
  local model = models.valid_name(body.model) and sim.models:find(body.model)
  if not model then return refuse(res, 404, ("model '%s' not found"):format(body.model)) end
  return serve(sim, res, body, model, false, body.prompt == "")
end

--- POST /api/chat
function M.chat(sim, req, res)
  local body = read(sim, req, res, "chat")
  if not body then return end
  body.model, body.messages = body.model or "", body.messages or json.array()
  local bad = malformed(sim, body.model)
  if bad then return refuse(res, 400, bad) end
  if not models.valid_name(body.model) then return refuse(res, 400, "model is required") end
  local model = sim.models:find(body.model)
  if not model then return refuse(res, 404, ("model '%s' not found"):format(body.model)) end
  return serve(sim, res, body, model, true, #body.messages == 0)
end

-- Embeddings --------------------------------------------------------------------------------------

local NO_EMBEDDING = nested(501, "This server does not support embeddings. Start it with `--embeddings`", "not_supported_error")

local function inputs_of(input)
  if input == nil then return {} end
  if type(input) == "string" then return input ~= "" and { input } or {} end
  if not json.is_array(input) then return nil end
  for _, s in ipairs(input) do if type(s) ~= "string" then return nil end end
  return input
end

local function embed_prepare(request, runner)
  local q = request.q
  local model = request.model
  local engine = habits.engine(q.sim.habits, model)
  if not model.embed_only and engine ~= "llama" then
    local text = engine == "ollama" and "this model does not support embeddings" or NO_EMBEDDING
    return nil, { q.old and 500 or 501, text }
  end
  local limit, total, texts = runner.opts.num_ctx, 0, {}
  for i, s in ipairs(q.inputs) do
    local n = prompt.tokens(s)
    if n > limit then
      if q.body.truncate == false then return nil, { 400, "the input length exceeds the context length" } end
      s, n = s:sub(1, limit * 4), limit
    end
    texts[i], total = s, total + n
  end
  return { prompt = "", prompt_tokens = total, n = 0, tps = 0, prefill = model.prefill, fault = q.fault, text = "",
    lines = {}, thinking = 0, reply = function(t) return q.answer(t, texts, total) end }
end

-- Both embedding calls: answer(ticket, texts, tokens) writes the reply; loaded() the one of a load.
local function embedding(sim, res, body, inputs, answer, empty, old)
  local bad = malformed(sim, body.model)
  if bad then return refuse(res, 400, bad) end
  local model = models.valid_name(body.model) and sim.models:find(body.model)
  if not model then return refuse(res, 404, ('model "%s" not found, try pulling it first'):format(body.model)) end
  local merged, opts = resolve(sim, res, body, model)
  if not merged then return end
  local q = { sim = sim, name = body.model, chat = false, stream = false, body = body, inputs = inputs,
    answer = answer, loaded = empty, old = old, fault = sim:fault_for(model) }
  q.request = { model = model, opts = opts, merged = merged, keep = scheduler.keep(body.keep_alive),
    kind = #inputs == 0 and "load" or "run", prepare = embed_prepare, q = q }
  return deliver.run(sim, res, q)
end

local function rows_of(texts, model, dimensions)
  local rows = {}
  for i, s in ipairs(texts) do
    local v = embed.vector(s, model.embedding)
    rows[i] = dimensions and dimensions > 0 and embed.shorten(v, dimensions) or v
  end
  return rows
end

--- POST /api/embed
function M.embed(sim, req, res)
  local body = read(sim, req, res, "embed")
  if not body then return end
  body.model = body.model or ""
  local inputs = inputs_of(body.input)
  if not inputs then return refuse(res, 400, "invalid input type") end
  if not sim.habits.names and not models.valid_name(body.model) then
    return refuse(res, 500, "unqualified name: " .. models.spelled_out(body.model))
  end
  if body.model == "" then return refuse(res, 404, "model '' not found") end
  return embedding(sim, res, body, inputs, function(t, texts, tokens)
    local rows = rows_of(texts, t.request.model, body.dimensions)
    wire.send(res, 200, wire.JSON, wire.embed(body.model, rows, wire.nanos(t.ends - t.arrived), wire.nanos(t.load_seconds),
      tokens))
  end, function() res:reply(200, wire.JSON, wire.embed(body.model, {})) end)
end

--- POST /api/embeddings (the old call)
function M.embeddings(sim, req, res)
  local body = read(sim, req, res, "embeddings")
  if not body then return end
  body.model = body.model or ""
  if not models.valid_name(body.model) and not malformed(sim, body.model) then return refuse(res, 400, "model is required") end
  local inputs = inputs_of(body.prompt)
  return embedding(sim, res, body, inputs, function(t, texts)
    local rows = rows_of(texts, t.request.model)
    wire.send(res, 200, wire.JSON, '{"embedding":' .. wire.rows(rows):sub(2, -2) .. "}")
  end, function() res:reply(200, wire.JSON, '{"embedding":[]}') end, true)
end

return M
