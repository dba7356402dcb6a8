-- What the people of town.lua answer. An answer depends on the question alone (who is asked, when, what may be done, what was said
-- last), and not on who was asked before, so that a day comes out the same in whatever order its questions are put.

--- A number of a text (FNV-1a).
local function hash(text)
  local h = 0xcbf29ce484222325
  for i = 1, #text do h = (h ~ text:byte(i)) * 0x100000001b3 end
  return h ~ h >> 29
end

local OPENERS = { "Good morning, %s!", "Have you heard the news, %s?", "Hello %s, how are you?", "%s, there you are!" }
local LINES = {
  "The bread is good today.", "I have work to do until noon.", "They want to mend the bridge.", "It may rain in the evening.",
  "I slept badly.", "Come to the inn tonight.", "My brother has written to me.", "The market was full.", "I am looking for a book.",
  "The well is deep, they say.", "Somebody should paint the gate.", "We could walk in the park.",
}
local THOUGHTS = { "I like this place.", "I should see more people.", "There is much to do.", "It is a quiet day." }

local function pick(list, h) return list[h % #list + 1] end

--- What may be answered, by the grammar: the parameters of each action.
local function offered(format)
  local actions = format and format.properties.actions
  local offers = {}
  for _, shape in ipairs(actions and (actions.items.anyOf or { actions.items }) or {}) do
    offers[shape.properties.action.enum[1]] = shape.properties
  end
  return offers
end

--- What an answer depends on.
local function situation(request, text, offers)
  local parts = { request.messages[1].content:match "You are (%w+)" or "", text:match "%d%d:%d%d" or "" }
  for name, params in pairs(offers) do
    for _, param in ipairs { "to", "place" } do
      parts[#parts + 1] = name .. table.concat(params[param] and params[param].enum or {}, ",")
    end
  end
  table.sort(parts)
  for line in text:gmatch "\n(%u%l+: [^\n]+)" do parts[#parts + 1] = line end
  return hash(table.concat(parts, "|"))
end

local function choices(offer, param) return offer and offer[param].enum or {} end

local function plan(h, places)
  local items = {}
  for i, from in ipairs { "07:00", "09:00", "12:00", "14:00", "18:00", "20:30" } do
    local activity = pick({ "work", "a walk", "a meal", "a rest" }, h >> i * 3)
    items[i] = { from = from, place = pick(places, h >> i * 5), activity = activity }
  end
  return { json = { plan = items } }
end

local function answer(list) return { json = { actions = list } } end

local function free(offers, h)
  local near, places = choices(offers.REACH_OUT, "to"), choices(offers.GO, "place")
  local done = { action = "DONE" }
  if near[1] and h % 3 > 0 then
    local to = pick(near, h >> 8)
    return answer { { action = "REACH_OUT", to = to, text = pick(OPENERS, h >> 16):format(to) } }
  elseif offers.GIVE and h % 2 == 0 then
    return answer { { action = "GIVE", to = pick(choices(offers.GIVE, "to"), h >> 8), what = "an apple" }, done }
  elseif offers.EAT and h % 5 < 2 then
    return answer { { action = "EAT", what = "soup" }, done }
  elseif places[1] and h % 7 == 0 then
    return answer { { action = "GO", place = pick(places, h >> 8) } }
  elseif h % 4 == 0 then
    local mood = pick({ "calm", "glad", "tired" }, h >> 16)
    return answer { { action = "THINK", thought = pick(THOUGHTS, h >> 8), mood = mood }, done }
  end
  return answer { done }
end

local function talk(text, h)
  local _, lines = text:gsub("\n%u%l+: ", "")
  if lines > 3 and h % 3 == 0 then return answer { { action = "LEAVE", text = "I have to go. Goodbye!" } } end
  local said = pick(LINES, h >> 8)
  for i = 1, #LINES do -- not what was said already
    if not text:find(said, 1, true) then break end
    said = pick(LINES, (h >> 8) + i)
  end
  return answer { { action = "TALK", text = said } }
end

return function(request)
  local text = request.messages[#request.messages].content
  local offers = offered(request.format)
  local h = situation(request, text, offers)
  if request.format and request.format.properties.plan then
    local places = {}
    for name in (text:match "places are: ([^\n]+)%.\n" or "home"):gmatch "[^,]+" do
      places[#places + 1] = name:match "^%s*(.-)%s*$"
    end
    return plan(h, places)
  elseif offers.ACCEPT then
    return answer { h % 5 == 0 and { action = "DECLINE", text = "Not now, I am in a hurry." }
      or { action = "ACCEPT", text = pick(LINES, h >> 8) } }
  elseif offers.TALK then
    return talk(text, h)
  elseif offers.DONE then
    return free(offers, h)
  end -- a reflection, or whatever else: by the simulator's own rules
end
