-- What every engine of stoke.queue has to do: one behaviour each, asked of the engine itself (lua/engine.lua is the contract).
--
--     package.path = "tests/queue/?.lua;" .. package.path
--     require "battery".run(test, "local", { open = function(t) return engine.open("local:" .. t.tmp() .. "/q.db") end })
--
-- A behaviour raises an error that says what was wanted; it makes streams of its own, so that all of them may run on one server.
-- `needs` names the promise (engine.traits) without which it cannot be asked for.

local means = require "battery.means"
require "battery.items"
require "battery.settling"
require "battery.back"
require "battery.keys"
require "battery.pipes"

local M = { list = means.list, ground = means.ground }

--- What an engine does not promise of what a behaviour needs; nil: it can be asked for.
---@param one table of M.list
---@param traits core.engine.traits
---@return string|nil
function M.missing(one, traits)
  for name, wanted in next, one.needs do
    if traits[name] ~= wanted then return ("it promises %s = %s"):format(name, tostring(traits[name])) end
  end
end

--- Define a test for each behaviour.
---@param test function of stoke.test
---@param name string of the engine
---@param given { open: fun(t): core.engine, options?: table, short?: number, long?: number, skip?: fun(): string|nil } open: may be
---  called several times in a test, and then gives other connections to the same; options: of the tests; short, long: seconds
---
--- Example: `battery.run(test, "local", { open = function(t) return engine.open("local:" .. t.tmp() .. "/q.db") end })`
function M.run(test, name, given)
  for _, one in ipairs(M.list) do
    test(("%s: %s"):format(name, one.name), given.options or {}, function(t)
      local why = given.skip and given.skip()
      if why then t.skip(why) end
      local function open() return given.open(t) end
      local e <close> = open()
      why = M.missing(one, e.traits)
      if why then t.skip(why) end
      one.f(means.ground(e, open, given))
    end)
  end
end

return M
