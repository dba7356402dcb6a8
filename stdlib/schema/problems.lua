--- Validation problems: recorded where they are found, completed with their path on the way out, combined into one error.
---
--- A problem under way is { expected, found, text?, far?, tag?, tail?, [1..n] = keys from the innermost out }. `far`: the value
--- is of another type altogether; `tag`: of an enum or constant; `tail`: a path further in, as a script gave it.

local errors = require "core.errors"
local values = require "stoke.schema.values"

local M = {}

local MOST = 100 -- kept of one value; a list of a million wrong items is not a million problems
local LISTED = 8 -- of those in the message

--- One problem, as the list that a check returns.
---@param expected string
---@param value any what was found
---@param far? boolean
---@return table[]
function M.wrong(expected, value, far)
  return { { expected = expected, found = values.show(value), far = far } }
end

--- One problem with words of its own.
---@param text string
---@param expected string
---@param value any
---@return table[]
function M.say(text, expected, value)
  return { { expected = expected, found = values.show(value), text = text } }
end

--- Add what was found in one place to what was found in others.
---@param all table[]|nil
---@param more table[]
---@param key? string|integer the place
---@return table[] all
function M.add(all, more, key)
  all = all or { more = 0 }
  all.more = (all.more or 0) + (more.more or 0)
  for _, problem in ipairs(more) do
    if key ~= nil then problem[#problem + 1] = key end
    if #all < MOST then all[#all + 1] = problem else all.more = all.more + 1 end
  end
  return all
end

--- A list that may be given more keys while the first keeps its own.
---@param list table[]|nil
---@return table[]|nil
function M.copies(list)
  if not list then return nil end
  local out = { more = list.more }
  for i, problem in ipairs(list) do
    local copy = {}
    for key, value in next, problem do copy[key] = value end
    out[i] = copy
  end
  return out
end

--- Enough to stop looking?
---@param all table[]|nil
function M.full(all) return all ~= nil and #all >= MOST end

local function finish(problem)
  local keys = {}
  for i = #problem, 1, -1 do keys[#keys + 1] = problem[i] end
  local path, tail = values.path(keys), problem.tail
  if tail and tail ~= "" then
    path = (path == "" or tail:find "^%[") and path .. tail or path .. "." .. tail
  end
  local text = problem.text or ("expected %s, got %s"):format(problem.expected, problem.found)
  return { path = path, expected = problem.expected, found = problem.found, message = path == "" and text or path .. ": " .. text }
end

--- The error of kind `invalid_output` for a list of problems.
---@param list table[]
---@return stoke.error
function M.error(list)
  local problems, lines = {}, {}
  for i, problem in ipairs(list) do
    problems[i] = finish(problem)
    if i <= LISTED then lines[i] = problems[i].message end
  end
  local rest = #problems - #lines + (list.more or 0)
  if rest > 0 then lines[#lines + 1] = ("and %d more"):format(rest) end
  return errors.new("invalid_output", table.concat(lines, "; "), { problems = problems, path = problems[1].path })
end

return M
