--- The calls of one answer: run together, each in a task of its own, their results in the order of the calls. A call that is alone
--- runs in the task of its run, unless somebody listens, who could cancel it.
---
--- Whatever goes wrong with a call is its result, in words that help the model to call better: an unknown tool, arguments that
--- do not fit, an error of the function, a refusal. Only what ends the run as a whole is raised.

local engine = require "core.json"
local errors = require "core.errors"
local scopes = require "core.scope"
local tasks = require "core.task"
local unwrap = require "stoke.reading.arguments"
local values = require "stoke.schema.values"
local bugs = require "stoke.log.bugs"
local text = require "stoke.tool.text"
local texts = require "stoke.agent.texts"

local M = {}

local canonical, clone = values.canonical, values.clone

--- The same call with the same result so many times ends the run.
M.LOOP = 3

--- So many calls of one answer are run; a model that writes more is told so.
M.AT_ONCE = 32

--- Results of fewer bytes fit any context window; nobody has to be asked for it.
local SMALL = 2048

--- Errors that are not the model's to mend.
local ENDS_RUN = { needs_approval = true, exit = true }

-- ---- arguments ----------------------------------------------------------------------------------------------------------------

--- call -> arguments that are no object, as the model wrote them; in the history, which the server reads, stands an empty one.
local written = setmetatable({}, { __mode = "k" })

--- Make the arguments of an answer's calls fit to be sent back, and read those that lie in a wrapping; each of these is a repair.
---@param run stoke.agent.run
---@param calls table[]
function M.settle(run, calls)
  local by_name = run.agent.by_name
  for _, call in ipairs(calls) do
    local f = call["function"]
    local given = f.arguments
    if unwrap.odd(given, f.name) then
      local tool = by_name[f.name]
      local inner = tool and unwrap.meant(tool, given)
      if inner then
        f.arguments = inner
        run:count("repairs", 1)
      elseif type(given) ~= "table" or engine.is_array(given) then
        f.arguments, written[call] = engine.object {}, given
      end
    end
  end
end

--- A copy of what a call is to be run with: what the tool does to it does not change what the model said.
local function arguments_of(call)
  local given = written[call]
  if given ~= nil then return given end
  return clone(call["function"].arguments)
end

-- ---- words for the model --------------------------------------------------------------------------------------------------------

local function unknown(name, agent)
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

---@return string result
---@return boolean failed
---@return any value what the tool returned
---@return stoke.error|nil err
local function perform(run, tool, call)
  local value, err = tool:perform(arguments_of(call), { id = call.id, agent = run.agent.label, run = run,
    on_pending = run.listener and function(entry) run:emit { type = "approval", id = call.id, pending = entry } end })
  if err then
    if ENDS_RUN[err.kind] then error(err, 0) end
    if rawget(err, "tool") == tool.name then run:count("repairs", 1) end
    if bugs.is(err) then bugs.tell("the tool " .. tool.name, err, run.agent.label) end
    return tool:text(failure(run.agent, tool, err)), true, nil, err
  end
  return tool:text(value), false, value
end

local function no_tool(run, name)
  run:count("repairs", 1)
  return unknown(name, run.agent), true
end

-- ---- several together -------------------------------------------------------------------------------------------------------

local function start(run, scope, call, i)
  local f = call["function"]
  local tool = run.agent.by_name[f.name]
  local state = { call = call }
  if i > M.AT_ONCE then
    state.result = texts.of("too_many_calls", run.agent.texts, { limit = M.AT_ONCE, tool = f.name })
    state.failed = true
  elseif tool then
    state.task = tasks.start(scope, "tool " .. f.name, perform, run, tool, call)
  else
    state.result, state.failed = no_tool(run, f.name)
  end
  if run.listener then
    run:emit { type = "tool_call", id = call.id, name = f.name, arguments = f.arguments,
      cancel = function() if state.task then state.task:cancel "the call was cancelled" end end }
  end
  return state
end

--- The result of a call; one that was cancelled by itself says so.
local function result_of(run, state)
  local task = state.task
  if not task then return end
  local ok, result, failed, value, err = pcall(task.await, task)
  if ok then
    state.result, state.failed, state.value, state.err = result, failed, value, err
    return
  end
  local me = tasks.current()
  scopes.deliver(me)
  if task.state ~= "cancelled" then error(result, 0) end
  state.result, state.failed = texts.of("cancelled", run.agent.texts, { tool = state.call["function"].name }), true
  state.err = task.err
end

-- ---- results ----------------------------------------------------------------------------------------------------------------

--- The note of the same call with the same result. Arguments are written out, in one order, only where the rest is the same.
local function noted(made, arguments, name, result)
  local wanted
  for i = 1, #made do
    local note = made[i]
    if note.name == name and note.result == result then
      wanted = wanted or canonical(arguments) or ""
      note.text = note.text or canonical(note.arguments) or ""
      if note.text == wanted then return note end
    end
  end
end

--- Note a result; a word to a model that repeats itself, and the end when it does not stop. The same call twice in one answer is
--- once: its writer had not seen the result.
---@param run stoke.agent.run
---@param call table
---@param result string
---@return string result
---Raises `loop`.
function M.note(run, call, result)
  local f, made = call["function"], run.made
  if not made then
    made = {}
    run.made = made
  end
  local note = noted(made, f.arguments, f.name, result)
  if not note then
    made[#made + 1] = { name = f.name, arguments = f.arguments, result = result, times = 1, step = run.steps }
    return result
  end
  if note.step == run.steps then return result end
  note.times, note.step = note.times + 1, run.steps
  if note.times >= M.LOOP then
    errors.raise("loop", ("%s called %s %d times with the same arguments and the same result"):format(run.agent.label, f.name,
      note.times), { tool = f.name, hint = "say in the instructions when to stop, or use a larger model" })
  end
  if note.times < M.LOOP - 1 then return result end
  return result .. "\n" .. texts.of("repeated", run.agent.texts, { tool = f.name, times = note.times })
end

--- A result as a message.
local function message_of(run, call, result, count)
  if #result > SMALL then result = text.cut(result, run:result_limit(count)) end
  return { role = "tool", tool_name = call["function"].name, tool_call_id = call.id, content = M.note(run, call, result) }
end

-- ---- all calls of an answer -------------------------------------------------------------------------------------------------

--- The only call, in the running task.
local function alone(run, call)
  local name = call["function"].name
  local tool = run.agent.by_name[name]
  local result = tool and perform(run, tool, call) or no_tool(run, name)
  return message_of(run, call, result, 1)
end

local function together(run, calls)
  local scope <close> = scopes.open { one_frame = true } -- a call has its frame, whether it is alone or not
  local states, messages = {}, {}
  for i, call in ipairs(calls) do states[i] = start(run, scope, call, i) end
  for i, state in ipairs(states) do
    result_of(run, state)
    local message = message_of(run, state.call, state.result, #calls)
    messages[i] = message
    if run.listener then
      run:emit { type = "tool_result", id = state.call.id, name = message.tool_name, text = message.content,
        failed = state.failed or false, value = state.value, err = state.err }
    end
  end
  return messages
end

--- Run the calls.
---@param run stoke.agent.run
---@param calls table[] as the API has them
---@return table[] messages of role "tool", in the order of the calls
---Raises `loop`, `needs_approval`, `cancelled`.
function M.run(run, calls)
  local messages = (calls[2] or run.listener) and together(run, calls) or { alone(run, calls[1]) }
  run:count("tool_calls", #calls)
  return messages
end

return M
