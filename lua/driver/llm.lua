--- Drives a model server: one call, or one stream of lines, in any dialect. What is vendor's own is in a protocol table that a
--- module of stdlib registers with M.protocol(name, table):
---
---   request(q, stream) -> { method, url, headers, body, connect, first_byte, idle, total }
---   error(status, body, q) -> stoke.error       an answer that is no success
---   reply(text, q) -> value | nil, err          the whole body of a call that is not streamed
---   picks                                       path -> words (host/json.h): the lines read without decoding
---   line(text, state) -> event | nil, err | events (list), finished     any other line; nothing = no event
---   incomplete(state) -> stoke.error            the stream ended before `finished`
---   pool(q) -> key | nil                        what calls wait for each other by
---   usage(value) -> { input_tokens, output_tokens, seconds }
---
--- Effects: llm.chat (one reply), llm.stream (events) and llm.admin (everything but inference); q.protocol names the table.

local effect = require "core.effect"
local http = require "host.http"

local M = {}

local protocols = {}

--- Register a dialect.
---@param name string
---@param protocol table see above
function M.protocol(name, protocol)
  protocol.specs = {}
  for path, words in next, protocol.picks or {} do protocol.specs[path] = http.pick(words) end
  protocols[name] = protocol
end

local RETRY = { attempts = 3, base = 0.25, max = 4 }

local function pool_key(q)
  local protocol = protocols[q.protocol]
  return protocol.pool and protocol.pool(q)
end

-- ---- one reply ----------------------------------------------------------------------------------------------------------

local function call(q)
  local protocol = protocols[q.protocol]
  local request, invalid = protocol.request(q, false)
  if invalid then return nil, invalid end
  local status, head, body = http.fetch(request)
  if not status then return nil, head end
  if status >= 400 then return nil, protocol.error(status, body, q, head) end
  return protocol.reply(body, q)
end

-- ---- a stream of events ---------------------------------------------------------------------------------------------------

--- What perform's stream reads from. `state` belongs to the protocol; `events[first..]` were made and not read yet.
local Source = {}
Source.__index = Source

local function take(source)
  local first = source.first
  local event = source.events[first]
  if event ~= nil then
    source.events[first], source.first = nil, first + 1
    if event.type == "done" then source.done = event end
    return event
  end
end

--- Give one line to the protocol; false and an error when it breaks the stream.
local function digest(source, line)
  local events, finished = source.protocol.line(line, source.state)
  if events == nil then
    if finished then return false, finished end -- nil, err
    return true
  end
  source.events, source.first, source.finished = events, 1, finished
  return true
end

--- The next event, waiting for it. `line` is one already read.
function Source:next(line)
  while true do
    local event = take(self)
    if event then return event end
    if self.finished then return nil end
    if not line then
      local err
      line, err = self.request:line()
      if not line then return nil, err or self.protocol.incomplete(self.state) end
    end
    local ok, err = digest(self, line)
    if not ok then return nil, err end
    line = nil
  end
end

function Source:close()
  self.request:close()
end

local function open(q)
  local protocol = protocols[q.protocol]
  local options, invalid = protocol.request(q, true)
  if invalid then return nil, invalid end
  local request, err = http.start(options)
  if not request then return nil, err end
  local status, head = request:head()
  if not status then
    request:close()
    return nil, head
  end
  if status >= 400 then
    local body, why = request:body()
    request:close()
    return nil, body and protocol.error(status, body, q, head) or why
  end
  local source = setmetatable({ request = request, protocol = protocol, state = { q = q }, events = {}, first = 1 }, Source)
  -- The first event, before anybody can have seen one: a failure up to here may be tried again.
  local event, failed = source:next()
  if failed then
    request:close()
    return nil, failed
  end
  source.events, source.first = { event }, 1
  source.done = nil
  return source
end

local function usage_of(value)
  local done = value.done or value
  return done.usage or nil
end

effect.define("llm.chat", {
  run = call, pool = pool_key, retry = RETRY,
  usage = function(value) return M.usage(value) end,
})
-- What the server answers at once: no slot, no usage.
effect.define("llm.admin", { run = call, retry = RETRY })
effect.define("llm.stream", { run = open, stream = true, pool = pool_key, retry = RETRY, usage = usage_of })

--- What a finished call used; replaced by the protocol that makes the replies.
function M.usage() return nil end

--- The fastest way through a stream: a function for generic `for`. Plain lines become { type = "text"|"thinking", text = }
--- without a look at the gates; all else goes through the stream's own next.
---@param stream stoke.stream of effect llm.stream
---@return fun(stream): table|nil
function M.iterator(stream)
  local source = stream.source
  local spec = source.protocol.specs[source.state.q.path]
  local function slow(_, line)
    local event, err = stream:next(line)
    if err then error(err, 0) end
    return event, source.finished or source.events[source.first] ~= nil
  end
  if not spec then return slow end
  return http.iterator(source.request, spec, slow)
end

return M
