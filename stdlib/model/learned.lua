--- What the answers of models have taught, by target (lua/endpoint.lua): { rate = bytes a token, window = tokens | false where the
--- server does not tell, and what a dialect keeps beside them }. It is plain data.
---
--- The process's own knowledge grows with every call. An agent run must not ask otherwise because another run came before it: it
--- begins with a copy of what is known then, which is on the tape, and from there on learns from its own answers alone.

local effect = require "core.effect"
local current = require "core.task".current

local M = {}

local function copy(value)
  if type(value) ~= "table" then return value end
  local out = {}
  for name, inner in next, value do out[name] = copy(inner) end
  return out
end

--- What is known, as the running task may know it: where a tape is in force, the outcome is on it. A table of its own.
local function recorded(target, known)
  local task = current()
  if not task or not (task.scope or task).context.gated then return known end
  return copy(effect.perform("llm.learned", { protocol = target.dialect.name, path = "learned", model = target.name,
    body = { model = target.name } }, known) or known)
end

--- The window that the server told before, for a call of its own or a run's.
---@param target stoke.target
---@return integer|false|nil tokens false where it does not tell
---
--- Example: `local tokens = learned.window(target)`
function M.window(target)
  if target.shared then return target.learned.window end -- the run began with a record of it
  return recorded(target, { window = target.learned.window }).window
end

--- target -> what makes another table say the same as it.
local same_as = setmetatable({}, { __mode = "k", __index = function(list, target)
  local meta = { __index = target }
  list[target] = meta
  return meta
end })

--- A target for one agent run: what others learn meanwhile does not change what it knows.
---@param target stoke.target
---@param apart? boolean it teaches nobody: only for a look
---@return stoke.target
---
--- Example: `local own = learned.begin(target)`
function M.begin(target, apart)
  local known = { rate = nil, window = nil } -- in the size that most have in the end
  for name, value in next, target.learned do known[name] = type(value) == "table" and copy(value) or value end
  if not apart then known = recorded(target, known) end
  local own = { learned = known, shared = not apart and (target.shared or target.learned) or nil, fitted = true, candidates = nil }
  own.candidates = { own }
  return setmetatable(own, same_as[target])
end

--- Note a fact, for the run and for those that begin later.
---@param target stoke.target
---@param name string
---@param value any plain data
---
--- Example: `learned.note(target, "window", 8192)`
function M.note(target, name, value)
  target.learned[name] = value
  if target.shared then target.shared[name] = value end
end

local function blend(facts, rate)
  local known = facts.rate
  facts.rate = not known and rate or rate < known and rate or known * 0.9 + rate * 0.1 -- denser text counts at once
end

--- Learn the rate of a prompt that was counted.
---@param target stoke.target
---@param rate number bytes a token
---
--- Example: `learned.rate(target, 3.5)`
function M.rate(target, rate)
  blend(target.learned, rate)
  if target.shared then blend(target.shared, rate) end
end

return M
