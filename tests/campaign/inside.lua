-- A durable run in this process, on a store whose disk fails as asked. The world is a table here: it counts what is done, and knows
-- what it has been told.

local engine = require "host.store"
local errors = require "core.errors"
local fs = require "stoke.fs"
local holds = require "core.store.hold"
local runs = require "core.runs"
local stoke = require "stoke"

local M = {}

local PAYS <const>, PARTS <const> = 5, 3

---@class campaign.inside
---@field path string of the store
---@field paid table<integer, integer> how often a payment was done: once
---@field made table<string, integer> how often something pure was done
---@field behind table<string, boolean> what a payment was built on: it must be kept
---@field broken string[]
local World = {}
World.__index = World

function World:breaks(format, ...) self.broken[#self.broken + 1] = format:format(...) end

function World:make(name, value)
  self.made[name] = (self.made[name] or 0) + 1
  if self.behind[name] then self:breaks("lost: %s was behind a barrier, and is done again", name) end
  return value
end

function World:pay(i, with)
  self.paid[i] = (self.paid[i] or 0) + 1
  if self.paid[i] > 1 then self:breaks("repeated: payment %d was done %d times", i, self.paid[i]) end
  for _, name in ipairs(with) do self.behind[name] = true end
  return "paid " .. i
end

-- The run: parts side by side, then a payment that is built on them, and so on.
local function program(world)
  return function(input)
    local out, names = {}, {}
    for i = 1, PAYS do
      local scope <close> = stoke.scope {}
      local parts = scope:map({ 1, 2, 3 }, function(j)
        local name = ("part %d.%d"):format(i, j)
        names[#names + 1] = name
        return stoke.step(name, function() return world:make(name, { name, (input.text):rep(j) }) end, { idempotent = true })
      end, { limit = 2 })
      out[#out + 1] = { parts[PARTS][1], #parts[PARTS][2], math.random(1 << 30) }
      out[#out + 1] = stoke.step("pay " .. i, function() return world:pay(i, names) end)
    end
    return out
  end
end

--- A world, and its store, which is closed with it.
---@param path string
---@param before? campaign.inside the world goes on, with another store
---@param patience? number seconds for which a disk that fails is tried again
function M.new(path, before, patience)
  local world = setmetatable({ path = path, paid = {}, made = {}, behind = {}, broken = {} }, World)
  if before then world.paid, world.made, world.behind = before.paid, before.made, before.behind end
  world.outer, world.patience = runs.setting, holds.PATIENCE
  holds.PATIENCE = patience or world.patience
  runs.setting = function() return path end
  world.flow = stoke.workflow("campaign", program(world), { code = "latest" }) -- not on the sources of a test
  return world
end

function World:close()
  runs.leave()
  runs.setting, holds.PATIENCE = self.outer, self.patience
  runs.defined.campaign = nil
end

World.__close = World.close

local function plain_error(err)
  if not errors.is(err) then return false end
  local text = tostring(err)
  return not text:find "attempt to" and not text:find "stack traceback" and not text:find "internal error"
end

--- Begin the run or go on with it, until it ends or this process can go no further.
---@param id string
---@param seconds? number
---@return any result
---@return stoke.error|nil err
function World:live(id, seconds)
  local ok, result = pcall(stoke.timeout, seconds or 20, function()
    return self.flow:start({ text = "abc" }, { id = id }):await()
  end)
  if ok then return result end
  if not plain_error(result) then self:breaks("words: %s", tostring(result)) end
  if errors.is(result) and result.kind == "timeout" then self:breaks("hang: %s", tostring(result)) end
  return nil, result
end

--- This process ends as far as its runs go; the next one finds the file as it is.
function World:next_life()
  runs.leave()
  engine.fault()
  require("core.runs.live").stopping = nil
end

--- Say of each payment in doubt whether it was done.
---@return boolean any
function World:resolve(id)
  local store = runs.open()
  local run = errors.check(store:find(id))
  local any = false
  for _, row in ipairs(errors.check(store:load(run)).rows) do
    if row.intent and not row.outcome then
      local i = tonumber(row.request.name:match "%d+")
      local said = (self.paid[i] or 0) > 0 and { value = "paid " .. i } or { retry = true }
      errors.check(true, select(2, store:resolve(id, row.key, said)))
      any = true
    end
  end
  return any
end

--- Go on until the end, on a disk that is well.
---@return any result
---@return stoke.error|nil err
function World:finish(id)
  for _ = 1, 2 * PAYS do
    local result, err = self:live(id)
    if result or not err or err.kind ~= "in_doubt" then return result, err end
    if not self:resolve(id) then
      self:breaks("in doubt, and nothing is: %s", tostring(err))
      return nil, err
    end
  end
  self:breaks "it never ends"
end

--- How many of something: as the environment says, else so many, scaled in slow builds.
---@param name string
---@param usual integer
---@return integer
function M.many(name, usual)
  return tonumber(os.getenv(name) or "") or math.ceil(usual * (tonumber(os.getenv "STOKE_SCALE" or "") or 1))
end

--- A place for files: in memory, where the system has one, because what is tested here is no real disk.
---@return string folder
---@return fun() remove
function M.folder(t)
  if not fs.stat "/dev/shm" then return t.tmp(), function() end end
  local path = "/dev/shm/stoke-" .. t.tmp():match "[^/]*$" -- that is nobody else's
  fs.mkdir(path)
  return path, function() fs.remove(path, { recursive = true }) end
end

--- What was counted goes beside the build; what broke fails the test.
function M.report(text)
  print(text)
  fs.write((os.getenv "STOKE_BUILD" or "build") .. "/campaign.txt", text .. "\n", { append = true })
end

return M
