--- A team at work: what its members have said, how each of them sees that, and what is done when one of them fails.
---
--- A member is asked by a run of its own, inside the run of the team: what it uses counts there, and what it does comes to the
--- listeners of the team as events of type "nested".

local combine = require "core.combine"
local errors = require "core.errors"
local scopes = require "core.scope"
local tasks = require "core.task"
local history = require "stoke.agent.history"
local loop = require "stoke.agent.loop"
local texts = require "stoke.agent.texts"
local cut = require "stoke.tool.text".cut
local fallback = require "stoke.model.fallback"
local time = require "stoke.time"
local window = require "stoke.team.window"

local M = {}

--- Bytes of a message in what a manager reads, and where its window is small; messages before the question.
local BYTES <const>, SHORT <const>, EARLIER <const> = 1500, 150, 6

---@class stoke.team.talk: stoke.team.state
---@field run stoke.agent.run of the team
---@field team table its definition
---@field failures { agent: string, kind: string, message: string, answer: string }[]
---@field stopped? string why it ended
---@field speaker? string who spoke last
local Talk = {}
Talk.__index = Talk

--- Begin.
---@param run stoke.agent.run
---@return stoke.team.talk
function M.new(run)
  return setmetatable({ run = run, team = run.agent, turns = {}, failures = {}, began = time.monotonic(), notes = {}, shown = {},
    limits = run.route and { route = run.route } or nil }, Talk)
end

--- Tell who listens.
---@param event table
function Talk:tell(event)
  local listener = self.run.listener
  if listener then listener(event) end
end

local function escaped(text) return (text:gsub("%p", "%%%0")) end

--- Texts in which a member says something under its name.
local QUOTED <const> = { team_said = true, graph_input = true }

--- What a member said, with a mark before its further lines that look like words of a member: nobody speaks for another.
local function quoted(members, text)
  for _, member in ipairs(members) do
    if text:find(member.name, 1, true) then
      text = text:gsub("\n([ \t]*%**" .. escaped(member.name) .. "%**:)", "\n> %1")
    end
  end
  return text
end

--- A text of the team to a model, filled.
---@param name string
---@param about? table
---@return string
function Talk:words(name, about)
  if QUOTED[name] then about.text = quoted(self.team.members, about.text) end
  return texts.of(name, self.team.texts, about)
end

--- A text of the team as the one message that is asked.
---@param name string
---@param about? table
---@param sees? boolean with the images of the user's question: it is for a member, or a member's model
---@return table[] messages
function Talk:question(name, about, sees)
  local past = self.run.history
  local images = sees and past.asked > 0 and past[past.asked].images or nil
  return { { role = "user", content = self:words(name, about), images = images } }
end

-- ---- who sees what ----------------------------------------------------------------------------------------------------------

local function add(block, text, images)
  if text ~= "" then block[#block + 1] = text end
  if images then
    block.images = block.images or {}
    table.move(images, 1, #images, #block.images + 1, block.images)
  end
end

--- The conversation as a member sees it: its own messages are its answers, all others come from the user's side, those of members
--- with their names. It only grows, so that a server has most of a prompt in its cache.
---@param messages table[] the history of the team
---@param name? string of the member; nil: somebody outside of it
---@param said fun(message: table): string a message of another member, as it is shown
---@return table[] messages with `task`: which of them has the question of the user; `parts`: what each was put together of
local function view(messages, name, said)
  local out, block, parts = {}, {}, {}
  local function close()
    if block[1] or block.images then
      out[#out + 1] = { role = "user", content = table.concat(block, "\n\n"), images = block.images }
      parts[#out], block.images = block, nil
      block = {}
    end
  end
  out.parts = parts
  for i, message in ipairs(messages) do
    local text, from = message.content or "", message.name
    if i == messages.asked then out.task, out.task_part = #out + 1, #block + 1 end
    if message.role == "system" then
      out[#out + 1] = message
    elseif message.role == "user" then
      add(block, text, message.images)
    elseif message.role == "assistant" and text:find "%S" then
      if from and from ~= name then
        add(block, said(message))
      else
        close()
        out[#out + 1] = { role = "assistant", content = text }
      end
    end
  end
  close()
  return out
end

--- The same for a member of this team, ending with a question.
---@param name? string
---@param question? string what is asked of it beside the conversation
---@return table[]
function Talk:view(name, question)
  local shown = self.shown
  local out = view(self.run.history, name, function(message)
    local text = shown[message]
    if not text then -- written once: a long conversation is looked at again and again
      text = self:words("team_said", { agent = message.name, text = message.content })
      shown[message] = text
    end
    return text
  end)
  local last = out[#out]
  if question then
    if last and last.role == "user" then
      last.content = last.content .. "\n\n" .. question
      table.insert(out.parts[#out], question)
    else
      out[#out + 1] = { role = "user", content = question }
    end
  elseif not last or last.role ~= "user" then
    out[#out + 1] = { role = "user", content = self:words "team_go_on" }
  end
  return out
end

--- What the members said in this run, each of it a text.
---@param limit integer the newest so many messages
---@return string[]
function Talk:steps(limit)
  local lines, first = {}, math.max(1, #self.turns - limit + 1)
  if first > 1 then lines[1] = "..." end
  for i = first, #self.turns do
    lines[#lines + 1] = self:words("team_said", { agent = self.turns[i].from, text = cut(self.turns[i].text, BYTES) })
  end
  return lines[1] and lines or { "(nothing yet)" }
end

--- What the user asked last.
---@return string
function Talk:task()
  local past = self.run.history
  return past.asked > 0 and past[past.asked].content or ""
end

--- The same for who hears nothing else: with what was said before it, in a session.
---@param short? boolean with less of that
---@return string
function Talk:goal(short)
  local past, lines, most = self.run.history, {}, short and SHORT or BYTES
  for i = math.max(1, past.asked - EARLIER), past.asked - 1 do
    local message = past[i]
    local text = (message.role == "user" or message.role == "assistant") and message.content or ""
    if text:find "%S" then
      lines[#lines + 1] = self:words("team_said", { agent = message.name or message.role, text = cut(text, most) })
    end
  end
  if not lines[1] then return self:task() end
  return self:words("team_earlier", { conversation = table.concat(lines, "\n\n"), task = self:task() })
end

-- ---- a member is asked --------------------------------------------------------------------------------------------------------

--- The definition of a member at work in a conversation: its instructions, and a note that it is one of several.
---@param member stoke.agent
---@return table
function Talk:in_company(member)
  local definition = member.definition
  if definition.play then return definition end
  local known = self.notes[definition]
  if known then return known end
  local others = {}
  for _, other in ipairs(self.team.members) do
    if other ~= member then others[#others + 1] = other.name end
  end
  known = M.noted(definition, self:words("team_note", { agent = member.name, others = table.concat(others, ", ") }))
  self.notes[definition] = known
  return known
end

--- A definition whose instructions go on with a note.
---@param definition table
---@param note string
---@return table
function M.noted(definition, note)
  if note == "" then return definition end
  if definition.complete then definition:complete() end
  local before = definition.instructions
  local text = note
  if type(before) == "string" then
    text = before .. "\n\n" .. note
  elseif before then
    text = function(run)
      local own = before(run)
      return own and own .. "\n\n" .. note or note
    end
  end
  return setmetatable({ instructions = text }, { __index = definition })
end

--- What another try, or another member, may mend; and where the answer was wrong in itself, so that its writer should hear of it.
local MENDED = { invalid_output = true, limit = true, loop = true, max_steps = true }

--- Is a budget around the running task spent, too?
local function spent_around(unit)
  local task = tasks.current()
  local level = task and scopes.innermost(task).context.budget
  while level do
    if level.limit[unit] and level.used[unit] >= level.limit[unit] then return true end
    level = level.outer
  end
  return false
end

--- Is an error that of the member alone? Its own deadline and its own budget are.
local function own(member, err)
  local definition = member.definition
  if err.kind == "deadline" then return definition.deadline ~= nil and rawget(err, "seconds") == definition.deadline end
  if err.kind == "budget" then
    local budget, unit = definition.budget, rawget(err, "unit")
    return budget ~= nil and unit ~= nil and budget[unit] == err.limit and not spent_around(unit)
  end
  return MENDED[err.kind] or fallback.worth(err)
end

--- An error of a question of the team's own that need not end the run.
---@param err stoke.error
---@return boolean
function M.passes(err) return MENDED[err.kind] or fallback.worth(err) end

--- How often a member is asked at most, where a function of the script decides.
local ATTEMPTS <const> = 10

local ANSWERS = { retry = true, replace = true, go_on = true, stop = true }

--- What is done about a failure.
local function answer_of(self, member, err, tries, how)
  if not own(member, err) then return "stop" end
  local policy = self.team.on_failure
  if type(policy) ~= "string" and policy then
    local answer = policy { agent = member.name, error = err, tries = tries, turns = self.turns }
    if answer ~= nil then
      if not ANSWERS[answer] then
        errors.argument("%s: on_failure must return \"retry\", \"replace\", \"go_on\", \"stop\" or nil, got %s", self.team.label,
          errors.describe(answer))
      end
      if answer == "retry" and tries >= ATTEMPTS then
        errors.raise("limit", ("%s: %s failed %d times, and on_failure still says \"retry\": %s"):format(self.team.label,
          member.name, tries, err.message), { cause = err, hint = "let it say something else after some `tries`" })
      end
      return answer
    end
    policy = nil
  end
  if tries <= self.team.retries then return "retry" end
  if policy == nil and (how.replace or self.team.substitute) then return "replace" end
  return policy or how.otherwise or "stop"
end

--- Somebody who takes the place of a member that failed.
local function substitute(self, how, member)
  local found = how.replace and how.replace(member)
  if found then return found end
  local given = self.team.substitute
  if type(given) == "table" and getmetatable(given) == nil then given = given[member.name] end
  if given and given ~= member and not how.replaced then -- once: it has no substitute itself
    how.replaced = true
    return given
  end
end

--- Somebody has failed: it is in the result, and told.
---@param name string
---@param err stoke.error
---@param answer "retry"|"replace"|"go_on"|"stop" what is done about it
function Talk:failed(name, err, answer)
  self.failures[#self.failures + 1] = { agent = name, kind = err.kind, message = err.message, answer = answer }
  self:tell { type = "failure", agent = name, err = err, answer = answer }
end

--- The question once more, with what went wrong.
local function told(self, messages, err)
  local given, last = table.move(messages, 1, #messages, 1, {}), {}
  given.task = messages.task
  for name, value in next, messages[#messages] do last[name] = value end
  last.content = last.content .. "\n\n" .. self:words("team_again", { problem = err.message })
  given[#given] = last
  return given
end

---@class stoke.team.how
---@field plain? boolean the member is not told that it is one of several
---@field definition? table what it works with, instead of its own
---@field limits? stoke.agent.limits
---@field why? string why it is asked, for who listens
---@field replace? fun(member: stoke.agent): stoke.agent|nil who else could do it; nil: nobody
---@field shorter? fun(err: stoke.error): table[]|nil the question made shorter, where it does not fit the window
---@field hint? fun(err: stoke.error): string|nil how an error can be mended
---@field otherwise? "go_on"|"stop" what becomes of it where nothing else is said ("stop")
---@field replaced? boolean set here
---@field failed? stoke.error set here: why it has no result

--- What a member works with; where it takes the place of one whose answer was bound to a shape, its own is, too.
local function in_place(self, member, how)
  local definition = how.plain and member.definition or self:in_company(member)
  local output = how.definition and how.definition.output
  if output == nil or output == definition.output then return definition end
  if definition.ready then definition = definition:ready() end
  return setmetatable({ output = output }, { __index = definition })
end

--- The error of a member says whose it is.
local function name_it(member, err, how)
  if not err.message:find(member.name, 1, true) then err.message = ("%s: %s"):format(member.name, err.message) end
  if how.hint then err.hint = how.hint(err) or err.hint end
end

--- One question to a member; the same, shorter, where its window is too small.
--- The names of the tools that were called since a place in a history.
local function called(past, first)
  local names = {}
  for i = first, #past do
    for _, call in ipairs(past[i].tool_calls or {}) do names[#names + 1] = call["function"].name end
  end
  return names[1] and names or nil
end

local function ask_once(self, definition, messages, how)
  local apart
  while true do
    self.run.steps = self.run.steps + 1
    local past = history.new(messages)
    if messages.task then past.asked = messages.task end -- stays, however long the conversation gets
    local result, err = combine.try(loop.run, definition, past, #messages + 1, nil, how.limits or self.limits)
    if not err then
      result.called = called(past, #messages + 1)
      return result, nil, messages
    end
    local shorter = window.overflows(err) and (how.shorter and how.shorter(err) or not apart and window.apart(messages))
    if not shorter then return nil, err, messages end
    apart, messages = true, shorter
    self:tell { type = "shortened", agent = definition.label, err = err }
  end
end

--- Ask a member, and again, or somebody else, where it fails.
---@param member stoke.agent
---@param messages table[]
---@param how? stoke.team.how
---@return stoke.agent.result|nil result
---@return stoke.agent|stoke.error who answered; or, without a result, why not
---Raises the error of a member where the answer to it is "stop".
function Talk:ask(member, messages, how)
  how = how or {}
  local tries, given, other = 0, messages, nil
  while true do
    tries = tries + 1
    local definition = not other and how.definition or in_place(self, member, how)
    self:tell { type = "speaker", agent = member.name, why = how.why }
    local result, err, asked = ask_once(self, definition, given, how)
    if not err then return result, member end
    given = asked
    local answer = answer_of(self, member, err, tries, how)
    local substituted = answer == "replace" and substitute(self, how, member)
    if answer == "replace" and not substituted then answer = how.otherwise or "stop" end
    self:failed(member.name, err, answer)
    if answer == "stop" then
      if own(member, err) then name_it(member, err, how) end
      error(err, 0)
    end
    if answer == "go_on" then
      how.failed = err
      return nil, err
    end
    if substituted then other, member, tries = substituted, substituted, 0 end
    if MENDED[err.kind] or substituted then given = told(self, messages, err) end
  end
end

--- The last word: one answer is made of what there is.
---@param agent stoke.agent
---@param messages table[]
---@param how stoke.team.how
---@return string|nil text nil: who makes it has failed, and the team goes on: what there is stands
---@return any value
---Raises its error where the answer to it is "stop".
function Talk:conclude(agent, messages, how)
  local result, who = self:ask(agent, messages, how)
  if not result then return nil end
  return self:say(who, result, true), result.output
end

--- Ask several at the same time, each its own question.
---@param members stoke.agent[]
---@param question fun(member: stoke.agent, i: integer): table[]|nil, stoke.team.how|nil nil: this one is not asked
---@param at_once? integer
---@return (stoke.agent.result|false)[] results in the order of the members; false: it was not asked, or has failed
---@return stoke.agent[] who answered: the member, or who took its place
---Raises the error of a member where the answer to it is "stop"; the others are cancelled then.
function Talk:each(members, question, at_once)
  local who = table.move(members, 1, #members, 1, {})
  return self:side_by_side(members, function(member, i)
    local messages, how = question(member, i)
    local result, by = nil, nil
    if messages then result, by = self:ask(member, messages, how) end
    if result then who[i] = by end
    return result or false
  end, at_once), who
end

--- Do something with each of a list, at the same time, in the run of the team.
---@param list any[]
---@param f fun(item: any, i: integer): any
---@param at_once? integer
---@return any[]
function Talk.side_by_side(_, list, f, at_once)
  local scope <close> = scopes.open {}
  return scope:map(list, f, at_once and { limit = at_once } or nil)
end

--- Ask an agent of the team's own (who chooses, who shapes the answer): a question, and a checked value.
---@param agent stoke.agent
---@param messages table[]|string
---@param shorter? fun(err: stoke.error): table[]|nil
---@return any value
---@return stoke.agent.result result
---Raises what agent:run raises.
function Talk:decide(agent, messages, shorter)
  if type(messages) == "string" then messages = { { role = "user", content = messages } } end
  local result, err = ask_once(self, agent.definition, messages, { shorter = shorter })
  if err then error(err, 0) end
  return result.output, result
end

-- ---- what is said -------------------------------------------------------------------------------------------------------------

--- What a member said, without its own name before it: small models copy the form of what they read.
local function cleaned(member, text)
  return (text:gsub("^%s*%**" .. escaped(member.name) .. "%**:%**%s*", "", 1))
end

--- A member has spoken.
---@param member stoke.agent
---@param result stoke.agent.result
---@param aside? boolean it is no part of the conversation that the team goes on with
---@return string text
function Talk:say(member, result, aside)
  local text = result.output == nil and cleaned(member, result.text) or result.text
  self.turns[#self.turns + 1] = { from = member.name, text = text, calls = result.called }
  self.last, self.speaker = self.turns[#self.turns], member.name
  if not aside then self.run.history:push { role = "assistant", content = text, name = member.name } end
  self:tell { type = "message", from = member.name, text = text }
  return text
end

--- The place of a member that failed is not empty: the others read that it failed.
---@param member stoke.agent
---@param err stoke.error
---@param aside? boolean it is no part of the conversation that the team goes on with
---@return string text
function Talk:gap(member, err, aside)
  local text = self:words("team_gap", { agent = member.name, problem = err.message })
  self.turns[#self.turns + 1] = { from = member.name, text = text, failed = true }
  self.last = self.turns[#self.turns]
  if not aside then self.run.history:push { role = "assistant", content = text, name = member.name } end
  self:tell { type = "message", from = member.name, text = text, failed = true }
  return text
end

--- Messages of members at most, in this run.
---@return integer
function Talk:most()
  local steps, most = self.run.max_steps, self.team.max_turns
  return steps and math.min(steps, most) or most
end

--- Is it over? The cap of messages ends it in any case.
---@return string|nil why
function Talk:over()
  local team, most = self.team, self:most()
  self.usage = self.run.usage
  local why = team.stop and team.stop.test(self)
  if not why and #self.turns >= most then why = ("max_turns (%d)"):format(most) end
  self.stopped = why
  return why
end

--- The answer of a conversation: what was said last by a member that did not fail. Raises where none has answered.
---@return string
function Talk:answer()
  for i = #self.turns, 1, -1 do
    local turn = self.turns[i]
    if not turn.failed then
      self.speaker = turn.from
      return turn.text
    end
  end
  local why = self.failures[#self.failures]
  errors.raise(why and why.kind or "invalid_output", ("no member of %s has answered%s"):format(self.team.label,
    why and ": " .. why.message or ""))
end

--- What the result of the team has beside that of an agent.
---@param result stoke.agent.result
function Talk:report(result)
  result.turns, result.stopped = self.turns, self.stopped
  if self.failures[1] then result.failures = self.failures end
  if self.speaker then result.agent = self.speaker end
  for name, value in next, self.more or {} do result[name] = value end
end

return M
