--- The state of a running host as text: tasks, agents, sessions and their next requests, the pool, approvals. Used by the REPL
--- and `stoke attach`. Read-only.

local approval = require "core.approval"
local approve = require "stoke.approve"
local show = require "stoke.show"
local errors = require "core.errors"
local json = require "core.json"
local pool = require "core.gate.pool"
local tasks = require "core.task"
local agents = require "stoke.agent"
local sessions = require "stoke.agent.session"
local ollama = require "stoke.ollama"
local term = require "stoke.term"
local seen = require "stoke.inspect.pool"
local models = require "stoke.model"

local M = {}

--- Columns under their heads; every cell one line, no wider than a terminal bears.
local function grid(heads, rows, none)
  if #rows == 0 then return none .. "\n" end
  for _, row in ipairs(rows) do
    for i = 1, #heads do
      local cell = tostring(row[i] == nil and "" or row[i]):gsub("%s+", " ")
      row[i] = term.width(cell) > 60 and term.fit(cell, 60) or cell
    end
  end
  return term.layout { heads, table.unpack(rows) }
end

local function seconds(value) return value and term.duration(value) or "" end

-- ---- numbers for what has no name --------------------------------------------------------------------------------------------

local numbers, last = setmetatable({}, { __mode = "k" }), 0

--- The number a task or session goes by here, the same as long as it lives.
---@param object table
---@return integer
---
--- Example: `inspect.number(stoke.tasks()[1].task)`
function M.number(object)
  local number = numbers[object]
  if not number then
    last = last + 1
    number = last
    numbers[object] = number
  end
  return number
end

local function find(list, number, what)
  for _, object in ipairs(list) do
    if M.number(object) == number then return object end
  end
  errors.argument("there is no %s %s (any more)", what, tostring(number))
end

-- ---- tasks ----------------------------------------------------------------------------------------------------------------------

local function live_tasks(all)
  local out = {}
  for i, entry in ipairs(tasks.list(all)) do out[i] = entry.task end
  return out
end

--- The task of a number.
---@param number integer
---@return stoke.task
---Raises `argument`.
---
--- Example: `inspect.task(3):cancel()`
function M.task(number) return find(live_tasks(true), number, "task") end

--- Cancel the task of a number, unless the host needs it.
---@param number integer
---@param reason string
---Raises `argument`.
---
--- Example: `inspect.cancel(inspect.number(stoke.spawn(stoke.sleep, 60)), "not wanted any more")`
function M.cancel(number, reason)
  local task = M.task(number)
  if task.context.system then errors.argument("task %d is the host's own; :tasks lists those that can be cancelled", number) end
  task:cancel(reason)
end

--- Every task: its number, what it waits for and for how long, where it is and where it was spawned.
---@param all? boolean the host's own, too
---@return string
---
--- Example: `io.write(inspect.tasks())`
function M.tasks(all)
  local rows = {}
  for i, entry in ipairs(tasks.list(all)) do
    rows[i] = { M.number(entry.task), entry.name or "", entry.waits or "(runs)", seconds(entry.seconds), entry.at or "",
      entry.site }
  end
  return grid({ "TASK", "NAME", "WAITS FOR", "SINCE", "AT", "SPAWNED AT" }, rows, "no task")
end

--- The stack of a task.
---@param number integer
---@return string
---Raises `argument`.
---
--- Example: `io.write(inspect.traceback(3))`
function M.traceback(number)
  local task = M.task(number)
  local text = debug.traceback(task.co, tostring(task))
  return (errors.readable(text) or text) .. "\n"
end

-- ---- agents and sessions -----------------------------------------------------------------------------------------------------

local function sorted(live)
  local list = {}
  for object in next, live do list[#list + 1] = object end
  table.sort(list, function(a, b) return M.number(a) < M.number(b) end)
  return list
end

--- The live agents: name, model, tools, how many sessions they have.
---@return string
---
--- Example: `io.write(inspect.agents())`
function M.agents()
  local count, rows = {}, {}
  for session in next, sessions.live do count[session.handle] = (count[session.handle] or 0) + 1 end
  for i, agent in ipairs(sorted(agents.live)) do
    local definition, names = agent.definition, {}
    for k, tool in ipairs(definition.tools) do names[k] = tool.name end
    rows[i] = { definition.label, definition.model, count[agent] or 0, table.concat(names, " ") }
  end
  table.sort(rows, function(a, b) return tostring(a[1]) < tostring(b[1]) end)
  return grid({ "AGENT", "MODEL", "SESSIONS", "TOOLS" }, rows, "no agent")
end

--- The live sessions: number, agent, turns, messages, and how full the context window is.
---@return string
---
--- Example: `io.write(inspect.sessions())`
function M.sessions()
  local rows = {}
  for i, session in ipairs(sorted(sessions.live)) do
    local definition = session.handle.definition
    local bytes, images = session.history:size(type(definition.instructions) == "string" and definition.instructions or nil,
      definition.tools_bytes)
    local used = models.estimate(models.open(definition.model, definition.endpoint), bytes, images)
    rows[i] = { M.number(session), definition.label, session.turns, #session.history, used,
      session.busy and "in a turn" or "waits" }
  end
  return grid({ "SESSION", "AGENT", "TURNS", "MESSAGES", "TOKENS", "STATE" }, rows, "no session")
end

--- Mailboxes with a name, and the newest dead letters.
---@return string
---
--- Example: `io.write(inspect.mail())`
function M.mail()
  local mailbox = require "stoke.mailbox"
  local rows, dead = {}, mailbox.dead()
  for i, box in ipairs(mailbox.list()) do rows[i] = { box.name, box.waiting, box.capacity, box.senders } end
  local out = { grid({ "MAILBOX", "LETTERS", "CAPACITY", "SENDERS WAITING" }, rows, "no mailbox with a name") }
  if dead.count > 0 then
    rows = {}
    for i, letter in ipairs(dead.newest) do rows[i] = { letter.mailbox, letter.type, letter.from, letter.why } end
    out[2] = ("\n%d dead letters; the newest:\n"):format(dead.count)
    out[3] = grid({ "MAILBOX", "TYPE", "FROM", "WHY" }, rows, "")
  end
  return table.concat(out)
end

--- The session of a number.
---@param number integer
---@return stoke.agent.session
---Raises `argument`.
---
--- Example: `inspect.session(2):run "Hello"`
function M.session(number) return find(sorted(sessions.live), number, "session") end

--- The messages of a session; those that fell out of the window are marked.
---@param number integer
---@return string
---Raises `argument`.
---
--- Example: `io.write(inspect.messages(2))`
function M.messages(number)
  local session, out = M.session(number), {}
  local past = session.history
  if past.summary then out[1] = "summary: " .. past.summary end
  for i = 1, #past do
    local message, words = past[i], past[i].content or ""
    for _, call in ipairs(message.tool_calls or {}) do
      words = ("%s [calls %s %s]"):format(words, call["function"].name, json.encode(call["function"].arguments) or "")
    end
    local fallen = i < past.first and i ~= past.asked and "(fallen out) " or ""
    out[#out + 1] = ("%s%s: %s"):format(fallen, message.tool_name or message.role, words)
  end
  return term.clean(table.concat(out, "\n")) .. "\n"
end

--- The agent of a name; the newest, where several have it.
---@param name string
---@return stoke.agent
---Raises `argument`.
---
--- Example: `io.write(inspect.agent("writer"):explain "Hello")`
function M.agent(name)
  local names, list = {}, sorted(agents.live)
  for i = #list, 1, -1 do
    local label = list[i].definition.label
    if label == name then return list[i] end
    names[i] = label
  end
  errors.argument("there is no agent %s; there are: %s", name, #names > 0 and table.concat(names, ", ") or "none")
end

--- The exact request that the next turn of a session would send with this input, or a first turn of an agent.
---@param whose integer|string a session's number, or an agent's name
---@param input? string
---@return string
---Raises `argument`.
---
--- Example: `io.write(inspect.request(2, "And in Rome?"))`
function M.request(whose, input)
  local asked = type(whose) == "string" and M.agent(whose) or M.session(whose)
  local made = asked:next_request(input or "...")
  local body = json.encode(json.decode(made.body, { ordered = true }), { pretty = true })
  return ("%s %s\n%s\n"):format(made.method, made.url, body)
end

--- The context window of a session's model and how much of it the history takes.
---@param number integer
---@return string
---Raises `argument`.
---
--- Example: `io.write(inspect.window(2))`
function M.window(number)
  local session = M.session(number)
  local definition = session.handle.definition
  local bytes, images = session.history:size(type(definition.instructions) == "string" and definition.instructions or nil,
    definition.tools_bytes)
  local window = ollama.window(definition.model, definition.endpoint)
  return ("%s: about %d tokens of %s; messages %d to %d of %d are sent\n"):format(definition.model,
    models.estimate(models.open(definition.model, definition.endpoint), bytes, images),
    window and tostring(window) or "an unknown window",
    math.min(session.history.first, math.max(#session.history, 1)), #session.history, #session.history)
end

-- ---- the host -------------------------------------------------------------------------------------------------------------------

--- What waits for approval: number, agent, tool and its exact arguments; those that do not fit into a cell stand below.
---@return string
---
--- Example: `io.write(inspect.pending())`
function M.pending()
  local rows, long = {}, {}
  for i, entry in ipairs(approval.list()) do
    local args = entry.args and approve.visible(json.encode(entry.args) or show.pretty(entry.args)) or ""
    local what = approve.visible(entry.what)
    rows[i] = { entry.id, entry.agent or "", what, args }
    if #args > 60 or #what > 60 then long[#long + 1] = ("%d: %s %s\n"):format(entry.id, what, args) end
  end
  return grid({ "APPROVAL", "AGENT", "WHAT", "ARGUMENTS" }, rows, "nothing waits for approval") .. table.concat(long)
end

--- The models of the server, and which are in memory.
---@return string
---Raises what `ollama.tags` raises.
---
--- Example: `io.write(inspect.models())`
function M.models()
  local loaded, rows = {}, {}
  for _, model in ipairs(ollama.ps().models) do loaded[model.name] = true end
  for i, model in ipairs(ollama.tags().models) do
    rows[i] = { model.name, model.size and term.bytes(model.size) or "-", loaded[model.name] and "loaded" or "" }
  end
  return grid({ "MODEL", "SIZE", "" }, rows, "the server has no models; stoke pull NAME gets one")
end

--- The slots of each model, who is on them, and who waits for one and why.
---@param columns? integer of the terminal
---@return string
---
--- Example: `io.write(inspect.pool())`
function M.pool(columns)
  local state = pool.state()
  local lines = seen.lines(state, { columns = columns })
  if not lines[1] then return "no model was asked yet\n" end
  lines[#lines + 1] = table.concat(seen.summary(state), "  ")
  return term.clean(table.concat(lines, "\n")) .. "\n"
end

return M
