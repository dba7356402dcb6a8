--- Does a lane answer? After failures in a row it gets no calls, then one trial, then all again. Pure: what happened goes in with
--- its time (seconds), and whether a call may be sent comes out.
---
---   closed   calls are sent. Open after 5 failures in a row, or when half of the last 20 ended so (with at least 5 of them).
---   open     no call until a pause is over: half a second, later a quarter of the time since the server last answered; where
---            nobody even took the connection, and asking costs nothing, a quarter of a second and a tenth. So it is used again
---            soon after it is back, also where it comes and goes, and the trials of a long outage are few.
---   trial    a request for one token, of the pool's own, so that no call of the user's is lost by trying. It says whether to
---            close or to open again.
---   tender   closed again, but not yet proven: one failure opens it, twenty answers make it whole.
---
--- The only server of a model is never given up: its calls wait for it, `paced`. What has waited through half a minute of an outage
--- of all servers that it may go to is told why (B:refusal), as it would be without a breaker. Where nobody is known to have taken
--- a connection it is five seconds: there may be no server. Where nobody can try with a request of his own, a call is the trial.
---
--- A server that says when it wants to be asked again (Retry-After) is taken at its word. It is not a failure of its own.

local M = {}

--- Failures in a row that open; or so many of the last calls.
M.row, M.half, M.last = 5, 10, 20
--- The pauses before trials: the least, as a part of the outage so far, and the longest; and of a server that nobody reaches.
M.pause, M.part, M.pause_most = 0.5, 0.25, 30
M.pause_away, M.part_away = 0.25, 0.1
--- Answers that prove a lane after an outage.
M.proof = 20
--- Seconds without an answer after which a call that waits for the only server gets its last error.
M.patience = 30
--- The same where nobody has ever been reached.
M.patience_new = 5
--- A Retry-After is honoured up to so many seconds.
M.retry_after_most = 300

---@class stoke.pool.breaker
---@field state "closed"|"tender"|"open"|"trial"
---@field last? table the last error that counted
---@field known? boolean it has answered
local B = {}
B.__index = B

---@param o? { alone?: boolean, probes?: boolean, known?: boolean } alone: no other server has the model; probes: somebody makes
---  trials; known: it has answered before
---@return stoke.pool.breaker
---
---     local b = breaker.new { alone = false }
---     if b:allows(now) then b:sent(now) ... b:done(err, now) end
function M.new(o)
  return setmetatable({ alone = o and o.alone or false, probes = o and o.probes or false, state = "closed",
    row = 0, answers = 0, till = 0, paced_until = 0, outcomes = 0, since = nil, last = nil, known = o and o.known }, B)
end

local NOT_FAILURES = { cancelled = true, argument = true, auth = true, budget = true, denied = true, needs_approval = true,
  context_overflow = true, invalid_output = true, deadline = true, usage = true, limit = true }

--- Does an error speak against the server? Not what the caller did (cancelled, bad requests), nor a load that takes its time.
---@param err table|nil
---@return boolean
function M.counts(err)
  if not err or NOT_FAILURES[err.kind] then return false end
  local status = rawget(err, "status")
  if err.kind == "overloaded" then return rawget(err, "retry_after") == nil end
  return not (status and status >= 400 and status < 500 and status ~= 408)
end

-- Failures among the last 20, a bit each.
local MASK <const> = (1 << 20) - 1

local function failures(set)
  local n = 0
  while set ~= 0 do
    set = set & (set - 1)
    n = n + 1
  end
  return n
end

--- May a call be sent now? With the time at which to ask again, where not.
---@param now number
---@return boolean
---@return number|nil due nil while open only for as long as a trial is under way
function B:allows(now)
  if now < self.paced_until then return false, self.paced_until end
  local state = self.state
  if state == "closed" or state == "tender" then return true end
  if state == "trial" then return false end
  if now < self.till then return false, self.till end
  return not self.probes -- else a trial comes first
end

--- Is it time for a trial: one token, asked for by nobody?
---@param now number
---@return boolean
---@return number|nil due
function B:wants_trial(now)
  if self.state ~= "open" or not self.probes then return false end
  local at = math.max(self.till, self.paced_until)
  return now >= at, now < at and at or nil
end

--- The trial is sent, or a call in its place. Others wait for its outcome.
function B:trial()
  if self.state == "open" then self.state = "trial" end
end
B.sent = B.trial

local UNREACHED = { refused = true, unreachable = true, dns = true }

local function open(self, now)
  local away = UNREACHED[self.last.kind]
  local pause = math.max(away and M.pause_away or M.pause, (away and M.part_away or M.part) * (now - self.since))
  self.state, self.till = "open", now + math.min(pause, M.pause_most)
end

local function failed(self, err, now)
  self.last, self.since = err, self.since or now
  self.row, self.outcomes = self.row + 1, (self.outcomes << 1 | 1) & MASK
  local state = self.state
  if state == "trial" then return open(self, now) end
  if state == "open" then return end -- one that was sent before it opened
  if state == "tender" or self.row >= M.row or failures(self.outcomes) >= M.half then open(self, now) end
end

local function answered(self)
  self.since, self.row, self.outcomes, self.known = nil, 0, self.outcomes << 1 & MASK, true
  local state = self.state
  if state == "trial" or state == "open" then
    self.state, self.answers, self.outcomes = "tender", 1, 0
  elseif state == "tender" then
    self.answers = self.answers + 1
    if self.answers >= M.proof then self.state, self.last = "closed", nil end
  end
end

--- A call or a trial has ended.
---@param err table|nil nil: it was answered
---@param now number
function B:done(err, now)
  if not err then return answered(self) end
  local after = rawget(err, "retry_after")
  if after and after > 0 then
    self.paced_until = math.max(self.paced_until, now + math.min(after, M.retry_after_most))
  end
  if M.counts(err) then return failed(self, err, now) end
  if self.state == "trial" then -- it says nothing of the server
    self.state = "open"
    if err.kind ~= "cancelled" then return answered(self) end
  end
end

--- What a call is told that has waited since `arrived`, in an outage that does not end. One that may go to several lanes is told
--- when each of them says so (lua/pool/engine.lua).
---@param arrived number
---@param now number
---@return table|nil err the last error of the server; nil: it waits on
function B:refusal(arrived, now)
  if not self.since or self.state == "closed" or now <= arrived then return nil end
  local nobody = not self.known and UNREACHED[self.last.kind]
  if now - self.since >= (nobody and M.patience_new or M.patience) then return self.last end
end

--- Is nothing known against it? A failure is remembered for twenty calls.
---@param now number
---@return boolean
function B:quiet(now) return self.state == "closed" and self.outcomes == 0 and now >= self.paced_until end

--- Was the last failure one of the connection? Then the server may have been away, and be another process now.
---@return boolean
function B:was_away() return self.last ~= nil and not rawget(self.last, "status") end

--- In a word, for people: "ok" as long as calls are sent; "paced", "sick".
---@param now number
---@return string
function B:word(now)
  local sends = self.state == "closed" or self.state == "tender"
  if sends and now >= self.paced_until then return "ok" end
  if self.alone or sends then return "paced" end
  return "sick"
end

return M
