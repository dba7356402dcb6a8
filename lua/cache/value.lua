--- What is kept of an answer, and what is given of it: an answer as a whole is plain data, a stream its transcript. What comes from
--- the cache says so (`cached`, `stale`, `made`), and its usage counts nothing but itself: what it cost was paid before.

local plain = require "core.store.plain"
local streams = require "core.stream"

local M = {}

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

--- A text as an answer.
---@param text string
---@return table|nil value nil: it is damaged
function M.decode(text)
  local value = plain.decode(text)
  return type(value) == "table" and value or nil
end

-- ---- streams ------------------------------------------------------------------------------------------------------------------

--- A source of a stream that is kept.
local Kept = {}
Kept.__index = Kept

function Kept:next()
  local item, err = self.player:next()
  if type(item) == "table" and item.type == "done" then
    item = M.mark_event(item, self.mark)
    self.done = item
  end
  return item, err
end

function Kept:came() return self.player:came() end

function Kept:close() self.player:close() end

--- A stream that is kept, as a source: all of it is there at once.
---@param text string its transcript
---@param mark core.cache.mark
---@return table source
function M.stream(text, mark)
  return setmetatable({ player = streams.player(text, { began = -math.huge }), mark = mark }, Kept)
end

return M
