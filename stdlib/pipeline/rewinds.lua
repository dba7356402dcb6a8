--- Stages that were told to do their items again, from an offset on: which of what came of them before is void.
---
--- What a stage hands on carries its generation, the number of the last rewind that it came of, and the offsets it had in the
--- stages before. So an id that is known in the next stream does not hide the new value (the id has the generation in it), and
--- whether an older one is void is a comparison, without looking anything up.
---
--- All who work at a pipeline must know of a rewind before the first item comes again. Nobody settles by knowledge older than
--- FRESH seconds, and whoever rewinds waits longer than that between the note and the deed.

local errors = require "core.errors"
local time = require "stoke.time"

local M = {}

local BUCKET <const>, VERSION <const> = "pipelines", 1

--- Seconds after which one looks for new ones; seconds between the note and the deed.
local FRESH <const>, WAIT <const> = 1, 2

---@class stoke.pipeline.rewinds
---@field list { number: integer, stage: string, from: integer, done?: boolean }[]
local Rewinds = {}
Rewinds.__index = Rewinds

local function read(self)
  local kept, revision = self.kv:get(self.name)
  if kept and kept.version > VERSION then
    errors.raise("protocol", ("the pipeline %s was changed by a newer stoke"):format(self.name), { hint = "update this one" })
  end
  self.list, self.revision, self.looked = kept and kept.rewinds or {}, revision or 0, time.monotonic()
end

--- Those of a pipeline.
---@param queue stoke.queue
---@param name string
---@param order table<string, integer> the places of its stages
---@return stoke.pipeline.rewinds
function M.new(queue, name, order)
  local self = setmetatable({ queue = queue, kv = queue:kv(BUCKET), name = name, order = order, list = {} }, Rewinds)
  read(self)
  return self
end

--- Know of all there are, up to FRESH seconds ago.
function Rewinds:look()
  if time.monotonic() - self.looked > FRESH then read(self) end
end

--- The generation of what comes of an item.
---@param stage string
---@param offset integer
---@param generation integer of the item
---@return integer
function Rewinds:generation(stage, offset, generation)
  for _, one in ipairs(self.list) do
    if one.stage == stage and offset >= one.from and one.number > generation then generation = one.number end
  end
  return generation
end

--- Is what has this generation void, since a stage before did its item again?
---@param generation integer
---@param at integer[] the offsets in the stages before, by place
---@return boolean
function Rewinds:void(generation, at)
  for _, one in ipairs(self.list) do
    local offset = one.number > generation and at[self.order[one.stage] or 0]
    if offset and offset >= one.from then return true end
  end
  return false
end

local function keep(self)
  local revision = self.kv:swap(self.name, { version = VERSION, rewinds = self.list }, self.revision)
  if revision then self.revision = revision else read(self) end
  return revision ~= nil
end

--- Let a stage do its items again.
---@param stage string
---@param from integer
---@param rewind fun(stage: string, from: integer) does it
---@param wait boolean others may work at it
function Rewinds:add(stage, from, rewind, wait)
  local entry
  repeat
    read(self)
    entry = { number = #self.list + 1, stage = stage, from = from }
    self.list[#self.list + 1] = entry
  until keep(self)
  if wait then time.sleep(WAIT) end
  self:finish(rewind)
end

--- Do what was noted and not done: whoever noted it was killed.
---@param rewind fun(stage: string, from: integer)
function Rewinds:finish(rewind)
  while true do
    local open
    for _, one in ipairs(self.list) do
      if not one.done then open = open or one end
    end
    if not open then return end
    if self.order[open.stage] then rewind(open.stage, open.from) end
    open.done = true
    keep(self)
  end
end

return M
