--- Names for people, from lists: no two alike, drawn by a seed. Small models give everyone the same few.

local errors = require "core.errors"
local fold = require "stoke.reading.fold"
local ordered = require "core.ordered"

local M = {}

local function words(text)
  local list = {}
  for word in text:gmatch "%S+" do list[#list + 1] = word end
  return list
end

local FEMALE = words [[Ada Agnes Aisha Alma Amina Ana Astrid Beatriz Bianca Carmen Chiara Chloe Dalia Daria Edith Elif Elsa Emma
  Esther Fatima Freya Grace Greta Hana Helen Ida Ingrid Irene Iris Jana Joan June Kaja Keiko Laila Lena Lin Lucia Magda Maja
  Mara Mei Mira Nadia Nina Nora Olga Oona Paula Petra Rania Rosa Ruth Sara Selma Sofia Tara Tessa Uma Vera Wanda Yara Zoe]]
local MALE = words [[Adam Ahmed Albert Amir Anton Arjun Arne Basil Ben Bruno Carl Cesar Chen Daniel Dario David Diego Edgar Elias
  Emil Erik Felix Finn Frank George Hamid Hans Hugo Ian Igor Ivan Jakob Jan Joel Jonas Karim Kenji Lars Leo Liam Luca Luis Marco
  Marek Max Milan Nabil Nils Omar Oscar Otto Pablo Paul Pedro Rafael Ravi Samir Simon Stefan Theo Tomas Viktor Walter Yusuf]]
local FAMILY = words [[Abbott Adler Ahlgren Alvarez Bakker Barros Bauer Bell Berg Bianchi Brandt Brooks Castro Chan Clarke Costa
  Cruz Dahl Dubois Egan Farah Fischer Ford Franco Gallo Garcia Grant Gupta Haas Hansen Haddad Hayes Holm Horvat Ito Jansen Jung
  Kaya Keller Khan Kim Kovacs Lang Larsen Lund Malik Marsh Mendes Meyer Moreau Mori Nagy Novak Okafor Olsen Ortega Osei Park
  Patel Pereira Petrov Quinn Reid Reyes Rossi Sato Schmidt Silva Singh Sousa Stone Svensson Tanaka Torres Varga Vidal Vogel
  Wagner Walsh Weber Wood Yilmaz Zeman]]

--- Words of a quota that say which given names fit.
local GIVEN = { f = FEMALE, female = FEMALE, woman = FEMALE, women = FEMALE, girl = FEMALE,
  m = MALE, male = MALE, man = MALE, men = MALE, boy = MALE }

--- Words that a persona has, in the order of their fields.
local function values_of(persona)
  local out = {}
  for _, field in ipairs(ordered.names(persona)) do
    if type(persona[field]) == "string" then out[#out + 1] = persona[field] end
  end
  return out
end

--- Check the names that a script gives: a list of whole names, or lists by a word of a quota.
---@param where string
---@param given table|"model"|nil
---Raises `argument`.
function M.check(where, given)
  if given == nil or given == "model" then return end
  if type(given) ~= "table" or next(given) == nil then
    errors.argument('%s: names must be a list of names, lists by a word of a quota ({ female = { ... } }) or "model", got %s',
      where,
      errors.describe(given))
  end
  local function list(what, names)
    errors.list(what, names)
    for i, name in ipairs(names) do
      if type(name) ~= "string" or not name:find "%S" then
        errors.argument("%s[%d] must be a name, got %s", what, i, errors.describe(name))
      end
    end
  end
  if given[1] ~= nil then return list(where .. ": names", given) end
  for _, word in ipairs(ordered.names(given)) do list(("%s: names.%s"):format(where, tostring(word)), given[word]) end
end

--- The list for one person, of those that a script gives.
local function own_list(given, persona)
  if given[1] ~= nil then return given end
  for _, value in ipairs(values_of(persona)) do
    if given[value] then return given[value] end
  end
end

local function given_list(persona)
  for _, value in ipairs(values_of(persona)) do
    local list = GIVEN[fold.key(value)]
    if list then return list end
  end
end

---@class stoke.population.names
local Names = {}
Names.__index = Names

--- Names that are given once each.
---@param random table a generator of stoke.rand.new
---@param given? table names of the script: they go before those of the lists, in their order
---@return stoke.population.names
function M.new(random, given) return setmetatable({ random = random, given = given, taken = {}, orders = {} }, Names) end

--- Take a name that somebody gives.
---@param name string
---@return boolean taken false: somebody has it
function Names:take(name)
  local key = fold.key(name)
  if key == "" or self.taken[key] then return false end
  self.taken[key] = true
  return true
end

--- The next of the names that a list makes: all pairs in random order, then the same again with a number.
local function next_of(self, first)
  local order = self.orders[first]
  if not order then
    order = { places = self.random:permutation(#first * #FAMILY), at = 0 }
    self.orders[first] = order
  end
  local place, round = order.places[order.at % #order.places + 1] - 1, order.at // #order.places
  order.at = order.at + 1
  local name = first[place // #FAMILY + 1] .. " " .. FAMILY[place % #FAMILY + 1]
  return round == 0 and name or ("%s %d"):format(name, round + 1)
end

--- A name for a person.
---@param persona table<string, any>
---@return string
function Names:draw(persona)
  for _, name in ipairs(self.given and own_list(self.given, persona) or {}) do
    if self:take(name) then return name end
  end
  local first = given_list(persona) or (self.random:int(1, 2) == 1 and FEMALE or MALE)
  while true do
    local name = next_of(self, first)
    if self:take(name) then return name end
  end
end

--- A letter for the beginning of a name that a model gives: without one, small models give everyone the same few names.
---@param random { int: fun(self, low: integer, high: integer): integer }
---@return string
function M.letter(random)
  local letters <const> = "AABBCCDDEEFFGGHHIIJJKKLLMMNNOOPPRRSSTTVVWYZ"
  local at = random:int(1, #letters)
  return letters:sub(at, at)
end

return M
