--- Handoffs of a swarm (stdlib/team/swarm.lua), as a model sees them: tools that are lent to a member. Their calls end its run.

local cut = require "stoke.tool.text".cut
local errors = require "core.errors"
local guest = require "stoke.agent.guest"
local json = require "stoke.json"
local texts = require "stoke.agent.texts"

local M = {}

--- Bytes of a result that goes with a handoff.
local BYTES <const> = 4000

texts.add {
  swarm_tool = { "the description of a handoff, as a tool; {description} begins with a blank, or is empty", "agent description",
    "Hand the conversation over to {agent}.{description} Only when it is not yours to answer." },
  swarm_param = { "the description of what goes with a handoff", "agent", "what {agent} has to know, in one or two sentences" },
  swarm_said = { "what the next one reads of a handoff", "agent to note", "(handed over to {to}: {note})" },
  swarm_result = { "what it reads of a call beside the handoff", "tool text", "({tool}: {text})" },
}

local function call_name(name) return "transfer_to_" .. name:gsub("[^%w_-]", "_") end

--- Two whom a model cannot tell apart: its calls have no blanks, and no points.
---@param where string
---@param team table
---Raises `argument`.
function M.check_names(where, team)
  local seen = {}
  local function check(name)
    local call = call_name(name)
    if seen[call] then
      errors.argument("%s: %q and %q are the same name in a call of a model, %s; name one of them otherwise", where, seen[call],
        name, call)
    end
    seen[call] = name
  end
  for _, member in ipairs(team.members) do check(member.name) end
  for _, name in ipairs(team.outside_names) do check(name) end
end

--- A handoff as the model sees it.
local function tool_of(team, name, description)
  local params = json.object({ type = "object", required = { "note" }, properties = json.object { note = { type = "string",
    description = texts.of("swarm_param", team.texts, { agent = name }) } } }, { "type", "required", "properties" })
  return { type = "function", ["function"] = { name = call_name(name), parameters = params,
    description = texts.of("swarm_tool", team.texts, { agent = name,
      description = description and " " .. description .. "." or "" }) } }
end

--- Whom a member may hand over to: { name, description } each, members first, in their order.
local function targets(team, member)
  local allowed, out = team.to[member.name], {}
  local function add(name, description)
    if not allowed or allowed[name] then out[#out + 1] = { name, description } end
  end
  for _, other in ipairs(team.members) do
    if other ~= member then add(other.name, other.definition.description) end
  end
  for _, name in ipairs(team.outside_names) do add(name, team.outside[name]) end
  return out
end

--- The definition of a member with its handoffs; and which call means whom.
---@param talk stoke.team.talk
---@param team table
---@param member stoke.agent
---@return table definition
---@return table<string, string> by_call names, by what the tools are called
function M.lend(talk, team, member)
  local definition, by_call, lent = talk:in_company(member), {}, {}
  if #talk.turns >= team.max_handoffs or definition.play then return definition, by_call end
  for i, target in ipairs(targets(team, member)) do
    lent[i] = tool_of(team, target[1], target[2])
    by_call[call_name(target[1])] = target[1]
  end
  return lent[1] and guest.with(definition, { lend = lent }) or definition, by_call
end

--- What a handoff says to the next one.
local function note_of(call)
  local note = type(call["function"].arguments) == "table" and call["function"].arguments.note
  return type(note) == "string" and note:find "%S" and note or "..."
end

--- To whom the calls of an answer hand over, each once: members in the order of the calls, then those outside, where it ends.
---@param team table
---@param result stoke.agent.result|nil
---@param by_call table<string, string>
---@return { to: string, note: string }[]
function M.of(team, result, by_call)
  local list, outside, seen = {}, {}, {}
  for _, call in ipairs(result and result.calls or {}) do
    local to = by_call[call["function"].name]
    if to and seen[to] then
      seen[to].note = seen[to].note .. "; " .. note_of(call)
    elseif to then
      seen[to] = { to = to, note = note_of(call) }
      table.insert(team.by_name[to] and list or outside, seen[to])
    end
  end
  return table.move(outside, 1, #outside, #list + 1, list)
end

--- A member hands over: what it said, what its other calls gave, and to whom goes what.
---@param talk stoke.team.talk
---@param who stoke.agent
---@param result stoke.agent.result
---@param list { to: string, note: string }[]
function M.say(talk, who, result, list)
  local lines, results = {}, {}
  if result.text:find "%S" then lines[1] = result.text end
  for i = #result.messages, 1, -1 do -- of calls in the same answer: nobody has read them yet
    local message = result.messages[i]
    if message.role ~= "tool" then break end
    table.insert(results, 1, talk:words("swarm_result", { tool = message.tool_name, text = cut(message.content, BYTES) }))
  end
  table.move(results, 1, #results, #lines + 1, lines)
  for _, one in ipairs(list) do
    lines[#lines + 1] = talk:words("swarm_said", { agent = who.name, to = one.to, note = one.note })
  end
  result.text = table.concat(lines, "\n")
  talk:say(who, result)
end

--- A model without tools cannot hand over.
---@param err stoke.error
---@return string|nil hint
function M.hint(err)
  if not err.message:find "does not support tools" then return nil end
  return "members hand over by calls of tools: give them a model that has these, or take stoke.team.selector"
end

return M
