-- A store in a folder of the test, for what is kept there: sessions, actors, runs.
--
--     local store <close> = stored(t)
--     store:restart()       as when the process ends and another one begins: the file stays, all else is gone

local runs = require "core.runs"
require "stoke.workflow" -- which says where a store is

local Store = {}
Store.__index = Store

function Store:restart()
  runs.leave()
  for name in pairs(runs.defined) do runs.defined[name] = nil end
  collectgarbage()
end

function Store:__close()
  runs.leave()
  runs.setting = self.before
  for name in pairs(runs.defined) do runs.defined[name] = nil end
end

return function(t)
  local path, before = t.tmp() .. "/state.db", runs.setting
  runs.setting = function() return path end
  return setmetatable({ path = path, before = before }, Store)
end
