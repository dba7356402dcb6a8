-- Agents whose models say what a test tells them to, by the name of the agent in their instructions:
--
--     local world <close> = teams { writer = { "one", "two" }, critic = function(request, n) return "APPROVE" end }
--     local writer = world.agent "writer"
--     world.asked.writer[1]        -- the messages of its first request
--
-- `team` answers for the team's own questions, which have no such instructions. Options go to stoke.sim. world.on_ask(who, request)
-- may give another answer.

local scripted = require "scripted"
local stoke = require "stoke"

return function(scripts, options)
  local world = { asked = {}, order = {}, requests = {} }
  local function who_of(request)
    local first = request.messages[1]
    return first.role == "system" and first.content:match "^<([%w_ ]+)>" or "team"
  end
  local server = scripted(function(request)
    local who = who_of(request)
    local asked = world.asked[who] or {}
    world.asked[who] = asked
    asked[#asked + 1] = request.messages
    world.order[#world.order + 1], world.requests[#world.requests + 1] = who, request
    local other = world.on_ask and world.on_ask(who, request)
    if other then return other end
    local script = scripts[who]
    if type(script) == "function" then return script(request, #asked) end
    if type(script) == "string" then return script end
    return script and script[#asked] or { error = ("%s was asked %d times"):format(who, #asked), status = 400 }
  end, options)
  world.server, world.url = server, server.url
  function world.agent(name, more)
    local given = { name = name, model = scripted.MODEL, endpoint = server.url, instructions = ("<%s>"):format(name) }
    for key, value in pairs(more or {}) do given[key] = value end
    return stoke.agent(given)
  end
  -- What a listener hears of a stream: { "speaker writer", "message writer: one" } ...
  function world.events(stream)
    local out, done = {}, nil
    for ev in stream do
      if ev.type == "speaker" then out[#out + 1] = "speaker " .. ev.agent end
      if ev.type == "message" then out[#out + 1] = ("message %s: %s"):format(ev.from, ev.text) end
      if ev.type == "failure" then out[#out + 1] = ("failure %s: %s"):format(ev.agent, ev.answer) end
      if ev.type == "handoff" then out[#out + 1] = ("handoff %s: %s"):format(ev.from, ev.to) end
      if ev.type == "done" then done = ev.result end
    end
    return out, done
  end
  return setmetatable(world, { __close = function() getmetatable(server).__close(server) end })
end
