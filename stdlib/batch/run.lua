--- A batch that goes on: rows are read into a stream of the engine, its workers do them, what came of them is written.
---
--- The engine alone remembers: each row is an item, its outcome is written with its settling, in one step, and how far the input
--- was read stands beside them. Whatever is killed, and whenever, the same batch goes on from there.

local bells = require "stoke.pipeline.bell"
local combine = require "core.combine"
local errors = require "core.errors"
local find = require "stoke.batch.find"
local outputs = require "stoke.batch.output"
local reports = require "stoke.batch.report"
local show = require "stoke.show"
local stages = require "stoke.pipeline.stage"
local time = require "stoke.time"

local M = {}

--- What is kept of a batch: a newer program's is refused.
local VERSION <const> = 1

--- Rows that are put into the stream at once, and rows in it that nobody has done yet.
local CHUNK <const>, AHEAD <const> = 256, 1000

--- The engine's names: a bucket of what is kept of each batch, and the group that does the rows.
local BUCKET <const>, GROUP <const> = "batches", "batch"
M.GROUP = GROUP

--- Seconds in which what is settled gathers, before it is written.
local GATHER <const> = 0.1

--- Seconds that a batch is held by a process that says nothing, at most; and how often it may be held.
local TURN <const>, MANY <const> = 3, 1 << 30

---@class stoke.batch.kept what stands in the engine beside the rows; plain data
---@field version integer
---@field generation integer 1, and one more each time it begins anew
---@field settings table what it was begun with
---@field place? stoke.batch.place how far the input was read
---@field rows integer
---@field duplicates integer
---@field read boolean all of the input was read

---@class stoke.batch.run
local Run = {}
Run.__index = Run

local function stream_of(name, generation) return ("batch/%s/%d"):format(name, generation) end

-- ---- one process at a time -----------------------------------------------------------------------------------------------------

--- Take the turn: the one item that says who works at the batch. It comes free when its process ends, or is silent for too long.
local function take_turn(queue, name, lease, told)
  local stream = ("batch/%s/turn"):format(name)
  queue:publish(stream, nil, "turn", true)
  local reader = queue:consume(stream, GROUP, { lease = lease, tries = MANY })
  local item = reader:take(0.5)
  if not item then
    told "another process works at this batch, or was killed a moment ago; waiting for its turn"
    item = reader:take(lease + 2)
  end
  if item then return { item = item, reader = reader } end
  reader:close()
  errors.raise("usage", ("another process works at the batch %s"):format(show.word(name)),
    { hint = "wait for its end, or give this one a name of its own (--name)" })
end

-- ---- what is kept --------------------------------------------------------------------------------------------------------------

local function keep(self) self.kv:put(self.name, self.kept) end

--- Settings by which a batch is another one.
local OWN = { { "input", "reads" }, { "prompt", "asks" }, { "model", "asks" }, { "instructions", "has the instructions" },
  { "key", "has its ids in" } }

--- It goes on with what it was begun with.
local function check_settings(self, given)
  local kept = self.kept.settings
  for _, one in ipairs(OWN) do
    local name, words = one[1], one[2]
    if given[name] ~= nil and kept[name] ~= given[name] then
      errors.raise("usage", ("the batch %s %s %s, not %s"):format(show.word(self.name), words, show.line(kept[name]),
        show.line(given[name])), { hint = "--fresh begins anew; --name gives this one a name of its own" })
    end
  end
  for name, value in next, kept do
    if given[name] == nil then given[name] = value end
  end
end

--- What there is of it: goes on, begins, or begins anew.
local function look(self, o)
  local kept = self.kv:get(self.name)
  local is_new = kept and kept.rows == 0 -- nothing of it was read: it was a trial that failed at once
  if kept and kept.version > VERSION then
    errors.raise("usage", ("the batch %s was begun by a newer stoke"):format(show.word(self.name)), { hint = "update this one" })
  end
  if is_new then kept = nil end
  if kept and not o.fresh and not o.resume then
    errors.raise("usage", ("there is a batch %s already, %s"):format(show.word(self.name), kept.read and
      ("of %d rows"):format(kept.rows) or ("which had read %d rows"):format(kept.rows)),
      { hint = "--resume goes on with it, --fresh begins anew" })
  end
  self.kept = kept
  if kept and not o.fresh then
    check_settings(self, o.settings)
    self.resumed = true
    return
  end
  if o.only_resume and not kept then
    errors.raise("usage", ("there is no batch %s"):format(show.word(self.name)), { hint = "without --resume it begins" })
  end
  self.kept = { version = VERSION, generation = kept and kept.generation + 1 or 1, settings = o.settings, rows = 0,
    duplicates = 0, read = false }
  if kept then self.queue:trim(stream_of(self.name, kept.generation), { before = math.maxinteger }) end
  keep(self)
end

--- Where its rows stand.
local function count(self)
  local left, failed, done = 0, 0, 0
  for _, one in ipairs(self.queue:streams()) do
    if one.stream == self.stream then
      left = one.items
      for _, group in ipairs(one.groups) do
        if group.group == GROUP then failed, done = group.dead, group.done end
      end
    end
  end
  self.failed, self.done = failed, done
  self.left = left - failed - done
end

--- Begin, or go on.
---@param queue stoke.queue
---@param o { name: string, settings: table, resume: boolean, fresh: boolean, only_resume?: boolean, lease?: number,
---  told: fun(text: string) }
---@return stoke.batch.run
---Raises `usage`, and what the engine raises.
function M.open(queue, o)
  local self = setmetatable({ name = o.name, queue = queue, kv = queue:kv(BUCKET), moved = bells.new(), settled = bells.new() },
    Run)
  self.turn = take_turn(queue, o.name, math.min(o.lease or TURN, TURN), o.told)
  local ok, err = combine.try(function()
    look(self, o)
    self.stream = stream_of(self.name, self.kept.generation)
    count(self)
  end)
  if err then
    self:close()
    error(err, 0)
  end
  return self, ok
end

--- Have the dead letters tried again.
---@return integer count
function Run:retry_failed()
  local revived = self.failed > 0 and self.queue:revive(self.stream, GROUP) or 0
  count(self)
  return revived
end

-- ---- reading -------------------------------------------------------------------------------------------------------------------

--- Wait until there are not too many rows ahead.
local function wait_for_room(self)
  while self.left > AHEAD - CHUNK do self.moved:wait() end
end

local function publish(self, rows)
  local items = {}
  for i, row in ipairs(rows) do
    items[i] = { id = row.id, value = { row = row.row, line = row.line, input = row.input, bad = row.bad } }
  end
  local new = self.queue:publish_all(self.stream, items)
  self.left = self.left + new
  -- a crash may have come between the last rows and the note of where they end: those are known, and no duplicates
  if not self.repeated then self.kept.duplicates = self.kept.duplicates + #rows - new end
end

--- Put the input into the stream.
local function feed(self, reader, limit)
  local kept = self.kept
  kept.read, self.repeated = false, self.resumed -- the file may have more rows by now
  while not kept.read do
    wait_for_room(self)
    local most = math.min(CHUNK, limit and limit - reader.rows or CHUNK)
    local rows = most > 0 and reader:next(most) or {}
    if rows[1] then publish(self, rows) end
    self.repeated = false
    kept.place, kept.rows = reader:place(), reader.rows
    kept.read = reader.ended or false
    self.share = reader:share()
    if rows[1] or kept.read then keep(self) end
    if limit and reader.rows >= limit then break end
  end
  self.fed = true
  self.settled:ring()
end

-- ---- writing -------------------------------------------------------------------------------------------------------------------

--- Is there nothing left to do?
local function is_done(self) return self.fed and self.left <= 0 end

--- Count and write what is settled, until all is.
local function collect(self, finder, out, report)
  while true do
    if self.turn.item.lost then
      errors.raise("interrupted", ("another process has taken over the batch %s"):format(show.word(self.name)),
        { hint = "this one said nothing for too long: was the machine asleep?" })
    end
    local page = finder:next(self.done + self.failed - report.done - report.failed)
    if page then
      for _, found in ipairs(page) do reports.add(report, found) end
      if out then out:add(page) end
    else
      if out then out:flush() end
      if is_done(self) and not finder.blocked then break end
      self.settled:wait(1)
      if not is_done(self) then time.sleep(GATHER) end
    end
  end
  if out then out:finish(finder:all()) end
end

-- ---- all together --------------------------------------------------------------------------------------------------------------

--- What is done with an item: a row that could not be read fails as it is.
local function worker(self, work)
  return function(item)
    local row = item.value
    if row.bad then errors.raise("argument", row.bad, { reason = row.bad }) end
    return { value = work(row.input, ("%s/%s"):format(self.stream, item.id)) }
  end
end

--- Told of each row that was settled, or not.
local function told(self, o)
  return function(item, state, detail)
    if state == "done" or state == "dead" then
      local sum = state == "done" and "done" or "failed"
      self.left, self[sum] = self.left - 1, self[sum] + 1
      self.moved:ring()
      self.settled:ring()
    elseif state == "lost" then
      count(self)
    end
    if o.told then o.told(self, item, state, detail) end
  end
end

---@class stoke.batch.go
---@field reader stoke.batch.reader
---@field work fun(input: table, id: string): stoke.pipeline.result
---@field output? string|false a path; nil: standard output; false: none
---@field concurrency integer
---@field tries integer
---@field lease? number
---@field limit? integer rows
---@field fatal? fun(err: stoke.error): boolean what ends the batch
---@field told? fun(run: stoke.batch.run, item: table, state: string, detail: any)

--- Do all rows that are left.
---@param o stoke.batch.go
---@param report stoke.batch.report is filled
---Raises what ends it.
function Run:go(o, report)
  local began = time.monotonic()
  local _ <close> = setmetatable({}, { __close = function()
    report.done, report.failed = self.done, self.failed -- of a batch that ended early, not all of them were collected
    report.rows, report.left, report.duplicates = self.kept.rows, math.max(self.left, 0), self.kept.duplicates
    report.seconds = time.monotonic() - began
  end })
  local out = o.output ~= false and outputs.open(o.output, o.reader.names) or nil
  local finder = find.new(self.queue, self.stream, GROUP)
  local stage = stages.new { name = self.name, queue = self.queue, stream = self.stream, group = GROUP, concurrency = o.concurrency,
    tries = o.tries, lease = o.lease, work = worker(self, o.work), told = told(self, o), fatal = o.fatal }
  local scope <close> = combine.scope { class = "batch" }
  scope:spawn(feed, self, o.reader, o.limit)
  scope:spawn(function()
    collect(self, finder, out, report)
    stage:stop()
  end)
  scope:spawn(stage.run, stage)
  scope:wait()
end

--- Give the turn back.
function Run:close()
  if self.turn then
    local turn = self.turn
    self.turn = nil
    if not turn.item.lost then turn.item:back() end
    turn.reader:close()
  end
end
Run.__close = Run.close

return M
