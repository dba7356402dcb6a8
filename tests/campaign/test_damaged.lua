-- Files that are damaged: one clear error, or the run goes on rightly; never a crash, a hang, or a wrong result that is said to be
-- right. What a damaged write-ahead log has at its end SQLite takes for a commit that was cut off: that is lost, and done again.

local test = require "stoke.test"
local engine = require "host.store"
local errors = require "core.errors"
local fs = require "stoke.fs"
local inside = require "inside"
local json = require "stoke.json"
local numbers = require "lives".numbers
local stoke = require "stoke"
local stores = require "core.store"

local MUTATIONS <const> = inside.many("MUTATIONS", 2000)
local SEED <const> = tonumber(os.getenv "SEED" or "") or 1

local function read(path) return fs.stat(path) and fs.read(path) or "" end

local function copy(list)
  local out = {}
  for key, value in next, list do out[key] = value end
  return out
end

-- A run in its middle: its files as they are when the power goes, and what the world knows.
local function middle(root, cut, copied)
  local path = ("%s/middle%d%s.db"):format(root, cut, copied and "c" or "")
  local world <close> = inside.new(path)
  engine.fault { cut = cut }
  world:live "r"
  world:next_life()
  if copied then errors.check(stores.open(path)):close() end -- the log's pages are in the file then
  return { db = read(path), wal = read(path .. "-wal"), paid = world.paid, made = world.made, behind = world.behind }
end

-- The same run at its end.
local function ended(root)
  local path = root .. "/ended.db"
  local world <close> = inside.new(path)
  local result = world:live "r"
  world:next_life()
  return { db = read(path), wal = "", paid = world.paid, made = world.made, behind = world.behind }, json.encode(result)
end

local KINDS = {
  flip = function(bytes, random)
    local at = random(#bytes)
    return bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ 1 << random(8) - 1) .. bytes:sub(at + 1)
  end,
  byte = function(bytes, random)
    local at = random(#bytes)
    return bytes:sub(1, at - 1) .. string.char(random(256) - 1) .. bytes:sub(at + 1)
  end,
  short = function(bytes, random) return bytes:sub(1, random(#bytes) - 1) end,
  page = function(bytes, random)
    local at = (random(math.max(1, #bytes // 4096)) - 1) * 4096
    return bytes:sub(1, at) .. ("\0"):rep(math.min(4096, #bytes - at)) .. bytes:sub(at + 4097)
  end,
  stretch = function(bytes, random)
    local at, n = random(#bytes), random(64)
    local noise = {}
    for i = 1, math.min(n, #bytes - at + 1) do noise[i] = string.char(random(256) - 1) end
    return bytes:sub(1, at - 1) .. table.concat(noise) .. bytes:sub(at + #noise)
  end,
  swap = function(bytes, random) -- two pages in each other's place
    local pages = #bytes // 4096
    if pages < 3 then return bytes end
    local a, b = random(pages) - 1, random(pages) - 1
    if a > b then a, b = b, a end
    if a == b then return bytes end
    local first, second = bytes:sub(a * 4096 + 1, a * 4096 + 4096), bytes:sub(b * 4096 + 1, b * 4096 + 4096)
    return bytes:sub(1, a * 4096) .. second .. bytes:sub(a * 4096 + 4097, b * 4096) .. first .. bytes:sub(b * 4096 + 4097)
  end,
}
-- A digit or letter of a text becomes another one: nothing that SQLite could see.
function KINDS.text(bytes, random)
  local from = random(#bytes)
  local at = bytes:find("[%w ][%w ][%w ][%w ]", from) or bytes:find "[%w ][%w ][%w ][%w ]"
  if not at then return bytes end
  return bytes:sub(1, at) .. string.char(bytes:byte(at + 1) ~ 1) .. bytes:sub(at + 2)
end

local NAMES = { "text", "text", "flip", "byte", "flip", "short", "page", "stretch", "swap", "byte" }

-- An error that says what is wrong: of a kind that speaks of the store or of the run.
local GOOD = { db = true, parked = true, in_doubt = true, replay = true, limit = true, argument = true, script = true }

-- One damaged file. Returns what came of it: "right", "error", or the name of what must not be, with words.
local function judge(root, n, base, usual, random)
  local path = ("%s/%d.db"):format(root, n)
  local kind = NAMES[random(#NAMES)]
  local wal = base.wal ~= "" and random() < 0.4
  local bytes = KINDS[kind](wal and base.wal or base.db, random)
  fs.write(path, wal and base.db or bytes)
  if base.wal ~= "" then fs.write(path .. "-wal", wal and bytes or base.wal) end
  local world <close> = inside.new(path)
  world.paid, world.made, world.behind = copy(base.paid), copy(base.made), copy(base.behind)
  local what = ("%s in the %s"):format(kind, wal and "log" or "file")
  local ok, result, err = pcall(world.finish, world, "r")
  if not ok then result, err = nil, result end
  world:next_life()
  for _, ending in ipairs { "", "-wal", "-shm", "-lock" } do pcall(fs.remove, path .. ending) end
  for _, broken in ipairs(world.broken) do
    if broken:find "^words" or broken:find "^hang" then return "bad", ("%s: %s"):format(what, broken) end
  end
  if result ~= nil then
    if json.encode(result) == usual then return #world.broken > 0 and "again" or "right", what end
    return "wrong", ("%s: %s"):format(what, json.encode(result))
  end
  if not errors.is(err) or not GOOD[err.kind] then return "bad", ("%s: %s"):format(what, tostring(err)) end
  return "error", ("%s: %s"):format(what, tostring(err))
end

local options = { real = true, timeout = 3600, effects = false }

test("a damaged file gives one clear error or the right result, never a wrong one", options, function(t)
  local root, remove = inside.folder(t)
  local _ <close> = setmetatable({}, { __close = remove })
  local last, usual = ended(root)
  local bases = { last, middle(root, 9), middle(root, 9, true), middle(root, 12), middle(root, 12, true) }
  local counts, bad, began, words = {}, {}, stoke.time.monotonic(), {}
  for n = 1, MUTATIONS do
    local random = numbers(SEED * 100000 + n)
    local what, said = judge(root, n, bases[random(#bases)], usual, random)
    counts[what] = (counts[what] or 0) + 1
    if what == "wrong" or what == "bad" then bad[#bad + 1] = ("mutation %d (SEED=%d): %s: %s"):format(n, SEED, what, said) end
    if what == "error" then
      local kind = said:gsub("^.- in the %a+: ", ""):gsub("%d+", "N"):gsub("\".-\"", "FILE"):sub(1, 70)
      words[kind] = (words[kind] or 0) + 1
    end
  end
  inside.report(("damage: %d mutations, %d right, %d right with something done again (a damaged log), %d errors, %d wrong, "
    .. "%d bad, %.0f s (SEED=%d)"):format(MUTATIONS, counts.right or 0, counts.again or 0, counts.error or 0, counts.wrong or 0,
    counts.bad or 0, stoke.time.monotonic() - began, SEED))
  if os.getenv "WORDS" then
    for text, count in next, words do inside.report(("%6d %s"):format(count, text)) end
  end
  for i = 1, math.min(#bad, 12) do inside.report(bad[i]) end
  t.eq(#bad, 0)
end)
