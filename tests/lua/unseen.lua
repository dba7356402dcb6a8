--- Nobody looks at the requests of what follows, as outside of tests: `local alone <close> = unseen()`.

local span = require "core.gate.span"

return function()
  local on, bodies, opening = span.on, span.bodies, span.opening
  local function set(a, b, c)
    span.bodies, span.opening = b, c
    span.switch(a)
  end
  set(false, false, nil)
  return setmetatable({}, { __close = function() set(on, bodies, opening) end })
end
