--- What the pool has learned, from one process to the next: in the user's own file, since servers are the same for all scripts.
---
--- It is read when a call first has to wait, and written now and then while there is something new, and at the end: a process in
--- which nobody waits opens no file. Two processes may do so at once: of what both know the last one counts. What cannot be read or
--- written is no error of anybody's work: it is learned again, said once, and tried again later and later.

local env = require "host.env"
local fs = require "host.fs"
local host = require "host.task"
local monotonic = require "host.time".monotonic
local gate = require "core.gate.pool"
local errors = require "core.errors"
local keeper = require "core.keeper"
local notice = require "core.gate.notice"
local tasks = require "core.task"
local testbed = require "core.testbed"

local M = {}

--- Seconds between two writes, at least; and that somebody waits for the file at most: who reads, and the end of the process.
M.EVERY, M.GOODBYE = 30, 2

--- Another file than the settings name.
---@type string|nil
M.file = nil

--- Why nothing is read or written at present; nil: all is well.
---@type stoke.error|nil
M.trouble = nil

--- Seconds after a failure until it is tried again: the first time, and the longest.
M.PAUSE, M.PAUSE_MOST = 30, 3600

local retry_at, pause = 0, nil -- while there is trouble

local known, reading     -- rows by key; whether they are being read
local MOST <const> = 4096 -- keys with news: a file that cannot be written may stay so
local waiting = {}       -- who wants to hear of them
local news, news_count, written, writing = {}, 0, nil, false

--- The file; nil: this process keeps nothing. A test keeps nothing unless it names a file.
---@return string|nil
function M.path()
  local chosen = M.file or gate.store
  if chosen or testbed.closed then return chosen end
  local base, home = env.get "XDG_STATE_HOME", env.get "HOME"
  if (base or home or ""):sub(1, 1) ~= "/" and (home or ""):sub(1, 1) ~= "/" then return nil end
  return require "core.store.place".path()
end

--- No password of an address is written down.
local function settled(key) return (key:gsub("//[^/@%s]*@", "//", 1)) end

--- Is it too early to try again?
local function resting() return M.trouble ~= nil and monotonic() < retry_at end

--- Did that go well? Else it rests for a while.
local function judge(err, path)
  if not err then
    if M.trouble then notice.over("memory", ("what the pool has learned is kept in %s again"):format(path)) end
    M.trouble, pause = nil, nil
  elseif err.kind ~= "cancelled" then
    M.trouble = err
    pause = pause and math.min(2 * pause, M.PAUSE_MOST) or M.PAUSE
    retry_at = monotonic() + pause
    notice.tell("memory", "warn", ("what the pool has learned cannot be kept in %s; it is tried again later"):format(path),
      { error = err.message })
  end
end

--- Open the file, do something with it, close it.
---@return any value
---@return stoke.error|nil err
---@return boolean|nil absent there is no file, and none was to be made
local function open_store(path, options, f)
  if options.create == false and not fs.stat(path) then return nil, nil, true end
  local store, err = require "core.store".open(path, options)
  if not store then return nil, err end
  local ok, value
  ok, value, err = pcall(f, store)
  store:close()
  if not ok then return nil, errors.wrap(value) end
  return value, err
end

--- The same, whatever goes wrong: that is judged.
---@return any value
---@return boolean|nil done
local function with_store(options, f)
  local path = M.path()
  if not path or resting() then return nil end
  local ok, value, err, absent = pcall(open_store, path, options, f)
  if not ok then value, err = nil, errors.wrap(value) end
  if absent then return nil end
  judge(err, path)
  return value, not err
end

-- ---- reading --------------------------------------------------------------------------------------------------------------------

local function tell()
  local list = waiting
  waiting = {}
  for _, f in ipairs(list) do
    local ok, err = pcall(f)
    if not ok then
      notice.tell("memory told", "error", "internal error: what the pool remembers could not be taken over; please report it",
        { error = errors.wrap(err).message })
    end
  end
end

local function read()
  local rows = with_store({ create = false, readonly = true }, function(store)
    local learned = require "core.store.learned"
    local rows, err = learned.read(store)
    if not rows and store.db and err and err.message:find("no such table", 1, true) then return {} end
    return rows, err
  end)
  known, reading = rows or {}, nil
  retry_at = 0 -- a file that cannot be read may still be written
  tell()
end

--- Read what earlier processes learned, once. It takes a few milliseconds, in which nobody has to wait.
---@param done? fun() called when it is there
---
--- Example: `memory.read(function() lane.slots = slots.new(memory.facts(lane.key)) end)`
function M.read(done)
  if known then return done and done() end
  if done then waiting[#waiting + 1] = done end
  if reading then return end
  if not M.path() then
    known = {}
    return tell()
  end
  reading = tasks.spawn(read, { system = true, name = "pool memory" })
end

--- Wait until that is read, but not for long: a disk may hang.
---@return stoke.error|nil cancelled
---
--- Example: `memory.wait() local facts = memory.facts(target.key)`
function M.wait()
  local ready, last = false, monotonic() + M.GOODBYE
  M.read(function() ready = true end)
  while not ready and monotonic() < last do
    local woken, err = host.park("pool memory", 0.005)
    if woken == nil then return err end
  end
end

--- What is known of a key.
---@param key string
---@param version? string the server's present one
---@return table|nil facts nil: nothing, or it is not read yet
---@return boolean|nil sure false: the server has another version now
function M.facts(key, version)
  local row = known and known[settled(key)]
  if not row then return nil end
  return row.facts, version == nil or row.version == nil or row.version == version
end

-- ---- writing --------------------------------------------------------------------------------------------------------------------

local function write()
  local list, before = {}, news
  for key, entry in next, before do
    local ok, facts = pcall(entry.facts)
    if ok and facts then list[#list + 1] = { key = settled(key), version = entry.version, facts = facts } end
  end
  news, news_count = {}, 0
  if #list > 0 then
    table.sort(list, function(a, b) return a.key < b.key end)
    local _, done = with_store({}, function(store) return require "core.store.learned".write(store, list) end)
    if not done then -- the next time
      for key, entry in next, before do news[key] = news[key] or entry end
      news_count = 0
      for _ in next, news do news_count = news_count + 1 end
    end
  end
  written, writing = monotonic(), false
end

--- Write what is new, and wait for it, but not for long.
function M.flush()
  if not next(news) or resting() or not M.path() then return end
  if not writing then
    writing = true
    tasks.spawn(write, { system = true, name = "pool memory" })
  end
  local last = monotonic() + M.GOODBYE
  while writing and monotonic() < last do
    if host.park("pool memory", 0.005) == nil then return end
  end
end

--- Something new is known of a key. It is asked for when it is written.
---@param key string
---@param facts fun(): table|nil plain data
---@param version? string of the server
---
--- Example: `memory.note(lane.key, function() return { slots = lane.slots:facts() } end, "0.17.4")`
function M.note(key, facts, version)
  local entry = news[key]
  if not entry then
    if not M.path() or news_count >= MOST then return end -- nobody will ever write it
    entry = {}
    news[key], news_count = entry, news_count + 1
    keeper.at_end(M.flush)
  end
  entry.facts, entry.version = facts, version
  local now = monotonic()
  written = written or now
  if writing or now - written < M.EVERY or resting() then return end
  if not M.path() then return end
  writing = true
  tasks.spawn(write, { system = true, name = "pool memory" })
end

--- As at the beginning, so that a test does not depend on the one before.
function M.forget()
  known, reading, waiting, news, written, writing, M.trouble = nil, nil, {}, {}, nil, false, nil
  retry_at, pause, news_count = 0, nil, 0
end

return M
