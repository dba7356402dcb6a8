--- A turn: what a model answered, read into legal actions. Whatever the text is, the result is a list of actions that the situation
--- allows, and a list of what was wrong with the rest, in words that the model can be told.

local fold = require "stoke.reading.fold"
local errors = require "core.errors"
local engine = require "core.json"
local repair = require "stoke.reading.repair"
local text = require "core.text"

local M = {}

--- Actions of a turn at most, whatever a definition or a model says.
M.MOST = 15
--- Things that are told to be wrong at most, and bytes of each.
M.PROBLEMS = 5
local SHOWN <const> = 160
--- Bytes of an answer that are looked at.
local READ <const> = 65536

---@class stoke.person.turn
---@field actions table[] { action = "TALK", text = "..." } each, as the situation allows
---@field problems string[] what was wrong, for the model

local function problem(turn, form, ...)
  local said = turn.problems
  local message = text.printable(form:format(...), SHOWN)
  for _, known in ipairs(said) do
    if known == message then return end
  end
  if #said < M.PROBLEMS then said[#said + 1] = message end
end

--- The name of an action that a word stands for.
local function name_of(offer, word)
  if type(word) ~= "string" then return nil end
  if offer.shapes[word] then return word end
  local key = fold.key(word)
  for _, name in ipairs(offer.names) do
    if fold.key(name) == key then return name end
  end
end

--- What is not offered, in words.
local function unknown(turn, offer, word)
  local given = type(word) == "string" and text.printable(word, 40) or errors.describe(word)
  local listed = table.concat(offer.names, ", ")
  if type(word) == "string" and offer.all[word] then
    return problem(turn, "%s cannot be done now. You can: %s", given, listed)
  end
  local near = type(word) == "string" and #word <= 40 and errors.suggest(word:upper(), offer.names)
  problem(turn, "there is no action %s%s. You can: %s", given, near and (" (did you mean %s?)"):format(near) or "", listed)
end

--- One action: { "TALK": { "text": ... } } and { "TALK": "..." } are read as they were meant.
local function unwrapped(offer, entry)
  if entry.action ~= nil then return entry end
  local key, value = next(entry)
  local name = key ~= nil and next(entry, key) == nil and name_of(offer, key)
  if not name then return entry end
  local made, params = { action = name }, offer.all[name].params
  if type(value) == "table" then
    for field, one in next, value do made[field] = one end
  elseif params[1] then
    made[params[1][1]] = value
  end
  return made
end

--- What may be in a list of actions, made a list.
local function entries(value)
  if type(value) ~= "table" then return nil end
  if value.actions ~= nil then
    value = value.actions
    if type(value) ~= "table" then return nil end
  end
  if value[1] == nil and next(value) ~= nil then return { value } end
  return value
end

local function decoded(answer)
  if type(answer) ~= "string" then return answer end
  if #answer > READ then answer = text.head(answer, READ) end
  local value, broken = engine.decode(answer)
  if not broken then return value end
  return (repair.repair(text.valid(answer)))
end

--- Texts within an action without blanks around them; one of nothing but signs ("...") is none.
local function trimmed(action)
  for name, value in next, action do
    if type(value) == "string" then
      value = text.trim(text.clean(text.valid(value)))
      action[name] = value
      if not value:find "[%w\x80-\xff]" then return name end
    end
  end
end

--- One action made to fit; nil and what is wrong.
local function fitted(schema, entry)
  local checked, err = schema:try(entry)
  if not checked then
    local coerced = schema:coerce(entry)
    local again = schema:try(coerced)
    if not again then return nil, err.message end
    checked = again
  end
  local out = {}
  for name, value in next, checked do out[name] = value end
  local empty = trimmed(out)
  if empty then return nil, empty .. " is empty" end
  return out
end

local function same(x, y)
  for name, value in next, x do
    if y[name] ~= value and (type(value) ~= "string" or type(y[name]) ~= "string" or fold.key(value) ~= fold.key(y[name])) then
      return false
    end
  end
  return true
end

--- Was this said already by the same person? Models that repeat themselves go on doing so until they are told.
local function said_before(action, said)
  if type(action.text) ~= "string" then return false end
  local key = fold.key(action.text)
  for _, line in ipairs(said or {}) do
    if fold.key(line) == key then return true end
  end
  return false
end

--- One entry of the list; true where the turn ends with it.
local function take(turn, offer, entry, said)
  if type(entry) == "string" then entry = { action = entry } end
  if type(entry) ~= "table" then return problem(turn, "an action must be an object, not %s", errors.describe(entry)) end
  entry = unwrapped(offer, entry)
  local name = name_of(offer, entry.action)
  if not name then return unknown(turn, offer, entry.action) end
  local given = {}
  for key, value in next, entry do given[key] = value end
  given.action = name
  local action, wrong = fitted(offer.schemas[name], given)
  if not action then return problem(turn, "%s: %s", name, wrong) end
  for _, other in ipairs(turn.actions) do
    if same(action, other) then return problem(turn, "%s: that is the same twice", name) end
    if other.action == name and offer.all[name].once then return problem(turn, "%s: once in a turn", name) end
  end
  if said_before(action, said) then return problem(turn, "%s: you have said that already; say something else", name) end
  turn.actions[#turn.actions + 1] = action
  return offer.all[name].ends
end

--- Read an answer.
---@param answer any a text, or what JSON of it gave
---@param offer stoke.person.offer
---@param o? { most?: integer, said?: string[] } most: actions, 15 at most; said: what the person said last, not to be repeated
---@return stoke.person.turn turn
---
--- Example: `local turn = turns.read('{"actions": [{"action": "TALK", "text": "Hello"}]}', offer)`
function M.read(answer, offer, o)
  local turn = { actions = {}, problems = {} }
  local list = entries(decoded(answer))
  if not list then
    problem(turn, "that is no JSON with a list of actions")
    return turn
  end
  local most = math.min(o and o.most or M.MOST, M.MOST)
  for i, entry in ipairs(list) do
    if i > most then
      problem(turn, "at most %d actions in a turn", most)
      break
    end
    if take(turn, offer, entry, o and o.said) then
      local rest = list[i + 1]
      if rest ~= nil and not (type(rest) == "table" and name_of(offer, rest.action) == "DONE") then
        problem(turn, "nothing comes after %s", turn.actions[#turn.actions].action)
      end
      break
    end
  end
  if not turn.actions[1] and not turn.problems[1] then problem(turn, "there is no action in it") end
  return turn
end

return M
