--- `--watch-at PORT`: a page for a script that knows nothing of pages: what the host does, and its worlds, each from when it is
--- made.

local errors = require "core.errors"
local host = require "stoke.page.host"
local page = require "stoke.page"
local requests = require "stoke.http.request"
local stdio = require "core.stdio"
local tasks = require "core.task"
local time = require "stoke.time"

local M = {}

--- Seconds between two looks for new worlds.
local EVERY <const> = 0.1

--- The address and port of "8080", "0.0.0.0:8080", "[::1]:8080".
---@param text string
---@return string|nil address nil: this machine alone
---@return integer port
---Raises `usage`.
---
--- Example: `local address, port = watch.place "127.0.0.1:8080"`
function M.place(text)
  local address, port = text:match "^(.*):(%d+)$"
  port = math.tointeger(tonumber(port or text))
  if not port or port < 0 or port > 65535 or address == "" then
    errors.raise("usage", ("--watch-at wants a port, or an address and a port, not '%s'"):format(text),
      { hint = "--watch-at 8080, --watch-at 0.0.0.0:8080 for other machines, --watch-at 0 for any free port" })
  end
  return address and address:gsub("^%[(.*)%]$", "%1") or nil, port
end

--- Show each world of this process from when it is made.
---@param shown stoke.page
---Raises `cancelled`.
---
--- Example: `tasks.spawn(watch.follow, { system = true }, shown)`
function M.follow(shown)
  local seen = setmetatable({}, { __mode = "k" })
  while true do
    local loaded = package.loaded["stoke.world"]
    for world in next, loaded and loaded.live or {} do
      if not seen[world] and not world.closed then
        seen[world] = true
        shown:show(world)
      end
    end
    time.sleep(EVERY)
  end
end

--- Serve the page beside the script, and say where.
---@param text string what stands behind --watch-at
---@return stoke.page
---Raises `usage` for what is no port; `os` when it cannot listen.
---
--- Example: `watch.open "8080"`
function M.open(text)
  local address, port = M.place(text)
  local shown = page { port = port, address = address, system = true }
  host.show(shown)
  tasks.spawn(M.follow, { name = "page.worlds", system = true }, shown)
  stdio.err(("stoke: watch at %s\n"):format(shown.link))
  if address and not requests.is_loopback(address) then
    local name = shown.link:match "^http://([^/]+):%d+/"
    stdio.err(("stoke: other machines reach the page%s; what goes to and fro is not encrypted\n"):format(
      requests.is_loopback(name) and (" by this machine's own address in place of %s"):format(name) or ""))
  end
  return shown
end

return M
