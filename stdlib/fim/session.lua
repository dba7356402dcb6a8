--- Completions for one buffer of an editor, in which somebody types: of calls that follow each other the latest alone goes on, and
--- who types along with an answer, or takes back what was typed along, asks nothing.
---
---     local session = fim.session { wait = 0.15 }
---     local done, why = session:complete { prefix = before, suffix = behind, path = "a.py" }
---     if done then show(done.text) else assert(why == "superseded") end

local errors = require "core.errors"
local pace = require "stoke.flow.pace"
local scopes = require "core.scope"

local M = {}

--- Seconds of silence before a model is asked; answers that are kept, and the bytes of what they belong to, at most.
M.WAIT, M.ENTRIES, M.BYTES = 0.15, 32, 1 << 20

---@class stoke.fim.session
---@field asked integer how often a model was asked
---@field kept integer how often an answer was there already
local Session = {}
Session.__index = Session
Session.__name = "stoke.fim.session"

---@private
function M.new(options, complete)
  options = errors.options(options, { complete = true, wait = "number", entries = "number", bytes = "number" }, "fim.session")
  if options.complete ~= nil then errors.check_callable(options.complete, "fim.session: complete") end
  if options.wait then errors.check_seconds(options.wait, "fim.session: wait") end
  local self = setmetatable({ entries = {}, size = 0, asked = 0, kept = 0, most = options.entries or M.ENTRIES,
    bytes = options.bytes or M.BYTES }, Session)
  local f = options.complete or complete
  self.latest = pace.latest(function(q)
    self.asked = self.asked + 1
    local done = f(q)
    if type(done) == "string" then done = { text = done } end
    return done or { text = "" }
  end, { wait = options.wait or M.WAIT })
  return self
end

local function same(a, b) return a.suffix == b.suffix and a.path == b.path and a.lines == b.lines end

--- What is left of an answer that the text goes along with; nil: of none.
local function along(self, q)
  local prefix = q.prefix
  for i = #self.entries, 1, -1 do
    local entry = self.entries[i]
    local typed = #prefix - #entry.q.prefix
    if typed >= 0 and typed <= #entry.done.text and same(entry.q, q)
      and prefix:sub(#entry.q.prefix + 1) == entry.done.text:sub(1, typed) and prefix:sub(1, #entry.q.prefix) == entry.q.prefix
      and (typed < #entry.done.text or typed == 0) then
      return entry.done, typed
    end
  end
end

local function drop(self)
  local entry = table.remove(self.entries, 1)
  self.size = self.size - entry.size
end

local function keep(self, q, done)
  local size = #q.prefix + #(q.suffix or "") + #done.text
  if size > self.bytes then return end
  self.entries[#self.entries + 1] = { size = size, done = done,
    q = { prefix = q.prefix, suffix = q.suffix, path = q.path, lines = q.lines } }
  self.size = self.size + size
  while #self.entries > self.most or self.size > self.bytes do drop(self) end
end

--- What belongs at the cursor. A call before it that still waits or asks returns nil, "superseded".
---@param q stoke.fim.request
---@return stoke.fim.completion|nil done with kept = true where nobody was asked
---@return string|nil why "superseded"
---Raises what fim.complete raises.
---
--- Example: `local done = session:complete { prefix = "x = ", suffix = "\n", path = "a.py" }`
function Session:complete(q)
  scopes.check_self(self, Session, "session:complete()")
  if type(q) ~= "table" or type(q.prefix) ~= "string" then errors.argument "session:complete: prefix is missing" end
  local done, typed = along(self, q)
  if done then
    self.latest:cancel()
    self.kept = self.kept + 1
    local out = {}
    for name, value in next, done do out[name] = value end
    out.text, out.kept = done.text:sub(typed + 1), true
    return out
  end
  local why
  done, why = self.latest(q)
  if not done then return nil, why end
  keep(self, q, done)
  return done
end

--- Nothing is wanted any more: the model is not asked further.
---
--- Example: `session:cancel()`
function Session:cancel()
  scopes.check_self(self, Session, "session:cancel()")
  self.latest:cancel()
end

--- Forget all answers: the files that they were made from have changed, or the code that makes them.
---
--- Example: `session:forget()`
function Session:forget()
  scopes.check_self(self, Session, "session:forget()")
  self.entries, self.size = {}, 0
end

return M
