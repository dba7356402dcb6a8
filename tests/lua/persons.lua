-- People whose models do whatever the digest of the question says, among what is possible: the same question gets the same answer,
-- in whatever order it comes.
--
--     local brain <close> = persons.brain()
--     local people = persons.town(brain, { memory = false })
--     brain.asked                  -- { kind = "turn"|"day"|"reflect", who =, text =, names = actions that were offered }

local json = require "stoke.json"
local scripted = require "scripted"
local stoke = require "stoke"

local M = {}

M.MAP = [[
#################
#mmm#.......#iii#
#mmm.........iii#
#mmm#.......#iii#
#.......s.......#
#hhh....s....bbb#
#hhh#...s...#bbb#
#################]]
M.SPOTS = { m = "mill", i = "inn", s = "square", h = "house", b = "bakery" }

function M.place() return stoke.place { map = M.MAP, spots = M.SPOTS } end

--- A value of a schema, chosen by numbers.
local function value(shape, pick)
  if shape.enum then return shape.enum[pick(#shape.enum)] end
  if shape.type == "string" then return "words " .. pick(1000) end
  return pick(shape.maximum or 3)
end

local function object(shape, pick)
  local out = {}
  for name, property in pairs(shape.properties) do out[name] = value(property, pick) end
  return out
end

--- A generator of numbers from 1 to n, begun by a text.
local function numbers(text)
  local random = stoke.rand.new(tonumber(json.digest(text):sub(1, 8), 16))
  return function(n) return random:int(1, n) end
end

local function turn(format, pick)
  local forms, list = format.properties.actions.items.anyOf, {}
  for i = 1, pick(2) do list[i] = object(forms[pick(#forms)], pick) end
  return json.encode { actions = list }
end

local function day(format, pick)
  local items, list = format.properties.plan.items, {}
  local forms = items.anyOf or { items }
  for i = 1, 3 + pick(3) do list[i] = object(forms[pick(#forms)], pick) end
  return json.encode { plan = list }
end

local function reflect(format, pick)
  local list = {}
  for i = 1, pick(3) do list[i] = { statement = "insight " .. pick(1000), notes = { pick(2) }, matters = pick(9) } end
  return json.encode(object(format, pick) and { insights = list })
end

--- Who is asked, and what may be done.
local function about(request)
  local format, names = request.format, {}
  local properties = type(format) == "table" and format.properties or {}
  local kind = properties.actions and "turn" or properties.plan and "day" or "reflect"
  if kind == "turn" then
    for i, form in ipairs(properties.actions.items.anyOf) do names[i] = form.properties.action.enum[1] end
  end
  local system, last = request.messages[1].content, request.messages[#request.messages].content
  return { kind = kind, who = system:match "^You are (%w+)" or system:match "^Below", text = last, system = system, names = names,
    request = request }
end

--- A model. `answer` may say something else: a function of what is asked that returns a text, or nil.
---@param answer? fun(asked: table, n: integer): string|table|nil
---@param options? table of stoke.sim
function M.brain(answer, options)
  local brain = { asked = {} }
  local server = scripted(function(request, n)
    if not request.messages then return "ok" end -- asked for one token, whether it is well
    local asked = about(request)
    brain.asked[#brain.asked + 1] = asked
    local given = answer and answer(asked, n)
    if given then return given end
    local pick = numbers(json.encode(request.messages))
    if asked.kind == "turn" then return turn(request.format, pick) end
    return asked.kind == "day" and day(request.format, pick) or reflect(request.format, pick)
  end, options)
  brain.url = server.url
  return setmetatable(brain, { __close = function() getmetatable(server).__close(server) end })
end

--- Three people in a small town.
function M.town(brain, more)
  local given = { place = M.place(), model = scripted.MODEL, endpoint = brain.url,
    { id = "ada", name = "Ada", home = "house", persona = { age = 41, job = "baker", traits = { "kind", "stubborn" } } },
    { id = "bob", name = "Bob", home = "inn", persona = "A smith who likes to argue." },
    { id = "eve", name = "Eve", home = "mill" } }
  for name, one in pairs(more or {}) do given[name] = one end
  return stoke.person.people(given)
end

-- ---- malformed turns ------------------------------------------------------------------------------------------------------------

local WORDS = { "TALK", "REACH_OUT", "GO", "DO", "EAT", "GIVE", "DONE", "THINK", "action", "actions", "text", "to", "Bob", "inn",
  "moon", "calm", "", " ", "\n", "\0", "null", "\u{1F600}", "\xff\xfe", "}", "{", "[", "]", "\"", "'", ":", ",", "```json", "1e999",
  "-0",
  "<think>", "</think>", "true", "\\u0000", "\\ud800", "None", "{{{{", "]]]]", "//", "/*" }

--- A value that has something of a turn.
local function any_value(random, depth)
  local pick = random:int(1, depth > 0 and 10 or 6)
  if pick == 1 then return random:int(-5, 5) end
  if pick == 2 then return random:int(1, 2) == 1 end
  if pick == 3 then return json.null end
  if pick <= 6 then return (WORDS[random:int(1, #WORDS)]:rep(random:int(1, 3)):gsub("[\x80-\xff]", "?")) end
  local out = {}
  if pick <= 8 then
    for i = 1, random:int(0, 20) do out[i] = any_value(random, depth - 1) end
    return json.array(out)
  end
  for _ = 1, random:int(0, 5) do
    out[(WORDS[random:int(1, #WORDS)]:gsub("[\x80-\xff]", "?"))] = any_value(random, depth - 1)
  end
  return json.object(out)
end

local GOOD = { '{"actions": [{"action": "GO", "place": "inn"}, {"action": "THINK", "thought": "I am hungry.", "mood": "glad"}]}',
  '{"actions": [{"action": "TALK", "text": "Good morning, Bob!"}, {"action": "DONE"}]}',
  '{"actions": [{"action": "EAT", "what": "pie", "pieces": 2}, {"action": "REACH_OUT", "to": "Eve", "text": "Have some."}]}',
  '{"actions": [{"action": "ACCEPT", "text": "Yes?"}, {"action": "THINK", "thought": "Who is that?", "mood": "afraid"}]}',
  '{"actions": [{"action": "DECLINE", "text": "I have no time, Bob."}]}' }

--- A text that is a turn, but for a few bytes; or words; or some value.
function M.malformed(random)
  local kind = random:int(1, 4)
  if kind == 1 then return json.encode(any_value(random, 3)) end
  if kind == 2 then
    local parts = {}
    for i = 1, random:int(0, 30) do parts[i] = WORDS[random:int(1, #WORDS)] end
    return table.concat(parts, random:int(1, 2) == 1 and " " or "")
  end
  local text = GOOD[random:int(1, #GOOD)]
  if kind == 3 then return text:sub(1, random:int(0, #text)) end
  for _ = 1, random:int(1, 6) do
    local at = random:int(1, #text)
    text = text:sub(1, at - 1) .. WORDS[random:int(1, #WORDS)] .. text:sub(at + random:int(0, 4))
  end
  return text
end

return M
