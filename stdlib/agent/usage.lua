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

--- Nothing yet.
---@return stoke.usage
function M.new()
  return { input_tokens = 0, output_tokens = 0, calls = 0, attempts = 0, tool_calls = 0, repairs = 0, seconds = 0,
    load_seconds = 0, estimated = false }
end

--- Add one to another.
---@param into stoke.usage
---@param more table fields that are missing count as nothing
function M.add(into, more)
  into.input_tokens = into.input_tokens + (more.input_tokens or 0)
  into.output_tokens = into.output_tokens + (more.output_tokens or 0)
  into.calls = into.calls + (more.calls or 0)
  into.attempts = into.attempts + (more.attempts or 0)
  into.tool_calls = into.tool_calls + (more.tool_calls or 0)
  into.repairs = into.repairs + (more.repairs or 0)
  into.seconds = into.seconds + (more.seconds or 0)
  into.load_seconds = into.load_seconds + (more.load_seconds or 0)
  into.estimated = into.estimated or more.estimated or false
end

return M
