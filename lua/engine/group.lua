--- One group of one stream, in this process, over any log that all hosts read in one order: it claims, renews and settles by
--- writing records and waiting until they are applied here (lua/engine/machine.lua). What the log is, its engine says, by the
--- methods that a group of it has beside these:
---
---     group:write(list)       records { record, outcome?: offset, data? }, written and applied: { result } each; false: a
---                             settlement whose claim was lost before it was written
---     group:values(offsets)   what these items are: { record, data }; false where the value is gone
---     group:settled(offset)   the record of how an item was settled last; false
---     group:record_at(seq)    a record and its bytes; false
---     group:catch_up(seconds?) all is read that was written before; without `seconds` within as long as the engine tries things
---     group:clock()           seconds since 1970 by the log's clock, as far as it is known

local errors = require "core.errors"
local host = require "host.task"
local json = require "core.json"
local machines = require "core.engine.machine"
local tasks = require "core.task"
local time = require "host.time"

local monotonic = time.monotonic

local M = {}

--- Bytes of values after which no more are read at once.
M.BYTES = 16 << 20
--- Seconds a claim waits after it was given nothing although there seemed to be something.
M.AGAIN = 0.02
--- The part of a lease that may be over when a claim is given.
M.SLOW = 0.1
--- Seconds that a claim whose time is up may still take to learn what is there.
M.SYNC = 10
--- Entries of a list in one record at most: logs bound what stands beside a value (NATS: 64 KB).
M.LIST = 1000

---@class core.engine.group
---@field stream string
---@field group string
---@field by string this host
---@field plain string URL, for errors
---@field machine core.engine.machine
---@field applied integer the last record
---@field need integer items up to there are waited for
---@field expected table<string, table> by the id of a record of ours: { record, result, seq, done }
---@field parked table<thread, true>
---@field failed? stoke.error
---@field publish fun(stream: string, items: table[]): any, stoke.error?
local Group = {}
Group.__index = Group
M.Group = Group

--- The fields of a new one.
---@param about table { stream, group, by, plain, publish }
function M.fields(about)
  return { stream = about.stream, group = about.group, by = about.by, plain = about.plain, publish = about.publish, expected = {},
    parked = {}, need = 0, applied = 0 }
end

-- ---- waiting ---------------------------------------------------------------------------------------------------------------

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

--- Wait until something is so.
---@param is fun(): any
---@param last? number by the monotonic clock: no longer
---@return boolean|nil true, false when the time is up
---@return stoke.error|nil err
function Group:await(is, last)
  while not is() do
    local left = last and last - monotonic()
    if left and left <= 0 then return false end
    local ok, err = self:wait(left)
    if ok == nil then return nil, err end
  end
  return true
end

--- It is not followed any more: who waits hears why.
---@param err? stoke.error
function Group:fail(err)
  if self.failed or not err then return end
  self.failed = err
  self:tell()
end

--- The error of a group whose engine was closed.
function Group:over() return errors.new("cancelled", ("the queue %s was closed"):format(self.plain)) end

-- ---- records ---------------------------------------------------------------------------------------------------------------

--- What is written beside a value; nil and an error where it is none of ours.
---@param meta? string
---@return table|nil
---@return stoke.error|nil err
function M.read(meta)
  local record = meta and json.decode(meta)
  if type(record) ~= "table" or math.type(record.v) ~= "integer" then
    return nil, errors.new("protocol", "a stream of the queue holds a message that stoke did not write")
  end
  if record.v > machines.VERSION then
    return nil, errors.new("protocol", ("the queue was written by a newer stoke: its records have version %d, this one knows up to "
      .. "%d"):format(record.v, machines.VERSION), { hint = "use the same version of stoke on all hosts" })
  end
  return record
end

--- Do something by group with a list, and put the results at the places of what they are of.
---@param list table[]
---@param claim_of fun(one): core.engine.claim
---@param group_of fun(claim): core.engine.group|nil, stoke.error?
---@param f fun(group, own: table[]): table[]|nil, stoke.error?
---@return table[]|nil
---@return stoke.error|nil err
function M.by_group(list, claim_of, group_of, f)
  local order, by, results = {}, {}, {}
  for i, one in ipairs(list) do
    local c = claim_of(one)
    local name = c.stream .. "\0" .. c.group
    if not by[name] then
      by[name] = { claim = c, list = {}, places = {} }
      order[#order + 1] = by[name]
    end
    table.insert(by[name].list, one)
    table.insert(by[name].places, i)
  end
  for _, own in ipairs(order) do
    local g, err = group_of(own.claim)
    local some
    if g then some, err = f(g, own.list) end
    if not some then return nil, err end
    for i, at in ipairs(own.places) do results[at] = some[i] end
  end
  return results
end

--- As core.engine's renew.
---@param group_of fun(claim): core.engine.group|nil, stoke.error?
function M.renew(claims, lease, group_of)
  local lost = {}
  local ok, err = M.by_group(claims, function(c) return c end, group_of, function(g, own)
    local list, why = g:renew(own, lease)
    for _, c in ipairs(list or {}) do lost[#lost + 1] = c end
    return list, why
  end)
  if not ok then return nil, err end
  return lost
end

--- The first of a list with values, some 16 MB of them.
---@param list { value?: string }[]
---@return table[]
function M.piece(list)
  local bytes = 0
  for i, one in ipairs(list) do
    if bytes >= M.BYTES then return table.move(list, 1, i - 1, 1, {}) end
    bytes = bytes + #(one.value or "")
  end
  return list
end

local function give_back(self, claims)
  local list = {}
  for i, c in ipairs(claims) do
    list[i] = { claim = { stream = self.stream, group = self.group, offset = c.offset, fence = c.fence }, state = "back" }
  end
  if list[1] then tasks.spawn(function() self:settle(list) end, { system = true, name = "queue" }) end
end

--- Write a list as records of M.LIST entries.
---@param list any[]
---@param record_of fun(part: any[]): table
---@return table[]|nil written
---@return stoke.error|nil err
function Group:write_list(list, record_of)
  local writes = {}
  for first = 1, #list, M.LIST do
    local part = table.move(list, first, math.min(first + M.LIST - 1, #list), 1, {})
    writes[#writes + 1] = { record = record_of(part) }
  end
  return self:write(writes)
end

--- Nobody waits for a record of ours any more: what it was given goes back.
function Group:leave(expected)
  expected.left = true
  if expected.done and expected.record.op == "claim" then give_back(self, expected.result) end
end

--- Apply a record of the log. Items up to `known` are read before.
---@param id? string
---@param record table
---@param seq integer
---@param at number
---@return boolean|nil
---@return any result, or an error
function Group:apply(id, record, seq, at)
  if record.known and self.machine.loaded < record.known then
    self.need = record.known
    self:tell()
    local ok, err = self:await(function() return self.machine.loaded >= record.known end)
    if not ok then return nil, err end
  end
  local result, expected = self.machine:apply(record, seq, at), id and self.expected[id]
  if expected then
    self.expected[id] = nil
    expected.result, expected.seq, expected.done = result, seq, true
    if expected.left then self:leave(expected) end
  end
  return true, result
end

-- ---- claiming --------------------------------------------------------------------------------------------------------------

--- Values of what was lent. An item whose last lease ran out, or whose value is gone, is dead instead.
local function fetch(self, given)
  local offsets, claims, dead = {}, {}, {}
  for i, g in ipairs(given) do offsets[i] = g.offset end
  local found, err = self:values(offsets)
  if not found then
    give_back(self, given)
    return nil, err
  end
  for i, g in ipairs(given) do
    local record = found[i] and found[i].record
    local claim = { stream = self.stream, group = self.group, offset = g.offset, key = g.key, try = g.try, fence = g.fence,
      alone = g.alone, id = record and record.id, v = record and record.item, value = found[i] and found[i].data }
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

--- Publish what others have settled, who died before it was handed over.
local function hand_over(self, hands)
  tasks.spawn(function()
    for _, h in ipairs(hands) do
      local record, data = self:record_at(h.at)
      if record and self:publish_of(record, data) then self:write { { record = { op = "handed", offsets = { h.offset } } } } end
    end
  end, { system = true, name = "queue" })
end

--- What was lent, with its whole lease: where the answer took long, it begins anew.
local function in_time(self, claims, lease, asked)
  while claims[1] and monotonic() - asked > lease * M.SLOW do
    asked = monotonic()
    local lost, err = self:renew(claims, lease)
    if not lost then
      give_back(self, claims)
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
  local ok, err = self:await(function() return self.machine and self.machine.began end, last + M.SYNC)
  if ok == false then return {} end
  while ok do
    local can, due = self.machine:lendable(self:clock() or 0)
    local pause
    if can then
      local claims
      claims, err = claim_once(self, q)
      if not claims or claims[1] then return claims, err end
      pause = M.AGAIN
    elseif due then
      pause = math.max(due - (self:clock() or 0), M.AGAIN)
    end
    local left = last - monotonic()
    if left <= 0 and (synced or can) then return {} end
    if left <= 0 then
      synced = true
      ok, err = self:catch_up(M.SYNC)
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
  local written, err = self:write_list(list, function(part) return { op = "renew", claims = part, lease = lease } end)
  if not written then return nil, err end
  local lost = {}
  for i, w in ipairs(written) do
    for _, at in ipairs(w.result) do lost[#lost + 1] = claims[(i - 1) * M.LIST + at] end
  end
  return lost
end

-- ---- settling --------------------------------------------------------------------------------------------------------------

local SETTLED = { done = true, dead = true }

--- What an item hands over: a list without values, as text, and the values.
local function hands_of(publish)
  local list, values = {}, {}
  for i, p in ipairs(publish) do
    list[i], values[i] = { stream = p.stream, id = p.id, key = p.key, v = p.v, size = #p.value }, p.value
  end
  return json.encode(list), table.concat(values)
end

--- A settlement as a record, and its bytes: the outcome's value, the reason, the list of what is handed over, and the values of
--- that. How long the first three are is in the record.
local function record_of(self, s)
  local c = s.claim
  local record = { op = "settle", offset = c.offset, fence = c.fence, state = s.state, delay = s.delay or 0 }
  local w = { record = record }
  if not SETTLED[s.state] then return w end
  local item, hands, values = self.machine.open[c.offset], nil, nil
  if s.publish and s.publish[1] then hands, values = hands_of(s.publish) end
  record.id, record.key, record.try = c.id, item.key, item.try
  record.value, record.reason, record.hands = s.value and #s.value or nil, s.reason and #s.reason or nil, hands and #hands or nil
  w.outcome, w.data = c.offset, table.concat { s.value or "", s.reason or "", hands or "", values or "" }
  return w
end

--- An outcome, from its record and bytes.
---@return core.engine.outcome
function M.outcome(record, data)
  local at = record.value or 0
  return { offset = record.offset, id = record.id, key = record.key, state = record.state, tries = record.try,
    value = record.value and data:sub(1, at) or nil, reason = record.reason and data:sub(at + 1, at + record.reason) or nil }
end

--- Publish what a record hands over. Known ids are no error: somebody may have begun.
---@return boolean|nil
---@return stoke.error|nil err
function Group:publish_of(record, data)
  local order, by, first = {}, {}, (record.value or 0) + (record.reason or 0) + 1
  local at = first + record.hands
  for _, h in ipairs(json.decode(data:sub(first, at - 1))) do
    if not by[h.stream] then
      by[h.stream] = {}
      order[#order + 1] = h.stream
    end
    table.insert(by[h.stream], { id = h.id, key = h.key, v = h.v, value = data:sub(at, at + h.size - 1) })
    at = at + h.size
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
  local record, err = self:settled(c.offset)
  if record == nil then return nil, err end
  return record and record.fence == c.fence and record.state == s.state
end

local function publish_all(self, writes, good)
  local offsets = {}
  for _, w in ipairs(writes) do
    if w.record.hands and good[w.at] then
      if not self:publish_of(w.record, w.data) then break end -- it is settled: who claims after a while publishes it
      offsets[#offsets + 1] = w.record.offset
    end
  end
  return self:write_list(offsets, function(part) return { op = "handed", offsets = part } end)
end

--- As core.engine's settle, of claims of this group.
function Group:settle(list)
  local good, writes, fence = {}, {}, 0
  for _, s in ipairs(list) do fence = math.max(fence, s.claim.fence) end
  local ok, err = self:await(function() return self.machine and self.applied >= fence end)
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
  local written = writes
  if writes[1] then written, err = self:write(writes) end
  if not written then return nil, err end
  for i, w in ipairs(writes) do good[w.at] = written[i] and written[i].result end
  ok, err = publish_all(self, writes, good)
  if not ok then return nil, err end
  return good
end

return M
