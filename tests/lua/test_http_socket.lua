-- HTTP over a socket in the file system: for programs of one user on one machine.

local test = require "stoke.test"
local fs = require "stoke.fs"
local http = require "stoke.http"
local proc = require "stoke.proc"

local count = 0

local function path_of()
  count = count + 1
  return ("%s/stoke-socket-%d-%d"):format(os.getenv "TMPDIR" or "/tmp", math.random(1, 1 << 30), count)
end

test("socket: a server there answers, only for its user, and takes its file away", { real = true }, function(t)
  local path = path_of()
  do
    local server <close> = http.serve { socket = path, handler = function(req)
      return req.method .. " " .. req.path .. " " .. req.peer
    end }
    t.eq({ server.url, server.port }, { "http://localhost", 0 })
    t.eq(http.get("http://localhost/a", { socket = path }).body, "GET /a unix")
    t.eq(http.post("http://any.name/b", { socket = path, body = "x" }).body, "POST /b unix")
    t.match(proc.run { argv = { "ls", "-l", path } }.stdout, "^srw%-%-%-%-%-%-%-")
  end
  t.eq(fs.stat(path), nil)
  t.raises("unreachable", http.get, "http://localhost/", { socket = path })
end)

test("socket: streams come as they are written, and a client that leaves is noticed", { real = true }, function(t)
  local path, left = path_of(), false
  local server <close> = http.serve { socket = path, handler = function(_, res)
    local _ <close> = setmetatable({}, { __close = function() left = true end })
    res:start(200)
    for i = 1, 1000 do
      res:write(i .. "\n")
      require("stoke").sleep(0.01)
    end
  end }
  local got = {}
  for line in http.get("http://localhost/", { socket = path, stream = "lines" }):lines() do
    got[#got + 1] = line
    if #got == 3 then break end
  end
  t.eq(got, { "1", "2", "3" })
  for _ = 1, 200 do
    if left then break end
    require("stoke").sleep(0.01)
  end
  t.ok(left)
end)

test("socket: what a dead program left behind is replaced, a living one is not", { real = true }, function(t)
  local path = path_of()
  local first = http.serve { socket = path, handler = function() return "first" end }
  t.raises("os", http.serve, { socket = path, handler = function() return "second" end })
  t.eq(http.get("http://localhost/", { socket = path }).body, "first")
  first:close()
  fs.write(path, "a file, no socket")
  t.raises("os", http.serve, { socket = path, handler = function() return "third" end })
  t.eq(fs.read(path), "a file, no socket")
  fs.remove(path)
end)

test("socket: mistakes are named", { real = true }, function(t)
  local handler = function() end
  t.raises("argument", http.serve, { socket = "x", port = 1, handler = handler })
  t.raises("argument", http.serve, { socket = ("x"):rep(200), handler = handler })
  t.raises("argument", http.get, "http://localhost/", { socket = "x", public = true })
end)
