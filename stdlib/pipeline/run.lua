--- A pipeline at work: its stages, each with its workers, and the room between them.

local bells = require "stoke.pipeline.bell"
local combine = require "core.combine"
local errors = require "core.errors"
local kinds = require "stoke.pipeline.kinds"
local rewinds = require "stoke.pipeline.rewinds"
local stages = require "stoke.pipeline.stage"
local time = require "stoke.time"

local M = {}

--- The group that does the items of each stage.
local GROUP <const> = "pipeline"
M.GROUP = GROUP

--- Seconds between two looks at how many items stand before each stage, since others may work at them, too; a wait that is over.
local LOOK <const>, TICK <const> = 1, 0.001

--- Bytes of an id that is given: what comes of it has more in its id.
M.LONGEST = 200

---@class stoke.pipeline.envelope what stands in the streams: plain data
---@field v any the value
---@field id string as it was given; of a part of a split one with its number
---@field g integer generation (stoke.pipeline.rewinds)
---@field at integer[] its offsets in the stages before

---@class stoke.pipeline.run
---@field before table<string, integer> items in front of each stage that are not settled, as far as this process knows
---@field moves integer rises with all that changes `before`: a look during which it rose tells of no one moment
---@field streams string[] of the stages
local Run = {}
Run.__index = Run

--- The stream in front of a stage.
---@param name string of the pipeline
---@param stage string
---@return string
function M.stream(name, stage) return ("%s/%s"):format(name, stage) end

--- How many items stand before each stage, and what came of the others.
---@param queue stoke.queue
---@param pipeline stoke.pipeline
---@return { stage: string, waiting: integer, lent: integer, done: integer, dead: integer }[]
function M.look(queue, pipeline)
  local found, list = {}, {}
  for _, one in ipairs(queue:streams()) do found[one.stream] = one end
  for i, stage in ipairs(pipeline.stages) do
    local one = found[M.stream(pipeline.name, stage.name)]
    local row = { stage = stage.name, waiting = one and one.items or 0, lent = 0, done = 0, dead = 0 }
    for _, group in ipairs(one and one.groups or {}) do
      if group.group == GROUP then row.waiting, row.lent, row.done, row.dead = group.waiting, group.lent, group.done, group.dead end
    end
    list[i] = row
  end
  return list
end

--- Look how many items stand before each stage, where others may work at them, too. What was put in, handed on or settled meanwhile
--- may be in the picture or not: such a picture is not used, as here it is known better.
---@return string|nil settled where nothing is left in the picture: what came of all items
local function count(self)
  local moves, left, settled = self.moves, false, {}
  local rows = M.look(self.queue, self.pipeline)
  if self.moves ~= moves then return nil end
  for i, row in ipairs(rows) do
    local before = row.waiting + row.lent
    self.before[row.stage], left = before, left or before ~= 0
    settled[i] = ("%d+%d"):format(row.done, row.dead)
  end
  return not left and table.concat(settled, " ") or nil
end

--- So many more items (fewer, below 0) stand before a stage.
local function move(self, stage, n)
  self.before[stage], self.moves = self.before[stage] + n, self.moves + 1
end

--- A pipeline that is about to work.
---@param pipeline stoke.pipeline
---@param queue stoke.queue
---@return stoke.pipeline.run
function M.new(pipeline, queue)
  local self = setmetatable({ pipeline = pipeline, queue = queue, before = {}, moves = 0, rooms = {}, moved = bells.new(),
    workers = {}, streams = {}, usage = { calls = 0, input_tokens = 0, output_tokens = 0, seconds = 0 } }, Run)
  for i, stage in ipairs(pipeline.stages) do
    self.before[stage.name], self.rooms[stage.name] = 0, bells.new()
    self.streams[i] = M.stream(pipeline.name, stage.name)
  end
  self.rewinds = rewinds.new(queue, pipeline.name, pipeline.order)
  return self
end

-- ---- one item ------------------------------------------------------------------------------------------------------------------

--- What is handed on, or the outcome of the last stage.
local function handed(self, index, item, value)
  local env, stage = item.value, self.pipeline.stages[index]
  self.rewinds:look()
  if self.rewinds:void(env.g, env.at) then return {} end
  local g = self.rewinds:generation(stage.name, item.offset, env.g)
  local at = { table.unpack(env.at) }
  at[index] = item.offset
  if value == kinds.DROPPED then return { value = { g = g, at = at, dropped = true } } end
  if stage.split then errors.list(("stage %s: split wants a list, which"):format(stage.name), value) end
  local stream = self.streams[index + 1]
  if not stream then return { value = { v = value, id = env.id, g = g, at = at } } end
  local function onward(one, id)
    return { stream = stream, key = item.key, id = g > 0 and ("%s@%d"):format(id, g) or id,
      value = { v = one, id = id, g = g, at = at } }
  end
  if not stage.split then return { publish = { onward(value, env.id) } } end
  local out = {}
  for i, one in ipairs(value) do out[i] = onward(one, ("%s/%d"):format(env.id, i)) end
  return { publish = out }
end

local function add(usage, more)
  for name, n in next, usage do usage[name] = n + (more[name] or 0) end
end

--- What is handed on stands before the next stage from now on, though it is there only when the item is settled.
local function expect(self, index, out, sign)
  local after = out.publish and self.pipeline.stages[index + 1].name
  if after then move(self, after, #out.publish * (sign or 1)) end
end

local function worker(self, index)
  local function used(more) add(self.usage, more) end
  return function(item)
    local env, stage = item.value, self.pipeline.stages[index] -- as it is now: a reload may have changed it
    if self.rewinds:void(env.g, env.at) then return {} end
    local about = { id = env.id, key = item.key, try = item.try, offset = item.offset }
    if stage.asks then about.run = ("%s/%s@%d"):format(self.streams[index], env.id, env.g) end
    local out = handed(self, index, item, stage.work(env.v, about, used))
    expect(self, index, out)
    return out
  end
end

--- Told of each item that was settled.
local function told(self, index)
  local pipeline = self.pipeline
  local name = pipeline.stages[index].name
  return function(item, state, detail)
    if state == "done" or state == "dead" then
      move(self, name, -1)
      self.rooms[name]:ring()
      self.moved:ring()
    elseif state == "lost" and detail.publish then
      expect(self, index, detail, -1)
    end
    if pipeline.told then pipeline.told(name, item.value.id, state, state ~= "done" and detail or nil) end
  end
end

-- ---- room ----------------------------------------------------------------------------------------------------------------------

--- Wait until a stage has room before it.
local function wait_for_room(self, index)
  local stage = self.pipeline.stages[index]
  while self.before[stage.name] >= stage.bound do
    self.rooms[stage.name]:wait(LOOK)
  end
end

--- Put items in front of the first stage; while the pipeline works, it waits for room there.
---@param given { id: string, key?: string, value: any }[]
---@return integer new
function Run:put(given)
  if self.active then wait_for_room(self, 1) end
  local first, items = self.pipeline.stages[1].name, {}
  for i, one in ipairs(given) do
    items[i] = { id = one.id, key = one.key, value = { v = one.value, id = one.id, g = 0, at = {} } }
  end
  local new = self.queue:publish_all(M.stream(self.pipeline.name, first), items)
  move(self, first, new)
  return new
end

-- ---- all of them ---------------------------------------------------------------------------------------------------------------

local function is_empty(self)
  for _, stage in ipairs(self.pipeline.stages) do
    if self.before[stage.name] > 0 then return false end
  end
  return true
end

--- Wait until it is time for the next look; sooner, where nothing seems to be left.
local function wait_for_look(self, ends)
  local last = time.monotonic() + LOOK
  repeat
    self.moved:wait(math.max(last - time.monotonic(), TICK))
  until last - time.monotonic() < TICK or ends and self.fed and is_empty(self)
end

--- Watch what others do, and end where nothing is left. An engine may tell of its streams one after another: an item that is handed
--- on meanwhile, perhaps by another process, is then in none of them. So two looks end it, one begun after the other, with nothing
--- settled between them: at the moment between them nothing was left.
local function watch(self, ends)
  local before
  while true do
    local settled = count(self)
    if not (settled and ends and self.fed) then
      before = nil
      wait_for_look(self, ends)
    elseif settled == before then
      break
    else
      before = settled
    end
  end
  for _, stage in ipairs(self.workers) do stage:stop() end
end

local function make(self, index)
  local stage = self.pipeline.stages[index]
  local has_next = self.pipeline.stages[index + 1] ~= nil
  return stages.new { name = stage.name, queue = self.queue, stream = M.stream(self.pipeline.name, stage.name), group = GROUP,
    concurrency = stage.concurrency, tries = stage.tries, lease = stage.lease, work = worker(self, index), told = told(self, index),
    room = has_next and function() wait_for_room(self, index + 1) end or nil }
end

--- Rewind a stage: what it did from there on is void.
---@param stage string
---@param from integer
function Run:rewind(stage, from)
  self.queue:rewind(M.stream(self.pipeline.name, stage), GROUP, from)
  self.moves = self.moves + 1
  count(self)
end

--- Work.
---@param feed? fun(put: fun(list: table[]): integer) puts items in; nil: there is what there is
---@param ends boolean end where nothing is left
function Run:go(feed, ends)
  local began = time.monotonic()
  self.rewinds:finish(function(stage, from) self.queue:rewind(M.stream(self.pipeline.name, stage), GROUP, from) end)
  count(self)
  self.active = true
  local scope <close> = combine.scope { class = self.pipeline.class }
  for i in ipairs(self.pipeline.stages) do
    self.workers[i] = make(self, i)
    scope:spawn(self.workers[i].run, self.workers[i])
  end
  scope:spawn(function()
    if feed then feed(function(list) return self:put(list) end) end
    self.fed = true
    self.moved:ring()
  end)
  scope:spawn(watch, self, ends)
  scope:wait()
  self.seconds = time.monotonic() - began
end

return M
