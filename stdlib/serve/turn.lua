--- A turn that a client asked for, in the words of no protocol: an agent, messages, and somebody who is told what is said.
---
--- The run is in the task of the request. Who is told writes to the client and waits when the client is slow, and with it the run
--- and its model wait; the task is cancelled when the client leaves, and the run and its model's slot with it.

local raw_pcall = require "core.coro".raw_pcall
local errors = require "core.errors"
local guest = require "stoke.agent.guest"
local history = require "stoke.agent.history"
local input = require "stoke.agent.input"
local loop = require "stoke.agent.loop"
local passing = require "stoke.serve.passing"
local sessions = require "stoke.agent.session"
local failures = require "stoke.serve.failures"
local json = require "stoke.json"
local log = require "stoke.log"
local time = require "stoke.time"

local M = {}

---@class stoke.serve.listener who writes to a client
---@field text fun(self: table, text: string, odds?: table[]) odds: of its tokens, of a model that is passed through
---@field thinking fun(self: table, text: string)
---@field done fun(self: table, answer: stoke.serve.answer)
---@field fail fun(self: table, failure: stoke.serve.failure)

---@class stoke.serve.turn
---@field entry stoke.serve.entry
---@field messages table[] as stoke.agent takes them
---@field tools? table[] what the client lends: definitions of tools, see lent.lua
---@field past? stoke.agent.history what goes on, instead of messages
---@field session? stoke.serve.session the conversation that the client names
---@field call? stoke.serve.call of a model that is passed through, instead of messages
---@field format? table|string "json" or a JSON Schema: the shape of the answer, where the agent has none of its own
---@field thinking boolean are thoughts wanted?
---@field begun? boolean has anything come of it yet?

---@class stoke.serve.answer
---@field text string
---@field reason string "stop", "length", "tool_calls"
---@field calls? table[]
---@field usage stoke.usage
---@field past? stoke.agent.history all of it, where no session has it
---@field seconds number
---@field metrics? table what the server of a model measured that is passed through
---@field context? integer[]

-- ---- how many at once -----------------------------------------------------------------------------------------------------------

--- Turns that are under way, with a limit.
local Gate = {}
Gate.__index = Gate

--- A limit of turns.
---@param most integer
---@return table gate
---
--- Example: `local gate = turn.gate(1024)`
function M.gate(most) return setmetatable({ most = most, count = 0, turns = 0, refused = 0, mean = 1 }, Gate) end

local Place = {}
Place.__close = function(place)
  local gate = place.gate
  gate.count = gate.count - 1
  gate.mean = gate.mean + (time.monotonic() - place.began - gate.mean) / 8
end

--- A place for one more turn, until it is closed.
---Raises `overloaded` when all are taken: `retry_after` is how long a turn takes here.
function Gate:enter()
  if self.count >= self.most then
    self.refused = self.refused + 1
    errors.raise("overloaded", ("%d turns are under way, and no more are taken"):format(self.count),
      { retry_after = math.min(60, math.max(1, math.ceil(self.mean))), hint = "ask again later" })
  end
  self.count, self.turns = self.count + 1, self.turns + 1
  return setmetatable({ gate = self, began = time.monotonic() }, Place)
end

-- ---- what is told ---------------------------------------------------------------------------------------------------------------

--- Bytes of the arguments of a call, as they are shown.
local SHOWN <const> = 120

local function call_line(event)
  local text = json.encode(event.arguments)
  if #text > SHOWN then text = text:sub(1, (utf8.offset(text, 0, SHOWN + 1) or SHOWN + 1) - 1) .. "..." end
  return ("> %s %s\n"):format(event.name, text)
end

--- What an agent does, as a line of its thoughts.
local ACTIVITY = {
  tool_call = call_line,
  handoff = function(event) return ("> %s takes over\n"):format(event.to) end,
  approval = function() return "> waits to be approved\n" end,
  fallback = function(event) return event.model and ("> asks %s instead\n"):format(event.model) or nil end,
  message = function(event) return ("%s: %s\n"):format(event.from, event.text) end, -- of a team
  failure = function(event) return ("> %s failed: %s\n"):format(event.agent, tostring(event.err.message)) end,
  nested = function(event)
    local inner = event.event
    return inner.type == "tool_call" and ("> %s: %s"):format(event.agent, call_line(inner):sub(3)) or nil
  end,
}

--- Events after which the text of another answer begins.
local BREAKS = { tool_call = true, handoff = true, fallback = true }

--- The listener of a run. `state`: how many pieces of the last answer were told, and whether something was said before it.
local function listener(out, q, activity, whole, state)
  return function(event)
    local kind = event.type
    q.begun = true
    if kind == "text" then
      if whole then return end
      if state.told == 0 and state.before then out:text "\n\n" end
      state.told = state.told + 1
      return out:text(event.text)
    end
    if BREAKS[kind] then state.before, state.told = state.before or state.told > 0, 0 end
    if not q.thinking then return end
    if kind == "thinking" then return out:thinking(event.text) end
    local words = activity and ACTIVITY[kind]
    local line = words and words(event)
    if line then out:thinking(line) end
  end
end

-- ---- the run --------------------------------------------------------------------------------------------------------------------

--- What a client is told, and what of it its next request will say again.
local Told = {}
Told.__index = Told

function Told:text(text)
  self.said[#self.said + 1] = text
  return self.out:text(text)
end

function Told:thinking(text) return self.out:thinking(text) end

--- Calls by the names that the client has for its tools.
local function renamed(q, calls)
  if not calls then return nil end
  local out = {}
  for i, call in ipairs(calls) do
    local f = call["function"]
    out[i] = { ["function"] = { name = q.renamed[f.name] or f.name, arguments = f.arguments } }
  end
  return out
end

--- Run a turn of the session that the client names; nil where it is one without.
local function in_session(host, q, out, class)
  local held <close> = host.sessions:hold(q) -- luacheck: ignore
  local told = setmetatable({ out = out, said = {} }, Told)
  local definition = q.entry.handle.definition
  local state, whole = { told = 0, before = false }, definition.output ~= nil or q.format ~= nil
  local result, tell = host.sessions:run(q, { turn = sessions.kept().turn, class = class,
    listener = listener(told, q, host.activity, whole, state) })
  if not result then return nil end
  if state.told == 0 and result.text ~= "" then told:text(result.text) end
  tell(table.concat(told.said), renamed(q, result.calls))
  return result
end

--- Run a turn that is the client's alone.
local function alone(host, q, out, class)
  local definition = guest.with(q.entry.handle.definition, { lend = q.tools, format = q.format })
  local past = q.past or host.lent:resume(q.user, q.entry.name, q.messages)
    or history.new(input.messages(definition.label, q.messages))
  local state, whole = { told = 0, before = false }, definition.output ~= nil
  local result = loop.run(definition, past, #past + 1, listener(out, q, host.activity, whole, state), class and { class = class })
  if state.told == 0 and result.text ~= "" then out:text(result.text) end
  return result, past
end

--- Thoughts that the client does not want.
---@private
---
--- Example: `local deaf = { thinking = turn.unsaid }`
function M.unsaid() end

--- Run a turn.
---@param host stoke.serve.host
---@param q stoke.serve.turn
---@param out stoke.serve.listener
---@return stoke.serve.answer
---Raises what agent:run raises; `overloaded` when there are too many turns; `argument` for a message or a schema that is none.
---
--- Example: `local answer = turn.run(host, { entry = entry, messages = messages, thinking = true }, writer)`
function M.run(host, q, out)
  local place <close> = host.gate:enter()
  if q.call then
    local answer = passing.run(host, q, q.thinking and out or setmetatable({ thinking = M.unsaid }, { __index = out }))
    answer.seconds = time.monotonic() - place.began
    return answer
  end
  local class = not q.entry.handle.definition.class and host.class or nil
  local result, past = q.session and in_session(host, q, out, class) or nil, nil
  if not result then result, past = alone(host, q, out, class) end
  return { text = result.text, reason = result.reason, calls = result.calls, usage = result.usage, past = past,
    seconds = time.monotonic() - place.began }
end

--- Send bytes of a stream, its head before the first. Waits while the client is slow.
---@param res stoke.http.reply
---@param headers table of the head
---@param bytes string
---Raises `cancelled` when the client has left.
---
--- Example: `turn.send(res, wire.NDJSON, line)`
function M.send(res, headers, bytes)
  if not res.started then res:start(200, headers) end
  local ok, err = raw_pcall(res.write, res, bytes) -- what it caught is raised again, also what no script may catch
  if ok then return end
  if res.gone then err = errors.new("cancelled", "the client has left") end -- no answer of a model that broke off: not to be mended
  error(err, 0)
end

local LEFT_OUT = "> %d tools of this client are left out: with them a request has about %s tokens, and the window %s"

--- Clients lend what they have, Open WebUI some twenty tools of 6,000 tokens, also to an agent that could do without. Where
--- nothing but these makes a request too large, the agent answers without them, and that is told, and logged once.
local function without_lent(host, q, out, err)
  if q.begun or not q.tools or not errors.is(err) or err.kind ~= "context_overflow" then return false end
  local words = LEFT_OUT:format(#q.tools, rawget(err, "tokens") or "too many", rawget(err, "window") or "is smaller")
  local known, name = host.left_out, q.entry.name
  if known[name] ~= #q.tools then
    known[name] = #q.tools
    log.warn(words:sub(3), { agent = name, hint = "num_ctx of the model, in stoke.models, makes the window larger" })
  end
  q.tools, q.renamed = nil, {}
  if q.thinking and host.activity then out:thinking(words .. "\n") end
  return true
end

--- Run a turn and have its answer written, or what became of it.
---@param host stoke.serve.host
---@param q stoke.serve.turn
---@param out stoke.serve.listener
---Raises `cancelled`.
---
--- Example: `return turn.answer(host, q, writer)`
function M.answer(host, q, out)
  local ok, answer = pcall(M.run, host, q, out)
  if not ok and without_lent(host, q, out, answer) then ok, answer = pcall(M.run, host, q, out) end
  if not ok then
    if errors.is(answer) and answer.kind == "cancelled" then error(answer, 0) end
    host.report(answer, q)
    local failure = failures.of(answer)
    -- the agent is there: a client that reads 404 would pull it, or tell its user that it is not
    if failure.status == 404 and not q.call then failure.status = 502 end
    return out:fail(failure)
  end
  if answer.calls and answer.past then host.lent:keep(q.user, q.entry.name, answer) end
  return out:done(answer)
end

return M
