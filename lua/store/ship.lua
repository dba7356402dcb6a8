--- A run that several hosts may have is written down twice: in the store of the host that has it, and in a log that all of them
--- reach (lua/engine.lua). Each commit of the store is one entry of that log: the same statements, with the run's number in this
--- store taken out. Another host applies them to its own store, and goes on from there.
---
--- An entry is kept in the same commit as what it tells of (the table `outbox`), sent in its order, and deleted when the log has
--- it. So a host that was killed, or could not reach the log, loses nothing of it. The log takes an entry only behind the one that
--- the sender knows as its last: who is refused has lost the run to another host, and writes nothing more.

local engine = require "host.store"
local errors = require "core.errors"
local host = require "host.task"
local json = require "core.json"
local plain = require "core.store.plain"
local keep = require "core.store.keep"
local rand = require "host.rand"
local sql = require "core.store.statements"
local tasks = require "core.task"

local M = {}

--- Version of what is sent. A host that knows only older ones refuses a run.
M.VERSION = 1
--- Bytes of one value of the log, about: entries that wait are sent together, and one that is longer in pieces.
M.PART = 512 * 1024
--- Bytes that wait to be sent, from which on the run waits.
M.WAITING = 8 * 1024 * 1024

local FIRST <const>, LONGEST <const> = 0.1, 5 -- seconds between two attempts
local null, shipped = json.null, sql.shipped

local KEEP = "INSERT INTO outbox (run,number,entry) VALUES (?,?,?)"
local SENT = "DELETE FROM outbox WHERE run=? AND number<=?"
local SHARED = "UPDATE runs SET shared=? WHERE number=?"

--- A value that says nothing, but that somebody else writes now.
M.EMPTY = ("stoke %d "):format(M.VERSION)

-- ---- what is sent -------------------------------------------------------------------------------------------------------------

---@class stoke.store.ship
---@field log stoke.store.log
---@field batch userdata of the store, without what is told of it here
---@field after integer the last value that the log has of this run
---@field number integer of the last entry
---@field acknowledged integer the last entry that the log has
---@field bytes integer that wait
---@field failed? stoke.error nothing more is sent
local Ship = {}
Ship.__index = Ship

-- In place of the batch of a log: what is added goes to both.
local Batch = {}
Batch.__index = Batch

function Batch:__len() return #self.ship.batch end

--- A statement as it is sent: { code, number of parameters, parameter, ... }.
local function told(ship, text, params, from, n)
  local about = shipped[text]
  if not about then return end
  local out = { about.code, n }
  for i = 1, n do
    local value = params[from + i - 1]
    if i == about.record then value = value & 0xFFFFFFFF elseif i == about.run then value = null end
    out[i + 2] = value == nil and null or value
  end
  if about.code == sql.CONTENT_CODE and ship.elsewhere[out[3]] then out[4] = null end
  if about.code == sql.STATE_CODE and ship.to.state then ship.to.state(out[3], out[4] ~= null and out[4] or nil) end
  ship.entry[#ship.entry + 1] = out
end

function Batch:add(text, ...)
  self.ship.batch:add(text, ...)
  told(self.ship, text, { ... }, 1, select("#", ...))
end

function Batch:put(statement)
  self.ship.batch:put(statement)
  told(self.ship, statement[1], statement, 2, #statement - 1)
end

---@class stoke.store.destination
---@field append fun(after: integer, value: string): integer?, stoke.error? the place of the value; kind `parked`: the log has gone
---  on without this host; other errors pass
---@field lost fun(err: stoke.error) called once, when that is known
---@field slow? fun(err: stoke.error?) the log cannot be reached for now; without an error: it can again
---@field elsewhere? table<string, true> contents that every host gets by their hash
---@field state? fun(state: string, waits?: string) the run waits for something that may take long, or goes on

--- Send what a log writes, from now on, and what was left to be sent.
---@param log stoke.store.log
---@param to stoke.store.destination
---@return stoke.store.ship|nil
---@return stoke.error|nil err
function M.new(log, to)
  local store = log.store
  local found, err = store.db:query("SELECT shared FROM runs WHERE number=?", { log.run })
  local left
  if found then left, err = store.db:query("SELECT number,entry FROM outbox WHERE run=? ORDER BY number", { log.run }) end
  if not left then return nil, store:failed(err) end
  local ship = setmetatable({ log = log, to = to, batch = log.batch, after = found.rows[1][1], number = 0, acknowledged = 0,
    bytes = 0, queue = {}, first = 1, entry = {}, waiting = {}, writer = plain.hash(rand.new():bytes(16)):sub(1, 10),
    elsewhere = to.elsewhere or {} }, Ship)
  if left.rows[1] then ship.number, ship.acknowledged = left.rows[1][1] - 1, left.rows[1][1] - 1 end
  log.ship, log.batch = ship, setmetatable({ ship = ship }, Batch)
  for _, r in ipairs(left.rows) do ship:push(r[2]) end
  return ship
end

--- Another entry is to be sent.
---@private
function Ship:push(line)
  self.number = self.number + 1
  self.queue[self.number], self.bytes = line, self.bytes + #line
  if not self.task and not self.failed then
    self.task = tasks.spawn(self.work, { system = true, name = "journal" }, self)
  end
end

--- What was added since the last time is one entry.
---@return userdata batch for the store
function Ship:cut()
  if self.entry[1] and not self.failed then
    local line = plain.encode({ w = self.writer, n = self.number + 1, s = self.entry }, nil, true)
    self.entry = {}
    self.batch:add(KEEP, self.log.run, self.number + 1, line)
    self:push(line)
  end
  return self.batch
end

--- Entries that go together, and the last of them.
local function some(self)
  local list, size, last = {}, 0, self.acknowledged
  repeat
    last = last + 1
    list[#list + 1], size = self.queue[last], size + #self.queue[last] + 1
  until last == self.number or size >= M.PART
  return table.concat(list, "\n"), last
end

--- Values of the log begin with the version; then comes "+" where the next value goes on in the middle of an entry, else a blank.
local function values_of(text)
  local list = {}
  for at = 1, #text, M.PART do
    local part = text:sub(at, at + M.PART - 1)
    list[#list + 1] = ("stoke %d%s%s"):format(M.VERSION, at + M.PART <= #text and "+" or " ", part)
  end
  return list
end

local function wake_all(self)
  local list = self.waiting
  self.waiting = {}
  for _, task in ipairs(list) do tasks.wake(task) end
end

--- Send one value, for as long as that takes.
local function send(self, value)
  local pause, slow = FIRST, self.to.slow
  while not self.over do
    local offset, err = self.to.append(self.after, value)
    if offset then
      if pause > FIRST and slow then slow() end
      self.after = offset
      return true
    end
    if err.kind == "parked" then return nil, err end
    if pause == FIRST and slow then slow(err) end
    if host.park("journal", pause) == nil then return nil end
    pause = math.min(pause * 2, LONGEST)
  end
end

local function sent(self, last)
  for i = self.acknowledged + 1, last do
    self.bytes = self.bytes - #self.queue[i]
    self.queue[i] = nil
  end
  self.acknowledged = last
  self.log:also { SENT, self.log.run, last }
  self.log:also { SHARED, self.after, self.log.run }
  wake_all(self)
end

--- The task that sends.
---@private
function Ship:work()
  while self.acknowledged < self.number and not self.over do
    local text, last = some(self)
    local ok, err = true, nil
    for _, value in ipairs(values_of(text)) do
      if ok then ok, err = send(self, value) end
    end
    if not ok then
      if err then self:fail(err) end
      break
    end
    sent(self, last)
  end
  self.task = nil
  wake_all(self)
end

--- Nothing more is sent or written: another host has the run.
---@private
function Ship:fail(err)
  self.failed, self.over = err, true
  self.log.failed = self.log.failed or err
  wake_all(self)
  self.to.lost(err)
end

--- Wait until the log has all that was written so far; or only until there is room for more.
---@param room? boolean
---@return stoke.error|nil err
function Ship:wait(room)
  local last = self.number
  while not self.failed and (room and self.bytes > M.WAITING or not room and self.acknowledged < last) do
    if self.over then return errors.new("parked", "the process ends before the run's log has all of it") end
    self.waiting[#self.waiting + 1] = tasks.current()
    local woken, err = host.park "journal"
    if woken == nil then return err end
  end
  return self.failed
end

--- Is there room for more?
---@return boolean
function Ship:room() return self.bytes <= M.WAITING end

--- Send no more: the process ends, or gives the run up. What is not sent stays in the store.
function Ship:close()
  self.over = true
  if self.task then tasks.wake(self.task) end
  wake_all(self)
end

-- ---- what another host wrote --------------------------------------------------------------------------------------------------

local function newer(version)
  return errors.new("protocol", ("the journal of the run is of version %s, this stoke knows up to %d"):format(version, M.VERSION),
    { hint = "give this host the newer stoke; a run goes on where it is understood" })
end

local function damaged(what)
  return errors.new("protocol", "the journal of the run is damaged in the engine: " .. what,
    { hint = "stoke show ID, on the host that had it last, says how far it came there" })
end

--- The entries of a log's values, as they were sent.
---@param values string[]
---@return string[]|nil lines
---@return stoke.error|nil err
function M.lines(values)
  local lines, open = {}, ""
  for _, value in ipairs(values) do
    local version, more, text = value:match "^stoke (%d+)([+ ])(.*)$"
    if not version then return nil, damaged "a value has no version" end
    if tonumber(version) ~= M.VERSION then return nil, newer(version) end
    open = open .. text
    if more == " " then
      for line in open:gmatch "[^\n]+" do lines[#lines + 1] = line end
      open = ""
    end
  end
  return lines -- what was begun and not ended was never acknowledged: its sender is gone, or sends it again
end

--- How far a run came, as its log tells.
---@param values string[] of its log
---@return { steps: integer, ended: boolean }|nil far steps: effects with an outcome, and times that it waited for something. Who
---  takes it up again and dies writes much again, but adds none
---@return stoke.error|nil err kind `protocol`
function M.far(values)
  local lines, err = M.lines(values)
  if not lines then return nil, err end
  local far, known, restarts = { steps = 0, ended = false }, {}, 0
  for _, line in ipairs(lines) do
    local ok, entry = pcall(plain.decode, line)
    if not ok or type(entry) ~= "table" or type(entry.s) ~= "table" then return nil, damaged "an entry that is none" end
    for _, one in ipairs(entry.s) do
      local code, about = one[1], sql.OUTCOMES[one[1]]
      if code == sql.END_CODE then far.ended = true end
      if code == sql.RESTART_CODE then restarts = restarts + 1 end
      local outcome = about and (not about.outcome or one[about.outcome + 2])
      local record = outcome and outcome ~= null and ("%d %s"):format(restarts, one[about.record + 2])
      if record and not known[record] or code == sql.STATE_CODE and one[3] ~= "running" then far.steps = far.steps + 1 end
      if record then known[record] = true end
    end
  end
  return far
end

local function statement(one, number, content)
  local about = type(one) == "table" and shipped[one[1]]
  if not about or type(one[2]) ~= "number" then error(damaged "a statement that is none", 0) end
  local params = { about.sql }
  for i = 1, one[2] do
    local value = one[i + 2]
    if type(value) == "table" then value = engine.blob(value.blob) end
    params[i + 1] = value == nil and null or value
  end
  if about.code == sql.CONTENT_CODE and params[3] == null then params[3] = content(params[2]) end
  if about.run then params[about.run + 1] = number end
  if about.record then
    local record = params[about.record + 1]
    if math.type(record) ~= "integer" then error(damaged "a record without a number", 0) end
    params[about.record + 1] = number << 32 | record & 0xFFFFFFFF
  end
  return params
end

-- Statements that are written at once.
local SOME <const> = 5000

local function write(store, run, lines, offset, content)
  local batch = engine.batch()
  local function flush(last)
    if last then batch:put { SHARED, offset, run.number } end
    local ticket = errors.check(store.db:append(batch, last, run.number))
    errors.check(ticket:wait())
  end
  for _, line in ipairs(lines) do
    local entry = plain.decode(line)
    if type(entry) ~= "table" or type(entry.s) ~= "table" then error(damaged "an entry that is none", 0) end
    for _, one in ipairs(entry.s) do batch:put(statement(one, run.number, content)) end
    if #batch > SOME then flush(false) end
  end
  flush(true)
  return true
end

--- Before its journal has come: SHARED says that later.
local NONE_YET <const> = -1

--- A run as its log says, in a store that does not have it.
---@param store stoke.store
---@param fields { id: string, workflow: string, input: any }
---@param values string[] of its log
---@param offset integer the last of them
---@param content fun(hash: string): string what is elsewhere; raises
---@return stoke.store.run|nil
---@return stoke.error|nil err kind `protocol`: it cannot be read here; `db`
function M.take_in(store, fields, values, offset, content)
  local lines, err = M.lines(values)
  if not lines then return nil, err end
  local run
  run, err = store:create { id = fields.id, workflow = fields.workflow, input = fields.input, shared = NONE_YET }
  if not run then return nil, err end
  local ok, failed = pcall(write, store, run, lines, offset, content)
  if not ok then return nil, store:failed(errors.wrap(failed)) end
  return store:find(fields.id)
end

--- How a store's copy of a run stands to its log: what the log has beyond the last value that this store knows to be there.
---@param store stoke.store
---@param run stoke.store.run
---@param values string[] those behind run.shared
---@param offset integer the last of all
---@return boolean|nil agrees false: others have written since, or all of it never came; the copy is of no use
---@return stoke.error|nil err
function M.agrees(store, run, values, offset)
  if run.shared == NONE_YET then return false end
  if #values == 0 then return offset == run.shared end
  local lines, err = M.lines(values)
  if not lines then return nil, err end
  local left
  left, err = store.db:query("SELECT number,entry FROM outbox WHERE run=? ORDER BY number", { run.number })
  if not left then return nil, store:failed(err) end
  for i, line in ipairs(lines) do
    if not left.rows[i] or left.rows[i][2] ~= line then return false end
  end
  local last = lines[1] and left.rows[#lines][1] or 0
  return keep.transaction(store, function(does)
    does(SENT, { run.number, last })
    does(SHARED, { offset, run.number })
    return true
  end)
end

--- Delete a run, whatever its state: another host has it.
---@param store stoke.store
---@param run stoke.store.run
---@return boolean|nil ok
---@return stoke.error|nil err
function M.forget(store, run)
  return keep.transaction(store, function(does)
    for _, text in ipairs(keep.GONE) do does(text, { run.number }) end
    does("DELETE FROM outbox WHERE run=?", { run.number })
    return true
  end)
end

return M
