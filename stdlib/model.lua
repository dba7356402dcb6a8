--- Models behind one face, whatever the wire of their server: what agents are built on. A script asks with stoke.agent, or with
--- the module of a dialect (stoke.ollama).
---
--- A **target** is a model at an endpoint (lua/endpoint.lua). `model.open(name, endpoint)` finds it once; everything else takes it.
--- An agent run asks through its own copy of one, `model.begin(target)`: it knows what was learned when the run began, and from
--- there on learns from its own answers alone, so that the same run asks the same in a process of another history.
---
--- **Messages** are { role = "system"|"user"|"assistant"|"tool", content = text, thinking?, images? = base64 texts, tool_calls? =
--- { { id =, ["function"] = { name =, arguments = table } } }, tool_name?, tool_call_id? }. **Tools** are JSON Schema definitions,
--- { type = "function", ["function"] = { name, description, parameters } }. **Options** have one vocabulary: temperature, top_p,
--- top_k, min_p, seed, stop, num_predict (tokens of the answer) and the rest of stoke.model.options; a dialect sends what its
--- wire has. A **call** may hold think, timeouts, split_thinking, auto_pull, truncate and endpoint (its name).
---
--- **A dialect** is one table, registered with `model.register(name, table)`; endpoints = { x = { dialect = name } } in the
--- settings puts an endpoint under it. One half runs in the driver and is described there (lua/driver/llm.lua): request, error,
--- broken, reply, plain, holds, line, incomplete, usage, facts, restore, estimate, canonical, open. The other half is for this
--- face; those in [] may be left out:
---
---   chat(target, call, stream, messages, tools, format, options) -> q      shape a request: pure data with protocol = its name and
---                     path (both are part of what a recording finds it by), body, model, endpoint and timeouts of the call.
---                     Nothing of the endpoint's is in it: `request` finishes it for the one that was granted, with the options
---                     that stoke.model.request.options(target.endpoint, q, stream) makes
---   answer(value) -> answer         what `reply` made of a whole answer, as stoke.model.answer. Arguments of a call that are
---                     no JSON stay the text they are: the model is told
---   [cut](target, q, value) -> err | nil         was the prompt of a whole answer, or of what the event "done" holds as `reply`,
---                     cut to the window without a word? Asked of prompts that could be
---   [mend](target, q, err, call, round) -> again, err    do something about a failed call, which is then made again (round 0, 1)
---   [explain](target, q, err) -> err      say more of a failure
---   [settled](target, call, text, thinking) -> text, thinking     the text of a streamed answer, once all of it is there
---   [reads](err) -> meaning, text   what only the server's words tell: "call", and the text with a tool call that it could not
---                     read; "think", where it knows no levels of thinking
---   [window](target) -> tokens | nil      ask the server for the context window in force; notes it (stoke.model.learned)
---   [grow](target, tokens, answer) -> tokens     for target.set_window == "auto": make room for a prompt; the window then
---   [load](target, keep_alive) -> reply | nil, err       [unload](target) -> reply | nil, err
---   [residency](endpoint) -> { { name, window?, bytes?, fast_bytes?, expires? } ... } | nil, err      what is loaded
---   [probe](endpoint) -> { version } | nil, err          is there such a server?
---   [capabilities](target) -> { completion = true, tools = true, ... } | nil, err
---   [embedding](target, call, texts, truncate) -> q      one request for vectors; call may hold dimensions and options. For
---                     stoke.model.embed, which makes as many as it takes
---   [vectors](value) -> rows         of its reply, one a text, each a list of numbers
---   [embed](target, call, texts) -> vectors, usage | nil, err     of a dialect without these two: nothing of it is kept
---
--- Events of a stream are { type = "text"|"thinking", text = }, { type = "tool_call", id =, name =, arguments =, call = as in a
--- message } and { type = "done", reason = "stop"|"length", usage =, reply = the last the server said }.

local cached = require "core.cache.settings"
local digests = require "core.cache.models"
local effect = require "core.effect"
local dialects = require "stoke.model.dialect"
local endpoints = require "core.endpoint"
local errors = require "core.errors"
local llm = require "core.driver.llm"
local learned = require "stoke.model.learned"
local terms = require "core.terms"

local M = {}

local perform = effect.perform

--- No window is smaller: a prompt of fewer tokens was not cut.
local SMALL <const> = 256

---@class stoke.model.answer
---@field text string
---@field thinking? string
---@field calls? table[] tool calls, as a message has them
---@field reason? string "stop" or "length"
---@field usage stoke.usage
---@field model? string along a route: the model that answered, as its server calls it
---@field endpoint? string and its endpoint
---@field logprobs? table[] where they were asked for: of each token { token, logprob, top_logprobs = { { token, logprob } ... } }

-- ---- targets ------------------------------------------------------------------------------------------------------------------

--- What each dialect must have, its half of the driver and that of this face.
local NEEDED = { "request", "error", "reply", "line", "incomplete", "usage", "chat", "answer" }

--- Register a dialect, whose contract is described above. A script can do that, too; a name that is taken is replaced.
---@param name string what endpoints call it: `endpoints = { x = { url = ..., dialect = name } }`
---@param dialect table
---@return table dialect
---Raises `argument` where a function is missing.
---
--- Example: `if dialect then model.register("mine", dialect) end`
function M.register(name, dialect)
  if type(name) ~= "string" or type(dialect) ~= "table" then
    errors.argument("model.register: a name and a table expected, got %s and %s", errors.describe(name), errors.describe(dialect))
  end
  for _, needed in ipairs(NEEDED) do
    if type(dialect[needed]) ~= "function" then
      errors.raise("argument", ("model.register: the dialect %s has no function %s"):format(name, needed),
        { hint = "stoke help model says what a dialect needs" })
    end
  end
  llm.protocol(name, dialect)
  return dialect
end

--- An error, as a dialect returns one: not raised.
---@param kind string "protocol", "overloaded", "auth" ...
---@param message string
---@param fields? table hint, retryable, status ...
---@return stoke.error
---Raises `argument` for an unknown kind.
---
--- Example: `return nil, model.error("protocol", "the answer is no JSON")`
function M.error(kind, message, fields)
  if not errors.kinds[kind] then errors.argument("model.error: there is no kind %s", tostring(kind)) end
  return errors.new(kind, message, fields)
end

--- Find a model at an endpoint.
---@param name string
---@param endpoint? string name or address; nil = the default one
---@param route? string|string[] where it may be asked instead: a route of the settings, or { "model@endpoint" ... }
---@return stoke.target the same each time, until the settings change
---Raises `usage` for an endpoint or a route that nobody knows.
---
--- Example: `local target = model.open("qwen2.5:3b", "gpu")`
function M.open(name, endpoint, route)
  if type(name) ~= "string" then errors.argument("model.open: the model must be a string, got %s", errors.describe(name)) end
  if route == nil and terms.routed and not endpoint then route = terms.route() end
  if route ~= nil then
    return require "stoke.config.routes".target("model.open", name, route, dialects.of(endpoints.of(endpoint)))
  end
  local found = endpoints.known[endpoint or false] or endpoints.of(endpoint)
  local target = found.targets[name]
  if target then return target end
  return endpoints.target(found, name, dialects.of(found))
end

--- A target for one agent run, see above.
---@private
---@param target stoke.target
---@param apart? boolean it teaches nobody: only for a look at what would be asked
---@return stoke.target
---
--- Example: `run.target = model.begin(model.open(agent.model, agent.endpoint))`
M.begin = learned.begin

--- The dialect of a target.
local function dialect_at(what, target)
  local dialect = type(target) == "table" and target.dialect
  if type(dialect) == "table" then return dialect end
  errors.argument("%s: a target expected, as model.open gives it, got %s", what, errors.describe(target))
end

-- ---- asking -------------------------------------------------------------------------------------------------------------------

--- What became of an effect that failed: it is mended and made again, or its error says all that is known.
local function recover(name, q, target, call, err)
  local dialect, value = target.dialect, nil
  local round = 0
  while err and dialect.mend and round < 2 do
    local again, failed = dialect.mend(target, q, err, call, round)
    if not again then
      err = failed or err
      break
    end
    value, err = perform(name, q, target.candidates)
    round = round + 1
  end
  if err and dialect.explain then err = dialect.explain(target, q, err) end
  return value, err
end

--- Perform a request of a model; for modules of dialects.
---@private
---@param name string "llm.chat"
---@param q table as the dialect's `chat` shapes them
---@param target stoke.target
---@param call table
---@return any value
---@return stoke.error? err
---Raises `cancelled`.
---
--- Example: `local reply, err = model.perform("llm.chat", q, target, given)`
function M.perform(name, q, target, call)
  local value, err = perform(name, q, target.candidates)
  if err then value, err = recover(name, q, target, call, err) end
  if err then return nil, err end
  local cut = name == "llm.chat" and target.dialect.cut
  err = cut and cut(target, q, value)
  if err then return nil, err end
  return value
end

--- Ask a model, all at once. What is given must have been checked (stoke.model.options), and the prompt made to fit (M.room).
---@param target stoke.target
---@param call table { think?, timeouts?, split_thinking?, auto_pull?, endpoint? }
---@param messages table[]
---@param tools? table[]
---@param format? table a JSON Schema; does not mix with tools
---@param options? table sampling
---@return stoke.model.answer|nil
---@return stoke.error? err
---Raises `cancelled`.
---
--- Example: `local answer, err = model.ask(model.open "qwen2.5:3b", {}, { { role = "user", content = "Hi" } })`
function M.ask(target, call, messages, tools, format, options)
  local dialect = type(target) == "table" and target.dialect
  if type(dialect) ~= "table" then dialect_at("model.ask", target) end -- raises
  local q = dialect.chat(target, call, false, messages, tools, format, options)
  local value, err = perform("llm.chat", q, target.candidates)
  if err then value, err = recover("llm.chat", q, target, call, err) end
  if err then return nil, err end
  local answer, cut = dialect.answer(value), dialect.cut
  if target.route then answer.model, answer.endpoint = value.model, value.endpoint end
  err = cut and answer.usage.input_tokens >= SMALL and cut(target, q, value)
  if err then return nil, err end
  return answer
end

--- Tell a prompt that the server has cut, once the reply says how much of it was read.
local function check_cut(how, event)
  local err = how.target.dialect.cut(how.target, how.q, event.reply)
  if err then error(err, 0) end
end

-- Of each stream only what is its own: thousands may wait.
local EVENTS <const> = { __index = { merge = true, bare = false, on_done = check_cut } }
local BARE <const> = { __index = { merge = true, bare = true, on_done = check_cut } }

--- Iterate a stream that was opened; for modules of dialects.
---@private
---@param stream table of effect llm.stream
---@param target stoke.target
---@param q table
---@param merge boolean
---@param bare? boolean the texts alone, as strings
---@return fun(): table iterator for generic `for`
---@return table stream
---@return nil
---@return table closing
---
--- Example: `return model.events(stream, target, q, true)`
function M.events(stream, target, q, merge, bare)
  local how = target.dialect.cut and setmetatable({ target = target, q = q }, bare and BARE or EVENTS)
    or { merge = true, bare = bare }
  if not merge then how.merge = false end
  return stream:iterate(how), stream, nil, stream
end

--- Ask a model, its answer as it comes: an iterator of events. Leaving the loop closes the connection.
---@param target stoke.target
---@param call table as for M.ask; and so on
---@param messages table[]
---@param tools? table[]
---@param format? table
---@param options? table
---@return fun(): table iterator for generic `for`
---Raises what M.ask gives as an error, when it is called and while it is iterated.
---
--- Example: `for ev in model.stream(target, {}, messages) do io.write(ev.text or "") end`
function M.stream(target, call, messages, tools, format, options)
  local q = dialect_at("model.stream", target).chat(target, call, true, messages, tools, format, options)
  local stream, err = M.perform("llm.stream", q, target, call)
  if err then error(err, 0) end
  return M.events(stream, target, q, call.merge ~= false)
end

--- The text and the thinking of a streamed answer, once all of it is there.
---@private
---@param target stoke.target
---@param call table
---@param text string
---@param thinking? string
---@return string text
---@return string|nil thinking
---
--- Example: `local text, thinking = model.settled(target, agent, table.concat(parts))`
function M.settled(target, call, text, thinking)
  local settled = target.dialect.settled
  if settled then return settled(target, call, text, thinking) end
  return text, thinking
end

--- What an error says that only the server's words tell, see above.
---@private
---@param target stoke.target
---@param err stoke.error
---@return "call"|"think"|nil meaning
---@return string|nil text
---
--- Example: `if model.reads(target, err) == "think" then agent.think = true end`
function M.reads(target, err)
  local reads = target.dialect.reads
  if reads then return reads(err) end
  if err.kind == "invalid_output" then return "call", err.message end
end

--- The exact request that M.ask or M.stream would send, without sending it.
---@param target stoke.target
---@param call table
---@param stream boolean
---@param messages table[]
---@param tools? table[]
---@param format? table
---@param options? table
---@return { method: string, url: string, body: string }
---
--- Example: `print(model.request(target, {}, false, messages).body)`
function M.request(target, call, stream, messages, tools, format, options)
  local dialect = dialect_at("model.request", target)
  local q, candidates = dialect.chat(target, call, stream, messages, tools, format, options), target.candidates
  target = candidates[1]
  local made, body = dialect.request(q, target, stream, nil, candidates)
  if not made then error(body, 0) end
  return { method = q.method or "POST", url = target.endpoint.url .. q.path, body = body }
end

-- ---- tokens and windows -------------------------------------------------------------------------------------------------------

--- Bytes and images of a message.
---@private
M.size = learned.size

--- Tokens of so many bytes and images, at a guess that is rather too large.
---@private
M.estimate = learned.estimate

--- The server has counted a prompt: learn from it.
---@private
M.learn = learned.learn

--- The context window of a model; the server may be asked.
---@param target stoke.target
---@return integer|nil tokens nil while the model is not loaded, and where the server does not tell
---
--- Example: `print(model.window(model.open "qwen2.5:3b"))`
function M.window(target)
  local window = dialect_at("model.window", target).window
  local known = M.known(target)
  return known or window and window(target)
end

--- The context window, where it is known without asking.
---@private
---@param target stoke.target
---@return integer|nil tokens
---
--- Example: `local window = model.known(target)`
function M.known(target)
  local set = target.set_window
  if set == nil then return target.learned.window or nil end
  if set == "auto" then return target.dialect.grow(target, 0) end
  return set
end

--- The context window that a prompt of so many tokens will meet: it is made larger where the settings leave it to the
--- conversations, and the model is loaded, once, where nobody can tell before.
---@param target stoke.target
---@param prompt integer tokens
---@param answer? integer tokens that it is bound to
---@return integer|nil tokens
---
--- Example: `local window = model.room(target, 3000)`
function M.room(target, prompt, answer)
  local dialect = dialect_at("model.room", target)
  if target.set_window == "auto" then return dialect.grow(target, prompt, answer) end
  local window = M.window(target)
  if window or target.loaded or not dialect.load then return window end
  errors.check(dialect.load(target))
  target.loaded = true
  return M.window(target)
end

-- ---- models on their servers --------------------------------------------------------------------------------------------------

--- Do what a dialect may have left out.
local function optional(name, dialect, ...)
  local f = dialect[name]
  if f then return f(...) end
  return nil, errors.new("usage", ("the dialect %s has no %s"):format(dialect.name, name))
end

--- Load a model and wait until it is ready.
---@param target stoke.target
---@param keep_alive? number|string how long it stays without work
---@return table|nil reply
---@return stoke.error? err
---
--- Example: `model.load(model.open "qwen2.5:3b")`
function M.load(target, keep_alive) return optional("load", dialect_at("model.load", target), target, keep_alive) end

--- Free a model's memory.
---@param target stoke.target
---@return table|nil reply
---@return stoke.error? err
---
--- Example: `model.unload(model.open "qwen2.5:3b")`
function M.unload(target) return optional("unload", dialect_at("model.unload", target), target) end

--- What a model can do.
---@param target stoke.target
---@return table<string, boolean>|nil capabilities { completion = true, tools = true, thinking = true, embedding = true ... }
---@return stoke.error? err
---
--- Example: `print(model.capabilities(model.open "qwen2.5:3b").tools)`
function M.capabilities(target) return optional("capabilities", dialect_at("model.capabilities", target), target) end

--- Vectors of texts, through the embedding cache.
---@param target stoke.target
---@param call stoke.embed.about and normalise?: boolean
---@param texts string[]
---@return (number[]|false)[]|nil vectors false with `partial` alone: refused
---@return stoke.usage|stoke.error usage of what was asked, or the error
---
--- Example: `local vectors = model.embed(model.open "nomic-embed-text", {}, { "a text" })`
function M.embed(target, call, texts)
  local dialect = dialect_at("model.embed", target)
  if not dialect.embedding then return optional("embed", dialect, target, call, texts) end
  local reply, err = require "stoke.model.embed".reply(target, call, texts)
  if not reply then return nil, err end
  return reply.embeddings, reply.usage
end

-- The vector of a question, for answers to questions that mean the same, and which model made it.
cached.packed = function(name, endpoint, text)
  local target = M.open(name, endpoint)
  local digest, why = digests.digest(target)
  if not digest then return nil, why end
  local packed, err = require "stoke.model.embed".packed(target, {}, { text })
  if not packed then return nil, err end
  return packed[1], digest
end

-- A model's word on two questions.
cached.judge = function(name, endpoint, a, b) return require "stoke.model.judge".same(M, name, endpoint, a, b) end

--- The models that an endpoint's server has loaded.
---@param endpoint? string name or address
---@return table[]|nil models { name, window?, bytes?, fast_bytes?, expires? }
---@return stoke.error? err
---
--- Example: `for _, m in ipairs(model.residency()) do print(m.name, m.window) end`
function M.residency(endpoint)
  local found = endpoints.of(endpoint)
  return optional("residency", dialects.of(found), found)
end

--- Is there a server at an endpoint? Asked once.
---@param endpoint? string name or address
---@return { version: string }|nil
---@return stoke.error? err
---
--- Example: `print(model.probe() ~= nil)`
function M.probe(endpoint)
  local found = endpoints.of(endpoint)
  return optional("probe", dialects.of(found), found)
end

return M
