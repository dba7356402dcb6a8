-- Runs with an order of their own, without the rest of a journal: an effect here is a live one that keeps its outcome in a table.

local host = require "host.task"
local schedule = require "core.schedule"
local scopes = require "core.scope"
local tasks = require "core.task"
local errors = require "core.errors"
local stoke = require "stoke"

local M = {}

---@class test.run
---@field schedule stoke.schedule
---@field rows table<string, table> key -> { value, err, inline }
---@field replaying boolean
---@field trace string[]
local Run = {}
Run.__index = Run

-- An effect with this key. `work` does it live; what it raises when it is cancelled is its outcome, too.
function Run:effect(key, work)
  local task = host.current()
  scopes.deliver(task)
  local row = self.rows[key]
  if self.replaying and row then
    if not row.inline then
      local given, err = schedule.await()
      if not given then error(err or errors.new("script", "no outcome for " .. key), 0) end
    end
  elseif self.replaying then
    errors.raise("script", "the recorded run did not perform " .. key)
  else
    row = {}
    schedule.begin()
    local ok, value = pcall(work)
    row.value, row.err = ok and value or nil, not ok and errors.wrap(value) or nil
    self.rows[key] = row
    row.inline = schedule.finish()
  end
  if row.err then
    if row.err.kind == "cancelled" then scopes.deliver(task) end
    error(errors.new(row.err.kind, row.err.message), 0)
  end
  return row.value
end

function Run:step(...)
  self.trace[#self.trace + 1] = table.concat({ ... }, " ")
end

-- Begins f(run) as the root of a run, which M.finish waits for; in a scope, or where its end is told to nobody else.
local function begin(run, f, scope)
  scope = scope or tasks.supervisor("a run of a test", function() end)
  run.trace = {}
  run.task = tasks.start(scope, nil, f, run)
  schedule.adopt(run.task, run.schedule)
  return run
end

function M.record(f, scope, max)
  return begin(setmetatable({ schedule = schedule.record(max), rows = {}, replaying = false }, Run), f, scope)
end

function M.replay(recorded, f, log)
  return begin(setmetatable({ schedule = schedule.replay(log or recorded.schedule:log()), rows = recorded.rows,
    replaying = true }, Run), f)
end

-- Waits for its end: what it returned or raised, in words.
function M.finish(run)
  local ok, value = pcall(run.task.await, run.task)
  run.result = ("%s %s"):format(ok, errors.is(value) and value.kind .. ": " .. value.message or tostring(value))
  return run.result
end

-- The log as a list of { since = resumes since the last one, code = what and whom, text = }, and back.
function M.decode(log)
  local at, list = 1, {}
  local function varint()
    local v, shift = 0, 0
    while true do
      local byte = log:byte(at)
      at = at + 1
      v = v | (byte & 0x7f) << shift
      if byte < 0x80 then return v end
      shift = shift + 7
    end
  end
  while at <= #log do
    local d = { since = varint(), code = varint() }
    if d.code & 7 == 5 then
      local len = varint()
      d.text = log:sub(at, at + len - 1)
      at = at + len
    end
    list[#list + 1] = d
  end
  return list
end

function M.encode(list)
  local out = {}
  local function varint(v)
    while v >= 0x80 do
      out[#out + 1] = string.char(v & 0x7f | 0x80)
      v = v >> 7
    end
    out[#out + 1] = string.char(v)
  end
  for _, d in ipairs(list) do
    varint(d.since)
    varint(d.code)
    if d.text then
      varint(#d.text)
      out[#out + 1] = d.text
    end
  end
  return table.concat(out)
end

-- A closer for `<close>`.
function M.closer(f) return setmetatable({}, { __close = f }) end

M.stoke = stoke

return M
