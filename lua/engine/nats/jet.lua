--- JetStream, asked with its own messages: streams, records with conditions, readers.
---
--- Each write has a number of its own as its Nats-Msg-Id, so that one whose answer was lost is written again without doing it
--- twice: the server knows these for two minutes, and nothing is tried for longer than PATIENCE.

local errors = require "core.errors"
local hash = require "core.hash"
local host = require "host.task"
local json = require "core.json"
local nats = require "host.nats"
local rand = require "host.rand"
local time = require "host.time"

local monotonic = time.monotonic

local M = {}

--- Seconds: for one answer; for all tries of one question; between two tries, at most.
M.ANSWER, M.PATIENCE, M.PAUSE = 5, 30, 1
--- Messages, and bytes, that are sent at once.
M.BATCH, M.BYTES = 500, 8 << 20

---@class core.engine.jet
---@field conn userdata
---@field prefix string of all subjects and streams
---@field replicas integer
---@field plain string the URL, without a password
---@field known table<string, boolean> streams that are there
---@field ahead number seconds that the server's clock is ahead of our monotonic one
local Jet = {}
Jet.__index = Jet

-- ---- names --------------------------------------------------------------------------------------------------------------

--- A text as one token of a subject: what NATS does not take is written =XX.
---@param text string
---@return string
function M.token(text)
  return (text:gsub("[^%w_/-]", function(c) return ("=%02X"):format(c:byte()) end))
end

--- The text of a token.
---@param token string
---@return string
function M.text(token)
  return (token:gsub("=(%x%x)", function(x) return string.char(tonumber(x, 16)) end))
end

--- Tokens as a part of a stream's name, which is also a token of its subjects. A long one is cut, and told apart by a digest.
---@param ... string
---@return string
function M.name(...)
  local parts = { ... }
  for i, part in ipairs(parts) do parts[i] = M.token(part):gsub("/", "=2F") end
  local name = table.concat(parts, "==")
  if #name <= 160 then return name end
  return name:sub(1, 120) .. "===" .. hash.sha256(name):sub(1, 24)
end

local mine, count = rand.new():bytes(10):gsub(".", function(c) return ("%02x"):format(c:byte()) end), 0

--- A text that no other host ever makes: --seed has no part in it.
---@return string
function M.id()
  count = count + 1
  return ("%s%x"):format(mine, count)
end

-- ---- asking -------------------------------------------------------------------------------------------------------------

local function closed(self) return errors.new("cancelled", ("the queue %s was closed"):format(self.plain)) end

--- Wait, unless the engine is closed.
---@param seconds number
---@return boolean|nil
---@return stoke.error|nil err
function Jet:pause(seconds)
  local ok, err = host.park("queue", seconds)
  if ok == nil then return nil, err end
  if self.closed then return nil, closed(self) end
  return true
end

--- An error of the connection: of what is missing when it was refused.
local function of_connection(err)
  if err and err.kind == "refused" then err.hint = "is nats-server running there, with JetStream? (nats-server -js)" end
  return err
end

local function ask_missing(self, list, answers, missing)
  local some = {}
  for i, at in ipairs(missing) do some[i] = list[at] end
  local got, err = self.conn:ask(some, M.ANSWER)
  of_connection(err)
  if not got then return missing, err end
  local left = {}
  for i, at in ipairs(missing) do
    if got[i] then answers[at] = got[i] else left[#left + 1] = at end
  end
  return left, err
end

--- Ask questions, at most BATCH of them, each of which may be asked twice; until all are answered.
---@param list table[] { subject, data, header, value ... }
---@param patience? number seconds for all tries
---@return table[]|nil answers
---@return stoke.error|nil err
function Jet:ask(list, patience)
  if self.closed then return nil, closed(self) end
  local answers, missing, last, pause = {}, {}, monotonic() + (patience or M.PATIENCE), 0.05
  for i = 1, #list do missing[i] = i end
  while true do
    local err
    missing, err = ask_missing(self, list, answers, missing)
    if not missing[1] then return answers end
    if self.closed then return nil, closed(self) end
    if not (err.kind == "refused" or err.kind == "timeout" or err.kind == "overloaded") or monotonic() > last then
      return nil, err
    end
    local ok
    ok, err = self:pause(pause)
    if not ok then return nil, err end
    pause = math.min(pause * 2, M.PAUSE)
  end
end

-- Error codes of JetStream that say something to us.
local CODES = {
  [10071] = "conflict", [10059] = "no stream", [10014] = "no consumer", [10037] = "no message", [10058] = "exists",
  [10065] = "overlap",
}
local FULL = { [10002] = true, [10023] = true, [10028] = true, [10047] = true, [10077] = true, [10054] = true }

local function refusal(self, said)
  local code = said.err_code
  if FULL[code] then
    return errors.new("overloaded", ("NATS has no room: %s"):format(said.description),
      { hint = "free space, or raise the limits of JetStream (max_file, max_bytes)" })
  elseif code == 10039 or code == 10076 then
    return errors.new("protocol", ("JetStream is not enabled at %s"):format(self.plain),
      { hint = "start the server with it: nats-server -js" })
  end
  return errors.new("db", ("NATS refused: %s (%s)"):format(tostring(said.description), tostring(code)))
end

--- What an answer says: its table; nil, what is the matter (a word of CODES), or an error.
local function read(self, answer)
  if answer.status == "503" then return nil, "nobody" end
  local said = json.decode(answer.data)
  if type(said) ~= "table" then return nil, errors.new("protocol", "NATS gave an answer that is no JSON") end
  if not said.error then return said end
  return nil, CODES[said.error.err_code] or refusal(self, said.error)
end

--- Ask JetStream's interface.
---@param subject string behind $JS.API.
---@param body? table
---@param patience? number seconds for all tries
---@return table|nil
---@return string|stoke.error|nil err a word of CODES where it is one
function Jet:api(subject, body, patience)
  local answers, err = self:ask({ { "$JS.API." .. subject, body and json.encode(body) or "" } }, patience)
  if not answers then return nil, err end
  local said
  said, err = read(self, answers[1])
  if err == "nobody" then
    return nil, errors.new("protocol", ("JetStream is not enabled at %s, or this user may not use it"):format(self.plain),
      { hint = "start the server with it: nats-server -js" })
  end
  return said, err
end

--- An error of what was said, where a word is none that the caller knows.
---@param word string|stoke.error
---@param what string
---@return stoke.error
function M.problem(word, what)
  if type(word) ~= "string" then return word end
  return errors.new("db", ("%s: %s"):format(what, word))
end

-- ---- streams ------------------------------------------------------------------------------------------------------------

--- Make a stream, if it is not there.
---@param name string
---@param subjects string[]
---@param about string what it is, for people
---@param more? table further settings
---@return boolean|nil
---@return stoke.error|nil err
function Jet:stream(name, subjects, about, more)
  if self.known[name] then return true end
  local config = { name = name, subjects = subjects, description = about, storage = "file", retention = "limits",
    discard = "new", num_replicas = self.replicas, allow_direct = true, max_consumers = -1, max_msgs = -1, max_bytes = -1,
    duplicate_window = 120 * 1000000000 }
  for key, value in next, more or {} do config[key] = value end
  local last = monotonic() + M.ANSWER
  while true do
    local made, err = self:api("STREAM.CREATE." .. name, config)
    if made or err == "exists" then break end
    -- a stream that another host is just making is told as one of the same subjects before it is there
    if err ~= "overlap" or monotonic() > last then return nil, M.problem(err, "cannot make the stream " .. name) end
    local ok
    ok, err = self:pause(0.05)
    if not ok then return nil, err end
  end
  self.known[name] = true
  return true
end

--- What a stream is and holds; false where there is none.
---@param name string
---@param patience? number seconds for all tries
---@return table|false|nil
---@return stoke.error|nil err
function Jet:info(name, patience)
  local said, err = self:api("STREAM.INFO." .. name, nil, patience)
  if said then return said end
  if err == "no stream" then return false end
  return nil, M.problem(err, "cannot look at a stream")
end

--- Delete all messages of a subject, of a stream that nobody follows.
---@param name string
---@param subject string
function Jet:purge(name, subject)
  local said, err = self:api("STREAM.PURGE." .. name, { filter = subject })
  if said then return true end
  return nil, M.problem(err, "cannot purge a stream")
end

--- Delete messages by their sequences. One that is not there is deleted already.
---@param name string
---@param seqs integer[]
---@return boolean|nil
---@return stoke.error|nil err
function Jet:delete(name, seqs)
  for first = 1, #seqs, M.BATCH do
    local list = {}
    for i = first, math.min(first + M.BATCH - 1, #seqs) do
      list[#list + 1] = { "$JS.API.STREAM.MSG.DELETE." .. name, ('{"seq":%d,"no_erase":true}'):format(seqs[i]) }
    end
    local answers, err = self:ask(list)
    if not answers then return nil, err end
    for _, answer in ipairs(answers) do
      local said, why = read(self, answer)
      if not said and why ~= "no message" then return nil, M.problem(why, "cannot delete a message") end
    end
  end
  return true
end

-- ---- writing and reading ------------------------------------------------------------------------------------------------

---@class core.engine.jet.write
---@field subject string
---@field data string
---@field meta? string for the header "Stoke"
---@field after? integer what the last sequence of its subject must be
---@field more? string[] further headers
---@field id? string as Nats-Msg-Id

local function message(w, id)
  local m = { w.subject, w.data, "Nats-Msg-Id", id }
  if w.meta then m[5], m[6] = "Stoke", w.meta end
  if w.after then m[#m + 1], m[#m + 2] = "Nats-Expected-Last-Subject-Sequence", tostring(w.after) end
  if w.more then table.move(w.more, 1, #w.more, #m + 1, m) end
  return m
end

--- Ask for messages to be stored. A stream that another host is just making is answered for by nobody yet: it is asked again.
local function store(self, messages)
  local last = monotonic() + M.ANSWER
  while true do
    local answers, err = self:ask(messages)
    if not answers then return nil, err end
    for _, answer in ipairs(answers) do
      if answer.status ~= "503" then return answers end -- the order of what is stored stays that of the list
    end
    if monotonic() > last then return nil, "no stream" end
    local ok
    ok, err = self:pause(0.05)
    if not ok then return nil, err end
  end
end

local function write_some(self, list, first, last, results)
  local messages = {}
  for i = first, last do messages[#messages + 1] = message(list[i], list[i].id or M.id()) end
  local answers, err = store(self, messages)
  if not answers then return nil, err end
  for i, answer in ipairs(answers) do
    local seq, said, why = answer.data:match '^{"stream":"[^"]*", ?"seq":(%d+)', nil, nil -- a long way round for each message else
    if not seq then said, why = read(self, answer) end
    if seq or said then
      results[first + i - 1] = seq and math.tointeger(seq) or said.seq
    elseif why == "conflict" then
      results[first + i - 1] = false
    else
      return nil, why == "nobody" and "no stream" or M.problem(why, "cannot write")
    end
  end
  return true
end

--- Write messages, in their order; each is written or not by itself.
---@param list core.engine.jet.write[]
---@return (integer|false)[]|nil sequences; false: the last of its subject is not `after`
---@return stoke.error|string|nil err "no stream": nobody takes these subjects
function Jet:write(list)
  local results, first, bytes = {}, 1, 0
  for i = 1, #list do
    bytes = bytes + #list[i].data
    local after = list[i + 1]
    if not after or i - first + 1 >= M.BATCH or bytes + #after.data > M.BYTES then
      local ok, err = write_some(self, list, first, i, results)
      if not ok then return nil, err end
      first, bytes = i + 1, 0
    end
  end
  return results
end

--- A time as JetStream writes it, in seconds since 1970.
---@param stamp string "2026-11-30T20:22:23.7372921Z"
---@return number
function M.seconds_of(stamp)
  local y, mo, d, h, mi, s, rest = stamp:match "^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)(%.?%d*)Z$"
  if not y then return 0 end
  y, mo, d = math.tointeger(y), math.tointeger(mo), math.tointeger(d)
  local shifted = mo <= 2 and y - 1 or y -- days since 1970, by the calendar that begins its years in March
  local day = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + (153 * ((mo + 9) % 12) + 2) // 5 + d - 719469
  return day * 86400 + math.tointeger(h) * 3600 + math.tointeger(mi) * 60 + math.tointeger(s)
    + (tonumber("0" .. rest) or 0)
end

--- Read messages by what they are: a sequence, { last_by_subj = SUBJECT }, or { next_by_subj = SUBJECT, seq = N }.
---@param name string
---@param wanted (integer|table)[]
---@return (table|false)[]|nil { seq, stamp, of (its subject), meta, data, operation }; false: there is none
---@return stoke.error|nil err
function Jet:get(name, wanted)
  local found, subject = {}, "$JS.API.DIRECT.GET." .. name
  for first = 1, #wanted, M.BATCH do
    local list = {}
    for i = first, math.min(first + M.BATCH - 1, #wanted) do
      local one = wanted[i]
      list[#list + 1] = { subject, math.type(one) == "integer" and ('{"seq":%d}'):format(one) or json.encode(one) }
    end
    local answers, err = self:ask(list)
    if not answers then return nil, err end
    for i, answer in ipairs(answers) do
      answer.seq = answer.sequence and math.tointeger(answer.sequence)
      found[first + i - 1] = answer.seq and answer or false
    end
  end
  return found
end

-- ---- the server's clock -------------------------------------------------------------------------------------------------

--- Note a time of the server's that is now, or was a moment ago.
function Jet:tick(stamp)
  local ahead = stamp - monotonic()
  if not self.ahead or ahead > self.ahead or monotonic() - self.ticked > 60 then
    self.ahead, self.ticked = ahead, monotonic() -- the least delayed of a minute
  end
end

--- Seconds since 1970 by the server's clock, as far as it is known.
---@return number|nil
function Jet:clock() return self.ahead and monotonic() + self.ahead end

-- ---- opening ------------------------------------------------------------------------------------------------------------

--- Connect.
---@param at { servers: string[], options: table, prefix: string, replicas: integer, plain: string }
---@return core.engine.jet|nil
---@return stoke.error|nil err
function M.open(at)
  local conn, err = nats.connect(at.servers, at.options)
  if not conn then
    err.message = ("%s (%s)"):format(err.message, at.plain)
    return nil, of_connection(err)
  end
  return setmetatable({ conn = conn, prefix = at.prefix, replicas = at.replicas, plain = at.plain, known = {}, ticked = 0,
    closed = false }, Jet)
end

function Jet:close()
  if self.closed then return end
  self.closed = true
  self.conn:close()
end

return M
