-- The page in a real browser, a Chromium without a window: that of a world, driven by page.mjs, and that of a host, driven by
-- host.mjs, against `--watch-at`.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local peers = require "peers"

--- Chromium: CHROMIUM names it where it is not in PATH under a usual name.
local function chromium(t)
  local given = os.getenv "CHROMIUM"
  if given then return given end
  for folder in (os.getenv "PATH" or ""):gmatch "[^:]+" do
    for _, name in ipairs { "chromium", "chromium-browser", "google-chrome" } do
      if fs.stat(folder .. "/" .. name) then return folder .. "/" .. name end
    end
  end
  local words = "there is no chromium in PATH, and CHROMIUM names none"
  if os.getenv "PEERS_REQUIRED" then error(words, 0) end
  t.skip(words)
end

--- Node of the system will do: the browser is driven over a pipe, and no package is needed.
local function node()
  return fs.stat(peers.FOLDER .. "/node/node_modules/node/bin/node") and peers.node() or "node"
end

--- A program that is watched, and the link to it; `done` is a file for what it does.
local function watched(file, replies)
  local home = peers.home()
  local done = home.path .. "/done"
  fs.write(done, "")
  local child = proc.spawn { argv = { about.executable(), "tests/clients/" .. file, "--sim" .. (replies or ""), "--watch-at", "0" },
    env = { HOME = home.path, DONE = done }, env_allow = peers.PASSED_ON, stderr = "merge" }
  local link = child:lines()():match "^stoke: watch at (%S+)$"
  return setmetatable({ link = link, done = done }, { __close = function()
    child:close()
    local _ <close> = home
  end })
end

--- Where the pictures go.
local function pictures()
  local folder = peers.absolute(peers.FOLDER) .. "/pictures"
  proc.run { argv = { "mkdir", "-p", folder } }
  return folder
end

test("the page, in a browser: map, minds, clock, past, joining, keys, a phone, and nothing from elsewhere", peers.REAL, function(t)
  local program = chromium(t)
  local place <close> = watched("watched.lua", "=tests/clients/watched_replies.lua")
  t.ok(place.link, "the program tells the link")
  peers.check(t, { node(), "tests/clients/page.mjs", pictures() }, { LINK = place.link, CHROMIUM = program }, 19)
end)

test("a host, in a browser: what it does, what failed, what waits for approval, and its decision", peers.REAL, function(t)
  local program = chromium(t)
  local place <close> = watched "watched_host.lua"
  t.ok(place.link, "the program tells the link")
  peers.check(t, { node(), "tests/clients/host.mjs", pictures() },
    { LINK = place.link, CHROMIUM = program, DONE = place.done }, 15)
end)

--- A program in a folder, and its lines.
local function spawn(folder, ...)
  local child = proc.spawn { argv = { about.executable(), ... }, cwd = folder, env = { HOME = folder }, env_allow = peers.PASSED_ON,
    stderr = "merge" }
  return child, child:lines()
end

--- A host with a history, in a folder of its own, once its runs have ended; and the link to its page.
local function with_runs(folder)
  proc.run { argv = { "mkdir", "-p", folder } }
  for _, name in ipairs { "watched_runs.lua", "watched_runs_replies.lua" } do
    fs.write(folder .. "/" .. name, fs.read("tests/clients/" .. name))
  end
  local host, lines = spawn(folder, "watched_runs.lua", "--sim=watched_runs_replies.lua", "--spans", "--trace-bodies",
    "--watch-at", "0")
  local link
  for line in lines do
    link = link or line:match "^stoke: watch at (%S+)$"
    if line == "ready" then break end
  end
  return host, link
end

--- The same, and the page of a store whose host has ended.
local function with_history()
  local home = peers.home()
  local ended = with_runs(home.path .. "/ended")
  ended:kill "SIGKILL"
  ended:close()
  local host, link = with_runs(home.path .. "/host")
  local looker, lines = spawn(home.path, "page", "--port", "0", "--store", "ended/.stoke/state.db")
  local store = lines():match "(http://%S+)"
  return setmetatable({ link = link, store = store, go = home.path .. "/host/go" }, { __close = function()
    host:close()
    looker:close()
    local _ <close> = home
  end })
end

test("the history, in a browser: the list, a run from within, a replay, traces, a phone, no host", peers.REAL, function(t)
  local program = chromium(t)
  local place <close> = with_history()
  t.ok(place.link and place.store, "the programs tell their links")
  peers.check(t, { node(), "tests/clients/history.mjs", pictures() }, { LINK = place.link, STORE = place.store, GO = place.go,
    CHROMIUM = program }, 11)
end)
