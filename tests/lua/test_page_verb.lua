-- stoke page: a running host in a browser, through its own socket; or the store of one that does not run.

local test = require "stoke.test"
local about = require "core.about"
local binary = require "binary"
local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "stoke.json"
local kept = require "kept"
local proc = require "stoke.proc"
local stoke = require "stoke"

local REAL = { real = true }

local HOST = [[
local stoke = require "stoke"
local wipe = stoke.tool { name = "wipe", params = { disk = "string" }, needs_approval = true,
  run = function(args) return "wiped " .. args.disk end }
stoke.main(function()
  local world <close> = stoke.world { name = "town", state = { n = 0 }, step = function(state) state.n = state.n + 1 end }
  local run = stoke.spawn(function() world:run { speed = 20 } end)
  print(wipe:call { disk = "sda" })
  run:await()
end)
]]

--- A folder in which hosts run and `stoke page` shows them; all of it ends with the block.
local function place(files)
  local here = binary.place(files or { ["town.lua"] = HOST })
  local self = { path = here.path, children = {} }
  here.env.XDG_RUNTIME_DIR = here.path .. "/run"
  fs.mkdir(here.path .. "/run")
  function self.run(...) return here.run(...) end
  function self.spawn(...)
    local child = proc.spawn { argv = { about.executable(), ... }, cwd = here.path, env = here.env, env_allow = binary.PASSED_ON,
      stderr = "merge" }
    self.children[#self.children + 1] = child
    return child, child:lines()
  end
  --- A host, once it can be looked into.
  function self.host(name)
    local child, lines = self.spawn("run", "--name", name, "town.lua")
    while not here.run("ps").stdout:find("\n" .. name, 1, true) do stoke.sleep(0.05) end
    return child, lines
  end
  --- `stoke page` with these words: its address, its token, the child.
  function self.page(...)
    local child, lines = self.spawn("page", ...)
    local url, token = lines():match "^(http://.-/)#token=(%w+)$"
    return { url = url, token = token, child = child, note = lines() }
  end
  return setmetatable(self, { __close = function()
    for _, child in ipairs(self.children) do child:close() end
    local _ <close> = here
  end })
end

local function look(shown, query)
  local res = http.get(shown.url .. "look", { query = query, raise = false })
  return res:json(), res.status
end

local function act(shown, order, token)
  local res = http.post(shown.url .. "do", { json = order, raise = false,
    headers = token and { Authorization = "Bearer " .. token } or {} })
  return res:json(), res.status
end

test("stoke page shows a running host and decides in it; without the token it only looks", REAL, function(t)
  local here <close> = place()
  local host, lines = here.host "town"
  local shown = here.page("--port", "0")
  t.eq(shown.note, "stoke: the page of town; Ctrl-C ends")
  local now = look(shown, { view = "now" })
  t.eq({ now.host.name, now.host.pid, now.host.script }, { "town", host.pid, "town.lua" })
  t.ok(json.decode(look(shown).text).n >= 0, "its world is there, too")
  local entry = look(shown, { view = "approvals" }).entries[1]
  t.eq(json.decode(entry.text), { disk = "sda" })
  local order = { view = "approvals", ["do"] = "approve", id = entry.id, digest = entry.digest }
  local refused, status = act(shown, order)
  t.eq({ status, refused.error }, { 401, "the link with the token is needed for this" })
  t.eq(act(shown, order, shown.token).decision, "approved")
  t.eq(lines(), "wiped sda")
end)

test("the stream comes from the host, says who may act, and tells when the host has ended", REAL, function(t)
  local here <close> = place()
  local host = here.host "town"
  local shown = here.page("town", "--port", "0")
  for _, token in ipairs { shown.token, "another-long-enough-token" } do
    local res <close> = http.get(shown.url .. "events", { stream = "sse", headers = { Authorization = "Bearer " .. token } })
    local hello = json.decode(res:events()().data)
    t.eq(hello.may, token == shown.token)
    local ids = {}
    for i, view in ipairs(hello.views) do ids[i] = view.id end
    t.contains(table.concat(ids, " "), "now")
    t.contains(table.concat(ids, " "), "town")
  end
  t.contains(http.get(shown.url).headers["content-security-policy"], "default-src 'none'")
  host:kill "KILL"
  host:wait()
  local gone, status = look(shown, { view = "now" })
  t.eq({ status, gone.error }, { 502, "the host town is gone" })
end)

test("names that browsers on this machine ask for are listed by --host", REAL, function(t)
  local here <close> = place()
  here.host "town"
  local function status(shown, host) return http.get(shown.url, { headers = { Host = host }, raise = false }).status end
  local shown = here.page("--port", "0", "--host", "town.lan", "--host", "box.lan")
  t.eq({ status(shown, "town.lan"), status(shown, "box.lan:80"), status(shown, "localhost"), status(shown, "evil.example") },
    { 200, 200, 200, 403 })
end)

test("a host that nobody names must be the only one", REAL, function(t)
  local here <close> = place()
  here.host "one"
  here.host "two"
  local refused = here.run("page", "--port", "0")
  t.eq(refused.code, 2)
  t.contains(refused.stderr, "several hosts are running: one, two")
  local shown = here.page("two", "--port", "0")
  t.eq(look(shown, { view = "now" }).host.name, "two")
end)

test("where no host runs the store of the folder is shown, and decided in", REAL, function(t)
  local held <close> = kept.store(t)
  kept.run(held.store, "trip-7", function() stoke.sleep(1) end, { state = "waiting", waits = "approval of tool.call book_flight",
    change = function(journal, log)
      kept.open_call(journal, log, { asks = { effect = "tool.call", what = "book_flight", since = 1 } })
    end })
  local here <close> = place {}
  local shown = here.page(held.path, "--port", "0")
  t.eq(shown.note, ("stoke: the page of %s, which no host is asked for; Ctrl-C ends"):format(held.path))
  t.contains(look(shown, { view = "now" }).error, "there is no view now")
  local entry = look(shown, { view = "approvals" }).entries[1]
  t.eq({ entry.run, entry.what }, { "trip-7", "book_flight" })
  act(shown, { view = "approvals", ["do"] = "reject", id = entry.id, digest = entry.digest, reason = "no" }, shown.token)
  t.eq(held.store:decisions("trip-7")[1].verdict, { decision = "rejected", reason = "no" })
  local flagged = here.page("--store", held.path, "--port", "0")
  t.eq(look(flagged, { view = "approvals" }).count, 1)
end)

test("a run whose process was killed while it waited goes on with what was decided on the page", REAL, function(t)
  local here <close> = place { ["bot.lua"] = [[
local stoke = require "stoke"
local wipe = stoke.tool { name = "wipe", params = { disk = "string" }, needs_approval = true,
  run = function(args) return "wiped " .. args.disk end }
stoke.main(function() print(wipe:call { disk = "sda" }) end)
]] }
  local child = here.spawn("run", "--durable=clean", "bot.lua")
  while not here.run("runs", "--status", "waiting").stdout:find("clean", 1, true) do stoke.sleep(0.05) end
  child:kill "KILL"
  child:wait()
  local shown = here.page(".", "--port", "0")
  local entry = look(shown, { view = "approvals" }).entries[1]
  t.eq({ entry.run, json.decode(entry.text), entry.left }, { "clean", { disk = "sda" }, true })
  local order = { view = "approvals", ["do"] = "approve", id = entry.id, digest = entry.digest, args = '{"disk": "sdb"}' }
  t.eq(act(shown, order, shown.token).left, true)
  t.eq(here.run("resume", "clean").stdout, "wiped sdb\n")
  local left = 1
  for _ = 1, 200 do -- the file is looked at every two seconds
    left = look(shown, { view = "approvals" }).count
    if left == 0 then break end
    stoke.sleep(0.05)
  end
  t.eq(left, 0)
end)

test("nothing to show, and a store that is not there, are said", REAL, function(t)
  local here <close> = place {}
  local function refused(words, ...)
    local res = here.run("page", ...)
    t.eq(res.code, 2, res.stderr)
    t.contains(res.stderr, words)
  end
  refused("no host is running, and there is no store of durable runs here", "--port", "0")
  refused("there is no store of durable runs: no file none.db", "none.db")
  refused("no host is running", "town")
end)

test("the file of a token gives the same link again, and --json tells it", REAL, function(t)
  local here <close> = place()
  here.host "town"
  local first = here.page("--port", "0", "--token-file", "page.key")
  local _, lines = here.spawn("page", "--port", "0", "--token-file", "page.key", "--json")
  local told = json.decode(lines())
  t.eq({ told.host, told.link }, { "town", told.url .. "#token=" .. first.token })
end)
