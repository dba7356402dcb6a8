--- stoke.person: somebody who lives in a world: a persona, a memory, a plan for the day, and turns in which a model says what the
--- person does, bound to the actions that are possible by a grammar.
---
---     local people = stoke.person.people {
---       place = town, model = "qwen2.5:3b",
---       { id = "ada", name = "Ada", home = "mill", persona = { age = 41, job = "baker", traits = { "kind", "stubborn" } } },
---       { id = "bob", name = "Bob", home = "inn", persona = "A smith who likes to argue." },
---     }
---     local world <close> = stoke.world(people:world { name = "town", seed = 7, file = "town.world" })
---     world:run { speed = "free", until_time = 24 * 3600 }
---
--- A person can be made alone, tried without a world, and put among others: `local ada = stoke.person { id = "ada", model = m }`,
--- `ada:turn()`, `stoke.person.people { ada, bob }`.
---
--- **A turn** is one question to the person's model: who it is, where, who is near, what it plans, what it remembers of this, what
--- was said. The answer is a list of actions: TALK, REACH_OUT, ACCEPT, DECLINE, LEAVE, GO, DO, THINK, DONE and the world's own.
--- Nonsense is told to the model once, then the person does nothing; what cannot be done any more, when the answer comes, it is
--- told in its next turn. Nothing that a model answers raises.
---
--- **Its memory** is a stoke.memory with the world's clock, in the world's file: what happens is remembered, what fits a turn is
--- looked up, at night it is reflected on. It goes back where the world goes back.
---
--- All that a model is told are texts, which `people:explain "ada"` shows and `texts =` replaces (stoke.agent.texts).

local errors = require "core.errors"
local actions = require "stoke.person.actions"
local explain = require "stoke.agent.explain"
local inputs = require "stoke.person.inputs"
local live = require "stoke.person.live"
local mind = require "stoke.person.mind"
local ordered = require "core.ordered"
local persona = require "stoke.person.persona"
local record = require "stoke.person.record"
local rounds = require "stoke.person.round"
local talk = require "stoke.person.talk"
local texts = require "stoke.agent.texts"
local turns = require "stoke.person.turn"
local words = require "stoke.person.words"

local M = {}

--- What may be said of each person, or of all: the person's own goes first.
local SHARED <const> = { model = "string", endpoint = "string", route = true, options = "table", think = true, class = true,
  cache = true, timeouts = "table", texts = "table", tier = "string", memory = true, reflect = true, wake = true, sleep = true,
  every = "number", plan = "boolean", routine = "table", activities = "table", home = "string", turn_actions = "number" }

local PERSON <const> = { id = "string", name = "string", persona = true, x = "number", y = "number" }
local PEOPLE <const> = { place = "table", actions = "table", beat = "number", hearing = "number", talk = "table",
  takes = "number" }
for name, kind in next, SHARED do PERSON[name], PEOPLE[name] = kind, kind end

---@class stoke.person.definition what is not said here is taken from the people's
---@field id string letters, digits and _
---@field name? string how others call it (the id)
---@field persona? string|table a text; or fields (age, job, traits ...), `text`, `file`, and fragments of text in a list
---@field model string
---@field endpoint? string
---@field route? string|string[]
---@field options? table sampling (temperature 0.8)
---@field think? boolean|string
---@field class? string
---@field cache? boolean|table
---@field timeouts? table
---@field texts? table<string, string|function|false> what its model is told, replaced
---@field tier? "small"|"large" how much it is shown; by the size in the model's name, up to 4 billion is small
---@field memory? boolean|{ embed?: any, half_life?: number, weights?: table } false: none; default: words are compared
---@field reflect? number|false importance of what came since, from which on it is reflected on at night (60)
---@field wake? string|number "07:00"
---@field sleep? string|number "22:00"
---@field every? number world seconds after which it is asked what it does, where nothing happens (3600)
---@field plan? boolean false: no plan is asked for, the day is as `routine` says
---@field routine? { [1]: string, [2]: string, [3]?: string }[] { "08:00", "bake bread", "bakery" } ...: the day without a plan
---@field activities? table<string, string[]> spot -> what can be planned there; anything elsewhere
---@field home? string the spot where it is at first, and sleeps
---@field x? integer where it is at first, instead
---@field y? integer
---@field turn_actions? integer actions of a turn at most (4; a large model's 8; never above 15)

---@class stoke.people
---@field place? stoke.place
---@field defs table<string, table> definitions by id
---@field private list table[] in the order of ids
---@field limits stoke.person.talk.limits
---@field actions table<string, table>
---@field hearing integer how far one is heard
---@field beat number
---@field kept table<table, table<string, stoke.memory>> memories by world
local People = {}
People.__index = People
People.__name = "stoke.people"

---@class stoke.person somebody without a world
---@field id string
---@field definition stoke.person.definition as it was given
---@field private alone stoke.people
local Person = {}
Person.__index = Person
Person.__name = "stoke.person"

-- ---- definitions ----------------------------------------------------------------------------------------------------------------

local function clock(where, name, value, default)
  if value == nil then value = default end
  local seconds = type(value) == "number" and value or type(value) == "string" and words.seconds(value)
  if not seconds or seconds < 0 or seconds >= 86400 then
    errors.argument("%s: %s must be a time of day, as \"07:30\" or in seconds, got %s", where, name, errors.describe(value))
  end
  return math.tointeger(seconds // 1)
end

local function check_place(where, people, name)
  local shown = errors.named(name)
  if not people.place then errors.argument("%s names the spot %s, but the people have no place", where, shown) end
  for _, known in ipairs(people.places) do
    if known == name then return name end
  end
  local near = errors.suggest(tostring(name), people.places)
  errors.argument("%s: there is no spot %s%s", where, shown, near and (" (did you mean %s?)"):format(near) or "")
end

--- A day without a plan of a model.
local function routine(where, people, def, given)
  if given == nil then return { { from = def.wake, activity = "spending the day", place = def.home } } end
  local out = {}
  errors.list(where .. ": routine", given)
  for i, one in ipairs(given) do
    local at = ("%s: routine[%d]"):format(where, i)
    if type(one) ~= "table" or type(one[2]) ~= "string" then
      errors.argument("%s must be { \"08:00\", \"what\", \"where\" }, got %s", at, errors.describe(one))
    end
    out[i] = { from = clock(at, "[1]", one[1]), activity = one[2], place = one[3] and check_place(at, people, one[3]) or nil }
  end
  if not out[1] then errors.argument("%s: routine is empty", where) end
  table.sort(out, function(x, y) return (x.from - def.wake) % 86400 < (y.from - def.wake) % 86400 end)
  return out
end

--- What can be planned at each spot.
local function check_activities(where, people, given)
  for place, list in next, given or {} do
    check_place(where, people, place)
    local what = ("%s.%s"):format(where, place)
    errors.list(what, list)
    if not list[1] then errors.argument("%s is empty", what) end
    for i, one in ipairs(list) do
      if type(one) ~= "string" or not one:find "%S" then
        errors.argument("%s[%d] must be a text, got %s", what, i, errors.describe(one))
      end
    end
  end
end

local function memory_of(where, given)
  if given == false then return nil end
  if given == nil or given == true then return {} end
  return errors.options(given, { embed = true, half_life = "number", weights = "table" }, where .. ": memory")
end

local function tier_of(where, def)
  local name = def.tier or words.tier(def.model)
  local limits = words.TIERS[name]
  if not limits then errors.argument("%s: tier must be \"small\" or \"large\", got %q", where, name) end
  local most = def.turn_actions
  if most == nil then return limits end
  if math.type(most) ~= "integer" or most < 1 or most > turns.MOST then
    errors.argument("%s: turn_actions must be a whole number from 1 to %d, got %s", where, turns.MOST, tostring(most))
  end
  local own = {}
  for key, value in next, limits do own[key] = value end
  own.actions = most
  return own
end

local function positive(where, name, value)
  if not (value > 0 and value < math.huge) then errors.argument("%s: %s must be seconds above 0, got %s", where, name, value) end
  return value
end

--- What a person lives by, worked out once.
local function define(people, given, shared, at)
  if type(given) ~= "table" then errors.argument("%s: a table expected, got %s", at, errors.describe(given)) end
  errors.options(given, PERSON, at)
  local id = given.id
  if not id or not id:find "^%a[%w_]*$" or #id > 40 then
    errors.argument("%s: the id must be letters, digits and _, at most 40, got %s", at, errors.describe(id))
  end
  local where, def = "stoke.person " .. id, { id = id, name = given.name or id }
  for name in next, SHARED do
    def[name] = given[name]
    if def[name] == nil then def[name] = shared[name] end
  end
  if not def.model and not def.route then errors.argument("%s: model is missing", where) end
  if not def.name:find "%S" or #def.name > 40 or def.name:find "[%c\"]" then
    errors.argument("%s: the name must be a text of at most 40 bytes, got %q", where, def.name)
  end
  if def.texts then texts.check(where, def.texts) end
  def.text = persona.text(where .. ": persona", given.persona)
  def.wake, def.sleep = clock(where, "wake", def.wake, "07:00"), clock(where, "sleep", def.sleep, "22:00")
  def.every = positive(where, "every", def.every or 3600)
  def.limits, def.memory = tier_of(where, def), memory_of(where, def.memory)
  if def.reflect == nil then def.reflect = 60 end
  if def.reflect ~= false and (type(def.reflect) ~= "number" or not (def.reflect >= 0)) then
    errors.argument("%s: reflect must be a number of at least 0, or false, got %s", where, errors.describe(def.reflect))
  end
  if people.place then
    if def.home == nil then errors.argument("%s: home is missing: a spot of the place", where) end
    check_place(where .. ": home", people, def.home)
    check_activities(where .. ": activities", people, def.activities)
  else
    def.home = nil
  end
  def.routine = routine(where, people, def, def.routine)
  def.plan, def.actions = def.plan ~= false, people.actions
  def.x, def.y = given.x, given.y
  mind.check(def)
  return def
end

-- ---- people ---------------------------------------------------------------------------------------------------------------------

--- A record with all that steps read.
---@private
function M.record(fields)
  local out = { mood = "calm", plan = {}, news = {}, feedback = {}, met = {}, next = 0, x = 1, y = 1 }
  for name, value in next, fields do out[name] = value end
  return out
end

local function limits_of(given)
  local out = {}
  for name, value in next, talk.LIMITS do out[name] = value end
  local fields = {}
  for name in next, out do fields[name] = "number" end
  for name, value in next, errors.options(given, fields, "stoke.person.people: talk") do
    if not (value >= 1) then errors.argument("stoke.person.people: talk.%s must be at least 1, got %s", name, tostring(value)) end
    out[name] = value
  end
  return out
end

--- The place's spots, and its names, sorted.
local function places_of(what, place)
  if not place then return {} end
  local class = getmetatable(place)
  if type(class) ~= "table" or class.__name ~= "stoke.place" then
    errors.argument("%s: place must be a stoke.place, got %s", what, errors.describe(place))
  end
  local names = place:names()
  return table.move(names, 1, #names, 1, {})
end

--- Their thoughts, each with the world's memories at hand.
local function thoughts_of(self)
  local function thought(name, f, apply)
    return { takes = self.takes, stops = mind.stops, apply = apply,
      failed = function(member, failed, here) live.failed(self, member, name, failed, here) end,
      ask = function(q, who, time, world)
        local kept = self.kept[world]
        if not kept then
          errors.raise("argument", "stoke.person: the world does not know of people:world{}'s on_open",
            { hint = "stoke.world(people:world { ... }), or on_open = people.on_open" })
        end
        local seat <close> = self.round:enter()
        return f(self.defs[who], q, time, kept[who], seat)
      end }
  end
  local function turn(def, q, time, memory, seat)
    q.places = self.places
    return mind.turn(def, q, time, memory, seat)
  end
  return {
    turn = thought("turn", turn, function(member, answer, here) live.turn(self, member, answer, here) end),
    day = thought("day", mind.day, function(member, answer, here) live.day(self, member, answer, here) end),
    reflect = thought("reflect", mind.reflect, function(member, answer, here)
      if answer.insights[1] then here:emit("reflects", { name = member.name, insights = answer.insights }) end
    end),
  }
end

--- What the page shows of a person: how it was thought for last, its memories, best first.
local function look(self, world, id, time)
  local def, kept = self.defs[id], self.kept[world]
  local state = time and world:at(time).state
  local member = state and state.members[id] or not state and world:look("members", id) or nil
  if not member then return nil end
  local last = member.mind or {}
  local memory = kept and kept[id]
  return { id = id, name = member.name, persona = def and def.text or "", mood = member.mood, doing = member.doing,
    plan = member.plan, item = member.item, feedback = member.feedback, news = member.news, found = last.found,
    request = last.request, answer = last.answer, asked = last.time, failed = last.failed,
    memories = time and last.found or memory and mind.look(memory, world:time(), 30) or {} }
end

--- What the world calls, as fields of the people.
local function hooks(self)
  self.step = function(member, here) return live.step(self, member, here) end
  self.thoughts, self.inputs = thoughts_of(self), inputs.of(self)
  self.tied = function(a, b) return a.talk ~= nil and a.talk == b.talk end
  self.distance = record.distance
  self.on_open = function(world) self.kept[world] = mind.open(self.list, world.db, self.kept[world.origin or self]) end
  self.on_close = function(world)
    for _, memory in next, self.kept[world] or {} do memory:close() end
    self.kept[world] = nil
  end
  self.on_back = function(who, time, world)
    local memory = self.kept[world] and self.kept[world][who]
    if memory then memory:back(time) end
  end
  self.view = { place = self.place, mind = function(world, id, time) return look(self, world, id, time) end }
  self.new = M.record
end

--- The people of a world.
---@param given table a list of stoke.person.definition or stoke.person, and: place? = stoke.place; actions? = the world's own (see
---  stoke.person.action; false takes one of the built-in ones away); beat? = world seconds between the moments at which people are
---  thought for (60); takes? = world seconds that a thought takes (20); hearing? = tiles that one is heard (3); talk? = limits of
---  conversations (stoke.person.talk.limits); and what is true of all of them, as model, wake, texts
---@return stoke.people
---Raises `argument`, and what reading the files of personas raises.
---
--- Example: `local people = stoke.person.people { model = "qwen2.5:3b", { id = "ada" }, { id = "bob" } }`
function M.people(given)
  local what = "stoke.person.people"
  if type(given) ~= "table" then errors.argument("%s: a table expected, got %s", what, errors.describe(given)) end
  local o = {}
  for name, value in next, given do
    if math.type(name) ~= "integer" then o[name] = value end
  end
  errors.options(o, PEOPLE, what)
  if not given[1] then errors.argument("%s: there is nobody: { id = \"ada\", name = \"Ada\" }, ...", what) end
  local self = setmetatable({ place = o.place, places = places_of(what, o.place), defs = {}, list = {}, limits = limits_of(o.talk),
    hearing = o.hearing or 3, beat = positive(what, "beat", o.beat or 60), takes = positive(what, "takes", o.takes or 20),
    kept = setmetatable({}, { __mode = "k" }), round = rounds.new(), speed = o.place and 1 or 0 }, People)
  if not (self.hearing >= 0 and self.hearing < math.huge) then
    errors.argument("%s: hearing must be tiles, at least 0, got %s", what, tostring(self.hearing))
  end
  self.reach = math.max(self.hearing, 3)
  self.actions = actions.of(what, o.actions)
  local names = {}
  for i, one in ipairs(given) do
    if getmetatable(one) == Person then one = one.definition end
    local def = define(self, one, o, ("%s: [%d]"):format(what, i))
    if self.defs[def.id] then errors.argument("%s: two people have the id %s", what, def.id) end
    if names[def.name] then errors.argument("%s: two people are named %s", what, def.name) end
    self.defs[def.id], names[def.name] = def, true
  end
  for i, id in ipairs(ordered.names(self.defs)) do self.list[i] = self.defs[id] end
  hooks(self)
  return self
end

--- The first state of their world: everybody at home, asleep or not as the hour says.
---@return { members: table<string, table>, ground: table }
---
--- Example: `stoke.world { state = people:state(), step = people.step }`
function People:state()
  local members, list = {}, {}
  for _, def in ipairs(self.list) do
    local x, y = def.x, def.y
    if not (x and y) and self.place then x, y = self.place:nearest(def.home, list) end
    local member = M.record { id = def.id, name = def.name, x = x, y = y, doing = "nothing" }
    members[def.id], list[#list + 1] = member, member
  end
  return { members = members, ground = { place = self.place and self.place:data() or nil } }
end

--- What stoke.world needs, with more of your own.
---@param more? table options of stoke.world, which go before; inputs and thoughts are joined
---@return table
---
--- Example: `local world <close> = stoke.world(people:world { name = "town", seed = 7, start = 6 * 3600 })`
function People:world(more)
  local out = { state = self:state(), step = self.step, thoughts = {}, inputs = {}, tied = self.tied, distance = self.distance,
    on_open = self.on_open, on_close = self.on_close, on_back = self.on_back, view = self.view, reach = self.reach,
    speed = self.speed }
  for name, value in next, self.thoughts do out.thoughts[name] = value end
  for name, value in next, self.inputs do out.inputs[name] = value end
  for name, value in next, more or {} do
    if name == "thoughts" or name == "inputs" then
      for key, one in next, value do out[name][key] = one end
    else
      out[name] = value
    end
  end
  return out
end

local KINDS <const> = { free = true, invited = true, talk = true }

--- A person, and a situation that was given in part.
local function situation_of(self, id, situation)
  local def = self.defs[id]
  if not def then
    local near = errors.suggest(tostring(id), ordered.names(self.defs))
    errors.argument("people: there is no %s%s", errors.named(id), near and (" (did you mean %s?)"):format(near) or "")
  end
  local q = { kind = "free", near = {}, others = {}, news = {}, feedback = {}, places = self.places, at = def.home,
    plan = def.routine, item = 1 }
  for name, value in next, situation or {} do q[name] = value end
  if not KINDS[q.kind] then
    errors.argument("people: the kind of a situation is \"free\", \"invited\" or \"talk\", got %s", errors.describe(q.kind))
  end
  return def, q
end

--- Print the exact request of a person's turn in a situation, and all that its model may be told; and return it. Nothing is sent.
---@param id string
---@param situation? { time?: number, kind?: "free"|"invited"|"talk", near?: table[], lines?: table[], at?: string } default: alone,
---  at its home, at eight
---@return { method: string, url: string, body: string, answer: string, texts: table }
---Raises `argument`.
---
--- Example: `people:explain("ada", { near = { { id = "bob", name = "Bob" } } })`
function People:explain(id, situation) return explain.show(self:next_request(id, situation)) end

--- The same without printing.
---@param id string
---@param situation? table
---@return { method: string, url: string, body: string, answer: string, texts: table }
---
--- Example: `print(people:next_request("ada").body)`
function People:next_request(id, situation)
  local def, q = situation_of(self, id, situation)
  return mind.next_request(def, q, q.time or 8 * 3600, nil)
end

--- One turn of somebody without a world: for trying a persona, or a model.
---@param id string
---@param situation? table as for explain
---@return stoke.person.answer
---Raises `argument`, and what asking a model raises.
---
--- Example: `stoke.pp(people:turn("ada", { near = { { id = "bob", name = "Bob" } } }).actions)`
function People:turn(id, situation)
  local def, q = situation_of(self, id, situation)
  return mind.turn(def, q, q.time or 8 * 3600, nil)
end

-- ---- one person -----------------------------------------------------------------------------------------------------------------

--- What has a meaning in a world alone.
local WORLDLY <const> = { home = true, routine = true, activities = true, x = true, y = true }

--- Somebody: to be tried, and to be put among people.
---@param given stoke.person.definition
---@return stoke.person
---Raises `argument`, and what reading the file of the persona raises.
---
--- Example: `local ada = stoke.person { id = "ada", name = "Ada", model = "qwen2.5:3b", persona = "A baker." }`
function M.new(given)
  if type(given) ~= "table" then errors.argument("stoke.person: a table expected, got %s", errors.describe(given)) end
  local alone = {}
  for name, value in next, given do
    if not WORLDLY[name] then alone[name] = value end
  end
  local people = M.people { alone }
  return setmetatable({ id = given.id, definition = given, alone = people }, Person)
end

--- One turn, without a world: see people:turn.
---@param situation? table
---@return stoke.person.answer
---Raises `argument`, and what asking a model raises.
---
--- Example: `stoke.pp(ada:turn({ near = { { id = "bob", name = "Bob" } } }).actions)`
function Person:turn(situation) return self.alone:turn(self.id, situation) end

--- The exact request of a turn, and all that its model may be told: see people:explain.
---@param situation? table
---@return { method: string, url: string, body: string, answer: string, texts: table }
---
--- Example: `ada:explain()`
function Person:explain(situation) return self.alone:explain(self.id, situation) end

--- The same without printing.
---@param situation? table
---@return { method: string, url: string, body: string, answer: string, texts: table }
---
--- Example: `print(ada:next_request().body)`
function Person:next_request(situation) return self.alone:next_request(self.id, situation) end

function Person:__tostring() return "person " .. self.id end

return setmetatable(M, { __call = function(_, given) return M.new(given) end })
