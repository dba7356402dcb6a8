-- The simulator before it looks at a request: hosts, origins, preflights, redirects, methods; as a real server was seen to do.
-- luacheck: max line length 160

local test = require "stoke.test"
local sim = require "stoke.sim"
local world = require "world"

-- One request with headers; what came back.
local function ask(method, target, headers, o)
  local w = world.new()
  local s = sim.new { seams = w.seams }
  s.guarded = not (o and o.open)
  local got = {}
  local res = {
    reply = function(_, status, h, body) got.status, got.headers, got.body = status, h, body end,
    start = function(_, status, h) got.status, got.headers, got.body = status, h, "" end,
    write = function(_, bytes) got.body = got.body .. bytes end,
  }
  local path = require "stoke.http.request".path(target:match "^[^?]*")
  headers = headers or {}
  headers.host = headers.host or "127.0.0.1:11434"
  s.handler({ method = method, path = path, target = target, headers = headers, body = "" }, res)
  return got
end

test("a wrong method: 405 that names the right ones", function(t)
  t.eq(ask("GET", "/api/chat").headers.Allow, "POST")
  t.eq({ ask("PUT", "/api/tags").status, ask("PUT", "/api/tags").headers.Allow }, { 405, "HEAD, GET" })
  t.eq(ask("OPTIONS", "/api/delete").headers.Allow, "DELETE")
  t.eq(ask("GET", "/api/nothing").status, 404)
end)

test("a slash too many at the end: 301 for GET, 307 for others, where the method is right", function(t)
  local c = ask("GET", "/api/tags/?a=1&b=2")
  t.eq({ c.status, c.headers.Location, c.body }, { 301, "/api/tags?a=1&b=2",
    '<a href="/api/tags?a=1&amp;b=2">Moved Permanently</a>.\n\n' })
  c = ask("POST", "/api/chat/")
  t.eq({ c.status, c.headers.Location, c.body }, { 307, "/api/chat", "" })
  t.eq(ask("GET", "/api/chat/").status, 404)
end)

test("two slashes or dots in a path: 307 to the plain one, known or not", function(t)
  for _, target in ipairs { "//api/tags", "/api//tags", "/api/./tags", "/api/x/../tags" } do
    local c = ask("GET", target)
    t.eq({ c.status, c.headers.Location }, { 307, "/api/tags" }, target)
  end
  t.eq(ask("POST", "//api/nothing").headers.Location, "/api/nothing")
end)

test("a page of a known origin is answered and told so; an unknown one gets 403", function(t)
  for _, origin in ipairs { "http://localhost", "http://localhost:3000", "https://127.0.0.1:8", "app://x", "vscode-webview://a" } do
    local c = ask("GET", "/api/version", { origin = origin })
    t.eq({ c.status, c.headers["Access-Control-Allow-Origin"], c.headers.Vary }, { 200, origin, "Origin" }, origin)
  end
  for _, origin in ipairs { "http://evil.example", "http://localhost.evil.example", "null", "chrome-extension://abc" } do
    local c = ask("GET", "/api/version", { origin = origin })
    t.eq({ c.status, c.body }, { 403, "" }, origin)
  end
  t.eq(ask("GET", "/api/chat", { origin = "http://localhost" }).headers["Access-Control-Allow-Origin"], "http://localhost")
  t.eq(ask("GET", "/api/version", { origin = "http://127.0.0.1:11434" }).headers["Access-Control-Allow-Origin"], nil,
    "its own pages need no permission")
end)

test("a preflight: 204 with what is allowed, also where there is nothing", function(t)
  local c = ask("OPTIONS", "/api/chat", { origin = "http://localhost:3000" })
  t.eq(c.status, 204)
  t.eq(c.headers["Access-Control-Allow-Methods"], "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS")
  t.match(c.headers["Access-Control-Allow-Headers"], "^Authorization,Content%-Type,.*X%-Stainless%-Timeout$")
  t.eq({ c.headers["Access-Control-Max-Age"], c.headers.Allow }, { "43200", "POST" })
  t.eq(c.headers.Vary, { "Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers" })
  t.eq(ask("OPTIONS", "/api/nothing", { origin = "http://localhost" }).status, 204)
  t.eq(ask("OPTIONS", "/api/chat", { origin = "http://evil.example" }).status, 403)
end)

test("on loopback only names and addresses of this network are for it", function(t)
  for _, host in ipairs { "localhost", "localhost:1", "box.local", "BOX.LOCAL", "a.localhost", "box.internal", "10.0.0.7", "192.168.1.2:80",
    "172.16.0.1", "0.0.0.0", "[::1]:80" } do
    t.eq(ask("GET", "/api/version", { host = host }).status, 200, host)
  end
  for _, host in ipairs { "evil.example", "8.8.8.8", "172.32.0.1", "local", "[::1]" } do
    t.eq(ask("GET", "/api/version", { host = host }).status, 403, host)
  end
  t.eq(ask("OPTIONS", "/api/chat", { host = "box.local" }).status, 204)
  t.eq(ask("GET", "/api/version", { host = "evil.example" }, { open = true }).status, 200, "elsewhere any name will do")
end)
