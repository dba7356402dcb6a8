--- The PostgreSQL engine: streams in the schema `stoke` of a database, which is made when it is used for the first time.
---
---     "postgres://ada@db.example/jobs"          as libpq takes it: host, user, sslmode and the rest behind ?
---
--- Passwords come from the URL, PGPASSWORD or ~/.pgpass. Leases are by the server's clock. Whatever changes something is on the
--- server's disk before it returns, as far as its own settings (synchronous_commit, fsync) allow. A server that is away is tried
--- again for half a minute. Changes are told by NOTIFY; who waits looks once a second besides, in case one was lost.

local engines = require "core.engine"
local errors = require "core.errors"
local links = require "core.engine.postgres.link"
local monotonic = require "host.time".monotonic
local together = require "core.engine.together"

local M = {}

--- Seconds between two looks of somebody who waits, whatever is told.
M.LOOK = 1

--- Bytes of values in one answer, and in one request, about.
local HEAP <const> = 16 << 20
--- Items in one request.
local TOGETHER <const> = 1000

---@class core.engine.postgres: core.engine
---@field link core.engine.postgres.link
---@field claims table<string, core.engine.together> by what is asked
---@field settling core.engine.together
local Engine = {}
Engine.__index = Engine
Engine.traits = { order = "key", fenced = true, handover = "one step", cas = true, dedup = "always", processes = true }

--- Open one.
---@param url string
---@return core.engine|nil
---@return stoke.error|nil err
function M.open(url)
  local name = engines.plain(url)
  local link, err = links.open(url, name)
  if not link then return nil, err end
  local self = setmetatable({ url = name, link = link, claims = {} }, Engine)
  self.settling = together.new(TOGETHER, function(list) return self:settle_all(list) end, function(e) return e.kind == "db" end)
  return self
end

-- ---- requests ---------------------------------------------------------------------------------------------------------------

--- What waits for a change of a stream, of a bucket.
local function of_stream(name) return "stream " .. name end
local function of_bucket(name) return "bucket " .. name end

--- A column of a list, as one parameter.
local function column(list, type, get)
  local array = { array = type, n = #list }
  for i, item in ipairs(list) do array[i] = get(item) end
  return array
end

local function field(name) return function(item) return item[name] end end

--- Parts of a list, each of so many bytes and items at most.
local function parts(list, bytes_of)
  local out, bytes = { {} }, 0
  for _, item in ipairs(list) do
    local part, more = out[#out], bytes_of(item)
    if part[1] and (bytes + more > HEAP or #part == TOGETHER) then
      part, bytes = {}, 0
      out[#out + 1] = part
    end
    bytes = bytes + more
    part[#part + 1] = item
  end
  return out
end

--- One call of a function in the schema that gives one value.
function Engine:call(which, sql, ...)
  local found, err = self.link:ask(which, { { sql, n = select("#", ...), ... } })
  if not found then return nil, err end
  return found[1][1][1], found[1][1][2]
end

--- The elements of an array, as rows.
function Engine:flags(sql, ...)
  local found, err = self.link:ask("write", { { ("SELECT unnest(%s)"):format(sql), n = select("#", ...), ... } })
  if not found then return nil, err end
  local flags = {}
  for i, row in ipairs(found[1]) do flags[i] = row[1] end
  return flags
end

-- ---- streams ----------------------------------------------------------------------------------------------------------------

function Engine:publish(stream, items)
  local news = {}
  for _, part in ipairs(parts(items, function(item) return #item.value end)) do
    local flags, err = self:flags("stoke.publish($1::text,$2::text[],$3::text[],$4::bytea[],$5::bigint[],$6::bigint)", stream,
      column(part, "text", field "id"), column(part, "text", field "key"), column(part, "bytea", field "value"),
      column(part, "bigint", field "v"), links.call())
    if not flags then return nil, err end
    table.move(flags, 1, #flags, #news + 1, news)
  end
  self.link:changed(of_stream(stream))
  return news
end

local CLAIM <const> = "SELECT * FROM stoke.claim($1::text,$2::text,$3::bigint,$4::float8,$5::bigint,$6::int,$7::bigint)"

--- Claims; or none, and in how many seconds there may be one.
local function claim_once(self, q, n)
  local from = q.from == "new" and -1 or math.type(q.from) == "integer" and q.from or 1
  local found, err = self.link:ask("look", { { CLAIM, q.stream, q.group, n, q.lease, from, math.min(q.tries, 1 << 30), HEAP } })
  if not found then return nil, err end
  local claims = {}
  for i, row in ipairs(found[1]) do
    if not row[1] then return claims, row[9] end
    claims[i] = { stream = q.stream, group = q.group, offset = row[1], id = row[2], key = row[3], v = row[4], try = row[5],
      fence = row[6], value = row[7], alone = row[8] or nil }
  end
  return claims
end

--- Claims for all who ask the same at the same moment, by their order. Who gets none of them asks again at once.
local function claim_all(self, q, list)
  local n, at = 0, 0
  for _, op in ipairs(list) do n = n + op.weight end
  local claims, due = claim_once(self, q, n)
  if not claims then return due end
  for _, op in ipairs(list) do
    local last = math.min(at + op.weight, #claims)
    op.value, op.more = table.move(claims, at + 1, last, 1, {}), claims[1] and 0 or due
    at = last
  end
end

--- One of those who ask the same.
local function claim_with_others(self, q)
  local key = ("%s\0%s\0%s\0%d\0%s"):format(q.stream, q.group, q.lease, q.tries, q.from)
  local all = self.claims[key]
  if not all then
    all = together.new(engines.MOST, function(list) return claim_all(self, q, list) end, function() return false end)
    self.claims[key] = all
  end
  local claims, more = all:take { weight = q.n, undo = function(claims)
    local list = {}
    for i, claim in ipairs(claims) do list[i] = { claim = claim, state = "back" } end
    if list[1] then self:settle(list) end
  end }
  if not all.running then self.claims[key] = nil end
  return claims, more
end

function Engine:claim(q)
  local link, name, last = self.link, of_stream(q.stream), monotonic() + q.wait
  while true do
    local seen = link.changes[name] or 0
    local claims, due = claim_with_others(self, q)
    if not claims then return nil, due end
    local left = last - monotonic()
    if claims[1] or left <= 0 then return claims end
    local ok, err = link:await(name, seen, math.max(math.min(left, M.LOOK, due or M.LOOK), 0.001))
    if not ok then return nil, err end
  end
end

function Engine:renew(claims, lease)
  local found, err = self.link:ask("look", { { "SELECT stoke.renew($1::text[],$2::text[],$3::bigint[],$4::bigint[],$5::float8)",
    column(claims, "text", field "stream"), column(claims, "text", field "group"), column(claims, "bigint", field "offset"),
    column(claims, "bigint", field "fence"), lease } })
  if not found then return nil, err end
  local lost = {}
  for i, row in ipairs(found[1]) do lost[i] = claims[row[1]] end
  return lost
end

local SETTLE <const> = [[stoke.settle($1::text[],$2::text[],$3::bigint[],$4::bigint[],$5::text[],$6::bytea[],$7::text[],
  $8::float8[],$9::bigint[],$10::text[],$11::text[],$12::text[],$13::bytea[],$14::bigint[])]]

--- What a list hands over, each with the place of its settlement.
local function handed(list)
  local out = {}
  for n, s in ipairs(list) do
    for _, item in ipairs(s.publish or {}) do out[#out + 1] = { n = n, item = item } end
  end
  return out
end

local function settle_part(self, list)
  local out = handed(list)
  local function of(name) return function(s) return s.claim[name] end end
  local function item(name) return function(o) return o.item[name] end end
  return self:flags(SETTLE, column(list, "text", of "stream"), column(list, "text", of "group"),
    column(list, "bigint", of "offset"), column(list, "bigint", of "fence"), column(list, "text", field "state"),
    column(list, "bytea", field "value"), column(list, "text", field "reason"),
    column(list, "float8", function(s) return s.delay or 0 end), column(out, "bigint", field "n"),
    column(out, "text", item "stream"), column(out, "text", item "id"), column(out, "text", item "key"),
    column(out, "bytea", item "value"), column(out, "bigint", item "v"))
end

local function bytes_of(s)
  local bytes = s.value and #s.value or 0
  for _, item in ipairs(s.publish or {}) do bytes = bytes + #item.value end
  return bytes
end

local function settle_parts(self, list)
  local good = {}
  for _, part in ipairs(parts(list, bytes_of)) do
    local flags, err = settle_part(self, part)
    if not flags then return nil, err end
    table.move(flags, 1, #flags, #good + 1, good)
    for _, s in ipairs(part) do -- others may have got something to do
      if s.claim.key or s.state == "again" or s.state == "back" then self.link:changed(of_stream(s.claim.stream)) end
      for _, item in ipairs(s.publish or {}) do self.link:changed(of_stream(item.stream)) end
    end
  end
  return good
end

--- Settle what all ask for who ask at the same moment.
function Engine:settle_all(ops)
  local list, at = {}, 0
  for _, op in ipairs(ops) do table.move(op.about, 1, #op.about, #list + 1, list) end
  local good, err = settle_parts(self, list)
  if not good then return err end
  for _, op in ipairs(ops) do
    op.value = table.move(good, at + 1, at + #op.about, 1, {})
    at = at + #op.about
  end
end

function Engine:settle(list) return self.settling:take { about = list, weight = #list } end

function Engine:rewind(stream, group, offset)
  local done, err = self.link:ask("write", { { "SELECT stoke.rewind($1::text,$2::text,$3::bigint)", stream, group, offset } })
  if not done then return nil, err end
  self.link:changed(of_stream(stream))
  return true
end

function Engine:revive(stream, group, ids)
  local revived, err = self:call("write", "SELECT stoke.revive($1::text,$2::text,$3::text[])", stream, group,
    ids and column(ids, "text", function(id) return id end))
  if revived then self.link:changed(of_stream(stream)) end
  return revived, err
end

function Engine:trim(stream, before) return self:call("write", "SELECT stoke.trim($1::text,$2::bigint)", stream, before) end

-- ---- looking ----------------------------------------------------------------------------------------------------------------

--- Rows of a statement as records. Its last parameter is the bytes of values that are enough.
function Engine:rows(sql, record, ...)
  local job = { sql, n = select("#", ...), ... }
  local found, err = self.link:ask("look", { job })
  if not found then return nil, err end
  local list = {}
  for i, row in ipairs(found[1]) do list[i] = record(row) end
  return list
end

--- Rows of an inner statement with a column value, in the order of seq, until their values have so many bytes.
local function enough(inner, limit)
  return ([[SELECT * FROM (SELECT x.*, sum(octet_length(x.value)) OVER (ORDER BY x.seq) - octet_length(x.value) AS before
FROM (%s) x) y WHERE coalesce(before, 0) < $%d::bigint ORDER BY seq]]):format(inner, limit)
end

local READ <const> = enough([[SELECT i.seq, i.id, i.key, i.v, i.value FROM stoke.items i
WHERE i.stream = (SELECT id FROM stoke.streams WHERE name = $1::text) AND i.seq >= $2::bigint AND i.value IS NOT NULL
ORDER BY i.seq LIMIT $3::bigint]], 4)

function Engine:read(stream, from, limit)
  return self:rows(READ, function(row) return { offset = row[1], id = row[2], key = row[3], v = row[4], value = row[5] } end,
    stream, from, limit, HEAP)
end

local OUTCOMES <const> = enough([[SELECT w.seq, i.id, w.key, w.state::text, w.tries, w.value, w.reason FROM stoke.streams s
JOIN stoke.groups g ON g.stream = s.id JOIN stoke.work w ON w.grp = g.id JOIN stoke.items i ON i.stream = s.id AND i.seq = w.seq
WHERE s.name = $1::text AND g.name = $2::text AND w.seq >= $3::bigint AND w.state >= 'done' ORDER BY w.seq LIMIT $4::bigint]], 5)

function Engine:outcomes(stream, group, from, limit)
  return self:rows(OUTCOMES, function(row)
    return { offset = row[1], id = row[2], key = row[3], state = row[4], tries = row[5], value = row[6], reason = row[7] }
  end, stream, group, from, limit, HEAP)
end

function Engine:streams()
  local found, err = self.link:ask("look", { { 'SELECT stream, items, last, "group", waiting, lent, done, dead \z
    FROM stoke.progress ORDER BY stream, "group"' } })
  if not found then return nil, err end
  local list = {}
  for _, row in ipairs(found[1]) do
    local stream = list[#list]
    if not stream or stream.stream ~= row[1] then
      stream = { stream = row[1], items = row[2], last = row[3], groups = {} }
      list[#list + 1] = stream
    end
    if row[4] then
      table.insert(stream.groups, { group = row[4], waiting = row[5], lent = row[6], done = row[7], dead = row[8] })
    end
  end
  return list
end

-- ---- keys and logs ----------------------------------------------------------------------------------------------------------

function Engine:kv_get(bucket, key)
  local list, err = self:rows([[SELECT value, revision FROM stoke.kv
WHERE bucket = $1::text AND key = $2::text AND value IS NOT NULL]], function(row)
    return { value = row[1], revision = row[2] }
  end, bucket, key)
  if not list then return nil, err end
  return list[1] or false
end

--- The new revision; false: it was not written.
function Engine:put(bucket, key, value, expected)
  local revision, err = self:call("write", "SELECT stoke.put($1::text,$2::text,$3::bytea,$4::bigint,$5::bigint)", bucket, key,
    value, expected, links.call())
  if errors.is(err) then return nil, err end
  if revision then self.link:changed(of_bucket(bucket)) end
  return revision or false
end

function Engine:kv_put(bucket, key, value) return self:put(bucket, key, value, nil) end

function Engine:kv_swap(bucket, key, value, revision) return self:put(bucket, key, value, revision) end

function Engine:kv_delete(bucket, key, revision)
  local done, err = self:put(bucket, key, nil, revision)
  if done == nil then return nil, err end
  return done and true
end

function Engine:kv_keys(bucket, prefix)
  return self:rows([[SELECT key FROM stoke.kv WHERE bucket = $1::text AND key >= $2::text AND starts_with(key, $2::text)
AND value IS NOT NULL ORDER BY key]], function(row) return row[1] end, bucket, prefix)
end

local CHANGES <const> = enough([[SELECT k.revision AS seq, k.key, k.value FROM stoke.kv k WHERE k.bucket = $1::text
AND k.revision > $3::bigint AND starts_with(k.key, $2::text) AND (k.value IS NOT NULL OR $3::bigint > 0)
ORDER BY k.revision LIMIT 1000]], 4)

function Engine:kv_watch(bucket, prefix, since, wait)
  local last, name = monotonic() + wait, of_bucket(bucket)
  while true do
    local seen = self.link.changes[name] or 0
    local list, err = self:rows(CHANGES, function(row) return { revision = row[1], key = row[2], value = row[3] } end,
      bucket, prefix, since, HEAP)
    if not list then return nil, err end
    local left = last - monotonic()
    if list[1] or left <= 0 then return list end
    local ok
    ok, err = self.link:await(name, seen, math.min(left, M.LOOK))
    if not ok then return nil, err end
  end
end

function Engine:log_append(name, key, after, value)
  local done, last = self:call("write", "SELECT * FROM stoke.append($1::text,$2::text,$3::bigint,$4::bytea,$5::bigint)", name, key,
    after, value, links.call())
  if done == nil then return nil, last end
  if done then return after + 1 end
  return false, last
end

local LOG <const> = enough([[SELECT l.seq, l.value FROM stoke.logs l WHERE l.name = $1::text AND l.key = $2::text
AND l.seq >= $3::bigint ORDER BY l.seq LIMIT $4::bigint]], 5)

function Engine:log_read(name, key, from, limit)
  return self:rows(LOG, function(row) return { offset = row[1], value = row[2] } end, name, key, from, limit, HEAP)
end

function Engine:log_drop(name, key)
  local done, err = self.link:ask("write", { { "DELETE FROM stoke.logs WHERE name = $1::text AND key = $2::text", name, key } })
  if not done then return nil, err end
  return true
end

-- ---- itself -----------------------------------------------------------------------------------------------------------------

function Engine:now() return self:call("look", "SELECT extract(epoch FROM clock_timestamp())::float8") end

function Engine:health()
  local began = monotonic()
  local found, err = self.link:ask("look", { { [[SELECT current_setting('server_version'), current_setting('fsync') = 'on'
AND current_setting('full_page_writes') = 'on']] } })
  if not found then return nil, err end
  local version, synced = found[1][1][1], found[1][1][2]
  return { engine = "postgres", version = "PostgreSQL " .. version, ok = true, latency = monotonic() - began,
    detail = self.url .. (synced and "" or "; its fsync is off: a crash may lose what it acknowledged") }
end

function Engine:close()
  self.link:close()
  return true
end

Engine.__close = Engine.close

return M
