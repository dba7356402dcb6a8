-- What is left to do at the end of a process: of several parts of the host.

local keeper = require "core.keeper"
local test = require "stoke.test"

test("all that is left to do at the end is done, what was told last first; one that fails keeps no other back", function(t)
  local seen, last = {}, keeper.last
  local function first() seen[#seen + 1] = "first" end
  keeper.at_end(first)
  keeper.at_end(function()
    seen[#seen + 1] = "second"
    error "no luck"
  end)
  keeper.at_end(first)
  keeper.last()
  t.eq(seen, { "second", "first" })
  keeper.last = last
end)
