--- Items in the order of their keys, the smallest first; those with equal keys in the order of their `seq`.
---
--- Each key is kept once, its items beside it: ten thousand calls of one program are one key. The keys lie sorted in blocks, so
--- that the first is there to be read, taking it moves nothing, one that comes last is put at the end, and one that comes between
--- is found by halving and moves a few beside it. (A binary heap of 10,000 pays for each one that is taken with a way of 13 steps.)
--- A key whose items have all been removed stays until it comes up, or until such keys are many.
---
---     local s = sorted.new()
---     sorted.push(s, { seq = 1 }, 20)
---     sorted.push(s, { seq = 2 }, 10)
---     sorted.first(s).seq            --> 2
---
--- Keys are integers or floats, not NaN. Items are tables; the field `live` must not be theirs.

local M = {}

local move = table.move

-- Keys of a block; a full one becomes two.
local BLOCK = 128
-- What is left over is swept when it is more than what is used, and than this.
local LITTER = 64

---@class stoke.sorted
---@field blocks stoke.sorted.block[] from `first` to `last`, each with larger keys than the one before
---@field first integer
---@field last integer
---@field entries integer keys in all blocks, some of them without items, or there twice
---@field count integer keys that have items
---@field at table<number, table> key -> its item, or a list of several

---@class stoke.sorted.block: number[] keys from `from` to `to`
---@field from integer
---@field to integer

---@class stoke.sorted.list: table[] items from `first` to `last`, by seq
---@field first integer
---@field last integer
---@field live integer how many of them have not been removed
---@field gone table<table, boolean> those that have

--- Make an empty one.
---@return stoke.sorted
function M.new()
  return { blocks = {}, first = 1, last = 0, entries = 0, count = 0, at = {} }
end

-- ---- keys ----

--- Make a block the last one.
local function append(s, block)
  local first, last = s.first, s.last
  if first > BLOCK and first > last - first then -- the list would wander off
    s.blocks = move(s.blocks, first, last, 1, {})
    first, last = 1, last - first + 1
  end
  last = last + 1
  s.first, s.last, s.blocks[last] = first, last, block
end

--- Of i..j, the first at which the list is above the key, if it is at j.
local function halve(list, i, j, key)
  while i < j do
    local middle = (i + j) // 2
    if list[middle] > key then j = middle else i = middle + 1 end
  end
  return i
end

--- Of a full block, the upper half becomes the next one.
local function split(s, b)
  local block, half = s.blocks[b], BLOCK // 2
  local upper = move(block, half + 1, BLOCK, 1, { from = 1, to = BLOCK - half })
  for i = BLOCK, half + 1, -1 do block[i] = nil end
  block.to = half
  move(s.blocks, b + 1, s.last, b + 2)
  s.blocks[b + 1], s.last = upper, s.last + 1
end

--- Put a key where it belongs, in a block that has a larger one.
local function insert(s, b, key)
  local block = s.blocks[b]
  local from, to = block.from, block.to
  if from == 1 and to == BLOCK then
    split(s, b)
    if block[block.to] <= key then block = s.blocks[b + 1] end
    from, to = block.from, block.to
  end
  local i = halve(block, from, to, key)
  if to < BLOCK then
    move(block, i, to, i + 1)
    block[i], block.to = key, to + 1
  else
    move(block, from, i - 1, from - 1)
    block[i - 1], block.from = key, from - 1
  end
end

local function add(s, key)
  s.entries = s.entries + 1
  local block = s.blocks[s.last]
  if not block then return append(s, { from = 1, to = 1, key }) end
  local to = block.to
  if key >= block[to] then
    if to == BLOCK then return append(s, { from = 1, to = 1, key }) end
    block[to + 1], block.to = key, to + 1
    return
  end
  local i, j, blocks = s.first, s.last, s.blocks
  while i < j do
    local middle = (i + j) // 2
    block = blocks[middle]
    if block[block.to] > key then j = middle else i = middle + 1 end
  end
  insert(s, i, key)
end

--- Drop the keys that have no items.
local function sweep(s)
  local at, seen, blocks = s.at, {}, s.blocks
  local first, last = s.first, s.last
  s.blocks, s.first, s.last, s.entries = {}, 1, 0, 0
  for b = first, last do
    local block = blocks[b]
    for i = block.from, block.to do
      local key = block[i]
      if at[key] and not seen[key] then
        seen[key] = true
        add(s, key)
      end
    end
  end
end

-- ---- items of one key ----

--- Those of a list that have not been removed, in a new one.
local function tidy(list)
  local n, fresh = 0, { first = 1, last = 0, live = list.live, gone = {} }
  for i = list.first, list.last do
    local item = list[i]
    if not list.gone[item] then
      n = n + 1
      fresh[n] = item
    end
  end
  fresh.last = n
  return fresh
end

--- Put one more item into the list of a key: nearly always the last.
local function join(s, list, item, key)
  if not list.live then
    list = { first = 1, last = 1, live = 1, gone = {}, list }
    s.at[key] = list
  elseif list.last > 2 * list.live + LITTER or list.gone[item] then
    list = tidy(list)
    s.at[key] = list
  end
  local i = list.last
  list.last, list.live = i + 1, list.live + 1
  while i >= list.first and list[i].seq > item.seq do
    list[i + 1] = list[i]
    i = i - 1
  end
  list[i + 1] = item
end

--- Add an item.
---@param s stoke.sorted
---@param item table with `seq`; it is not in here
---@param key number
function M.push(s, item, key)
  local found = s.at[key]
  if found then return join(s, found, item, key) end
  if s.entries > 2 * s.count + LITTER then sweep(s) end
  s.at[key], s.count = item, s.count + 1
  add(s, key)
end

--- Remove an item that is in here.
---@param s stoke.sorted
---@param item table
---@param key number the one it was pushed with
function M.remove(s, item, key)
  local found = s.at[key]
  if found == item or found.live == 1 then
    s.at[key], s.count = nil, s.count - 1
    return
  end
  found.live = found.live - 1
  local first = found.first
  if found[first] == item then
    found[first], found.first = nil, first + 1
  else
    found.gone[item] = true
    if found.last - first > 2 * found.live + LITTER then s.at[key] = tidy(found) end
  end
end

--- The first item of a list; those before it are dropped.
local function first_of(list)
  local first, gone = list.first, list.gone
  local item = list[first]
  while gone[item] do
    list[first], gone[item] = nil, nil
    first = first + 1
    item = list[first]
  end
  list.first = first
  return item
end

--- The first item; it stays.
---@param s stoke.sorted
---@return table|nil item nil: there is none
---@return number|nil key
function M.first(s)
  if s.count == 0 then return nil end
  local at, block = s.at, s.blocks[s.first]
  local from = block.from
  local key = block[from]
  local found = at[key]
  while not found do
    block[from] = nil
    s.entries, from = s.entries - 1, from + 1
    block.from = from
    if from > block.to then
      s.blocks[s.first], s.first = nil, s.first + 1
      block = s.blocks[s.first]
      from = block.from
    end
    key = block[from]
    found = at[key]
  end
  if found.live then return first_of(found), key end
  return found, key
end

--- How many items go before one?
---@param s stoke.sorted
---@param item table in here or not
---@param key number
---@param most integer keys, and then items of its own, that are looked at
---@param see fun(key: number) called with each key that goes before
---@return integer
function M.before(s, item, key, most, see)
  local n, left, last = 0, most, nil
  for b = s.first, s.last do
    local block = s.blocks[b]
    for i = block.from, block.to do
      local here = block[i]
      if here >= key or left == 0 then break end
      local found = here ~= last and s.at[here] -- a key may be there twice: emptied, and then used again
      if found then
        n = n + (found.live or 1)
        see(here)
      end
      last, left = here, left - 1
    end
  end
  local list, seq = s.at[key], item.seq
  if not list then return n end
  if not list.live then return list.seq < seq and n + 1 or n end
  local i = list.first
  left = most
  while left > 0 and i <= list.last and list[i].seq < seq do
    if not list.gone[list[i]] then n = n + 1 end
    i, left = i + 1, left - 1
  end
  return n
end

--- The first items, in their order.
---@param s stoke.sorted
---@param out table[] added to
---@param most integer items that `out` has then, at most
function M.list(s, out, most)
  local last = nil
  for b = s.first, s.last do
    local block = s.blocks[b]
    for i = block.from, block.to do
      if #out >= most then return end
      local found = block[i] ~= last and s.at[block[i]]
      if found and not found.live then
        out[#out + 1] = found
      elseif found then
        for k = found.first, found.last do
          if #out < most and not found.gone[found[k]] then out[#out + 1] = found[k] end
        end
      end
      last = block[i]
    end
  end
end

return M
