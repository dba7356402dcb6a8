--- A stream whose process ended before it did is asked for once more. As long as the answer is the same, what the run had of it is
--- skipped, however it is cut into pieces now, and the run goes on behind it.

local errors = require "core.errors"
local plain = require "core.journal.plain"

local M = {}

local Behind = {}
Behind.__index = Behind

local function kind_of(item) return type(item) == "table" and type(item.text) == "string" and item.type or nil end

--- Bytes are a text, too, where it is chance how they are cut into pieces.
local function as_text(item) return type(item) == "string" and { type = "bytes", text = item } or item end

--- Pieces of text that follow each other count as one.
local function expected(items, bytes)
  local list = {}
  for _, item in ipairs(items) do
    local value, last = bytes and as_text(item.value) or item.value, list[#list]
    local kind = kind_of(value)
    if kind and last and last.kind == kind then
      last.parts[#last.parts + 1] = value.text
    else
      list[#list + 1] = { kind = kind, parts = kind and { value.text }, value = value }
    end
  end
  for _, part in ipairs(list) do part.text = part.parts and table.concat(part.parts) end
  return list
end

--- Take a piece off what is expected; what is left of it, true: nothing, false: it is another one.
local function take(list, event)
  local part = list[1]
  if not part then return event end
  local kind = kind_of(event)
  if kind ~= part.kind then return event.text == "" end -- pieces without a text mean nothing
  if not kind then
    table.remove(list, 1)
    return plain.digest(event) == plain.digest(part.value)
  end
  local text, wanted = event.text, part.text
  if #text < #wanted then
    part.text = wanted:sub(#text + 1)
    return wanted:sub(1, #text) == text
  end
  table.remove(list, 1)
  if text:sub(1, #wanted) ~= wanted then return false end
  return #text == #wanted or take(list, { type = kind, text = text:sub(#wanted + 1) })
end

function Behind:next()
  local stream, list, bytes = self.stream, self.list, self.bytes
  while true do
    local event, err = stream:next()
    if err then return nil, err end
    if not list[1] then return event end
    local left = event ~= nil and take(list, bytes and as_text(event) or event)
    if not left then
      stream:close()
      return nil, errors.new("interrupted", self.name .. " broke off when its process ended, and asked again the answer is another")
    end
    if left ~= true then return bytes and left.text or left end
  end
end

function Behind:came() return self.stream:came() end

function Behind:close() self.stream:close() end

--- A source of which all has been read.
M.ENDED = { next = function() end, close = function() end }

--- A source that goes on behind what was given of a stream.
---@param name string of its effect
---@param stream stoke.stream the same question, asked again
---@param items table[] { value }: what was given
---@param bytes? boolean they are bytes, cut anywhere
---@return table source its `next` ends with kind `interrupted` where the answers part
function M.behind(name, stream, items, bytes)
  return setmetatable({ name = name, stream = stream, list = expected(items, bytes), bytes = bytes }, Behind)
end

return M
