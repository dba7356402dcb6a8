--- Conversations that clients name: kept sessions, so that what an agent did and the client never saw (its calls, their results)
--- is there in the next turn, also after a restart.
---
--- Clients send the whole conversation again. Each turn that was told has a name: a digest of whose it is and of all that was said
--- up to there, as the client has it. The longest beginning of a request that has a name is found again; what follows is new. A
--- conversation that was changed, or an answer that is asked for once more, branches off where it is still the same, so nothing is
--- run twice and nothing is lost. Who does not know every word of a conversation, and its id, cannot find it.

local errors = require "core.errors"
local hash = require "core.hash"
local effect = require "core.effect"
local random = require "core.random"
local scopes = require "core.scope"
local tasks = require "core.task"
local input = require "stoke.agent.input"
local json = require "stoke.json"
local log = require "stoke.log"
local time = require "stoke.time"
require "core.driver.told"

local M = {}

--- How the ids of their sessions begin in the store.
M.PREFIX = "served/"
--- Sessions that are kept where the options do not say, and seconds since their last turn.
M.MOST, M.LIFETIME = 1000, 30 * 24 * 3600
--- Seconds, and turns, between two looks for those that are too many or too old.
local SWEEP <const>, MANY <const> = 60, 64
--- Characters of an id that a client chooses: fewer can be guessed.
local SHORTEST <const>, LONGEST <const> = 16, 200

---@class stoke.serve.sessions
---@field most integer 0: none are kept
---@field lifetime number
---@field user string whose they are
---@field task? table whose children delete old ones: of the server
---@field held table<string, table> keys of conversations in the middle of a turn -> tasks that wait for it
local Sessions = {}
Sessions.__index = Sessions

local function number_of(options, name, default)
  local value = options[name]
  if value == nil then return default end
  if type(value) ~= "number" or not (value >= 0) then
    errors.argument("stoke.serve: sessions.%s must be a number of at least 0, got %s", name, errors.describe(value))
  end
  return value
end

--- The sessions of a server.
---@param given nil|boolean|{ most?: integer, lifetime?: number } false: none are kept
---@param user string
---@return stoke.serve.sessions
---Raises `argument`.
---
--- Example: `local kept = sessions.new({ most = 100, lifetime = 3600 }, guard.user)`
function M.new(given, user)
  if given ~= nil and type(given) ~= "boolean" and type(given) ~= "table" then
    errors.argument("stoke.serve: sessions must be a boolean or { most =, lifetime = }, got %s", errors.describe(given))
  end
  local options = type(given) == "table" and errors.options(given, { most = true, lifetime = true }, "stoke.serve: sessions") or {}
  return setmetatable({ most = given == false and 0 or math.floor(number_of(options, "most", M.MOST)),
    lifetime = number_of(options, "lifetime", M.LIFETIME), user = user, held = {}, swept = -math.huge, turns = 0 }, Sessions)
end

-- ---- whose it is ----------------------------------------------------------------------------------------------------------------

--- Where clients of OpenAI's API put the id of a conversation.
local METADATA = { "session_id", "chat_id", "conversation_id", "thread_id" }

local function long_enough(value)
  return type(value) == "string" and #value >= SHORTEST and #value <= LONGEST and not value:find "%c" and value or nil
end

local function in_body(body)
  local metadata = body and body.metadata
  for _, name in ipairs(type(metadata) == "table" and METADATA or {}) do
    local id = long_enough(metadata[name])
    if id then return "metadata " .. id end
  end
  local user = body and body.user
  return type(user) == "string" and user ~= "" and #user <= LONGEST and "user " .. user or nil
end

---@class stoke.serve.session what a request says of its conversation
---@field key string whose it is
---@field append boolean messages without an answer among them go on where the conversation stands
---@field once? string the same text: the same turn
---@field from? string the name of the turn that it goes on from
---@field previous? string the id that it is known by
---@field also? string a name that this turn has beside its own
---@field named? string and one by `once`

--- The conversation that a request names; nil where it names none.
---@param headers table<string, string>
---@param body? table of OpenAI's API
---@return stoke.serve.session|nil
---Raises `argument` for an id that can be guessed.
---
--- Example: `q.session = host.sessions:named(req.headers)`
function Sessions:named(headers, body)
  if self.most == 0 then return nil end
  local once = long_enough(headers["idempotency-key"])
  local own = headers["x-stoke-session"]
  if own then
    if long_enough(own) then return { key = "session " .. own, append = true, once = once } end
    errors.argument("X-Stoke-Session must have %d to %d characters: an id that nobody can guess", SHORTEST, LONGEST)
  end
  local chat = long_enough(headers["x-openwebui-chat-id"])
  if chat and chat:find "^local:" then return nil end -- a temporary one
  if chat then return { key = "chat " .. chat, append = false, once = once } end
  local key = in_body(body)
  return key and { key = key, append = false, once = once } or nil
end

--- The conversation that a request of /v1/responses goes on with: { id = } or an id.
---@param given any
---@return stoke.serve.session
---Raises `argument` for an id that can be guessed.
---
--- Example: `local session = host.sessions:conversation(raw.conversation)`
function Sessions:conversation(given)
  local id = long_enough(type(given) == "table" and given.id or given)
  if not id or self.most == 0 then
    errors.argument("conversation must be an id of %d to %d characters that nobody can guess%s", SHORTEST, LONGEST,
      self.most == 0 and ", and none are kept here" or "")
  end
  return { key = "conversation " .. id, append = true }
end

local function digest(...) return hash.sha256(table.concat({ ... }, "\0")) end

--- The name of a response's turn.
---@param id string
---@return string
---
--- Example: `session.from = host.sessions:response(body.previous_response_id)`
function Sessions:response(id) return digest("response", self.user, id) end

--- An id that nobody can guess.
---@return string
---
--- Example: `local id = "resp_" .. sessions.id()`
function M.id()
  return hash.sha256(random.streams["sessions of clients"]:bytes(32)):sub(1, 32)
end

-- ---- what was said --------------------------------------------------------------------------------------------------------------

--- A text without what clients change on its way: blanks.
local function words(text) return ((text or ""):gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")) end

--- A message in the terms of all clients.
local function stamp(message)
  local parts = { message.role, words(message.content) }
  for _, image in ipairs(message.images or {}) do parts[#parts + 1] = hash.sha256(image.data or tostring(image)) end
  for _, call in ipairs(message.tool_calls or {}) do
    local f = call["function"]
    parts[#parts + 1] = f.name .. "\1" .. (type(f.arguments) == "table" and json.digest(f.arguments) or tostring(f.arguments))
  end
  return table.concat(parts, "\2")
end

--- The name of a turn: of those before it, what was asked, and the answer.
local function link(chain, asked, answer)
  local parts = { chain }
  for i, message in ipairs(asked) do parts[i + 1] = stamp(message) end
  parts[#parts + 1] = stamp(answer)
  return hash.sha256(table.concat(parts, "\3"))
end

--- Calls of the client's tools have results, whatever it sends.
local function complete(answer, asked)
  local results, there = {}, {}
  for _, message in ipairs(asked) do
    if message.role == "tool" then
      if message.tool_call_id then there[message.tool_call_id] = message end
      results[#results + 1] = message
    end
  end
  for i, call in ipairs(answer.tool_calls or {}) do
    local result, name = call.id and there[call.id] or results[i], call["function"].name
    if result and not result.tool_call_id then result.tool_call_id = call.id end
    if result and not result.tool_name then result.tool_name = name end
    if not result and not (call.id and there[call.id]) then
      table.insert(asked, i, { role = "tool", tool_name = name, tool_call_id = call.id, content = "no result came" })
    end
  end
end

---@class stoke.serve.talk
---@field system? string what the client says before all: in force for this request
---@field turns { asked: table[], answer: table }[]
---@field asked table[] what is new

--- A conversation by its turns.
---@param messages table[]
---@return stoke.serve.talk
local function talk_of(messages)
  local system, turns, asked, first = {}, {}, {}, 1
  while messages[first] and messages[first].role == "system" do
    system[first], first = messages[first].content or "", first + 1
  end
  for i = first, #messages do
    local message = messages[i]
    if message.role == "assistant" then
      turns[#turns + 1] = { asked = asked, answer = message }
      asked = {}
    else
      asked[#asked + 1] = message
    end
  end
  if turns[1] then complete(turns[#turns].answer, asked) end
  return { system = system[1] and table.concat(system, "\n\n") or nil, turns = turns, asked = asked }
end

-- ---- where it stands ------------------------------------------------------------------------------------------------------------

local function perform(name, q) return errors.check(effect.perform(name, q)) end

---@class stoke.serve.stand where a request goes on
---@field found? stoke.store.told
---@field known integer turns of the client's that are in what was found
---@field chain string up to the new turn
---@field head? string the name of where the conversation stands
---@field last? boolean it is to go on wherever that is
---@field first? string id of the session, where it begins

--- What a turn is called: the same request where the conversation stands the same is the same turn.
local function key_of(chain, asked)
  local parts = { "turn", chain }
  for i, message in ipairs(asked) do parts[i + 2] = stamp(message) end
  return hash.sha256(table.concat(parts, "\3"))
end

--- Where the conversation stood last, for a request that sends nothing of it.
local function go_on(q, head, base)
  local session = q.session
  local found = perform("told.find", { names = { session.from or head } }).found
  if not found and session.from then
    errors.raise("argument", ("Previous response with id '%s' not found."):format(session.previous),
      { api = { code = "previous_response_not_found", param = "previous_response_id" } })
  elseif found and found.agent ~= q.entry.handle.name then
    errors.argument("the previous response was given by %s, and only that one can go on with it", found.agent)
  end
  local chain = found and found.chain or base
  for _, turn in ipairs(q.talk.turns) do chain = link(chain, turn.asked, turn.answer) end
  return { found = found, known = 0, chain = chain, head = head, last = not session.from and not q.talk.turns[1] }
end

--- The conversation of a request, and the names of its turns, the last one first.
local function read(self, q)
  local talk = q.talk
  if talk then return talk end
  talk = talk_of(q.messages)
  local session = q.session
  talk.base = digest("conversation", self.user, q.entry.handle.name, session.key)
  local names, chain, count = {}, talk.base, #talk.turns
  for i, turn in ipairs(talk.turns) do
    chain = link(chain, turn.asked, turn.answer)
    names[count + 1 - i] = chain
  end
  talk.names, talk.chain, q.talk = names, chain, talk
  return talk
end

local function find(self, q)
  local session, talk = q.session, read(self, q)
  local head = session.append and digest("head", self.user, q.entry.handle.name, session.key) or nil
  local count = #talk.turns
  if session.from or head and count == 0 then
    local stand = go_on(q, head, talk.base)
    if stand.found or count > 0 then return stand end
  end
  local first = count == 0 and ("%s%s/%s"):format(M.PREFIX, q.entry.handle.name, key_of(talk.base, talk.asked):sub(1, 32)) or nil
  local known = (count > 0 or first) and perform("told.find", { names = talk.names, first = first }) or {}
  local found = known.found
  return { found = found, known = found and count + 1 - found.at or 0, chain = talk.chain, head = head,
    first = known.first ~= "told" and first or nil }
end

--- A session that has what was found, and then the turns that the client alone knows of.
local function import(handle, id, found, turns, known)
  local before = found and perform("session.look", { id = found.id, agent = handle.name, messages = true, turn = found.turn })
    or { messages = {}, ends = {}, first = 1, agent = handle.name }
  local messages, ends = before.messages, before.ends
  for i = known + 1, #turns do
    local turn = turns[i]
    local list = table.move(turn.asked, 1, #turn.asked, 1, {})
    list[#list + 1] = turn.answer
    for _, message in ipairs(input.messages(handle.name, list)) do messages[#messages + 1] = message end
    ends[#ends + 1] = #messages
  end
  perform("session.make", { id = id, agent = handle.name, speaker = before.agent, messages = messages, ends = ends,
    first = before.first, summary = before.summary })
  return #ends
end

--- The session that a request goes on with, and how many turns it has. `again`: it may have one more, of a request that was the
--- same, whose answer was lost on its way when a process ended. A conversation that begins has an id that is made of its question.
local function session_of(q, talk, stand, again)
  local handle, found, turns = q.entry.handle, stand.found, talk.turns
  local all = stand.known == #turns
  if found and all and (found.turn == found.turns or found.open and again) then return found.id, found.turn end
  if found and stand.last then return found.id, found.turns end -- another process was first
  local id = ("%s%s/%s"):format(M.PREFIX, handle.name, M.id())
  if not found and not turns[1] then return again and stand.first or id, 0 end
  if not all then return id, import(handle, id, found, turns, stand.known) end
  perform("session.fork", { id = found.id, turn = found.turn, to = id })
  return id, found.turn
end

-- ---- one at a time --------------------------------------------------------------------------------------------------------------

local Hold = { __close = function(hold)
  local waiting = hold.sessions.held[hold.key]
  hold.sessions.held[hold.key] = nil
  scopes.wake_all(waiting)
end }

--- Wait until no other request is answered that stands where this one does in its conversation.
---@param q stoke.serve.turn with `session`
---@return table closing the next one's turn
---Raises `cancelled`.
---
--- Example: `local held <close> = host.sessions:hold(q)`
function Sessions:hold(q)
  local session, talk = q.session, read(self, q)
  local key = q.entry.name .. "\0" .. (session.from or session.append and session.key or key_of(talk.chain, talk.asked))
  while self.held[key] do
    local me = tasks.current()
    local woken, err = scopes.queue_up(self.held[key], me, "session")
    if woken == nil then
      scopes.deliver(me)
      error(err, 0)
    end
  end
  self.held[key] = {}
  return setmetatable({ sessions = self, key = key }, Hold)
end

local function swept(self)
  local gone, err
  repeat
    gone, err = effect.perform("told.sweep", { prefix = M.PREFIX, most = self.most, lifetime = self.lifetime })
  until err or gone == 0
  self.sweeping = nil
  if err then log.warn("old sessions of clients could not be deleted", { error = tostring(err) }) end
end

--- Sessions that are too many or too old go, beside the requests.
local function sweep(self)
  local now = time.monotonic()
  if self.sweeping or not self.task or now - self.swept < SWEEP and self.turns < MANY then return end
  self.swept, self.turns, self.sweeping = now, 0, true
  local ok = pcall(tasks.start, self.task, "sessions", function()
    local done, err = pcall(swept, self)
    if not done then self.sweeping = nil end
    if not done and errors.wrap(err).kind ~= "cancelled" then error(err, 0) end
  end)
  if not ok then self.sweeping = nil end -- the server closes
end

-- ---- a turn ---------------------------------------------------------------------------------------------------------------------

--- Errors that say that nothing can be kept here: the turn is then one without a session.
local UNKEPT = { db = true, os = true, denied = true, protocol = true }

local function told(self, q, at, talk, said, calls)
  local stand = at.stand
  local chain = link(stand.chain, talk.asked, { role = "assistant", content = said, tool_calls = calls })
  local names = { chain }
  for _, name in next, { q.session.also or chain, stand.head or chain, q.session.named or chain } do names[#names + 1] = name end
  local _, err = effect.perform("told.keep", { names = names, id = at.id, turn = at.at + 1, chain = chain })
  if err then log.error("a turn will not be found again", { session = at.id, error = tostring(err) }) end
  self.turns = self.turns + 1
  sweep(self)
end

--- The turn that a client asked for once already; nil: it is new.
local function before(self, q)
  local once = q.session.once
  if not once then return nil end
  local name = digest("once", self.user, q.entry.handle.name, q.session.key, once)
  q.session.named = name
  return perform("told.find", { names = { name } }).found
end

--- Calls that the client was given last have results, also where it sends nothing of what was said before.
local function settle(chat, asked)
  local messages = chat.messages
  local last = #messages
  while last > 0 and messages[last].role == "tool" do last = last - 1 end
  local answer, done, open = messages[last], {}, {}
  for i = last + 1, #messages do done[messages[i].tool_call_id or ""] = true end
  for _, call in ipairs(answer and answer.tool_calls or {}) do
    if not done[call.id] then open[#open + 1] = call end
  end
  if open[1] then complete({ tool_calls = open }, asked) end
end

--- Find or make the session of a request.
local function place(self, q, talk, again)
  local known = before(self, q)
  if known then return { chat = q.entry.handle:session { id = known.id }, key = q.session.once } end
  local stand = find(self, q)
  local id, at = session_of(q, talk, stand, again)
  local chat = q.entry.handle:session { id = id }
  if stand.found and not talk.turns[1] then settle(chat, talk.asked) end
  return { chat = chat, id = id, at = at, stand = stand, key = q.session.once or key_of(stand.chain, talk.asked) }
end

--- What the client says before all to a team, whose members have instructions of their own: a message, where it is another one than
--- the last of that kind.
local function preface(chat, system, asked)
  local messages = chat.messages
  local last = #messages
  while last > 0 and messages[last].role ~= "system" do last = last - 1 end
  if last > 0 and messages[last].content == system then return asked end
  local out = table.move(asked, 1, #asked, 2, {})
  out[1] = { role = "system", content = system }
  return out
end

--- Where a request goes on; nil: the store cannot be used, and the turn is one without a session.
local function placed(self, q, talk, again)
  local ok, at = pcall(place, self, q, talk, again)
  if ok then return at end
  if not errors.is(at) or not UNKEPT[at.kind] then error(at, 0) end
  if not self.warned then log.error("the sessions of clients are not kept", { error = tostring(at) }) end
  self.warned = true
end

--- Run a turn of a kept session, which must be held.
---@param q stoke.serve.turn with `session`
---@param about { turn: function, class?: string, listener: fun(event: table) } turn: as stoke.agent.kept has it
---@return stoke.agent.result|nil result nil: nothing can be kept, or there is nothing new in the request
---@return fun(said: string, calls: table[]?)|nil tell what the client has been told, calls by its names for them: before it knows
---  that the answer is over
---Raises what session:run raises; `usage` where the previous response is gone.
---
--- Example: `local result, tell = host.sessions:run(q, about)`
function Sessions:run(q, about)
  local talk = read(self, q)
  if not talk.asked[1] or not q.entry.handle.definition.name then return nil end
  for round = 1, 3 do
    local at = placed(self, q, talk, round == 1)
    if not at then return nil end
    local asked, system = talk.asked, talk.system
    if system and q.entry.handle.definition.play then asked, system = preface(at.chat, system, asked), nil end
    local ok, result = pcall(about.turn, at.chat, asked, { key = at.key, class = about.class, at = at.at,
      guest = { lend = q.tools, system = system, format = q.format } }, about.listener)
    if ok then
      return result, function(said, calls) if at.stand then told(self, q, at, talk, said, calls) end end
    end
    if not errors.is(result) or not rawget(result, "moved") then error(result, 0) end
  end
  errors.raise("overloaded", "the conversation changes all the time in another process", { retry_after = 1 })
end

return M
