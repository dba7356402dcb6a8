-- Every pattern as a durable run: cut off at one of its calls it goes on, asks nothing twice that was answered, and ends the same.
-- And a team's session that is kept.

local test = require "stoke.test"
local runs = require "core.runs"
local stoke = require "stoke"
local stored = require "kept_store"
local teams = require "teams"

-- STOKE_ALL_CUTS=1 leaves each run at each of its calls; otherwise at the first and the last one.
local EVERY = os.getenv "STOKE_ALL_CUTS" and 1

local function verdict(good) return { json = { faults = good and {} or { "short" }, good = good } } end

-- What each member says depends on what it is asked alone, as with a model at temperature 0.
local function said(who)
  return function(request)
    local last = request.messages[#request.messages].content
    if who == "loser" then return { error = "boom", status = 400 } end
    if request.tools and who == "ada" then
      return { tool_calls = { { name = "transfer_to_bob", arguments = { note = "yours" } } } }
    end
    return ("%s read %d messages, %d bytes"):format(who, #request.messages, #last)
  end
end

-- The team's own questions, by what they ask for.
local function decide(request)
  local properties = request.format and request.format.properties or {}
  local text = request.messages[#request.messages].content
  if properties.next and properties.reason then
    return { json = { reason = "r", done = text:find "bob read" ~= nil, progress = true,
      next = text:find "ada read" and "bob" or "ada", instruction = "do it" } }
  end
  if properties.next then return { json = { next = properties.next.enum[1] } } end
  if properties.parts then return { json = { parts = { { part = "x", worker = "loser" }, { part = "y", worker = "bob" } } } } end
  if properties.good then return verdict(#text > 120) end
  return ("decided on %d bytes"):format(#text)
end

local function world_of()
  return teams { ada = said "ada", bob = said "bob", loser = said "loser", team = decide }
end

local PATTERNS = {
  round_robin = { max_turns = 3 }, selector = { max_turns = 3 }, swarm = {}, debate = { rounds = 2 }, mixture = { layers = 2 },
  vote = {}, reflect = { rounds = 3, members = 1 }, ledger = { max_turns = 4 },
  orchestrate = { members = { "ada", "bob", "loser" } },
  graph = { edges = { { "ada", "bob" }, { "bob", "ada" } }, begin = "ada", max_visits = 2 },
}

-- Calls that may be in flight at once.
local SIDE_BY_SIDE = { vote = 2, debate = 2, mixture = 2, orchestrate = 2 }

local function made(name, world)
  local given = { name = "crew" }
  for key, value in pairs(PATTERNS[name]) do given[key] = value end
  local names = type(given.members) == "table" and given.members or given.members == 1 and { "ada" } or { "ada", "bob" }
  given.members = {}
  for i, member in ipairs(names) do given.members[i] = world.agent(member) end
  return stoke.team[name](given)
end

-- What of a result has to be the same: all but ids and times; of answers side by side the order in which they came is a matter of
-- time, too.
local function shape(result)
  local messages = {}
  if result.votes then table.sort(result.turns, function(a, b) return a.from < b.from end) end
  for i, message in ipairs(result.messages) do
    messages[i] = ("%s %s: %s"):format(message.role, message.name or "", message.content)
  end
  return { text = result.text, turns = result.turns, stopped = tostring(result.stopped), messages = messages,
    calls = result.usage.calls, failures = result.failures and #result.failures or 0, agent = result.agent }
end

for name in pairs(PATTERNS) do
  test(name .. " as a workflow, left at one of its calls, is resumed and ends the same, with no answered call twice",
    { real = true }, function(t)
      local closing <close> = stored(t) -- luacheck: ignore
      local alone <close> = world_of()
      local wanted = shape(made(name, alone):run "The task")
      local count = #alone.order
      for cut = 1, count, EVERY or math.max(1, count - 1) do
        local world <close> = world_of()
        local left = stoke.channel(1)
        local team = made(name, world)
        local flow = stoke.workflow(name .. cut, function()
          local result = team:run "The task"
          return shape(result)
        end)
        local asked = 0
        world.on_ask = function()
          asked = asked + 1
          if asked == cut then
            left:send(true)
            return { text = "too late", delay = 1000 }
          end
        end
        flow:start(nil, { id = name .. cut })
        left:recv()
        runs.leave()
        world.on_ask = nil
        t.eq(flow:start(nil, { id = name .. cut }):await(), wanted, ("%s, left at call %d of %d"):format(name, cut, count))
        local again = #world.order - count -- what was in flight is asked again, and nothing else
        t.ok(again >= 1 and again <= (SIDE_BY_SIDE[name] or 1), ("%d calls for %d"):format(#world.order, count))
      end
    end)
end

test("a kept session of a team goes on in the next process with the whole conversation", { real = true }, function(t)
  local closing <close> = stored(t)
  local world <close> = world_of()
  local chat = made("round_robin", world):session { id = "room" }
  local first = chat:run "one"
  t.eq({ #first.turns, first.stopped, #chat.messages }, { 3, "max_turns (3)", 4 })
  closing:restart()
  local again = made("round_robin", world):session { id = "room" }
  t.eq({ again.turns, again.messages[2].name }, { 1, "ada" })
  local result = again:run "two"
  t.match(result.turns[1].text, "^ada read 6 messages") -- what came before is there
  local events = {}
  for ev in again:stream "three" do events[ev.type] = (events[ev.type] or 0) + 1 end
  t.eq({ events.message, events.done, events.nested > 0 }, { 3, 1, true })
end)
