--- What a team asks, made to fit the window of a model. A question that is put together (of parts of a plan, proposals, a
--- conversation) is asked as it is; where the window turns out to be too small, its longest parts are cut, and marked as cut. What
--- a member hears of others is one message as long as that fits, and several after that, of which the oldest fall out.

local cut = require "stoke.tool.text".cut

local M = {}

--- Bytes of a part that are worth asking with, and how much of the window the question may fill.
local SHORTEST <const>, FILL <const> = 80, 0.6

--- Was nothing done yet but asking?
---@param err stoke.error
---@return boolean
function M.overflows(err)
  if err.kind ~= "context_overflow" then return false end
  local work = rawget(err, "work")
  return not work or work.usage.tool_calls == 0
end

--- A question of parts.
---@param parts string[]
---@param make fun(parts: string[], short?: boolean): table[] messages; short: with less of what is around the parts, too
---@return table[] messages
---@return fun(err: stoke.error): table[]|nil shorter the same with its parts cut, shorter each time; nil: they are short enough
function M.elastic(parts, make)
  local most
  return make(parts), function(err)
    local bytes, share = 0, 0.5
    for _, part in ipairs(parts) do bytes = bytes + #part end
    if err.tokens and err.window then share = math.min(0.8, FILL * err.window / err.tokens) end
    local first = not most
    most = math.floor(first and bytes * share / math.max(1, #parts) or most / 2)
    if most < SHORTEST and not (first and #parts == 0) then return nil end
    local list = {}
    for i, part in ipairs(parts) do list[i] = cut(part, most) end
    return make(list, true)
  end
end

--- Messages of one message each where several were put together (messages.parts, see Talk:view), so that the oldest can fall out.
---@param messages table[]
---@return table[]|nil messages nil: there is nothing to take apart
function M.apart(messages)
  local parts = messages.parts
  if not parts then return nil end
  local out, more = {}, false
  for i, message in ipairs(messages) do
    local list = parts[i]
    if i == messages.task and not list then out.task = #out + 1 end
    for k = 1, list and #list or 0 do
      out[#out + 1] = { role = "user", content = list[k] }
      if i == messages.task and k == messages.task_part then out.task = #out end
      more = more or k > 1
    end
    if not list then
      out[#out + 1] = message
    elseif message.images then
      out[i == messages.task and out.task or #out].images = message.images
    end
  end
  return more and out or nil
end

return M
