--- /v1/responses in front of agents: stateless as Ollama has it, or, unless `store` is false, a turn of a kept session that the
--- next request goes on from by previous_response_id.

local gojson = require "stoke.ollama.server.gojson"
local checks = require "stoke.ollama.server.checks"
local failures = require "stoke.serve.failures"
local json = require "stoke.json"
local ollama = require "stoke.serve.ollama"
local passing = require "stoke.serve.passing"
local sessions = require "stoke.serve.sessions"
local turn = require "stoke.serve.turn"
local time = require "stoke.time"
local wire = require "stoke.ollama.server.wire"
local written = require "stoke.ollama.server.responses"

local M = {}

--- Requests are read as the newest server reads them.
local HABITS = { max = true }

M.REQUEST = written.REQUEST

-- ---- who writes -----------------------------------------------------------------------------------------------------------------

--- Calls as the client has them: by its own names.
local function calls_of(calls, renamed)
  local out = {}
  for i, call in ipairs(calls or {}) do
    local f = call["function"]
    local arguments = gojson.decode(json.encode(f.arguments)) -- in their order
    out[i] = { id = call.id, ["function"] = { name = renamed[f.name] or f.name, arguments = arguments } }
  end
  return out
end

--- Writes the events of a stream as they come.
local Events = {}
Events.__index = Events

local function send(self) return turn.send(self.res, wire.SSE, written.take(self.about)) end

function Events:text(text)
  written.begin(self.about)
  written.text(self.about, text)
  return send(self)
end

function Events:thinking(text)
  if self.about.spoken then return end -- what is thought between two texts has no place among the items of a response
  written.begin(self.about)
  written.thought(self.about, text)
  return send(self)
end

function Events:done(answer)
  written.begin(self.about)
  if answer.calls then written.calls(self.about, calls_of(answer.calls, self.renamed)) end
  written.finish(self.about, answer.usage.input_tokens, answer.usage.output_tokens, answer.reason == "length")
  return send(self)
end

function Events:fail(failure)
  if not self.res.started then return self.refuse(self.res, failure) end
  written.fail(self.about, failure.text)
  return send(self)
end

--- Keeps what is said, for one answer.
local Whole = {}
Whole.__index = Whole

function Whole:text(text) self.said[#self.said + 1] = text end
function Whole:thinking(text) self.thoughts[#self.thoughts + 1] = text end
function Whole:fail(failure) return self.refuse(self.res, failure) end

function Whole:done(answer)
  return wire.send(self.res, 200, wire.JSON_BARE, written.whole(self.about, table.concat(self.said), table.concat(self.thoughts),
    calls_of(answer.calls, self.renamed), answer.usage.input_tokens, answer.usage.output_tokens, answer.reason == "length"))
end

-- ---- a request ------------------------------------------------------------------------------------------------------------------

--- The text of a field that others leave out, or send as null.
local function text_of(value)
  if value == nil or value == gojson.null or value == "" then return nil end
  return value
end

--- The session of a response.
local function session_of(host, req, raw, id, previous)
  if previous then
    return { key = id, append = false, from = host.sessions:response(previous), previous = previous,
      also = host.sessions:response(id) }
  end
  local talk = text_of(raw.conversation)
  if (raw.store == false or host.sessions.most == 0) and not talk then return nil end
  local session = talk and host.sessions:conversation(talk) or host.sessions:named(req.headers, raw) or { key = id, append = false }
  session.also = host.sessions:response(id)
  return session
end

--- A turn of a request; nil and what it is refused with.
local function turn_of(host, req, entry, body, raw, id)
  local native, err = written.native(raw, HABITS)
  if not native then return nil, failures.new(400, "%s", err) end
  for _, message in ipairs(native.messages) do
    if message.role == "developer" then message.role = "system" end
  end
  local previous = text_of(body.previous_response_id)
  if previous and type(previous) ~= "string" then return nil, failures.new(400, "previous_response_id must be a string") end
  local format, wrong = checks.format(native.format)
  if wrong then return nil, failures.new(500, "%s", wrong) end
  if body.background then return nil, failures.new(400, "a response is made while its client waits: leave background out") end
  if previous and text_of(raw.conversation) then
    return nil, failures.new(400, "previous_response_id or conversation, one of both")
  end
  local tools = raw.tool_choice ~= "none" and native.tools or nil
  if entry.behind then
    if previous then return nil, failures.new(400, "%s is a model, of which nothing is kept: send the whole input", entry.name) end
    local q, bad = passing.chat(entry, native, tools, format)
    return q, bad and failures.new(400, "%s", bad)
  end
  local ok, q = pcall(ollama.turn, host, entry, native.messages, { tools = tools, format = format,
    thinking = native.think ~= false })
  if not ok then return nil, failures.of(q) end
  local named, session = pcall(session_of, host, req, raw, id, previous)
  if not named then return nil, failures.of(session) end
  q.session = session
  return q
end

--- POST /v1/responses
---@param host stoke.serve.host
---@param req stoke.http.incoming
---@param res stoke.http.reply
---@param about { body: table, raw: table, entry: stoke.serve.entry|stoke.serve.model, refuse: function } the request, read
---
--- Example: `return responses.handle(host, req, res, { body = body, raw = raw, entry = entry, refuse = openai.refuse })`
function M.handle(host, req, res, about)
  local raw, id = about.raw, "resp_" .. sessions.id()
  local q, failure = turn_of(host, req, about.entry, about.body, raw, id)
  if not q then return about.refuse(res, failure) end
  if q.messages and not q.messages[1] or q.call and not q.call.messages[1] then
    return about.refuse(res, failures.new(400, "input is missing"))
  end
  local self = { res = res, refuse = about.refuse, renamed = q.renamed,
    about = written.about(raw, id, "msg_" .. id:sub(6), time.now) }
  self.about.previous = q.session and q.session.previous
  self.about.stored = q.session ~= nil
  if about.body.stream then return turn.answer(host, q, setmetatable(self, Events)) end
  self.said, self.thoughts = {}, {}
  return turn.answer(host, q, setmetatable(self, Whole))
end

return M
