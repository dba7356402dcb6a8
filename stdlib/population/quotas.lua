--- Quotas, as they are given, turned into one table of words for each person: exactly so many of each.
---
--- Each attribute gets whole numbers of people by the method of the largest remainder. Then one attribute after the other is laid
--- over the cells there are, by controlled rounding: the totals stay exact, and each cell has the number of people that is expected
--- of it, rounded up or down.

local errors = require "core.errors"
local ordered = require "core.ordered"
local rounding = require "stoke.population.rounding"

local M = {}

--- People at most.
M.MOST = 10000
--- Fields of a person that no quota and no relation is named after.
M.RESERVED = { id = true, name = true, text = true, file = true }
--- Words of an attribute at most.
local WORDS <const> = 500
--- Sums that are this near to 1, 100 or the size are it: shares such as 1/3 are never exact.
local NEAR <const> = 1e-6

local function check_share(what, share)
  if type(share) ~= "number" or share ~= share or share < 0 or share == math.huge then
    errors.argument("%s must be a share of at least 0, got %s", what, errors.describe(share))
  end
  return share
end

--- Shares add up to 1, to 100 (per cent), or to the people there are.
local function check_sum(what, sum, size)
  for _, whole in ipairs { 1, 100, size } do
    if math.abs(sum - whole) <= NEAR * whole then return end
  end
  errors.argument("%s add up to %.6g; they must add up to 1, to 100 (per cent) or to the size, %d (people)", what, sum, size)
end

--- Keys that are no texts would be passed over.
local function check_keys(what, map)
  for key in next, map do
    if type(key) ~= "string" then errors.argument("%s has the key %s; its keys are texts", what, errors.describe(key)) end
  end
end

local function check_word(what, word)
  if type(word) ~= "string" or not word:find "%S" or #word > 100 then
    errors.argument("%s: a word of a quota must be a text of at most 100 bytes, got %s", what, errors.describe(word))
  end
  M.range(what, word)
end

--- The ends of a word that is a range of whole numbers: "18-34".
---@param what string
---@param word string
---@return integer|nil low nil: it is no range
---@return integer|nil high
---Raises `argument` for a range without a number in it.
---
--- Example: `local low, high = quotas.range("quotas.age", "18-34")`
function M.range(what, word)
  local low, high = word:match "^%s*(%d+)%s*%-%s*(%d+)%s*$"
  if not low then low, high = word:match "^%s*(%d+)%s*\u{2013}%s*(%d+)%s*$" end
  if not low then return nil end
  local from, to = math.tointeger(low), math.tointeger(high)
  if from and to and from <= to then return from, to end
  errors.raise("argument", ("%s: the range %q has no whole number in it"):format(what, word),
    { hint = from and to and ("%s-%s; or, where it is a word and no range, %s to %s"):format(high, low, low, high)
      or "its ends may have 18 digits" })
end

--- One attribute: its words in order, and their shares.
local function attribute(where, name, given, size)
  local what = ("%s: quotas.%s"):format(where, tostring(name))
  if type(name) ~= "string" or not name:find "^%a[%w_ -]*$" or #name > 60 then
    errors.argument("%s: the name of an attribute is letters, digits, blanks, _ and -, got %s", where, errors.describe(name))
  end
  if M.RESERVED[name] then errors.argument("%s: %s is a field with a meaning of its own; take another word", what, name) end
  if type(given) ~= "table" or next(given) == nil then
    errors.argument("%s must be shares by word, such as { female = 0.5, male = 0.5 }, got %s", what, errors.describe(given))
  end
  check_keys(what, given)
  local words, shares, sum = ordered.names(given), {}, 0
  for _, word in ipairs(words) do
    check_word(what, word)
    sum = sum + check_share(("%s[%q]"):format(what, word), given[word])
  end
  if #words > WORDS then errors.argument("%s has %d words, %d at most", what, #words, WORDS) end
  check_sum(what .. ": the shares", sum, size)
  for i, word in ipairs(words) do shares[i] = given[word] end
  return { name = name, words = words, shares = shares }
end

local function key_of(names, cell)
  local parts = {}
  for i, name in ipairs(names) do parts[i] = cell[name] end
  return table.concat(parts, "\0")
end

--- The attributes that the cells of a joint table are about: those of its first cell.
local function joint_names(where, cells)
  errors.list(where .. ": joint", cells)
  if type(cells[1]) ~= "table" then
    errors.argument("%s: joint must be a list of cells such as { gender = \"female\", age = \"18-29\", share = 0.1 }", where)
  end
  local names = {}
  for _, name in ipairs(ordered.names(cells[1])) do
    if name ~= "share" then names[#names + 1] = name end
  end
  if not names[1] then errors.argument("%s: joint[1] names no attribute", where) end
  return names
end

--- The joint table, checked: the names of its attributes, and its cells in order.
local function joint_of(where, cells, size)
  if cells == nil then return nil end
  local names, seen, out, sum = joint_names(where, cells), {}, {}, 0
  for i, cell in ipairs(cells) do
    local what = ("%s: joint[%d]"):format(where, i)
    if type(cell) ~= "table" then errors.argument("%s must be a table, got %s", what, errors.describe(cell)) end
    for _, name in ipairs(names) do check_word(("%s.%s"):format(what, tostring(name)), cell[name]) end
    for _, name in ipairs(ordered.names(cell)) do
      if name ~= "share" and cells[1][name] == nil then
        errors.argument("%s has the attribute %s, which joint[1] has not: each cell names the same", what, tostring(name))
      end
    end
    sum = sum + check_share(what .. ".share", cell.share)
    local key = key_of(names, cell)
    if seen[key] then errors.argument("%s is the same cell as joint[%d]", what, seen[key]) end
    seen[key], out[i] = i, cell
  end
  check_sum(where .. ": the shares of joint", sum, size)
  return { names = names, cells = out, sum = sum }
end

--- The attributes of the joint table that have no quota: their shares are those of its cells.
local function complete(where, attributes, joint, size)
  for _, name in ipairs(joint.names) do
    local totals = {}
    for _, cell in ipairs(joint.cells) do totals[cell[name]] = (totals[cell[name]] or 0) + cell.share / joint.sum end
    local known = attributes[name]
    if not known then
      attributes[name] = attribute(where, name, totals, size)
    else
      for _, word in ipairs(known.words) do totals[word] = nil end
      local more = ordered.names(totals)[1]
      if more then errors.argument("%s: joint has the word %q of %s, which quotas.%s has not", where, more, name, name) end
    end
  end
end

--- What of the joint table is in reach of a cell, by the words of one attribute.
local function weights(joint, attribute_, cell, known)
  local by_word = {}
  for _, one in ipairs(joint.cells) do
    local fits = true
    for _, name in ipairs(joint.names) do
      if known[name] and one[name] ~= cell.words[name] then fits = false break end
    end
    if fits then by_word[one[attribute_.name]] = (by_word[one[attribute_.name]] or 0) + one.share end
  end
  local out = {}
  for k, word in ipairs(attribute_.words) do out[k] = by_word[word] or 0 end
  return out
end

local function contradiction(where, attribute_, kind, at, cells)
  if kind == "column" then
    errors.argument("%s: quotas and joint contradict each other: with the zeros of joint there cannot be that many with %s = %q",
      where, attribute_.name, attribute_.words[at])
  end
  local words = {}
  for i, name in ipairs(ordered.names(cells[at].words)) do words[i] = ("%s = %q"):format(name, cells[at].words[name]) end
  errors.argument("%s: quotas and joint contradict each other: joint leaves no %s for the people with %s", where, attribute_.name,
    table.concat(words, ", "))
end

--- Lay one more attribute over the cells: { words = by attribute, count } each.
local function lay(where, cells, attribute_, size, joint, known, random)
  local counts = rounding.largest_remainder(attribute_.shares, size)
  local expected, rows, bound = {}, {}, false
  for _, name in ipairs(joint and joint.names or {}) do bound = bound or name == attribute_.name end
  for i, cell in ipairs(cells) do
    rows[i] = cell.count
    if bound then
      expected[i] = weights(joint, attribute_, cell, known)
    else
      expected[i] = {}
      for k, count in ipairs(counts) do expected[i][k] = cell.count * count / size end
    end
  end
  if bound then
    local fitted, kind, at = rounding.raked(expected, rows, counts)
    if not fitted then contradiction(where, attribute_, kind, at, cells) end
  end
  local whole, out = rounding.rounded(expected, random), {}
  for i, cell in ipairs(cells) do
    for k, word in ipairs(attribute_.words) do
      if whole[i][k] > 0 then
        local words = { [attribute_.name] = word }
        for name, value in next, cell.words do words[name] = value end
        out[#out + 1] = { words = words, count = whole[i][k] }
      end
    end
  end
  return out
end

--- Where no attribute of a joint table has a quota of its own, its cells are what is exact.
local function cells_of(joint, size)
  local shares, out = {}, {}
  for i, cell in ipairs(joint.cells) do shares[i] = cell.share end
  for i, count in ipairs(rounding.largest_remainder(shares, size)) do
    if count > 0 then
      local words = {}
      for _, name in ipairs(joint.names) do words[name] = joint.cells[i][name] end
      out[#out + 1] = { words = words, count = count }
    end
  end
  return out
end

--- Turn quotas into one table of words a person, in random order.
---@param where string
---@param size integer
---@param quotas table<string, table<string, number>>
---@param joint table[]|nil
---@param random table a generator of stoke.rand.new
---@return table<string, string>[] people
---@return string[] names of the attributes, sorted
---@return table<string, string[]> words of each attribute, sorted, also those that nobody got
---Raises `argument`.
function M.draw(where, size, quotas, joint, random)
  local attributes, known = {}, {}
  check_keys(where .. ": quotas", quotas)
  for _, name in ipairs(ordered.names(quotas)) do attributes[name] = attribute(where, name, quotas[name], size) end
  joint = joint_of(where, joint, size)
  local cells, first = { { words = {}, count = size } }, {}
  if joint then
    local free = true
    for _, name in ipairs(joint.names) do free = free and attributes[name] == nil end
    complete(where, attributes, joint, size)
    if free then
      cells = cells_of(joint, size)
      for _, name in ipairs(joint.names) do known[name] = true end
    end
    first = joint.names
  end
  local names = ordered.names(attributes)
  for _, list in ipairs { first, names } do -- those of the joint table first: the others do not depend on them
    for _, name in ipairs(list) do
      if not known[name] then
        cells = lay(where, cells, attributes[name], size, joint, known, random)
        known[name] = true
      end
    end
  end
  local people, out, words = {}, {}, {}
  for _, name in ipairs(names) do words[name] = attributes[name].words end
  for _, cell in ipairs(cells) do
    for _ = 1, cell.count do people[#people + 1] = cell.words end
  end
  for i, place in ipairs(random:permutation(size)) do out[i] = people[place] end
  return out, names, words
end

return M
