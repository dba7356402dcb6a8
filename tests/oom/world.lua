-- A bit of everything that allocates, for tests/oom.lua: memory server and client, files, a process, JSON, scopes, channels.

local stoke = require "stoke"
local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "stoke.json"
local proc = require "stoke.proc"
local schema = require "stoke.schema"

local function say(...) io.write(table.concat({ ... }, " "), "\n") end

local function requests()
  local server <close> = http.serve { mem = "oom", handler = function(req) return { path = req.path, list = { 1, 2.5 } } end }
  local answer = http.get(server.url .. "/hello"):json()
  say(answer.path, answer.list[2])
  local res = http.get(server.url .. "/lines", { stream = "lines" })
  for line in res:lines() do say(line) end
end

local function system()
  local path = proc.run({ argv = { "mktemp" } }).stdout:gsub("%s", "")
  local gone <close> = setmetatable({}, { __close = function() fs.remove(path) end }) -- luacheck: ignore
  fs.write(path, ("x"):rep(5000))
  say(#fs.read(path))
  local folder, name = path:match "^(.*)/(.*)$"
  fs.write(name, "inside", { root = folder })
  say(fs.read(name, { root = folder }), fs.stat(name, { root = folder }).type, #fs.list("oom", { root = "tests" }))
end

local function tasks()
  local channel, sum = stoke.channel(2), 0
  local scope <close> = stoke.scope { deadline = 20 }
  scope:spawn(function()
    for i = 1, 5 do channel:send(i) end
    channel:close()
  end)
  for value in function() return channel:recv() end do sum = sum + value end
  local squares = scope:map({ 1, 2, 3 }, function(x)
    stoke.sleep(0.001)
    return x * x
  end, { limit = 2 })
  local _, err = stoke.try(stoke.timeout, 0.001, stoke.sleep, 5)
  say(sum, squares[3], err and err.kind or "no error")
end

local function values()
  local message = json.piece { role = "user", content = "hi", calls = { { a = ("x"):rep(200) } } }
  local when = schema { lines = { { qty = "integer >= 1", due = "date?" } } }
  say(#message, json.digest { message, message }, #when:check({ lines = { { qty = 1 } } }).lines, message:value().role)
end

stoke.main(function()
  requests()
  system()
  tasks()
  values()
  say(json.encode(json.decode '{"a":[1,2,{"b":"\u{e9}"}],"c":1e3}'))
end)
