--- `--metrics PORT`: the figures of whatever runs, at an address of their own.

local errors = require "core.errors"
local fs = require "stoke.fs"
local metrics = require "stoke.metrics"
local pool = require "core.gate.pool"
local requests = require "stoke.http.request"
local script = require "core.script"
local stdio = require "core.stdio"
local traces = require "core.traces"

local M = {}

--- The address and port of "9464", "0.0.0.0:9464", "[::1]:9464".
---@param text string
---@return string|nil address nil: this machine alone
---@return integer port
---Raises `usage`.
---
--- Example: `local address, port = flag.place "127.0.0.1:9464"`
function M.place(text)
  local address, port = text:match "^(.*):(%d+)$"
  port = math.tointeger(tonumber(port or text))
  if not port or port < 0 or port > 65535 or address == "" then
    errors.raise("usage", ("--metrics wants a port, or an address and a port, not '%s'"):format(text),
      { hint = "--metrics 9464, --metrics 0.0.0.0:9464 for other machines, --metrics 0 for any free port" })
  end
  return address and address:gsub("^%[(.*)%]$", "%1") or nil, port
end

--- The file of the token, which a scraper on another machine sends: beside the store, so that it stays the same.
local function token_file()
  local folder = traces.where(script.path, pool.store):match "^(.*/)[^/]*$" or "./"
  fs.mkdir(folder, { parents = true })
  return folder .. "metrics.key"
end

--- Serve them, and say where.
---@param text string what stands behind --metrics
---@return stoke.http.server
---Raises `usage` for what is no port; `os` when it cannot listen.
---
--- Example: `flag.open "9464"`
function M.open(text)
  local address, port = M.place(text)
  local far = address and not requests.is_loopback(address)
  local file = far and token_file() or nil
  local server = metrics.serve { port = port, address = address, token_file = file, system = true }
  local url = requests.reachable(server.url)
  stdio.err(("stoke: metrics at %s/metrics\n"):format(url))
  if far then
    stdio.err(("stoke: who reads them sends the token in %s as its Bearer%s; what goes to and fro is not encrypted\n"):format(file,
      url ~= server.url and ", from other machines to this one's own address" or ""))
  end
  return server
end

return M
