--- Streams: what perform returns for an effect with `stream`, and the sources they read from.
---
--- A source is what a driver returns. It has
---
---   next(given) -> item | nil | nil, err   the next item; nil at the end; given: an item that the iterator read directly
---   close()                                idempotent; closes the connection at once
---
--- and optionally
---
---   about                    plain data known after opening: a status, a process id
---   came() -> integer        tokens received, read or not: the usage of an incomplete answer
---   done                     the event of type "done", once it was read: its usage settles the call
---   iterate(stream, how)     a function for generic `for` that reads items without a Lua call for each (see stoke.stream.how);
---                            it falls back to stream:next
---   rest() -> item           the rest as one item
---   share()                  a cancelled reader leaves the source open for other readers
---
--- A stream is a source owned by a scope. Its laws: `next` returns nil again after the end, and the same error again after an
--- error; `close` is idempotent, and no item follows it; its call is settled once, at the end, an error or the close. Other
--- sources can be put between the two: a recorder records what is read from a source, a player replays a recording, a tee has
--- several readers.
---
--- A transcript is a recording of a stream as one string: a piece for each item, with its kind, the microseconds since the previous
--- piece, and its bytes (host/bind/bind_transcript.h). Strings are stored as they are, other items as JSON. The fast path of a
--- source appends to it in C, so recording costs one copy of the text.

local host = require "host.task"
local errors = require "core.errors"
local json = require "core.json"
local scopes = require "core.scope"
local transcripts = require "host.transcript"
local monotonic = require "host.time".monotonic

local M = {}

local current, deliver, read = host.current, scopes.deliver, transcripts.read

---@class stoke.stream.how how a stream is iterated
---@field merge? boolean texts already received are merged into one event
---@field bare? boolean yield strings instead of events; other events are read and skipped
---@field on_done? fun(how: table, event: table) called with the event of type "done", before the reader; may raise
---@field transcript? userdata records what is read

-- ---- a stream -----------------------------------------------------------------------------------------------------------------

---@class stoke.stream
---@field about table plain data known after opening
local Stream = {}
Stream.__name = "stoke.stream"

function Stream.__index(stream, key)
  if key == "about" then return stream.source.about end
  return Stream[key]
end

local function finish(stream, err)
  if stream.ended then return end
  stream.ended = true
  if stream.alarm then stream.alarm:stop() end
  scopes.disown(stream.scope, stream)
  local source = stream.source
  if err and source.came then stream.call.came = source:came() end -- incomplete: there is no reported usage
  source:close()
  local call = stream.call
  getmetatable(call).settle(call, err == nil and source or nil, err)
end

--- The next item; nil at the end; nil and an error on failure. `given` is an item that the caller has read from the source
--- directly, `stopped` the error of its wait for the source.
function Stream:next(given, stopped)
  if self.ended then return nil, self.err end
  local task = current()
  local item, err = nil, stopped
  if not err then
    deliver(task)
    item, err = self.source:next(given)
  end
  if item ~= nil then
    self.call.begun = true
    return item
  end
  if self.ended and self.err then return nil, self.err end -- its time was over while this waited
  self.err = err
  finish(self, err)
  if err and err.kind == "cancelled" then deliver(task) end
  return nil, err
end

--- Close the stream and its connection at once. A no-op the second time.
function Stream:close()
  if not self.ended then finish(self, errors.new("cancelled", "the stream was closed")) end
end

function Stream:__close()
  self:close()
end

--- The time that it was given is over: its reader is raised the error.
local function too_late(about)
  local stream = about.stream
  if stream.ended then return end
  stream.err = about.err
  finish(stream, about.err)
end

--- Bound what is left of a stream.
---@param seconds number from now
---@param err stoke.error which its reader is raised then
function Stream:bound(seconds, err)
  if not self.ended then self.alarm = host.alarm({ on_alarm = too_late, stream = self, err = err }, seconds) end
end

--- Let another scope own the stream.
---@param scope table one around that which it was opened in
function Stream:move(scope)
  if self.ended then return end
  scopes.disown(self.scope, self)
  self.scope = scope
  scopes.own(scope, self)
end

--- Approximate number of tokens received so far, read or not.
---@return integer
function Stream:came()
  local source = self.source
  return source.came and source:came() or 0
end

--- Read the rest as one string; the stream has ended afterwards.
---@return string|nil
---@return stoke.error? err
function Stream:rest()
  if self.ended then return nil, self.err end
  local rest = self.source.rest
  if rest then
    local task = current()
    deliver(task)
    local text, err = rest(self.source)
    self.err = err
    finish(self, err)
    if err and err.kind == "cancelled" then deliver(task) end
    return text, err
  end
  local parts = {}
  for item in function() return self:next() end do parts[#parts + 1] = item end
  if self.err then return nil, self.err end
  return table.concat(parts)
end

--- A function for generic `for`: the next item; raises the error of a failed stream.
---@param how stoke.stream.how
---@return fun(): any
function Stream:iterate(how)
  local source = self.source
  if source.iterate then return source:iterate(self, how) end
  return M.walk(self, how)
end

--- Record what is read from the stream; where somebody does already, his record is this one's, too.
---@return userdata transcript `text()` gives it as a string
function Stream:transcript()
  if not rawget(self.source, "transcript") then self.source = M.recorder(self.source) end
  return self.source.transcript
end

--- Create a stream owned by a scope.
---@param source table
---@param scope table
---@param call table settled when the stream ends
---@return stoke.stream
function M.open(source, scope, call)
  local stream = setmetatable({ source = source, scope = scope, call = call }, Stream)
  scopes.own(scope, stream)
  return stream
end

--- The innermost source of a stream.
---@param stream stoke.stream
---@return table source
function M.innermost(stream)
  local source = stream.source
  while source.inner do source = source.inner end
  return source
end

--- The default `iterate`.
---@param stream stoke.stream
---@param how stoke.stream.how
---@return fun(): any
function M.walk(stream, how)
  local bare = how.bare
  return function()
    while true do
      local item, err = stream:next()
      if err then error(err, 0) end
      if item == nil then return nil end
      local kind = type(item) == "table" and item.type
      if kind == "done" and how.on_done then how:on_done(item) end
      if not bare then return item end
      if kind == "text" and item.text ~= "" then return item.text end
    end
  end
end

-- ---- transcripts ----------------------------------------------------------------------------------------------------------------

--- Kinds of pieces. The first two are C's, too (host/bind/bind_transcript.h). The arguments of a call keep their order.
local TEXT <const>, THINKING <const>, STRING <const>, EVENT <const>, CALL <const>, BROKEN <const> = "t", "k", "s", "j", "c", "x"
local ORDERED = { ordered = true }

--- Add an item to a transcript.
---@param transcript userdata
---@param item any
---@param at? number seconds after the start of the transcript; default: now
function M.note(transcript, item, at)
  if type(item) == "string" then return transcript:put(STRING, item, at) end
  local kind, text = item.type, item.text
  if (kind == "text" or kind == "thinking") and type(text) == "string" and next(item, next(item, next(item))) == nil then
    return transcript:put(kind == "text" and TEXT or THINKING, text, at)
  end
  local encoded, err = json.encode(item)
  if not encoded then return transcript:put(BROKEN, err.message, at) end -- cannot be encoded: the reader gets the error
  return transcript:put(kind == "tool_call" and CALL or EVENT, encoded, at)
end

local function item_of(kind, bytes)
  if kind == TEXT then return { type = "text", text = bytes } end
  if kind == THINKING then return { type = "thinking", text = bytes } end
  if kind == STRING then return bytes end
  if kind == BROKEN then return nil, errors.new("replay", "an item of this stream could not be noted: " .. bytes) end
  local item, err = json.decode(bytes, kind == CALL and ORDERED or nil)
  if err then return nil, errors.new("replay", "a piece of a transcript is broken: " .. err.message) end
  if kind == CALL and type(item.call) == "table" then item.arguments = item.call["function"].arguments end
  return item
end

--- The item at a position of a transcript.
---@param transcript userdata|string
---@param position integer 0 for the first
---@return integer|nil position of the next item; nil at the end
---@return any item
---@return number seconds since the item before
---@return stoke.error? err
local function item_at(transcript, position)
  local after, kind, wait, bytes = read(transcript, position)
  if after == nil then return nil end
  if not after then return position, nil, 0, errors.new("replay", "this is no transcript of a stream, or it was cut short") end
  local item, err = item_of(kind, bytes)
  return after, item, wait / 1e6, err
end

M.item_at = item_at

--- The items of a transcript, in order.
---@param transcript userdata|string
---@return fun(): number|nil, any seconds since its start, and the item
function M.items(transcript)
  local position, at = 0, 0
  return function()
    local after, item, wait, err = item_at(transcript, position)
    if err then error(err, 0) end
    if not after then return nil end
    position, at = after, at + wait
    return at, item
  end
end

--- What a model has said in a stream that was recorded, as a message; nil where it was not.
---@param source table
---@return { role: string, content: string, thinking?: string, tool_calls?: table[] }|nil
---
--- Example: `local message = streams.message(value)`
function M.message(source)
  local transcript = rawget(source, "transcript")
  if not transcript then return nil end
  local words, thoughts, calls = {}, {}, {}
  for _, item in M.items(transcript) do
    local kind = type(item) == "table" and item.type
    if kind == "text" then
      words[#words + 1] = item.text
    elseif kind == "thinking" then
      thoughts[#thoughts + 1] = item.text
    elseif kind == "tool_call" then
      calls[#calls + 1] = item.call or { ["function"] = { name = item.name, arguments = item.arguments } }
    end
  end
  return { role = "assistant", content = table.concat(words), thinking = thoughts[1] and table.concat(thoughts) or nil,
    tool_calls = calls[1] and calls or nil }
end

--- Create a transcript.
---@param began? number its start (host.time.monotonic); default: now
---@return userdata
M.transcript = transcripts.new

-- ---- the recorder ---------------------------------------------------------------------------------------------------------------

local Recorder = {}
Recorder.__index = Recorder

--- A source that records what is read from another one. The fast path of that one is kept.
---@param inner table the source
---@param began? number the moment that times count from; now when not given
---@param on_end? fun(kind: "end"|"error"|"cut", err?: stoke.error, recorder: table) called once at its end
---@return table source with `transcript`
function M.recorder(inner, began, on_end)
  return setmetatable({ inner = inner, about = inner.about, transcript = M.transcript(began), on_end = on_end }, Recorder)
end

local function ended(recorder, kind, err)
  local on_end = recorder.on_end
  recorder.on_end = nil
  if on_end then on_end(kind, err, recorder) end
end

local function over(recorder, err)
  ended(recorder, not err and "end" or err.kind == "cancelled" and "cut" or "error", err)
  return nil, err
end

function Recorder:next(given)
  local item, err = self.inner:next(given)
  if item == nil then return over(self, err) end
  if type(item) == "table" and item.type == "done" then self.done = item end
  M.note(self.transcript, item)
  return item
end

function Recorder:came()
  local inner = self.inner
  return inner.came and inner:came() or 0
end

function Recorder:iterate(stream, how)
  local inner = self.inner
  if not inner.iterate then return M.walk(stream, how) end
  return inner:iterate(stream, setmetatable({ transcript = self.transcript }, { __index = how }))
end

function Recorder:rest()
  local inner, parts = self.inner, {}
  local rest, err
  if inner.rest then
    rest, err = inner:rest()
  else
    local item
    repeat
      item, err = inner:next()
      parts[#parts + 1] = item
    until item == nil
    rest = err == nil and table.concat(parts) or nil
  end
  if not rest then return over(self, err) end
  M.note(self.transcript, rest)
  ended(self, "end")
  return rest
end

function Recorder:share()
  if self.inner.share then self.inner:share() end
end

function Recorder:close()
  ended(self, "cut")
  self.inner:close()
end

-- ---- the player -----------------------------------------------------------------------------------------------------------------

--- Wait until `at` seconds after `began`; false and an error if the wait was cancelled.
---@param began number
---@param at number
---@return boolean
---@return stoke.error? err
function M.until_due(began, at)
  local left = began + at - monotonic()
  if left <= 0 then return true end
  local _, err = host.park("replay", left)
  if err then return false, err end
  return true
end

--- Seconds that a reader may wait for more than was recorded of what was cut off: it waited then, too, and what cut it off comes
--- about as late again. Real work between the two took time then, and takes none under a virtual clock.
M.PATIENCE = 1

local Player = {}
Player.__index = Player

---@class stoke.stream.played
---@field began number the moment that times count from
---@field at? number seconds after which it ends
---@field about? table
---@field q? any the request
---@field came? integer tokens received at its end
---@field err? stoke.error it ended with
---@field cut? fun(): stoke.error it was closed early: the error of a reader that waits longer than the recorded one did

--- A source that replays a transcript, each item at its recorded time.
---@param transcript string
---@param played stoke.stream.played
---@return table source
function M.player(transcript, played)
  return setmetatable({ transcript = transcript, played = played, about = played.about, q = played.q, position = 0, at = 0,
    count = 0 }, Player)
end

function Player:next()
  if self.closed then return nil end
  local played = self.played
  local after, item, wait, err = item_at(self.transcript, self.position)
  if err then return nil, err end
  local due = after and self.at + wait or math.max(self.at, played.at or 0) + (played.cut and M.PATIENCE or 0)
  local ok, stopped = M.until_due(played.began, due)
  if not ok then return nil, stopped end
  if not after then
    if played.cut then return nil, played.cut() end
    self.over = true
    return nil, played.err
  end
  self.position, self.at, self.count = after, due, self.count + 1
  if type(item) == "table" and item.type == "done" then self.done = item end
  return item
end

function Player:came()
  if self.played.came and read(self.transcript, self.position) == nil then return self.played.came end
  return self.count
end

function Player:close()
  self.closed = true
end

-- ---- the tee --------------------------------------------------------------------------------------------------------------------

--- Bytes that a reader of a tee may lag behind the first.
M.BEHIND = 1 << 20

local Reader = {}
Reader.__index = Reader

--- Several readers of one source. The first reader reads from the source, the others get the same items from its transcript.
--- Readers do not wait for each other: one that lags more than `most` bytes behind fails with kind `limit`, and the others
--- continue. (If the first waited for the last, a sleeping reader would hold the server's slot, and a task that reads one after
--- the other would deadlock.) The source is closed when all readers are closed.
---@param source table
---@param count? integer readers; default 2
---@param most? integer bytes of transcript; default stream.BEHIND
---@return table ... sources
function M.tee(source, count, most)
  local recorder, readers = M.recorder(source), {}
  recorder:share()
  local tee = { recorder = recorder, readers = readers, open = count or 2, most = most or M.BEHIND, waiting = {} }
  for i = 1, tee.open do
    readers[i] = setmetatable({ tee = tee, position = 0, about = source.about }, Reader)
  end
  return table.unpack(readers)
end

--- Fail readers that lag too far behind, and drop what all others have read.
local function trim(tee)
  local transcript = tee.recorder.transcript
  local size = transcript:size()
  local least = size
  for _, reader in ipairs(tee.readers) do
    if not reader.closed and size - reader.position > tee.most then
      reader.closed, tee.open = true, tee.open - 1
      reader.err = errors.new("limit", ("this reader of a shared stream is %d bytes behind the first; at most %d are kept")
        :format(size - reader.position, tee.most), { hint = "read it as it comes, in a task of its own" })
    end
    if not reader.closed and reader.position < least then least = reader.position end
  end
  transcript:drop(least)
end

--- Read the next item for all readers; nil and an error if this task was cancelled while waiting: another reader continues.
local function pull(reader)
  local tee, recorder = reader.tee, reader.tee.recorder
  tee.busy = true
  local item, err = recorder:next()
  tee.busy = false
  if item ~= nil then
    reader.position, reader.done = recorder.transcript:size(), recorder.done
    trim(tee)
  elseif not err or err.kind ~= "cancelled" then
    tee.over, tee.err = true, err
  end
  scopes.wake_all(tee.waiting)
  return item, err
end

function Reader:next()
  local tee = self.tee
  local transcript = tee.recorder.transcript
  while true do
    if self.closed then return nil, self.err end
    if self.position < transcript:size() then
      local after, item, _, err = item_at(transcript, self.position)
      if err then return nil, err end
      self.position = after
      trim(tee)
      if type(item) == "table" and item.type == "done" then self.done = item end
      return item
    end
    if tee.over then return nil, tee.err end
    if not tee.busy then return pull(self) end
    local woken, err = scopes.queue_up(tee.waiting, host.enter "stream.tee", "stream.tee")
    if woken == nil then return nil, err end
  end
end

function Reader:came() return self.tee.recorder:came() end

function Reader:close()
  local tee = self.tee
  if self.closed then return end
  self.closed, tee.open = true, tee.open - 1
  trim(tee)
  if tee.open == 0 then tee.recorder:close() end
end

return M
