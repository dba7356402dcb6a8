--- Drives a model server: one call, or one stream of lines, in any dialect. What is vendor's own is in a protocol table that a
--- module of stdlib registers with M.protocol(name, table):
---
---   request(q, stream, amend) -> options, body   what host.http takes: options prepared by it, or a table; nil, err
---                                                 (amend: options that gates have put beside the request)
---   error(status, body, q, head) -> stoke.error   an answer that is no success
---   broken(err, q) -> stoke.error                 the connection failed: the same error, with what the dialect knows of it
---   reply(text, q, attempts) -> value | nil, err  the whole body of a call that is not streamed
---   picks                                         path -> words (host/json/json.h): the lines read without decoding
---   holds(text, q) -> boolean                     an answer that begins so is read by `line`, until state.held says no more
---   line(text, state) -> event | nil, err | events (list), finished     any other line; nothing = no event
---   incomplete(state) -> stoke.error              the stream ended before `finished`
---   pool(q) -> key | nil                          what calls wait for each other by
---   server(q) -> url, what                        the server that is meant, and what it is in words: judged by the policy, and the
---                                                 retries are counted by it
---   facts(value) -> plain data | nil              what is known of a reply beside it: a recording keeps it,
---   restore(value, facts)                         and gives it back
---   usage(value) -> { input_tokens, output_tokens, seconds }
---   reserve(q, room, call) -> tokens | nil, least  tokens a budget sets aside, the answer cut down to what is free
---
--- `state` is the source: it has q, attempts where there was more than one, came() and what the protocol keeps in it; `begun` and
--- `said` where its first text was a plain one. While the protocol sets `held`, every line comes to it.
---
--- Effects: llm.chat (one reply), llm.stream (events), llm.load and llm.admin (everything but inference); q.protocol names the
--- table.

local effect = require "core.effect"
local http = require "host.http"
local streams = require "core.stream"
local task = require "host.task"

local alarm, park = task.alarm, task.park

local M = {}

local protocols = {}

--- The options of requests, read once for all that have the same: prepare { method =, url =, headers = ... }, see host.http.
M.prepare = http.prepare

--- Register a dialect.
---@param name string
---@param protocol table see above
function M.protocol(name, protocol)
  protocol.specs = {}
  for path, words in next, protocol.picks or {} do protocol.specs[path] = http.pick(words) end
  protocols[name] = protocol
end

local function server_of(q) return (protocols[q.protocol].server(q)) end

--- A model server is a host like any other.
local function subject(q)
  local url, what = protocols[q.protocol].server(q)
  local _, name = http.place(url)
  return "host", name or url, nil, what
end

local RETRY = { attempts = 3, base = 0.25, max = 4, server = server_of }

local function pool_key(q)
  local pool = protocols[q.protocol].pool
  return pool and pool(q)
end

--- A failure of the connection. Once the server has been asked it may be at work, and its work may take longer than the time
--- given: asking again by itself would add to its load, so only a connection that never came about is tried again.
local function broken(protocol, err, q)
  if err.kind == "cancelled" then return err end
  if err.kind == "timeout" and rawget(err, "phase") ~= "connect" then err.began = true end
  return protocol.broken and protocol.broken(err, q) or err
end

-- ---- one reply ----------------------------------------------------------------------------------------------------------

local function call(q, record)
  local protocol = protocols[q.protocol]
  local options, sent = protocol.request(q, false, record.amend)
  if not options then return nil, sent end
  local status, head, body = http.fetch(options, sent)
  if not status then return nil, broken(protocol, head, q) end
  if status >= 300 then return nil, protocol.error(status, body, q, head) end
  return protocol.reply(body, q, record.attempts)
end

-- ---- a stream of events ---------------------------------------------------------------------------------------------------

--- What perform's stream reads from, and the state of its protocol. `events[first..]` were made and not read yet. A source and
--- what belongs to it wait for long and in their thousands: no more fields than it has now, and none that are not needed.
local Source = {}
Source.__index = Source

local NONE = {}

local function take(source)
  local first = source.first
  local event = source.events[first]
  if event == nil then return nil end
  source.events[first], source.first = nil, first + 1
  if event.type == "done" then source.done = event end
  return event
end

--- Give one line to the protocol; false and an error when it breaks the stream.
local function digest(source, line)
  local events, finished = protocols[source.q.protocol].line(line, source)
  if events == nil then
    if finished then return false, finished end -- nil, err
    return true
  end
  source.events, source.first, source.finished = events, 1, finished
  return true
end

--- Seconds that the end of the answer may take once its last event was read.
local GOODBYE = 1

local function give_up(about) about.request:close() end

--- After the last event the connection still owes the end of the answer; taken off it, it can serve the next call.
local function drain(source)
  source.drained = true
  if source.request:ended() then return nil end
  local limit = alarm({ on_alarm = give_up, request = source.request }, GOODBYE)
  local _, err = source.request:line()
  limit:stop()
  if err and err.kind == "cancelled" then return nil, err end
end

--- After so many lines without an event the others have their turn: a megabyte of them may have come already.
local SILENT <const> = 256

--- The next event, waiting for it. `line` is one already read.
function Source:next(line)
  local silent = 0
  while true do
    local event = take(self)
    if event then return event end
    if self.finished then
      if not self.drained then return drain(self) end
      return nil
    end
    if not line then
      local err
      line, err = self.request:line()
      if not line then
        local protocol = protocols[self.q.protocol]
        return nil, err and broken(protocol, err, self.q) or protocol.incomplete(self)
      end
    end
    local ok, err = digest(self, line)
    if not ok then return nil, err end
    line, silent = nil, silent + 1
    if silent % SILENT == 0 then
      local woken, stopped = park("llm.stream", 0)
      if woken == nil then return nil, stopped end
    end
  end
end

--- Bytes of a token, and of a line that has more than one.
local TOKEN <const>, LONG <const> = 3, 1024

--- How many tokens of the answer have come, as far as anybody can tell: dialects send about one a line.
function Source:came()
  local lines, bytes = self.request:came()
  return bytes > lines * LONG and bytes // TOKEN or lines
end

function Source:close()
  self.request:close()
end

function Source:share()
  self.request:share()
end

--- Has it events at hand, or must see each line? Then the fast path has to ask it.
local function busy(source)
  return source.finished or source.events[source.first] ~= nil or source.held
end

--- What the iterator cannot read itself: a line, the end, or why the wait for a line was cut off.
local function slow(stream, line, stopped)
  local event, err = stream:next(line, stopped)
  if err then error(err, 0) end
  if event == nil then return nil end
  local how, source = stream.how, streams.innermost(stream)
  local kind = event.type
  if kind == "done" and how.on_done then how.on_done(event, source.q) end
  if not how.bare then return event, busy(source) end
  return kind == "text" and event.text ~= "" and event.text, busy(source)
end

--- Plain lines become { type = "text"|"thinking", text = } in C, or bare texts; all else goes through the stream's own next.
function Source:iterate(stream, how)
  local spec = protocols[self.q.protocol].specs[self.q.path]
  if not spec then return streams.walk(stream, how) end
  stream.how = how
  return http.iterator(self.request, spec, stream, slow, how.transcript, how.merge, how.bare, busy(self))
end

--- An answer that is no success; its body says why.
local function refused(request, protocol, status, q, head)
  local body, why = request:body()
  request:close()
  if not body then return broken(protocol, why, q) end
  return protocol.error(status, body, q, head)
end

local function open(q, record)
  local protocol = protocols[q.protocol]
  local options, sent = protocol.request(q, true, record.amend)
  if not options then return nil, sent end
  local request, err = http.start(options, sent)
  sent = nil -- luacheck: ignore (this may wait long)
  if not request then return nil, broken(protocol, err, q) end
  local status, head = request:head()
  if not status then
    request:close()
    return nil, broken(protocol, head, q)
  end
  if status >= 300 then return nil, refused(request, protocol, status, q, head) end
  local source = setmetatable({ request = request, events = NONE, first = 1, q = q, said = nil, begun = nil }, Source)
  if record.attempts > 1 then source.attempts = record.attempts end
  -- The first event, before anybody can have seen one: a failure up to here may be tried again. One that is plain text stays where
  -- it is, for the iterator.
  local spec, event, failed = protocol.specs[q.path], nil, nil
  if spec then
    local _, broke = request:ready()
    failed = broke and broken(protocol, broke, q)
    local text, second = nil, nil
    if not failed then text, second = http.plain(request, spec) end
    if text and (second or not protocol.holds or not protocol.holds(text, q)) then
      source.begun, source.said = true, true
      return source
    end
  end
  if not failed then event, failed = source:next() end
  if failed then
    request:close()
    return nil, failed
  end
  if event then
    source.first = source.first - 1
    source.events[source.first] = event
  end
  return source
end

local function usage_of(source)
  return source.done and source.done.usage or nil
end

--- A dialect that cannot tell reserves nothing.
local function reserve(q, room, record)
  local protocol = protocols[q.protocol]
  if protocol.reserve then return protocol.reserve(q, room, record) end
  return 0
end

effect.define("llm.chat", {
  taped = true, run = call, pool = pool_key, retry = RETRY, subject = subject, reserve = reserve,
  usage = function(value, q)
    local protocol = protocols[q.protocol]
    return protocol.usage and protocol.usage(value)
  end,
  facts = function(value, q)
    local protocol = protocols[q.protocol]
    return protocol.facts and protocol.facts(value)
  end,
  restore = function(value, facts, q) protocols[q.protocol].restore(value, facts) end,
})
-- Loading a model: a slot like any other call, but nothing a budget counts.
effect.define("llm.load", { taped = true, run = call, pool = pool_key, retry = RETRY, subject = subject })
-- What the server answers at once: no slot, no usage.
effect.define("llm.admin", { taped = true, run = call, retry = RETRY, subject = subject })
effect.define("llm.stream", { taped = true, run = open, stream = true, pool = pool_key, retry = RETRY, usage = usage_of,
  subject = subject, reserve = reserve })

return M
