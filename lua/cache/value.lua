--- What is kept of an answer, and what is given of it: an answer as a whole is plain data, a stream its transcript. Each is given
--- in the place of the other, too: a whole answer as a stream of one piece for each of its parts, a stream as a whole answer with
--- its pieces put together. What comes from the cache says so (`cached`, `stale`, `made`), and its usage counts nothing but itself:
--- what it cost was paid before.

local plain = require "core.store.plain"
local streams = require "core.stream"

local M = {}

local NONE <const> = {}
local find = string.find

---@class core.cache.mark how an answer was come by
---@field how "exact"|"shared"|"semantic"|"prefix"
---@field made? number when it was given first, seconds since 1970
---@field stale? boolean

--- Usage of what nobody was asked for.
---@param tool_calls? integer
---@return stoke.usage
function M.usage(tool_calls)
  return { input_tokens = 0, output_tokens = 0, calls = 0, attempts = 0, tool_calls = tool_calls or 0, repairs = 0, seconds = 0,
    load_seconds = 0, estimated = false, cached = 1 }
end

--- Say in an answer how it was come by.
---@param value table changed
---@param mark core.cache.mark
---@return table value
function M.mark(value, mark)
  value.cached, value.made, value.stale = mark.how, mark.made, mark.stale or nil
  local usage = rawget(value, "usage")
  if type(usage) == "table" then value.usage = M.usage(usage.tool_calls) end
  return value
end

--- The same of the last event of a stream, which others may have, too.
---@param event table
---@param mark core.cache.mark
---@return table event another one
function M.mark_event(event, mark)
  local out = {}
  for name, value in next, event do out[name] = value end
  if type(out.reply) == "table" then
    local reply = {}
    for name, value in next, out.reply do reply[name] = value end
    out.reply = M.mark(reply, mark)
  end
  M.mark(out, mark)
  out.usage = out.usage or M.usage()
  return out
end

--- An answer as a text.
---@param value any
---@return string|nil text nil: it is no plain data
function M.encode(value)
  return (plain.encode(value))
end

--- Is what is kept a stream? A transcript begins with the kind of a piece, plain data with a brace.
---@param text string
---@return boolean
function M.is_stream(text) return find(text, "^[a-z]") ~= nil end

--- The pieces of a stream put together.
---@return table|nil reply nil: it has no end
local function put_together(text, path)
  local words, thoughts, calls, odds, reply = {}, {}, {}, {}, nil
  for _, item in streams.items(text) do
    local kind = type(item) == "table" and item.type
    local into = kind == "text" and words or kind == "thinking" and thoughts
    if into then
      into[#into + 1] = item.text
    elseif kind == "tool_call" then
      calls[#calls + 1] = item.call
    elseif kind == "done" then
      reply = type(item.reply) == "table" and item.reply or nil
    end
    for _, one in ipairs(kind and item.logprobs or NONE) do odds[#odds + 1] = one end
  end
  if not reply then return nil end
  local thinking, holder = thoughts[1] and table.concat(thoughts) or nil, reply
  if path == "/api/generate" then
    reply.response = table.concat(words)
  else
    holder = { role = "assistant", content = table.concat(words) }
    reply.message = holder
  end
  holder.thinking, holder.tool_calls = thinking, calls[1] and calls or nil
  reply.logprobs = odds[1] and odds or nil
  return reply
end

--- What is kept as an answer as a whole.
---@param text string
---@param path string of the request: answers of each have their shape
---@return table|nil value nil: it is damaged
function M.whole(text, path)
  local value
  if M.is_stream(text) then value = put_together(text, path) else value = plain.decode(text) end
  return type(value) == "table" and value or nil
end

-- ---- streams ------------------------------------------------------------------------------------------------------------------

--- A source of a stream that is kept.
local Kept = {}
Kept.__index = Kept

function Kept:next()
  local item, err = self.player:next()
  if type(item) == "table" and item.type == "done" then
    if self.mark then item = M.mark_event(item, self.mark) else item.usage = self.usage or item.usage end
    self.done = item
  end
  return item, err
end

function Kept:came() return self.player:came() end

function Kept:close() self.player:close() end

--- A whole answer as a transcript: a piece of each kind that it has.
---@return string|nil
local function taken_apart(text)
  local reply = plain.decode(text)
  if type(reply) ~= "table" then return nil end
  local message = type(reply.message) == "table" and reply.message or nil
  local holder, out, calls = message or reply, streams.transcript(), NONE
  local function note(item) streams.note(out, item, 0) end
  local words, thinking = message and message.content or reply.response, holder.thinking
  if type(thinking) == "string" and thinking ~= "" then note { type = "thinking", text = thinking } end
  if type(words) == "string" and (words ~= "" or reply.logprobs) then
    note { type = "text", text = words, logprobs = reply.logprobs }
  end
  if type(holder.tool_calls) == "table" then calls = holder.tool_calls end
  for _, call in ipairs(calls) do
    local f = call["function"]
    note { type = "tool_call", id = call.id, name = f.name, arguments = f.arguments, call = call }
  end
  reply.message, reply.logprobs, reply.thinking, reply.tool_calls = message and { role = message.role, content = "" }, nil, nil, nil
  if not message then reply.response = "" end
  note { type = "done", reason = reply.done_reason, usage = M.usage(#calls), reply = reply }
  return out:text()
end

--- What is kept as a source of a stream: all of it is there at once.
---@param text string
---@param mark core.cache.mark|nil nil: who gets it has paid for it
---@param usage? stoke.usage what it cost that one
---@return table|nil source nil: it is damaged
function M.stream(text, mark, usage)
  if not M.is_stream(text) then
    local ok, pieces = pcall(taken_apart, text)
    if not ok or not pieces then return nil end
    text = pieces
  end
  return setmetatable({ player = streams.player(text, { began = -math.huge }), mark = mark, usage = usage }, Kept)
end

return M
