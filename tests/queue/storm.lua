-- A storm over an engine: many messages, and readers to whom everything happens. What must hold is read from the engine itself at
-- the end, so that it does not matter who of them survives:
--
--   once         each message was done once: two readers had it, and one of them was believed
--   lost         each message was done, or is a dead letter
--   order        messages of one key were done in their order
--   ids          each id is in the stream once, however often it was published
--   handed over  what was done is in the next stream, and only that
--   outcomes     the outcome of each is what the reader wrote who was believed
--   lent         no message was lent to two at once, and of two who had one only one was told that it is done (believed)
--   dead letters those that had to become dead letters are, each with its reason, and no others
--
-- A message says what becomes of it. A reader hands over one item for each that it does, whose id has the fence in it: done twice,
-- it is there twice.

local errors = require "core.errors"
local json = require "core.json"
local stoke = require "stoke"

local M = {}

M.LEASE, M.TRIES = 2, 4
--- Seconds that a lease may end early, as its reader sees it: it began before the answer was there.
local EARLY <const> = 0.5

---@class storm.plan
---@field stream string
---@field to string
---@field messages { id: string, key?: string, n: integer, fate?: "poison"|"bad" }[]

---@class storm.broken law -> the first few messages that break it
local Broken = {}
Broken.__index = Broken

function Broken:add(law, format, ...)
  self[law] = self[law] or {}
  if #self[law] < 5 then table.insert(self[law], format:format(...)) end
end

--- Nothing is broken yet.
---@return storm.broken
function M.broken() return setmetatable({}, Broken) end

--- What is sent. `n` counts the messages of a key.
---@param random userdata of stoke.rand.new
---@param count integer
---@param name string of the streams
---@return storm.plan
function M.plan(random, count, name)
  local plan, counts = { stream = name, to = name .. ".to", messages = {} }, {}
  for i = 1, count do
    local key = random:float() < 0.8 and "key " .. random:int(1, math.max(1, count // 20)) or nil
    local n = (counts[key or ""] or 0) + 1
    counts[key or ""] = n
    local chance = random:float()
    plan.messages[i] = { id = ("m%05d"):format(i), key = key, n = n,
      fate = chance < 0.01 and "poison" or chance < 0.03 and "bad" or nil }
  end
  return plan
end

--- A message as a value of JSON.
function M.value(message) return json.encode { n = message.n, fate = message.fate } end

-- ---- in this process --------------------------------------------------------------------------------------------------------

--- Publish all of it in pieces, and some pieces twice.
local function publish(e, plan, random)
  local i = 1
  while i <= #plan.messages do
    local list = {}
    for j = i, math.min(#plan.messages, i + random:int(1, 40) - 1) do
      local m = plan.messages[j]
      list[#list + 1] = { id = m.id, key = m.key, value = M.value(m), v = 1 }
    end
    errors.check(e:publish(plan.stream, list))
    if random:float() < 0.5 then errors.check(e:publish(plan.stream, list)) end
    i = i + #list
    if random:float() < 0.2 then stoke.sleep(random:float() * 0.2) end
  end
end

--- What a reader does with an item, as chance has it.
local function fate_of(fate, random)
  if fate == "poison" then return "vanish" end
  if fate == "bad" then return "bad" end
  local chance = random:float()
  return chance < 0.03 and "vanish" or chance < 0.06 and "late" or chance < 0.10 and "again" or chance < 0.12 and "back"
    or chance < 0.15 and "renew" or chance < 0.18 and "twice" or "done"
end

local function done(plan, claim, who)
  local id = ("%s/%d"):format(claim.id, claim.fence)
  return { claim = claim, state = "done", value = json.encode { id }, publish = { { stream = plan.to, id = id, key = claim.key,
    value = json.encode { claim.id, who }, v = 1 } } }
end

--- What readers hear, as it happens: who is believed, and who has what.
---@class storm.heard
---@field believed table<string, integer> id -> the fence of the claim that was told it is done
---@field lent table<string, { fence: integer, till: number }>
---@field broken storm.broken

local function hear_claims(heard, claims, now)
  for _, claim in ipairs(claims) do
    local before = heard.lent[claim.id]
    if before and before.till > now + EARLY then
      heard.broken:add("lent", "%s was lent while another had it for %.2f s more", claim.id, before.till - now)
    end
    heard.lent[claim.id] = { fence = claim.fence, till = now + M.LEASE }
  end
end

local function hear_settled(heard, claim, state, good)
  local lent = heard.lent[claim.id]
  if good and lent and lent.fence == claim.fence then heard.lent[claim.id] = nil end
  if not good or state ~= "done" then return end
  local before = heard.believed[claim.id]
  if before and before ~= claim.fence then
    heard.broken:add("believed", "%s is done, as two were told: the claims %d and %d", claim.id, before, claim.fence)
  end
  heard.believed[claim.id] = claim.fence
end

--- One reader.
---@class storm.reader
---@field e core.engine
---@field plan storm.plan
---@field heard storm.heard
---@field random userdata
---@field who integer

local function settle(self, list)
  local good = errors.check(self.e:settle(list))
  for i, s in ipairs(list) do hear_settled(self.heard, s.claim, s.state, good[i]) end
end

local function treat(self, claim)
  local e, random = self.e, self.random
  local fate = fate_of(json.decode(claim.value).fate, random)
  local usual = done(self.plan, claim, self.who)
  if fate == "vanish" then return end
  if fate == "late" then stoke.sleep(M.LEASE * (0.5 + random:float())) end
  if fate == "renew" then
    errors.check(e:renew({ claim }, M.LEASE * 2))
    stoke.sleep(M.LEASE * (0.8 + random:float()))
  end
  if fate == "bad" then return settle(self, { { claim = claim, state = "dead", reason = "it is bad" } }) end
  -- the last try is done: chance alone makes no dead letter
  if claim.try < M.TRIES and (fate == "again" or fate == "back") then
    return settle(self, { { claim = claim, state = fate, delay = random:float() } })
  end
  settle(self, { usual })
  if fate == "twice" then settle(self, { usual, { claim = claim, state = "again" } }) end
end

local function read(self, over)
  while not over() do
    local claims = errors.check(self.e:claim { stream = self.plan.stream, group = "g", n = self.random:int(1, 6), lease = M.LEASE,
      wait = 0.5, tries = M.TRIES })
    hear_claims(self.heard, claims, stoke.time.monotonic())
    for _, claim in ipairs(claims) do treat(self, claim) end
  end
end

local function left(e, plan)
  for _, stream in ipairs(errors.check(e:streams())) do
    if stream.stream == plan.stream and stream.groups[1] then
      return stream.groups[1].waiting + stream.groups[1].lent
    end
  end
  return #plan.messages
end

--- Run a storm in this process.
---@param open fun(): core.engine
---@param options { seed: integer, messages: integer, readers?: integer, seconds?: number, name?: string }
---@return storm.broken
function M.run(open, options)
  local numbers = stoke.rand.new
  local plan = M.plan(numbers(options.seed), options.messages, options.name or "storm")
  local e <close> = open()
  local other <close> = open()
  local last = stoke.time.monotonic() + (options.seconds or 600)
  local published, over = false, false
  local heard = { believed = {}, lent = {}, broken = M.broken() }
  do
    local scope <close> = stoke.scope {}
    scope:spawn(function()
      publish(e, plan, numbers(options.seed + 1))
      published = true
    end)
    for i = 1, options.readers or 4 do
      local reader = { e = i % 2 == 0 and other or e, plan = plan, who = i, heard = heard, random = numbers(options.seed + 1 + i) }
      scope:spawn(function() read(reader, function() return over end) end)
    end
    while not over do
      stoke.sleep(0.5)
      over = published and left(e, plan) == 0 or stoke.time.monotonic() >= last
    end
    scope:wait()
  end
  return M.check(e, plan, heard.broken)
end

-- ---- what must hold ---------------------------------------------------------------------------------------------------------

local function all(ask)
  local list, from = {}, 1
  while true do
    local page = errors.check(ask(from))
    if not page[1] then return list end
    for _, one in ipairs(page) do list[#list + 1] = one end
    from = page[#page].offset + 1
  end
end

--- The ids that are in the stream.
local function check_ids(broken, items, by)
  local seen = {}
  for _, item in ipairs(items) do
    if seen[item.id] then broken:add("ids", "%s is in the stream twice", item.id) end
    if not by[item.id] then broken:add("ids", "%s was never published", item.id) end
    seen[item.id] = true
  end
  for id in next, by do
    if not seen[id] then broken:add("lost", "%s is not in the stream", id) end
  end
end

--- What was handed over: id -> the id under which it was.
local function check_handed(broken, items, by)
  local handed, last = {}, {}
  for _, item in ipairs(items) do
    local id = json.decode(item.value)[1]
    local message = by[id]
    if handed[id] then broken:add("once", "%s was done as %s and as %s", id, handed[id], item.id) end
    handed[id] = item.id
    if message and message.key then
      local before = last[message.key]
      if before and before.n > message.n then
        broken:add("order", "%s (%s %d) was done after %s (%d)", id, message.key, message.n, before.id, before.n)
      end
      last[message.key] = message
    end
  end
  return handed
end

--- Look at what an engine has after a storm.
---@param e core.engine
---@param plan storm.plan
---@param broken? storm.broken what is known to be broken
---@return storm.broken
function M.check(e, plan, broken)
  local by, outcomes = {}, {}
  broken = broken or M.broken()
  for _, message in ipairs(plan.messages) do by[message.id] = message end
  check_ids(broken, all(function(from) return e:read(plan.stream, from, 500) end), by)
  local handed = check_handed(broken, all(function(from) return e:read(plan.to, from, 500) end), by)
  for _, one in ipairs(all(function(from) return e:outcomes(plan.stream, "g", from, 500) end)) do outcomes[one.id] = one end
  for _, message in ipairs(plan.messages) do
    local id, outcome = message.id, outcomes[message.id]
    if not outcome then
      broken:add("lost", "%s has no outcome", id)
    elseif outcome.state == "dead" then
      if not message.fate then broken:add("dead letters", "%s is dead: %s", id, outcome.reason) end
      if not outcome.reason then broken:add("dead letters", "%s is dead without a reason", id) end
      if handed[id] then broken:add("handed over", "%s is dead, and was handed over", id) end
    else
      if message.fate then broken:add("dead letters", "%s is %s, and done", id, message.fate) end
      if not handed[id] then broken:add("handed over", "%s is done, and was not handed over", id) end
      if handed[id] and json.decode(outcome.value or "[]")[1] ~= handed[id] then
        broken:add("outcomes", "%s has the outcome %s, and was handed over as %s", id, outcome.value, handed[id])
      end
    end
  end
  return broken
end

--- What is broken, in words; nil: nothing.
---@param broken storm.broken
---@return string|nil
function M.words(broken)
  local lines = {}
  for law, list in next, broken do lines[#lines + 1] = law .. ": " .. table.concat(list, "; ") end
  table.sort(lines)
  return lines[1] and table.concat(lines, "\n") or nil
end

return M
