--- What a run may be given, as messages: a text, a table { text =, images = }, or messages.

local errors = require "core.errors"
local clone = require "stoke.schema.values".clone
local json = require "core.json"
local options = require "stoke.model.options"
local texts = require "core.text"

local M = {}

local FIELDS = { text = "string", images = "table" }
--- Who may say something.
M.ROLES = { user = true, assistant = true, tool = true, system = true }

--- How the base64 of an image begins: PNG, JPEG, GIF, WebP, BMP.
local BEGINNINGS = { "^iVBORw0KGgo", "^/9j/", "^R0lGOD", "^UklGR", "^Qk" }

--- Is this an image itself, as ollama.chat and the messages of a session have it? A path is shorter, or has a dot in it.
local function is_data(text)
  if text:find("^data:[^,]*;base64,") then return true end
  if #text < 64 or text:find "[^%w+/=]" then return false end
  for _, beginning in ipairs(BEGINNINGS) do
    if text:find(beginning) then return true end
  end
  return #text > 4096
end

--- Base64 of images given by path; { data = } is base64 already. Read now: what was said stays as it was.
local function images(where, list)
  if type(list) ~= "table" then errors.argument("%s: images must be a list, got %s", where, errors.describe(list)) end
  local out = {}
  for i, image in ipairs(list) do
    if type(image) == "string" then
      out[i] = is_data(image) and (image:gsub("^data:[^,]*;base64,", "")) or options.image(image)
    elseif type(image) == "table" and type(image.path) == "string" then
      out[i] = options.image(image.path)
    elseif type(image) == "table" and type(image.data) == "string" then
      out[i] = image.data
    else
      errors.argument("%s: images[%d] must be a path or { data = base64 }, got %s", where, i, errors.describe(image))
    end
  end
  return #out > 0 and out or nil
end

local function message_of(where, i, message)
  if type(message) ~= "table" or not M.ROLES[message.role] then
    errors.argument('%s: messages[%d] must have a role ("user", "assistant", "tool" or "system") and content', where, i)
  end
  if message.content ~= nil and type(message.content) ~= "string" then
    errors.argument("%s: messages[%d].content must be a string, got %s", where, i, type(message.content))
  end
  local copy = setmetatable({}, getmetatable(message))
  for name, value in next, message do copy[name] = value end
  copy.content = texts.valid(message.content or "")
  if type(message.tool_calls) == "table" then copy.tool_calls = clone(message.tool_calls) or message.tool_calls end
  if message.images ~= nil and message.images ~= json.null then copy.images = images(where, message.images) end
  return copy
end

--- The messages of an input.
---@param where string "agent x: run", for messages
---@param input string|{ text: string, images?: (string|table)[] }|table[]
---@return table[] messages
---Raises `argument`; what reading an image raises.
function M.messages(where, input)
  if type(input) == "string" then return { { role = "user", content = utf8.len(input) and input or texts.valid(input) } } end
  if type(input) ~= "table" then
    errors.argument("%s: the input must be a text, { text =, images = } or messages, got %s", where, errors.describe(input))
  end
  if input[1] ~= nil then
    local out = {}
    for i, message in ipairs(input) do out[i] = message_of(where, i, message) end
    return options.messages(where, out, function(_, list) return list end) -- calls are what they should be
  end
  errors.options(input, FIELDS, where .. ": input")
  if input.text == nil and input.images == nil then errors.argument("%s: the input is empty; it takes text and images", where) end
  return { { role = "user", content = texts.valid(input.text or ""), images = input.images and images(where, input.images) } }
end

return M
