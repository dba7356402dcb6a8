-- Random programs of tasks, scopes, channels, races, deadlines and cancellations, whose every step is traced. What a program
-- does next follows from its seed, and from what came back of its effects and waits.

local stoke = require "stoke"
local runs = require "order_runs"

local M = {}

-- Numbers that follow from a text and are the task's own.
local function numbers(text)
  local state = 0x9E3779B9
  for i = 1, #text do state = (state ~ text:byte(i)) * 0x01000193 & 0xFFFFFFFF end
  return function(n)
    state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
    return (state >> 8) % n + 1
  end
end

local function words(err)
  if type(err) ~= "table" then return tostring(err) end
  return ("%s: %s"):format(err.kind, (err.message:gsub("%s+", " ")))
end

local actions = {}

-- What a task works with: its run, its path, its numbers, how many effects it has done, how deep it stands.
local Body = {}
Body.__index = Body

function Body:step(...)
  local texts = table.pack(self.path, ...)
  for i = 2, texts.n do texts[i] = tostring(texts[i]) end
  self.run:step(table.unpack(texts, 1, texts.n))
end

function Body:child(label)
  self.children = self.children + 1
  local path = ("%s/%s%d"):format(self.path, label, self.children)
  return setmetatable({ run = self.run, path = path, pick = numbers(self.run.seed .. path), effects = 0, children = 0,
    depth = self.depth + 1, shared = self.shared }, Body)
end

function Body:run_some()
  local list = self.depth >= 4 and actions.leaves or self.run.actions or actions
  for _ = 1, self.pick(4) + (self.depth == 0 and 6 or 0) do
    local action = list[self.pick(#list)]
    local ok, err = pcall(action, self)
    if not ok then
      self:step("caught", words(err))
      if self.pick(3) == 1 then error(err, 0) end
    end
  end
  self:step "end"
  return self.path
end

-- Live latencies are real chance: some effects never suspend, some do so more than once.
local function work()
  local how = math.random(5)
  if how == 1 then return math.random(100) end
  stoke.sleep(math.random() * 0.004)
  if how == 2 then stoke.sleep(math.random() * 0.002) end
  if how == 3 then stoke.sleep(0) end
  return math.random(100)
end

function actions.effect(me)
  if me.run.leaf then return me.run.leaf(me) end
  me.effects = me.effects + 1
  local key = me.path .. "#" .. me.effects
  me:step("asks", me.effects)
  local value = me.run:effect(key, work)
  me:step("got", value)
  if value % 7 == 0 then error("unlucky " .. value, 0) end
end

-- No effect announces it: the run's order takes it in all the same.
function actions.sleep(me)
  stoke.sleep(me.pick(3) / 1000)
  me:step "slept"
end

function actions.spawn(me)
  local child = me:child "task"
  local task = stoke.spawn(function() return child:run_some() end)
  me.shared.tasks[#me.shared.tasks + 1] = task
  me:step "spawned"
end

function actions.await(me)
  local list = me.shared.tasks
  local task = list[me.pick(#list + 1)]
  local ancestors = task and me.shared.awaiting
  if not task or ancestors[task] then return end
  local guard <close> = runs.closer(function() ancestors[task] = nil end)
  ancestors[task] = true
  local done, _ = stoke.try(stoke.timeout, me.pick(4) / 1000, function() return task:await() end)
  me:step("awaited", done, guard ~= nil)
end

function actions.cancel(me)
  local list = me.shared.tasks
  local task = list[me.pick(#list + 1)]
  if not task then return end
  me:step "cancels"
  task:cancel("by " .. me.path)
end

function actions.send(me)
  local scope <close> = stoke.scope { deadline = me.pick(4) / 1000 }
  local channel = me.shared.channels[me.pick(3)]
  channel:send(me.path)
  me:step("sent", scope ~= nil)
end

function actions.recv(me)
  local value, why = me.shared.channels[me.pick(3)]:recv(me.pick(4) / 1000)
  me:step("received", value, why)
end

function actions.select(me)
  local _, value = stoke.select(me.shared.channels, me.pick(5) / 1000)
  me:step("selected", value)
end

function actions.deadline(me)
  local child = me:child "scope"
  local ok, err = pcall(function()
    local scope <close> = stoke.scope { deadline = me.pick(5) / 1000 }
    for _ = 1, me.pick(2) do
      local inner = child:child "task"
      scope:spawn(function() return inner:run_some() end)
    end
    child:run_some()
  end)
  me:step("scope", ok, words(err))
end

function actions.race(me)
  local a, b = me:child "race", me:child "race"
  local value, index = stoke.race { function() return a:run_some() end, function() return b:run_some() end }
  me:step("won", value, index)
end

function actions.map(me)
  local scope <close> = stoke.scope {}
  local bodies = {}
  for i = 1, me.pick(4) do bodies[i] = me:child "item" end
  local list = scope:map(bodies, function(body) return body:run_some() end, { limit = me.pick(3) })
  me:step("mapped", #list)
end

function actions.timeout(me)
  local child = me:child "limited"
  me:step("in time", stoke.timeout(me.pick(5) / 1000, function() return child:run_some() end))
end

function actions.hold(me)
  local scope <close> = stoke.scope { deadline = me.pick(6) / 1000 }
  local permit <close> = me.shared.places:acquire()
  me:step("holds", permit ~= scope)
  actions.effect(me)
end

function actions.close(me)
  local guard <close> = runs.closer(function(_, err)
    local ok, raised = pcall(actions.effect, me)
    me:step("closed", words(err), ok, ok or words(raised))
  end)
  actions.effect(me)
  me:step("before the close", guard ~= nil)
end

function actions.shield(me)
  stoke.shield(1, function() actions.effect(me) end)
  me:step "shielded"
end

for _, name in ipairs { "effect", "spawn", "await", "cancel", "send", "recv", "select", "deadline", "race", "map", "timeout",
  "hold", "close", "shield", "sleep" } do
  actions[#actions + 1] = actions[name]
end
for _ = 1, 3 do actions[#actions + 1] = actions.effect end
actions.leaves = { actions.effect, actions.effect, actions.send, actions.recv, actions.select, actions.cancel, actions.await,
  actions.close, actions.hold }

-- These actions and others.
function M.with(others)
  local list = table.move(actions, 1, #actions, 1, {})
  for _, name in ipairs(others.NAMES) do list[#list + 1] = others[name] end
  return list
end

-- What the first task of a run works with.
function M.body(run)
  local shared = { tasks = {}, awaiting = {}, channels = { stoke.channel(), stoke.channel(1), stoke.channel(3) },
    places = stoke.semaphore(2) }
  run.handles = shared.tasks
  return setmetatable({ run = run, path = "main", pick = numbers(run.seed), effects = 0, children = 0, depth = 0,
    shared = shared }, Body)
end

-- The program of a seed. The run may have `actions`, and `leaf`, what an effect is.
function M.program(seed)
  return function(run)
    run.seed = tostring(seed)
    local body = M.body(run)
    local ok, err = pcall(function()
      local scope <close> = stoke.scope { deadline = run.seconds or 0.1 }
      body:run_some()
      if body.pick(4) > 1 then scope:wait() end
      body:step("through", scope ~= nil)
    end)
    body:step("program", ok, ok or words(err))
  end
end

return M
