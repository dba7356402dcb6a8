--- Messages of the Language Server Protocol over the standard streams of this process: a head with Content-Length, then JSON.

local errors = require "core.errors"
local json = require "core.json"
local rpc = require "stoke.mcp.rpc"
local stdio = require "core.stdio"

local M = {}

--- Bytes of a head and of a message, at most.
M.HEAD, M.BODY = 4096, 16 << 20

--- Send a message. One that JSON cannot say is an error of ours.
---@param message table
---
--- Example: `frames.send { jsonrpc = "2.0", id = 1, result = {} }`
function M.send(message)
  local text, err = json.encode(message)
  if not text then text = json.encode(rpc.refusal(message.id or json.null, -32603, "the answer is no JSON: " .. err.message)) end
  stdio.put(1, ("Content-Length: %d\r\n\r\n%s"):format(#text, text))
end

--- The length that a head tells; nil: it is none.
local function length(head)
  local digits = ("\n" .. head:lower()):match "\ncontent%-length:[ \t]*(%d+)[ \t]*\r?%f[\n\0]"
  return digits and #digits < 16 and math.tointeger(tonumber(digits)) or nil
end

--- Call a function for each message that comes, until the input ends. One that is too long is refused, and passed over.
---@param f fun(text: string)
---@param read? fun(): string|nil what brings bytes; default: standard input
---Raises `cancelled`, `protocol` where the input is no such messages, and what the function raises.
---
--- Example: `frames.each(function(text) print(#text) end)`
function M.each(f, read)
  read = read or stdio.read_some
  local buffer, parts, missing, over = "", {}, nil, false
  for bytes in read do
    buffer = buffer .. bytes
    while true do
      if not missing then
        local from, to = buffer:find("\r?\n\r?\n")
        if not from and #buffer > M.HEAD then
          errors.raise("protocol", "standard input brings no Content-Length: is this a language client?")
        end
        if not from then break end
        missing = length(buffer:sub(1, from - 1))
        if not missing then errors.raise("protocol", "a message on standard input has no Content-Length") end
        over, parts, buffer = missing > M.BODY, {}, buffer:sub(to + 1)
      end
      local part = buffer:sub(1, missing)
      buffer, missing = buffer:sub(#part + 1), missing - #part
      if not over then parts[#parts + 1] = part end
      if missing > 0 then break end
      missing = nil
      if over then
        M.send(rpc.refusal(json.null, -32600, ("a message of more than %d MB"):format(M.BODY >> 20)))
      else
        f(table.concat(parts))
      end
    end
  end
end

return M
