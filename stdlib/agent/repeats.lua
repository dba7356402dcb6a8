--- Sees a text that repeats itself while it comes: a model that has lost its way writes the same words, lines or blanks for ever.
---
--- A text is looked at each time so many more bytes have come, and then its end only: what it ends with is looked for before it,
--- and the distance is the cycle, where the whole end is made of it. So the cost is a few bytes' comparison a token.

local json = require "core.json"

local M = {}

--- Bytes of new text between two looks.
local STEP = 512
--- Bytes that must be one cycle, and the longest cycle: a short one is there eight times or more, a long one four times.
local CYCLED, LONGEST = 4096, 1024
local CYCLED_SHORT, LONGEST_SHORT = 2048, 256
--- Bytes of nothing but blanks.
local BLANKS = 2048
--- What a look begins with: so many last bytes.
local KEY = 24

--- The smallest period of a text (Knuth, Morris and Pratt): for ends that look like a cycle, which are few.
local function period_of(text)
  local bytes, border, k = { text:byte(1, -1) }, { 0 }, 0
  for i = 2, #bytes do
    local byte = bytes[i]
    while k > 0 and bytes[k + 1] ~= byte do k = border[k] end
    if bytes[k + 1] == byte then k = k + 1 end
    border[i] = k
  end
  return #bytes - k
end

--- The cycle, of at most `longest` bytes, that the last `size` bytes of a text are made of.
local function cycled(tail, size, longest)
  if #tail < size then return nil end
  tail = tail:sub(-size)
  local found = tail:find(tail:sub(-KEY), size - longest - KEY + 1, true)
  if found > size - KEY then return nil end -- the end itself: as in nearly all texts
  local period = period_of(tail)
  return period <= longest and tail:sub(-period) or nil
end

--- The cycle that a text ends with.
---@param tail string the text, or its last bytes
---@return string|nil cycle
---
--- Example: `assert(repeats.cycle(("ab"):rep(4000)) == "ab")`
function M.cycle(tail)
  local size = #tail
  if size >= BLANKS and not tail:find("%S", size - BLANKS + 1) then return tail:sub(-1) end
  return cycled(tail, CYCLED_SHORT, LONGEST_SHORT) or cycled(tail, CYCLED, LONGEST)
end

--- What may help a model that repeats itself.
M.HINT = "another seed or temperature, options.repeat_penalty, or a larger model"

--- A cycle as a message shows it.
---@param cycle string
---@return string
function M.shown(cycle)
  return json.encode(#cycle > 60 and cycle:sub(1, 60) .. "..." or cycle) or "the same bytes"
end

--- A text that comes in pieces, watched: a list of them.
---@class stoke.agent.repeats
---@field [integer] string
---@field count integer pieces
---@field size integer bytes
---@field next integer bytes at which it is looked at again
---@field seen integer pieces that were looked at
---@field tail string of these
local Watch = {}
Watch.__index = Watch

---@return stoke.agent.repeats
function M.new() return setmetatable({ count = 0, size = 0, next = STEP, seen = 0, tail = "" }, Watch) end

--- More of it has come.
---@param text string
---@return string|nil cycle what it repeats
function Watch:put(text)
  local count, size = self.count + 1, self.size + #text
  self[count], self.count, self.size = text, count, size
  if size < self.next then return nil end
  local tail = self.tail .. table.concat(self, "", self.seen + 1, count)
  self.tail, self.seen, self.next = tail:sub(-CYCLED), count, size + STEP
  return M.cycle(self.tail)
end

--- The text, or its first pieces.
---@param count? integer
---@return string
function Watch:text(count) return table.concat(self, "", 1, count or self.count) end

return M
