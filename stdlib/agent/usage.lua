--- Usage: what a run has cost. One shape everywhere, nested work included.

local M = {}

---@class stoke.usage
---@field input_tokens integer
---@field output_tokens integer
---@field calls integer model calls that were answered
---@field attempts integer the same, with those that were tried again
---@field tool_calls integer
---@field repairs integer rungs taken: damaged answers mended, calls salvaged, questions asked again
---@field seconds number time of the server, its queue included
---@field load_seconds number
---@field estimated boolean some of the tokens are a guess, since the server did not tell

local Nothing = { input_tokens = 0, output_tokens = 0, calls = 0, attempts = 0, tool_calls = 0, repairs = 0, seconds = 0,
  load_seconds = 0, estimated = false }
Nothing.__index = Nothing

--- A sum that grows: empty until something is added, for thousands of runs that wait for their first answer.
---@return table
function M.new() return setmetatable({}, Nothing) end

--- Add one to another.
---@param into table
---@param more table fields that are missing count as nothing
function M.add(into, more)
  for name, value in next, more do
    if value == true then into.estimated = true elseif value and value ~= 0 then into[name] = into[name] + value end
  end
end

--- The sum as a plain table with every field.
---@param sum table
---@return stoke.usage
function M.whole(sum)
  return { input_tokens = sum.input_tokens, output_tokens = sum.output_tokens, calls = sum.calls, attempts = sum.attempts,
    tool_calls = sum.tool_calls, repairs = sum.repairs, seconds = sum.seconds, load_seconds = sum.load_seconds,
    estimated = sum.estimated }
end

return M
