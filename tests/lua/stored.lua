-- Stores for tests: in folders of their own, with runs whose rows look like a journal's.

local about = require "core.about"
local engine = require "host.store"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local stoke = require "stoke"
local stores = require "core.store"

local M = {}

-- A value, or the error raised.
function M.ok(value, err)
  if value == nil and err ~= nil then error(err, 0) end
  return value, err
end

function M.open(path, options) return M.ok(stores.open(path, options)) end

-- A store in memory, with one run and its log.
function M.run(path, id)
  local store = M.open(path or ":memory:")
  local run = M.ok(store:create { id = id or "r1", workflow = "flow", input = { city = "Oslo" } })
  return store, run, M.ok(store:log(run))
end

local DIGEST = ("0123456789abcdef"):rep(4)

-- A row as a journal begins it.
function M.row(number, fields)
  local row = { number = number, key = ("run/task:1/test.ask#%d"):format(number), name = "test.ask", class = "pure",
    digest = DIGEST,
    request = { text = "q" .. number }, where = "bot.lua:7", time = 1767225600.5 }
  for name, value in next, fields or {} do row[name] = value end
  return row
end

-- A row that is begun and has its outcome, as a log hears of it.
function M.record(log, number, outcome, fields)
  local row = M.row(number, fields)
  log:row(row)
  row.outcome, row.seen, row.inline = outcome, number, true
  local err = log:outcome(row)
  return row, err
end

M.value = function(value) return { value = value, facts = { attempts = 1 } } end

M.error = require("core.errors").new

-- A store that is closed at the end of a block.
local CLOSED = { __close = function(self) self.store:close() end,
  __index = function(self, name)
    local method = self.store[name]
    return type(method) == "function" and function(_, ...) return method(self.store, ...) end or method
  end }
function M.closing(store) return setmetatable({ store = store }, CLOSED) end

-- ---- another process ------------------------------------------------------------------------------------------------------------

local CHILD = [[
local test = require "stoke.test"
local stores = require "core.store"
local fs = require "stoke.fs"
test("a process of a test", { real = true }, function()
  local folder, made = os.getenv "FOLDER", os.getenv "MADE"
  local alive = assert(require "host.store".lock(folder .. "/alive", 1))
  fs.write(folder .. "/pid", tostring(require "host.env".pid()))
  local store = assert(stores.open(os.getenv "STORE"))
  if made ~= "" then assert(store:create { id = made, workflow = "w" }) end
  local function say(word) fs.write(folder .. "/said", tostring(word) .. "\n", { append = true }) end
  local function record(log, number, outcome)
    local row = { number = number, key = "run/x#" .. number, name = "x", class = "pure", digest = "d", request = { number } }
    log:row(row)
    row.outcome, row.seen, row.inline = outcome, number, true
    log:outcome(row)
  end
  local _ = record, alive
%s
end)
]]

-- A process that opens a store and runs some code with it; it may `say` words, which are heard here. point: where it is killed.
function M.child(t, path, code, made, point)
  local folder = t.tmp() .. "/child" .. path:gsub("%W", "")
  fs.mkdir(folder)
  fs.write(folder .. "/child.lua", CHILD:format(code))
  local env = { STORE = path, FOLDER = folder, MADE = made or "", STOKE_FAULT = point }
  local process = proc.spawn { argv = { about.executable(), "test", "--internal", folder .. "/child.lua" }, env = env,
    env_allow = { "PATH", "HOME" }, stdin = false, stderr = "merge" }
  local self = {}
  function self.said() return fs.stat(folder .. "/said") and fs.read(folder .. "/said") or "" end
  function self.last() return self.said():match "([^\n]*)\n$" end
  function self.wait(word)
    for _ = 1, 2000 do
      if ("\n" .. self.said()):find("\n" .. word .. "\n", 1, true) then return end
      stoke.sleep(0.01)
    end
    self.kill()
    error(("the other process does not say %s:\n%s"):format(word, process:read() or ""))
  end
  -- There are two processes, and it is the inner one that runs the code: it holds a lock as long as it lives.
  function self.ended()
    process:wait()
    while true do
      local lock = engine.lock(folder .. "/alive", 1)
      if lock then return lock:free() end
      stoke.sleep(0.01)
    end
  end
  function self.kill()
    proc.run { argv = { "kill", "-9", fs.read(folder .. "/pid") } }
    self.ended()
  end
  return setmetatable(self, { __close = function() process:close() end })
end

return M
