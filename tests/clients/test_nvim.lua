-- `stoke lsp` in a real Neovim, driven by a script.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local peers = require "peers"
local proc = require "stoke.proc"

test("Neovim: starts the server, tells what is typed, and gets completions", peers.REAL, function(t)
  if proc.run { argv = { "sh", "-c", "command -v nvim" } }.code ~= 0 then
    if os.getenv "PEERS_REQUIRED" then error("nvim is not installed", 0) end
    t.skip "nvim is not installed (apt-get install neovim)"
  end
  local home <close> = peers.home()
  local r = proc.run { argv = { "nvim", "--clean", "--headless", "-n", "-c", "luafile tests/clients/nvim.lua" }, timeout = 60,
    stdin = "", env = { HOME = home.path, XDG_STATE_HOME = home.path, XDG_CACHE_HOME = home.path, CHECK_STOKE = about.executable(),
      CHECK_AGENT = "agents/complete.lua", CHECK_OUT = home.path .. "/out", COMPLETE_MODEL = "qwen2.5:3b",
      COMPLETE_FAMILY = "qwen2.5-coder" } }
  t.ok(fs.stat(home.path .. "/out"), r.stdout .. r.stderr)
  t.eq(fs.read(home.path .. "/out"), 'inline " a + b"\ncompletion "a + b"\nstopped\n')
end)
