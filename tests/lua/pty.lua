-- The binary on a terminal of its own (tests/peers/pty.c), and what a person would see there:
--
--     local session <close> = start { "repl", "--sim" }
--     session:type "1 + 1\r"
--     session:wait "\n2\n"

local fs = require "stoke.fs"
local proc = require "stoke.proc"
local stoke = require "stoke"
local time = require "stoke.time"

local screen = require "screen"

local BUILD = os.getenv "STOKE_BUILD" or "build"
local BIN = os.getenv "STOKE_BIN" or "build/stoke"

local PASS = { "PATH", "STOKE_PATH", "STOKE_GC", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS" }

local Session = {}
Session.__index = Session

local function hex(bytes) return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end

function Session:order(text) self.process:write(text .. "\n") end
function Session:type(bytes) self:order("k " .. hex(bytes)) end
function Session:signal(number) self:order("s " .. number) end
function Session:resize(columns, rows)
  self:order(("w %d %d"):format(columns, rows))
  self.screen.columns, self.screen.rows = columns, rows
end

-- Read until the screen shows the text (plain, not a pattern); or a function of the screen says so.
function Session:wait(wanted, seconds)
  local seen = type(wanted) == "function" and wanted or function(s) return s:text():find(wanted, 1, true) end
  local _, err = stoke.try(stoke.timeout, seconds or 20, function()
    while not seen(self.screen) do
      local bytes = self.process:read()
      if not bytes then error("the program has ended") end
      self.raw[#self.raw + 1] = bytes
      self.screen:feed(bytes)
    end
  end)
  if err then
    error(("%s\nwaiting for %s\non the screen:\n%s"):format(err.message, tostring(wanted), self.screen:text()), 2)
  end
  return self.screen
end

-- Everything up to the program's end; returns what the helper says of it.
function Session:ended()
  self:wait(function(s) return s:text():find("<%a+ %d+>$") end)
  return self.screen:text():match "<icanon=%d echo=%d>", self.screen:text():match "<(%a+ %d+)>$"
end

function Session:close()
  self.process:close()
  if self.own_state then pcall(fs.remove, self.state, { recursive = true }) end
end

Session.__close = Session.close

local count = 0

-- `options`: columns, rows, env, state (folder of the history; a fresh one, removed at the end, when not given)
return function(argv, options)
  options = options or {}
  count = count + 1
  local columns, rows = options.columns or 80, options.rows or 24
  local state = options.state
    or ("%s/stoke-pty-%d-%d"):format(os.getenv "TMPDIR" or "/tmp", math.floor(time.now() * 1e6), count)
  local env = { TERM = "xterm-256color", XDG_STATE_HOME = state, HOME = state, NO_COLOR = "1" }
  for name, value in pairs(options.env or {}) do env[name] = value end
  local process = proc.spawn { argv = { BUILD .. "/pty", columns, rows, BIN, table.unpack(argv) }, env = env, env_allow = PASS }
  return setmetatable({ process = process, screen = screen(columns, rows), state = state, own_state = not options.state,
    raw = {} }, Session)
end
