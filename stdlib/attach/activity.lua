--- What this host is at: for `stoke ps`, `stoke top` and the page. Most of it is read from what is kept anyway; calls, their tokens
--- and what failed are counted here from the first question on, which costs nothing before.

local about = require "core.about"
local pool = require "core.gate.pool"
local span = require "core.gate.span"
local tasks = require "core.task"
local redact = require "core.redact"
local texts = require "core.text"
local time = require "stoke.time"

local M = {}

--- Waiting calls of a model that are told one by one.
local WAITING <const> = 10
--- Kinds of failures, and agents, that are told apart; bytes of a message.
local FAILURES <const>, AGENTS <const>, MESSAGE <const> = 50, 200, 500

local host = { name = "stoke", script = nil, began = time.monotonic(), since = nil }

--- Say what this host is called.
---@param name string
---@param script? string
---
--- Example: `activity.name("town", "town.lua")`
function M.name(name, script) host.name, host.script = name, script end

-- ---- what is counted ------------------------------------------------------------------------------------------------------------

local calls = { calls = 0, failed = 0, input_tokens = 0, output_tokens = 0 }
local before = {} -- what the pool had counted of calls that nobody traced, when counting began

--- A group of failures of one kind and message, but for the numbers in it.
---@class stoke.activity.failure
---@field kind string
---@field message string the newest
---@field count integer
---@field retried integer attempts that failed so, and were made again
---@field first number wall clock
---@field newest number
---@field effect string of the newest: llm.chat, tool.call ...
---@field about? string its model, tool, address
---@field task? string
---@field trace string

local failures, groups, dropped = {}, 0, 0
local agents, agent_count = {}, 0

local function drop_oldest()
  local oldest
  for key, group in next, failures do
    if not oldest or group.newest < failures[oldest].newest then oldest = key end
  end
  dropped, groups = dropped + failures[oldest].count, groups - 1
  failures[oldest] = nil
end

--- Numbers in a message (seconds, ports, lines) make no new kind of failure.
local function key_of(kind, message) return kind .. " " .. message:gsub("%d+", "#") end

--- Without secrets before it is cut: of half a secret nobody knows that it is one.
local function shortened(message) return texts.head(redact.known(tostring(message or "")), MESSAGE) end

local function group_of(kind, message, record)
  message = shortened(message)
  local key = key_of(kind, message)
  local group = failures[key]
  if not group then
    if groups >= FAILURES then drop_oldest() end
    group = { kind = kind, count = 0, retried = 0, first = time.now() }
    failures[key], groups = group, groups + 1
  end
  group.message, group.newest, group.effect, group.about = message, time.now(), record.name, record.about
  group.task, group.trace = record.task, record.trace
  return group
end

--- A failure, told by the innermost span that it is of; those around it that end with the same say nothing new.
local function count_failure(record)
  for _, try in ipairs(record.tries or {}) do
    local group = group_of(try.kind, try.message, record)
    group.retried = group.retried + 1
  end
  if not record.error or record.error == "cancelled" then return end
  local known = record.around and failures[key_of(record.error, shortened(record.message))]
  if known and known.trace == record.trace then return end
  local group = group_of(record.error, record.message, record)
  group.count = group.count + 1
end

local function count_agent(record)
  local name = record.about or "?"
  local agent = agents[name]
  if not agent then
    if agent_count >= AGENTS then return end
    agent, agent_count = { runs = 0, failed = 0, input_tokens = 0, output_tokens = 0 }, agent_count + 1
    agents[name] = agent
  end
  agent.runs, agent.newest = agent.runs + 1, time.now()
  if record.error then agent.failed = agent.failed + 1 end
  agent.input_tokens = agent.input_tokens + (record.input_tokens or 0)
  agent.output_tokens = agent.output_tokens + (record.output_tokens or 0)
end

local function count(record)
  if record.error or record.tries then count_failure(record) end
  if record.name == "agent.run" then return count_agent(record) end
  if not record.name:find "^llm%.[cs]" then return end
  calls.calls = calls.calls + 1
  if record.error then calls.failed = calls.failed + 1 end
  calls.input_tokens = calls.input_tokens + (record.input_tokens or 0)
  calls.output_tokens = calls.output_tokens + (record.output_tokens or 0)
end

--- Calls that had begun to wait when counting began are traced by nobody; the pool counts them.
local function begin_to_count(now)
  if host.since then return end
  host.since = now
  for name, value in next, pool.untraced() or {} do before[name] = value end
  span.listen(count)
end

-- ---- what is told ---------------------------------------------------------------------------------------------------------------

--- Counts live objects; a module that is not loaded has none.
local function count_live(module)
  local n, loaded = 0, package.loaded[module]
  for _ in next, loaded and loaded.live or {} do n = n + 1 end
  return n
end

--- Turns of clients that are under way; nil where no agents are served.
local function clients()
  local serve = package.loaded["stoke.serve"]
  return serve and next(serve.live) and serve.turns() or nil
end

--- Letters that wait in mailboxes with a name, and dead ones; nil where there are no mailboxes.
local function mail()
  local mailbox = package.loaded["core.mailbox"]
  if not mailbox then return nil end
  local waiting, list = 0, mailbox.list()
  for _, box in ipairs(list) do waiting = waiting + box.waiting end
  return { mailboxes = #list, waiting = waiting, dead = mailbox.dead.count }
end

--- Who this host is, and how much lives in it.
---@return { name: string, script?: string, pid: integer, version: string, seconds: number, tasks: integer, agents: integer,
---  sessions: integer, clients?: integer, mail?: table }
---
--- Example: `print(activity.about().tasks)`
function M.about()
  return { name = host.name, script = host.script, pid = about.pid(), version = about.version,
    seconds = time.monotonic() - host.began, tasks = tasks.count(), agents = count_live "stoke.agent",
    sessions = count_live "stoke.agent.session", clients = clients(), mail = mail() }
end

--- That, its calls and tokens since somebody first asked, and its pool.
---@return table counts those of M.about, calls, failed, input_tokens, output_tokens, counted (seconds for which these are counted),
---  pool (stoke.pool.state)
---
--- Example: `print(activity.counts().calls)`
function M.counts()
  local now = time.monotonic()
  begin_to_count(now)
  local out, untraced = M.about(), pool.untraced() or {}
  for name, value in next, calls do out[name] = value + (untraced[name] or 0) - (before[name] or 0) end
  out.counted = now - host.since
  out.pool = require "stoke.model.pool".listed(pool.state(WAITING))
  return out
end

-- ---- more of it, for the page ---------------------------------------------------------------------------------------------------

--- The agents that there are, or that ran since counting began, by name: what they are made of, what they did.
---@return { name: string, model?: string, sessions?: integer, busy?: integer, runs: integer, failed: integer,
---  input_tokens: integer, output_tokens: integer, newest?: number }[]
---
--- Example: `for _, agent in ipairs(activity.agents()) do print(agent.name, agent.runs) end`
function M.agents()
  begin_to_count(time.monotonic())
  local by_name, out = {}, {}
  local function named(name)
    local known = by_name[name]
    if known then return known end
    local did = agents[name] or {}
    known = { name = name, runs = did.runs or 0, failed = did.failed or 0, input_tokens = did.input_tokens or 0,
      output_tokens = did.output_tokens or 0, newest = did.newest }
    by_name[name], out[#out + 1] = known, known
    return known
  end
  local loaded = package.loaded["stoke.agent"]
  for handle in next, loaded and loaded.live or {} do
    local definition = handle.definition
    local agent = named(tostring(definition.label))
    agent.model = type(definition.model) == "string" and definition.model or nil
  end
  loaded = package.loaded["stoke.agent.session"]
  for session in next, loaded and loaded.live or {} do
    local agent = named(tostring(session.handle.definition.label))
    agent.sessions = (agent.sessions or 0) + 1
    if session.busy then agent.busy = (agent.busy or 0) + 1 end
  end
  for name in next, agents do named(name) end
  table.sort(out, function(a, b) return a.name < b.name end)
  return out
end

--- What failed since counting began, the newest first; and how many failures of older groups are not told any more.
---@return stoke.activity.failure[] failures copies
---@return integer dropped
---
--- Example: `for _, failure in ipairs(activity.failures()) do print(failure.count, failure.kind, failure.message) end`
function M.failures()
  begin_to_count(time.monotonic())
  local out = {}
  for _, group in next, failures do
    local copy = {}
    for name, value in next, group do copy[name] = value end
    out[#out + 1] = copy
  end
  table.sort(out, function(a, b) return a.newest > b.newest or a.newest == b.newest and a.message < b.message end)
  return out, dropped
end

--- What became of calls that asked for a cache; nil where none did.
---@return stoke.cache.counts|nil
---
--- Example: `print((activity.cache() or {}).exact)`
function M.cache()
  local gate = package.loaded["core.gate.cache"]
  return gate and gate.counts
end

return M
