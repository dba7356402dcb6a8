--- The view of a page on a world: what it shows, and what may be done with it.
---
--- The world is looked at between its steps, at most ten times a second whoever looks, and not at all when nobody does. What
--- differs from what was shown is published once for all browsers. A look reads the live state and waits for nothing.

local channel = require "core.channel"
local combine = require "core.combine"
local errors = require "core.errors"
local json = require "stoke.json"
local data = require "stoke.page.data"
local log = require "stoke.log"
local look = require "stoke.page.look"
local scopes = require "core.scope"
local tasks = require "core.task"
local time = require "stoke.time"

local M = {}

--- Seconds between two looks, and how many times longer than a look the pause behind it is at the least.
local EVERY <const>, SHARE <const> = 0.1, 20
--- News that wait for the next look; those that a browser begins with.
local NEWS <const>, LOG <const> = 60, 100
--- Seconds that an answer of the world is waited for.
local PATIENCE <const> = 10
--- Looks into the past that wait for their turn.
local WAITING <const> = 8

---@class stoke.page.world
---@field id string the name of the view, unlike that of any other
---@field kind "world"
---@field world stoke.world
local View = {}
View.__index = View

--- A view on a world.
---@param world stoke.world
---@param id string
---@param view? table instead of the world's own `view`
---@return stoke.page.world
---
--- Example: `local view = worlds.new(town, "town")`
function M.new(world, id, view)
  return setmetatable({ id = id, kind = "world", title = data.text(world.name, 120) or id, world = world,
    view = view or world.view or {}, shown = nil, due = 0, news = {}, missed = 0, log = {}, heard = nil, past = 0,
    turn = channel.semaphore(1) }, View)
end

local function clock_of(world)
  local now = world:clock()
  return { tick = now.tick, time = data.number(now.time), first = data.number(now.first), speed = now.speed, paused = now.paused,
    running = now.running, thoughts = now.inflight }
end

-- ---- the picture ------------------------------------------------------------------------------------------------------------

local function read(state, _, _, self)
  if self.map == nil then self.map = look.map(state, self.view) or false end
  return look.state(state, self.view, self.map)
end

local function take_news(self)
  local news, missed = self.news, self.missed
  if #news == 0 and missed == 0 then return nil end
  self.news, self.missed = {}, 0
  for _, item in ipairs(news) do self.log[#self.log + 1] = item end
  local over = #self.log - LOG
  if over > 0 then self.log = table.move(self.log, over + 1, #self.log, 1, {}) end
  return json.array(news), missed > 0 and missed or nil
end

local function same_clock(a, b)
  return a.tick == b.tick and a.speed == b.speed and a.paused == b.paused and a.running == b.running
    and a.thoughts == b.thoughts and a.first == b.first
end

--- Look at the world, and publish what differs. Waits for nothing.
---@param stream stoke.page.stream
---
--- Example: `view:sample(page.stream)`
function View:sample(stream)
  local began = time.monotonic()
  local clock, seen = clock_of(self.world), self.world:peek(read, self)
  for id in next, clock.thoughts > 0 and seen.members and self.world:thinking() or {} do
    if seen.members[id] then seen.members[id].thinking = true end
  end
  local before = self.shown
  local news, missed = take_news(self)
  self.inputs = self.inputs or self.world:offers()
  self.shown = { clock = clock, members = seen.members, count = seen.count, text = seen.text }
  if before and stream.count > 0 then
    local changes = seen.members and look.changes(before.members or {}, seen.members) or nil
    local text = seen.text ~= before.text and seen.text or nil
    if changes or news or text or not same_clock(before.clock, clock) then
      stream:publish("change", { view = self.id, clock = clock, members = changes, count = seen.count, text = text, news = news,
        missed = missed })
    end
  end
  self.due = time.monotonic() + math.max(EVERY, SHARE * (time.monotonic() - began))
end

--- Has the world been closed? What was seen last is shown then.
---@return boolean
---
--- Example: `if view:closed() then return end`
function View:closed() return self.world.closed == true end

--- All that a browser needs to begin with.
---@param stream stoke.page.stream
---@return table
---
--- Example: `local picture = view:picture(page.stream)`
function View:picture(stream)
  if not (self.shown and (self:closed() or time.monotonic() < self.due)) then self:sample(stream) end
  local shown = self.shown
  return { view = self.id, clock = shown.clock, map = self.map or nil, members = shown.members and json.object(shown.members),
    count = shown.count, text = shown.text, news = json.array(self.log), inputs = json.array(self.inputs) }
end

-- ---- following --------------------------------------------------------------------------------------------------------------

local function news_of(event)
  return { n = event.n, time = data.number(event.time), type = data.text(event.type, 60), member = data.text(event.member, 120),
    data = event.data ~= nil and data.plain(event.data, 600) or nil }
end

local function hear_one(self, event, late)
  if event.n then self.heard = event.n end
  if event.type == "gap" then
    if not late then self.missed = self.missed + event.lost end
    return
  end
  if event.type == "thought" then return end -- what comes of it tells more
  self.news[#self.news + 1] = news_of(event)
  if #self.news > NEWS then
    table.remove(self.news, 1)
    if not late then self.missed = self.missed + 1 end
  end
end

--- What the world tells, until the next look takes it; beyond what fits the oldest give way, and are counted. Of what happened
--- before anybody looked, the newest are told.
local function hear(self, stream)
  while true do
    stream:watched()
    local late = self.heard == nil
    local reader <close> = self.world:events { from = (self.heard or 0) + 1, cap = 1000 }
    for event in reader do
      hear_one(self, event, late)
      if not reader:waiting() then late = false end
      if stream.count == 0 then break end
    end
    time.sleep(EVERY)
  end
end

--- Look at the world as long as anybody watches.
---@param stream stoke.page.stream
---Raises `cancelled`.
---
--- Example: `tasks.spawn(view.follow, {}, view, page.stream)`
function View:follow(stream)
  local _ <close> = scopes.open { on_child_error = function(err)
    if err.kind ~= "cancelled" and not self:closed() then log.error("the page hears no more events", { error = tostring(err) }) end
  end }
  tasks.spawn(hear, { name = "page.news" }, self, stream)
  while true do
    stream:watched()
    if self:closed() then return end
    self:sample(stream)
    time.sleep(math.max(self.due - time.monotonic(), 0))
  end
end

-- ---- one member, and the past ---------------------------------------------------------------------------------------------------

local function find(state, id)
  local members = state.members
  local record = members and (members[id] or members[math.tointeger(tonumber(id))])
  return record and data.plain(record) or nil
end

local function record_of(state, _, _, id) return find(state, id) end

local function unknown(self, id)
  local names = {}
  for name in next, self.shown and self.shown.members or {} do names[#names + 1] = name end
  local near = errors.suggest(id, names)
  errors.raise("argument", ("there is no %s in %s"):format(id, self.title), { hint = near and ("did you mean %s?"):format(near) })
end

--- One moment at a time is gone back to: that may take seconds.
local function past_of(self, moment)
  if self.past >= WAITING then errors.raise("overloaded", "too many look into the past at once", { hint = "come again" }) end
  self.past = self.past + 1
  local _ <close> = setmetatable({}, { __close = function() self.past = self.past - 1 end })
  local permit <close> = self.turn:acquire() -- luacheck: ignore
  return self.world:at(moment)
end

--- A moment of the past, as a picture.
---@param moment number world seconds
---@return table
---Raises `argument`, `overloaded`, and what world:at raises.
---
--- Example: `local picture = view:at(9 * 3600)`
function View:at(moment)
  local past = past_of(self, moment)
  local seen = look.state(past.state, self.view, self.map)
  return { view = self.id, past = true, clock = { tick = past.tick, time = data.number(past.time) }, members = seen.members and
    json.object(seen.members), count = seen.count, text = seen.text }
end

--- One member: its record, and what its `mind` tells, now or at a moment of the past.
---@param id string
---@param moment? number world seconds
---@return { id: string, record: table, mind?: table, wrong?: string }
---Raises `argument`, `overloaded`, and what world:at raises.
---
--- Example: `local shown = view:person "ada"`
function View:person(id, moment)
  local record
  if moment then
    record = find(past_of(self, moment).state, id)
  else
    record = self.world:peek(record_of, id)
  end
  if not record then unknown(self, id) end
  local out = { id = id, record = record }
  if self.view.mind then
    local mind, err = combine.try(combine.timeout, PATIENCE, self.view.mind, self.world, id, moment)
    out.mind, out.wrong = mind and data.plain(mind, 100000), err and tostring(err) or nil
  end
  return out
end

--- Seconds as JSON writes them, without a sign.
local function seconds_of(text)
  if not text then return nil end
  local value = text:find "^%d+%.?%d*[eE]?[+-]?%d*$" and tonumber(text)
  if not value or value == math.huge then
    errors.raise("argument", "time must be seconds of the world, got " .. text)
  end
  return value
end

--- The world as it is, or at a moment of the past; or one member of it.
---@param query { time?: string, member?: string }
---@param stream stoke.page.stream
---@return table
---Raises `argument`, `overloaded`, and what world:at raises.
---
--- Example: `local picture = view:look({ time = "32400" }, page.stream)`
function View:look(query, stream)
  local moment = seconds_of(query.time)
  if query.member then return self:person(query.member, moment) end
  if not moment then return self:picture(stream) end
  return self:at(moment)
end

-- ---- what may be done -----------------------------------------------------------------------------------------------------------

local function number_in(order, name, low, high)
  local value = data.number(order[name])
  if not value or value < low or value > high then
    errors.raise("argument", ("%s must be a number from %g to %g, got %s"):format(name, low, high, errors.describe(order[name])))
  end
  return value
end

local function whole_in(order, name, low, high)
  return math.tointeger(number_in(order, name, low, high))
    or errors.raise("argument", ("%s must be a whole number, got %s"):format(name, errors.describe(order[name])))
end

--- An input, and its result where the world goes on; one that stands, or waits for a slow thought, takes it with its next step.
local function input(self, order)
  local name, args, member = order.name, order.args, order.member
  if type(name) ~= "string" then errors.raise("argument", "name must be the name of an input of the world") end
  if args ~= nil and type(args) ~= "table" then errors.raise("argument", "args must be an object") end
  if member ~= nil and type(member) ~= "string" then errors.raise("argument", "member must be the id of a member") end
  local now = self.world:clock()
  if now.paused or not now.running then
    return { number = self.world:send(name, args or {}, { member = member }), waits = true }
  end
  local result, err = combine.try(self.world.ask, self.world, name, args or {}, { member = member, timeout = PATIENCE })
  if err and err.kind == "timeout" then return { waits = true } end
  if err then error(err, 0) end
  return { result = data.plain(result) }
end

--- All that came later is gone, from what is told, too.
local function go_back(self, order)
  local moment = number_in(order, "time", 0, 1e12)
  self.world:back(moment)
  local kept = {}
  for _, item in ipairs(self.log) do
    if item.time and item.time <= moment then kept[#kept + 1] = item end
  end
  self.log, self.news, self.missed, self.heard = kept, {}, 0, nil
end

local DOES = {
  pause = function(self) self.world:pause() end,
  resume = function(self) self.world:resume() end,
  step = function(self, order) self.world:step(order.count == nil and 1 or whole_in(order, "count", 1, 100000)) end,
  speed = function(self, order)
    self.world:speed(order.speed == "free" and "free" or number_in(order, "speed", 0.01, 100000))
  end,
  back = go_back,
  input = input,
}

local function unknown_order(what)
  local known = { "pause", "resume", "step", "speed", "back", "input" }
  local near = type(what) == "string" and errors.suggest(what, known)
  local wrong = what == nil and "do is missing: what the world is told to do"
    or type(what) == "string" and ("a world cannot be told to %s"):format(data.text(what, 60))
    or ("do must be a text, got %s"):format(errors.describe(what))
  errors.raise("argument", wrong, { hint = near and ("did you mean %s?"):format(near) or table.concat(known, ", ") })
end

--- Do what somebody at the page wants.
---@param order table { ["do"] = "pause"|"resume"|"step"|"speed"|"back"|"input", ... }
---@param stream stoke.page.stream
---@return table result { clock =, result =, number =, waits = }
---Raises `argument`, and what the world raises.
---
--- Example: `view:act({ ["do"] = "input", name = "say", args = { text = "Hello" }, member = "ada" }, page.stream)`
function View:act(order, stream)
  local what = order["do"]
  local f = DOES[what] or unknown_order(what)
  local result = f(self, order) or {}
  self:sample(stream)
  result.clock = self.shown.clock
  if what == "back" then stream:renew() end -- what was is gone: all begin anew
  return result
end

return M
