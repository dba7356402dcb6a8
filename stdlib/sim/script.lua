--- Scripted answers: what an author may give, and what the simulator makes of it.
---
--- A script is a function (request, n) -> reply, or a list of replies for the first, second, ...
--- request; after the list, and where the function returns nil, the built-in rules answer. A reply
--- is a text, or a table:
---
---     { text = "Hi", thinking = "...", tool_calls = { { name = "f", arguments = { a = 1 } } }, done_reason = "length",
---       delay = 1.5,            -- seconds before the first token
---       tps = 20,               -- tokens per second
---       error = "boom",         -- an error: with status (500), or as a line after error_after tokens
---       cut = { 3, 1, 40 },     -- the bytes go out in pieces of these sizes; "random"
---       fault = "reset" }       -- see faults.lua
---
--- request is the decoded body plus endpoint ("chat" or "generate"). A script runs inside the
--- scheduler and cannot wait.

local faults = require "stoke.sim.faults"

local M = {}

local FIELDS = {
  text = "string", thinking = "string", tool_calls = "table", done_reason = "string", delay = "number", tps = "number",
  error = "string", status = "number", error_after = "number", cut = "any", fault = "string",
}

--- A reply in its full form; nil and what is wrong with it.
---@param r any
---@return table?
---@return string?
function M.reply(r)
  if r == nil then return nil end
  if type(r) == "string" then return { text = r } end
  if type(r) ~= "table" then return nil, "the script's reply is a " .. type(r) .. ", not a text or a table" end
  for k, v in pairs(r) do
    local want = FIELDS[k]
    if not want then return nil, ("the script's reply has an unknown field '%s'"):format(tostring(k)) end
    if want ~= "any" and type(v) ~= want then
      return nil, ("the script's reply: %s must be a %s"):format(k, want)
    end
  end
  if r.fault and not faults.parse(r.fault) then return nil, ("the script's reply: no fault '%s'"):format(r.fault) end
  for _, c in ipairs(r.tool_calls or {}) do
    if type(c) ~= "table" or type(c.name) ~= "string" then return nil, "the script's reply: a tool call needs a name" end
  end
  return r
end

--- The function that answers, from a function or a list.
---@param script function|table|nil
---@return (fun(request: table, n: integer): table?, string?)?
function M.answerer(script)
  if script == nil then return nil end
  if type(script) == "table" then
    return function(_, n) return M.reply(script[n]) end
  end
  return function(request, n) return M.reply(script(request, n)) end
end

--- Runs the text of a script file; it must return a function or a list.
---@param text string
---@param name string for messages
---@return function|table? script
---@return string? err
function M.compile(text, name)
  local chunk, err = load(text, "@" .. name, "t")
  if not chunk then return nil, err end
  local ok, script = pcall(chunk)
  if not ok then return nil, tostring(script) end
  if type(script) ~= "function" and type(script) ~= "table" then
    return nil, name .. ": a script returns a function or a list of replies"
  end
  return script
end

--- Reads and runs a script file.
---@param path string
---@return function|table? script
---@return string? err
function M.load(path)
  local file, problem = io.open(path, "rb")
  if not file then return nil, "cannot read the script: " .. problem end
  local text
  text, problem = file:read "a"
  file:close()
  if not text then return nil, "cannot read the script: " .. problem end
  return M.compile(text, path)
end

return M
