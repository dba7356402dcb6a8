--- Drives a model server: one call, or one stream of lines, in any dialect. What is a dialect's own is in a table that a module of
--- stdlib registers with M.protocol(name, table). The half that this driver uses:
---
---   request(q, target, stream, amend, candidates) -> options, body   finish a request for the target that was granted
---                                                 (lua/endpoint.lua): what host.http takes, options prepared by it, or a
---                                                 table; nil, err. amend: what gates put beside the request,
---                                                 { num_predict = tokens of the answer }: it goes
---                                                 into a copy of q.body, never into q, which is what a recording knows.
---                                                 candidates: the list that the target was chosen from; with `route`, q was
---                                                 shaped for none of them, and knows the route by the model's name
---   error(status, body, q, head, target) -> stoke.error   an answer that is no success; where it says `retryable` the call is made
---                                                 again, up to three times, as long as no event has been read
---   inquire(err, q, target, ask) -> err | nil    may ask the server something about that error, past the gates (ask(q) -> value
---                                                 | nil, err), and put it into the error's hint; a result is told instead
---   broken(err, q) -> stoke.error                 the connection failed: the same error, with what the dialect knows of it
---   reply(text, q, attempts, target) -> value | nil, err  the whole body of a call that is not streamed
---   plain(q) -> words | nil                       the shape of lines that are read without decoding (host/json/json.h)
---   holds(text, q, target) -> boolean              an answer that begins so is read by `line`, until state.held says no more
---   line(text, state) -> events (list), finished | nil, err   any other line, without its end; empty ones come, too, and so does
---                                                 "data: ..." of server-sent events. nil = no event. A wire that sends the
---                                                 arguments of a call in pieces gathers them in `state` until they are whole
---   ended(state) -> events, finished | nil, err   [the connection ended before `finished`]: what is whole all the same; nil: it
---                                                 is not, and `incomplete` says so
---   incomplete(state) -> stoke.error              the stream ended before `finished`
---   gathers(q, target, slot) -> boolean           [a whole reply is read from a stream]: the event "done" has it as `reply`. While
---                                                 it is gathered, state.kept = { text = {}, thinking = {}, odds = {} }.
---                                                 slot: what the call holds, a lane or a ticket (lua/gate/pool.lua)
---   took(value, total, first)                     [what it took as seen here]: a reply, or an event "done"; seconds until the end,
---                                                 and until the first event where that was seen
---   ready(target, ask)                            [a question is to be sent]: what must be known of the server, asked by ask(q) ->
---                                                 value | nil, err
---   adopt(q) -> q | nil, err                      [a request that another dialect has shaped]: along a route it goes to servers of
---                                                 both. Its reply is read by either dialect's `answer` and `usage`
---   usage(value) -> { input_tokens, output_tokens, ... }   what an answer has cost, with the fields of stoke.usage; those left
---                                                 out are 0 (calls and attempts 1). estimated = true where the wire told nothing
---   timings(value) -> table | nil                 what it took, as the server tells: seconds { total, load, prefill, decode } and
---                                                 tokens { input, output }. value: a reply, or a stream's last line. single =
---                                                 true: the model has one slot, and never more
---   facts(value) -> plain data | nil              what is known of a reply beside it: a recording keeps it,
---   restore(value, facts)                         and gives it back
---   estimate(q, target) -> tokens, answer         of the prompt, at a guess; of the answer: what the request bounds it by, nil
---                                                 where it does not, false where there is none (an embedding). Without this
---                                                 function a budget sets nothing aside
---   canonical(model) -> name                      names of one model that are the same
---   pooling() -> { look(target, seconds) -> q, loaded(value) -> list of { name, size? }, probe(target, seconds) -> q,
---                 [unload(target, seconds) -> q], version?(target, seconds) -> q, told_version?(value) -> text | nil }
---                                                 what the pool asks a server beside its calls: which models it holds, one
---                                                 token, to let a model go; its version. Without it: it is not asked
---   inventory(target, seconds) -> q               ask a server for its models,
---   digests(value) -> { [canonical name] = digest } | nil   and what it says of them. Without these two nothing is cached
---   open(target)                                  a target is made: put in what the settings say of the model
---
--- The other half is the model's face: stdlib/model.lua.
---
--- `state` is the source: it has q, target, attempts where there was more than one, came() and what the dialect keeps in it;
--- `begun` and `said` where its first text was a plain one. While the dialect sets `held`, every line comes to it.
---
--- Effects: llm.chat (one reply), llm.stream (events), llm.load and llm.admin (everything but inference), llm.learned (what earlier
--- answers taught). The third argument of perform is the list of targets that the call may be sent to; without it, the model of
--- the request at its endpoint, in the dialect that q.protocol names.

local again = require "core.journal.again"
local effect = require "core.effect"
local endpoints = require "core.endpoint"
local errors = require "core.errors"
local frames = require "core.frame"
local http = require "host.http"
local policy = require "core.gate.policy"
local pool = require "core.gate.pool"
local streams = require "core.stream"
local task = require "host.task"
local traceparent = require "core.gate.traceparent"
local monotonic = require "host.time".monotonic

local alarm, park = task.alarm, task.park

local M = {}

local protocols = {}

local plain_of = setmetatable({}, { __mode = "k" }) -- for a policy that adds to them

--- The options of requests, read once for all that have the same: prepare { method =, url =, headers = ... }, see host.http.
---@param options table
---@return any prepared
function M.prepare(options)
  local prepared = http.prepare(options)
  plain_of[prepared] = options
  return prepared
end

--- Shapes of lines, by their words.
local specs = setmetatable({}, { __index = function(list, words)
  local spec = http.pick(words)
  list[words] = spec
  return spec
end })

--- Register a dialect.
---@param name string
---@param protocol table see above
function M.protocol(name, protocol)
  protocol.name = name
  protocols[name] = protocol
end

--- A dialect that was registered.
---@param name string
---@return table|nil
function M.dialect(name) return protocols[name] end

--- The target of a call: the one it was granted, or the first that it may be sent to.
local function target_of(q, call)
  local candidates = call and call.work
  if candidates then return candidates[1] end
  local protocol = protocols[q.protocol] or errors.argument("no dialect of model servers is named %s", tostring(q.protocol))
  return endpoints.target(endpoints.of(q.endpoint), q.model, protocol)
end

--- A route leads only where the policy lets it: what it denies is left out, and what a person is asked about, as long as there is
--- another. Of the last ones the first is judged.
local function permitted(candidates)
  local list, asked = {}, nil
  for _, target in ipairs(candidates) do
    local _, name = http.place(target.endpoint.meant)
    local verdict = policy.verdict("host", name or target.endpoint.meant)
    if verdict == "ask" then asked = asked or target elseif verdict ~= "deny" then list[#list + 1] = target end
  end
  if not list[1] then list[1] = asked or candidates[1] end
  for name, value in next, candidates do
    if type(name) == "string" then list[name] = value end
  end
  return list
end

--- A model server is a host like any other.
local function subject(q, call)
  if call and call.work and call.work[2] and policy.rules then call.work = permitted(call.work) end
  local endpoint = target_of(q, call).endpoint
  local _, name = http.place(endpoint.meant)
  return "host", name or endpoint.meant, nil, ("the model server of the endpoint %q"):format(endpoint.name)
end

local RETRY = { attempts = 3, base = 0.25, max = 4 }

--- Of several targets the pool chooses one, and sets call.target to it (lua/gate/turns.lua): there is no lane of this name.
local ROUTE <const> = "route"

--- Where a call goes, chosen when it is its turn to ask for a slot; and the key of the slots it waits for.
local function route(q, call)
  local candidates = call.work
  local target = candidates and candidates[1] or target_of(q, call)
  call.target = target
  if candidates and candidates[2] then return ROUTE end
  return target.key
end

--- A text that was written before its turn: the dialect makes it again.
local function drop_text(q) q.sent = nil end

--- What the server answers at once waits for no slot.
local function route_at_once(q, call)
  call.target = target_of(q, call)
end

--- A failure of the connection. Once the server has been asked it may be at work, and its work may take longer than the time
--- given: asking again by itself would add to its load, so only a connection that never came about is tried again.
local function broken(protocol, err, q)
  if err.kind == "cancelled" then return err end
  if err.kind == "timeout" and rawget(err, "phase") ~= "connect" then err.began = true end
  return protocol.broken and protocol.broken(err, q) or err
end

--- The same options, with the headers of the trace.
local function traced(options, span)
  local out = {}
  for name, value in next, plain_of[options] or options do out[name] = value end
  out.headers = traceparent.headers(out.headers, span)
  return out
end

--- What the dialect asks for, as the policy lets it reach the server: not where another one stands in for it, in this process.
local function request_of(q, record, streamed)
  local target = record.target
  local options, sent = target.dialect.request(q, target, streamed, record.amend, record.work)
  local endpoint = target.endpoint
  if options and record.span then options = traced(options, record.span) end
  if not options or not policy.rules or endpoint.url ~= endpoint.meant then return options, sent end
  local reach, refused = policy.reach(plain_of[options] or options, endpoint.url)
  if not reach then return nil, refused end
  return reach, sent
end

--- An error of a call along a route says where it happened: its request names the route alone.
---@param way string|nil its route
local function along(way, target, err)
  if not way or err.kind == "cancelled" then return err end
  err.endpoint, err.model = target.endpoint.name, target.served
  err.message = ("%s (%s at %s, along the route %s)"):format(err.message, target.served, target.endpoint.name, way)
  return err
end

-- ---- one reply ----------------------------------------------------------------------------------------------------------

--- Before a server is asked its dialect may want to know it: asked at once, on no tape, as the call has a slot. It does without,
--- but who was cancelled meanwhile asks nothing more.
---@return stoke.error|nil cancelled
local function prepare(q, target)
  local ready, cancelled = q.body and target.dialect.ready, nil
  if not ready then return nil end
  ready(target, function(other)
    local value, err = M.ask(other, target)
    if err and err.kind == "cancelled" then cancelled = err end
    return value, err
  end)
  return cancelled
end

--- A request in the dialect of the server that it was granted: along a route another may have shaped it.
local function suited(q, target, way)
  local dialect = target.dialect
  if not way or q.protocol == dialect.name then return q end
  return dialect.adopt(q)
end

local call, gathered -- the second: a whole reply from a stream, below

--- An answer that is no success, as an error. What its dialect wants to know for that is asked at once: the call has a slot.
local function failure(status, body, q, head, target)
  local protocol = target.dialect
  local err = protocol.error(status, body, q, head, target)
  if not protocol.inquire then return err end
  return protocol.inquire(err, q, target, function(other) return call(other, { target = target }) end) or err
end

function call(asked, record)
  local target, work = record.target, record.work
  local protocol, way = target.dialect, work and work.route
  if way and work[2] and pool.settings.hedge and not record.alone then
    return require "core.gate.hedge".run(call, asked, record)
  end
  local q, unfit = suited(asked, target, way)
  if not q then return nil, unfit end
  local stopped = prepare(q, target)
  if stopped then return nil, stopped end
  if protocol.gathers and protocol.gathers(q, target, record.slot) then return gathered(q, record, way) end
  local began = protocol.took and monotonic()
  local options, sent = request_of(q, record, false)
  if not options then return nil, sent end
  local status, head, body = http.fetch(options, sent)
  if not status then return nil, along(way, target, broken(protocol, policy.reached(options, head), q)) end
  if status >= 300 then return nil, along(way, target, failure(status, body, q, head, target)) end
  if not way and not began then return protocol.reply(body, q, record.attempts, target) end
  local value, err = protocol.reply(body, q, record.attempts, target)
  if not value then return nil, along(way, target, err) end
  if began then protocol.took(value, monotonic() - began) end
  if way then value.endpoint = target.endpoint.name end -- which server of the route it was
  return value
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
  if event.type == "done" then
    source.done = event
    local sent = source.sent
    if sent then source.target.dialect.took(event, monotonic() - sent, source.seen) end
    if source.routed then event.endpoint, event.reply.endpoint = source.target.endpoint.name, source.target.endpoint.name end
  end
  return event
end

--- Give one line to the protocol, or the end; false and an error when that breaks the stream.
local function digest(source, line, read)
  local events, finished
  if line then events, finished = read(line, source) else events, finished = read(source) end
  if events == nil then
    if finished then return false, finished end -- nil, err
    return line ~= nil
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
        local protocol = self.target.dialect
        if err then return nil, broken(protocol, err, self.q) end
        local ok, failed = false, nil
        if protocol.ended then ok, failed = digest(self, nil, protocol.ended) end
        if not ok then return nil, failed or protocol.incomplete(self) end
        self.drained = true
      end
    end
    if line then
      local ok, err = digest(self, line, self.target.dialect.line)
      if not ok then return nil, err end
    end
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
  if kind == "done" and how.on_done then how:on_done(event) end
  if not how.bare then return event, busy(source) end
  return kind == "text" and event.text ~= "" and event.text, busy(source)
end

--- Plain lines become { type = "text"|"thinking", text = } in C, or bare texts; all else goes through the stream's own next.
function Source:iterate(stream, how)
  local plain = self.target.dialect.plain
  local words = plain and plain(self.q)
  if not words then return streams.walk(stream, how) end
  stream.how = how
  return http.iterator(self.request, specs[words], stream, slow, how.transcript, how.merge, how.bare, busy(self))
end

--- An answer that is no success; its body says why.
local function refused(request, target, status, q, head)
  local body, why = request:body()
  request:close()
  if not body then return broken(target.dialect, why, q) end
  return failure(status, body, q, head, target)
end

-- Opening is three calls, each the last thing the one before does: while one waits, what only the others need is gone, and its
-- stack is small.

--- The first event, before anybody can have seen one: a failure up to here may be tried again. One that is plain text stays where
--- it is, for the iterator.
local function begun(source)
  local request, q, target = source.request, source.q, source.target
  local protocol = target.dialect
  local words = protocol.plain and protocol.plain(q)
  local spec, failed = words and specs[words], nil
  if spec then
    local _, broke = request:ready()
    failed = broke and broken(protocol, broke, q)
    local text, second = nil, nil
    if not failed then text, second = http.plain(request, spec) end
    if text and (second or not protocol.holds or not protocol.holds(text, q, target)) then
      source.begun, source.said = true, true
      return source
    end
  end
  local event = nil
  if not failed then event, failed = source:next() end
  if failed then
    request:close()
    return nil, along(source.routed, target, failed)
  end
  if event then
    source.first = source.first - 1
    source.events[source.first] = event
  end
  if source.sent then source.seen = monotonic() - source.sent end
  return source
end

--- reached: what was sent, where the policy of hosts has a say; else nil. routed: the route that the target was chosen along.
--- began: when it was sent, where the dialect wants to know; kept: what a whole reply is gathered in.
local function answered(q, target, request, attempts, reached, routed, began, kept)
  local status, head = request:head()
  if not status then
    request:close()
    return nil, along(routed, target, broken(target.dialect, policy.reached(reached, head), q))
  end
  if status >= 300 then return nil, along(routed, target, refused(request, target, status, q, head)) end
  local source = setmetatable({ request = request, events = NONE, first = 1, q = q, target = target, said = nil,
    begun = nil }, Source)
  if attempts > 1 then source.attempts = attempts end
  if routed then source.routed = routed end
  if began then source.sent = began end
  if kept then source.kept = kept end
  return begun(source)
end

local function open(asked, record, kept)
  local target = record.target
  local routed = record.work and record.work.route
  local q, unfit = suited(asked, target, routed)
  if not q then return nil, unfit end
  local stopped = not kept and prepare(q, target)
  if stopped then return nil, stopped end
  local options, sent = request_of(q, record, true)
  if not options then return nil, sent end
  local began = target.dialect.took and monotonic()
  local request, err = http.start(options, sent)
  if not request then return nil, along(routed, target, broken(target.dialect, policy.reached(options, err), q)) end
  return answered(q, target, request, record.attempts, type(options) == "table" and options.reached and options, routed, began,
    kept)
end

--- Ask a target's server something beside the call that is under way.
---@param q table
---@param target stoke.target
---@return any value
---@return stoke.error? err
function M.ask(q, target) return call(q, { target = target, attempts = 1 }) end

local LEAVING = { __close = function(about)
  about.record.source = nil
  about.source:close()
end }

--- A whole reply that is read from a stream.
function gathered(q, record, way)
  local source, failed = open(q, record, { text = {}, thinking = {}, odds = {} })
  if not source then return nil, failed end
  record.source = source -- for who asks how far it is
  local _ <close> = setmetatable({ source = source, record = record }, LEAVING)
  local value = nil
  repeat
    local event, err = source:next()
    if err then return nil, along(way, source.target, err) end
    if event and event.type == "done" then value = event.reply end
  until not event
  if way then value.endpoint = source.target.endpoint.name end
  return value
end

--- A stream that was cut off with the process that read it. The answer is asked for once more, through the gates, and goes on where
--- the run stood, unless it is another one.
local function resume(q, items, candidates)
  local last = items[#items]
  if last and type(last.value) == "table" and last.value.type == "done" then return again.ENDED end
  local outside <close> = frames.outside() -- luacheck: ignore
  local stream, err = effect.perform("llm.stream", q, candidates)
  if not stream then return nil, err end
  return again.behind("llm.stream", stream, items)
end

local function usage_of(source)
  return source.done and source.done.usage or nil
end

--- What a call took, as its server tells: of a reply, or of a stream.
local function timings_of(value, q)
  local target = value.target -- of a stream
  local dialect = target and target.dialect or protocols[q.protocol]
  local last = value.done
  return dialect and dialect.timings and dialect.timings(type(last) == "table" and last.reply or value) or nil
end

--- Answers are bound to this many tokens where a budget of tokens holds and the call does not say.
local ANSWER <const> = 2048
--- An answer of fewer tokens is not worth a call.
local LEAST <const> = 16

--- Set tokens of a budget aside for a call: its prompt, and its answer, which is cut down to what is free. That is no part of what
--- was asked: it goes beside the request (call.amend), so that a recording finds the same request under another budget.
local function reserve(q, room, record)
  local target = target_of(q, record)
  local estimate = target.dialect.estimate
  if not estimate then return 0 end
  local input, wanted = estimate(q, target)
  record.asked = input
  if wanted == false then return input <= room and input or nil, input end
  if not wanted or wanted < 0 then wanted = ANSWER end
  local output = math.min(wanted, math.floor(room) - input)
  if output < math.min(LEAST, wanted) then return nil, input + math.min(LEAST, wanted) end
  record.amend = { num_predict = output }
  return input + output
end

-- Which endpoint answers, and how long it may take, is not what is asked.
local ASIDE = { "endpoint", "timeouts" }

--- What a server is asked by a method that changes something: a pull, a deletion, an upload. All of these may be asked again.
local function class_of(q) return q.method == "GET" and "pure" or "idempotent" end

effect.define("llm.chat", {
  taped = true, cached = true, class = "idempotent", repeats = true, aside = ASIDE,
  run = call, pool = route, waits = drop_text, retry = RETRY, subject = subject, reserve = reserve, timings = timings_of,
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
effect.define("llm.load", { taped = true, class = "idempotent", repeats = true, aside = ASIDE,
  run = call, pool = route, retry = RETRY, subject = subject })
-- What the server answers at once: no slot, no usage.
effect.define("llm.admin", { taped = true, class = class_of, aside = ASIDE,
  run = call, pool = route_at_once, retry = RETRY, subject = subject })
effect.define("llm.stream", { taped = true, cached = true, class = "idempotent", repeats = true, aside = ASIDE,
  run = function(q, record) return open(q, record) end, stream = true, told = true, resume = resume, pool = route,
    waits = drop_text, retry = RETRY, usage = usage_of, subject = subject, reserve = reserve, timings = timings_of })
-- Which dialect an endpoint speaks, where nobody has said: what a run asked by is on its tape.
effect.define("llm.dialect", { taped = true, class = "pure", quiet = true, in_body = true,
  run = function(_, _, find) return find() end })
-- What answers have taught so far, as an agent run begins with it: on a tape, since the run asks by it.
effect.define("llm.learned", { taped = true, class = "pure", quiet = true, in_body = true,
  absent = function(_, learned) return learned end, run = function(_, _, learned) return learned end })

return M
