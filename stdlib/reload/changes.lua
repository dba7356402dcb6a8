--- Describes what a reload has changed: "agent `writer`: instructions", "tool `search`: params, run", "function `score`".

local script = require "core.script"
local ordered = require "core.ordered"
local agent = require "stoke.agent"
local code = require "stoke.reload.code"
local tokens = require "stoke.repl.tokens"
local tool = require "stoke.tool"

local M = {}

-- ---- the same? ----------------------------------------------------------------------------------------------------------------

local same

--- Two functions are the same when their code is, and the values it was closed over.
local function same_function(a, b, seen)
  local text = code.of(a)
  if not text or text ~= code.of(b) then return false end
  for i = 1, 255 do
    local name, value = debug.getupvalue(a, i)
    if not name then return true end
    local _, against = debug.getupvalue(b, i)
    if type(value) ~= "table" and not same(value, against, seen) then return false end -- tables: their own owners tell
  end
end

function same(a, b, seen)
  if rawequal(a, b) then return true end
  if type(a) ~= type(b) or (seen[a] and seen[a] == b) then return type(a) == type(b) end
  if type(a) == "function" then
    seen[a] = b
    return same_function(a, b, seen)
  end
  if type(a) ~= "table" then return a == b end
  seen[a] = b
  for key, value in next, a do
    if not same(value, rawget(b, key), seen) then return false end
  end
  for key in next, b do
    if rawget(a, key) == nil then return false end
  end
  return true
end

--- Are two values alike? Functions by their code and the plain values they use, tables by content.
---@param a any
---@param b any
---@return boolean
function M.same(a, b) return same(a, b, {}) end

-- ---- fields --------------------------------------------------------------------------------------------------------------------

local function fields(list, was, is)
  local changed = {}
  for _, field in ipairs(list) do
    if not M.same(was(field), is(field)) then changed[#changed + 1] = field end
  end
  return changed
end

local AGENT = { "description", "model", "instructions", "tools", "output", "repair", "handoffs", "max_steps", "budget", "deadline",
  "options", "think", "endpoint", "timeouts", "summarize", "class", "route", "fallback", "pattern", "members", "max_turns",
  "retries", "on_failure", "texts" }

local function of_agent(definition)
  return function(field)
    if field == "members" then
      local names = {}
      for i, member in ipairs(definition.members or {}) do names[i] = member.name end
      return names
    end
    if field == "handoffs" then return definition.handoff_order end
    if field == "output" then return definition.output and definition.output:json_schema() end
    if field ~= "tools" then return definition[field] end
    local names = {}
    for i, made in ipairs(definition.tools) do names[i] = made.name end
    return names
  end
end

local TOOL = { "description", "params", "run", "needs_approval", "timeout", "idempotent", "max_output" }

local function of_tool(made)
  return function(field)
    if field == "params" then return made.params:json_schema() end
    return made[field]
  end
end

local DIFFERENCES = {
  agent = function(was, object) return fields(AGENT, of_agent(was), of_agent(object.definition)) end,
  tool = function(was, object) return fields(TOOL, of_tool(was), of_tool(object)) end,
  workflow = function(was, object) return M.same(was.f, object.f) and {} or { "function" } end,
  timer = function(was, object)
    local changed = {}
    if was.seconds ~= object.seconds then changed[1] = "seconds" end
    if not M.same(was.f, object.f) then changed[#changed + 1] = "function" end
    return changed
  end,
}

-- ---- one file ------------------------------------------------------------------------------------------------------------------

local function union(a, b)
  local all = {}
  for name in next, a do all[name] = true end
  for name in next, b do all[name] = true end
  return ordered.names(all)
end

local function of_kind(kind, change, before, after, out)
  for _, name in ipairs(union(before, after)) do
    local old, new = before[name] or {}, after[name] or {}
    for i = 1, math.max(#old, #new) do
      local words
      if not new[i] then
        words = "removed"
      elseif not old[i] then
        words = "new"
      else
        local was = change.changed[new[i]]
        if was == nil and old[i] ~= new[i] then was = old[i] end
        words = was and table.concat(DIFFERENCES[kind](was, new[i]), ", ") or ""
      end
      if words ~= "" then out[#out + 1] = ("%s `%s`: %s"):format(kind, name, words) end
    end
  end
end

local function is_made(value)
  return tool.is(value) or type(value) == "table" and getmetatable(value) == agent.Agent
end

local function of_fields(old, new, out)
  for _, name in ipairs(union(old, new)) do
    local was, is = old[name], new[name]
    if not (is_made(is) or is == nil and is_made(was)) and not M.same(was, is) then
      local kind = type(is == nil and was or is) == "function" and "function" or "field"
      out[#out + 1] = ("%s `%s`%s"):format(kind, name, is == nil and ": removed" or was == nil and ": new" or "")
    end
  end
end

--- Do two texts say the same to Lua?
local function same_words(was, is)
  local before, after = tokens.list(was), tokens.list(is)
  if #before ~= #after then return false end
  for i, token in ipairs(before) do
    if token.text ~= after[i].text then return false end
  end
  return true
end

--- Nothing by a name was changed.
local function nothing_named(job)
  if job.was == job.text then return "the text is the same" end
  return job.was and same_words(job.was, job.text) and "only comments or spacing changed" or "nothing that has a name"
end

--- What one file's reload has changed.
---@param change table of core.reload
---@param job table one of its jobs
---@return string
---
--- Example: `print(changes.words(change, change.jobs[1]))`
function M.words(change, job)
  local out, before, after = {}, change.before[job.file].made, job.file.made
  for _, kind in ipairs { "agent", "tool", "timer", "workflow" } do
    of_kind(kind, change, before[kind] or {}, after[kind] or {}, out)
  end
  local value = job.file.value
  if job.old and type(value) == "table" and not is_made(value) then of_fields(job.old, value, out) end
  if not job.file.name and not M.same(job.main, script.main) then out[#out + 1] = "main" end
  return #out > 0 and table.concat(out, "; ") or nothing_named(job)
end

return M
