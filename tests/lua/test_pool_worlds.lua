-- The engine of the pool in random worlds, beside a plain account of what must be true, and among adversaries. A world that fails
-- is named by its seed: WORLD=seed runs it again.

local test = require "stoke.test"
local order = require "core.pool.order"
local worlds = require "pool_world"

local scale = tonumber(os.getenv "STOKE_SCALE") or 1
local function many(n) return math.max(10, math.floor(n * scale)) end

local function exponential(mean) return -mean * math.log(1 - math.random()) end

local function pick(list) return list[math.random(#list)] end

-- A world with servers, models, speeds and faults that nobody knows.
local function random_world(options)
  local servers = {}
  for i = 1, pick { 1, 1, 2, 3 } do
    servers[i] = { slots = pick { 1, 2, 4, 8 }, models = pick { 1, 1, 2, 3 }, room = pick { 1, 2, 9 }, load = pick { 0.3, 2, 8 },
      speed = pick { 1, 1, 3 }, fails = pick { 0, 0, 0.05, 0.3 },
      forgets = math.random() < 0.5 }
  end
  options.servers = servers
  options.limit = math.random() < 0.6 and math.random(4) or nil
  options.settings = { order = math.random() < 0.15 and "fifo" or "program", hold = math.random() < 0.8,
    bounds = pick { { 10, 60, 600 }, { 1, 2, 3 } } }
  return worlds.new(options)
end

-- A lane, or a route over several servers.
local function random_group(w)
  local server = pick(w.servers)
  local model = pick(server.models)
  if #w.servers == 1 or math.random() < 0.6 then return w.engine:group { model.lane } end
  local list = { model.lane }
  for _, other in ipairs(w.servers) do
    if other ~= server and other.models[model.number] then list[#list + 1] = other.models[model.number].lane end
  end
  return w.engine:group(list)
end

-- Calls of all kinds, alone and in conversations, at random times. Some are cancelled while they wait, some while they run.
local function crowd(w, calls, rate)
  local time, programs = 0, 0
  local function one(unit, program, group, class, left)
    programs = program and programs or programs + 1
    program = program or { seq = programs, class = class }
    w:ask { group = group, class = class, unit = unit, program = program, seconds = exponential(0.5), input = math.random(2000),
      order = order.key(program.seq, left), holder = math.random() < 0.1,
      deadline = math.random() < 0.1 and exponential(10) or nil, agent = "agent" .. math.random(3),
      patience = math.random() < 0.25 and exponential(4) or nil, continues = left > 0, tool = left > 0 and "look" or nil,
      after = left > 0 and function()
        w:at(w.now + exponential(0.3), function() one(unit, program, group, class, left - 1) end)
      end or nil }
  end
  local n = 0
  while n < calls do
    time = time + (math.random() < 0.1 and 0 or exponential(1 / rate))
    local turns = math.random() < 0.1 and math.random(6) or 0
    n = n + turns + 1
    w:at(time, function()
      one(turns > 0 and {} or nil, nil, random_group(w), pick { 1, 2, 2, 2, 3 }, turns)
    end)
  end
  return time
end

-- Servers go away and come back, or take calls and answer none for a while.
local function trouble(w, till)
  for _, server in ipairs(w.servers) do
    local time = 0
    while time < till do
      local down = time + exponential(20)
      local up = down + exponential(5)
      local how = pick { "down", "wedged" }
      w:at(down, function() server[how] = true end)
      w:at(up, function() server[how] = false end)
      time = up
    end
  end
end

-- Other settings, learned facts that are forgotten: in the middle of it.
local function meddle(w, till)
  local all = {}
  for _, server in ipairs(w.servers) do
    for _, model in ipairs(server.models) do all[#all + 1] = model.lane end
  end
  for _ = 1, math.random(0, 3) do
    w:at(math.random() * till, function()
      if math.random() < 0.5 then
        w.engine:configure({ order = pick { "fifo", "program" }, bounds = { 1, 5, 9 } }, all, w.now)
      else
        w.engine:unlearn(all)
        w.engine:advance(w.now)
      end
      w:collect()
    end)
  end
end

-- All that is left once a world has come to rest.
local function at_rest(t, w, what)
  t.eq(w.problems, {}, what)
  local through = 0
  for _ in next, w.through do through = through + 1 end
  t.eq(through, w.asked, what)
  t.eq({ w.engine.waiting, next(w.running), next(w.waiting) }, { 0 }, what)
  local c = w.counts
  t.eq(c.answered + c.failed + c.left + c.refused + c.cut, w.asked, what)
  for _, server in ipairs(w.servers) do
    for _, model in ipairs(server.models) do t.eq(model.lane.busy, 0, what) end
  end
end

-- Calls of one random world, to its end.
local function random_run(t, seed)
  math.randomseed(seed)
  local w = random_world {}
  local calls = pick { 20, 100, 400, 1500 }
  local till = crowd(w, calls, pick { 2, 5, 20 })
  if math.random() < 0.5 then trouble(w, till) end
  meddle(w, till)
  local fine, err = xpcall(w.run, debug.traceback, w, calls > 100 and 20 or 1)
  t.ok(fine, ("world %d: %s"):format(seed, tostring(err)))
  at_rest(t, w, ("world %d"):format(seed))
  return w.asked
end

test("10,000 calls at random, answered, failed, cancelled: no slot is lost, nobody granted twice, none forgotten", function(t)
  local done = 0
  while done < many(10000) do done = done + random_run(t, tonumber(os.getenv "WORLD") or math.random(1 << 30)) end
end)

test("a time that is due changes something, also where a difference of times is a rounding short", function(t)
  random_run(t, 612772819)
end)

-- ---- nobody starves ----

local BOUNDS = { 10, 60, 600 }

-- One call of class 2 among adversaries that never end, on two slots: how long it waits.
local function victim(adversary)
  local w = worlds.new { servers = { { slots = 2, forgets = true } }, limit = 2, settings = { bounds = BOUNDS } }
  local group = w.engine:group { w.servers[1].models[1].lane }
  adversary(w, group)
  local call
  w:at(20, function()
    call = w:ask { group = group, seconds = 1, program = {}, order = order.key(1000000, 1) }
  end)
  local till = 20
  repeat
    till = till + 1
    w:run(50, till)
  until call.granted or till > 400 or #w.problems > 0
  return (call.granted or 1e9) - call.began, w
end

local function again_and_again(w, call, pause)
  local function ask()
    local one = {}
    for k, v in next, call do one[k] = type(v) == "function" and v() or v end
    one.after = function() w:at(w.now + pause(), ask) end
    w:ask(one)
  end
  ask()
end

local ADVERSARIES = {
  ["interactive calls beyond what the server can do"] = function(w, group)
    for _ = 1, 6 do
      again_and_again(w, { group = group, class = 1, seconds = 1, program = {}, order = 0 }, function() return 0 end)
    end
  end,
  ["an older program that asks without end"] = function(w, group)
    local program = { seq = 1 }
    for _ = 1, 10 do
      again_and_again(w, { group = group, seconds = 1, program = program,
        order = order.key(1, 1) }, function() return 0 end)
    end
  end,
  ["holders"] = function(w, group)
    for _ = 1, 6 do
      again_and_again(w, { group = group, holder = true, seconds = 1, program = {}, order = order.key(5, 1) },
        function() return 0 end)
    end
  end,
  ["conversations whose tools are quick"] = function(w, group)
    for i = 1, 4 do
      again_and_again(w, { group = group, unit = {}, seconds = 1, input = 20000, program = {}, order = order.key(i, 1),
        continues = true, tool = "look" }, function() return 0.1 end)
    end
  end,
  ["interactive conversations whose tools are quick"] = function(w, group)
    for i = 1, 4 do
      again_and_again(w, { group = group, unit = {}, class = 1, seconds = 1, input = 20000, program = {}, order = order.key(i, 1),
        continues = true, tool = "look" }, function() return 0.1 end)
    end
  end,
  ["deadlines that are near, again and again"] = function(w, group)
    for i = 1, 6 do
      again_and_again(w, { group = group, seconds = 1, deadline = 6, program = {}, order = order.key(i, 1) },
        function() return 0 end)
    end
  end,
}

for name, adversary in next, ADVERSARIES do
  test("nobody starves among " .. name, function(t)
    local waited, w = victim(adversary)
    t.eq(w.problems, {})
    -- overdue after a minute; then the next slot is its own, or, of the share of the overdue, the one after
    t.ok(waited <= BOUNDS[2] + 2 * w.slowest + 0.5, ("%.1f s, and the slowest call takes %.1f"):format(waited, w.slowest))
  end)
end

test("nobody starves on the model that is not loaded: one call for it, and work without end for the other", function(t)
  for _, seconds in ipairs { 0.5, 5 } do
    local w = worlds.new { servers = { { slots = 2, models = 2, room = 1, load = 3 } }, settings = { bounds = BOUNDS } }
    local a, b = w.engine:group { w.servers[1].models[1].lane }, w.engine:group { w.servers[1].models[2].lane }
    for i = 1, 6 do
      again_and_again(w, { group = a, seconds = seconds, program = {}, order = order.key(i, 1) }, function() return 0 end)
    end
    local calls = {}
    w:at(30, function() calls[1] = w:ask { group = b, seconds = 1, program = {}, order = order.key(100, 1) } end)
    w:at(300, function() calls[2] = w:ask { group = b, seconds = 1, program = {}, order = order.key(101, 1) } end)
    w:run(20, 600)
    t.eq(w.problems, {})
    for i = 1, 2 do
      local waited = (calls[i].started or 1e9) - calls[i].began
      t.ok(waited <= BOUNDS[2] + 2 * w.slowest + 3 + 0.5, ("call %d waited %.1f s"):format(i, waited))
    end
    t.ok(w.counts.loads <= 5, w.counts.loads)
  end
end)
