--- A session of ACP: a kept session of one of the agents, and what its turn does, told to the client as it happens. Its id is that
--- of the kept session; the folder is part of it.

local agents = require "stoke.agent"
local combine = require "core.combine"
local content = require "stoke.acp.content"
local driver = require "core.driver.sessions"
local errors = require "core.errors"
local json = require "core.json"
local rand = require "stoke.rand"
local runs = require "core.runs"
local scopes = require "core.scope"
local sessions = require "stoke.sessions"
local tasks = require "core.task"

local M = {}

--- Seconds that a cancelled turn may take to come to its end.
M.END = 10
--- How the ids of these sessions begin: "acp:", a UUID, ":", the folder.
M.PREFIX = "acp:"

---@class stoke.acp.conversation
---@field id string
---@field cwd string
---@field handle stoke.agent who is asked
---@field servers stoke.mcp.client[] the client's
---@field allowed table<string, boolean> tools for which the client said always
---@field calls table<string, string> ids of calls as the agent has them -> as the client knows them, of this turn
---@field task? table the turn that goes on
---@field asks table<table, true> tasks that wait for a person's answer
local Session = {}
Session.__index = Session

--- A session, new or known by its id.
---@param peer stoke.acp.peer
---@param fields { id?: string, cwd: string, handle: stoke.agent, servers: stoke.mcp.client[] }
---@return stoke.acp.conversation
---
--- Example: `local session = sessions.new(peer, { cwd = "/work", handle = bot, servers = {} })`
function M.new(peer, fields)
  return setmetatable({ peer = peer, id = fields.id or ("%s%s:%s"):format(M.PREFIX, rand.uuid(), fields.cwd), cwd = fields.cwd,
    handle = fields.handle, servers = fields.servers, allowed = {}, calls = {}, used = {}, asks = {} }, Session)
end

--- The folder of an id; nil: it is no id of ours.
---@param id string
---@return string|nil
---
--- Example: `sessions.folder("acp:0190c1b5-6a3e-7c7f-9b1a-2f4d5e6a7b8c:/work") --> "/work"`
function M.folder(id) return id:match "^acp:[%x-]+:(/.*)$" end

--- The kept session, with the client's servers beside the agent's own.
local function kept(self)
  local handle = self.servers[1] and agents.with_servers(self.handle, self.servers) or self.handle
  return handle:session { id = self.id }
end

--- Tell the client of a change.
function Session:update(update) self.peer:notify("session/update", { sessionId = self.id, update = update }) end

local function say(self, kind, text) self:update { sessionUpdate = kind, content = content.text(text) } end

--- A call's id for the client: those of models may come twice in one session.
local function named(self, id)
  local name, n = id, 1
  while self.used[name] do
    n = n + 1
    name = ("%s~%d"):format(id, n)
  end
  self.used[name], self.calls[id] = true, name
  return name
end

local function announce(self, id, title, arguments, name, status)
  self:update { sessionUpdate = "tool_call", toolCallId = named(self, id), title = title, kind = content.kind(name),
    status = status, rawInput = arguments, locations = content.locations(arguments) }
end

local function result(self, id, text, failed)
  local name = self.calls[id]
  if not name then return end
  self:update { sessionUpdate = "tool_call_update", toolCallId = name, status = failed and "failed" or "completed",
    content = content.of_call(text) }
end

--- Wait until a cancelled turn has come to its end: what it did until then has been told, and the session is free.
local function taken_back(self) pcall(combine.timeout, M.END, runs.await, self.ending) end

-- ---- a turn -----------------------------------------------------------------------------------------------------------------

local TOLD = {}

function TOLD.text(self, event) say(self, "agent_message_chunk", event.text) end
function TOLD.thinking(self, event) say(self, "agent_thought_chunk", event.text) end

function TOLD.tool_call(self, event, who)
  local title = content.title(event.name, event.arguments)
  announce(self, event.id, who and ("%s: %s"):format(who, title) or title, event.arguments, event.name, "in_progress")
end

function TOLD.tool_result(self, event) result(self, event.id, event.text, event.failed) end

function TOLD.handoff(self, event)
  say(self, "agent_thought_chunk", ("%s hands over to %s\n"):format(event.from, event.to))
end

--- The plan of a team: a list of parts, or lines.
local function entries_of(plan)
  local out = {}
  if type(plan) == "string" then
    for line in plan:gmatch "[^\n]*%S[^\n]*" do out[#out + 1] = line end
  end
  for i, part in ipairs(type(plan) == "table" and plan or {}) do
    local words = type(part) == "table" and part.part or part
    out[i] = type(part) == "table" and part.worker and ("%s: %s"):format(part.worker, words) or tostring(words)
  end
  return out
end

--- Show the plan, if there is one, with how far it is.
local function show_plan(self, status)
  local list = {}
  for i, words in ipairs(self.plan or {}) do list[i] = { content = words, priority = "medium", status = status } end
  if list[1] then self:update { sessionUpdate = "plan", entries = json.array(list) } end
end

function TOLD.plan(self, event)
  self.plan = entries_of(event.plan)
  show_plan(self, "in_progress")
end

--- A member of a team has spoken.
function TOLD.message(self, event)
  say(self, "agent_thought_chunk", ("%s: %s\n"):format(event.from, event.text))
end

function TOLD.fallback(self, event)
  say(self, "agent_thought_chunk", ("asks %s instead\n"):format(event.model or "nobody else"))
end

function TOLD.interrupted(self) say(self, "agent_thought_chunk", "the answer was cut off, and is asked for again\n") end

--- What an agent does that works as a tool of this one: its calls alone.
function TOLD.nested(self, event)
  local inner = event.event
  if inner.type == "tool_call" or inner.type == "tool_result" or inner.type == "nested" then
    TOLD[inner.type](self, inner, event.agent)
  end
end

-- Errors that are ends of a turn, as the protocol has them.
local ENDS = { max_steps = "max_turn_requests", limit = "max_tokens", loop = "max_turn_requests", budget = "max_turn_requests" }

--- Ask, and tell the client what comes.
local function run(self, input)
  local done
  local stream <close> = kept(self):stream(input, { class = "interactive" })
  for event in stream do
    local tell = TOLD[event.type]
    if tell then tell(self, event) end
    if event.type == "done" then done = event.result end
  end
  show_plan(self, "completed")
  return done and done.reason == "length" and "max_tokens" or "end_turn"
end

--- A turn: how it ended.
---@param input table
---@return table|nil result
---@return table|nil refusal
---Raises what agents raise, but for what the protocol has words for.
---
--- Example: `local result = session:prompt { text = "Hi" }`
function Session:prompt(input)
  if self.task then return nil, { code = -32600, message = "a turn of this session is under way" } end
  local scope <close> = scopes.open {} -- the turn is a task of its own: who answers is not cancelled with it
  scope.on_child_error = function() end
  self.calls, self.stopped, self.ending, self.plan = {}, nil, nil, nil
  self.task = tasks.start(scope, "acp turn", run, self, input)
  local _ <close> = setmetatable({}, { __close = function()
    self.task = nil
    for task in next, self.asks do task:cancel "the turn has ended" end
  end })
  local ok, reason = pcall(self.task.await, self.task)
  if self.ending then taken_back(self) end
  if ok then return { stopReason = reason } end
  local err = errors.wrap(reason)
  if self.stopped and err.kind == "cancelled" then return { stopReason = "cancelled" } end
  local stop = ENDS[err.kind]
  if not stop then error(reason, 0) end
  say(self, "agent_message_chunk", ("\n(%s)"):format(err.message))
  return { stopReason = stop }
end

--- End the turn that goes on. It leaves nothing behind: what was asked is not remembered.
---
--- Example: `session:cancel()`
function Session:cancel()
  if not self.task then return end
  self.stopped, self.ending = true, driver.core(self.id).run
  self.task:cancel "the client cancelled the turn"
end

--- A turn whose process was killed is taken back: the client that asked for it knows nothing of it any more.
---@param present { run: string } the turn that the store has
---
--- Example: `session:clear(record.present)`
function Session:clear(present)
  local store = runs.open()
  local left = store:find(present.run)
  if not left or runs.ended(left) or store:held(left) then return end -- another process has it: prompts wait for that one
  kept(self)
  self.ending = present.run
  pcall(runs.cancel, present.run)
  taken_back(self)
end

--- Has it a turn that was kept?
---@return boolean
function Session:begun() return kept(self).turns > 0 end

--- Is this durable run its present turn?
---@param id string
---@return boolean
function Session:turn_is(id) return driver.core(self.id).run == id end

-- ---- permission -----------------------------------------------------------------------------------------------------------------

local function options(what)
  return json.array { { optionId = "allow", name = "Allow", kind = "allow_once" },
    { optionId = "always", name = ("Always allow %s in this session"):format(what), kind = "allow_always" },
    { optionId = "reject", name = "Reject", kind = "reject_once" } }
end

--- Ask the client about something that waits for a person.
---@param entry stoke.pending
---Raises `cancelled`.
---
--- Example: `session:permit(entry)`
function Session:permit(entry)
  local key = entry.effect .. " " .. entry.what
  if entry.effect == "tool.call" and self.allowed[key] then return entry:approve() end
  local name = entry.call and self.calls[entry.call]
  local title = entry.effect == "tool.call" and content.title(entry.what, entry.args) or key
  local call = { toolCallId = name or ("ask-%d"):format(entry.id), title = title, status = "pending",
    kind = content.kind(entry.effect == "tool.call" and entry.what or entry.effect), rawInput = entry.args }
  local me = tasks.current()
  self.asks[me] = true
  local _ <close> = setmetatable({}, { __close = function() self.asks[me] = nil end })
  local answer, problem = self.peer:ask("session/request_permission", { sessionId = self.id, toolCall = call,
    options = options(entry.what) })
  local outcome = answer and type(answer.outcome) == "table" and answer.outcome or {}
  if outcome.outcome == "selected" and (outcome.optionId == "allow" or outcome.optionId == "always") then
    if outcome.optionId == "always" then self.allowed[key] = true end
    if name then self:update { sessionUpdate = "tool_call_update", toolCallId = name, status = "in_progress" } end
    return entry:approve()
  end
  return entry:reject(outcome.outcome == "cancelled" and "the turn was cancelled" or problem or nil)
end

-- ---- what was said before ---------------------------------------------------------------------------------------------------

--- Tell the client the whole conversation.
---
--- Example: `session:replay()`
function Session:replay()
  for _, message in ipairs(kept(self).messages) do
    if message.role == "user" then
      self.calls = {}
      say(self, "user_message_chunk", message.content)
    elseif message.role == "assistant" then
      if type(message.thinking) == "string" and message.thinking ~= "" then
        say(self, "agent_thought_chunk", message.thinking)
      end
      if message.content ~= "" then say(self, "agent_message_chunk", message.content) end
      for i, call in ipairs(message.tool_calls or {}) do
        local f = call["function"]
        announce(self, call.id or ("call-%d"):format(i), content.title(f.name, f.arguments), f.arguments, f.name, "in_progress")
      end
    elseif message.role == "tool" and message.tool_call_id then
      result(self, message.tool_call_id, message.content, false)
    end
  end
end

--- What a list shows of a session: the first words of it.
---@param id string
---@return string|nil
function M.title(id)
  local first = sessions.beginning(id, 1)[1]
  local text = first and type(first.content) == "string" and first.content:gsub("%s+", " ") or ""
  if text == "" then return nil end
  return utf8.len(text) and utf8.len(text) > 80 and text:sub(1, utf8.offset(text, 78) - 1) .. "..." or text
end

return M
