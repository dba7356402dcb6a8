--- Where a completion ends, pure: the model writes, and this says how much of it is wanted.
---
---     local stop = stops.new(place, suffix, family.stop)
---     for text in stream do if stop:feed(text) then break end end
---     local wanted = stop:finish()
---
--- It is judged line by line; a line that is not whole yet is judged at the end.

local places = require "stoke.fim.place"

local M = {}

--- Lines of an answer, at most.
M.LINES = 64

---@class stoke.fim.stop
---@field why string|nil why it ended: "token", "line", "suffix", "repeat", "block", "lines"; nil: the model ended it
local Stop = {}
Stop.__index = Stop

--- A new judge.
---@param place stoke.fim.place
---@param suffix string what stands behind the cursor
---@param tokens string[]|nil the family's own stop tokens
---@return stoke.fim.stop
---
--- Example: `local stop = stops.new(place.of(prefix, suffix, "python"), suffix, family.stop)`
function M.new(place, suffix, tokens)
  local next_line
  for line in (suffix:sub(#place.behind + 1)):gmatch "[^\r\n]+" do
    if line:find "%S" then next_line = line break end
  end
  return setmetatable({ place = place, tokens = tokens or {}, next_line = next_line, out = {}, seen = {}, rest = "",
    depth = place.opened and 1 or 0, count = 0, blank = false, over = false }, Stop)
end

local function ended(self, why)
  self.over, self.why, self.rest = true, why, ""
  return true
end

--- A line that says something: brackets and `end` repeat in all code.
local function telling(line)
  local trimmed = line:match "^%s*(.-)%s*$"
  return #trimmed > 5 and trimmed:find "%w" and trimmed
end

--- The beginning of the line up to a bracket that closes what the completion has not opened; nil: there is none.
local function closed(self, line)
  local depth, quote, at = self.depth, nil, 1
  while at <= #line do
    local c = line:sub(at, at)
    if c == "\\" then
      at = at + 1
    elseif quote then
      if c == quote then quote = nil end
    elseif c == '"' or c == "'" or c == "`" then
      quote = c
    elseif c == "{" or c == "(" or c == "[" then
      depth = depth + 1
    elseif c == "}" or c == ")" or c == "]" then
      depth = depth - 1
      if depth < 0 then return line:sub(1, at - 1), false end
      if depth == 0 and self.place.opened then return line:sub(1, at), true end
    end
    at = at + 1
  end
  self.depth = depth
end

--- Is the first line of what follows the cursor here again?
local function repeats_suffix(self, line)
  local after = self.next_line
  if not after then return false end
  if line == after then return true end
  local told = telling(line)
  return told and told == telling(after)
end

-- Words that stand where a block ends, or goes on.
local GOES_ON = { ["end"] = true, ["else"] = true, ["elseif"] = true, ["until"] = true, elif = true, except = true, finally = true,
  fi = true, done = true, rescue = true, ensure = true, elsif = true }

--- Does this line leave the block in which the cursor stands?
local function leaves(self, line)
  local indent = places.indent(line)
  if self.place.opened then
    if indent > self.place.indent then return false end
    if self.place.style == "braces" then return self.blank end
    return not GOES_ON[line:match "^%s*(%a*)"] and not line:find "^%s*[%)%]}]"
  end
  return indent < self.place.indent or self.blank and indent == self.place.indent and self.depth <= 0 and self.nested
end

--- Judge a whole line; true: it is over.
local function judge(self, line, lf)
  local first = self.count == 0
  self.count = self.count + 1
  local bare = line:gsub("\r$", "")
  if not bare:find "%S" then
    if first then
      self.out[#self.out + 1] = line .. lf
    else
      self.held = (self.held or "") .. line .. lf -- empty lines belong to what follows, if it does
      self.blank = true
    end
    return false
  end
  if not first then
    if repeats_suffix(self, bare) then return ended(self, "suffix") end
    local told = telling(bare)
    local times = told and (self.seen[told] or 0) + 1 or 0
    if told then self.seen[told] = times end
    if times > 2 or told and told == self.previous then return ended(self, "repeat") end
    self.previous = told or self.previous
    if leaves(self, bare) then return ended(self, "block") end
    if places.indent(bare) > self.place.indent then self.nested = true end
  else
    self.previous = telling(bare)
    if self.previous then self.seen[self.previous] = 1 end
  end
  local cut, with = closed(self, line)
  if cut then
    if with and self.place.behind:find "^%s*[%)%]}]" then cut = cut:sub(1, -2) end -- it is there already
    if cut:find "%S" or with then self.out[#self.out + 1] = (self.held or "") .. (cut:find "%S" and cut or "") end
    return ended(self, "block")
  end
  self.out[#self.out + 1] = (self.held or "") .. line .. lf
  self.held, self.blank = nil, false
  if self.count >= M.LINES then return ended(self, "lines") end
  return false
end

--- The rest of a line without what stands behind the cursor already.
local function before_rest(self, line)
  local behind = self.place.behind:match "^%s*(.-)%s*$"
  if behind == "" then return line end
  if #behind > 1 then
    local at = line:find(behind, 1, true)
    if at then
      self.why = self.why or "suffix"
      return line:sub(1, at - 1)
    end
    return line
  end
  local trimmed = line:match "^(.-)%s*$"
  if trimmed:sub(-1) ~= behind then return line end
  local depth = select(2, trimmed:gsub("[%(%[{]", "")) - select(2, trimmed:gsub("[%)%]}]", ""))
  return depth < 0 and trimmed:sub(1, -2) or line -- a bracket that the completion has opened is its own
end

--- The first stop token in a text.
local function token_in(self, text)
  local best
  for _, token in ipairs(self.tokens) do
    local at = text:find(token, 1, true)
    if at and (not best or at < best) then best = at end
  end
  return best
end

--- More of the answer.
---@param text string
---@return boolean over nothing more is wanted: the stream may be closed
---
--- Example: `if stop:feed(text) then break end`
function Stop:feed(text)
  if self.over then return true end
  self.rest = self.rest .. text
  local at = token_in(self, self.rest)
  if at then self.rest, self.token = self.rest:sub(1, at - 1), true end
  if self.place.lines == "one" then
    local lf = self.rest:find("\n", 1, true)
    if not lf then return self.token or false end
    self.out[1] = before_rest(self, (self.rest:sub(1, lf - 1):gsub("\r$", "")))
    return ended(self, self.why or "line")
  end
  while true do
    local lf = self.rest:find("\n", 1, true)
    if not lf then return self.token or false end
    local line = self.rest:sub(1, lf - 1)
    self.rest = self.rest:sub(lf + 1)
    if judge(self, line, "\n") then return true end
  end
end

--- What is wanted of all that came.
---@return string text
---@return string|nil why
---
--- Example: `local text, why = stop:finish()`
function Stop:finish()
  if not self.over and self.rest ~= "" then
    local rest = self.rest
    self.rest = ""
    if self.place.lines == "one" then self.out[1] = before_rest(self, rest) else judge(self, rest, "") end
  end
  if self.token then self.why = self.why or "token" end
  self.over = true
  local text = table.concat(self.out)
  if self.place.lines == "many" then text = text:match "^(.-)%s*$" end
  return text, self.why
end

return M
