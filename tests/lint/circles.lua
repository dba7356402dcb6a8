-- Files of host/ that include each other, by way of whichever others. A file and its header are one; so is what a room keeps to
-- itself in NAME_impl.h. The scheduler is one thing in a few files.
local source = require "source"

local ALLOWED = { ["host/loop/op"] = true, ["host/loop/task"] = true, ["host/loop/host"] = true, ["host/loop/timers"] = true,
  ["host/loop/schedule"] = true }

-- The unit of a file: its path without ending; a header of a room's own belongs to who it is named after.
local function unit_of(path)
  return (path:gsub("%.[ch]$", ""):gsub("_impl$", ""))
end

local function includes(path, exists)
  local out = {}
  local text = source.read(path)
  for _, line in source.lines(source.code(path, text, true)) do
    local header = line:match '^%s*#%s*include%s*"([^"]+)"'
    if header then
      local own = path:match "^(.*/)" .. header
      out[#out + 1] = exists[own] and own or exists["host/" .. header] and "host/" .. header or nil
    end
  end
  return out
end

local function graph()
  local exists, edges = {}, {}
  for _, path in ipairs(source.files({ "host" }, { "c", "h" })) do exists[path] = true end
  for path in pairs(exists) do
    local from = unit_of(path)
    edges[from] = edges[from] or {}
    for _, header in ipairs(includes(path, exists)) do
      local to = unit_of(header)
      if to ~= from then edges[from][to] = true end
    end
  end
  return edges
end

-- Whether a way leads from one unit to another.
local function leads(edges, from, to, seen)
  for next_one in pairs(edges[from] or {}) do
    if next_one == to then return true end
    if not seen[next_one] then
      seen[next_one] = true
      if leads(edges, next_one, to, seen) then return true end
    end
  end
  return false
end

local edges

return {
  name = "circles",
  folders = { "host" },
  endings = { "c" },
  check = function(path, _, report)
    edges = edges or graph()
    local unit = unit_of(path)
    for other in pairs(edges[unit] or {}) do
      if not (ALLOWED[unit] and ALLOWED[other]) and leads(edges, other, unit, {}) then
        report(path, 1, ("includes %s, which includes it in turn"):format(other),
               "let the lower one take a callback, or move what both need")
      end
    end
  end,
}
