-- What the tests of engines are worth: an engine that breaks one promise is found, by the name of what it breaks.

package.path = "tests/queue/?.lua;" .. package.path

local test = require "stoke.test"
local battery = require "battery"
local engine = require "core.engine"
local errors = require "core.errors"
local storm = require "storm"
local weak = require "weak"

local SEED <const>, MESSAGES <const> = 7, 300

local function opener(t)
  local folder = t.tmp()
  return function() return errors.check(engine.open("local:" .. folder .. "/q.db")) end
end

local function behaviour(name)
  local found
  for _, one in ipairs(battery.list) do
    if one.name:sub(1, #name) == name then
      if found then error(("two behaviours begin with %q"):format(name)) end
      found = one
    end
  end
  return found or error(("no behaviour begins with %q"):format(name))
end

test("a storm over the local engine breaks no law", function(t)
  t.eq(storm.words(storm.run(opener(t), { seed = SEED, messages = 2000 })), nil)
end)

for _, weakness in ipairs(weak.list) do
  test(("an engine that %s fails the battery"):format(weakness.name), function(t)
    local open, wrap = opener(t), weakness.wrap()
    local function again() return wrap(open()) end
    for _, name in ipairs(weakness.battery) do
      local e <close> = again()
      local ok = pcall(behaviour(name).f, battery.ground(e, again, { long = 3 }))
      t.eq(ok, false, name .. " is not found")
    end
  end)

  if weakness.storm[1] then
    test(("an engine that %s breaks laws of the storm"):format(weakness.name), function(t)
      local open, wrap = opener(t), weakness.wrap()
      local broken = storm.run(function() return wrap(open()) end, { seed = SEED, messages = MESSAGES, seconds = 60 })
      for _, law in ipairs(weakness.storm) do
        t.ok(broken[law], ("%s holds; what does not: %s"):format(law, storm.words(broken) or "nothing"))
      end
    end)
  end
end
