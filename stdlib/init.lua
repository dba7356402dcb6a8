--- `require "stoke"`: tasks, scopes and channels. The other modules are fields: stoke.http is require "stoke.http".
---
--- Every function that waits can be cancelled. Durations are in seconds.

local again = require "stoke.flow.again"
local approval = require "core.driver.approval"
local channel = require "core.channel"
local combine = require "core.combine"
local errors = require "core.errors"
local host = require "core.about"
local lasting = require "stoke.flow.lasting"
local policy = require "core.gate.policy"
local script = require "core.script"
local spelling = require "core.names"
local tasks = require "core.task"
local time = require "stoke.time"

local M = { version = host.version }

-- Each is documented where it is written.
M.main, M.sleep, M.tasks, M.raise = script.on_main, time.sleep, tasks.list, errors.raise_checked
M.spawn, M.scope, M.try, M.timeout, M.shield = combine.spawn, combine.scope, combine.try, combine.timeout, combine.shield
M.all, M.race, M.any = combine.all, combine.race, combine.any
M.retry, M.fallback, M.every, M.state = again.retry, again.fallback, lasting.every, lasting.state
M.channel, M.select, M.semaphore = channel.new, channel.select, channel.semaphore
M.policy, M.pending = policy.declare, approval.list

--- Do something once in a durable run: see stoke.workflow.
---@param name string
---@param f fun(step: { name: string, key?: string }): any
---@param options? { idempotent?: boolean, reconcile?: fun(key: string): any, attempts?: integer }
---@return any what the function returned
---
--- Example: `local id = stoke.step("reserve", function(step) return warehouse.reserve("lamp", step.key) end)`
function M.step(name, f, options) return require "stoke.workflow".step(name, f, options) end

--- Wait for a signal to this durable run: see stoke.workflow.
---@param name string
---@param options? { timeout?: number } seconds
---@return any value nil: a signal without one, or none in time
---@return string|nil why "timeout"
---
--- Example: `local payment, why = stoke.signal("paid", { timeout = days * 24 * 3600 })`
function M.signal(name, options) return require "stoke.workflow".signal(name, options) end

--- Keep a state and drop what a durable run did before: see stoke.workflow.
---@param state any plain data
---@param continue? stoke.workflow|function what goes on with it; default: the run's own workflow
---@return nil
---
--- Example: `return stoke.snapshot({ day = input.day + 1 })`
function M.snapshot(state, continue) return require "stoke.workflow".snapshot(state, continue) end

--- Was this run begun with a change of its code? See stoke.workflow.
---@param name string of the change
---@return boolean
---
--- Example: `if stoke.patched "ask twice" then second = critic:run(draft) end`
function M.patched(name) return require "stoke.workflow".patched(name) end

--- A function of which the latest call alone goes on: a call cancels the one before it, with the question of a model that it may
--- be waiting for. For what is asked at each keystroke, or whenever something changes.
---@param f function
---@param options? { wait?: number } seconds that must pass without another call before it is called (0)
---@return stoke.latest latest call it as `f`: it returns what `f` returned, or nil and "superseded" where a later call came;
---  `latest:cancel()` ends the one that runs
---Raises `argument`; a call raises what `f` raises.
---
--- Example: `local complete = stoke.latest(function(text) return bot:run(text).text end, { wait = 0.3 })`
function M.latest(f, options) return require "stoke.flow.pace".latest(f, options) end

--- A limit of how often something begins: at most `calls` times in any `per` seconds, first come first served.
---@param options { calls: integer, per: number }
---@return stoke.rate limit `limit:wait()` waits for its turn, `limit:run(f, ...)` does and calls a function, `limit:try()` says
---  whether it may begin at once
---Raises `argument`.
---
--- Example: `local limit = stoke.rate { calls = 10, per = 60 }`
function M.rate(options) return require "stoke.flow.pace".rate(options) end

--- A small model first, and a larger one where the small one's answer will not do: it does not fit its schema, is cut off, fails,
--- has a small margin, or a rule says so. Where the small one is asked in vain too often, it is passed over.
---@param given table the agents, the smallest first; `escalate` = fun(result): whether its answer will not do (a text says why);
---  `margin` = nats: an answer of a smaller margin goes on (servers that tell the odds of tokens)
---@return stoke.cascade cascade `cascade:run(input, options)` is as agent:run; the result has `rung`, the usage of all, and
---  `tried` = { { rung, why } ... }; `cascade:state()` tells how often each rung was enough
---Raises `argument`.
---
--- Example: `local careful = stoke.cascade { small, large, escalate = function(result) return #result.text < 20 end }`
function M.cascade(given) return require "stoke.flow.cascade".new(given) end

--- How long a call would take, by what was learned of its model and server, and what waits there now. Nothing is sent.
---@param given { model?: string, endpoint?: string, route?: string|string[], prompt?: string, messages?: table[], tokens?: integer,
---  answer?: integer, agent?: stoke.agent } tokens: of the prompt, instead of it; answer: tokens of the answer; agent: whose model,
---  and whose usual length of answers
---@return stoke.estimate estimate { seconds, queue, prefill, decode, load, loaded, known, input, output, speeds, model, endpoint,
---  servers = of all that it may go to }
---Raises `argument`, and `usage` for a route or an endpoint that nobody knows.
---
--- Example: `print(stoke.estimate { model = "qwen2.5:3b", prompt = text }.seconds)`
function M.estimate(given) return require "stoke.model.forecast".of(given) end

--- What the pool is at: servers, lanes (a model at a server), slots and who holds them for how long, queues and why they wait, what
--- was learned of speeds and loads. Plain data; nothing is sent, and it costs nothing when nobody asks.
---@param options? { waiting?: integer } how many waiting calls of each model are told one by one (10)
---@return stoke.pool.state state { servers = { { name, url, state, swaps, swap_seconds, lanes = { { model, slots, busy, waiting,
---  resident, speed, load_seconds, calls, queue } } } }, busy, waiting, programs, hits, hedges, moved, shed }
---Raises `argument`.
---
--- Example: `for _, server in ipairs(stoke.pool().servers) do print(server.name, server.state) end`
function M.pool(options) return require "stoke.model.pool".state(options) end

--- Say how far a tool is, from inside of it, to whoever runs it: the reader of an agent's events (type "tool_progress"), an MCP
--- client. At most 20 times a second; what comes between is dropped. Where nobody listens, and in durable runs, nothing happens.
---@param message? string
---@param done? number
---@param total? number
---@return boolean heard does somebody listen?
---Raises `argument`.
---
--- Example: `for i, page in ipairs(pages) do stoke.progress("reads " .. page, i, #pages) end`
function M.progress(message, done, total) return require "stoke.tool.progress".say(message, done, total) end

--- Print values as the prompt shows them: tables with their fields and sorted keys, strings quoted, depth and width
--- limited. `term.format` gives the text, and takes limits.
---@param ... any
---
--- Example: `stoke.pp { city = "Oslo", degrees = { 4, 2 } }`
function M.pp(...) require "stoke.repl.print".print(...) end

--- Ask a model, in whatever dialect its endpoint speaks (endpoints = { NAME = { url =, dialect = "ollama"|"openai" } }).
---@param given stoke.chat
---@return stoke.chat.answer answer { text, thinking?, calls?, message, reason, usage, logprobs?, model?, endpoint? }; message is
---   what
---  goes back in `messages`
---Raises what agents raise: refused, unreachable, timeout, auth, http, overloaded, protocol, incomplete, invalid_output,
---context_overflow, budget, denied, argument, cancelled.
---
--- Example: `print(stoke.chat { model = "qwen2.5:3b", messages = { { role = "user", content = "Hi" } } }.text)`
function M.chat(given) return require "stoke.model.call".chat(given) end

--- Ask a model, its answer as it comes: an iterator of events { type = "text"|"thinking", text = }, { type = "tool_call", id =,
--- name
--- =, arguments =, call = } and { type = "done", reason =, usage = }. Leaving the loop closes the connection.
---@param given stoke.chat and merge?: boolean: false keeps one event for each piece of the server
---@return fun(): table iterator for generic `for`
---Raises what stoke.chat raises, when it is called and while it is iterated.
---
--- Example: `for ev in stoke.stream { model = "qwen2.5:3b", prompt = "Hi" } do io.write(ev.text or "") end`
function M.stream(given) return require "stoke.model.call".stream(given) end

--- Vectors of one or several texts, from whatever server the endpoint is.
---@param given { model: string, input: string|string[], endpoint?: string, route?: string|string[], dimensions?: integer,
---  timeouts?: table }
---@return { vectors: number[][], usage: stoke.usage } embedded one vector a text, in their order
---Raises what stoke.chat raises.
---
--- Example: `local v = stoke.embed { model = "nomic-embed-text", input = "a text" }.vectors[1]`
function M.embed(given) return require "stoke.model.call".embed(given) end

--- Load options by model, sent with every call to it: num_ctx, num_gpu, num_batch, keep_alive ...
---@param profiles table<string, table>
---
--- Example: `stoke.models { ["qwen2.5:3b"] = { num_ctx = 8192 } }`
function M.models(profiles) M.ollama.profiles(profiles) end

-- ---- the other modules, on first use ---------------------------------------------------------------------------------------

local function module_names()
  local names = {}
  for _, name in ipairs(host.modules()) do
    names[#names + 1] = name:match "^stoke%.(%l+)$"
  end
  return names
end

return setmetatable(M, {
  __index = function(_, name)
    local list = module_names()
    for _, known in ipairs(list) do
      if known == name then
        M[name] = spelling.seal("stoke." .. name, require("stoke." .. name))
        return M[name]
      end
    end
    if type(name) ~= "string" or name:find "^__" then return nil end
    for i, known in ipairs(list) do list[known], list[i] = true, nil end
    local message = spelling.say("stoke", name, M, list)
    errors.argument("%s", message)
  end,
})
