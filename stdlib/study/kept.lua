--- Questions of a study and their answers, kept by what was asked: a study that is run again asks only what it has not asked
--- before.
---
--- The key of an answer is a digest of all that decides it: who is asked, the model, the route, the instructions, the messages, the
--- shape of the answer, the options, and how often the very same was asked before. So an answer that was drawn at random is given
--- again, too, which a cache must not do, and the second of two equal questions has an answer of its own. That no answer fitted is
--- kept as well: the same question would end the same way again.

local combine = require "core.combine"
local errors = require "core.errors"
local json = require "core.json"
local tables = require "stoke.db.tables"
local agent = require "stoke.agent"
local time = require "stoke.time"
local usage = require "stoke.agent.usage"

local M = {}

local TABLE = [[
CREATE TABLE IF NOT EXISTS study_answer (
  key TEXT PRIMARY KEY,               -- a digest of all that decides the answer
  step TEXT NOT NULL,                 -- what it was asked for: "words", "ask", "extract" ...
  who TEXT NOT NULL,                  -- of whom: the id of a person, or ""
  model TEXT NOT NULL,
  question TEXT NOT NULL,             -- JSON: instructions, messages, shape, options
  answer TEXT NOT NULL,               -- JSON: text, output
  created REAL NOT NULL               -- seconds since 1970
) STRICT]]

---@class stoke.study.store
---@field usage stoke.usage of the questions that were asked now
---@field asked integer
---@field kept integer answers that were there already
local Store = {}
Store.__index = Store

--- Open a store.
---@param what string who asks: "stoke.study: file"
---@param where string|stoke.db.database|nil a path, an open database, or nil: nothing is kept
---@return stoke.study.store
---Raises `argument`, `db`, `os`, `denied`, `cancelled`.
function M.open(what, where)
  local self = setmetatable({ times = {}, usage = usage.new(), asked = 0, kept = 0, used = {} }, Store)
  if where == nil then return self end
  tables.check(what, where)
  self.db, self.own = tables.open(where)
  self.db:exec(TABLE)
  return self
end

--- Close its file; a database that was given stays open.
function Store:close()
  if self.db and self.own then self.db:close() end
  self.db, self.closed = nil, true
end

---@class stoke.study.question
---@field who string
---@field step string
---@field label string what errors call who is asked
---@field model string
---@field endpoint? string
---@field route? string|string[]
---@field instructions? string
---@field messages table[]
---@field output? stoke.Schema
---@field options? table
---@field think? boolean|string
---@field timeouts? table
---@field deadline? number
---@field texts? table

--- The agent that answers a question.
---@param q stoke.study.question
---@return stoke.agent
function M.agent(q)
  return agent.inner({ model = q.model, endpoint = q.endpoint, route = q.route, instructions = q.instructions, output = q.output,
    options = q.options, think = q.think, timeouts = q.timeouts, deadline = q.deadline, texts = q.texts }, q.label)
end

--- What decides the answer, as plain data.
local function asked_of(q)
  return { who = q.who, model = q.model, route = q.route or false, instructions = q.instructions or "", messages = q.messages,
    shape = q.output and q.output:json_schema() or false, options = q.options or json.object {}, think = q.think or false }
end

--- How often this very question was asked before in this study: equal ones have answers of their own.
local function times(store, question)
  local digest = errors.check(json.digest(question))
  local n = store.times[digest] or 0
  store.times[digest] = n + 1
  return n > 0 and errors.check(json.digest { digest, n }) or digest
end

local function look(store, key)
  if not store.db then return nil end
  local row = store.db:one("SELECT answer FROM study_answer WHERE key = ?", key)
  store.used[key] = true
  return row and json.decode(row.answer)
end

local function keep(store, key, q, question, answer)
  if not store.db then return end
  store.db:exec([[INSERT OR REPLACE INTO study_answer (key, step, who, model, question, answer, created)
    VALUES (?, ?, ?, ?, ?, ?, ?)]], key, q.step, q.who, q.model, errors.check(json.encode(question)),
    errors.check(json.encode(answer)), time.now() + 0.0)
end

--- Ask, or give the answer that there is.
---@param q stoke.study.question
---@return { text: string, output: any } answer
---@return boolean kept it was there already
---Raises what agent:run raises, and `db`.
function Store:ask(q)
  local question = asked_of(q)
  local key = times(self, question)
  local answer = look(self, key)
  if answer and not (answer.failed and self.retry) then
    self.kept = self.kept + 1
    if answer.failed then errors.raise("invalid_output", answer.failed) end
    return answer, true
  end
  local asked = M.agent(q)
  local result, err = combine.try(asked.run, asked, q.messages)
  if err then
    if err.kind == "invalid_output" then keep(self, key, q, question, { failed = err.message }) end
    error(err, 0)
  end
  self.asked = self.asked + 1
  usage.add(self.usage, result.usage)
  answer = { text = result.text, output = result.output }
  keep(self, key, q, question, answer)
  return answer, false
end

--- How many kept answers were not used by this study so far.
---@return integer
function Store:unused()
  if not self.db then return 0 end
  local count = 0
  for row in self.db:each "SELECT key FROM study_answer" do
    if not self.used[row.key] then count = count + 1 end
  end
  return count
end

--- Take the answers away that this study has not used.
---@return integer count
function Store:prune()
  if not self.db then return 0 end
  local count = 0
  self.db:transaction(function(tx)
    for _, row in ipairs(tx:query "SELECT key FROM study_answer") do
      if not self.used[row.key] then count = count + tx:exec("DELETE FROM study_answer WHERE key = ?", row.key) end
    end
  end)
  return count
end

--- Is this the fault of one answer, and no reason to end the whole study?
---@param err any
---@return boolean
function M.is_own_fault(err)
  local kind = type(err) == "table" and err.kind
  return kind == "invalid_output" or kind == "limit" or kind == "context_overflow"
end

return M
