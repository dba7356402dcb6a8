--- For tests of stream readers: splits the answers of in-memory servers into small random pieces.
---
---     local cut = require "stoke.http.cut"
---     cut(1, 7)      -- pieces of 1 to 7 bytes, always the same ones for this seed
---     cut(1, 0)      -- whole again

local errors = require "core.errors"
local driver = require "core.driver.server"

---@param seed integer
---@param max integer bytes of the largest piece; 0 ends it
return function(seed, max)
  if math.type(seed) ~= "integer" or math.type(max) ~= "integer" or max < 0 then
    errors.argument "http.cut: a seed and a size in bytes expected, both integers"
  end
  errors.check(driver.cut(seed, max))
end
