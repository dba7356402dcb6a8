--- What is asked, or said, when a question has failed: the rungs below a model. Agents and calls give them (`fallback =`), and
--- routes of the settings. A rung is the name of a model or a route, { model =, endpoint = }, { text = }, "cache" for what is kept
--- of the same question, however old, or a function of the error that gives a text, or nil for the next rung.

local errors = require "core.errors"

local M = {}

--- Errors that no other model mends: the code is wrong, or the caller has no more to give.
local FINAL = { argument = true, usage = true, cancelled = true, exit = true, deadline = true, budget = true, replay = true,
  script = true, denied = true, needs_approval = true }

--- Check a list of rungs.
---@param what string who was given it
---@param list any
---Raises `argument`.
---
--- Example: `fallback.check("stoke.agent", given.fallback)`
function M.check(what, list)
  if type(list) ~= "table" or #list == 0 then
    errors.argument("%s: fallback must be a list, as in { \"qwen2.5:0.5b\", { text = \"Please ask later.\" } }, got %s", what,
      type(list) == "table" and (next(list) == nil and "an empty table" or "a table with keys") or errors.describe(list))
  end
  for i, rung in ipairs(list) do
    local where = ("%s: fallback[%d]"):format(what, i)
    if type(rung) == "table" and not errors.callable(rung) then
      errors.options(rung, { model = "string", endpoint = "string", text = "string" }, where)
      if (rung.text == nil) == (rung.model == nil) then
        errors.argument("%s must have a model or a text, one of both", where)
      end
    elseif type(rung) ~= "string" and not errors.callable(rung) then
      errors.argument("%s must be a model's name, { model =, endpoint = }, { text = } or a function, got %s", where,
        errors.describe(rung))
    end
  end
end

--- May a lower rung help?
---@param err stoke.error
---@return boolean
---
--- Example: `if fallback.worth(err) then ... end`
function M.worth(err) return not FINAL[err.kind] and not errors.bug(err) end

--- The next rung.
---@param list table[]|nil
---@param rung integer the one that failed; 1 is the model itself
---@param err stoke.error
---@return integer|nil rung nil: there is none
---@return { text?: string, model?: string, endpoint?: string, cache?: boolean } what is asked, or said; cache: what is kept
---
--- Example: `local rung, what = fallback.next(agent.fallback, 1, err)`
function M.next(list, rung, err)
  if not list or not M.worth(err) then return nil end
  for i = rung, #list do
    local what = list[i]
    if errors.callable(what) then
      local text = what(err)
      if text ~= nil and type(text) ~= "string" then
        errors.raise("script", ("fallback[%d] returned %s, not a text"):format(i, errors.describe(text)))
      end
      what = text and { text = text }
    end
    if what == "cache" then what = { cache = true } end
    if type(what) == "string" then what = { model = what } end
    if what then return i + 1, what end
  end
end

--- Go down the rungs until one answers.
---@param list table[]|nil
---@param err stoke.error of the first
---@param ask fun(what: { model?: string, endpoint?: string, text?: string, cache?: boolean }): any, stoke.error?
---@return any value
---@return stoke.error|nil err the last, with those before it
---@return integer|nil rung that answered
---
--- Example: `local reply, err, rung = fallback.down(route.fallback, err, ask)`
function M.down(list, err, ask)
  local before, rung, value = {}, 1, nil
  while true do
    local below, what = M.next(list, rung, err)
    if not below then return value, M.failed(err, before) end
    before[#before + 1], rung = err, below
    value, err = ask(what)
    if not err then return value, nil, rung end
  end
end

--- The error of the last rung, with those before it.
---@param err stoke.error
---@param before stoke.error[]|nil
---@return stoke.error
---
--- Example: `error(fallback.failed(err, before), 0)`
function M.failed(err, before)
  if not before or not before[1] then return err end
  local list = rawget(err, "suppressed") or {}
  for _, one in ipairs(before) do
    if one ~= err then list[#list + 1] = one end
  end
  err.suppressed = list
  return err
end

return M
