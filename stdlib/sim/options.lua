--- Options of a request: which are load options, how they are typed, and when they force a loaded
--- model out.

local checks = require "stoke.ollama.server.checks"

local M = {}

--- Checks options and merges them over the model's own parameters.
---@param list { [1]: string, [2]: any }[] name and value in the order sent; nulls already left out
---@param model table
---@return table? merged
---@return string? err the server's text (status 500)
function M.merge(list, model)
  local out = {}
  for k, v in pairs(model.parameters) do out[k] = v end
  if model.num_ctx then out.num_ctx = model.num_ctx end
  for _, item in ipairs(list) do
    local name, value = item[1], item[2]
    local want, err = checks.option(name, value)
    if err then return nil, err end
    if want then
      if want == "integer" then value = math.tointeger(value) or math.floor(value) end
      out[name] = value
    end
  end
  return out
end

local function has(list, word)
  for _, w in ipairs(list) do if w == word then return true end end
  return false
end

--- The load options of a request.
---@param merged table
---@param model table
---@param context integer the server's default window
---@param shift boolean? what the request says
---@param slots integer
---@param old boolean? before llama-server, `shift` was no load option and the batch had one size
function M.load_options(merged, model, context, shift, slots, old)
  local ctx = merged.num_ctx or context
  if ctx < 4 then ctx = 4 end
  if has(model.caps, "vision") and ctx < 2048 then ctx = 2048 end
  if ctx > model.context then ctx = model.context end
  local total = ctx * slots
  if shift == nil then shift = model.family ~= "deepseek2" end
  return {
    num_ctx = ctx, auto_ctx = merged.num_ctx == nil,
    num_batch = merged.num_batch or ((old or total <= 4096) and 512 or total <= 32768 and 1024 or 2048), old = old,
    auto_batch = merged.num_batch == nil,
    num_gpu = merged.num_gpu or -1, main_gpu = merged.main_gpu or 0, use_mmap = merged.use_mmap,
    num_thread = merged.num_thread or 0, shift = shift,
  }
end

--- Must this runner go before the request can be served? Everything else (temperature, stop,
--- format, tools, keep_alive) never does that.
---@param runner table
---@param request table
---@return boolean
function M.needs_reload(runner, request)
  if runner.dead then return true end
  local a, b = runner.opts, request.opts
  if a.num_ctx ~= b.num_ctx and not (a.auto_ctx and b.auto_ctx) then return true end
  if a.num_batch ~= b.num_batch and not (a.auto_batch and b.auto_batch) then return true end
  if b.num_gpu >= 0 and a.num_gpu ~= b.num_gpu then return true end
  if b.use_mmap ~= nil and a.use_mmap ~= b.use_mmap then return true end
  return a.main_gpu ~= b.main_gpu or a.num_thread ~= b.num_thread or not a.old and a.shift ~= b.shift
end

return M
