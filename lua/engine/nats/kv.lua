--- Keys and logs over JetStream.
---
--- A bucket is laid out as NATS' own clients do it (KV_BUCKET, $KV.BUCKET.KEY, one message a key), so that `nats kv` shows it; a
--- revision is a message's sequence, and a deleted key a message that says so. A log has a subject for each entry, LOG.KEY.N: who
--- appends N where there is none was the only one.

local jets = require "core.engine.nats.jet"
local readers = require "core.engine.nats.reader"
local time = require "host.time"

local monotonic = time.monotonic

local M = {}

--- Bytes of values after which no more are read at once.
M.BYTES = 16 << 20

-- ---- buckets ------------------------------------------------------------------------------------------------------------

local function bucket_of(jet, bucket)
  local name = jet.prefix .. "-" .. jets.name(bucket):gsub("=", "_")
  local b = { stream = "KV_" .. name, base = "$KV." .. name .. "." }
  local ok, err = jet:stream(b.stream, { b.base .. ">" }, ("stoke: keys of the bucket %s"):format(bucket),
    { max_msgs_per_subject = 1, deny_delete = true, allow_rollup_hdrs = true })
  if not ok then return nil, err end
  return b
end

local function subject(b, key) return b.base .. jets.token(key) end

local function is_gone(m) return m.operation ~= nil end

local function write(jet, b, key, value, after, more)
  local seqs, err = jet:write { { subject = subject(b, key), data = value, after = after, more = more } }
  if not seqs then return nil, jets.problem(err, "cannot write a key") end
  return seqs[1]
end

--- The last message of a key, also one that says it is deleted.
local function last(jet, b, key)
  local found, err = jet:get(b.stream, { { last_by_subj = subject(b, key) } })
  if not found then return nil, err end
  return found[1]
end

---@param jet core.engine.jet
---@param bucket string
---@param key string
---@return { value: string, revision: integer }|false|nil
---@return stoke.error|nil err
function M.get(jet, bucket, key)
  local b, err = bucket_of(jet, bucket)
  if not b then return nil, err end
  local m
  m, err = last(jet, b, key)
  if not m or is_gone(m) then return m == nil and nil or false, err end
  return { value = m.data, revision = m.seq }
end

function M.put(jet, bucket, key, value)
  local b, err = bucket_of(jet, bucket)
  if not b then return nil, err end
  return write(jet, b, key, value)
end

--- With revision 0 the key must not be there: there is no message, or the last one says that it was deleted.
function M.swap(jet, bucket, key, value, revision)
  local b, err = bucket_of(jet, bucket)
  if not b then return nil, err end
  local written
  written, err = write(jet, b, key, value, revision)
  if written ~= false or revision ~= 0 then return written, err end
  local m
  m, err = last(jet, b, key)
  if not m or not is_gone(m) then return m == nil and nil or false, err end
  return write(jet, b, key, value, m.seq)
end

function M.delete(jet, bucket, key, revision)
  local b, err = bucket_of(jet, bucket)
  if not b then return nil, err end
  local m
  m, err = last(jet, b, key)
  if m == nil then return nil, err end
  if not m or is_gone(m) or revision and revision ~= m.seq then return false end
  local written
  written, err = write(jet, b, key, "", m.seq, { "KV-Operation", "DEL" })
  if written == nil then return nil, err end
  if written == false and not revision then return M.delete(jet, bucket, key) end -- changed meanwhile
  return written ~= false
end

local function key_of(b, m) return jets.text(m.subject:sub(#b.base + 1)) end

local function begins(key, prefix) return key:sub(1, #prefix) == prefix end

--- The last message of each key of a bucket, as they were written.
local function each_key(jet, b, bodies, f)
  local reader = readers.new(jet, { stream = b.stream, from = 1, last = true, bodies = bodies, filter = b.base .. ">" })
  local info, err = jet:info(b.stream)
  local due = info and info.state.num_subjects or 0
  while info and due > 0 do
    local list
    list, err = reader:take(jets.ANSWER)
    if not list then break end
    for _, m in ipairs(list) do f(m) end
    if not list[1] or list[#list].pending == 0 then due = 0 end
  end
  reader:close()
  if err then return nil, jets.problem(err, "cannot read a bucket") end
  return true
end

function M.keys(jet, bucket, prefix)
  local b, err = bucket_of(jet, bucket)
  if not b then return nil, err end
  local keys = {}
  local ok
  ok, err = each_key(jet, b, false, function(m)
    local key = key_of(b, m)
    if not is_gone(m) and begins(key, prefix) then keys[#keys + 1] = key end
  end)
  if not ok then return nil, err end
  table.sort(keys)
  return keys
end

--- Changes among what is read next; what is too much at once is read again by the next look.
local function changes_of(b, list, prefix)
  local changes, bytes = {}, 0
  for _, m in ipairs(list) do
    local key = key_of(b, m)
    if begins(key, prefix) and bytes < M.BYTES then
      changes[#changes + 1] = { key = key, value = not is_gone(m) and m.data or nil, revision = m.seq }
      bytes = bytes + #m.data
    end
  end
  return changes
end

--- Wait for the next changes. When the time is up, what was written before is still looked at: the server takes a while to send it.
local function look(jet, b, reader, prefix, seconds)
  local over, final = monotonic() + seconds, nil
  while true do
    local left = over - monotonic()
    if left <= 0 and not final then
      local info, err = jet:info(b.stream)
      if not info then return nil, err end
      final = info.state.last_seq
    end
    if final and reader.next_seq > final then return {} end
    local list, err = reader:take(final and jets.ANSWER or left)
    if not list then return nil, err end
    local changes = changes_of(b, list, prefix)
    if changes[1] or final and not list[1] then return changes end
  end
end

--- Changes after a revision; with `wait` 0 those that are there. The reader of a bucket is kept in `watchers`, by its prefix: who
--- goes on where it stands waits for news alone.
---@param jet core.engine.jet
---@param watchers table<string, table>
function M.watch(jet, watchers, bucket, prefix, since, wait)
  local b, err = bucket_of(jet, bucket)
  if not b then return nil, err end
  local name = bucket .. "\0" .. prefix
  local reader = watchers[name]
  watchers[name] = nil -- it is ours until we are done
  reader = reader or readers.new(jet, { stream = b.stream, from = since + 1, bodies = true })
  reader:seek(since + 1)
  local changes
  changes, err = look(jet, b, reader, prefix, wait)
  if not changes or watchers[name] then reader:close() else watchers[name] = reader end
  if not changes then return nil, jets.problem(err, "cannot watch a bucket") end
  return changes
end

-- ---- logs ---------------------------------------------------------------------------------------------------------------

local function log_of(jet, name)
  local token = jets.name(name)
  local l = { stream = ("%s-l-%s"):format(jet.prefix, token), base = ("%s.l.%s."):format(jet.prefix, token) }
  local ok, err = jet:stream(l.stream, { l.base .. ">" }, ("stoke: the log %s"):format(name))
  if not ok then return nil, err end
  return l
end

local function entry(l, key, n) return ("%s%s.%s"):format(l.base, jets.token(key), n) end

local function last_entry(jet, l, key)
  local found, err = jet:get(l.stream, { { last_by_subj = entry(l, key, "*") } })
  if not found then return nil, err end
  return found[1] and math.tointeger(found[1].of:match "%.(%d+)$") or 0
end

---@param jet core.engine.jet
---@param name string
---@param key string
---@param after integer
---@param value string
---@return integer|false|nil
---@return integer|stoke.error|nil
function M.append(jet, name, key, after, value)
  local l, err = log_of(jet, name)
  if not l then return nil, err end
  local last_one
  last_one, err = last_entry(jet, l, key)
  if not last_one then return nil, err end
  if last_one ~= after then return false, last_one end
  local seqs
  seqs, err = jet:write { { subject = entry(l, key, after + 1), data = value, after = 0 } }
  if not seqs then return nil, jets.problem(err, "cannot append to a log") end
  if seqs[1] then return after + 1 end
  last_one, err = last_entry(jet, l, key)
  if not last_one then return nil, err end
  return false, last_one
end

function M.read(jet, name, key, from, limit)
  local l, err = log_of(jet, name)
  if not l then return nil, err end
  local list, bytes, step = {}, 0, 8
  while #list < limit and bytes < M.BYTES do
    local wanted, at = {}, from + #list
    for i = 0, math.min(step, limit - #list) - 1 do wanted[i + 1] = { last_by_subj = entry(l, key, at + i) } end
    local found
    found, err = jet:get(l.stream, wanted)
    if not found then return nil, err end
    for i, m in ipairs(found) do
      if not m or bytes >= M.BYTES then return list end
      list[#list + 1] = { offset = at + i - 1, value = m.data }
      bytes = bytes + #m.data
    end
    if bytes < M.BYTES // 16 then step = math.min(step * 4, jets.BATCH) end
  end
  return list
end

function M.drop(jet, name, key)
  local l, err = log_of(jet, name)
  if not l then return nil, err end
  return jet:purge(l.stream, entry(l, key, "*"))
end

return M
