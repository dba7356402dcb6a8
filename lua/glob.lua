--- Globs: `*` stands for anything, `?` for one byte. In a path neither crosses a slash; `**` does, and `**/` stands for zero or
--- more folders.
---
--- A glob is matched as a nondeterministic automaton, all states in parallel: time is at most length of pattern times length of
--- text. (The same glob as a Lua pattern takes exponential time with a few stars, and the text may come from a model.)
---
--- These are the patterns of a policy, and the whole text has to fit. Globs that a model gives to list_dir are another language
--- (stdlib/tools/files/glob.lua): there `[a-z]` is a class, and a pattern without a slash is about the last name alone. Here a
--- bracket is a bracket, since a rule that denies `app/[id].ts` must deny that file.

local M = {}

-- Negative tokens are not bytes. INSIDE, which always follows FOLDERS, is the state of being within one of those folders.
local STAR, NAME_STAR, ANY, NAME_ANY, FOLDERS, INSIDE = -1, -2, -3, -4, -5, -6
local SLASH = 47

local function tokens_of(text, path)
  local out, at = {}, 1
  while at <= #text do
    local stars = text:match("^%*+", at)
    if stars then
      at = at + #stars
      local deep = not path or #stars > 1
      if path and deep and text:byte(at) == SLASH then
        at = at + 1
        out[#out + 1], out[#out + 2] = FOLDERS, INSIDE
      else
        out[#out + 1] = deep and STAR or NAME_STAR
      end
    else
      local c = text:byte(at)
      if c == 63 then c = path and NAME_ANY or ANY end
      out[#out + 1], at = c, at + 1
    end
  end
  return out
end

--- Make a matcher.
---@param text string
---@param path? boolean
---@return fun(value: string): boolean
function M.compile(text, path)
  local tokens = tokens_of(text, path)
  return function(value)
    local seen, step = {}, 0
    local following = {}
    local function enter(state)
      if seen[state] == step then return end
      seen[state] = step
      local token = tokens[state]
      if token == FOLDERS then
        enter(state + 1)
        return enter(state + 2)
      end
      following[#following + 1] = state
      if token == STAR or token == NAME_STAR then return enter(state + 1) end
    end
    enter(1)
    for i = 1, #value do
      local states = following
      following, step = {}, i
      local c = value:byte(i)
      for _, state in ipairs(states) do
        local token = tokens[state]
        if token == c or token == ANY or token == NAME_ANY and c ~= SLASH then
          enter(state + 1)
        elseif token == STAR or token == NAME_STAR and c ~= SLASH then
          enter(state)
        elseif token == INSIDE then
          enter(state)
          if c == SLASH then enter(state + 1) end
        end
      end
      if not following[1] then return false end
    end
    return seen[#tokens + 1] == step
  end
end

return M
