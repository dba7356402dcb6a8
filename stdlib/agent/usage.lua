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

--- No use at all.
---@return stoke.usage
function M.new()
  return { input_tokens = 0, output_tokens = 0, calls = 0, attempts = 0, tool_calls = 0, repairs = 0, seconds = 0,
    load_seconds = 0, estimated = false }
end

--- A sum and one more.
---@param sum stoke.usage|nil nil = nothing yet: thousands of runs that wait for their first answer have none
---@param more stoke.usage
---@return stoke.usage sum the same table, where there was one
function M.add(sum, more)
  if not sum then
    return { input_tokens = more.input_tokens, output_tokens = more.output_tokens, calls = more.calls, attempts = more.attempts,
      tool_calls = more.tool_calls, repairs = more.repairs, seconds = more.seconds, load_seconds = more.load_seconds,
      estimated = more.estimated }
  end
  sum.input_tokens, sum.output_tokens = sum.input_tokens + more.input_tokens, sum.output_tokens + more.output_tokens
  sum.calls, sum.attempts = sum.calls + more.calls, sum.attempts + more.attempts
  sum.tool_calls, sum.repairs = sum.tool_calls + more.tool_calls, sum.repairs + more.repairs
  sum.seconds, sum.load_seconds = sum.seconds + more.seconds, sum.load_seconds + more.load_seconds
  sum.estimated = sum.estimated or more.estimated
  return sum
end

return M
