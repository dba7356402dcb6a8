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

--- A target for one agent run: what others learn meanwhile does not change what it knows.
---@param target stoke.target
---@param apart? boolean it teaches nobody: only for a look
---@return stoke.target
---
--- Example: `local own = learned.begin(target)`
function M.begin(target, apart)
  local known = copy(target.learned)
  local task = current()
  if not apart and task and (task.scope or task).context.gated then
    local body = { model = target.name }
    known = effect.perform("llm.learned", { protocol = target.dialect.name, path = "learned", model = target.name, body = body },
      known) or known
    known = copy(known) -- the tape keeps its own
  end
  local own = {}
  for name, value in next, target do own[name] = value end
  own.learned, own.shared, own.fitted = known, not apart and (target.shared or target.learned) or nil, true
  own.candidates = { own }
  return own
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
