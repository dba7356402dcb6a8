-- --watch-at: the worlds of a script in a browser, from outside: stdlib/page/watch.lua.

local test = require "stoke.test"
local about = require "core.about"
local http = require "stoke.http"
local json = require "stoke.json"
local proc = require "stoke.proc"
local stoke = require "stoke"
local watch = require "stoke.page.watch"
local binary = require "binary"

local REAL = { real = true }

local FILE = [[
local stoke = require "stoke"
local function world(name)
  return stoke.world { name = name, state = { n = 0 }, step = function(state) state.n = state.n + 1 end }
end
stoke.main(function(args)
  local one <close> = world "one"
  print("begins with " .. #args .. " words")
  local run = stoke.spawn(function() one:run { speed = 20 } end)
  io.read()
  local two <close> = world "two"
  io.read()
  one:stop()
  run:await()
end)
]]

--- A script that is watched, and the address that it tells.
local function watching(...)
  local here = binary.place { ["a.lua"] = FILE }
  here.env.XDG_RUNTIME_DIR = here.path
  local child = proc.spawn { argv = { about.executable(), ... }, cwd = here.path, env = here.env, env_allow = binary.PASSED_ON,
    stderr = "merge" }
  local lines = child:lines()
  local link = lines()
  return setmetatable({ child = child, lines = lines, link = link, url = link:match "(http://[^#]+)#" }, { __close = function()
    local folder <close> = here -- luacheck: ignore
    local program <close> = child -- luacheck: ignore
  end })
end

--- Looks until a world is there; the program has just begun, and is asked again for at most ten seconds.
local function look(place, view)
  for _ = 1, 200 do
    local res = http.get(place.url .. "look", { query = { view = view }, raise = false })
    if res.status == 200 then return res:json() end
    stoke.sleep(0.05)
  end
  error("the world " .. view .. " is not shown", 0)
end

test("a script that knows nothing of pages is watched, and each world from when it is made", REAL, function(t)
  local place <close> = watching("a.lua", "--watch-at", "0", "word")
  t.match(place.link, "^stoke: watch at http://127%.0%.0%.1:%d+/#token=%x+$")
  t.eq(place.lines(), "begins with 1 words")
  t.ok(json.decode(look(place, "one").text).n >= 0)
  t.eq(http.get(place.url .. "look?view=two", { raise = false }).status, 400)
  place.child:write "\n"
  t.eq(json.decode(look(place, "two").text), { n = 0 })
  local order = { json = { view = "one", ["do"] = "pause" }, raise = false }
  t.eq(http.post(place.url .. "do", order).status, 401)
  order.headers = { Authorization = "Bearer " .. place.link:match "token=(%x+)" }
  t.eq(http.post(place.url .. "do", order):json().clock.paused, true)
  place.child:write "\n"
  t.eq(place.child:wait().code, 0) -- the page does not keep the script
end)

test("a world that is paused from its page, which nobody watches then, waits for the page", REAL, function(t)
  local here <close> = binary.place { ["a.lua"] = [[
local stoke = require "stoke"
stoke.main(function()
  local world <close> = stoke.world { name = "one", state = { n = 0 }, step = function(state) state.n = state.n + 1 end }
  local page <close> = stoke.page { world = world, port = 0 }
  print(page.link)
  world:run { speed = 1000, ticks = 1500 }
  print "done"
end)
]] }
  local child <close> = proc.spawn { argv = { about.executable(), "a.lua" }, cwd = here.path, env = here.env,
    env_allow = binary.PASSED_ON, stderr = "merge" }
  local lines = child:lines()
  local url, token = lines():match "^(.-)#token=(%x+)$"
  local function order(what)
    local res = http.post(url .. "do", { json = { ["do"] = what }, headers = { Authorization = "Bearer " .. token } })
    return res:json().clock.paused
  end
  t.eq(order "pause", true)
  stoke.sleep(1) -- a host in which nothing can happen any more is ended at once
  t.eq(order "resume", false)
  t.eq(lines(), "done")
end)

test("the link works on this machine where others reach the page, too, and they are told what to put in it", REAL, function(t)
  local place <close> = watching("a.lua", "--watch-at", "0.0.0.0:0")
  t.match(place.link, "^stoke: watch at http://127%.0%.0%.1:%d+/#token=%x+$")
  t.match(place.lines(), "^stoke: other machines .* in place of 127%.0%.0%.1; .* not encrypted$")
  t.eq(http.get(place.url, { raise = false }).status, 200)
end)

test("stoke run, and code on the command line, take it too", REAL, function(t)
  local place <close> = watching("run", "--watch-at", "0", "a.lua")
  t.match(place.link, "^stoke: watch at http://127%.0%.0%.1:%d+/#token=%x+$")
  local code <close> = watching("--watch-at=0", "-e", "io.read()")
  t.eq(http.get(code.url .. "look", { raise = false }):json().error, "there is nothing to see yet")
end)

test("what is no port, and verbs that have no world, are refused in words", REAL, function(t)
  local here <close> = binary.place { ["a.lua"] = FILE }
  local function refused(words, ...)
    local res = proc.run { argv = { about.executable(), ... }, cwd = here.path, env = here.env, env_allow = binary.PASSED_ON }
    t.eq(res.code, 2, res.stderr)
    t.contains(res.stderr, words)
  end
  refused("--watch-at wants a port, or an address and a port, not 'soon'", "a.lua", "--watch-at", "soon")
  refused("--watch-at wants a value", "a.lua", "--watch-at")
  refused("stoke models has no world to show", "models", "--watch-at", "8080")
end)

test("an address and a port, or a port alone", function(t)
  local function place(text) return { watch.place(text) } end
  t.eq(place "8080", { nil, 8080 })
  t.eq(place "0.0.0.0:80", { "0.0.0.0", 80 })
  t.eq(place "[::1]:0", { "::1", 0 })
  for _, text in ipairs { "", "x", "70000", "-1", ":80", "1.5", "0.0.0.0" } do t.raises("usage", watch.place, text) end
end)
