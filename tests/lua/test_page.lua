-- stoke.page: what a browser gets and may do: stdlib/page.lua, stdlib/page/.
local stoke = require "stoke"
local test = require "stoke.test"
local data = require "stoke.page.data"
local hash = require "core.hash"
local http = require "stoke.http"
local json = require "stoke.json"
local streams = require "stoke.page.stream"
local watching = require "watching"

local START = watching.START

-- ---- the document ---------------------------------------------------------------------------------------------------------------

test("the page is one document, and its policy lets nothing else run or load", function(t)
  local place <close> = watching.open()
  local res = place:get("/", {})
  t.eq({ res.status, res.headers["content-type"] }, { 200, "text/html; charset=utf-8" })
  local policy = res.headers["content-security-policy"]
  for _, name in ipairs { "script", "style" } do
    local inside = res.body:match(("<%s>(.-)</%s>"):format(name, name))
    t.ok(#inside > 1000, name)
    t.contains(policy, ("%s-src 'sha256-%s';"):format(name, hash.base64(hash.sha256(inside, true))))
  end
  t.contains(policy, "default-src 'none'")
  t.contains(policy, "frame-ancestors 'none'")
  for address in res.body:gmatch "https?://[%w./-]+" do t.eq(address, "http://www.w3.org/2000/svg") end
  t.eq({ res.body:find "<script [^>]*src", res.body:find "@import", res.body:find "innerHTML" }, {})
  t.ok(not res.body:find(watching.TOKEN, 1, true), "the token is in the link alone")
end)

test("the parts of the document share one scope: no two declare the same name", function(t)
  local place <close> = watching.open()
  local script = place:get("/", {}).body:match "<script>(.-)</script>"
  local seen, twice = {}, {}
  for line in script:gmatch "[^\n]+" do
    local name = line:match "^const ([%w_]+)" or line:match "^let ([%w_]+)" or line:match "^class ([%w_]+)"
      or line:match "^function ([%w_]+)" or line:match "^async function ([%w_]+)"
    if name and seen[name] then twice[#twice + 1] = name end
    if name then seen[name] = true end
  end
  t.ok(seen.Town and seen.app and seen.ask, "names are found")
  t.eq(twice, {})
end)

test("the link has the token behind #, which no browser sends; another one is made each time", function(t)
  local world <close> = watching.world()
  local a <close> = stoke.page { world = world, mem = "link-a" }
  local b <close> = stoke.page { world = world, mem = "link-b" }
  t.match(a.link, "^http://link%-a%.mem/#token=%x+$")
  t.eq(#a.link:match "token=(%x+)", 64)
  t.ne(a.link:match "token=(%x+)", b.link:match "token=(%x+)")
end)

-- ---- who may --------------------------------------------------------------------------------------------------------------------

test("without the token, or with another one, everything may be seen and nothing done", function(t)
  local place <close> = watching.open()
  for _, headers in ipairs { {}, { Authorization = "Bearer another-long-enough-token" }, { Authorization = watching.TOKEN } } do
    local res = place:ask({ ["do"] = "step" }, headers)
    t.eq({ res.status, res.headers["www-authenticate"] }, { 401, "Bearer" })
    t.contains(res:json().error, "token")
    t.eq(place:get("/look", headers).status, 200)
  end
  t.eq(place.world:tick(), 0)
  local browser <close> = watching.browser(place, false)
  browser:wait(function() return true end)
  t.eq(browser.hello.may, false)
  t.eq(place:ask({ ["do"] = "step" }).status, 200)
  t.eq(place.world:tick(), 1)
end)

test("a page elsewhere may not ask, whatever token it has", { real = true }, function(t)
  local world <close> = watching.world()
  local page <close> = stoke.page { world = world, port = 0, token = watching.TOKEN }
  local near = page.url:match "^http://([^/]+)/$"
  local function ask(path, more)
    local headers = { Authorization = "Bearer " .. watching.TOKEN }
    for name, value in pairs(more) do headers[name] = value end
    return http.get(page.url .. path, { headers = headers, raise = false })
  end
  for _, more in ipairs { { Origin = "https://evil.example" }, { Origin = "null" }, { Origin = "http://localhost:1" },
    { Host = "evil.example" }, { Host = "127.0.0.1.evil.example" }, { ["Sec-Fetch-Site"] = "cross-site" },
    { ["Sec-Fetch-Site"] = "same-site" } } do
    local res = ask("look", more)
    t.eq(res.status, 403, json.encode(more))
    t.eq(res.headers["access-control-allow-origin"], nil)
  end
  for _, more in ipairs { {}, { Origin = "http://" .. near }, { Host = "localhost" }, { ["Sec-Fetch-Site"] = "same-origin" } } do
    t.eq(ask("look", more).status, 200, json.encode(more))
  end
  t.eq(ask("", { ["Sec-Fetch-Site"] = "cross-site", ["Sec-Fetch-Mode"] = "navigate" }).status, 200) -- a link that is followed
end)

test("an address that others reach shows nothing without the token, unless it is public", { real = true }, function(t)
  local world <close> = watching.world()
  for _, public in ipairs { false, true } do
    local page <close> = stoke.page { world = world, port = 0, address = "0.0.0.0", token = watching.TOKEN, public = public }
    local url = page.url:gsub("0%.0%.0%.0", "127.0.0.1")
    local function status(path, token)
      return http.get(url .. path, { headers = token and { Authorization = "Bearer " .. token } or nil, raise = false }).status
    end
    t.eq({ status "", status "look", status("look", watching.TOKEN) }, { 200, public and 200 or 401, 200 })
    t.eq(http.post(url .. "do", { json = { ["do"] = "pause" }, raise = false }).status, 401)
  end
end)

test("a private page shows nothing without the token, on this machine, too", function(t)
  local world <close> = watching.world()
  local page <close> = stoke.page { world = world, mem = "private", token = watching.TOKEN, private = true }
  local function status(token)
    return http.get(page.url .. "look", { headers = token and { Authorization = "Bearer " .. token } or nil, raise = false }).status
  end
  t.eq({ status(), status(watching.TOKEN), http.get(page.url).status }, { 401, 200, 200 })
  local err = t.raises("argument", stoke.page, { mem = "both", private = true, public = true })
  t.contains(err.message, "public or private, not both")
end)

test("who asks by another name is told by which to ask, and what lists it", function(t)
  local world <close> = watching.world()
  local page <close> = stoke.page { world = world, mem = "named", token = watching.TOKEN, hosts = { "town.lan" } }
  local metrics <close> = stoke.metrics.serve { mem = "figures", hosts = { "town.lan" } }
  local function refused(url)
    local res = http.get(url, { headers = { Host = "box.lan:80" }, raise = false })
    t.eq(res.status, 403)
    return res.body
  end
  t.eq(json.decode(refused(page.url)).error, "box.lan:80 is no name of this machine: ask by localhost or 127.0.0.1, or list it "
    .. 'with hosts = { "box.lan" } of stoke.page (stoke page --host box.lan)')
  t.eq(refused(metrics.url .. "/metrics"), "box.lan:80 is no name of this machine: ask by localhost or 127.0.0.1, or list it "
    .. 'with hosts = { "box.lan" } of stoke.metrics.serve\n')
  t.contains(t.raises("argument", stoke.metrics.serve, { mem = "short", token = "short" }).message,
    "stoke.metrics.serve: the token must have at least 16")
end)

test("names that are listed are judged where others reach the page, too; addresses are no names", { real = true }, function(t)
  local world <close> = watching.world()
  local function status(host, page)
    return http.get((page.url:gsub("0%.0%.0%.0", "127.0.0.1")) .. "look", { headers = { Host = host }, raise = false }).status
  end
  local any <close> = stoke.page { world = world, port = 0, address = "0.0.0.0", public = true }
  t.eq(status("any.example", any), 200)
  local page <close> = stoke.page { world = world, port = 0, address = "0.0.0.0", public = true, hosts = { "town.lan" } }
  for _, host in ipairs { "town.lan:80", "TOWN.lan", "192.168.1.5:80", "[fd00::1]:80", "localhost" } do
    t.eq(status(host, page), 200, host)
  end
  for _, host in ipairs { "evil.example", "town.lan.evil.example", "192.168.1.5.example" } do
    t.eq(status(host, page), 403, host)
  end
  local inside <close> = stoke.page { world = world, mem = "listed", token = watching.TOKEN, hosts = { "town.lan" } }
  t.eq(http.get(inside.url, { raise = false }).status, 200)
  t.eq(http.get(inside.url, { headers = { Host = "evil.example" }, raise = false }).status, 403)
end)

test("a token that can be guessed is refused", function(t)
  local world <close> = watching.world()
  for _, token in ipairs { "short", "long enough but blank", "long-enough-but-#" } do
    local err = t.raises("argument", stoke.page, { world = world, mem = "guess", token = token })
    t.contains(err.message, "16 letters")
  end
  t.contains(t.raises("argument", stoke.page, { world = {}, mem = "guess" }).message, "a world expected")
end)

-- ---- the stream -----------------------------------------------------------------------------------------------------------------

test("the stream begins with a picture; its changes give what the world is by then", function(t)
  local place <close> = watching.open()
  local browser <close> = watching.browser(place)
  local seen = browser:wait(function() return true end)
  t.eq(seen.map.rows[2], "#....#")
  t.eq(seen.map.spots, { { name = "inn", x = 2, y = 2, runs = { { 2, 2, 2 }, { 2, 3, 1 } } } })
  t.eq(seen.inputs, { "join", "refuse", "say" })
  t.eq({ seen.clock.time, seen.clock.first, seen.clock.paused }, { START, START, true })
  for _ = 1, 5 do
    place:order { ["do"] = "step" }
    local tick = place.world:tick()
    seen = browser:wait(function(now) return now.clock.tick == tick end)
    for id, member in pairs(place.world:look "members") do t.eq(seen.members[id].x, member.x, id) end
  end
  t.eq(seen.members.ada.said, { text = "Good morning!", time = START + 2, to = "bob" })
  t.eq(seen.members.bob.talk, "t1")
  t.eq(browser.pictures, 1)
end)

test("what the world tells is in the stream, each event once", function(t)
  local place <close> = watching.open()
  local browser <close> = watching.browser(place)
  browser:wait(function() return true end)
  stoke.sleep(0.2) -- it listens from the first browser on
  place:order { ["do"] = "step", count = 5 }
  local seen = browser:wait(function(now) return now.clock.tick == 5 and #now.news > 0 end)
  local said = {}
  for _, item in ipairs(seen.news) do
    if item.type == "said" then said[#said + 1] = { item.member, item.time, item.data.text } end
  end
  t.eq(said, { { "ada", START + 2, "Good morning!" } })
end)

test("who joins and leaves is there and gone", function(t)
  local world = watching.world { inputs = { come = function(state) state.members.cleo = { name = "Cleo", x = 4, y = 2 } end,
    go = function(state) state.members.cleo = nil end } }
  local place <close> = watching.open { world = world, speed = 1000 }
  local browser <close> = watching.browser(place)
  browser:wait(function() return true end)
  place:order { ["do"] = "input", name = "come" }
  browser:wait(function(now) return now.members.cleo and now.members.cleo.name == "Cleo" end)
  place:order { ["do"] = "input", name = "go" }
  browser:wait(function(now) return now.members.cleo == nil end)
  t.eq(browser.pictures, 1)
end)

--- A reply whose client takes a piece only when it is told to.
local function stalled()
  local res = { taken = {}, gate = stoke.channel(1000) }
  function res.start() end
  function res:write(bytes)
    self.gate:recv()
    self.taken[#self.taken + 1] = bytes
  end
  return res
end

test("a browser that takes nothing keeps nobody waiting, and gets a new picture when it goes on", function(t)
  local stream, pictures = streams.new(), 0
  local slow, fast = stalled(), stalled()
  local function picture()
    pictures = pictures + 1
    return streams.event("picture", { number = stream.last })
  end
  local scope <close> = stoke.scope()
  for _ = 1, 1000 do fast.gate:send(true) end
  scope:spawn(stream.feed, stream, slow, picture)
  scope:spawn(stream.feed, stream, fast, picture)
  stoke.sleep(0)
  for i = 1, 500 do
    stream:publish("change", { number = i })
    if i % 50 == 0 then stoke.sleep(0) end
  end
  t.eq({ #slow.taken, pictures, stream.renewed }, { 0, 2, 0 })
  local all = table.concat(fast.taken)
  for i = 1, 500 do t.contains(all, ('{"number":%d}'):format(i)) end
  for _ = 1, 3 do slow.gate:send(true) end
  stoke.sleep(0)
  t.eq({ #slow.taken, stream.renewed }, { 2, 1 })
  t.contains(slow.taken[2], '{"number":500}')
  stream:publish("change", { number = 501 })
  stoke.sleep(0)
  t.contains(slow.taken[3], '{"number":501}')
end)

test("frames that nobody has taken are few, whatever is published", function(t)
  local stream, slow = streams.new(), stalled()
  local scope <close> = stoke.scope()
  scope:spawn(stream.feed, stream, slow, function() return "picture" end)
  stoke.sleep(0)
  local long = ("x"):rep(100000)
  for _ = 1, 50 do stream:publish("change", { text = long }) end
  t.ok(stream.bytes <= 1024 * 1024, tostring(stream.bytes))
  for _ = 1, 1000 do stream:publish("change", {}) end
  local kept = 0
  for _ in pairs(stream.frames) do kept = kept + 1 end
  t.ok(kept <= 100, tostring(kept))
end)

test("a browser that takes nothing for a minute is let go", function(t)
  local stream, slow = streams.new(), stalled()
  local scope <close> = stoke.scope()
  local task = scope:spawn(stream.feed, stream, slow, function() return "picture" end)
  scope:spawn(stream.tend, stream)
  stoke.sleep(59)
  t.eq(stream.count, 1)
  stoke.sleep(10)
  t.raises("cancelled", task.await, task)
  t.eq({ stream.count, stream.bytes }, { 0, 0 })
  scope:cancel "enough"
end)

test("one that takes nothing is let go by a page that shows no world, too", function(t)
  local page <close> = stoke.page { mem = "no-world", token = watching.TOKEN }
  local slow <close> = stoke.scope()
  local task = slow:spawn(page.stream.feed, page.stream, stalled(), function() return "picture" end)
  stoke.sleep(70)
  t.raises("cancelled", task.await, task)
end)

test("a hundred browsers see the same, and the world is looked at once for all", function(t)
  local place <close> = watching.open()
  local looks, peek = 0, place.world.peek
  place.world.peek = function(...)
    looks = looks + 1
    return peek(...)
  end
  local browsers = {}
  for i = 1, 100 do browsers[i] = watching.browser(place) end
  for _, browser in ipairs(browsers) do browser:wait(function() return true end) end
  t.eq(place.page.browsers, 100)
  looks = 0
  place:order { ["do"] = "step", count = 3 }
  for _, browser in ipairs(browsers) do
    local seen = browser:wait(function(now) return now.clock.tick == 3 end)
    t.eq(seen.members.ada.x, place.world:look("members", "ada", "x"))
  end
  t.ok(looks < 20, looks .. " looks")
  for _, browser in ipairs(browsers) do browser:close() end
end)

test("a world that nobody watches is not looked at", function(t)
  local place <close> = watching.open { speed = 10 }
  local looks, peek = 0, place.world.peek
  place.world.peek = function(...)
    looks = looks + 1
    return peek(...)
  end
  stoke.sleep(60)
  t.eq(looks, 0)
  do
    local browser <close> = watching.browser(place)
    browser:wait(function(now) return now.clock.tick > 610 end)
  end
  stoke.sleep(1)
  t.ok(looks > 5, tostring(looks))
  looks = 0
  stoke.sleep(60)
  t.ok(looks <= 1, looks .. " looks")
end)

test("more browsers than may look are told to come again", function(t)
  local place <close> = watching.open { browsers = 2 }
  local a <close> = watching.browser(place)
  local b <close> = watching.browser(place)
  for _, browser in ipairs { a, b } do browser:wait(function() return true end) end
  local res = place:get "/events"
  t.eq({ res.status, res.headers["retry-after"] }, { 503, "2" })
  t.eq(place:get("/look").status, 200)
end)

-- ---- orders ---------------------------------------------------------------------------------------------------------------------

test("pause, resume, speed and step do it to the world, and tell its clock", function(t)
  local place <close> = watching.open { speed = 10 }
  t.eq(place:order { ["do"] = "pause" }.clock.paused, true)
  local tick = place.world:tick()
  stoke.sleep(5)
  t.eq(place.world:tick(), tick)
  t.eq(place:order { ["do"] = "step", count = 7 }.clock.tick, tick + 7)
  t.eq(place:order { ["do"] = "speed", speed = "free" }.clock.speed, "free")
  t.eq(place:order { ["do"] = "speed", speed = 1000 }.clock.speed, 1000)
  t.eq(place:order { ["do"] = "resume" }.clock.paused, false)
  stoke.sleep(1)
  t.ok(place.world:tick() > tick + 500)
end)

test("an input gives its result; to a world that stands it waits for the next step", function(t)
  local place <close> = watching.open()
  local waits = place:order { ["do"] = "input", name = "say", args = { text = "Hello" }, member = "ada" }
  t.eq({ waits.waits, place.world:look("members", "ada", "said") }, { true, nil })
  place:order { ["do"] = "step" }
  t.eq(place.world:look("members", "ada", "said").text, "Hello")
  t.eq(place.world:result(waits.number).result, "heard")
  place:order { ["do"] = "speed", speed = 100 }
  place:order { ["do"] = "resume" }
  t.eq(place:order { ["do"] = "input", name = "join", args = { name = "Robin" } }.result, { id = "robin" })
  t.eq(place.world:look("members", "robin", "player"), true)
  local refused = place:ask { ["do"] = "input", name = "refuse", member = "ada" }
  t.eq({ refused.status, refused:json() }, { 400, { error = "not today", hint = "tomorrow" } })
end)

test("going back takes the world back, and every browser begins anew", function(t)
  local place <close> = watching.open()
  local browser <close> = watching.browser(place)
  browser:wait(function() return true end)
  place:order { ["do"] = "step", count = 9 }
  browser:wait(function(now) return now.clock.tick == 9 end)
  t.eq(place:order { ["do"] = "back", time = START + 3 }.clock.tick, 3)
  browser:wait(function(now) return now.clock.tick == 3 end)
  t.eq({ place.world:tick(), browser.pictures }, { 3, 2 })
end)

test("an order that makes no sense is told what would", function(t)
  local place <close> = watching.open()
  local function refused(order, status, words, hint)
    local res = place:ask(order)
    t.eq(res.status, status, json.encode(order))
    t.contains(res:json().error, words)
    if hint then t.contains(res:json().hint, hint) end
  end
  refused({ ["do"] = "puase" }, 400, "puase", "did you mean pause?")
  refused({ ["do"] = "speed", speed = -1 }, 400, "speed must be a number")
  refused({ ["do"] = "speed" }, 400, "got nil")
  refused({ ["do"] = "step", count = 1.5 }, 400, "whole number, got 1.5")
  refused({ ["do"] = "back", time = START + 100 }, 400, "no moment that has been")
  refused({ ["do"] = "input", name = "sya" }, 400, "did you mean say?")
  refused({ ["do"] = "input", name = "say", member = 7 }, 400, "member must be")
  refused({ ["do"] = "pause", view = "twon" }, 400, "twon", "did you mean town?")
  refused({ view = { 1 }, ["do"] = "pause" }, 400, "view must be a text")
  refused("{}", 400, "do is missing", "pause, resume, step")
  refused({ ["do"] = 7 }, 400, "do must be a text, got 7")
  refused({ ["do"] = "step", count = 2.5 }, 400, "count must be a whole number, got 2.5")
  refused({ ["do"] = "step", count = "2" }, 400, "count must be a number")
  refused("[1", 400, "JSON")
  refused("7", 400, "object")
  local as_text = { Authorization = "Bearer " .. watching.TOKEN, ["Content-Type"] = "text/plain" }
  t.eq(place:ask({ ["do"] = "pause" }, as_text).status, 400)
  t.eq({ place:get("/nothing").status, place:get("/do").status }, { 404, 405 })
end)

-- ---- looking --------------------------------------------------------------------------------------------------------------------

test("a moment is asked for in seconds, written as a number", function(t)
  local place <close> = watching.open()
  place:order { ["do"] = "step" }
  for _, good in ipairs { "28800", "28800.5", "2.88e4" } do t.eq(place:get("/look?time=" .. good).status, 200, good) end
  for _, bad in ipairs { "0x7080", "-1", "+28800", "1e999", "nan", "inf", "soon", "", "%20" } do
    local res = place:get("/look?time=" .. bad)
    t.eq(res.status, 400, bad)
    t.contains(res:json().error, "time must be seconds of the world")
  end
end)

test("a moment of the past is what the world was then, and the world stays where it is", function(t)
  local place <close> = watching.open()
  place:order { ["do"] = "step", count = 10 }
  for tick = 0, 10 do
    local past = place:get("/look?view=town&time=" .. START + tick):json()
    t.eq({ past.past, past.clock.tick, past.members.ada.x }, { true, tick, place.world:at(START + tick).state.members.ada.x })
  end
  t.eq(place.world:tick(), 10)
  for _, moment in ipairs { "soon", "-1", "nan", "inf", tostring(START + 11) } do
    t.eq(place:get("/look?time=" .. moment).status, 400, moment)
  end
end)

test("one member: its record, and what its mind tells, now and then", function(t)
  local place <close> = watching.open()
  place:order { ["do"] = "step", count = 3 }
  local ada = place:get("/look?view=town&member=ada"):json()
  t.eq({ ada.record.name, ada.record.x }, { "Ada", 4 })
  t.eq(ada.mind.memories, { { text = "ada remembers", score = 0.5 } })
  local past = place:get("/look?member=ada&time=" .. START + 1):json()
  t.eq({ past.record.x, past.mind.moment }, { 2, START + 1 })
  local unknown = place:get("/look?member=adda")
  t.eq({ unknown.status, unknown:json().hint }, { 400, "did you mean ada?" })
end)

test("a mind that fails says why, and the record is shown all the same", function(t)
  local place <close> = watching.open { view = { mind = function() error("no memory of that", 0) end } }
  local ada = place:get("/look?member=ada"):json()
  t.contains(ada.wrong, "no memory of that")
  t.eq(ada.record.name, "Ada")
end)

test("a world without members is shown as the text of its state", function(t)
  local world = stoke.world { name = "counter", state = { n = 0 }, step = function(state) state.n = state.n + 1 end }
  local place <close> = watching.open { world = world }
  local browser <close> = watching.browser(place)
  local seen = browser:wait(function() return true end, "counter")
  t.eq(json.decode(seen.text), { n = 0 })
  place:order { ["do"] = "step", count = 4 }
  seen = browser:wait(function(now) return now.clock.tick == 4 end, "counter")
  t.eq({ json.decode(seen.text), seen.members }, { { n = 4 }, nil })
end)

test("several worlds are several views, each by a name of its own", function(t)
  local a <close> = watching.world()
  local b <close> = watching.world { start = 0 }
  local page <close> = stoke.page { worlds = { a, b }, mem = "several", token = watching.TOKEN }
  local browser <close> = watching.browser { url = page.url:gsub("/$", "") }
  browser:wait(function() return true end, "town-2")
  t.eq({ browser.seen.town.clock.time, browser.seen["town-2"].clock.time }, { START, 0 })
  t.eq(#browser.hello.views, 2)
  local c <close> = watching.world { name = "later" }
  page:show(c)
  browser:wait(function() return true end, "later")
  t.eq(#browser.hello.views, 3)
end)

test("members that are named otherwise are shown by the view's own words", function(t)
  local world = watching.world()
  local place <close> = watching.open { world = world, view = { member = function(record, id)
    return { name = record.name:upper(), x = record.x / 0, y = 1, doing = ("long "):rep(100), mood = "\xff" .. id,
      goal = { x = 1 } }
  end } }
  local ada = place:get("/look"):json().members.ada
  t.eq({ ada.name, ada.x, ada.mood, ada.goal }, { "ADA", nil, "\u{FFFD}ada", nil })
  t.ok(#ada.doing < 130)
end)

test("data of any kind can be sent: cut, and named where it is no data", function(t)
  local deep = {}
  local at = deep
  for _ = 1, 50 do
    at.inner = {}
    at = at.inner
  end
  local long = {}
  for i = 1, 1000 do long[i] = i end
  local shown = data.plain { deep = deep, long = long, text = ("x"):rep(10000), f = print, nan = 0 / 0, bad = "\xff", [1.5] = true }
  local text = json.encode(shown)
  t.ok(#text < 10000, #text .. " bytes")
  t.eq({ shown.f, shown.long[201], shown.bad, shown["1.5"] }, { "(function)", "… and 800 more", "\u{FFFD}", true })
end)

-- ---- the end --------------------------------------------------------------------------------------------------------------------

test("a world that was closed stays as it was seen last, until another one of its name takes its place", function(t)
  local place <close> = watching.open()
  place:order { ["do"] = "step", count = 4 }
  place.world:stop()
  place.runner:await()
  place.world:close()
  local browser <close> = watching.browser(place)
  t.eq(browser:wait(function() return true end).clock.tick, 4)
  local other <close> = watching.world { start = 0 }
  place.page:show(other)
  browser:wait(function(now) return now.clock.time == 0 end)
  t.eq(#browser.hello.views, 1)
  place.world = nil
end)

test("an input that a world has not taken in ten seconds is told to wait", function(t)
  local world = watching.world { thoughts = { slow = { ask = function() stoke.sleep(100) end, apply = function() end } },
    step = function(member, here)
      if here.tick == 0 and member.id == "ada" then here:think(member, "slow") end
    end }
  local place <close> = watching.open { world = world, speed = 100 }
  stoke.sleep(1)
  t.eq(place:order({ ["do"] = "input", name = "say", args = { text = "Hello" }, member = "ada" }).waits, true)
  t.eq(place.world:look("members", "ada", "said"), nil)
  stoke.sleep(100)
  t.eq(place.world:look("members", "ada", "said").text, "Hello")
end)

test("closing the page ends the streams; a closed world cannot be asked", function(t)
  local place <close> = watching.open()
  local browser <close> = watching.browser(place)
  browser:wait(function() return true end)
  place.world:stop()
  place.runner:await()
  place.world:close()
  local res = place:get "/look?member=ada"
  t.eq(res.status, 400)
  t.contains(res:json().error, "closed")
  place.page:close()
  stoke.sleep(1)
  t.eq(browser.ended, "incomplete")
  place.world = nil
end)
