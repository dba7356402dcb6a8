--- Messages of a JetStream stream in their order, from a sequence on: a consumer that lives in the server's memory, asked for more
--- as they are used up. It is made anew where it stood when it, or the connection, was lost.

local errors = require "core.errors"
local jets = require "core.engine.nats.jet"
local time = require "host.time"

local monotonic = time.monotonic

local M = {}

--- Messages asked for at once; seconds that a request for them stands, and between two signs of life of the server.
M.BATCH, M.EXPIRES, M.BEAT = 1000, 60, 2
--- Bytes that one request gives at most, where it gives whole messages: the largest has room in it.
M.BYTES = 20 << 20
--- Seconds between two looks whether the connection is still the same.
M.LOOK = 1

local NS = 1000000000

---@class core.engine.reader
---@field jet core.engine.jet
---@field stream string
---@field filter? string subject
---@field bodies boolean whole messages, else their headers alone
---@field next_seq integer from there on
---@field left integer messages that the request in flight may still give
local Reader = {}
Reader.__index = Reader

--- Start; it asks nothing yet.
---@param jet core.engine.jet
---@param about { stream: string, from: integer, filter?: string, bodies?: boolean, last?: boolean, most?: integer } last: the last
---  of each subject; most: no more are wanted
---@return core.engine.reader
function M.new(jet, about)
  return setmetatable({ jet = jet, stream = about.stream, filter = about.filter, bodies = about.bodies or false,
    last = about.last, batch = math.min(about.most or M.BATCH, M.BATCH), next_seq = about.from, left = 0 }, Reader)
end

local function drop(self)
  if self.sub then self.sub:close() end
  self.sub, self.left = nil, 0
end

local function make(self)
  local jet = self.jet
  drop(self)
  self.name, self.inbox = "s" .. jets.id(), "_INBOX." .. jets.id()
  local config = { name = self.name, deliver_policy = self.last and "last_per_subject" or "by_start_sequence",
    opt_start_seq = not self.last and self.next_seq or nil, filter_subject = self.filter, ack_policy = "none",
    replay_policy = "instant", headers_only = not self.bodies, inactive_threshold = 60 * NS, mem_storage = true,
    max_deliver = -1, num_replicas = 1 }
  local made, err = jet:api(("CONSUMER.CREATE.%s.%s%s"):format(self.stream, self.name,
    self.filter and "." .. self.filter or ""), { stream_name = self.stream, config = config })
  if not made then
    return nil, err == "no stream" and err or jets.problem(err, "cannot read a stream")
  end
  self.pending = made.num_pending
  self.sub, err = jet.conn:subscribe(self.inbox, nil, 4 * M.BATCH)
  if not self.sub then return nil, err end
  self.reconnects = jet.conn:about().reconnects
  return true
end

local function more(self)
  local request = ('{"batch":%d,"expires":%d,"idle_heartbeat":%d%s}'):format(self.batch, M.EXPIRES * NS, M.BEAT * NS,
    self.bodies and ',"max_bytes":' .. M.BYTES or "")
  local ok, err = self.jet.conn:send({ { "$JS.API.CONSUMER.MSG.NEXT." .. self.stream .. "." .. self.name, request } }, self.inbox)
  if not ok then return nil, err end
  self.left, self.heard = self.batch, monotonic()
  return true
end

local function sort_out(self, list)
  local items, n = {}, 0
  for _, m in ipairs(list) do
    local seq = m.seq
    if seq then
      n = n + 1
      items[n] = m
      self.next_seq, self.left, self.pending = seq + 1, self.left - 1, m.pending
    elseif m.status and m.status ~= "100" then
      self.left = 0 -- the request has ended: its time is over, it has its bytes, or the consumer is gone
      if m.status ~= "408" and not (m.description or ""):find "MaxBytes" then self.broken = true end
    end
  end
  return items
end

local function ready(self)
  local about = self.jet.conn:about()
  if self.sub and self.reconnects == about.reconnects and not self.broken then return true end
  self.broken = nil
  return make(self)
end

--- The next messages, as many as are there; {} when the time is up.
---@param seconds number
---@return table[]|nil { seq, time (seconds), subject, id, meta, data, operation, pending }
---@return stoke.error|string|nil err "no stream"
function Reader:take(seconds)
  local last = monotonic() + seconds
  while true do
    if self.jet.closed then return nil, errors.new("cancelled", "the queue was closed") end
    local ok, err = ready(self)
    if ok and self.left <= 0 then ok, err = more(self) end
    if not ok then return nil, err end
    local left = last - monotonic()
    local list
    list, err = self.sub:take(M.BATCH, math.min(math.max(left, 0), M.LOOK))
    if not list then
      if self.jet.closed or err.kind == "cancelled" then return nil, err end
      self.broken = true
    elseif list[1] then
      self.heard = monotonic()
      local items = sort_out(self, list)
      if items[1] then return items end
    elseif monotonic() - self.heard > 2 * M.BEAT + 1 then
      self.broken = true
    end
    if list and not list[1] and left <= 0 then return list end
  end
end

--- Make the consumer anew, where it stands.
function Reader:again() self.broken = true end

--- Go on with headers alone.
function Reader:heads()
  self.broken, self.bodies = self.broken or self.bodies, false
end

--- Go on from another place.
---@param seq integer
function Reader:seek(seq)
  if seq == self.next_seq then return end
  drop(self)
  self.next_seq = seq
end

--- Nobody asks it any more; the server forgets it by itself.
function Reader:close() drop(self) end
Reader.__close = Reader.close

return M
