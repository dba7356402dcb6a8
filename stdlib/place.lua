--- stoke.place: a map of tiles that the members of a world walk on.
---
---     local place = stoke.place { spots = { B = "bakery", S = "square" }, map = [[
---       ##########
---       #BB.#....#
---       #BB...SS.#
---       #...#.SS.#
---       ##########]] }
---     place:go(ada, "square", here.tick)                           -- says where to; in a step:
---     local what = place:step(ada, here)                           -- one tile a tick, never on a wall, never two on one tile
---
--- Tiles are counted from 1, x to the right and y downwards; one is left over its four sides. Who walks is a record with id, x and
--- y, and what its walk is at is plain data in it (`walk`): all functions here depend on what they are given alone, and change the
--- one record, and whom it asks to make way. So a world can replay them, and run those ahead who are far from others.
---
--- Every member's step calls place:step exactly once a tick, also for who stands, after whatever else may change its walk: two who
--- are in each other's way change places by agreement, in one tick.

local errors = require "core.errors"
local ordered = require "core.ordered"
local route = require "stoke.place.route"
local scopes = require "core.scope"
local walk = require "stoke.place.walk"

local M = {}

--- Tiles that a side has at most.
local LONGEST <const> = 1000
--- How far somebody who walks looks for who is in its way: two would do.
local LOOKS <const> = 3

---@class stoke.place.grid
---@field width integer
---@field height integer
---@field stride integer numbers of tiles from a row to the next
---@field moves integer[] what to add for a step to the north, east, south, west
---@field open table<integer, true> tiles that are not blocked
---@field region table<integer, integer> tiles between which there is a way have one number

---@class stoke.place.goal
---@field set table<integer, true> its tiles
---@field x1 integer the box around them
---@field y1 integer
---@field x2 integer
---@field y2 integer

---@class stoke.place.inner
---@field grid stoke.place.grid
---@field goal_of fun(to: table): stoke.place.goal

---@class stoke.place.mover
---@field id string
---@field x integer
---@field y integer
---@field walk? stoke.place.walk

---@class stoke.place.spot
---@field name string
---@field x integer of the tile in its middle
---@field y integer
---@field tiles { x: integer, y: integer }[]

---@class stoke.place
---@field width integer
---@field height integer
---@field inner stoke.place.inner
local Place = {}
Place.__index = Place
Place.__name = "stoke.place"

-- ---- the map ---------------------------------------------------------------------------------------------------------------

--- The rows of a map's text: without empty lines at its ends and the spaces that all lines begin with.
local function rows_of(map)
  if type(map) == "table" then
    errors.list("stoke.place: map", map)
    return map
  end
  if type(map) ~= "string" then
    errors.argument("stoke.place: map must be a text, or a list of rows, got %s", errors.describe(map))
  end
  local rows, indent = {}, math.huge
  for row in (map:gsub("\r", "") .. "\n"):gmatch "([^\n]*)\n" do
    rows[#rows + 1] = row
    if row:find "%S" then indent = math.min(indent, #row:match "^ *") end
  end
  while rows[1] and not rows[1]:find "%S" do table.remove(rows, 1) end
  while rows[#rows] and not rows[#rows]:find "%S" do rows[#rows] = nil end
  for i, row in ipairs(rows) do rows[i] = row:sub(indent + 1) end
  return rows
end

local function check_size(width, height)
  local sides = { width = width, height = height }
  for _, name in ipairs { "width", "height" } do
    local side = sides[name]
    if math.type(side) ~= "integer" or side < 1 or side > LONGEST then
      errors.argument("stoke.place: %s must be a whole number from 1 to %d, got %s", name, LONGEST, errors.describe(side))
    end
  end
end

local function grid_of(width, height)
  local stride = width + 2
  return { width = width, height = height, stride = stride, open = {}, moves = { -stride, 1, stride, -1 } }
end

--- A grid out of the rows, and the tiles of each letter in them.
local function read_map(map)
  local rows = rows_of(map)
  local width = type(rows[1]) == "string" and #rows[1] or 0
  if width == 0 then errors.argument "stoke.place: the map is empty" end
  check_size(width, #rows)
  local grid, letters = grid_of(width, #rows), {}
  for y, row in ipairs(rows) do
    if type(row) ~= "string" or #row ~= width then
      errors.argument("stoke.place: row %d of the map has %s tiles, and row 1 has %d", y, type(row) == "string" and #row or "no",
        width)
    end
    for x = 1, width do
      local mark = row:sub(x, x)
      if mark:find "[%a%d]" then
        letters[mark] = letters[mark] or {}
        table.insert(letters[mark], { x = x, y = y })
      elseif not mark:find "[#. ]" then
        errors.argument("stoke.place: row %d of the map has %q at %d; a tile is # (blocked), . or a space (free), or a letter or "
          .. "digit (free, of a spot)", y, mark, x)
      end
      if mark ~= "#" then grid.open[y * grid.stride + x] = true end
    end
  end
  return grid, letters
end

local function check_tile(grid, tile, what)
  local x, y = tile.x, tile.y
  if math.type(x) ~= "integer" or math.type(y) ~= "integer" or x < 1 or y < 1 or x > grid.width or y > grid.height then
    errors.argument("%s: a tile is { x = 1 to %d, y = 1 to %d }, got { x = %s, y = %s }", what, grid.width, grid.height,
      tostring(x), tostring(y))
  end
end

local function check_open(grid, tile, what)
  check_tile(grid, tile, what)
  if not grid.open[tile.y * grid.stride + tile.x] then
    errors.argument("%s: the tile { x = %d, y = %d } is blocked", what, tile.x, tile.y)
  end
end

local function empty_grid(given)
  check_size(given.width, given.height)
  local grid = grid_of(given.width, given.height)
  for y = 1, grid.height do
    for x = 1, grid.width do grid.open[y * grid.stride + x] = true end
  end
  errors.list("stoke.place: blocked", given.blocked or {})
  for i, tile in ipairs(given.blocked or {}) do
    check_tile(grid, type(tile) == "table" and tile or {}, "stoke.place: blocked " .. i)
    grid.open[tile.y * grid.stride + tile.x] = nil
  end
  return grid
end

-- ---- spots -----------------------------------------------------------------------------------------------------------------

--- A spot: its tiles, and the one of them that is nearest to their middle.
local function spot_of(grid, name, tiles)
  local what = ("stoke.place: spot %s"):format(name)
  errors.list(what, tiles)
  if #tiles == 0 then errors.argument("%s has no tiles", what) end
  local sum_x, sum_y, own = 0, 0, {}
  for i, tile in ipairs(tiles) do
    check_open(grid, type(tile) == "table" and tile or {}, what)
    sum_x, sum_y, own[i] = sum_x + tile.x, sum_y + tile.y, { x = tile.x, y = tile.y }
  end
  local middle, least
  for _, tile in ipairs(own) do
    local off = math.abs(tile.x * #own - sum_x) + math.abs(tile.y * #own - sum_y)
    if not middle or off < least then middle, least = tile, off end
  end
  return { name = name, x = middle.x, y = middle.y, tiles = own, goal = route.goal(grid, own) }
end

local function check_name(name)
  if type(name) ~= "string" or name == "" then
    errors.argument("stoke.place: the name of a spot is a text that is not empty, got %s", errors.describe(name))
  end
end

local function read_spots(grid, letters, given)
  local tiles = {}
  if type(given) ~= "table" then errors.argument("stoke.place: spots must be a table, got %s", errors.describe(given)) end
  for key, value in next, given do
    check_name(key)
    if type(value) == "string" then
      check_name(value)
      if not letters[key] then errors.argument("stoke.place: spots: no tile of the map has the mark %q (%s)", key, value) end
    elseif type(value) ~= "table" then
      errors.argument("stoke.place: spots: %s must be the name of a letter, a tile, or a list of tiles; got %s", key,
        errors.describe(value))
    else
      tiles[key] = value.tiles or value.x and { value } or value
    end
  end
  for _, letter in ipairs(ordered.names(letters)) do
    local name = type(given[letter]) == "string" and given[letter] or letter
    if tiles[name] then errors.argument("stoke.place: spots: there are two with the name %s", name) end
    tiles[name] = letters[letter]
  end
  local spots = {}
  for name, list in next, tiles do spots[name] = spot_of(grid, name, list) end
  return spots
end

--- Draw or describe a map.
---@param given { map?: string|string[], spots?: table, width?: integer, height?: integer, blocked?: { x: integer, y: integer }[] }
---  map: a line a row, all of one length: `#` is blocked, `.` or a space free, a letter or digit free and part of the spot with
---  that name; spots: { B = "bakery" } gives the spot of a letter another name, { bakery = { x = 3, y = 2 } } or a list of tiles
---  makes one without a letter; width, height, blocked: instead of a map
---@return stoke.place
---Raises `argument`: what is wrong with the map, and where.
---
--- Example: `local town = stoke.place { width = 20, height = 10, spots = { well = { x = 10, y = 5 } } }`
function M.new(given)
  given = errors.options(given, { map = true, spots = true, width = true, height = true, blocked = true }, "stoke.place")
  local grid, letters
  if given.map ~= nil then
    if given.blocked then errors.argument "stoke.place: give either a map or blocked tiles" end
    grid, letters = read_map(given.map)
    if (given.width or grid.width) ~= grid.width or (given.height or grid.height) ~= grid.height then
      errors.argument("stoke.place: the map is %d x %d, not %s x %s", grid.width, grid.height,
        tostring(given.width or grid.width), tostring(given.height or grid.height))
    end
  else
    grid, letters = empty_grid(given), {}
  end
  route.regions(grid)
  local spots = read_spots(grid, letters, given.spots or {})
  local inner = { grid = grid, spots = spots }
  function inner.goal_of(to)
    if to.spot then return spots[to.spot].goal end
    return route.goal(grid, { to })
  end
  return setmetatable({ width = grid.width, height = grid.height, inner = inner }, Place)
end

-- ---- questions -------------------------------------------------------------------------------------------------------------

--- A tile or the name of a spot, as walks keep it.
local function goal_data(self, to, what)
  if type(to) == "string" then
    local inner = self.inner
    if not inner.spots[to] then
      local names = ordered.names(inner.spots)
      local near = errors.suggest(to, names)
      errors.argument("%s: there is no spot %q%s", what, to, near and (" (did you mean %s?)"):format(near)
        or #names > 0 and ("; there are " .. table.concat(names, ", ")) or "; the place has none")
    end
    return { spot = to }
  end
  if type(to) ~= "table" then errors.argument("%s: a tile or the name of a spot expected, got %s", what, errors.describe(to)) end
  check_open(self.inner.grid, to, what)
  return { x = to.x, y = to.y }
end

--- A shortest way, or nil where there is none. Of several the same one each time.
---@param from { x: integer, y: integer }
---@param to { x: integer, y: integer }|string a tile, or the name of a spot: then to its nearest tile
---@param options? { avoid?: { x: integer, y: integer }[], most?: integer } avoid: tiles, or members, that are in the way; most:
---  steps at most
---@return { x: integer, y: integer }[]|nil way the tiles after `from`, the goal's last
---Raises `argument`.
---
--- Example: `local way = town:path(ada, "bakery"); print(way and #way)`
function Place:path(from, to, options)
  scopes.check_self(self, Place, "place:path()")
  options = errors.options(options, { avoid = "table", most = "number" }, "place:path")
  local grid = self.inner.grid
  check_open(grid, type(from) == "table" and from or {}, "place:path: from")
  local goal, avoid = self.inner.goal_of(goal_data(self, to, "place:path")), {}
  for i, tile in ipairs(options.avoid or {}) do
    check_tile(grid, type(tile) == "table" and tile or {}, "place:path: avoid " .. i)
    avoid[tile.y * grid.stride + tile.x] = true
  end
  local way = route.find(grid, from.x, from.y, goal, avoid, options.most)
  if not way then return nil end
  local tiles, x, y = {}, from.x, from.y
  for letter in way:gmatch "." do
    x, y = x + route.DX[letter], y + route.DY[letter]
    tiles[#tiles + 1] = { x = x, y = y }
  end
  return tiles
end

--- A spot.
---@param name string
---@return stoke.place.spot spot a copy
---Raises `argument` for a name that no spot has, with what was probably meant.
---
--- Example: `local well = town:spot "well"; print(well.x, well.y)`
function Place:spot(name)
  scopes.check_self(self, Place, "place:spot()")
  if type(name) ~= "string" then errors.argument("place:spot: the name of a spot expected, got %s", errors.describe(name)) end
  goal_data(self, name, "place:spot")
  local spot, tiles = self.inner.spots[name], {}
  for i, tile in ipairs(spot.tiles) do tiles[i] = { x = tile.x, y = tile.y } end
  return { name = name, x = spot.x, y = spot.y, tiles = tiles }
end

--- The names of the spots.
---@return string[] names in their order
---
--- Example: `print(table.concat(town:names(), ", "))`
function Place:names()
  scopes.check_self(self, Place, "place:names()")
  return ordered.names(self.inner.spots)
end

local function check_numbers(what, x, y)
  if type(x) ~= "number" or type(y) ~= "number" then
    errors.argument("%s: the numbers x and y of a tile expected, got %s and %s", what, errors.describe(x), errors.describe(y))
  end
end

--- The spot that a tile is of.
---@param x integer
---@param y integer
---@return string|nil name of several the first by name
---
--- Example: `print(town:at(ada.x, ada.y) or "in the street")`
function Place:at(x, y)
  scopes.check_self(self, Place, "place:at()")
  check_numbers("place:at", x, y)
  local inner = self.inner
  if x < 1 or x > self.width then return nil end
  if not inner.names then -- by tile
    inner.names = {}
    for _, name in ipairs(ordered.names(inner.spots)) do
      for at in next, inner.spots[name].goal.set do
        if not inner.names[at] then inner.names[at] = name end
      end
    end
  end
  return inner.names[y * inner.grid.stride + x]
end

--- Can somebody stand on a tile?
---@param x integer
---@param y integer
---@param others? stoke.place.mover[] who may be on it
---@return boolean free not blocked, not outside of the map, and nobody is on it
---
--- Example: `if town:free(ada.x + 1, ada.y, here:near(ada, 2)) then ada.x = ada.x + 1 end`
function Place:free(x, y, others)
  scopes.check_self(self, Place, "place:free()")
  check_numbers("place:free", x, y)
  local grid = self.inner.grid
  if x < 1 or x > grid.width or not grid.open[y * grid.stride + x] then return false end
  for _, other in ipairs(others or {}) do
    if other.x == x and other.y == y then return false end
  end
  return true
end

--- The nearest tile that is free, by steps.
---@param to { x: integer, y: integer }|string a tile, or a spot: then one of it if it has one
---@param others? stoke.place.mover[] who is where
---@return integer|nil x nil: every tile that can be reached from there is taken
---@return integer|nil y
---Raises `argument`.
---
--- Example: `member.x, member.y = town:nearest("square", others)`
function Place:nearest(to, others)
  scopes.check_self(self, Place, "place:nearest()")
  local grid, goal = self.inner.grid, goal_data(self, to, "place:nearest")
  local queue, seen, taken = {}, {}, {}
  for _, tile in ipairs(goal.spot and self.inner.spots[goal.spot].tiles or { goal }) do
    queue[#queue + 1] = tile.y * grid.stride + tile.x
    seen[queue[#queue]] = true
  end
  for _, other in ipairs(others or {}) do taken[other.y * grid.stride + other.x] = true end
  for _, at in ipairs(queue) do -- it grows
    if not taken[at] then return at % grid.stride, at // grid.stride end
    for d = 1, 4 do
      local next_at = at + grid.moves[d]
      if grid.open[next_at] and not seen[next_at] then
        seen[next_at] = true
        queue[#queue + 1] = next_at
      end
    end
  end
end

--- How far two are from each other, walls left aside: the greater of the distances along x and y, which is what a world goes by.
---@param a { x: integer, y: integer }
---@param b { x: integer, y: integer }
---@return integer tiles
---
--- Example: `if town:distance(ada, ben) <= 2 then here:emit("met", { who = ben.id }) end`
function Place:distance(a, b)
  scopes.check_self(self, Place, "place:distance()")
  for _, one in ipairs { a or false, b or false } do
    if type(one) ~= "table" then errors.argument("place:distance: two tiles expected, got %s", errors.describe(one or nil)) end
    check_numbers("place:distance", one.x, one.y)
  end
  return math.max(math.abs(a.x - b.x), math.abs(a.y - b.y))
end

--- The map as plain data: `stoke.place(data)` is the same place again.
---@return { width: integer, height: integer, map: string[], spots: table<string, { x: integer, y: integer, tiles: table[] }> } data
---  map: a text a row, with # where it is blocked and . where it is not
---
--- Example: `ground.place = town:data()`
function Place:data()
  scopes.check_self(self, Place, "place:data()")
  local rows, spots = {}, {}
  for y = 1, self.height do
    local row = {}
    for x = 1, self.width do row[x] = self:free(x, y) and "." or "#" end
    rows[y] = table.concat(row)
  end
  for name in next, self.inner.spots do
    local spot = self:spot(name)
    spots[name] = { x = spot.x, y = spot.y, tiles = spot.tiles }
  end
  return { width = self.width, height = self.height, map = rows, spots = spots }
end

--- The map as text, with the first letter of each member's name (or id) where it stands.
---@param members? stoke.place.mover[]|table<string, stoke.place.mover>
---@return string text a line a row
---
--- Example: `print(town:text(people))`
function Place:text(members)
  scopes.check_self(self, Place, "place:text()")
  local marks = {}
  for _, member in next, members or {} do
    if type(member) ~= "table" then errors.argument("place:text: members expected, got %s", errors.describe(member)) end
    check_numbers("place:text", member.x, member.y)
    marks[member.y * self.inner.grid.stride + member.x] = tostring(member.name or member.id or "?"):match(utf8.charpattern)
  end
  local rows = {}
  for y = 1, self.height do
    local row = {}
    for x = 1, self.width do
      row[x] = marks[y * self.inner.grid.stride + x] or (self:free(x, y) and "." or "#")
    end
    rows[y] = table.concat(row)
  end
  return table.concat(rows, "\n")
end

-- ---- walking ---------------------------------------------------------------------------------------------------------------

local function check_mover(self, member, what)
  local grid = self.inner.grid
  if type(member) ~= "table" or type(member.id) ~= "string" then
    errors.argument("%s: who walks is a table with id (a text), x and y; got %s", what, errors.describe(member))
  end
  local x, y = member.x, member.y
  if math.type(x) ~= "integer" or math.type(y) ~= "integer" or x < 1 or x > grid.width or not grid.open[y * grid.stride + x] then
    check_open(grid, member, ("%s: %s"):format(what, member.id))
  end
end

local function check_tick(tick, what)
  if math.type(tick) ~= "integer" then errors.argument("%s: the tick expected (here.tick), got %s", what, errors.describe(tick)) end
end

--- Let a member walk: from its next place:step on, until it is there. What it did before is left.
---@param member stoke.place.mover
---@param to { x: integer, y: integer }|string a tile, or a spot: then to the nearest tile of it that is free
---@param tick integer of the world: who has walked for longer is let through
---Raises `argument`: no such spot, a blocked tile.
---
--- Example: `town:go(ada, "bakery", here.tick)`
function Place:go(member, to, tick)
  scopes.check_self(self, Place, "place:go()")
  check_mover(self, member, "place:go")
  check_tick(tick, "place:go")
  member.walk = { to = goal_data(self, to, "place:go"), since = tick, waited = 0, rounds = 0,
    swap = member.walk and member.walk.swap } -- what was agreed with another one holds
end

--- Let a member stand where it is.
---@param member stoke.place.mover
---
--- Example: `town:stop(ada)`
function Place:stop(member)
  scopes.check_self(self, Place, "place:stop()")
  check_mover(self, member, "place:stop")
  local swap = member.walk and member.walk.swap
  member.walk = swap and { swap = swap } or nil
end

--- One tick of a member: it goes on by at most one tile. To be called for every member once a tick, in the order of their steps.
---@param member stoke.place.mover its record is changed; another one's only where it is asked to make way
---@param others stoke.place.mover[]|stoke.world.here those within three tiles or more, without itself; or `here` of a world
---@param tick? integer of the world; not needed with `here`
---@return "stands"|"moved"|"waits"|"arrived"|"near"|"stuck" what near: somebody stands at the goal, and it is beside it; stuck: no
---  way leads there, or nothing has moved for 60 ticks. After arrived, near and stuck the walk is over. Who stands may be moved,
---  too: it made way
---@return string|nil who the id of who is in the way
---Raises `argument`.
---
--- Example: `if town:step(ada, here) == "arrived" then here:think(ada, "turn", {}) end`
function Place:step(member, others, tick)
  if getmetatable(self) ~= Place then scopes.check_self(self, Place, "place:step()") end
  if type(member) == "table" and member.walk == nil then return "stands" end
  check_mover(self, member, "place:step")
  if type(others) ~= "table" then
    errors.argument("place:step: here, or a list of members, expected, got %s", errors.describe(others))
  end
  if others.near then others, tick = others:near(member, LOOKS), tick or others.tick end
  check_tick(tick, "place:step")
  return walk.step(self.inner, member, others, tick)
end

return setmetatable(M, { __call = function(_, ...) return M.new(...) end })
