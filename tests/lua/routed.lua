--- Several simulated servers under names, and settings that know them: for tests of routes, classes and fallbacks.
---
---     local world <close> = routed({ gpu = { models = { "big" } }, laptop = { models = { "small" } } },
---       [[models = { fast = { "big@gpu" } }]])

local config = require "stoke.config"
local sim = require "stoke.sim"

--- Start the servers and put settings into force that name them as endpoints, until the world is closed.
---@param servers table<string, table> by the endpoint's name: what sim.serve is given, but for `mem`; `names` are the endpoint's
---  `models`
---@param settings? string more settings, as they stand in a file
---@return table world servers by name; asked = { { endpoint =, model =, body = } ... } in the order of the requests
return function(servers, settings)
  local world, started, endpoints = { asked = {} }, {}, {}
  for name, given in pairs(servers) do
    local options = { load_seconds = 0 }
    for key, value in pairs(given) do options[key] = value end
    options.mem, options.names = name, nil
    local script = given.script or function() return "from " .. name end
    options.script = function(req)
      world.asked[#world.asked + 1] = { endpoint = name, model = req.model, body = req }
      return script(req)
    end
    started[name] = sim.serve(options)
    world[name] = started[name]
    local names = {}
    for from, to in pairs(given.names or {}) do names[#names + 1] = ("[%q] = %q"):format(from, to) end
    endpoints[#endpoints + 1] = ("%s = { url = %q, models = { %s } }"):format(name, started[name].url, table.concat(names, ", "))
  end
  local text = ("return { endpoints = { %s }, %s }"):format(table.concat(endpoints, ", "), settings or "")
  config.load { getenv = function() return nil end, read = function(path)
    return path == "./stoke.config.lua" and text or nil
  end }
  return setmetatable(world, { __close = function()
    config.load { getenv = function() return nil end, read = function() return nil end }
    for _, server in pairs(started) do server:close() end
  end })
end
