--- A group over NATS: its log is a JetStream stream. Two tasks read for it: one the log, one the headers of items, not further
--- ahead than it takes to lend without waiting.
---
--- The log has three kinds of subjects: BASE.log (claims and what is like them), BASE.o.OFFSET (how an item was settled: the last
--- one counts, and stays), BASE.snap (the machine, now and then, after which older claims are deleted). What a record says is in
--- its header "Stoke", so that all can follow without reading outcomes.

local errors = require "core.errors"
local groups = require "core.engine.group"
local jets = require "core.engine.nats.jet"
local json = require "core.json"
local machines = require "core.engine.machine"
local readers = require "core.engine.nats.reader"
local tasks = require "core.task"
local time = require "host.time"

local monotonic = time.monotonic

local M = { read = groups.read }

--- Records after which the machine is kept.
M.KEEP = 20000
--- Seconds after which a reader is made anew that did not come to what is there.
M.STUCK = 5

---@class core.engine.nats.group: core.engine.group
---@field jet core.engine.jet
---@field items string name of the JetStream stream of items
---@field log string name of that of the group
---@field base string
---@field passing integer[] records that are not needed any more once the machine is kept
local Group = setmetatable({}, { __index = groups.Group })
Group.__index = Group

--- The group is not followed any more.
function Group:close()
  self:fail(self:over())
  self.log_reader:close()
  self.item_reader:close()
end

function Group:clock() return self.jet:clock() end

-- ---- following the log -----------------------------------------------------------------------------------------------------

--- Begin at the last snapshot, or at the first record.
local function load(self)
  local found, err = self.jet:get(self.log, { { last_by_subj = self.base .. ".snap" } })
  if not found then return nil, err end
  local snap, picture, seq = found[1], nil, 0
  if snap then
    local record
    record, err = groups.read(snap.meta)
    if not record then return nil, err end
    picture, seq = json.decode(snap.data), record.at
    self.kept = snap.seq
  end
  self.machine, self.applied, self.passing = machines.new(picture), seq, {}
  self.log_reader:seek(seq + 1)
  return true
end

--- Records up to `at` are deleted by who has kept the machine.
local function forget(self, at)
  local rest = {}
  for _, seq in ipairs(self.passing) do
    if seq > at then rest[#rest + 1] = seq end
  end
  self.passing = rest
end

local function follow_one(self, m)
  if m.seq > self.applied + 1 then return load(self) end -- records before were deleted: there is a newer snapshot
  if m.seq <= self.applied then return true end
  local expected = self.expected[m.id]
  local record, err = expected and expected.record
  if not record then
    record, err = groups.read(m.meta)
    if not record then return nil, err end
  end
  if record.op == "snap" then
    self.kept = m.seq
    forget(self, record.at)
  else
    local ok
    ok, err = self:apply(m.id, record, m.seq, m.time)
    if not ok then return nil, err end
  end
  if m.pending == 0 then self.jet:tick(m.time) end
  if m.subject == self.base .. ".log" then self.passing[#self.passing + 1] = m.seq end
  self.applied = m.seq
  return true
end

local function follow(self)
  local ok, err = load(self)
  self.loaded = ok
  self:tell()
  while ok and not self.failed do
    local list
    list, err = self.log_reader:take(30)
    if not list then break end
    for _, m in ipairs(list) do
      ok, err = follow_one(self, m)
      if not ok or self.failed then break end
    end
    self:tell()
    if ok and #self.passing > M.KEEP then self:keep() end
  end
  self:fail(err and jets.problem(err, "cannot follow a group"))
end

--- An item's header, noted.
local function note(self, m)
  local record, err = groups.read(m.meta)
  if not record then return nil, err end
  self.machine:item(m.seq, record.key, not record.gone and record.size or nil)
  return true
end

local function read_ahead(self)
  local rewinds, machine = nil, nil
  local ok, err = self:await(function() return self.loaded end)
  while ok and not self.failed do
    if machine ~= self.machine or rewinds ~= self.machine.rewinds then
      machine, rewinds = self.machine, self.machine.rewinds
      self.item_reader:seek(machine.loaded + 1)
    end
    if not machine.began or machine:full() and machine.loaded >= self.need then
      ok, err = self:wait()
    else
      local list
      list, err = self.item_reader:take(1)
      if not list then break end
      -- what was read for another place is read again
      if machine == self.machine and rewinds == machine.rewinds then
        for _, m in ipairs(list) do
          ok, err = note(self, m)
          if not ok then break end
        end
        if list[1] then self:tell() end
      end
    end
  end
  self:fail(err and jets.problem(err, "cannot read the items of a group"))
end

-- ---- writing ---------------------------------------------------------------------------------------------------------------

--- Wait until the log is applied up to something that is in it. A reader that does not get there is made anew.
---@param is fun(): boolean
---@param seconds? number
---@return boolean|nil
---@return stoke.error|nil err
local function reach(self, is, seconds)
  seconds = seconds or jets.PATIENCE
  local last = monotonic() + seconds
  while true do
    local ok, err = self:await(is, math.min(last, monotonic() + M.STUCK))
    if ok ~= false then return ok, err end
    if monotonic() >= last then
      return nil, errors.new("timeout", ("the log of a group did not come within %g s from %s"):format(seconds, self.plain))
    end
    self.log_reader:again()
  end
end

function Group:outcome_subject(offset) return ("%s.o.%d"):format(self.base, offset) end

local function messages_of(self, list)
  local messages, expected = {}, {}
  for i, w in ipairs(list) do
    local id = jets.id()
    w.record.v = machines.VERSION
    expected[i] = { record = w.record }
    self.expected[id] = expected[i]
    messages[i] = { subject = w.outcome and self:outcome_subject(w.outcome) or self.base .. ".log", data = w.data or "",
      after = w.outcome and (w.after or 0), id = id, meta = json.encode(w.record) }
  end
  return messages, expected
end

--- Write records once: false for an outcome that is not the next of its subject.
local function write_once(self, list)
  local messages, expected = messages_of(self, list)
  local seqs, err = self.jet:write(messages)
  local ok = seqs
  for i, e in ipairs(expected) do
    if ok and seqs[i] == false then
      self.expected[messages[i].id], expected[i] = nil, false
    elseif ok then
      ok, err = reach(self, function() return e.done or self.applied >= seqs[i] end)
      if ok and not e.done then -- this host was away for so long that a snapshot has taken its place
        ok, err = nil, errors.new("incomplete", "what came of a record of the queue is not known any more")
      end
    end
  end
  if ok then return expected end
  for _, e in ipairs(expected) do
    if e then self:leave(e) end
  end
  return nil, jets.problem(err, "cannot write to a group")
end

--- An outcome is written behind the last one on its subject, which must be known here: one that was void from the beginning, or
--- that a rewind has made void.
local function follow_up(self, w)
  local found, err = self.jet:get(self.log, { { last_by_subj = self:outcome_subject(w.outcome) } })
  if not found then return nil, err end
  w.after = found[1] and found[1].seq or 0
  return reach(self, function() return self.applied >= w.after end)
end

function Group:write(list)
  local results, rest, places = {}, list, {}
  for i = 1, #list do places[i] = i end
  while rest[1] do
    local written, err = write_once(self, rest)
    if not written then return nil, err end
    local again, at = {}, {}
    for i, w in ipairs(rest) do
      results[places[i]] = written[i]
      if not written[i] then
        local ok
        ok, err = follow_up(self, w)
        if not ok then return nil, err end
        if self.machine:good(w.record.offset, w.record.fence) then
          again[#again + 1], at[#at + 1] = w, places[i]
        end
      end
    end
    rest, places = again, at
  end
  return results
end

--- Wait until all is known here that was written before.
---@param seconds? number
---@return boolean|nil
---@return stoke.error|nil err
function Group:catch_up(seconds)
  local log, err = self.jet:info(self.log, seconds)
  local items
  if log then items, err = self.jet:info(self.items, seconds) end
  if not items then return nil, err or errors.new("db", "a stream of the queue is gone") end
  local last, record = items.state.last_seq, log.state.last_seq
  return reach(self, function()
    local m = self.machine
    return m and self.applied >= record and (m.loaded >= last or m:full())
  end, seconds)
end

--- Keep the machine, so that nobody has to read the log from its beginning, and delete the claims before. They are deleted one by
--- one: a purge by subject makes the server's other readers skip what they have not yet read (2.9).
---@param now? boolean wait until it is done
function Group:keep(now)
  local at, picture, old = self.applied, json.encode(self.machine:picture()), self.passing
  self.passing = {}
  local function write()
    if #picture > self.jet.conn:about().max_payload // 2 then return nil, errors.new("limit", "too much is open to be kept") end
    local seqs, err = self.jet:write { { subject = self.base .. ".snap", data = picture, after = self.kept or 0,
      meta = json.encode { v = machines.VERSION, op = "snap", at = at } } }
    if not seqs then return nil, jets.problem(err, "cannot keep a group") end
    if not seqs[1] then return true end -- somebody else has
    self.kept = seqs[1]
    return self.jet:delete(self.log, old)
  end
  if now then return write() end
  tasks.spawn(write, { system = true, name = "queue" })
end

-- ---- reading ---------------------------------------------------------------------------------------------------------------

function Group:values(offsets)
  local found, err = self.jet:get(self.items, offsets)
  if not found then return nil, err end
  for i, m in ipairs(found) do found[i] = m and { record = groups.read(m.meta), data = m.data } end
  return found
end

function Group:settled(offset)
  local found, err = self.jet:get(self.log, { { last_by_subj = self:outcome_subject(offset) } })
  if not found then return nil, err end
  return found[1] and groups.read(found[1].meta) or false
end

function Group:record_at(seq)
  local found = self.jet:get(self.log, { seq })
  if not found or not found[1] then return false end
  return groups.read(found[1].meta), found[1].data
end

--- Follow a group, whose streams are there.
---@param jet core.engine.jet
---@param about { stream: string, group: string, items: string, log: string, base: string, by: string,
---  publish: fun(stream: string, items: table[]): any, stoke.error? }
---@return core.engine.nats.group
function M.open(jet, about)
  about.plain = jet.plain
  local self = setmetatable(groups.fields(about), Group)
  self.jet, self.items, self.log, self.base, self.passing = jet, about.items, about.log, about.base, {}
  self.log_reader = readers.new(jet, { stream = self.log, from = 1 })
  self.item_reader = readers.new(jet, { stream = self.items, from = 1 })
  tasks.spawn(follow, { system = true, name = "queue" }, self)
  tasks.spawn(read_ahead, { system = true, name = "queue" }, self)
  return self
end

return M
