--- pairs and next of scripts. Lua's own order differs between processes, since each hashes strings with its own seed. Tests and
--- journalled runs must not depend on it, so they get sorted keys: numbers, strings, booleans, then everything else unsorted.
--- Elsewhere this is Lua's own pairs after one test of a flag.

local current = require "host.task".current

local raw_next, raw_pairs, getmetatable = next, pairs, getmetatable

local M = {}

local ordered = false -- everywhere, or in at least one run
local everywhere, runs, pure = false, 0, 0

local function weigh() ordered = everywhere or runs > 0 or pure > 0 end

--- Switch sorted keys on or off for all tasks.
---@param on boolean
function M.switch(on)
  everywhere = on
  weigh()
end

--- Code begins, or has ended, that has to give the same whenever it is run on the same data (lua/pure.lua).
---@param on boolean
function M.pure(on)
  pure = pure + (on and 1 or -1)
  weigh()
end

--- A journalled run begins: its tasks get sorted keys.
function M.enter()
  runs = runs + 1
  weigh()
end

--- A journalled run has ended.
function M.leave()
  runs = runs - 1
  weigh()
end

--- Does the running task belong to a journalled run?
local function in_run()
  if runs == 0 then return false end
  local task = current()
  return task ~= nil and (task.scope or task).context.journal ~= nil
end

local RANK = { number = 1, string = 2, boolean = 3 }

local function before(a, b)
  local rank, other = RANK[type(a)], RANK[type(b)]
  if rank ~= other then return rank < other end
  if rank == 3 then return not a and b end
  return a < b
end

--- The keys of a table in order. What cannot be compared (tables, functions) comes last.
---@param t table
---@return any[] keys, integer count
local function keys_of(t)
  local keys, others, count = {}, {}, 0
  for key in raw_next, t do
    if RANK[type(key)] then
      count = count + 1
      keys[count] = key
    else
      others[#others + 1] = key
    end
  end
  table.sort(keys, before)
  if others[2] and in_run() then
    require "core.errors".argument("pairs: %d keys of the table are objects, which have no order that a journalled run could "
      .. "repeat; walk a list, or a table by names", #others)
  end
  for i = 1, #others do keys[count + i] = others[i] end
  return keys, count + #others
end

--- The string keys of a table, sorted; for messages, and wherever the order matters outside tests too.
---@param t table
---@return string[]
function M.names(t)
  local names = {}
  for key in raw_next, t do
    if type(key) == "string" then names[#names + 1] = key end
  end
  table.sort(names)
  return names
end

--- Like pairs. Visits the keys that exist at the start; skips one that is set to nil during the walk.
function M.pairs(t)
  if not ordered or type(t) ~= "table" or not (everywhere or pure > 0 or in_run()) then return raw_pairs(t) end
  local meta = getmetatable(t)
  if type(meta) == "table" and rawget(meta, "__pairs") ~= nil then return raw_pairs(t) end
  local keys, count = keys_of(t)
  local i = 0
  return function()
    while i < count do
      i = i + 1
      local key = keys[i]
      local value = rawget(t, key)
      if value ~= nil then return key, value end
    end
  end, t, nil
end

-- Walks that `next` has begun: table -> { keys, position of each }.
local walks = setmetatable({}, { __mode = "k" })

--- Like next: visits the keys in the order that was fixed when the walk began.
function M.next(t, key)
  if not ordered or type(t) ~= "table" or not (everywhere or pure > 0 or in_run()) then return raw_next(t, key) end
  local walk = walks[t]
  if key == nil then
    if raw_next(t) == nil then return nil end
    local keys = keys_of(t)
    walk = { keys = keys, at = {} }
    for i = 1, #keys do walk.at[keys[i]] = i end
    walks[t] = walk
  elseif not walk or not walk.at[key] then
    return raw_next(t, key)
  end
  local i = key == nil and 0 or walk.at[key]
  repeat
    i = i + 1
    key = walk.keys[i]
  until key == nil or rawget(t, key) ~= nil
  if key ~= nil then return key, rawget(t, key) end
end

return M
