--- stoke.team: agents that work together. Each pattern takes agents, its members, and gives a team, which is used wherever an agent
--- is: run, stream, session, as_tool, among the tools or the handoffs of an agent, as a member of another team, served.
---
---     local pair = stoke.team.round_robin { members = { writer, critic }, stop = stoke.team.stop.text "APPROVE" }
---     print(pair:run("A slogan for a bakery").text)
---
---   round_robin   members speak in turn                              selector      a model says who speaks next
---   swarm         members hand the conversation over                 graph         along edges, with conditions and joins
---   ledger        facts, a plan, progress judged, replanned          orchestrate   a plan, workers side by side, one answer
---   debate        rounds of answers, and a judge                     vote          the answer that most give
---   mixture       proposals, and one answer made of them             reflect       work, criticism, work again
---
--- A member may be a function, too: stoke.team.step { name =, run = }.
---
--- A member that fails is asked again, replaced, passed over with a word in its place, or ends the run: `retries`, `on_failure`,
--- `substitute`. What the team itself says to models are texts, which `team:explain` shows and `texts =` replaces.

local errors = require "core.errors"
local ordered = require "core.ordered"

---@class stoke.team
---@field stop table conditions that end a conversation, see stoke.team.stop
---@field round_robin fun(given: stoke.team.definition): stoke.agent
---@field selector fun(given: stoke.team.definition): stoke.agent
---@field swarm fun(given: stoke.team.definition): stoke.agent
---@field graph fun(given: stoke.team.definition): stoke.agent
---@field ledger fun(given: stoke.team.definition): stoke.agent
---@field orchestrate fun(given: stoke.team.definition): stoke.agent
---@field debate fun(given: stoke.team.definition): stoke.agent
---@field vote fun(given: stoke.team.definition): stoke.agent
---@field mixture fun(given: stoke.team.definition): stoke.agent
---@field reflect fun(given: stoke.team.definition): stoke.agent
---@field step fun(given: { name: string, description?: string, run: function }): stoke.agent a member that is a function
local M = {}

local PATTERNS = {}
for name in ("round_robin selector swarm graph ledger orchestrate debate vote mixture reflect step"):gmatch "%S+" do
  PATTERNS[name] = true
end

local function names()
  local list = ordered.names(PATTERNS)
  list[#list + 1] = "stop"
  return list
end

return setmetatable(M, {
  __call = function()
    errors.argument("stoke.team is no pattern itself: stoke.team.round_robin { ... }; there are %s", table.concat(names(), ", "))
  end,
  __index = function(_, name)
    if PATTERNS[name] then
      M[name] = require("stoke.team." .. name).new
      return M[name]
    elseif name == "stop" then
      M.stop = require "stoke.team.stop"
      return M.stop
    end
    if type(name) ~= "string" or name:find "^__" then return nil end
    local near = errors.suggest(name, names())
    errors.argument("stoke.team.%s does not exist%s", name,
      near and (" (did you mean stoke.team.%s?)"):format(near) or "; there are " .. table.concat(names(), ", "))
  end,
})
