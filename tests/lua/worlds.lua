-- A small world for the tests of stoke.world.
local stoke = require "stoke"

local M = {}

-- Two who walk about by chance, think now and then, and can be spoken to.
function M.definition(more)
  local asked = 0
  local def = { name = "town", seed = 7, start = 8 * 3600, snapshot = 100,
    state = { members = { ada = { x = 1, y = 1, n = 0 }, bob = { x = 9, y = 4, n = 0 } }, ground = { heard = {} } },
    step = function(member, here)
      member.n = member.n + here:random(member):int(1, 6)
      if here.tick % 50 == 0 and not here:thinking(member) then here:think(member, "plan", { n = member.n }) end
    end,
    inputs = {
      say = function(member, args, here)
        member.heard = args.text
        return "heard at " .. here.tick
      end,
      fail = function(member)
        member.n, member.spoilt = -1, { 1 }
        error("no such word", 0)
      end,
      shout = function(state, text)
        table.insert(state.ground.heard, text)
        return #state.ground.heard
      end,
      join = function(state, args) state.members[args.id] = { x = 0, y = 0, n = 0 } end,
      leave = function(state, args) state.members[args.id] = nil end,
    } }
  def.thoughts = { plan = { takes = 5,
    ask = function(q, who)
      asked = asked + 1
      stoke.sleep(0.5)
      return { text = who .. " at " .. q.n }
    end,
    apply = function(member, answer, here)
      member.plan = answer.text
      here:emit("plans", answer)
    end } }
  for name, value in pairs(more or {}) do def[name] = value end
  return def, function() return asked end
end

function M.open(more)
  local def, asked = M.definition(more)
  return stoke.world(def), asked
end

function M.free(world, ticks) return world:run { speed = "free", ticks = ticks } end

return M
