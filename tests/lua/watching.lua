-- Worlds with a page, in memory, and browsers that read its stream:
--
--     local place <close> = watching.open()               -- a small town that stands, and its page
--     local browser <close> = watching.browser(place)     -- what it sees follows the stream
--     place:order { ["do"] = "step", count = 3 }
--     browser:wait(function(seen) return seen.clock.tick == 3 end)

local stoke = require "stoke"
local http = require "stoke.http"
local json = require "stoke.json"
local tasks = require "core.task"

local M = {}

M.TOKEN = "a-long-enough-token"
M.START = 8 * 3600

local MAP = { width = 6, height = 4, map = { "######", "#....#", "#....#", "######" },
  spots = { inn = { x = 2, y = 2, tiles = { { x = 2, y = 2 }, { x = 3, y = 2 }, { x = 2, y = 3 } } } } }

--- Who walks to the right and back, a tile a tick.
local function walk(member, here)
  member.x = 2 + here.tick % 4
  if here.tick == 2 and member.id == "ada" then
    member.said = { text = "Good morning!", time = here.time, to = "bob" }
    here:emit("said", { name = member.name, text = "Good morning!" })
  end
end

--- A world of two, with inputs that work and one that raises.
function M.world(more)
  local given = { name = "town", seed = 3, start = M.START, step = walk,
    state = { members = { ada = { name = "Ada", x = 2, y = 2, doing = "walks" },
      bob = { name = "Bob", x = 2, y = 3, talk = "t1" } },
      ground = { place = MAP } },
    inputs = {
      join = function(state, args)
        state.members[args.name:lower()] = { name = args.name, x = 5, y = 2, player = true }
        return { id = args.name:lower() }
      end,
      say = function(member, args, here)
        member.said = { text = args.text, time = here.time }
        return "heard"
      end,
      refuse = function() stoke.raise("argument", "not today", "tomorrow") end,
    },
    view = { mind = function(_, id, moment)
      return { memories = { { text = id .. " remembers", score = 0.5 } }, moment = moment }
    end } }
  for name, value in pairs(more or {}) do given[name] = value end
  return stoke.world(given)
end

local Place = {}
Place.__index = Place
Place.__close = function(place)
  place.page:close()
  if place.world then place.world:stop() end
  if place.runner then place.runner:await() end
  if place.world then place.world:close() end
end

local count = 0

--- A page in memory for a world, which a task runs; it is paused unless `speed` says how fast it goes.
---@param options? table world: one that is shown; speed; what stoke.page takes
function M.open(options)
  count = count + 1
  options = options or {}
  local world = options.world or M.world()
  local given = { world = world, mem = "watching" .. count, token = M.TOKEN }
  for name, value in pairs(options) do
    if name ~= "speed" then given[name] = value end
  end
  if not options.speed then world:pause() end
  local runner = stoke.spawn(function() world:run { speed = options.speed or 1 } end)
  while not world:clock().running do stoke.sleep(0) end
  local page = stoke.page(given)
  return setmetatable({ page = page, world = world, runner = runner, url = page.url:gsub("/$", "") }, Place)
end

local function bearer(token) return token and { Authorization = "Bearer " .. token } or {} end

--- The whole answer of a request; the token is sent unless `headers` are given.
function Place:get(path, headers)
  return http.get(self.url .. path, { headers = headers or bearer(M.TOKEN), raise = false })
end

--- The answer of an order.
function Place:ask(order, headers)
  local all = { ["Content-Type"] = "application/json" }
  for name, value in pairs(headers or bearer(M.TOKEN)) do all[name] = value end
  local body = type(order) == "string" and order or json.encode(order)
  return http.post(self.url .. "/do", { body = body, headers = all, raise = false })
end

--- The value of an order that must succeed.
function Place:order(order)
  local res = self:ask(order)
  assert(res.status == 200, res.status .. " " .. res.body)
  return res:json()
end

-- ---- browsers -------------------------------------------------------------------------------------------------------------------

local function apply(members, changes)
  for id, change in pairs(changes) do
    if change == json.null then
      members[id] = nil
    else
      local member = members[id] or {}
      members[id] = member
      for name, value in pairs(change) do
        if value == json.null then member[name] = nil else member[name] = value end
      end
    end
  end
end

local READ = {
  hello = function(self, data) self.hello = data end,
  picture = function(self, data)
    self.pictures = self.pictures + 1
    self.seen[data.view] = data
  end,
  change = function(self, data)
    local seen = self.seen[data.view]
    self.changes = self.changes + 1
    seen.clock = data.clock or seen.clock
    seen.text = data.text or seen.text
    if data.members then apply(seen.members, data.members) end
    for _, item in ipairs(data.news or {}) do table.insert(seen.news, item) end
  end,
  failure = function(self, data) self.failure = data end,
}

local Browser = {}
Browser.__index = Browser
Browser.__close = function(browser) browser:close() end

--- A browser that reads the stream as it comes.
---@param place table
---@param token? string|false false: none
function M.browser(place, token)
  local self = setmetatable({ pictures = 0, changes = 0, seen = {} }, Browser)
  local res = http.get(place.url .. "/events", { headers = bearer(token == nil and M.TOKEN or token or nil), stream = "sse" })
  self.task = stoke.spawn(function()
    local _, err = stoke.try(function()
      for event in res:events() do
        READ[event.event](self, json.decode(event.data))
        if self.waiting then tasks.wake(self.waiting) end
      end
    end)
    self.ended = err and err.kind or "whole"
    if self.waiting then tasks.wake(self.waiting) end
  end)
  return self
end

--- Waits until what is seen of a view fits.
function Browser:wait(fits, view)
  return stoke.timeout(30, function()
    while not (self.seen[view or "town"] and fits(self.seen[view or "town"])) do
      self.waiting = tasks.current()
      tasks.park "the stream"
      self.waiting = nil
    end
    return self.seen[view or "town"]
  end)
end

function Browser:close()
  self.task:cancel "the browser is closed"
  stoke.try(self.task.await, self.task)
end

return M
