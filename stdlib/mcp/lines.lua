--- Messages over the standard streams of this process, a line each. Standard output carries messages alone: what scripts print goes
--- to standard error, and what they read is empty.

local json = require "core.json"
local rpc = require "stoke.mcp.rpc"
local stdio = require "core.stdio"

local M = {}

--- Bytes of a line, at most.
M.LINE = 16 << 20

local Holder = {}
Holder.__index = Holder
function Holder.write(_, _, text) return stdio.put(2, text) end
function Holder.read_line() return nil end
function Holder.forget_typed() end

--- Take the streams, before a script runs.
---
--- Example: `lines.hold()`
function M.hold() stdio.holder = setmetatable({}, Holder) end

--- Send a message. One that JSON cannot say is an error of ours.
---@param message table
---
--- Example: `lines.send { jsonrpc = "2.0", id = 1, result = {} }`
function M.send(message)
  local line, err = json.encode(message)
  if not line then line = json.encode(rpc.refusal(message.id or json.null, -32603, "the answer is no JSON: " .. err.message)) end
  stdio.put(1, line .. "\n")
end

--- Call a function for each line that comes, until the input ends. A line that is too long is refused, and passed over.
---@param f fun(line: string)
---Raises `cancelled`, and what the function raises.
---
--- Example: `lines.each(function(line) print(#line) end)`
function M.each(f)
  local parts, size, over = {}, 0, false
  for bytes in stdio.read_some do
    local from = 1
    while true do
      local lf = bytes:find("\n", from, true)
      local part = bytes:sub(from, (lf or 0) - 1)
      size = size + #part
      if size > M.LINE then
        parts, over = {}, true
      elseif not over then
        parts[#parts + 1] = part
      end
      if not lf then break end
      local line = table.concat(parts)
      if over then
        M.send(rpc.refusal(json.null, -32600, ("a message of more than %d MB"):format(M.LINE >> 20)))
      elseif line:find "%S" then
        f(line)
      end
      parts, size, over, from = {}, 0, false, lf + 1
    end
  end
end

return M
