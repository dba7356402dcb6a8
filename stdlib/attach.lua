--- The inspection socket of a running host, used by `stoke ps`, `stoke top` and `stoke attach`.
---
--- A host that runs for longer than half a second listens in $XDG_RUNTIME_DIR/stoke (or ~/.local/state/stoke/run), on a socket that
--- its user alone may open. It speaks HTTP: GET /about and /counts give JSON, POST /line takes { line, write, client } and answers
--- with text as it comes; closing the connection cancels what the line does. Below /page/ is what stdlib/page.lua answers, for
--- `stoke page`.
---
--- Programs in a sandbox run as the same user. They get no socket of this kind; and each request must carry a secret (the header
--- Authorization: Bearer SECRET) that lies beside that folder, in stoke.key (or ~/.local/state/stoke/key), where they cannot read.

local about = require "core.about"
local errors = require "core.errors"
local hash = require "core.hash"
local keyfile = require "core.keyfile"
local activity = require "stoke.attach.activity"
local fs = require "stoke.fs"
local http = require "stoke.http"
local os_env = require "stoke.env"

local M = {}

-- ---- where --------------------------------------------------------------------------------------------------------------------

--- The folder of the sockets; nil where there is no place for one.
---@return string|nil
---
--- Example: `print(attach.folder())`
function M.folder()
  local base = os_env.get "XDG_RUNTIME_DIR"
  if base and base:sub(1, 1) == "/" then return base .. "/stoke" end
  local home = os_env.get "HOME"
  if home and home:sub(1, 1) == "/" then return home .. "/.local/state/stoke/run" end
  return nil
end

--- The file of the secret, as folder and name.
local function key()
  local folder = M.folder()
  if not folder then return nil end
  local above, last = folder:match "^(.*)/([^/]*)$"
  return above, last == "run" and "key" or "stoke.key"
end

--- What a request to a host must carry.
---@return table<string, string> headers none where there is no secret yet
---Raises `denied` when others can read it, `os`.
---
--- Example: `http.get("http://localhost/about", { socket = path, headers = attach.headers() })`
function M.headers()
  local folder, name = key()
  local secret, err
  if folder then secret, err = keyfile.read(folder, name) end
  if err then error(err, 0) end
  return secret and { Authorization = "Bearer " .. secret } or {}
end

local wanted -- digest of what a request must carry, once this host listens

local function line(req, res)
  local asked = req:json()
  if type(asked) ~= "table" or type(asked.line) ~= "string" then return res:reply(400, nil, "a line is missing") end
  res:start(200, { ["Content-Type"] = "text/plain; charset=utf-8" })
  require "stoke.attach.console".run(asked, function(text) res:write(text) end)
end

local function handle(req, res)
  local said = req.headers.authorization
  if not said or hash.sha256(said) ~= wanted then -- the digests tell nothing by how long they take to compare
    return res:reply(401, { ["WWW-Authenticate"] = "Bearer" }, "the secret of this user's hosts is missing or wrong\n")
  end
  if req.path == "/about" then return activity.about() end
  if req.path == "/counts" then return activity.counts() end
  if req.path == "/line" and req.method == "POST" then return line(req, res) end
  if req.path:find "^/page/" then return require "stoke.page.remote".answer(req, res) end
  res:reply(404, nil, "no such path")
end

-- ---- listening ------------------------------------------------------------------------------------------------------------------

--- A name that fits a file: letters, digits, `_`, `-`, `.`.
local function file_name(name) return (name:gsub("[^%w_.-]", "_"):sub(1, 40)) end

local function socket_of(folder, name) return ("%s/%s.sock"):format(folder, file_name(name)) end

local function open(folder, name)
  return http.serve { socket = socket_of(folder, name), handler = handle, system = true,
    background = true, drain = 0 }
end

--- Remove the sockets that hosts left behind when they were killed. `own` is this host's.
local function sweep(folder, own)
  for _, entry in ipairs(fs.list(folder)) do
    local path = folder .. "/" .. entry.name
    if path ~= own and entry.name:find "%.sock$" then
      local ok, err = pcall(M.ask, path, "/about", { timeout = 0.5 })
      if not ok and errors.is(err) and err.kind == "refused" then pcall(fs.remove, path) end
    end
  end
end

--- Listen under a unique name.
---@param name string
---@param script string|nil
---@return stoke.http.server|nil
---@return stoke.error|nil err
---@return string|nil name that it has: where somebody else has that one, with the process behind it
---
--- Example: `local server = attach.listen("town", "town.lua")`
function M.listen(name, script)
  local folder = M.folder()
  if not folder then return nil, errors.new("os", "neither XDG_RUNTIME_DIR nor HOME says where sockets may be") end
  activity.name(name, script)
  local ok, server = pcall(function()
    fs.mkdir(folder, { parents = true })
    local secret = errors.check(keyfile.make(key()))
    wanted = hash.sha256("Bearer " .. secret)
    local opened, taken = pcall(open, folder, name)
    if opened then return taken end
    name = ("%s-%d"):format(name, about.pid())
    activity.name(name, script)
    return open(folder, name)
  end)
  if not ok then return nil, errors.wrap(server) end
  pcall(sweep, folder, socket_of(folder, name))
  return server, nil, name
end

-- ---- asking ------------------------------------------------------------------------------------------------------------------

--- Ask a host.
---@param path string of its socket
---@param target string
---@param options? table as for http.get
---@return any JSON
---Raises what http.get raises.
---
--- Example: `print(attach.ask(socket, "/about").pid)`
function M.ask(path, target, options)
  options = options or {}
  options.socket, options.timeout, options.headers = path, options.timeout or 2, options.headers or M.headers()
  return http.get("http://localhost" .. target, options):json()
end

--- The hosts that run, by name; sockets that dead ones left behind are removed.
---@return table[] hosts { name, path, pid, script, seconds, tasks, agents, sessions }; one that does not answer, as a task of it
---  runs without waiting, { name, path, busy = true }; one that has another secret, { name, path, locked = true }
---Raises `denied` when others can read the secret.
---
--- Example: `for _, host in ipairs(attach.hosts()) do print(host.name, host.pid) end`
function M.hosts()
  local folder, out = M.folder(), {}
  if not folder or not fs.stat(folder) then return out end
  local headers = M.headers()
  for _, entry in ipairs(fs.list(folder)) do
    local path = folder .. "/" .. entry.name
    if entry.name:find "%.sock$" then
      local ok, answer = pcall(M.ask, path, "/about", { headers = headers })
      if ok then
        answer.path = path
        out[#out + 1] = answer
      elseif errors.is(answer) and answer.kind == "timeout" then
        out[#out + 1] = { name = entry.name:gsub("%.sock$", ""), path = path, busy = true }
      elseif errors.is(answer) and answer.status == 401 then
        out[#out + 1] = { name = entry.name:gsub("%.sock$", ""), path = path, locked = true }
      elseif errors.is(answer) and answer.kind == "refused" then
        pcall(fs.remove, path)
      end
    end
  end
  table.sort(out, function(a, b) return a.name < b.name end)
  return out
end

local function awake(found)
  if found.locked then
    local folder, name = key()
    errors.raise("denied", ("the host %s wants another secret than that of %s/%s"):format(found.name, folder, name),
      { hint = "the file was changed or removed since that host began; start the host again" })
  end
  if not found.busy then return found end
  errors.raise("timeout", ("the host %s runs, but does not answer"):format(found.name),
    { hint = "one of its tasks runs without waiting; try again, or look at its standard error" })
end

--- The host of a name; without one the only host there is.
---@param name string|nil
---@return table host
---Raises `usage`, `timeout`.
---
--- Example: `local host = attach.find "town"`
function M.find(name)
  local hosts, names = M.hosts(), {}
  for i, found in ipairs(hosts) do
    if found.name == name or tostring(found.pid) == name then return awake(found) end
    names[i] = found.name
  end
  if not name and #hosts == 1 then return awake(hosts[1]) end
  if #hosts == 0 then
    errors.raise("usage", "no host is running", { hint = "a script can be looked into once it has run for half a second" })
  elseif not name then
    errors.raise("usage", "several hosts are running: " .. table.concat(names, ", "), { hint = "name one of them" })
  end
  local near = errors.suggest(name, names)
  errors.raise("usage", ("no host is named '%s'"):format(name),
    { hint = near and ("did you mean '%s'?"):format(near) or "running: " .. table.concat(names, ", ") })
end

return M
