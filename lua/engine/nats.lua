--- The engine of NATS JetStream, for the hosts that share a server or a cluster.
---
---     nats://[USER:PASSWORD@]HOST[:4222][,HOST...][?creds=FILE&ca=FILE&cert=FILE&key=FILE&prefix=stoke&replicas=1]      tls://...
---
--- A stream of stoke is a stream of JetStream, an item a message whose subject is its id: the server refuses a second one as long
--- as the first is kept. What a group does stands in a stream of its own, its log (lua/engine/machine.lua says why). The clock is
--- the server's.

local errors = require "core.errors"
local groups = require "core.engine.nats.group"
local shared = require "core.engine.group"
local jets = require "core.engine.nats.jet"
local json = require "core.json"
local kv = require "core.engine.nats.kv"
local machines = require "core.engine.machine"
local readers = require "core.engine.nats.reader"
local service = require "core.engine.nats.service"
local time = require "host.time"

local monotonic = time.monotonic

local M = {}

---@class core.engine.nats: core.engine
---@field jet core.engine.jet
---@field groups table<string, core.engine.group>
local Engine = {}
Engine.__index = Engine
Engine.traits = { order = "key", fenced = true, handover = "one step", cas = true, dedup = "always", processes = true }

-- ---- the URL ------------------------------------------------------------------------------------------------------------

local FILES = { creds = true, ca = true, cert = true, key = true }

local function unescape(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(x) return string.char(tonumber(x, 16)) end))
end

local function argument(url, what)
  return errors.new("argument", ("the URL of a queue, %s, %s"):format(url, what),
    { hint = "nats://USER:PASSWORD@HOST:4222?creds=FILE&ca=FILE&cert=FILE&key=FILE&prefix=stoke&replicas=3" })
end

local function option(at, name, value)
  if FILES[name] then
    at.options[name] = value
  elseif name == "prefix" and value:find "^[%w_]+$" and #value <= 40 then
    at.prefix = value
  elseif name == "replicas" and value:find "^[1-5]$" then
    at.replicas = math.tointeger(value)
  else
    return nil, argument(at.plain, ("says %s=%s"):format(name, value))
  end
  return true
end

--- Is this a host, with a port or without: HOST, HOST:4222, [::1]:4222?
local function is_host(text)
  local host, port = text:match "^(%[[%x:.]+%])(.*)$"
  if not host then host, port = text:match "^([^:%[%]/]+)(.*)$" end
  local number = port and math.tointeger(tonumber(port:match "^:(%d+)$"))
  return host ~= nil and (port == "" or number ~= nil and number > 0 and number < 65536)
end

--- What a URL says.
---@param url string
---@param plain string the same without a password
---@return table|nil { servers, options, prefix, replicas, plain }
---@return stoke.error|nil err
function M.parse(url, plain)
  local scheme, hosts, query = url:match "^(%a+)://([^?]+)%??(.*)$"
  if not scheme then return nil, argument(plain, "names no host") end
  local at = { servers = {}, options = { name = "stoke", tls = scheme == "tls" or nil }, prefix = "stoke", replicas = 1,
    plain = plain }
  local who = hosts:match "^[^@,]*@" or ""
  for host in hosts:gsub("/+$", ""):gmatch "[^,]+" do
    if not is_host(host:match "([^@]*)$") then return nil, argument(plain, "names a host that is none, or a port") end
    if not host:find("@", 1, true) then host = who .. host end
    at.servers[#at.servers + 1] = "nats://" .. host
  end
  for name, value in query:gmatch "([^&=]+)=([^&]*)" do
    local ok, err = option(at, unescape(name), unescape(value))
    if not ok then return nil, err end
  end
  return at
end

---@param url string
---@return core.engine|nil
---@return stoke.error|nil err
function M.open(url)
  local plain = url:gsub("^(%a[%w+.-]*://[^/?#@:]*):[^/?#]*@", "%1:***@")
  local at, err = M.parse(url, plain)
  if not at then return nil, err end
  local jet
  jet, err = jets.open(at)
  if not jet then return nil, err end
  local self = setmetatable({ url = plain, jet = jet, groups = {}, watchers = {}, by = jets.id(), last = {} }, Engine)
  self.service = service.start(jet, self.by)
  local said
  said, err = jet:api "INFO" -- behind the subscription: once it is answered the host is found
  if not said then
    self:close()
    return nil, jets.problem(err, "cannot use JetStream")
  end
  return self
end

-- ---- streams ------------------------------------------------------------------------------------------------------------

local function names(self, stream)
  local token = jets.name(stream)
  return ("%s-i-%s"):format(self.jet.prefix, token), ("%s.i.%s."):format(self.jet.prefix, token), token
end

--- What a JetStream stream is, in its description: for people, and for `streams`.
local function about(fields) return "stoke: " .. json.encode(fields) end

--- The stream of items, made if it is not there.
local function items_of(self, stream)
  local name, base = names(self, stream)
  local ok, err = self.jet:stream(name, { base .. ">" }, about { stream = stream })
  if not ok then return nil, err end
  return name, base
end

function Engine:publish(stream, list)
  local _, base = items_of(self, stream)
  if not _ then return nil, base end
  local writes = {}
  for i, item in ipairs(list) do
    writes[i] = { subject = base .. jets.token(item.id), data = item.value, after = 0,
      meta = json.encode { v = machines.VERSION, id = item.id, key = item.key, size = #item.value, item = item.v } }
  end
  local seqs, err = self.jet:write(writes)
  if not seqs then return nil, jets.problem(err, "cannot publish") end
  local news = {}
  for i, seq in ipairs(seqs) do news[i] = seq ~= false end
  return news
end

--- What a group's streams are called.
local function log_names(self, stream, group)
  local _, _, token = names(self, stream)
  local full = jets.name(stream, group)
  return ("%s-g-%s"):format(self.jet.prefix, full), ("%s.g.%s"):format(self.jet.prefix, full), token
end

local function begin(self, name, base, items, from)
  local first = math.type(from) == "integer" and from or 1
  if from == "new" then
    local info, err = self.jet:info(items)
    if not info then return nil, err end
    first = info.state.last_seq + 1
  end
  local seqs, err = self.jet:write { { subject = base .. ".begin", data = "", after = 0,
    meta = json.encode { v = machines.VERSION, op = "begin", from = first } } }
  if not seqs then return nil, jets.problem(err, "cannot begin the group " .. name) end
  return true
end

--- A group, followed from now on. make: it begins if it is not there.
---@return core.engine.group|false|nil false: it is not there
---@return stoke.error|nil err
local function group_of(self, stream, group, make, from)
  local key = stream .. "\0" .. group
  local g = self.groups[key]
  if g and not g.failed then return g end
  local log, base = log_names(self, stream, group)
  if not make and not self.jet.known[log] then
    local info, err = self.jet:info(log)
    if not info then return info, err end
  end
  local items, err = items_of(self, stream)
  if not items then return nil, err end
  local ok
  ok, err = self.jet:stream(log, { base .. ".>" }, about { stream = stream, group = group })
  if ok and make then ok, err = begin(self, log, base, items, from) end
  if not ok then return nil, err end
  g = self.groups[key] -- another task may have been quicker
  if g and not g.failed then return g end
  g = groups.open(self.jet, { stream = stream, group = group, items = items, log = log, base = base, by = self.by,
    publish = function(to, list) return self:publish(to, list) end })
  self.groups[key] = g
  return g
end

function Engine:claim(q)
  local g, err = group_of(self, q.stream, q.group, true, q.from)
  if not g then return nil, err end
  return g:claim(q)
end

function Engine:settle(list)
  return shared.by_group(list, function(s) return s.claim end, function(c) return group_of(self, c.stream, c.group, true) end,
    function(g, own) return g:settle(own) end)
end

function Engine:renew(claims, lease)
  return shared.renew(claims, lease, function(c) return group_of(self, c.stream, c.group, true) end)
end

-- ---- looking ------------------------------------------------------------------------------------------------------------

--- Read messages from an offset on: f(message, record) gives what goes into the list, or nil.
local function each_message(self, items, from, limit, bodies, f)
  local info, err = self.jet:info(items)
  if not info then return info == false and {} or nil, err end
  local last, list, bytes = info.state.last_seq, {}, 0
  if from > last then return list end
  local reader <close> = readers.new(self.jet, { stream = items, from = from, bodies = bodies, most = limit })
  while #list < limit and bytes < shared.BYTES and reader.next_seq <= last do
    local some
    some, err = reader:take(jets.ANSWER)
    if not some then return nil, jets.problem(err, "cannot read a stream") end
    if not some[1] then break end
    for _, m in ipairs(some) do
      local record
      record, err = groups.read(m.meta)
      if not record then return nil, err end
      local one = #list < limit and bytes < shared.BYTES and f(m, record) or nil
      list[#list + 1], bytes = one, bytes + #m.data
    end
  end
  return list
end

function Engine:read(stream, from, limit)
  return each_message(self, (names(self, stream)), from, limit, true, function(m, record)
    if record.gone then return nil end
    return { offset = m.seq, id = record.id, key = record.key, v = record.item, value = m.data }
  end)
end

function Engine:outcomes(stream, group, from, limit)
  local g, err = group_of(self, stream, group)
  if not g then return g == false and {} or nil, err end
  local ok
  ok, err = g:catch_up()
  if not ok then return nil, err end
  local list, bytes, at, step = {}, 0, math.max(from, 1), 8
  while #list < limit and bytes < shared.BYTES and at <= g.machine.loaded do
    local wanted = {}
    while at <= g.machine.loaded and #wanted < math.min(step, limit - #list) do
      if not g.machine.open[at] then
        wanted[#wanted + 1] = { last_by_subj = g:outcome_subject(at) }
      end
      at = at + 1
    end
    local found
    found, err = self.jet:get(g.log, wanted)
    if not found then return nil, err end
    for _, m in ipairs(found) do
      local record = bytes < shared.BYTES and m and groups.read(m.meta)
      if record and not g.machine:stands(record.offset, m.seq) then record = nil end
      if record then
        list[#list + 1], bytes = shared.outcome(record, m.data), bytes + #m.data
      end
    end
    if bytes < shared.BYTES // 16 then step = math.min(step * 4, jets.BATCH) end
  end
  return list
end

--- Items before an offset that are done. They are counted by their outcomes: those that a rewind has skipped have none.
local function done_before(self, g, to)
  local machine, is_done, count = g.machine, {}, 0
  local ok, err = each_message(self, g.log, 1, math.huge, false, function(m, record)
    local offset = record.offset
    if record.op ~= "settle" or record.state ~= "done" or offset >= to or is_done[offset] then return end
    if machine.open[offset] or machine.dead[offset] or not machine:stands(offset, m.seq) then return end
    is_done[offset], count = true, count + 1
  end)
  return ok and count, err
end

function Engine:rewind(stream, group, offset)
  local g, err = group_of(self, stream, group, true)
  if not g then return nil, err end
  local ok, items
  ok, err = g:catch_up()
  if ok then items, err = self.jet:info(g.items) end
  if not items then return nil, err end
  local to, done = math.min(offset, items.state.last_seq + 1), nil
  if to <= g.machine.last_done then
    done, err = done_before(self, g, to)
    if not done then return nil, err end
  end
  local written
  written, err = g:write { { record = { op = "rewind", to = to, done = done } } }
  if not written then return nil, err end
  return true
end

local function offsets_of(self, g, stream, ids)
  local offsets, wanted = {}, {}
  if not ids then
    for offset in next, g.machine.dead do offsets[#offsets + 1] = offset end
    table.sort(offsets)
    return offsets
  end
  local _, base = names(self, stream)
  for i, id in ipairs(ids) do wanted[i] = { last_by_subj = base .. jets.token(id) } end
  local found, err = self.jet:get(g.items, wanted)
  if not found then return nil, err end
  for _, m in ipairs(found) do
    if m then offsets[#offsets + 1] = m.seq end
  end
  return offsets
end

function Engine:revive(stream, group, ids)
  local g, err = group_of(self, stream, group, true)
  if not g then return nil, err end
  local ok, offsets
  ok, err = g:catch_up()
  if ok then offsets, err = offsets_of(self, g, stream, ids) end
  if not offsets then return nil, err end
  local count, written = 0
  written, err = g:write_list(offsets, function(part) return { op = "revive", offsets = part } end)
  for _, w in ipairs(written or {}) do count = count + w.result end
  return written and count, err
end

-- ---- all streams --------------------------------------------------------------------------------------------------------

--- What there is: { stream, group?, state } of all streams of JetStream that are ours.
local function list_all(self)
  local all, offset = {}, 0
  repeat
    local said, err = self.jet:api("STREAM.LIST", { offset = offset })
    if not said then return nil, jets.problem(err, "cannot list streams") end
    for _, s in ipairs(said.streams or {}) do
      local text = (s.config.description or ""):match "^stoke: (%b{})$"
      local fields = text and s.config.name:find("^" .. self.jet.prefix .. "%-[ig]%-") and json.decode(text)
      if type(fields) == "table" then
        fields.state = s.state
        all[#all + 1] = fields
      end
    end
    offset = offset + #(said.streams or {})
  until offset >= said.total or not (said.streams or {})[1]
  table.sort(all, function(a, b)
    if a.stream ~= b.stream then return a.stream < b.stream end
    return (a.group or "") < (b.group or "")
  end)
  return all
end

local function count_group(self, stream, group, last)
  local g, err = group_of(self, stream, group)
  if not g then return g, err end
  local ok
  ok, err = g:catch_up()
  if not ok then return nil, err end
  local m, open, dead = g.machine, 0, 0
  for _ in next, m.open do open = open + 1 end
  for _ in next, m.dead do dead = dead + 1 end
  return { group = group, waiting = open - m.count.lent + math.max(last - m.loaded, 0), lent = m.count.lent, done = m.done,
    dead = dead }
end

function Engine:streams()
  local all, err = list_all(self)
  if not all then return nil, err end
  local list = {}
  for _, s in ipairs(all) do
    local stream = list[#list]
    if not s.group then
      local gone = s.state.num_deleted or 0 -- each of these left a mark behind
      list[#list + 1] = { stream = s.stream, items = s.state.messages - gone, last = s.state.last_seq, groups = {} }
    elseif stream and stream.stream == s.stream then
      local counted
      counted, err = count_group(self, s.stream, s.group, stream.last)
      if counted == nil then return nil, err end
      if counted then table.insert(stream.groups, counted) end
    end
  end
  return list
end

--- Groups of a stream, followed, each with its machine kept: what is trimmed is not read again by who begins from there.
local function groups_for_trim(self, stream)
  local all, err = list_all(self)
  if not all then return nil, err end
  local list = {}
  for _, s in ipairs(all) do
    if s.group and s.stream == stream then
      local g, ok
      g, err = group_of(self, stream, s.group)
      if g then ok, err = g:catch_up() end
      if ok then ok, err = g:keep() end
      if not ok then return nil, err end
      list[#list + 1] = g
    end
  end
  return list
end

local function needed(list, offset)
  for _, g in ipairs(list) do
    if offset > g.machine.seen or g.machine.open[offset] then return true end
  end
  return false
end

--- A trimmed item leaves a mark with its id, at the end of the stream: so that the id stays known.
local function trim_one(self, items, m, record)
  local seqs, err = self.jet:write { { subject = m.subject, data = "", after = m.seq,
    meta = json.encode { v = machines.VERSION, id = record.id, gone = m.seq } } }
  if not seqs then return nil, jets.problem(err, "cannot trim a stream") end
  return self.jet:delete(items, { m.seq })
end

function Engine:trim(stream, before)
  local list, err = groups_for_trim(self, stream)
  if not list then return nil, err end
  local items = names(self, stream)
  local old
  old, err = each_message(self, items, 1, before, false, function(m, record)
    if m.seq >= before or record.gone or needed(list, m.seq) then return nil end
    return { m, record }
  end)
  if not old then return nil, err end
  for _, one in ipairs(old) do
    local ok
    ok, err = trim_one(self, items, one[1], one[2])
    if not ok then return nil, err end
  end
  return #old
end

-- ---- keys and logs ------------------------------------------------------------------------------------------------------

function Engine:kv_get(bucket, key) return kv.get(self.jet, bucket, key) end

function Engine:kv_put(bucket, key, value) return kv.put(self.jet, bucket, key, value) end

function Engine:kv_swap(bucket, key, value, revision) return kv.swap(self.jet, bucket, key, value, revision) end

function Engine:kv_delete(bucket, key, revision) return kv.delete(self.jet, bucket, key, revision) end

function Engine:kv_keys(bucket, prefix) return kv.keys(self.jet, bucket, prefix) end

function Engine:kv_watch(bucket, prefix, since, wait)
  return kv.watch(self.jet, self.watchers, bucket, prefix, since, wait)
end

function Engine:log_append(name, key, after, value) return kv.append(self.jet, name, key, after, value) end

function Engine:log_read(name, key, from, limit) return kv.read(self.jet, name, key, from, limit) end

function Engine:log_drop(name, key) return kv.drop(self.jet, name, key) end

-- ---- itself -------------------------------------------------------------------------------------------------------------

--- The server tells its time with what it stores: a message is written, and read.
local function ask_time(self)
  local name, subject = self.jet.prefix .. "-clock", self.jet.prefix .. ".clock"
  local ok, err = self.jet:stream(name, { subject }, "stoke: what time it is", { max_msgs_per_subject = 1, discard = "old" })
  local seqs, found
  if ok then seqs, err = self.jet:write { { subject = subject, data = "" } } end
  if seqs then found, err = self.jet:get(name, { seqs[1] }) end
  if not found then return nil, jets.problem(err, "cannot ask the time") end
  if not found[1] then return true end -- somebody else has asked since
  self.jet:tick(jets.seconds_of(found[1].stamp))
  return true
end

function Engine:now()
  if monotonic() - self.jet.ticked > 30 or not self.jet:clock() then
    local ok, err = ask_time(self)
    if not ok then return nil, err end
  end
  local now = self.jet:clock()
  if not now then return self:now() end
  return now
end

function Engine:health()
  local began = monotonic()
  local said, err = self.jet:api "INFO"
  if not said then return nil, jets.problem(err, "cannot use JetStream") end
  local about_conn = self.jet.conn:about()
  return { engine = "nats", version = "libnats " .. about_conn.library, ok = about_conn.connected, latency = monotonic() - began,
    detail = ("%s, server %s, %d streams, reconnected %d times"):format(self.url, about_conn.server:sub(1, 12), said.streams,
      about_conn.reconnects) }
end

function Engine:close()
  if self.jet.closed then return true end
  self.service:stop()
  for _, g in next, self.groups do g:close() end
  for _, reader in next, self.watchers do reader:close() end
  self.jet:close()
  return true
end

Engine.__close = Engine.close

return M
