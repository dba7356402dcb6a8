-- Who may ask a server of agents, and what it holds out.

local test = require "stoke.test"
local stoke = require "stoke"
local http = require "stoke.http"
local fs = require "stoke.fs"
local json = require "stoke.json"
local served = require "served"

local USER = { { role = "user", content = "Hello" } }
local CHAT = { model = "poet", stream = false, messages = USER }
local TOKEN = "a-long-enough-token"

local function bearer(token) return { Authorization = "Bearer " .. token } end

-- ---- the token ------------------------------------------------------------------------------------------------------------------

test("with a token, a request without it, or with another one, is refused in the form of its protocol", function(t)
  local place <close> = served({ "one" }, nil, { token = TOKEN })
  for _, headers in ipairs { {}, bearer "another-long-enough-token", bearer(TOKEN .. "x"), { Authorization = TOKEN } } do
    local r = place:post("/api/chat", CHAT, headers)
    t.eq({ r.status, r.headers["www-authenticate"] }, { 401, "Bearer" })
    t.match(r:json().error, "token")
    t.eq(place:get("/v1/models", headers):json().error.type, "authentication_error")
  end
  t.eq(#place.model.requests, 0)
  t.eq(place:post("/api/chat", CHAT, bearer(TOKEN)):json().message.content, "one")
end)

test("without one, on loopback, whatever Bearer a client sends out of habit", function(t)
  local place <close> = served { "one" }
  t.eq(place:post("/api/chat", CHAT, bearer "ollama").status, 200)
end)

test("an address that others reach needs a token", function(t)
  local bot = stoke.agent { name = "poet", model = "m" }
  local _, err = stoke.try(stoke.serve, { agents = bot, address = "0.0.0.0", port = 0 })
  t.eq(err.kind, "argument")
  t.match(err.message, "token")
  _, err = stoke.try(stoke.serve, { agents = bot, mem = "guarded", token = "short" })
  t.match(err.message, "16 characters")
end)

test("a token's file is made for its owner alone, and read again; one that others may read is refused", function(t)
  local path = t.tmp() .. "/serve.key"
  do
    local place <close> = served({ "one" }, nil, { token_file = path })
    local token = fs.read(path):match "%x+"
    t.eq(fs.stat(path).mode & 511, 384)
    t.eq(place:post("/api/chat", CHAT, bearer(token)).status, 200)
    t.eq(place:post("/api/chat", CHAT).status, 401)
  end
  local before = fs.read(path)
  do
    local place <close> = served({ "one" }, nil, { token_file = path })
    t.eq(place:get("/api/tags", bearer(before:match "%x+")).status, 200)
  end
  t.eq(fs.read(path), before)
  require "stoke.proc".run { argv = { "chmod", "644", path } }
  local bot = stoke.agent { name = "poet", model = "m" }
  local _, err = stoke.try(stoke.serve, { agents = bot, mem = "guarded", token_file = path })
  t.eq(err.kind, "denied")
end)

-- ---- pages ----------------------------------------------------------------------------------------------------------------------

test("a page that is not listed may not ask, also one of this machine", function(t)
  local place <close> = served({ "one" })
  for _, origin in ipairs { "https://evil.example", "http://localhost:3000", "null", "https://localhost.evil.example" } do
    local r = place:post("/api/chat", CHAT, { Origin = origin, ["Content-Type"] = "text/plain" })
    t.eq({ r.status, r.headers["access-control-allow-origin"] }, { 403, nil }, origin)
    t.match(r:json().error, "may not ask here")
    t.eq(place:ask("OPTIONS", "/api/chat", nil, { Origin = origin }).status, 403)
  end
  t.eq(#place.model.requests, 0)
end)

test("an origin that no page can have is refused where it is listed; null is that of any sandboxed page", function(t)
  local bot = stoke.agent { name = "poet", model = "m" }
  for _, origin in ipairs { "chat.example", "https://chat.example/page", "https://", "null", "" } do
    local _, err = stoke.try(stoke.serve, { agents = bot, mem = "guarded", origins = { origin } })
    t.eq(err and err.kind, "argument", origin)
    t.match(err.message, "origins")
    t.ok(err.hint, origin)
  end
  for _, origin in ipairs { "*", "https://chat.example/", "http://localhost:3000", "chrome-extension://abc" } do
    local place <close> = served({ "one" }, nil, { origins = { origin } })
    t.eq(place:get("/api/tags", { Origin = (origin:gsub("/$", "")) }).status, 200, origin)
  end
  local place <close> = served({ "one" })
  t.ok(not place:get("/api/tags", { Origin = "null" }):json().error:find("--origin null", 1, true))
end)

test("a page that is listed asks, and may read the answer", function(t)
  local page = "https://chat.example"
  local place <close> = served({ "one" }, nil, { origins = { page } })
  local r = place:ask("OPTIONS", "/api/chat", nil, { Origin = page, ["Access-Control-Request-Headers"] = "authorization" })
  t.eq({ r.status, r.headers["access-control-allow-origin"], r.headers["access-control-allow-headers"] },
    { 204, page, "authorization" })
  r = place:post("/api/chat", { model = "poet", messages = USER }, { Origin = page })
  t.eq({ r.status, r.headers["access-control-allow-origin"], r.headers.vary }, { 200, page, "Origin" })
  t.eq(#served.lines(r.body), 2)
  t.eq(place:get("/api/tags", { Origin = page }).headers["access-control-allow-origin"], page)
  t.eq(place:get "/api/tags".headers["access-control-allow-origin"], nil)
end)

-- ---- caps -----------------------------------------------------------------------------------------------------------------------

test("a body beyond the cap is refused unread", function(t)
  local place <close> = served({}, nil, { max_body = 1000 })
  t.eq(place:post("/api/chat", ("x"):rep(2000)).status, 413)
end)

test("a slow reader makes its model wait", function(t)
  local words, text = 120000, {}
  for i = 1, words do text[i] = "<<<<<<" .. i end -- each of these takes six bytes on the wire
  local place <close> = served({ table.concat(text, " ") }, function(agent)
    return { agent { options = { num_predict = -1 } } }
  end, nil, { tokens_per_second = 10000, context = 200000 })
  local r = http.post(place.url .. "/api/chat", { json = { model = "poet", messages = USER }, stream = "lines" })
  local lines = r:lines()
  t.ok(lines())
  stoke.sleep(30) -- the model would have been done in twelve
  t.eq(place.model.sim.ledger.streams_open, 1)
  local said = {}
  for line in lines do said[#said + 1] = json.decode(line).message.content end
  t.eq(#table.concat(said) > 100000, true)
  stoke.sleep(1)
  t.eq(place.model.sim.ledger.streams_open, 0)
end)

test("a server that closes lets turns end, for as long as it drains", function(t)
  local place <close> = served({ "a b c", ("word "):rep(100) }, nil, { drain = 5 }, { tokens_per_second = 1 })
  local turn = stoke.spawn(function() return place:post("/api/chat", { model = "poet", messages = USER }) end)
  stoke.sleep(0.5)
  place.server:close()
  t.eq(#served.lines(turn:await().body), 4)
end)
