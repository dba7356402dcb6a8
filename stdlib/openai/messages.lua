--- Messages as OpenAI's wire has them: arguments of calls as a text, images as parts of the content, results of tools by the id of
--- their call.

local json = require "core.json"

local M = {}

--- What base64 of an image begins with.
local IMAGES = { { "^iVBOR", "png" }, { "^/9j/", "jpeg" }, { "^R0lG", "gif" }, { "^UklG", "webp" } }

local function image_url(text)
  for _, known in ipairs(IMAGES) do
    if text:find(known[1]) then return ("data:image/%s;base64,%s"):format(known[2], text) end
  end
  return "data:image/png;base64," .. text
end

local function content_of(message)
  local images = message.images
  if not images or #images == 0 then return message.content or "" end
  local parts = json.array {}
  if message.content and message.content ~= "" then parts[1] = { type = "text", text = message.content } end
  for _, image in ipairs(images) do
    parts[#parts + 1] = { type = "image_url", image_url = { url = image_url(image) } }
  end
  return parts
end

--- Arguments as the text that they were, or are now.
local function arguments_of(f)
  local arguments = f.arguments
  if type(arguments) == "string" then return arguments end
  if arguments == nil or next(arguments) == nil then return "{}" end
  return json.encode(arguments) or "{}"
end

--- Calls, and the ids that results will name.
local function calls_of(calls, waiting)
  local out = json.array {}
  for i, call in ipairs(calls) do
    local f = call["function"]
    local id = call.id or ("call_%d"):format(#waiting + 1)
    out[i] = { id = id, type = "function", ["function"] = { name = f.name, arguments = arguments_of(f) } }
    waiting[#waiting + 1] = { id = id, name = f.name }
  end
  return out
end

--- The id that a result without one belongs to: the first call of its tool that has no result yet.
local function id_of(message, waiting)
  local id, name = message.tool_call_id, message.tool_name
  for i, call in ipairs(waiting) do
    if id and call.id == id or not id and (not name or call.name == name) then
      table.remove(waiting, i)
      return call.id
    end
  end
  return id or "call_0"
end

local function is_plain(message)
  return message.tool_calls == nil and message.images == nil and message.thinking == nil and message.tool_name == nil
    and message.tool_call_id == nil and message.role ~= "tool" and message.content ~= nil
end

--- Messages for the wire.
---@param messages table[]
---@param past string|nil the field for the thinking of the past; nil: it is left out
---@return table[]
---@return boolean left there was such thinking, and no field for it
function M.write(messages, past)
  local out, waiting, left = json.array {}, {}, false
  for i, message in ipairs(messages) do
    if is_plain(message) then
      out[i] = message
    elseif message.role == "tool" then
      out[i] = { role = "tool", tool_call_id = id_of(message, waiting), content = content_of(message) }
    else
      local calls, thought = message.tool_calls, message.thinking
      local one = { role = message.role, content = content_of(message),
        tool_calls = calls and #calls > 0 and calls_of(calls, waiting) or nil }
      if thought and thought ~= "" then
        if past then one[past] = thought else left = true end
      end
      out[i] = one
    end
  end
  return out, left
end

return M
