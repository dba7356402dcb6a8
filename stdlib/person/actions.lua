--- What a person can do in a turn: the actions that every world has, and a world's own. Which of them are offered, and to whom
--- they may be addressed, depends on the situation, which is plain data; so the grammar of an answer has nothing impossible in it.

local errors = require "core.errors"
local json = require "core.json"
local ordered = require "core.ordered"
local schema = require "stoke.schema"

local M = {}

--- How a person may feel.
M.MOODS = { "calm", "glad", "sad", "angry", "afraid", "tired" }

--- Characters of what is said, thought, done.
local SAID <const>, THOUGHT <const>, DOING <const> = 240, 200, 60

---@class stoke.person.situation plain data: what a person knows when it is asked
---@field kind "free"|"invited"|"talk"
---@field near? { id: string, name: string, doing?: string, talk?: boolean }[] who is near, in the order of ids
---@field others? { id: string, name: string }[] in a conversation: who else is in it
---@field from? string who speaks to it: a name
---@field at? string the spot where it is
---@field places? string[] the spots that there are, sorted

---@class stoke.person.action what a world adds
---@field description string what it does, for the model: a few words
---@field params? table<string, string|table> name -> "near" (somebody near), "place" (a spot), or as in stoke.schema
---@field order? string[] of the parameters
---@field at? string|string[] the spots where it can be done; everywhere when not given
---@field when? fun(situation: stoke.person.situation): boolean? is it offered?
---@field talk? boolean also within a conversation
---@field ends? boolean nothing follows it in a turn
---@field check? fun(member: table, args: table, here: table): boolean?, string? may it be done now? false, and why not
---@field apply fun(member: table, args: table, here: table): string?, string? does it; returns what the person remembers of it,
---  and what those remember who are its "near" parameters

local OPTIONS = { description = "string", params = "table", order = "table", at = true, when = "function", talk = "boolean",
  ends = "boolean", check = "function", apply = "function" }

local function text(most) return { type = "string", minLength = 1, maxLength = most } end
local function one_of(words) return words[1] and { type = "string", enum = json.array(words) } or nil end

local function names(list)
  local out = {}
  for i, one in ipairs(list or {}) do out[i] = one.name end
  return out
end

--- Parameters that depend on the situation.
local ASKED = {
  near = function(situation) return one_of(names(situation.near)) end,
  place = function(situation)
    local places = situation.places or {}
    return one_of(table.move(places, 1, #places, 1, {}))
  end,
  other = function(situation) return one_of(names(situation.others)) end,
}

local function words(...) return { ... } end

--- name -> kinds of situations, parameters in their order { name, what }, once, ends, the text's name of its description
local BUILT_IN = {
  TALK = { kinds = { talk = true }, params = { { "text", text(SAID) } }, once = true },
  REACH_OUT = { kinds = { free = true }, params = { { "to", "near" }, { "text", text(SAID) } }, once = true, ends = true },
  ACCEPT = { kinds = { invited = true }, params = { { "text", text(SAID) } }, once = true, ends = true },
  DECLINE = { kinds = { invited = true }, params = { { "text", text(SAID) } }, once = true, ends = true },
  LEAVE = { kinds = { talk = true }, params = { { "text", text(SAID) } }, once = true, ends = true },
  GO = { kinds = { free = true }, params = { { "place", "place" } }, once = true },
  DO = { kinds = { free = true }, params = { { "activity", text(DOING) } }, once = true },
  THINK = { kinds = { free = true, talk = true },
    params = { { "thought", text(THOUGHT) }, { "mood", one_of(M.MOODS) } } },
  DONE = { kinds = { free = true, talk = true }, params = {}, once = true, ends = true },
}

--- In the order in which they are shown.
local ORDER <const> = words("TALK", "REACH_OUT", "ACCEPT", "DECLINE", "LEAVE", "GO", "DO", "THINK")

local function check_places(where, at)
  if at == nil then return nil end
  local list, set = type(at) == "table" and at or { at }, {}
  errors.list(where .. ".at", list)
  for _, place in ipairs(list) do
    if type(place) ~= "string" then errors.argument("%s.at must be names of spots, got %s", where, errors.describe(place)) end
    set[place] = true
  end
  return set
end

--- The parameters of an own action in their order.
local function own_params(where, given)
  local list, seen, all = {}, {}, given.params or {}
  for name in next, all do
    if type(name) ~= "string" or not name:find "^%l[%l_]*$" or name == "action" then
      errors.argument("%s: a parameter is named by small letters and _ (and not `action`), got %s", where, errors.describe(name))
    end
  end
  local function add(name)
    local what = all[name]
    if what == nil then errors.argument("%s.order names %s, which is no parameter", where, errors.describe(name)) end
    if seen[name] then return end
    seen[name] = true
    if not ASKED[what] then what = schema.fields({ [name] = what }):json_schema().properties[name] end
    list[#list + 1] = { name, what }
  end
  for _, name in ipairs(given.order or {}) do add(name) end
  for _, name in ipairs(ordered.names(all)) do add(name) end
  return list
end

--- The actions of a world: its own beside those of every world.
---@param where string
---@param given table<string, stoke.person.action|false>|nil false: this one is not offered
---@return table<string, table> actions by name
---Raises `argument`.
---
--- Example: `actions.of("town", { EAT = { description = "eat something", at = "inn", apply = eat } })`
function M.of(where, given)
  local all = {}
  for name, action in next, BUILT_IN do all[name] = action end
  for name in next, given or {} do
    if type(name) ~= "string" then
      errors.argument("%s: actions are given by name, { EAT = { ... } }, got the key %s", where, errors.describe(name))
    end
  end
  for _, name in ipairs(ordered.names(given or {})) do
    local place, action = ("%s: actions.%s"):format(where, name), given[name]
    if not name:find "^%u[%u_]*$" then
      errors.argument("%s: the name of an action is capital letters and _, got %s", where, errors.describe(name))
    elseif action == false then
      if name == "DONE" then errors.argument("%s: a person must be able to do nothing", place) end
      all[name] = nil
    elseif BUILT_IN[name] then
      errors.argument("%s: this action is there already; give yours another name, or take it away with false", place)
    else
      errors.options(action, OPTIONS, place)
      if not action.apply then errors.argument("%s: apply is missing", place) end
      if not action.description then errors.argument("%s: description is missing", place) end
      all[name] = { own = action, kinds = { free = true, talk = action.talk or nil }, params = own_params(place, action),
        at = check_places(place, action.at), ends = action.ends, once = true }
    end
  end
  return all
end

--- Can it be done here, but for what its parameters need?
local function offered(action, situation)
  local own = action.own
  if not action.kinds[situation.kind] then return false end
  if action.at and not action.at[situation.at] then return false end
  return not own or not own.when or own.when(situation)
end

--- The JSON Schema of one action here; nil where nothing is there that a parameter needs.
local function shape(name, action, situation)
  local properties, order = { action = { type = "string", enum = json.array { name } } }, { "action" }
  for i, param in ipairs(action.params) do
    local what = param[2]
    if ASKED[what] then what = ASKED[what](situation) end
    if not what then return nil end
    properties[param[1]], order[i + 1] = what, param[1]
  end
  return json.object { type = "object", properties = json.object(properties, order), required = json.array(order),
    additionalProperties = false }
end

---@class stoke.person.offer
---@field names string[] in the order in which they are shown; DONE is the last
---@field shapes table<string, table> JSON Schemas of one action each
---@field schemas table<string, stoke.Schema> the same, made when one is needed
---@field all table<string, table> the actions of the world
---@field shape stoke.Schema of an answer

local Schemas = {}
function Schemas.__index(self, name)
  local one = self[1][name]
  local made = one and schema.json(one)
  self[name] = made
  return made
end

local function make(all, list, situation, most)
  local possible, shapes, forms = {}, {}, {}
  for _, name in ipairs(list) do
    local one = shape(name, all[name], situation)
    if one then possible[#possible + 1], shapes[name], forms[#forms + 1] = name, one, one end
  end
  local list_of = { type = "array", minItems = 1, maxItems = most, items = { anyOf = json.array(forms) } }
  return { names = possible, shapes = shapes, schemas = setmetatable({ shapes }, Schemas), all = all,
    shape = schema.json(json.object { type = "object", required = json.array { "actions" }, additionalProperties = false,
      properties = json.object { actions = list_of } }) }
end

--- What was offered before, by the actions of the world: people are in the same situations again and again.
local known = setmetatable({}, { __mode = "k" })
--- Offers that are kept.
local KEPT <const> = 256

--- The actions that a situation allows.
---@param all table<string, table> as `of` gives them
---@param situation stoke.person.situation
---@param most integer actions of an answer
---@return stoke.person.offer
---
--- Example: `actions.offer(all, { kind = "free", near = {}, places = { "inn" } }, 4).names`
function M.offer(all, situation, most)
  local list = {}
  local function add(name)
    if all[name] and offered(all[name], situation) then list[#list + 1] = name end
  end
  for _, name in ipairs(ORDER) do add(name) end
  for _, name in ipairs(ordered.names(all)) do
    if all[name].own then add(name) end
  end
  add "DONE"
  local key = table.concat({ most, table.concat(list, " "), table.concat(names(situation.near), "\0"),
    table.concat(names(situation.others), "\0"), table.concat(situation.places or {}, "\0") }, "\1")
  local mine = known[all]
  if not mine or mine.count >= KEPT then mine = { count = 0 } end
  known[all] = mine
  local offer = mine[key]
  if not offer then
    offer = make(all, list, situation, most)
    mine[key], mine.count = offer, mine.count + 1
  end
  return offer
end

--- An action with its parameters, as a model reads it. It has no form of JSON with something in the place of a value: small models
--- copy that.
---@param offer stoke.person.offer
---@param name string
---@return string
---
--- Example: `actions.example(offer, "REACH_OUT") --> REACH_OUT (to: Bob or Eve, text)`
function M.example(offer, name)
  local parts = {}
  local properties = offer.shapes[name].properties
  for i, param in ipairs(offer.all[name].params) do
    local choice = {}
    for k, word in ipairs(properties[param[1]].enum or {}) do choice[k] = tostring(word) end
    parts[i] = choice[1] and ("%s: %s"):format(param[1], table.concat(choice, " or ")) or param[1]
  end
  return parts[1] and ("%s (%s)"):format(name, table.concat(parts, ", ")) or name
end

return M
