-- The tests of basket.lua: stoke check.lua

local basket = require "basket"

local function check(what, got, wanted)
  if got ~= wanted then error(("%s: %s expected, got %s"):format(what, wanted, got), 0) end
end

local ITEMS = { { cents = 250, count = 2 }, { cents = 99, count = 1 } }

check("no discount", basket.total(ITEMS), 599)
check("ten per cent, rounded half up", basket.total(ITEMS, 10), 539)
check("one item", basket.total { { cents = 5, count = 1 } }, 5)
check("half a cent", basket.total({ { cents = 5, count = 1 } }, 10), 5)
print "ok"
