--- A group over NATS: its log is a JetStream stream. Two tasks read for it: one the log, one the headers of items, not further
--- ahead than it takes to lend without waiting.
---
--- The log has four kinds of subjects: BASE.log (claims and what is like them), BASE.o.OFFSET (how an item was settled: the last
--- one counts, and stays), BASE.part and BASE.snap (the machine, now and then, in parts, and the record that names these; older
--- claims are deleted after it). What a record says is in its header "Stoke", so that all can follow without reading outcomes.

local errors = require "core.errors"
local fifo = require "core.fifo"
local groups = require "core.engine.group"
local jets = require "core.engine.nats.jet"
local json = require "core.json"
local machines = require "core.engine.machine"
local notice = require "core.gate.notice"
local readers = require "core.engine.nats.reader"
local tasks = require "core.task"
local time = require "host.time"

local monotonic = time.monotonic

local M = { read = groups.read }

--- Records after which the machine is kept, more where it is larger; seconds until that is tried again.
M.KEEP, M.AGAIN = 20000, 30
--- Bytes of a part of a snapshot, and of a snapshot, at most.
M.PART, M.MOST = 512 << 10, 64 << 20
--- Values of so many bytes on average are read ahead with their items; bytes of them that are kept, and what each takes beside.
M.SMALL, M.VALUES, M.BESIDE = 16 << 10, 16 << 20, 500
--- Seconds after which a reader is made anew that did not come to what is there.
M.STUCK = 5

---@class core.engine.nats.group: core.engine.group
---@field jet core.engine.jet
---@field items string name of the JetStream stream of items
---@field log string name of that of the group
---@field base string
---@field passing integer[] records that are not needed any more once the machine is kept
---@field ahead table<integer, { record: table, data: string }> values that were read ahead
---@field ages table the same in a queue, with their bytes
---@field kept integer the last snapshot
---@field size integer items in the last snapshot
---@field keep_after number when the machine may be kept the next time
---@field keeping boolean
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

--- The text of a snapshot; nil without an error where a part is gone.
local function join(self, seqs)
  local texts, step = {}, groups.BYTES // M.PART
  for first = 1, #seqs, step do
    local found, err = self.jet:get(self.log, table.move(seqs, first, math.min(first + step - 1, #seqs), 1, {}))
    if not found then return nil, err end
    for i, part in ipairs(found) do
      if not part then return nil end
      texts[first + i - 1] = part.data
    end
  end
  return table.concat(texts)
end

--- The last snapshot: its text, the record it was taken behind, and where it is; false where there is none.
local function snapshot(self)
  local tried
  while true do
    local found, err = self.jet:get(self.log, { { last_by_subj = self.base .. ".snap" } })
    if not found or not found[1] then return found and false, err end
    local snap = found[1]
    local record, why = groups.read(snap.meta)
    if not record then return nil, why end
    local text, gone = join(self, json.decode(snap.data))
    if text or gone then return text, gone or record.at, snap.seq end
    if tried == snap.seq then return nil, errors.new("db", "a part of a group's snapshot is gone") end
    tried = snap.seq -- else a newer one has come meanwhile, whose writer has deleted the parts of this one
  end
end

--- Begin at the last snapshot, or at the first record.
local function load(self)
  local text, at, seq = snapshot(self)
  if text == nil then return nil, at end
  local picture = text and json.decode(text) or nil
  self.machine, self.applied, self.passing = machines.new(picture), text and at or 0, {}
  self.kept, self.size = seq or self.kept, picture and #picture.open + #picture.dead or 0
  self.log_reader:seek(self.applied + 1)
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

local PASSING = { log = true, part = true, snap = true }

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
  elseif record.op ~= "part" then
    local ok
    ok, err = self:apply(m.id, record, m.seq, m.time)
    if not ok then return nil, err end
  end
  if m.pending == 0 then self.jet:tick(m.time) end
  if PASSING[m.subject:sub(#self.base + 2)] then self.passing[#self.passing + 1] = m.seq end
  self.applied = m.seq
  return true
end

--- Keep the machine, once there is enough to delete. Where that fails the log grows, which somebody should know.
local function keep_in_time(self)
  if self.keeping or #self.passing <= math.max(M.KEEP, self.size) or monotonic() < self.keep_after then return end
  self.keeping = true
  tasks.spawn(function()
    local ok, err = self:keep()
    self.keeping = false
    local name = ("the log of the group %s of the stream %s"):format(self.group, self.stream)
    if ok then return notice.over(name) end
    self.keep_after = monotonic() + M.AGAIN
    if not self.failed then notice.tell(name, "warn", ("%s cannot be shortened, and grows: %s"):format(name, err.message)) end
  end, { system = true, name = "queue" })
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
    if ok then keep_in_time(self) end
  end
  self:fail(err and jets.problem(err, "cannot follow a group"))
end

--- Take a value out of those that were read ahead.
local function take_value(self, offset)
  local value, ages = self.ahead[offset], self.ages
  if not value then return nil end
  self.ahead[offset], ages.bytes = nil, ages.bytes - #value.data - M.BESIDE
  fifo.remove(ages, value)
  return value
end

--- Keep a value until it is lent here; the oldest go where it is too much: they may be lent elsewhere.
local function keep_value(self, offset, record, data)
  take_value(self, offset)
  local value, ages = { offset = offset, record = record, data = data }, self.ages
  self.ahead[offset], ages.bytes = value, ages.bytes + #data + M.BESIDE
  fifo.push(ages, value)
  while ages.bytes > M.VALUES do take_value(self, ages.head.offset) end
end

--- Items, noted. Large values are not read ahead any more: each host would read all of them.
local function note(self, list)
  local bytes = 0
  for _, m in ipairs(list) do
    local record, err = groups.read(m.meta)
    if not record then return nil, err end
    self.machine:item(m.seq, record.key, not record.gone and record.size or nil)
    if self.item_reader.bodies and not record.gone then keep_value(self, m.seq, record, m.data) end
    bytes = bytes + #m.data
  end
  if bytes > M.SMALL * #list then self.item_reader:heads() end
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
        ok, err = note(self, list)
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
  local ok, at = seqs, 1
  if ok then
    for i, seq in ipairs(seqs) do
      if seq == false then self.expected[messages[i].id], expected[i] = nil, false end
    end
    ok, err = reach(self, function()
      while at <= #list and (not expected[at] or expected[at].done or self.applied >= seqs[at]) do at = at + 1 end
      return at > #list
    end)
  end
  for _, e in ipairs(expected) do
    if ok and e and not e.done then -- this host was away for so long that a snapshot has taken its place
      ok, err = nil, errors.new("incomplete", "what came of a record of the queue is not known any more")
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

--- Write a snapshot in parts, and behind them the record that names them: without it they are nothing, and deleted with the next.
---@param text string
---@param at integer it was taken behind this record
---@param after integer the snapshot before
---@return boolean|nil false: somebody else has written one meanwhile
---@return stoke.error|nil err
local function write_snapshot(self, text, at, after)
  local parts, size = {}, math.min(M.PART, self.jet.conn:about().max_payload // 2)
  for first = 1, #text, size do
    parts[#parts + 1] = { subject = self.base .. ".part", data = text:sub(first, first + size - 1),
      meta = json.encode { v = machines.VERSION, op = "part" } }
  end
  local seqs, err = self.jet:write(parts)
  if not seqs then return nil, jets.problem(err, "cannot keep a group") end
  local written
  written, err = self.jet:write { { subject = self.base .. ".snap", data = json.encode(seqs), after = after,
    meta = json.encode { v = machines.VERSION, op = "snap", at = at } } }
  if not written then return nil, jets.problem(err, "cannot keep a group") end
  if not written[1] then return false end
  self.kept = written[1]
  return true
end

--- Keep the machine, so that nobody has to read the log from its beginning, and delete the claims before. They are deleted one by
--- one: a purge by subject makes the server's other readers skip what they have not yet read (2.9).
---@return boolean|nil
---@return stoke.error|nil err
function Group:keep()
  local at, after, old = self.applied, self.kept, table.move(self.passing, 1, #self.passing, 1, {})
  local picture = self.machine:picture()
  local text = json.encode(picture)
  if #text > M.MOST then
    return nil, errors.new("limit", ("%d open items and %d dead letters are too much to be kept: %d bytes, the most is %d"):format(
      #picture.open, #picture.dead, #text, M.MOST), { hint = "bring dead letters back once what they died of is mended" })
  end
  local ok, err = write_snapshot(self, text, at, after)
  if not ok then return ok == false or nil, err end
  self.size = #picture.open + #picture.dead
  ok, err = self.jet:delete(self.log, old)
  if not ok then table.move(old, 1, #old, #self.passing + 1, self.passing) end -- with the next
  return ok, err
end

-- ---- reading ---------------------------------------------------------------------------------------------------------------

function Group:values(offsets)
  local values, wanted, places = {}, {}, {}
  for i, offset in ipairs(offsets) do
    values[i] = take_value(self, offset) or false
    if not values[i] then
      wanted[#wanted + 1], places[#places + 1] = offset, i
    end
  end
  local found, err = self.jet:get(self.items, wanted)
  if not found then return nil, err end
  for i, m in ipairs(found) do values[places[i]] = m and { record = groups.read(m.meta), data = m.data } end
  return values
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
  self.kept, self.size, self.keep_after = 0, 0, 0
  self.log_reader = readers.new(jet, { stream = self.log, from = 1 })
  self.item_reader = readers.new(jet, { stream = self.items, from = 1, bodies = true })
  self.ahead, self.ages = {}, { bytes = 0 }
  tasks.spawn(follow, { system = true, name = "queue" }, self)
  tasks.spawn(read_ahead, { system = true, name = "queue" }, self)
  return self
end

return M
