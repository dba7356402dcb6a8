--- One group of one stream, in this process: it follows the group's log, computes what is lent (lua/engine/machine.lua), and writes
--- claims and settlements into the log. Two tasks read for it: one the log, one the headers of items, not further ahead than it
--- takes to lend without waiting.
---
--- The log is a JetStream stream of three kinds of subjects: BASE.log (claims and what is like them), BASE.o.OFFSET (how an item
--- was settled: the last one counts, and stays), BASE.snap (the machine, now and then, after which older claims are deleted). What
--- a record says is in its header "Stoke", so that all can follow without reading outcomes.

local errors = require "core.errors"
local host = require "host.task"
local jets = require "core.engine.nats.jet"
local json = require "core.json"
local machines = require "core.engine.machine"
local readers = require "core.engine.nats.reader"
local tasks = require "core.task"
local time = require "host.time"

local monotonic = time.monotonic

local M = {}

--- Items that can be lent are read ahead, at least so many; records after which the machine is kept.
M.AHEAD, M.KEEP = 2000, 20000
--- Seconds after which a reader is made anew that did not come to what is there.
M.STUCK = 5
--- The part of a lease that may be over when a claim is given.
M.SLOW = 0.1
--- Seconds a claim waits after it was given nothing although there seemed to be something.
M.AGAIN = 0.02

---@class core.engine.group
---@field jet core.engine.jet
---@field stream string
---@field group string
---@field items string name of the JetStream stream of items
---@field log string name of that of the group
---@field base string
---@field machine core.engine.machine
---@field applied integer the last record
---@field expected table<string, table> by the id of a message of ours: { record, result, seq, done }
---@field parked table<thread, true>
---@field passing integer[] records that are not needed any more once the machine is kept
---@field failed? stoke.error
local Group = {}
Group.__index = Group

-- ---- waiting ------------------------------------------------------------------------------------------------------------

--- Wake who waits for a change.
function Group:tell()
  local parked = self.parked
  if not next(parked) then return end
  self.parked = {}
  for co in next, parked do host.wake(co) end
end

--- Wait for a change.
---@param seconds? number
---@return boolean|nil true, false when the time is up
---@return stoke.error|nil err
function Group:wait(seconds)
  local co = host.enter "queue".co
  self.parked[co] = true
  local woken, err = host.park("queue", seconds)
  self.parked[co] = nil
  if woken == nil then return nil, err end
  if self.failed then return nil, self.failed end
  return woken
end

local function await(self, is)
  while not is() do
    local ok, err = self:wait()
    if ok == nil then return nil, err end
  end
  return true
end

--- Wait until the log is applied up to something that is in it. A reader that does not get there is made anew.
---@param is fun(): boolean
function Group:reach(is)
  while not is() do
    local woken, err = self:wait(M.STUCK)
    if woken == nil then return nil, err end
    if not woken then self.log_reader:again() end
  end
  return true
end

local function fail(self, err)
  if self.failed then return end
  self.failed = err
  self:tell()
end

--- The group is not followed any more.
function Group:close()
  fail(self, errors.new("cancelled", ("the queue %s was closed"):format(self.jet.plain)))
  self.log_reader:close()
  self.item_reader:close()
end

-- ---- following the log --------------------------------------------------------------------------------------------------

local function newer(v)
  return errors.new("protocol", ("the queue was written by a newer stoke: its records have version %s, this one knows up to %d")
    :format(tostring(v), machines.VERSION), { hint = "use the same version of stoke on all hosts" })
end

--- What a header says; nil and an error where it is none of ours.
local function read(meta)
  local record = meta and json.decode(meta)
  if type(record) ~= "table" or math.type(record.v) ~= "integer" then
    return nil, errors.new("protocol", "a stream of the queue holds a message that stoke did not write")
  end
  if record.v > machines.VERSION then return nil, newer(record.v) end
  return record
end

--- Begin at the last snapshot, or at the first record.
local function load(self)
  local found, err = self.jet:get(self.log, { { last_by_subj = self.base .. ".snap" } })
  if not found then return nil, err end
  local snap, picture, seq = found[1], nil, 0
  if snap then
    local record
    record, err = read(snap.meta)
    if not record then return nil, err end
    picture, seq = json.decode(snap.data), record.at
    self.kept = snap.seq
  end
  self.machine, self.applied, self.passing = machines.new(picture), seq, {}
  self.log_reader:seek(seq + 1)
  return true
end

local function given_back(self, claims)
  local list = {}
  for i, c in ipairs(claims) do list[i] = { claim = c, state = "back" } end
  if list[1] then tasks.spawn(function() self:settle(list) end, { system = true, name = "queue" }) end
end

--- Whoever wrote it hears what came of it.
local function answer(self, m, expected, result)
  self.expected[m.id] = nil
  expected.result, expected.seq, expected.done = result, m.seq, true
  if expected.left and expected.record.op == "claim" then given_back(self, result) end
end

--- Items up to `known` are read before a claim is applied that knew them.
local function read_up_to(self, known)
  if self.machine.loaded >= known then return true end
  self.need = known
  self:tell()
  return await(self, function() return self.machine.loaded >= known end)
end

--- Records up to `at` are deleted by who has kept the machine.
local function forget(self, at)
  local rest = {}
  for _, seq in ipairs(self.passing) do
    if seq > at then rest[#rest + 1] = seq end
  end
  self.passing = rest
end

local function apply(self, m)
  if m.seq > self.applied + 1 then return load(self) end -- records before were deleted: there is a newer snapshot
  if m.seq <= self.applied then return true end
  local expected = self.expected[m.id]
  local record, err = expected and expected.record
  if not record then
    record, err = read(m.meta)
    if not record then return nil, err end
  end
  if record.op == "snap" then
    self.kept = m.seq
    forget(self, record.at)
  else
    if record.known then
      local ok
      ok, err = read_up_to(self, record.known)
      if not ok then return nil, err end
    end
    local result = self.machine:apply(record, m.seq, m.time)
    if expected then answer(self, m, expected, result) end
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
      ok, err = apply(self, m)
      if not ok or self.failed then break end
    end
    self:tell()
    if ok and #self.passing > M.KEEP then self:keep() end
  end
  fail(self, err and jets.problem(err, "cannot follow a group") or self.failed)
end

--- An item's header, noted.
local function note(self, m)
  local record, err = read(m.meta)
  if not record then return nil, err end
  self.machine:item(m.seq, record.key, not record.gone and record.size or nil)
  return true
end

local function read_ahead(self)
  local rewinds, machine = nil, nil
  local ok, err = await(self, function() return self.loaded end)
  while ok and not self.failed do
    if machine ~= self.machine or rewinds ~= self.machine.rewinds then
      machine, rewinds = self.machine, self.machine.rewinds
      self.item_reader:seek(machine.loaded + 1)
    end
    if not machine.began or machine:waiting() >= M.AHEAD and machine.loaded >= self.need then
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
  fail(self, err and jets.problem(err, "cannot read the items of a group") or self.failed)
end

-- ---- writing ------------------------------------------------------------------------------------------------------------

--- Write records and wait until they are applied here.
---@param list { record: table, subject?: string, data?: string, after?: integer }[] subject: BASE.log when not given
---@return table[]|nil { result }; false where `after` was not the last
---@return stoke.error|nil err
function Group:write(list)
  local writes, expected = {}, {}
  for i, w in ipairs(list) do
    local id = jets.id()
    w.record.v = machines.VERSION
    expected[i] = { record = w.record }
    self.expected[id] = expected[i]
    writes[i] = { subject = w.subject or self.base .. ".log", data = w.data or "", after = w.after, id = id,
      meta = json.encode(w.record) }
  end
  local seqs, err = self.jet:write(writes)
  local ok = seqs
  for i, e in ipairs(expected) do
    if ok and seqs[i] == false then
      self.expected[writes[i].id], expected[i] = nil, false
    elseif ok then
      ok, err = self:reach(function() return e.done or self.applied >= seqs[i] end)
      if ok and not e.done then -- this host was away for so long that a snapshot has taken its place
        ok, err = nil, errors.new("incomplete", "what came of a record of the queue is not known any more")
      end
    end
  end
  if ok then return expected end
  for i, e in ipairs(expected) do
    if e and e.done and list[i].record.op == "claim" then given_back(self, e.result) end
    if e then e.left = true end -- it may still come: a claim is given back then
  end
  return nil, jets.problem(err, "cannot write to a group")
end

--- Wait until all is known here that was written before.
---@return boolean|nil
---@return stoke.error|nil err
function Group:sync()
  local log, err = self.jet:info(self.log)
  local items
  if log then items, err = self.jet:info(self.items) end
  if not items then return nil, err or errors.new("db", "a stream of the queue is gone") end
  local last, record = items.state.last_seq, log.state.last_seq
  return await(self, function()
    local m = self.machine
    return self.applied >= record and (m.loaded >= last or m:waiting() >= M.AHEAD)
  end)
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

-- ---- claiming -----------------------------------------------------------------------------------------------------------

--- Values of what was lent. An item whose last lease ran out, or whose value is gone, is dead instead.
local function fetch(self, given)
  local wanted, claims, dead = {}, {}, {}
  for i, g in ipairs(given) do wanted[i] = g.offset end
  local found, err = self.jet:get(self.items, wanted)
  if not found then
    given_back(self, given)
    return nil, err
  end
  for i, g in ipairs(given) do
    local m = found[i]
    local record = m and read(m.meta)
    local claim = { stream = self.stream, group = self.group, offset = g.offset, key = g.key, try = g.try, fence = g.fence,
      id = record and record.id, v = record and record.item, value = m and m.data }
    if g.spent then
      dead[#dead + 1] = { claim = claim, state = "dead", reason = ("its lease ran out %d times"):format(g.try) }
    elseif not record then
      dead[#dead + 1] = { claim = claim, state = "dead", reason = "its value was trimmed" }
    else
      claims[#claims + 1] = claim
    end
  end
  if dead[1] then
    local ok
    ok, err = self:settle(dead)
    if not ok then return nil, err end
  end
  return claims
end

--- Publish what others have settled, and died before it was handed over.
local function hand_over(self, hands)
  tasks.spawn(function()
    for _, h in ipairs(hands) do
      local found = self.jet:get(self.log, { h.at })
      local m = found and found[1]
      local record = m and read(m.meta)
      if record and self:publish_of(record, m.data) then self:write { { record = { op = "handed", offsets = { h.offset } } } } end
    end
  end, { system = true, name = "queue" })
end

--- What was lent, with its whole lease: where the answer took long, it begins anew.
local function in_time(self, claims, lease, asked)
  while claims[1] and monotonic() - asked > lease * M.SLOW do
    asked = monotonic()
    local lost, err = self:renew(claims, lease)
    if not lost then
      given_back(self, claims)
      return nil, err
    end
    local gone, rest = {}, {}
    for _, c in ipairs(lost) do gone[c] = true end
    for _, c in ipairs(claims) do
      if not gone[c] then rest[#rest + 1] = c end
    end
    claims = rest
  end
  return claims
end

local function claim_once(self, q)
  local asked = monotonic()
  local list, err = self:write { { record = { op = "claim", n = q.n, lease = q.lease, tries = q.tries, by = self.by,
    known = self.machine.loaded } } }
  if not list then return nil, err end
  local given = list[1].result
  if given.hands then hand_over(self, given.hands) end
  if not given[1] then return {} end
  local claims
  claims, err = fetch(self, given)
  if not claims then return nil, err end
  return in_time(self, claims, q.lease, asked)
end

--- As core.engine's claim.
function Group:claim(q)
  local last, synced = monotonic() + q.wait, false
  local ok, err = await(self, function() return self.machine and self.machine.began end)
  while ok do
    local can, due = self.machine:lendable(self.jet:clock() or 0)
    local pause
    if can then
      local claims
      claims, err = claim_once(self, q)
      if not claims or claims[1] then return claims, err end
      pause = M.AGAIN
    elseif due then
      pause = math.max(due - (self.jet:clock() or 0), M.AGAIN)
    end
    local left = last - monotonic()
    if left <= 0 and (synced or can) then return {} end
    if left <= 0 then
      synced = true
      ok, err = self:sync()
    else
      ok, err = self:wait(math.min(left, pause or left))
      ok = ok ~= nil
    end
  end
  return nil, err
end

--- As core.engine's renew, of claims of this group.
function Group:renew(claims, lease)
  local list = {}
  for i, c in ipairs(claims) do list[i] = { c.offset, c.fence } end
  local written, err = self:write { { record = { op = "renew", claims = list, lease = lease } } }
  if not written then return nil, err end
  local lost = {}
  for i, at in ipairs(written[1].result) do lost[i] = claims[at] end
  return lost
end

-- ---- settling -----------------------------------------------------------------------------------------------------------

local SETTLED = { done = true, dead = true }

function Group:outcome_subject(offset) return ("%s.o.%d"):format(self.base, offset) end

--- A settlement as a record, and its bytes: the outcome's value, then the values that are handed over.
local function record_of(self, s)
  local c = s.claim
  local item = self.machine.open[c.offset]
  local record = { op = "settle", offset = c.offset, fence = c.fence, state = s.state, reason = s.reason, delay = s.delay or 0 }
  local w = { record = record }
  if not SETTLED[s.state] then return w end
  record.id, record.key, record.try = c.id, item.key, item.try
  local parts = { s.value or "" }
  record.value = s.value and #s.value or nil
  if s.publish and s.publish[1] then
    record.hands = {}
    for i, p in ipairs(s.publish) do
      record.hands[i] = { stream = p.stream, id = p.id, key = p.key, v = p.v, size = #p.value }
      parts[i + 1] = p.value
    end
  end
  w.subject, w.data, w.after = self:outcome_subject(c.offset), table.concat(parts), 0
  return w
end

--- The items that a record hands over.
local function hands_of(record, data)
  local at, list = (record.value or 0) + 1, {}
  for i, h in ipairs(record.hands) do
    list[i] = { stream = h.stream, id = h.id, key = h.key, v = h.v, value = data:sub(at, at + h.size - 1) }
    at = at + h.size
  end
  return list
end

--- Publish what a record hands over. Known ids are no error: somebody may have begun.
function Group:publish_of(record, data)
  local order, by = {}, {}
  for _, item in ipairs(hands_of(record, data)) do
    if not by[item.stream] then
      by[item.stream] = {}
      order[#order + 1] = item.stream
    end
    table.insert(by[item.stream], item)
  end
  for _, stream in ipairs(order) do
    local ok, err = self.publish(stream, by[stream])
    if not ok then return nil, err end
  end
  return true
end

--- Was this said before, by the same claim?
local function said(self, s)
  local c, item = s.claim, self.machine.open[s.claim.offset]
  if item then return item.fence == c.fence and item.was == s.state end
  if not SETTLED[s.state] then return false end
  local found, err = self.jet:get(self.log, { { last_by_subj = self:outcome_subject(c.offset) } })
  if not found then return nil, err end
  local record = found[1] and read(found[1].meta)
  return record ~= nil and record ~= false and record.fence == c.fence and record.state == s.state
end

--- Records on the subject of an outcome are written behind the last one there, which must be known here: an outcome that was void
--- from the beginning, or that a rewind has made void.
local function follow_up(self, w)
  local found, err = self.jet:get(self.log, { { last_by_subj = w.subject } })
  if not found then return nil, err end
  w.after = found[1] and found[1].seq or 0
  return await(self, function() return self.applied >= w.after end)
end

--- Write settlements of claims that are good, until each is written or its claim is not good any more.
local function write_all(self, writes, good)
  local list = writes
  while list[1] do
    local written, err = self:write(list)
    if not written then return nil, err end
    local again = {}
    for i, w in ipairs(list) do
      if written[i] then
        good[w.at] = written[i].result
        w.seq = written[i].seq
      else
        local ok
        ok, err = follow_up(self, w)
        if not ok then return nil, err end
        if self.machine:good(w.record.offset, w.record.fence) then again[#again + 1] = w else good[w.at] = false end
      end
    end
    list = again
  end
  return true
end

local function publish_all(self, writes, good)
  local offsets = {}
  for _, w in ipairs(writes) do
    if w.record.hands and good[w.at] then
      local ok = self:publish_of(w.record, w.data)
      if not ok then break end -- it is settled: who claims after a while publishes it
      offsets[#offsets + 1] = w.record.offset
    end
  end
  if offsets[1] then return self:write { { record = { op = "handed", offsets = offsets } } } end
  return true
end

--- As core.engine's settle, of claims of this group.
function Group:settle(list)
  local good, writes, fence = {}, {}, 0
  for _, s in ipairs(list) do fence = math.max(fence, s.claim.fence) end
  local ok, err = await(self, function() return self.machine and self.applied >= fence end)
  if not ok then return nil, err end
  for i, s in ipairs(list) do
    if self.machine:good(s.claim.offset, s.claim.fence) then
      local w = record_of(self, s)
      w.at = i
      writes[#writes + 1] = w
    else
      good[i], err = said(self, s)
      if good[i] == nil then return nil, err end
    end
  end
  ok, err = write_all(self, writes, good)
  if not ok then return nil, err end
  ok, err = publish_all(self, writes, good)
  if not ok then return nil, err end
  return good
end

-- ---- opening ------------------------------------------------------------------------------------------------------------

--- Follow a group, whose streams are there.
---@param jet core.engine.jet
---@param about { stream: string, group: string, items: string, log: string, base: string, by: string,
---  publish: fun(stream: string, items: table[]): any, stoke.error? }
---@return core.engine.group
function M.open(jet, about)
  local self = setmetatable({ jet = jet, stream = about.stream, group = about.group, items = about.items, log = about.log,
    base = about.base, by = about.by, publish = about.publish, expected = {}, parked = {}, passing = {}, need = 0,
    applied = 0 }, Group)
  self.log_reader = readers.new(jet, { stream = self.log, from = 1 })
  self.item_reader = readers.new(jet, { stream = self.items, from = 1 })
  tasks.spawn(follow, { system = true, name = "queue" }, self)
  tasks.spawn(read_ahead, { system = true, name = "queue" }, self)
  return self
end

M.read = read

return M
