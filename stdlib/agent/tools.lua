--- The calls of one answer are run, and their results come in the order of the calls. A call that is alone runs in the task of its
--- run; of several each runs in a task of its own.
---
--- Whatever goes wrong with a call is its result, in words that help the model to call better: an unknown tool, arguments that
--- do not fit, an error of the function, a refusal. Only what ends the run as a whole is raised.

local errors = require "core.errors"
local scopes = require "core.scope"
local tasks = require "core.task"
local bugs = require "stoke.log.bugs"
local arguments = require "stoke.reading.arguments"
local models = require "stoke.model"
local text = require "stoke.tool.text"
local work = require "stoke.tool".work
local texts = require "stoke.agent.texts"
local values = require "stoke.schema.values"

local M = {}

local canonical = values.canonical

--- The same call with the same result so many times ends the run.
M.LOOP = 3

--- So many calls of one answer are run; a model that writes more is told so.
M.AT_ONCE = 32

--- Results of fewer bytes fit any context window; nobody has to be asked for it.
local SMALL <const> = 2048

--- Errors that are not the model's to mend.
local ENDS_RUN = { needs_approval = true, exit = true }

--- What all calls of a run have in common.
---@class stoke.agent.toolbox
---@field run stoke.agent.run the run that agents inside a tool belong to; its agent, steps, target and window are of the answer
---  that is worked on
---@field repairs integer calls of that answer that were wrong
---@field notes table[] calls with their results and how often

-- ---- words for the model --------------------------------------------------------------------------------------------------------

local function unknown(agent, name)
  local names = {}
  for i, definition in ipairs(agent.definitions or {}) do names[i] = definition["function"].name end
  name = #name > 100 and text.cut(name, 100) or name
  if #names == 0 then return texts.of("no_tools", agent.texts, { name = name }) end
  local near = errors.suggest(name, names)
  return texts.of("unknown_tool", agent.texts, { name = name, near = near and (" (did you mean %s?)"):format(near) or "",
    tools = table.concat(names, ", ") })
end

--- What somebody raised on purpose, without the place that `error` puts before it: that is for its author.
local function purpose(err)
  if err.kind ~= "script" then return err.message end
  local place, words = err.message:match "^([^\n]-:%d+): (.*)$"
  local traceback = rawget(err, "traceback")
  return place and traceback and traceback:find("\t" .. place .. ":", 1, true) and words or err.message
end

local function failure(agent, tool, err)
  local about = { tool = tool.name, kind = err.kind, hint = "",
    problem = type(err.message) == "string" and purpose(err) or tool.name .. " failed without a word" }
  if err.kind == "invalid_output" and rawget(err, "tool") == tool.name then
    about.shape = tool.params:describe()
    return texts.of("bad_arguments", agent.texts, about)
  end
  if errors.bug(err) then return texts.of("bug", agent.texts, about) end
  if type(rawget(err, "hint")) == "string" then about.hint = "\nhint: " .. err.hint end
  return texts.of(err.kind == "denied" and "denied" or "failure", agent.texts, about)
end

-- ---- one call -------------------------------------------------------------------------------------------------------------

--- An error of a call, as its result.
local function failed(box, tool, err)
  if ENDS_RUN[err.kind] then error(err, 0) end
  if rawget(err, "tool") == tool.name then box.repairs = box.repairs + 1 end
  if bugs.is(err) then bugs.tell("the tool " .. tool.name, err, box.run.agent.label) end
  return tool:text(failure(box.run.agent, tool, err)), true, nil, err
end

---@return string result
---@return boolean failed
---@return any value what the tool returned
---@return stoke.error|nil err
local function perform(box, tool, call)
  local run = box.run
  local emit = run.listener
  local value, err = work(tool, arguments.of(call), call.id, run.agent.label, run,
    emit and function(entry) emit { type = "approval", id = call.id, pending = entry } end,
    emit and function(note)
      emit { type = "tool_progress", id = call.id, name = tool.name, text = note.message, done = note.done, total = note.total }
    end)
  if err then return failed(box, tool, err) end
  return tool:text(value), false, value
end

local function no_tool(box, name)
  box.repairs = box.repairs + 1
  return unknown(box.run.agent, name), true
end

-- ---- results ----------------------------------------------------------------------------------------------------------------

--- The note of the same call with the same result. Arguments are written out, in one order, only where the rest is the same.
local function noted(notes, f, result)
  local wanted
  for i = 1, #notes do
    local note = notes[i]
    local before = note.call["function"]
    if before.name == f.name and note.result == result then
      wanted = wanted or canonical(f.arguments) or ""
      note.text = note.text or canonical(before.arguments) or ""
      if note.text == wanted then return note end
    end
  end
end

--- Note a result; a word to a model that repeats itself, and the end when it does not stop. The same call twice in one answer is
--- once: its writer had not seen the result.
---@param box stoke.agent.toolbox
---@param call table
---@param result string
---@return string result
---Raises `loop`.
function M.note(box, call, result)
  local f, notes, step = call["function"], box.notes, box.run.steps
  local note = noted(notes, f, result)
  if not note then
    notes[#notes + 1] = { call = call, result = result, times = 1, step = step }
    return result
  end
  if note.step == step then return result end
  note.times, note.step = note.times + 1, step
  if note.times >= M.LOOP then
    errors.raise("loop", ("%s called %s %d times with the same arguments and the same result"):format(box.run.agent.label,
      f.name, note.times), { tool = f.name, hint = "say in the instructions when to stop, or use a larger model" })
  end
  if note.times < M.LOOP - 1 then return result end
  return result .. "\n" .. texts.of("repeated", box.run.agent.texts, { tool = f.name, times = note.times })
end

--- Bytes of one result, so that all of one answer leave room in the window: two fifths of it, three bytes a token.
---@param target stoke.target
---@param window integer|nil where it is known already
---@param count integer results of the answer
---@return integer
function M.limit(target, window, count)
  window = window or models.window(target)
  if not window then return math.maxinteger end
  return math.max(256, window * 3 * 2 // (5 * count))
end

--- The answer to a call, as a message.
---@param call table
---@param words string
---@return table message
function M.message(call, words)
  return { role = "tool", tool_name = call["function"].name, tool_call_id = call.id, content = words }
end

--- A result as a message, and told to who listens.
local function finish(box, call, count, result, broke, value, err)
  local run = box.run
  if #result > SMALL then result = text.cut(result, M.limit(run.target, run.window, count)) end
  local message = M.message(call, M.note(box, call, result))
  local emit = run.listener
  if emit then
    emit { type = "tool_result", id = call.id, name = message.tool_name, text = message.content, failed = broke, value = value,
      err = err }
  end
  return message
end

-- ---- all calls of an answer -------------------------------------------------------------------------------------------------

local CANCELLED <const> = "the call was cancelled"

local function announce(box, call, cancel)
  local f = call["function"]
  box.run.listener { type = "tool_call", id = call.id, name = f.name, arguments = values.clone(f.arguments), cancel = cancel }
end

local function cancelled(box, call) return texts.of("cancelled", box.run.agent.texts, { tool = call["function"].name }) end

--- A call that a listener may cancel: in a scope of its own.
local function cancellable(box, tool, call)
  local scope <close> = scopes.open {}
  announce(box, call, function() scope:cancel(CANCELLED) end)
  if not tool then return no_tool(box, call["function"].name) end
  local ok, result, broke, value, err = pcall(perform, box, tool, call)
  local reason = scope.cancelled
  if not ok and not (reason and errors.is(result) and result.kind == "cancelled") then error(result, 0) end
  if reason then return cancelled(box, call), true, nil, reason end
  return result, broke, value, err
end

--- Run the only call of an answer.
---@param box stoke.agent.toolbox
---@param call table as the API has it
---@return table message of role "tool"
---Raises what M.run raises.
function M.one(box, call)
  local name, run = call["function"].name, box.run
  local tool = run.agent.by_name[name]
  if run.listener then
    local result, broke, value, err = cancellable(box, tool, call)
    scopes.deliver(tasks.current()) -- it may be the run that was cancelled
    return finish(box, call, 1, result, broke, value, err)
  end
  if tool then return finish(box, call, 1, perform(box, tool, call)) end
  return finish(box, call, 1, no_tool(box, name))
end

local function start(box, scope, call, i)
  local name, agent = call["function"].name, box.run.agent
  local tool = agent.by_name[name]
  local state = { call = call }
  if i > M.AT_ONCE then
    state.result = texts.of("too_many_calls", agent.texts, { limit = M.AT_ONCE, tool = name })
    state.broke = true
  elseif tool then
    state.task = tasks.start(scope, "tool " .. name, perform, box, tool, call)
  else
    state.result, state.broke = no_tool(box, name)
  end
  if box.run.listener then
    announce(box, call, function() if state.task then state.task:cancel(CANCELLED) end end)
  end
  return state
end

--- The result of one of several; one that was cancelled by itself says so.
local function result_of(box, state)
  local task = state.task
  if not task then return state.result, state.broke end
  local ok, result, broke, value, err = pcall(task.await, task)
  if ok then return result, broke, value, err end
  scopes.deliver(tasks.current())
  if task.state ~= "cancelled" then error(result, 0) end
  return cancelled(box, state.call), true, nil, task.err
end

--- Calls by who runs them: this run, an agent that takes over, somebody outside who lent the tool to this run.
---@param agent table its definition
---@param calls table[]
---@return table[] own
---@return table[]|nil handoffs
---@return table[]|nil lent
function M.sorted(agent, calls)
  local targets, outside = agent.targets, agent.outside
  if not targets and not outside then return calls end
  local own, handoffs, lent = {}, targets and {}, nil
  for _, call in ipairs(calls) do
    local name, list = call["function"].name, own
    if targets and targets[name] then
      list = handoffs
    elseif outside and outside[name] then
      lent = lent or {}
      list = lent
    end
    list[#list + 1] = call
  end
  return own, handoffs, lent
end

--- Run several calls of an answer.
---@param box stoke.agent.toolbox
---@param calls table[] as the API has them
---@return table[] messages of role "tool", in the order of the calls
---Raises `loop`, `needs_approval`, `cancelled`.
function M.run(box, calls)
  local scope <close> = scopes.open { one_frame = true } -- a call has its frame, whether it is alone or not
  local states, messages = {}, {}
  for i, call in ipairs(calls) do states[i] = start(box, scope, call, i) end
  for i, state in ipairs(states) do messages[i] = finish(box, state.call, #calls, result_of(box, state)) end
  return messages
end

return M
