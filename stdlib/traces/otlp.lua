--- Sends the spans of this process to a collector of OpenTelemetry, by OTLP over HTTP in JSON: a sink (lua/gate/span.lua) that puts
--- records into a list, and a task of the host's that sends them in batches. Nothing here waits for a collector but that task, and
--- the end of the process for up to two seconds. One that is down, slow or refuses costs the spans that find no room in the list
--- any more, and one line on standard error. Its own requests are in no trace.
---
---     OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 stoke town.lua
---
--- What is sent is named in stdlib/traces/conventions.lua; what the environment may say is in stdlib/traces/otlp/settings.lua.

local effect = require "core.effect"
local encode = require "stoke.traces.otlp.encode"
local errors = require "core.errors"
local facts = require "stoke.traces.otlp.facts"
local json = require "core.json"
local keeper = require "core.keeper"
local random = require "core.random"
local redact = require "core.redact"
local scopes = require "core.scope"
local settings = require "stoke.traces.otlp.settings"
local spans = require "core.gate.span"
local status = require "stoke.model.status"
local tasks = require "core.task"
local texts = require "core.text"
local time = require "stoke.time"
local traceparent = require "core.gate.traceparent"

require "core.driver.http"

local M = {}

--- Attempts at one batch; seconds before the second, and at most between two. Each wait is cut by chance to between half and all
--- of it, so that many hosts do not come back at the same moment.
M.ATTEMPTS, M.FIRST, M.LONGEST = 6, 1, 30
--- Seconds that the end of the process waits.
M.GOODBYE = 2
--- Bytes of contents that wait, at most: those of further spans are left out.
M.CONTENTS = 8 << 20

--- Statuses after which the same may be sent again (https://opentelemetry.io/docs/specs/otlp/, OTLP/HTTP Response).
local PASSING = { [429] = true, [502] = true, [503] = true, [504] = true }

---@class stoke.traces.otlp.sender
---@field url string
---@field pending { [1]: core.span.record, [2]: stoke.traces.otlp.facts }[]
---@field sent integer spans
---@field lost integer spans
---@field requests integer
local Sender = {}
Sender.__index = Sender

local running -- one a process

--- Say what is wrong, once in the life of the process.
local function say(self, what)
  if self.said then return end
  self.said = true
  scopes.tell(redact.known(("spans do not reach %s: %s; this is said once"):format(self.shown, what)))
end

--- What a collector says, short. Without secrets first: of one that is cut nobody knows the rest.
local function words_of(text) return texts.excerpt(redact.known(text), 200) end

-- ---- one batch ------------------------------------------------------------------------------------------------------------------

--- Spans of a batch as text. What cannot be written is left out.
local function text_of(self, batch)
  local list = {}
  for _, entry in ipairs(batch) do
    local ok, span = pcall(encode.span, entry[1], entry[2])
    if ok then list[#list + 1] = span else self.lost = self.lost + 1 end
  end
  return encode.request(self.settings.resource, list), #list
end

--- An answer that takes the spans, or some of them.
local function taken(self, body, count)
  local answer = json.decode(body)
  local partial = type(answer) == "table" and answer.partialSuccess
  local rejected = type(partial) == "table" and math.tointeger(tonumber(partial.rejectedSpans)) or 0
  local why = type(partial) == "table" and type(partial.errorMessage) == "string" and partial.errorMessage or ""
  rejected = math.min(math.max(rejected, 0), count)
  self.sent, self.lost = self.sent + count - rejected, self.lost + rejected
  if rejected > 0 then say(self, ("it rejects %d of %d spans: %s"):format(rejected, count, words_of(why))) end
end

--- Send a text once.
---@return boolean done it was taken, or never will be
---@return string|nil why
---@return number|nil wait seconds that the collector asks for
local function post(self, text, count)
  self.requests = self.requests + 1
  local limit = self.settings.timeout
  if self.ends then limit = math.max(math.min(limit, self.ends - time.monotonic()), 0.01) end
  local reply, err = effect.perform("http.request", { method = "POST", url = self.url, headers = self.headers, body = text,
    connect = limit, first_byte = limit, idle = limit, total = limit, max_redirects = 0, max_bytes = 1 << 20, own = true })
  if err then return false, err.message end
  if reply.status < 300 then
    taken(self, reply.body, count)
    return true
  end
  local why = ("it answers %d%s"):format(reply.status, reply.body ~= "" and ": " .. words_of(reply.body) or "")
  if not PASSING[reply.status] then
    self.lost = self.lost + count
    say(self, why)
    return true, why
  end
  return false, why, status.retry_after(reply.head)
end

--- Seconds before the next attempt.
local function pause_of(attempt, asked)
  local pause = math.min(M.FIRST * 2.0 ^ (attempt - 1), M.LONGEST)
  pause = pause * (0.5 + 0.5 * random.stream("otlp"):float())
  return asked and math.min(math.max(asked, pause), 2 * M.LONGEST) or pause
end

--- Wait before an attempt. false: there is no time left for it.
local function patient(self, seconds)
  if not self.ends then tasks.park("otlp", seconds) end -- the end of the process wakes it
  if not self.ends then return true end
  local left = self.ends - time.monotonic()
  if left <= seconds then return false end
  tasks.park("otlp", seconds)
  return true
end

local function send(self, batch)
  local text, count = text_of(self, batch)
  if count == 0 then return end
  for attempt = 1, M.ATTEMPTS do
    local done, why, asked = post(self, text, count)
    if done then return end
    say(self, why)
    if attempt == M.ATTEMPTS or not patient(self, pause_of(attempt, asked)) then break end
  end
  self.lost = self.lost + count
end

-- ---- the list -------------------------------------------------------------------------------------------------------------------

--- The next batch, off the list.
local function take(self)
  local pending, most = self.pending, self.settings.together
  if #pending <= most then
    self.pending, self.bytes = {}, 0
    return pending
  end
  self.pending = table.move(pending, most + 1, #pending, 1, {})
  for i = #pending, most + 1, -1 do pending[i] = nil end
  for _, entry in ipairs(pending) do self.bytes = self.bytes - (entry[3] or 0) end
  return pending
end

--- The task: it gathers, sends, and ends when there is nothing.
local function work(self)
  while self.pending[1] do
    if not self.ends and #self.pending < self.settings.together then
      self.gathering = true
      tasks.park("otlp", self.settings.gather)
      self.gathering = false
    end
    send(self, take(self))
    if self.ends and time.monotonic() >= self.ends then break end
  end
end

local function start(self)
  self.task = tasks.spawn(function()
    local ok, raised = pcall(work, self)
    self.task, self.gathering = nil, false
    if self.closer then tasks.wake(self.closer) end
    if not ok and not (errors.is(raised) and raised.kind == "cancelled") then
      self.lost = self.lost + #self.pending
      self.pending, self.bytes = {}, 0
      say(self, tostring(raised))
    end
  end, { system = true, name = "otlp" })
end

--- Bytes of contents that a span adds to the list; it has none where there is no room.
local function weigh(self, seen)
  if not seen.contents then return nil end
  local size = 0
  for _, content in ipairs(seen.contents) do size = size + #content[2] end
  if self.bytes + size > M.CONTENTS then
    seen.contents, seen.cut = nil, true
    return nil
  end
  self.bytes = self.bytes + size
  return size
end

local function sink_of(self)
  return function(record, call, value)
    if record.sampled == false then return end
    local pending = self.pending
    if #pending >= self.settings.waiting then
      self.lost = self.lost + 1
      return
    end
    local seen = facts.of(record, call, value, self.settings.contents)
    pending[#pending + 1] = { record, seen, weigh(self, seen) }
    if not self.task then
      start(self)
    elseif self.gathering and #pending >= self.settings.together then
      tasks.wake(self.task)
    end
  end
end

-- ---- what others call -----------------------------------------------------------------------------------------------------------

--- Send the spans of this process from now on.
---@param given stoke.traces.otlp.settings
---@return stoke.traces.otlp.sender
---
--- Example: `local sender = otlp.start(assert(settings.read(os.getenv)))`
function M.start(given)
  if running then M.stop() end
  local headers = { "Content-Type: application/json", table.unpack(given.headers) }
  for _, line in ipairs(given.headers) do redact.keep(line:match "^[^:]*:%s*(.*)$" or line) end
  redact.learn_url(given.url, true)
  local shown = given.url:gsub("//[^/@]*@", "//"):gsub("%?.*$", "")
  local self = setmetatable({ settings = given, url = given.url, shown = shown, headers = headers, pending = {}, bytes = 0,
    sent = 0, lost = 0, requests = 0 }, Sender)
  self.sink = sink_of(self)
  if given.contents then spans.contents = true end
  spans.listen(self.sink)
  keeper.at_end(M.stop)
  running = self
  return self
end

--- The same, as the environment has it. What is wrong with that is said, and the script runs without.
---@param bodies? boolean the settings ask for contents
---@return stoke.traces.otlp.sender|nil
---
--- Example: `otlp.from_environment()`
function M.from_environment(bodies)
  traceparent.off = settings.alone(os.getenv)
  if not settings.wanted(os.getenv) then return nil end
  local given, err = settings.read(os.getenv)
  if not given then
    scopes.tell(("spans are not sent: %s (%s)"):format(err.message, err.hint or "see stoke help environment"))
    return nil
  end
  given.contents = given.contents or bodies or false
  return M.start(given)
end

--- Send what waits, for up to M.GOODBYE seconds, and no more from then on.
---
--- Example: `otlp.stop()`
function M.stop()
  local self = running
  if not self then return end
  running = nil
  spans.unlisten(self.sink)
  self.ends = time.monotonic() + M.GOODBYE
  spans.contents = false
  self.closer = tasks.current()
  if self.task then tasks.wake(self.task) end
  while self.task do
    local left = self.ends - time.monotonic()
    if left <= 0 or keeper.wait("otlp", left) == nil then break end
  end
  if self.task then self.task:cancel "the process ends" end
  self.lost = self.lost + #self.pending
end

return M
