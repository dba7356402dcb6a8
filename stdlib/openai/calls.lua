--- Calls of tools that come in pieces, gathered until they are whole: by `index` where servers give one. Where it is missing, or
--- the same for all, a new id or a new name begins a new call.

local M = {}

local function text(value) return type(value) == "string" and value or nil end

--- Does a piece begin a call of its own, although its index is known? An id that changes without a name is no new call.
local function is_other(call, id, name)
  return id and call.id and id ~= call.id and name ~= nil and name ~= ""
end

local function find(list, index, id, name)
  local last = list[#list]
  if index then
    for i = #list, 1, -1 do
      if list[i].index == index then return not is_other(list[i], id, name) and list[i] or nil end
    end
    return nil
  end
  if not last or is_other(last, id, name) then return nil end
  if id and not last.id or id == nil and name and name ~= "" and last.name then return nil end
  return last
end

--- Add the pieces of a delta.
---@param state table the calls are kept in state.parts
---@param list any tool_calls of the delta
---@return string|nil wrong what is wrong with it
function M.add(state, list)
  if type(list) ~= "table" then return "tool_calls is no list" end
  local parts = state.parts or {}
  state.parts = parts
  for _, piece in ipairs(list) do
    if type(piece) ~= "table" then return "a call of a tool is no object" end
    local f = type(piece["function"]) == "table" and piece["function"] or {}
    local index = math.type(piece.index) and math.tointeger(piece.index) or nil
    local id, name = text(piece.id), text(f.name)
    if id == "" then id = nil end
    local call = find(parts, index, id, name)
    if not call then
      call = { index = index, id = id, text = {} }
      parts[#parts + 1] = call
    end
    call.id = call.id or id
    if name and name ~= "" then call.name = call.name and call.name ~= name and call.name .. name or name end
    local arguments = f.arguments
    if type(arguments) == "string" then
      call.text[#call.text + 1] = arguments
    elseif type(arguments) == "table" then
      call.whole = arguments
    end
  end
end

--- The calls, once all pieces are there; as a message has them on the wire.
---@param state table
---@return table[]|nil
function M.gathered(state)
  local parts = state.parts
  if not parts or not parts[1] then return nil end
  local out = {}
  for i, part in ipairs(parts) do
    out[i] = { id = part.id, type = "function", ["function"] = { name = part.name,
      arguments = part.whole or table.concat(part.text) } }
  end
  return out
end

--- Bytes that have come of them.
---@param state table
---@return integer
function M.bytes(state)
  local n = 0
  for _, part in ipairs(state.parts or {}) do
    for _, piece in ipairs(part.text) do n = n + #piece end
  end
  return n
end

return M
