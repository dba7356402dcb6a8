--- A world as a browser draws it: read from the state of a moment, live or past, and compared with what was shown before.
---
--- A member is shown by these fields of its record, all of which may be missing:
---
---     name, x, y          who, and where: tiles from 1, the top left
---     doing               what it does, in a few words
---     said                { text =, time = (world seconds), to = (a member's id) }: what it said last
---     talk                the id of the conversation that it is in: any text or number
---     goal, or walk       { x =, y = }: where it walks, or what stoke.place keeps of its walk
---     mood, asleep, player   a word; whether it sleeps; whether a person plays it
---
--- A world whose members look otherwise has `view = { member = function(record, id, state) return { x =, y =, ... } end }`.

local json = require "stoke.json"
local data = require "stoke.page.data"

local M = {}

--- Members that are shown, and bytes of their words.
local MEMBERS <const>, WORDS <const>, SAID <const> = 2000, 120, 600
--- Runs of tiles that a spot has on the map.
local RUNS <const> = 500
--- Bytes of the text of a world without members.
local STATE <const> = 20000

local function said_of(said)
  if type(said) == "string" then said = { text = said } end
  if type(said) ~= "table" then return nil end
  local text = data.text(said.text, SAID)
  if not text or text == "" then return nil end
  return { text = text, time = data.number(said.time), to = data.text(said.to, WORDS) }
end

--- Where it walks: as it says, or as stoke.place keeps it in `walk`.
local function goal_of(record, map)
  local goal = record.goal
  if goal == nil and type(record.walk) == "table" then goal = record.walk.to end
  if type(goal) ~= "table" then return nil end
  if goal.spot then
    for _, spot in ipairs(map and map.spots or {}) do
      if spot.name == goal.spot then return { x = spot.x, y = spot.y } end
    end
    return nil
  end
  local x, y = data.number(goal.x), data.number(goal.y)
  return x and y and { x = x, y = y } or nil
end

--- Who has no mark of its own for it, but a place in the conversation, may keep that in a table: its id is what counts.
local function talk_of(talk)
  if type(talk) == "table" then talk = talk.id end
  return data.text(talk, WORDS)
end

local function member_of(record, id, state, view, map)
  if view.member then record = view.member(record, id, state) end
  if type(record) ~= "table" then record = {} end
  return { name = data.text(record.name, WORDS) or tostring(id), x = data.number(record.x), y = data.number(record.y),
    doing = data.text(record.doing, WORDS), said = said_of(record.said), talk = talk_of(record.talk), goal = goal_of(record, map),
    mood = data.text(record.mood, WORDS), asleep = record.asleep and true or nil, player = record.player and true or nil }
end

local function members_of(state, view, map)
  local out, count = {}, 0
  for id, record in next, state.members do
    count = count + 1
    if count <= MEMBERS then out[data.text(id, WORDS) or "?"] = member_of(record, id, state, view, map) end
  end
  return out, count
end

--- Runs of tiles beside each other, a row each: { x, y, how many }.
local function runs_of(tiles)
  local list, runs = {}, json.array()
  for i, tile in ipairs(type(tiles) == "table" and tiles or {}) do list[i] = tile end
  table.sort(list, function(a, b) return a.y < b.y or a.y == b.y and a.x < b.x end)
  local last
  for _, tile in ipairs(list) do
    if last and last[2] == tile.y and last[1] + last[3] == tile.x then
      last[3] = last[3] + 1
    elseif #runs < RUNS then
      last = { tile.x, tile.y, 1 }
      runs[#runs + 1] = last
    end
  end
  return runs
end

--- The data of a place: of the view, else in the state.
local function place_of(state, view)
  local place = view.place
  if type(place) == "table" and type(place.data) == "function" then place = place:data() end
  return place or type(state.ground) == "table" and state.ground.place or nil
end

--- What is shown of a state: the members, else the state itself as text.
---@param state table
---@param view table of the world
---@param map? table what M.map gave
---@return { members?: table<string, table>, count?: integer, text?: string } seen
---
--- Example: `local seen = look.state({ members = { ada = { x = 1, y = 2 } } }, {})`
function M.state(state, view, map)
  if type(state.members) == "table" then
    local members, count = members_of(state, view, map)
    return { members = members, count = count }
  end
  return { text = data.text(json.encode(data.plain(state), { pretty = true }), STATE) }
end

--- The map of a place, of the data that stoke.place gives: map = rows of "#" and ".", spots = { [name] = { x, y, tiles } }.
---@param state table
---@param view table
---@return { width: number, height: number, rows: string[], spots: table[] }|nil map nil: there is none
---
--- Example: `local map = look.map(state, { place = place })`
function M.map(state, view)
  local place = place_of(state, view)
  if type(place) ~= "table" or type(place.map) ~= "table" then return nil end
  local rows, spots = json.array(), json.array()
  for i, row in ipairs(place.map) do rows[i] = data.text(row, 2000) end
  for name, spot in next, place.spots or {} do
    local x, y = data.number(spot.x), data.number(spot.y)
    if x and y then spots[#spots + 1] = { name = data.text(name, WORDS), x = x, y = y, runs = runs_of(spot.tiles) } end
  end
  table.sort(spots, function(a, b) return a.name < b.name end)
  return { width = data.number(place.width), height = data.number(place.height), rows = rows, spots = spots }
end

-- ---- what changed ---------------------------------------------------------------------------------------------------------------

local FIELDS = { "name", "x", "y", "doing", "said", "talk", "goal", "mood", "asleep", "player",
  "thinking" }

local function same(a, b)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  return a.text == b.text and a.time == b.time and a.to == b.to and a.x == b.x and a.y == b.y -- what somebody said, a goal
end

local function change_of(before, now)
  local out
  for i = 1, #FIELDS do
    local name = FIELDS[i]
    if not same(before[name], now[name]) then
      out = out or {}
      local value = now[name]
      if value == nil then value = json.null end
      out[name] = value
    end
  end
  return out
end

--- The fields of members that differ; of one that has gone, null.
---@param before table<string, table>
---@param now table<string, table>
---@return table<string, table>|nil changes nil: none
---
--- Example: `local changes = look.changes(shown.members, seen.members)`
function M.changes(before, now)
  local out
  for id, member in next, now do
    local change = not before[id] and member or before[id] and change_of(before[id], member)
    if change then
      out = out or {}
      out[id] = change
    end
  end
  for id in next, before do
    if now[id] == nil then
      out = out or {}
      out[id] = json.null
    end
  end
  return out
end

return M
