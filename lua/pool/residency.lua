--- Which models a server holds, and when it should change them. Pure: what happened goes in with its time (seconds), a decision
--- comes out.
---
--- A model that is not loaded is loaded by the first call that is sent to it; the server then unloads another one, once that has
--- nothing in flight. So the order in which calls of several models are sent decides how often models are loaded. The rules:
---
---   stay      calls go to loaded models as long as these have work. Where several models fit, each is loaded when asked for.
---   swap      another model gets its turn when those that must leave for it have nothing to do; or when its calls are of a
---             higher class, or overdue; or when its oldest call has waited as long as a swap takes and the work for the loaded
---             models goes on arriving, so that waiting for the end of it would be for ever.
---   drain     a model that must leave gets no more calls until the swap is through.
---   pay       a model that was swapped in stays for some times as long as its swap took: swaps take a fifth of the time among
---             equals, half where one side is overdue. Among equals it also answers as many calls as waited when it came.
---   one load at a time, since a server loads one after another.
---
--- What fits beside what is learned (room.lua). Where nobody knows it yet, a call may be sent and left to wait in the server,
--- while the other models keep their calls in flight (`extra`): a server with room loads it beside them; one without waits for
--- the first pause of theirs, which is when the swap would have come anyway.

local loads = require "core.pool.loads"
local rooms = require "core.pool.room"
local turn = require "core.pool.turn"

local M = {}

--- Seconds a load takes while nothing is known.
M.load = 3
--- Work that is served out of class, since it is overdue, has its model for a part of the time: after it, the others have the
--- server for so many times as long as it had.
M.rest = 3
--- Seconds for which calls of a model that cannot be loaded get the server's error without asking it again, doubling up to the
--- second number.
M.again, M.again_most = 30, 600
--- A look at the server's list of loaded models is old after so many seconds; one that is waited for may take so many.
M.fresh, M.patience = 60, 2
--- Seconds that a load takes at least; a server under load may say less of a call that loaded nothing. Such calls are looked into
--- at most every so many seconds.
M.real, M.suspect = 0.25, 5
--- Seconds that a server needs at most to unload an idle model, once it has to.
M.evicts = 0.5
--- Seconds between two looks.
M.again_looked = 0.25
--- A call waits in the server for so many seconds at most: its client gives up some time.
M.parked = 180
--- A model that is gone within so many seconds of its last use had to leave; later, its keep_alive may have ended.
M.unused = 200

local NEVER = math.huge
local NONE = {}

---@class stoke.pool.work what is wanted of one lane
---@field lane { model: string } the model on this server, by its name in the server's lists
---@field busy integer calls in flight
---@field waiting integer
---@field class integer the best class that waits: 1 interactive, 2 normal, 3 batch
---@field running? integer the best class of those in flight; 2 when not given
---@field overdue? boolean does one wait that is overdue?
---@field overdue_at? number of the lane that is loaded: when the first call that was sent is overdue
---@field oldest? number when the oldest that waits arrived
---@field newest? number when the last call for this lane arrived, whatever became of it
---@field seconds number estimated service of all that wait, by the lane's slots
---@field service? number estimated service of one call
---@field load? number seconds its load is estimated to take

---@class stoke.pool.change
---@field kind "stay"|"swap"|"drain"
---@field may table<table, boolean> lanes whose calls may be sent now
---@field extra? table<table, integer> calls to send beyond a lane's slots, so that it is never left without one in flight
---@field from table<table, number> lanes that have a reason to be loaded from then on, should nothing change
---@field lane? table that is to be loaded; swap: its first call loads it
---@field victims? table[] lanes that leave for it; drain: swap comes once they have nothing in flight
---@field unload? boolean swap: tell the server that the victims leave, or it may choose another
---@field price? number seconds the change takes
---@field reason? "room"|"idle"|"class"|"overdue"|"waited"|"try"
---@field refuse? table<table, any> lanes whose model cannot be loaded: the error the server gave
---@field look? boolean the server's list of loaded models should be read, and given to `seen`
---@field due? number when time alone changes this decision

---@class stoke.pool.residency
---@field swaps integer loads for which another model had to leave
---@field swap_seconds number
local R = {}
R.__index = R

--- The models of one server.
---@param facts? table as R:facts() gave; what does not fit is left out
---@return stoke.pool.residency
---
---     local r = residency.new()
---     local change = r:decide(now, { { lane = a, busy = 1, waiting = 3, class = 2, oldest = 0, newest = 4, seconds = 3 }, ... })
---     if change.may[lane] then send(); r:sent(lane, now) end
function M.new(facts)
  local self = setmetatable({ models = {}, list = {},
    loads = {}, room = rooms.new(facts and type(facts.room) == "table" and facts.room or nil), swaps = 0, swap_seconds = 0,
    rest_until = -NEVER, look_again = -NEVER, suspect_at = -NEVER, change = { may = {}, from = {} } }, R)
  for name, seconds in next, facts and type(facts.loads) == "table" and facts.loads or NONE do
    if math.type(seconds) then self.loads[name], self.usual = seconds, math.max(seconds, self.usual or 0) end
  end
  return self
end

--- What was learned, as plain data.
---@return table
function R:facts()
  local known = {}
  for name, seconds in next, self.loads do known[name] = seconds end
  return { room = self.room:facts(), loads = known }
end

--- The server was started anew, perhaps with other limits: nothing is loaded, and what fits is not known.
function R:restarted()
  for _, m in ipairs(self.list) do m.resident, m.failed, m.visit = false, nil, nil end
  self.loading, self.doubt, self.looked, self.there = nil, nil, nil, nil
  self.room:forget()
end

--- What is known of a lane's model. For lua/pool/turn.lua.
---@param lane table
function R:model(lane)
  local m = self.models[lane]
  if not m then
    m = { lane = lane, name = lane.model or lane.key, resident = nil, since = nil, swapped = 0, used = -NEVER, failed = nil }
    if self.there then m.resident = self.there[m.name] or false end
    self.models[lane], self.list[#self.list + 1] = m, m
  end
  return m
end

--- Forget a lane that is not used any more.
---@param lane table
function R:drop(lane)
  for i = #self.list, 1, -1 do
    if self.list[i].lane == lane then table.remove(self.list, i) end
  end
  self.models[lane] = nil
  if self.loading and self.loading.lane == lane then self.loading = nil end
  if self.doubt and self.doubt.lane == lane then self.doubt = nil end
end

--- Is the lane's model loaded? nil where nobody knows.
---@param lane table
---@return boolean|nil
function R:resident(lane)
  local m = self.models[lane]
  return m and m.resident
end

--- Seconds that loading a lane's model takes; before it was loaded once, what the server's other models took.
---@param lane table
---@param estimated? number
---@return number
function R:price(lane, estimated)
  return self.loads[self:model(lane).name] or estimated or self.usual or M.load
end

-- ---- what happened ----------------------------------------------------------------------------------------------------------

--- Another model takes the place of this one.
local function unload(self, m, began, now)
  m.resident = false
  if m.visit then -- it was loaded for overdue calls that others of a higher class waited for
    self.rest_until, m.visit = now + M.rest * (began - m.visit), nil
  end
end

--- This model is there now: those that do not fit beside it are not.
local function arrived(self, m, now)
  m.resident, m.since, m.failed, m.promised = true, now, nil, nil
  for _, o in ipairs(self.list) do
    if o ~= m and o.resident and self.room:fits { m.name, o.name } == false then unload(self, o, now, now) end
  end
end

--- The lanes that are taken to be loaded, without one.
local function others(self, m)
  local list = {}
  for _, o in ipairs(self.list) do
    if o ~= m and o.resident then list[#list + 1] = o.lane end
  end
  return list
end

--- A load is through, since `ended`; where an answer has said it, that is known from `now` on alone. Who had to leave for it is
--- known where one model was there and does not fit beside it; else it has to be seen.
local function end_load(self, ended, seconds, now)
  local load = self.loading
  self.loading = nil
  local m = self:model(load.lane)
  arrived(self, m, ended)
  local wait = loads.waited(load, seconds)
  loads.ended(m, load, wait, ended)
  m.swapped = 0
  if #load.victims > 0 or load.evicts then
    local took = wait < NEVER and seconds - wait or math.min(seconds, self:price(load.lane))
    m.swapped = wait > 0 and took or math.max(seconds, ended - load.since)
    self.swaps, self.swap_seconds = self.swaps + 1, self.swap_seconds + took
  end
  if load.visit then m.visit = load.since end
  if load.known then
    for _, lane in ipairs(load.victims) do unload(self, self:model(lane), load.since, ended) end
    return
  end
  local beside = others(self, m)
  for _, lane in ipairs(beside) do self:model(lane).resident = nil end
  for _, lane in ipairs(load.left or NONE) do beside[#beside + 1] = lane end
  if #beside == 0 then return end
  self.doubt = { lane = load.lane, beside = beside, since = load.since, at = ended, known = now or ended }
end

--- A call was sent to a lane. To one that is not loaded: that loads it.
---@param lane table
---@param now number
function R:sent(lane, now)
  local m, load = self:model(lane), self.loading
  m.used = now
  if m.resident or load then return end
  load = { lane = lane, since = now, victims = {}, beside = others(self, m), class = 2, oldest = now }
  self.loading = load
  local change = self.change
  if change.kind ~= "swap" or change.lane ~= lane then return end
  for i, v in ipairs(change.victims) do load.victims[i] = v end
  load.known = #load.beside == 1 and #load.victims == 1 and change.certain
  load.try, load.visit, load.class, load.oldest = change.reason == "try", change.visit, change.class, change.oldest
  load.waited = load.try -- what it takes will not be the load alone
end

--- A call begins to be answered: its model is loaded.
---@param lane table
---@param now number
---@param seconds? number what the load took, where that is known
function R:began(lane, now, seconds)
  local load = self.loading
  if load and load.lane == lane then return end_load(self, now, seconds or now - load.since) end
  local m = self:model(lane)
  if not m.resident then arrived(self, m, now) end
end

--- The server was away for a while: what it holds has to be looked at.
function R:away() self.looked = nil end

--- The server could not load the lane's model, or answered before it failed.
local function failed(self, m, now, err, unfit)
  if self.loading and self.loading.lane == m.lane then
    for _, lane in ipairs(self.loading.beside) do self:model(lane).resident = nil end -- some may have left for it
    self.loading, self.looked = nil, nil
  end
  if not unfit then return end
  local before = m.failed
  local pause = before and math.min(before.pause * 2, M.again_most) or M.again
  m.failed, m.resident = { pause = pause, err = err, till = now + pause }, false
end

--- An answer without a load: what was there before a doubtful load still is.
local function settle(self, m, quick)
  local doubt = self.doubt
  if not doubt or not quick then return end
  for _, lane in ipairs(doubt.beside) do
    if lane == m.lane then self.room:together { m.name, self:model(doubt.lane).name } end
  end
end

--- A model that was taken to be loaded was loaded for a call: perhaps those beside it drive it out, and it them. To be looked at.
local function suspect(self, m, now, seconds)
  local beside = others(self, m)
  if self.doubt or #beside == 0 then return end
  self.suspect_at = now + M.suspect
  self.doubt = { lane = m.lane, beside = beside, since = now - seconds, at = now, known = now }
end

--- A call has ended.
---@param lane table
---@param now number
---@param timings? { load?: number, total?: number } seconds, as the server told them
---@param err? table why it failed
---@param unfit? boolean the server says that it cannot load this model
---@return number|nil load seconds of loading alone; nil: not known
function R:answered(lane, now, timings, err, unfit)
  local m, load = self:model(lane), self.loading
  m.ended, m.promised = now, m.promised and m.promised - 1
  if err then return failed(self, m, now, err, unfit) end
  local seconds, total = timings and timings.load, timings and timings.total
  local ours, there = load and load.lane == lane, m.resident
  if ours then
    end_load(self, total and seconds and now - math.max(total - seconds, 0) or now, seconds or now - load.since, now)
  elseif not there then
    arrived(self, m, now)
  end
  local own, told = loads.alone(m, now, seconds, total, M.real)
  if told and m.learns then
    loads.learn(self, m, own)
  elseif there and not ours and not told and seconds and seconds > M.real and now >= self.suspect_at then
    suspect(self, m, now, seconds)
  end
  if not ours then settle(self, m, seconds and seconds < M.real) end
  return own
end

--- What was seen of a load of which nobody knew who would have to leave for it: did one?
local function judge(self, lane, beside, there, since, now)
  local names, gone = { self:model(lane).name }, false
  for _, other in ipairs(beside) do
    local o = self:model(other)
    names[#names + 1] = o.name
    if not there[o.name] and o.resident ~= false then
      gone = gone or since - o.used < M.unused
      unload(self, o, since, now)
    end
  end
  if gone then self.room:not_together(names) end
  return gone
end

--- A load that is through.
local function judge_doubt(self, doubt, there)
  local m = self:model(doubt.lane)
  if not there[m.name] or not judge(self, doubt.lane, doubt.beside, there, doubt.since, doubt.at) then return end
  if m.swapped == 0 then
    m.swapped = doubt.at - doubt.since
    self.swaps, self.swap_seconds = self.swaps + 1, self.swap_seconds + m.swapped
  end
end

--- The server was asked which models it holds.
---@param list { name: string, size?: integer }[] names as lanes have them in `model`
---@param now number when the answer came
function R:seen(list, now)
  local there, names, bytes = {}, {}, 0
  for i, entry in ipairs(list) do
    there[entry.name], names[i] = true, entry.name
    if entry.size and entry.size > 0 then self.room.sizes[entry.name] = entry.size else bytes = nil end
    bytes = bytes and bytes + entry.size
  end
  local first = not self.there
  self.there, self.looked, self.look_again = there, now, now + M.again_looked
  if #names > 0 then self.room:together(names, bytes) end
  local load = self.loading
  if load and there[self:model(load.lane).name] then
    end_load(self, now, now - load.since)
  elseif load then
    if judge(self, load.lane, load.beside, there, load.since, now) then load.evicts = true end
    if load.idle and now - load.idle >= M.evicts then load.spared = there end -- there was time to unload what was idle
  end
  if self.doubt then judge_doubt(self, self.doubt, there) end
  self.doubt = nil
  for _, m in ipairs(self.list) do
    if there[m.name] then
      if not m.resident then m.resident, m.since = true, m.since or now end
      if first then m.since = -NEVER end -- it was there before anybody asked
    elseif not (self.loading and self.loading.lane == m.lane) then
      if m.resident and self.loading then -- it left for the load under way: to be judged once that is through
        self.loading.left = self.loading.left or {}
        table.insert(self.loading.left, m.lane)
      end
      m.resident = false
    end
  end
end

--- Nobody could look: what is not known will not be seen.
---@param now number
function R:unseen(now)
  self.looked, self.look_again = now, now + M.again_looked
  for _, lane in ipairs(self.doubt and self.doubt.beside or NONE) do
    local m = self:model(lane)
    if m.resident == nil then m.resident = false end
  end
  self.doubt = nil
end

-- ---- decide -----------------------------------------------------------------------------------------------------------------

local function clear(change)
  for lane in next, change.may do change.may[lane] = nil end
  for lane in next, change.from do change.from[lane] = nil end
  change.kind, change.lane, change.victims, change.price, change.reason = "stay", nil, nil, nil, nil
  change.refuse, change.look, change.due, change.extra, change.unload = nil, nil, nil, nil, nil
  change.visit, change.class, change.oldest, change.certain = nil, nil, nil, nil
  return change
end

local function sooner(change, at)
  if at and at < (change.due or NEVER) then change.due = at end
end

--- Calls that are out answer a doubt: what was sent before the load began, and is not answered, has kept its model there.
local function resolve(self, w, m, now)
  local doubt = self.doubt
  if not doubt or m.resident ~= nil then return end
  if w.busy > 0 and m.used <= doubt.since then
    m.resident = true
    self.room:together { m.name, self:model(doubt.lane).name }
  elseif now - doubt.known > M.patience then
    m.resident = false -- nobody can look; it was asked to leave
  end
end

--- Calls are out for a model that is not there: they were sent before anybody knew, and load it, or wait in the server until they
--- can.
local function adopt(self, w, now)
  local beside = others(self, self:model(w.lane))
  self.loading = { lane = w.lane, since = now, victims = {}, beside = beside, adopted = true, try = #beside > 0,
    class = w.class or 2, oldest = w.oldest or now }
end

--- Sort the lanes: those whose calls go to a loaded model, and those that wait for a load.
local function split(self, now, work, change)
  local inside, outside = {}, {}
  for _, w in ipairs(work) do resolve(self, w, self:model(w.lane), now) end
  for _, w in ipairs(work) do
    local m = self:model(w.lane)
    if w.busy > 0 and not m.resident and not self.loading then adopt(self, w, now) end
    if m.resident then
      m.promised = m.promised or m.swapped > 0 and w.busy + w.waiting or 0
      inside[#inside + 1] = w
      change.may[w.lane] = true
    elseif m.failed and now < m.failed.till then
      if w.waiting > 0 then
        change.refuse = change.refuse or {}
        change.refuse[w.lane] = m.failed.err
      end
    elseif self.loading and self.loading.lane == w.lane then
      change.may[w.lane] = true
    elseif w.waiting > 0 then
      outside[#outside + 1] = w
    end
    m.row = w
  end
  for _, m in ipairs(self.list) do -- and the loaded models that nobody uses now
    if m.resident and not m.row then inside[#inside + 1] = { lane = m.lane, busy = 0, waiting = 0, seconds = 0 } end
    m.row = nil
  end
  return inside, outside
end

local function leave(change, victims)
  local lanes, flying = {}, false
  for i, v in ipairs(victims) do
    lanes[i], change.may[v.lane] = v.lane, false
    flying = flying or v.busy > 0
  end
  change.victims = lanes
  return flying
end

--- The lane that is loaded. Where its call waited in the server for a pause of the others, has it come? Those with nothing in
--- flight leave then, if they have to.
local function begun(load, work, now)
  local own, flying = nil, {}
  for _, w in ipairs(work) do
    flying[w.lane], own = w.busy > 0, w.lane == load.lane and w or own
  end
  if load.try then
    for _, lane in ipairs(load.beside) do
      if not flying[lane] then load.victims[#load.victims + 1], load.try, load.pause = lane, false, load.pause or now end
    end
  end
  return own
end

--- A call that loads is under way: perhaps it waits in the server until others have nothing in flight.
local function while_loading(self, now, work, inside, change)
  local load = self.loading
  change.lane = load.lane
  local own = begun(load, work, now)
  for _, lane in ipairs(load.victims) do change.may[lane] = false end
  local name = self:model(load.lane).name
  for _, v in ipairs(inside) do -- what has nothing in flight may have to leave for it
    local other = self:model(v.lane).name
    if v.busy == 0 and not (load.spared and load.spared[other]) and not self.room:fits { name, other } then
      change.may[v.lane], load.idle = false, load.idle or now
    elseif load.spared and load.spared[other] then
      change.may[v.lane] = true
    end
  end
  if not own or not load.try then return change end
  change.may[load.lane] = false -- what waits in the server cannot be called back: no more of it
  local wanted = { lane = own.lane, class = load.class, overdue = own.overdue, oldest = load.oldest, load = own.load }
  if own.waiting > 0 then wanted.class = math.min(own.class, load.class) end
  if own.overdue_at and now >= own.overdue_at then wanted.overdue = true else sooner(change, own.overdue_at) end
  local victims = turn.room_for(self, wanted, inside, now)
  local reason, from = turn.reason_for(self, wanted, victims, now)
  local till = load.since + M.parked -- not by what has passed, which may be a rounding short of it at that time
  if now >= till then reason = reason or "waited" else sooner(change, till) end
  if reason and reason ~= "idle" then
    change.kind, change.reason, change.price = "drain", reason, self:price(load.lane, own.load)
    leave(change, victims)
    return change
  end
  sooner(change, from)
  for _, v in ipairs(inside) do
    if not from or from - now > (v.service or 0) then -- or it would have to be drained, too
      change.extra = change.extra or {}
      change.extra[v.lane] = 1
    end
  end
  return change
end

--- The lanes that have a reason to be loaded now, with the reason of each.
local function candidates(self, now, outside, inside, change)
  local ready, about = {}, {}
  for _, w in ipairs(outside) do
    local victims, certain = turn.room_for(self, w, inside, now)
    local reason, more = "room", nil
    if #victims > 0 then
      reason, more = turn.reason_for(self, w, victims, now)
      if not reason and not certain then
        local try, at = turn.may_try(self, w, victims, now)
        if try then reason, victims = "try", NONE else more = math.min(more or NEVER, at or NEVER) end
      end
    end
    if reason then
      ready[#ready + 1] = w
      about[w] = { victims = victims, certain = certain, reason = reason, visit = reason == "overdue" and more }
    else
      change.from[w.lane] = more
      sooner(change, more)
    end
  end
  return ready, about
end

--- Does a model stay that has nothing in flight? Then the server might choose that one.
local function idle_beside(inside, victims)
  local idle = 0
  for _, v in ipairs(inside) do idle = idle + (v.busy == 0 and 1 or 0) end
  return idle > #victims or nil
end

--- Should the server's list be read? When it is old; when who left is in doubt; and where others wait for the end of a load,
--- which no answer tells as soon.
local function look(self, now, lanes, outside, change)
  local load, at = self.loading, nil
  if self.doubt or (lanes > 1 and (not self.looked or now - self.looked > M.fresh)) then
    at = self.look_again
  elseif load and not load.try and outside > 0 then
    at = math.max(load.since + 0.8 * self:price(load.lane),
      (self.looked or now) + math.max(2 * M.again_looked, 0.1 * (now - load.since)))
  end
  if load and load.idle and not load.spared then
    at = math.min(at or NEVER, math.max(load.idle + M.evicts, self.look_again))
  end
  if not at then return end
  if now >= at then change.look = true else sooner(change, at) end
end

--- What next? It changes nothing but what it learns from calls that it was not told of, and the table that it gives, which is
--- used again by the next call.
---@param now number
---@param work stoke.pool.work[] a row for each lane that has calls in flight or waiting
---@return stoke.pool.change
function R:decide(now, work)
  local change = clear(self.change)
  local inside, outside = split(self, now, work, change)
  look(self, now, #work, #outside, change)
  if self.loading then return while_loading(self, now, work, inside, change) end
  if #outside == 0 then return change end
  if self.doubt and now < self.doubt.known + M.patience then -- another load would blur what is seen of the last one
    sooner(change, self.doubt.known + M.patience)
    return change
  end
  local ready, about = candidates(self, now, outside, inside, change)
  if #ready == 0 then return change end
  local w = #ready == 1 and ready[1] or turn.first_of(self, ready, inside)
  local how = about[w]
  change.lane, change.reason, change.price = w.lane, how.reason, self:price(w.lane, w.load)
  change.visit, change.class, change.oldest, change.certain = how.visit or nil, w.class, w.oldest, how.certain
  local flying = leave(change, how.victims)
  if not flying and #how.victims > 0 then change.unload = idle_beside(inside, how.victims) end
  change.kind = flying and "drain" or "swap"
  if not flying then change.may[w.lane] = true end
  return change
end

return M
