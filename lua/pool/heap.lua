--- A priority queue: the smallest key first, items with equal keys in the order of their `seq`. An item is removed by its key.
---
--- The heap holds each key once; the items of a key are beside it. So ten thousand calls of one program are one key, comparisons
--- are of plain numbers in one list, and no item is touched on the way (ten thousand are more than the near caches hold). A key
--- whose items have all been removed stays until it comes up, or until such keys are many: a removal moves nothing.
---
---     local h = heap.new()
---     heap.push(h, { seq = 1 }, 20)
---     heap.push(h, { seq = 2 }, 10)
---     heap.first(h).seq              --> 2
---
--- Keys are integers or floats, not NaN. Items are tables; the field `live` must not be theirs.

local M = {}

-- Keys without items are swept when they are more than the others, and than this many more.
local LITTER = 64

---@class stoke.heap
---@field keys number[] a binary heap
---@field entries integer how many
---@field count integer keys that have items
---@field at table<number, table> key -> its item, or a list of several
---@class stoke.heap.list: table[] items from `first` to `last`, by seq
---@field first integer
---@field last integer
---@field live integer how many of them have not been removed
---@field gone table<table, boolean> those that have

--- Make an empty one.
---@return stoke.heap
function M.new()
  return { keys = {}, entries = 0, count = 0, at = {} }
end

--- Fill the hole at `top`. It goes down to a leaf first, along the smaller children, and the key rises from there: what fills a
--- hole comes from the end, and nearly always belongs near it. That is half the comparisons.
local function settle(keys, entries, top, key)
  local i, child = top, top << 1
  while child < entries do
    local small, beside = keys[child], keys[child + 1]
    if beside < small then child, small = child + 1, beside end
    keys[i] = small
    i, child = child, child << 1
  end
  if child == entries then
    keys[i] = keys[child]
    i = child
  end
  while i > top do
    local parent = i >> 1
    local above = keys[parent]
    if above <= key then break end
    keys[i] = above
    i = parent
  end
  keys[i] = key
end

--- Drop the keys that have no items.
local function sweep(h)
  local keys, kept, seen = h.keys, 0, {}
  for i = 1, h.entries do
    local key = keys[i]
    keys[i] = nil
    if h.at[key] and not seen[key] then
      seen[key] = true
      kept = kept + 1
      keys[kept] = key
    end
  end
  h.entries = kept
  for i = kept >> 1, 1, -1 do settle(keys, kept, i, keys[i]) end
end

local function push_key(h, key)
  h.count = h.count + 1
  if h.entries > 2 * h.count + LITTER then sweep(h) end
  local keys, i = h.keys, h.entries + 1
  h.entries = i
  while i > 1 do
    local parent = i >> 1
    local above = keys[parent]
    if above <= key then break end
    keys[i] = above
    i = parent
  end
  keys[i] = key
end

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
local function join(h, list, item, key)
  if not list.live then
    list = { first = 1, last = 1, live = 1, gone = {}, list }
    h.at[key] = list
  elseif list.last > 2 * list.live + LITTER or list.gone[item] then
    list = tidy(list)
    h.at[key] = list
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
---@param h stoke.heap
---@param item table with `seq`; it is not in this heap
---@param key number
function M.push(h, item, key)
  local found = h.at[key]
  if found then return join(h, found, item, key) end
  h.at[key] = item
  push_key(h, key)
end

--- Remove an item that is in the heap.
---@param h stoke.heap
---@param item table
---@param key number the one it was pushed with
function M.remove(h, item, key)
  local found = h.at[key]
  if found == item or found.live == 1 then
    h.at[key], h.count = nil, h.count - 1
    if h.count > 0 then return end -- the keys of an empty heap are worth nothing
    for i = h.entries, 1, -1 do h.keys[i] = nil end
    h.entries = 0
    return
  end
  found.live = found.live - 1
  local first = found.first
  if found[first] == item then
    found[first], found.first = nil, first + 1
  else
    found.gone[item] = true
    if found.last - first > 2 * found.live + LITTER then h.at[key] = tidy(found) end
  end
end

--- The first item; it stays.
---@param h stoke.heap
---@return table|nil item nil: it is empty
---@return number|nil key
function M.first(h)
  if h.count == 0 then return nil end
  local keys, at = h.keys, h.at
  local key = keys[1]
  local found = at[key]
  while not found do
    local entries = h.entries
    local last = keys[entries]
    keys[entries], entries = nil, entries - 1
    h.entries = entries
    settle(keys, entries, 1, last)
    key = keys[1]
    found = at[key]
  end
  if not found.live then return found, key end
  local first, gone = found.first, found.gone
  local item = found[first]
  while gone[item] do
    found[first], gone[item] = nil, nil
    first = first + 1
    item = found[first]
  end
  found.first = first
  return item, key
end

--- Count the items from entry i down that go before a key. (A key may be there twice: emptied, and then used again.)
local function count_before(h, key, i, seen)
  local here = h.keys[i]
  if seen.left == 0 or not here or here >= key then return 0 end
  seen.left = seen.left - 1
  local found, n = h.at[here], 0
  if found and not seen[here] then
    seen[here], n = true, found.live or 1
    seen.see(here)
  end
  n = n + count_before(h, key, 2 * i, seen)
  return n + count_before(h, key, 2 * i + 1, seen)
end

--- How many items go before one? Children are never smaller than their parent, so only what comes before it is looked at, and what
--- is right behind.
---@param h stoke.heap
---@param item table in this heap
---@param key number
---@param most integer keys that are looked at
---@param see fun(key: number) called with each key that goes before
---@return integer
function M.before(h, item, key, most, see)
  local n, list = count_before(h, key, 1, { left = most, see = see }), h.at[key]
  if not list.live then return n end
  local i, left = list.first, most
  while left > 0 and list[i] ~= item do
    if not list.gone[list[i]] then n = n + 1 end
    i, left = i + 1, left - 1
  end
  return n
end

return M
