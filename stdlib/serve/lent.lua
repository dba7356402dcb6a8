--- Tools that a client lends to an agent: the model's calls of them go out to the client, and their results come back in its next
--- request. What the run had said and done by then is kept under the ids of these calls, so that it goes on where it stood: with
--- the agent's own calls, which the client never saw.
---
--- An id cannot be guessed, and what is kept under it belongs to who was told it. It has a lifetime, and so many are kept; what is
--- gone is not missed for long, since clients send the whole conversation: the run then begins with that.

local errors = require "core.errors"
local hash = require "core.hash"
local json = require "core.json"
local random = require "core.random"
local history = require "stoke.agent.history"
local input = require "stoke.agent.input"
local time = require "stoke.time"

local M = {}

--- Seconds that a run waits for its client, and how many do.
---@private
M.LIFETIME, M.MOST = 600, 256

---@class stoke.serve.lent
---@field by_id table<string, table> of calls that are out
---@field oldest integer
---@field newest integer what is kept, in the order it came
local Store = {}
Store.__index = Store

--- Runs that wait for their clients.
---@return stoke.serve.lent
---
--- Example: `local waiting = lent.new()`
function M.new()
  local secret = random.streams["ids of lent calls"]:bytes(32)
  return setmetatable({ by_id = {}, list = {}, oldest = 1, newest = 0, secret = secret, made = 0 }, Store)
end

local NO_PARAMETERS = json.object({ type = "object", properties = json.object {} }, { "type", "properties" })

--- Tools of a request as models read them. One that is named like a tool of the agent gets another name.
---@param raw table[]|nil as the API has them
---@param definition table of the agent
---@return table[]|nil lent
---@return table<string, string> renamed name here -> the client's name
---Raises `argument`.
---
--- Example: `local tools, renamed = lent.tools(body.tools, bot.definition)`
function M.tools(raw, definition)
  if not raw or not raw[1] then return nil, {} end
  if definition.play then errors.argument("%s does not support tools", definition.label) end -- a team: its members have their own
  if definition.ready then definition = definition:ready() end
  if definition.complete then definition:complete() end
  local out, renamed, seen = {}, {}, {}
  for i, given in ipairs(raw) do
    local f = type(given) == "table" and given["function"]
    local name = type(f) == "table" and f.name
    if type(name) ~= "string" or not name:find "^[%w_][%w_.:/-]*$" or #name > 128 then
      errors.argument("tools[%d] has no name of letters, digits, `_`, `-`, `.`, at most 128", i - 1)
    end
    local known = name
    while definition.names[known] or seen[known] do known = "client_" .. known end
    if known ~= name then renamed[known] = name end
    seen[known] = true
    out[i] = json.object({ type = "function", ["function"] = json.object({ name = known,
      description = type(f.description) == "string" and f.description or "",
      parameters = type(f.parameters) == "table" and f.parameters or NO_PARAMETERS }, { "name", "description", "parameters" }) },
      { "type", "function" })
  end
  return out, renamed
end

function Store:id()
  self.made = self.made + 1
  return "call_" .. hash.sha256(self.secret .. self.made):sub(1, 32)
end

local function forget(self, kept)
  for _, call in ipairs(kept.calls) do self.by_id[call.id] = nil end
end

--- Let go of what is too old, and of the oldest where there are too many.
local function sweep(self, now)
  while self.oldest <= self.newest do
    local kept = self.list[self.oldest]
    if kept.till > now and self.newest - self.oldest < M.MOST then break end
    forget(self, kept)
    self.list[self.oldest], self.oldest = nil, self.oldest + 1
  end
end

--- Calls go out: keep the run, and give the calls ids of ours.
---@param user string who asked
---@param name string of the agent
---@param answer stoke.serve.answer its calls get other ids
---
--- Example: `waiting:keep(user, entry.name, answer)`
function Store:keep(user, name, answer)
  local now = time.monotonic()
  local kept = { user = user, name = name, past = answer.past, calls = answer.calls, till = now + M.LIFETIME }
  for _, call in ipairs(answer.calls) do
    call.id = self:id()
    self.by_id[call.id] = kept
  end
  self.newest = self.newest + 1
  self.list[self.newest] = kept
  sweep(self, now)
end

--- Where the client's last answer stands in its messages.
local function after_answer(messages)
  local at = #messages
  while at > 0 and messages[at].role ~= "assistant" do at = at - 1 end
  return at + 1
end

--- The history of a run that waits for the results in these messages; nil when there is none, or none of this user's.
---@param user string
---@param name string
---@param messages table[] of the request
---@return stoke.agent.history|nil
---
--- Example: `local past = waiting:resume(user, entry.name, body.messages)`
function Store:resume(user, name, messages)
  sweep(self, time.monotonic())
  local from, kept, results = after_answer(messages), nil, {}
  for i = from, #messages do
    local message = messages[i]
    local id = message.role == "tool" and message.tool_call_id
    if id then
      kept = kept or self.by_id[id]
      results[id] = message
    end
  end
  if not kept or kept.user ~= user or kept.name ~= name then return nil end
  local list, more = table.move(kept.past, 1, #kept.past, 1, {}), {}
  for _, call in ipairs(kept.calls) do
    local result = results[call.id]
    list[#list + 1] = { role = "tool", tool_name = call["function"].name, tool_call_id = call.id,
      content = result and result.content or "no result came" }
  end
  for i = from, #messages do
    if messages[i].role ~= "tool" then more[#more + 1] = messages[i] end
  end
  if more[1] then table.move(input.messages(name, more), 1, #more, #list + 1, list) end
  local past = history.new(list)
  past.first, past.summary = kept.past.first, kept.past.summary
  return past
end

return M
