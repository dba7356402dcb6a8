--- The calls of one answer: run together, each in a task of its own, their results in the order of the calls.
---
--- Whatever goes wrong with a call is its result, in words that help the model to call better: an unknown tool, arguments that
--- do not fit, an error of the function, a refusal. Only what ends the run as a whole is raised.

local errors = require "core.errors"
local scopes = require "core.scope"
local tasks = require "core.task"
local json = require "core.json"
local clone = require "stoke.schema.values".clone
local text = require "stoke.tool.text"

local M = {}

--- The same call with the same result so many times ends the run.
M.LOOP = 3

--- So many calls of one answer are run; a model that writes more is told so.
M.AT_ONCE = 32

--- Results of fewer bytes fit any context window; nobody has to be asked for it.
local SMALL = 2048

--- Errors that are not the model's to mend.
local ENDS_RUN = { needs_approval = true, exit = true }

-- ---- words for the model --------------------------------------------------------------------------------------------------------

local function unknown(name, agent)
  local names = {}
  for i, definition in ipairs(agent.definitions or {}) do names[i] = definition["function"].name end
  if #names == 0 then return "error: there are no tools. Answer in words." end
  name = #name > 100 and text.cut(name, 100) or name
  local near = errors.suggest(name, names)
  return ('error: there is no tool named "%s"%s. The tools are: %s.'):format(name,
    near and (" (did you mean %s?)"):format(near) or "", table.concat(names, ", "))
end

local function failure(tool, err)
  local words = { "error: " .. (type(err.message) == "string" and err.message or tool.name .. " failed without a word") }
  if err.kind == "invalid_output" and rawget(err, "tool") == tool.name then
    words[2] = ("Call %s again with corrected arguments, as JSON of this shape: %s"):format(tool.name, tool.params:describe())
  elseif type(rawget(err, "hint")) == "string" then
    words[2] = "hint: " .. err.hint
  end
  return table.concat(words, "\n")
end

-- ---- one call -------------------------------------------------------------------------------------------------------------

local function plain(value)
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, inner in next, value do copy[key] = plain(inner) end
  return json.is_array(value) and json.array(copy) or copy
end

--- A call as text that does not depend on the order of its arguments.
local function signature(call)
  local f = call["function"]
  return f.name .. " " .. (json.encode(plain(f.arguments)) or "")
end

--- Runs in the call's own task. The tool gets a copy: what it does to its arguments does not change what the model said.
local function perform(run, tool, call)
  local value, err = tool:perform(clone(call["function"].arguments), { id = call.id, agent = run.agent.label,
    on_pending = run.listener and function(entry) run:emit { type = "approval", id = call.id, pending = entry } end })
  if err then
    if ENDS_RUN[err.kind] then error(err, 0) end
    if rawget(err, "tool") == tool.name then run:spend { repairs = 1 } end
    return tool:text(failure(tool, err)), true
  end
  return tool:text(value), false, value
end

local function start(run, scope, call, i)
  local f = call["function"]
  local tool = run.agent.by_name[f.name]
  local state = { call = call }
  if i > M.AT_ONCE then
    state.result, state.failed = ("error: not run: at most %d calls at once"):format(M.AT_ONCE), true
  elseif tool then
    state.task = tasks.start(scope, "tool " .. f.name, perform, run, tool, call)
    state.task.run = run
  else
    state.result, state.failed = unknown(f.name, run.agent), true
    run:spend { repairs = 1 }
  end
  if run.listener then
    run:emit { type = "tool_call", id = call.id, name = f.name, arguments = f.arguments,
      cancel = function() if state.task then state.task:cancel "the call was cancelled" end end }
  end
  return state
end

--- The result of a call; one that was cancelled by itself says so.
local function result_of(state)
  local task = state.task
  if not task then return end
  local ok, result, failed, value = pcall(task.await, task)
  if ok then
    state.result, state.failed, state.value = result, failed, value
    return
  end
  local me = tasks.current()
  scopes.deliver(me)
  if task.state ~= "cancelled" then error(result, 0) end
  state.result, state.failed = "error: the call was cancelled", true
end

--- Note a result; a word to a model that repeats itself, and the end when it does not stop. The same call twice in one answer is
--- once: its writer had not seen the result.
local function repeated(run, state, noted)
  local key = signature(state.call) .. " -> " .. state.result
  if noted[key] then return end
  noted[key] = true
  run.seen = run.seen or {}
  local seen = (run.seen[key] or 0) + 1
  run.seen[key] = seen
  if seen >= M.LOOP then
    local name = state.call["function"].name
    errors.raise("loop", ("%s called %s %d times with the same arguments and the same result"):format(run.agent.label, name, seen),
      { tool = name, hint = "say in the instructions when to stop, or use a larger model" })
  end
  if seen == M.LOOP - 1 then
    state.result = state.result .. "\n[You made this very call before, with this result. Do not repeat it: use the result.]"
  end
end

--- Run the calls.
---@param run table
---@param calls table[] as the API has them
---@return table[] messages of role "tool", in the order of the calls
---Raises `loop`, `needs_approval`, `cancelled`.
function M.run(run, calls)
  local scope <close> = scopes.open {}
  local states, messages, noted = {}, {}, {}
  for i, call in ipairs(calls) do states[i] = start(run, scope, call, i) end
  for i, state in ipairs(states) do
    result_of(state)
    if #state.result > SMALL then state.result = text.cut(state.result, run:result_limit(#calls)) end
    repeated(run, state, noted)
    local f = state.call["function"]
    messages[i] = { role = "tool", tool_name = f.name, tool_call_id = state.call.id, content = state.result }
    if run.listener then
      run:emit { type = "tool_result", id = state.call.id, name = f.name, text = state.result, failed = state.failed or false,
        value = state.value }
    end
  end
  run:spend { tool_calls = #calls }
  return messages
end

return M
