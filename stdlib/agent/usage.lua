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
---@field cached? integer answers that came from the cache: they are no calls, and cost nothing; nil: none
---@field estimated boolean some of the tokens are a guess, since the server did not tell

--- No use at all.
---@return stoke.usage
function M.new()
  return { input_tokens = 0, output_tokens = 0, calls = 0, attempts = 0, tool_calls = 0, repairs = 0, seconds = 0,
    load_seconds = 0, estimated = false }
end

--- A sum and one more. What a dialect left out is 0, and an answer is one call.
---@param sum stoke.usage|nil nil = nothing yet: thousands of runs that wait for their first answer have none
---@param more stoke.usage
---@return stoke.usage sum the same table, where there was one
function M.add(sum, more)
  if not sum then
    return { input_tokens = more.input_tokens or 0, output_tokens = more.output_tokens or 0, calls = more.calls or 1,
      attempts = more.attempts or 1, tool_calls = more.tool_calls or 0, repairs = more.repairs or 0, seconds = more.seconds or 0,
      load_seconds = more.load_seconds or 0, estimated = more.estimated or false, cached = more.cached }
  end
  sum.input_tokens = sum.input_tokens + (more.input_tokens or 0)
  sum.output_tokens = sum.output_tokens + (more.output_tokens or 0)
  sum.calls, sum.attempts = sum.calls + (more.calls or 1), sum.attempts + (more.attempts or 1)
  sum.tool_calls, sum.repairs = sum.tool_calls + (more.tool_calls or 0), sum.repairs + (more.repairs or 0)
  sum.seconds, sum.load_seconds = sum.seconds + (more.seconds or 0), sum.load_seconds + (more.load_seconds or 0)
  sum.estimated = sum.estimated or more.estimated or false
  if more.cached then sum.cached = (sum.cached or 0) + more.cached end
  return sum
end

return M
