--- The page of a host that runs, served by another process (`stoke page`): who may is judged there, and what is allowed goes on to
--- the host's own socket. All that is shown is made in the host, which has no port open for that.

local attach = require "stoke.attach"
local errors = require "core.errors"
local host = require "stoke.page.host"
local http = require "stoke.http"
local json = require "stoke.json"
local page = require "stoke.page"
local tasks = require "core.task"
local watch = require "stoke.page.watch"

local M = {}

--- Where a host answers for its page; and the header by which it is told that somebody may act.
local BELOW <const>, MAY <const> = "/page", "stoke-may"

-- ---- in the host ----------------------------------------------------------------------------------------------------------------

local shown -- from when somebody first asks

--- Answer a request of the host's socket that is for its page. The one who asks has the secret of this user's hosts, and says for
--- whom it asks.
---@param req stoke.http.incoming
---@param res stoke.http.reply
---
--- Example: `remote.answer(req, res)`
function M.answer(req, res)
  if not shown then
    shown = page.within()
    host.show(shown)
    tasks.spawn(watch.follow, { name = "page.worlds", system = true }, shown)
  end
  return shown:answer(req, res, req.path:sub(#BELOW + 1), req.headers[MAY] == "act")
end

-- ---- in the other process -------------------------------------------------------------------------------------------------------

--- Headers of the host's answer that a browser gets; the length and the like are this server's own.
local PASSED <const> = { "Content-Type", "Cache-Control", "Referrer-Policy", "X-Content-Type-Options",
  "Cross-Origin-Resource-Policy", "Content-Security-Policy", "X-Accel-Buffering" }

local function passed(answer)
  local headers = {}
  for _, name in ipairs(PASSED) do headers[name] = answer.headers[name:lower()] end
  return headers
end

local function ask(place, req, may)
  local headers = attach.headers()
  headers[MAY], headers["Content-Type"] = may and "act" or nil, req.headers["content-type"]
  local options = { socket = place.path, headers = headers, raise = false, stream = "bytes",
    timeout = { connect = 10, first_byte = 60, idle = 60 } } -- the stream of events says every 15 s that it is there
  if req.method == "POST" then
    options.body = req.body
    return http.post("http://localhost" .. BELOW .. req.target, options)
  end
  return http.get("http://localhost" .. BELOW .. req.target, options)
end

--- Its process has ended, or one of its tasks runs without waiting.
local function gone(place, res, err)
  local words = err.kind == "timeout" and "the host %s does not answer" or "the host %s is gone"
  return res:reply(502, { ["Content-Type"] = "application/json", ["Cache-Control"] = "no-store" },
    json.encode { error = words:format(place.name) })
end

--- What stoke.page passes requests through to show a host.
---@param place { name: string, path: string } as attach.find gives it
---@return fun(req: stoke.http.incoming, res: stoke.http.reply, may: boolean)
---Raises `usage` where the host is of a version that has no such page.
---
--- Example: `local shown = page { port = 8080, through = remote.through(attach.find "town") }`
function M.through(place)
  local probe = http.get("http://localhost" .. BELOW .. "/", { socket = place.path, headers = attach.headers(), raise = false,
    timeout = 10 })
  if probe.status ~= 200 then
    errors.raise("usage", ("the host %s runs another version of stoke (%s)"):format(place.name, tostring(place.version)))
  end
  return function(req, res, may)
    local ok, answer = pcall(ask, place, req, may)
    if not ok then
      local err = errors.wrap(answer)
      if err.kind == "cancelled" then error(err, 0) end
      return gone(place, res, err)
    end
    res:start(answer.status, passed(answer))
    for bytes in answer:chunks() do res:write(bytes) end
  end
end

return M
