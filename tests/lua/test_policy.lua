-- The policy against those who write what it forbids in another way.

local test = require "stoke.test"
local http = require "stoke.http"
local glob = require "core.glob"
local policy = require "core.gate.policy"
local proc = require "stoke.proc"
local stoke = require "stoke"

local function with_policy(rules)
  stoke.policy(rules)
  return setmetatable({}, { __close = function() stoke.policy(nil) end })
end

test("policy: a host is judged as it is connected to, however it is written", function(t)
  local _ <close> = with_policy { deny = { host = { "*.internal", "127.0.0.1", "[0:0::1]", "169.254.169.254." } } }
  for _, host in ipairs { "a.internal.", "a%2einternal", "A.Internal", "u:p@x@a.internal", "open.example\\@a.internal",
    "%61.internal", "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "[0:0:0:0:0:0:0:1]",
    "0xa9fea9fe", "169.254.169.254." } do
    t.raises("denied", http.get, ("http://%s:1/"):format(host))
  end
end)

test("policy: what is no part of the host allows nothing", function(t)
  local _ <close> = with_policy { allow = { host = { "good.example" } }, otherwise = { host = "deny" } }
  for _, url in ipairs { "http://good.example@evil.example/", "http://good.example\\@evil.example/",
    "http://evil.example/@good.example",
    "http://evil.example?@good.example", "http://evil.example#@good.example", "http://good.example:1@evil.example/",
    "http://evil.example./good.example" } do
    t.raises("denied", http.get, url)
  end
end)

--- A server in memory under two names; what it was asked.
local function sites()
  local asked = {}
  local function handler(req, res)
    local name = req.headers.host:match "^[^.]*"
    asked[#asked + 1] = ("%s %s%s %s %s"):format(req.method, name, req.path, req.headers.authorization or "-", req.body)
    local code, target = req.path:match "^/(%d+)/(.*)$"
    if code then return res:reply(math.tointeger(code), { Location = (target:gsub("^to%-", "http://")) }) end
    return res:reply(200, nil, "here")
  end
  local front, back = http.serve { mem = "front", handler = handler }, http.serve { mem = "back", handler = handler }
  return asked, setmetatable({}, { __close = function()
    front:close()
    back:close()
  end })
end

--- Every way to ask a model server.
local function asks()
  local ollama = require "stoke.ollama"
  local bot = stoke.agent { model = "m" }
  return {
    chat = function() ollama.chat { model = "m", messages = { { role = "user", content = "hi" } } } end,
    generate = function() ollama.generate { model = "m", prompt = "hi" } end,
    stream = function() for _ in ollama.stream { model = "m", prompt = "hi" } do end end, -- luacheck: ignore
    embed = function() ollama.embed { model = "m", input = "hi" } end,
    load = function() ollama.load { model = "m" } end,
    tags = function() ollama.tags() end,
    version = function() ollama.version() end,
    pull = function() for _ in ollama.pull { model = "m" } do end end, -- luacheck: ignore
    copy = function() ollama.copy("m", "n") end,
    run = function() bot:run "hi" end,
    session = function() bot:session():run "hi" end,
    choose = function() stoke.choose { model = "m", prompt = "hi", options = { "a", "b" } } end,
  }
end

test("policy: a model server is a host like any other, by whatever call it is asked", function(t)
  t.model("m", function() return "a" end)
  for name, ask in pairs(asks()) do
    local _ <close> = with_policy { deny = { host = { "127.0.0.1" } } }
    local err = t.raises("denied", ask)
    t.match(err.message, 'the policy denies the host 127.0.0.1, the model server of the endpoint "default"', name)
    t.match(err.message, 'deny.host has "127.0.0.1"', name)
  end
  t.asked(nil, { times = 0 })
end)

test("policy: a list of hosts that locks the model server out says so, and how to let it in", function(t)
  t.model("m", { "hello" })
  local bot = stoke.agent { model = "m" }
  local _ <close> = with_policy { allow = { host = { "api.example" } }, otherwise = { host = "deny" } }
  local err = t.raises("denied", bot.run, bot, "hi")
  t.match(err.message, 'the model server of the endpoint "default"')
  t.match(err.message, 'no pattern of allow.host fits, and otherwise.host is "deny"')
  t.match(err.hint, 'allow = { host = { "127.0.0.1" } }')
  stoke.policy { allow = { host = { "api.example", "127.0.0.1" } }, otherwise = { host = "deny" } }
  t.eq(bot:run("hi").text, "hello")
end)

test("policy: the address of a model server is judged in each spelling, at each port", function(t)
  local ollama = require "stoke.ollama"
  t.model("m", function() return "a" end)
  local _ <close> = with_policy { deny = { host = { "127.0.0.1", "::1", "*.internal" } } }
  for _, endpoint in ipairs { "127.0.0.1:1", "http://127.1:11434", "http://2130706433:80", "http://0x7f.0.0.1", "localhost",
    "http://LOCALHOST:9", "http://a.localhost", "http://[::1]:11434", "http://[0:0:0:0:0:0:0:1]", "0.0.0.0:11434",
    "http://gpu.internal.:11434", "http://GPU.Internal/prefix" } do
    t.raises("denied", ollama.generate, { model = "m", prompt = "hi", endpoint = endpoint })
  end
  t.eq(ollama.generate({ model = "m", prompt = "hi", endpoint = "http://10.0.0.7:11434" }).response, "a")
end)

test("policy: a call of a model waits for a person where hosts are asked about, and is asked about once", function(t)
  t.model("m", { "hello" })
  local _ <close> = with_policy { ask = { host = { "127.*" } } }
  local asked = {}
  local task = stoke.spawn(function() return stoke.agent { model = "m" }:run("hi").text end)
  local watch = stoke.spawn(function()
    while true do
      for _, p in ipairs(stoke.pending()) do
        asked[#asked + 1] = p.what
        p:approve()
      end
      stoke.sleep(0.1)
    end
  end)
  t.eq(task:await(), "hello")
  watch:cancel()
  t.eq(asked, { "127.0.0.1" })
end)

test("policy: localhost is also the addresses it stands for", function(t)
  local function verdict(rules)
    local _ <close> = with_policy(rules)
    return policy.verdict("host", "localhost")
  end
  t.eq(verdict { deny = { host = { "127.*" } } }, "deny")
  t.eq(verdict { ask = { host = { "::1" } } }, "ask")
  t.eq(verdict { allow = { host = { "127.0.0.1", "::1" } }, otherwise = { host = "deny" } }, "allow")
  t.eq(verdict { allow = { host = { "127.0.0.1" } }, otherwise = { host = "deny" } }, "deny", "it may be ::1")
  t.eq(verdict { allow = { host = { "localhost" } }, otherwise = { host = "deny" } }, "allow")
end)

test("policy: otherwise.host = \"public\": a name that resolves to a private address is refused as it is connected to",
  { real = true }, function(t)
    local server <close> = http.serve { port = 0, hosts = { "*" }, handler = function(req, res)
      if req.path == "/hop" then return res:reply(302, { Location = ("http://inner.test:%s/"):format(req.query.port) }) end
      return "here"
    end }
    local function get(url, more)
      local options = { resolve = { ["inner.test"] = "127.0.0.1", ["named.test"] = "127.0.0.1" }, timeout = 5 }
      for name, value in pairs(more or {}) do options[name] = value end
      return http.get(url:gsub("PORT", server.port), options).body
    end
    local _ <close> = with_policy { allow = { host = { "named.*" } }, otherwise = { host = "public" } }
    t.eq(get "http://named.test:PORT/", "here")
    for _, url in ipairs { "http://inner.test:PORT/", "http://127.0.0.1:PORT/", "http://localhost:PORT/",
      "http://named.test:PORT/hop?port=PORT" } do
      local err = t.raises("denied", get, url)
      t.match(err.message, "not a public address", url)
      t.match(err.hint, "^otherwise.host of the policy is \"public\"; to allow this host: stoke.policy { allow = { host = {")
    end
    t.raises("denied", get, "http://inner.test:PORT/", { public = true, allow = { "127.0.0.0/8" } })
    t.match(t.raises("denied", get, "http://inner.test:PORT/", { proxy = server.url }).message, "which a proxy does not tell")
    local stream <close> = http.get(server.url:gsub("127.0.0.1", "named.test"), { stream = "bytes", -- luacheck: ignore
      resolve = { ["named.test"] = "127.0.0.1" } })
    t.raises("denied", http.get, server.url, { stream = "bytes" })
  end)

test("policy: otherwise.host = \"public\" is about model servers, too, and takes no other kind", { real = true }, function(t)
  local ollama = require "stoke.ollama"
  local asked = 0
  local server <close> = http.serve { port = 0, handler = function()
    asked = asked + 1
    return { version = "1" }
  end }
  local function ask() return ollama.version { endpoint = server.url } end
  t.eq(ask().version, "1")
  do
    local _ <close> = with_policy { otherwise = { host = "public" } }
    t.match(t.raises("denied", ask).hint, 'allow = { host = { "127.0.0.1" } }')
    t.raises("denied", ollama.chat, { model = "m", messages = { { role = "user", content = "hi" } }, endpoint = server.url })
    t.raises("denied", function() for _ in ollama.stream { model = "m", prompt = "x", endpoint = server.url } do end end)
    t.eq(asked, 1)
    stoke.policy { allow = { host = { "127.0.0.1" } }, otherwise = { host = "public" } }
    t.eq(ask().version, "1")
  end
  t.raises("argument", stoke.policy, { otherwise = { tool = "public" } })
end)

test("policy: each hop of a redirect is judged", function(t)
  local asked, servers <close> = sites() -- luacheck: ignore servers
  t.eq(http.get("http://front.mem/302/to-back.mem/x").body, "here")
  local _ <close> = with_policy { deny = { host = { "back.mem" } } }
  for _, code in ipairs { 301, 302, 303, 307, 308 } do
    t.raises("denied", http.get, ("http://front.mem/%d/to-back.mem/x"):format(code))
    t.raises("denied", http.get, ("http://front.mem/%d/to-back.mem/x"):format(code), { stream = "bytes" })
  end
  t.raises("denied", http.get, "http://front.mem/302/to-front.mem/302/to-back.mem/x")
  for i = 3, #asked do t.match(asked[i], "^GET front/") end
end)

test("policy: redirects are followed under rules as without", function(t)
  local asked, servers <close> = sites() -- luacheck: ignore servers
  local function all()
    local from = #asked + 1
    local options = { body = "B" }
    t.eq(http.post("http://front.mem/302/to-back.mem/x", options).body, "here")
    t.eq(http.post("http://front.mem/307/to-back.mem/x", options).body, "here")
    t.eq(http.post("http://front.mem/303/to-front.mem/y", options).body, "here")
    t.eq(http.get("http://front.mem/302/z", { max_redirects = 0, raise = false }).status, 302)
    t.match(t.raises("protocol", http.get, "http://front.mem/302/to-front.mem/302/to-front.mem/a", { max_redirects = 1 }).message,
      "redirects")
    return table.move(asked, from, #asked, 1, {})
  end
  local without = all()
  local _ <close> = with_policy { deny = { host = { "nowhere.mem" } } }
  t.eq(all(), without)
  http.post("http://front.mem/307/to-back.mem/x", { body = "B", headers = { Authorization = "Bearer x", Cookie = "c" } })
  t.eq(asked[#asked], "POST back/x - B", "what was meant for the first server is not told to the second")
end)

test("policy: `**/` stands for any number of folders, none too, wherever it stands", function(t)
  local _ <close> = with_policy { deny = { path = { "**/secrets/**/key.pem", "/a/***/z" } } }
  for _, path in ipairs { "/w/secrets/key.pem", "/secrets/key.pem", "/secrets/a/key.pem", "/w/x/secrets/a/b/key.pem", "/a/z",
    "/a/b/c/z" } do
    t.eq(policy.verdict("path", path), "deny", path)
  end
  t.eq(policy.verdict("path", "/w/secret/key.pem"), nil)
  stoke.policy { deny = { path = { ("**/a/"):rep(20) .. "b" } } }
  t.eq({ policy.verdict("path", ("/a"):rep(20) .. "/b"), policy.verdict("path", ("/a"):rep(200) .. "/c") }, { "deny", nil })
end)

test("policy: a pattern that ends with a slash is the folder and all in it, `~/` is the home", function(t)
  local _ <close> = with_policy { deny = { path = { "/w/secrets/", "~/.ssh/" } } }
  for path, verdict in pairs { ["/w/secrets"] = "deny", ["/w/secrets/a/b"] = "deny", ["/w/./secrets//a"] = "deny",
    [stoke.env.get "HOME" .. "/.ssh/id"] = "deny" } do
    t.eq(policy.verdict("path", path), verdict, path)
  end
  t.eq(policy.verdict("path", "/w/secrets2"), nil)
end)

test("policy: a program given by its path is denied by its name, but not allowed by it", { real = true }, function(t)
  local _ <close> = with_policy { deny = { command = { "rm *" } } }
  t.raises("denied", proc.run, { argv = { "/bin/rm", "-rf", "nothing" } })
  t.raises("denied", proc.run, { argv = { "../../../../../../bin/rm", "nothing" } })
  stoke.policy { allow = { command = { "true" } }, otherwise = { command = "deny" } }
  t.eq(proc.run { argv = { "true" } }.code, 0)
  t.raises("denied", proc.run, { argv = { "./true" } })
end)

-- The meaning of a glob, written down naively.
local function fits(pattern, value, path)
  if pattern == "" then return value == "" end
  local stars = pattern:match "^%*+"
  if not stars then
    local c = value:sub(1, 1)
    local taken = c ~= "" and (pattern:sub(1, 1) == c or pattern:sub(1, 1) == "?" and not (path and c == "/"))
    return taken and fits(pattern:sub(2), value:sub(2), path)
  end
  local rest = pattern:sub(#stars + 1)
  if path and #stars > 1 and rest:sub(1, 1) == "/" then
    if fits(rest:sub(2), value, path) then return true end
    for i = 1, #value do
      if value:sub(i, i) == "/" and fits(rest:sub(2), value:sub(i + 1), path) then return true end
    end
    return false
  end
  for i = 1, #value + 1 do
    if fits(rest, value:sub(i), path) then return true end
    if path and #stars == 1 and value:sub(i, i) == "/" then return false end
  end
  return false
end

test("policy: a glob means what it means, for any pattern and text", function(t)
  local random = stoke.rand.new(7)
  local function text(alphabet, most)
    local out = {}
    for i = 1, random:int(0, most) do
      local at = random:int(1, #alphabet)
      out[i] = alphabet:sub(at, at)
    end
    return table.concat(out)
  end
  local hits = 0
  for _ = 1, 4000 do
    local pattern, value, path = text("ab/**?.", 7), text("aab/.", 8), random:int(0, 1) == 1
    local want = fits(pattern, value, path)
    if want then hits = hits + 1 end
    t.eq(glob.compile(pattern, path)(value), want, ("%q of %q, path %s"):format(pattern, value, path))
  end
  t.ok(hits > 100, hits)
end)

test("policy: no text makes a pattern take for ever", function(t)
  local _ <close> = with_policy { deny = { command = { "*rm*-rf*/*x", "* rm * -rf * / x" }, tool = { ("*a"):rep(20) .. "b" } } }
  t.eq(policy.verdict("command", "echo " .. ("rm-rf/"):rep(1000)), nil)
  t.eq(policy.verdict("command", "echo " .. (" rm  -rf  / "):rep(1000)), nil)
  t.eq(policy.verdict("command", "echo " .. ("rm-rf/"):rep(1000) .. "x"), "deny")
  t.eq(policy.verdict("tool", ("a"):rep(60)), nil)
end)

test("policy: a list that would be read in part is refused", function(t)
  local function refused(rules, words) t.match(t.raises("argument", stoke.policy, rules).message, words) end
  refused({ deny = { tool = { rm = "rm_all" } } }, 'deny.tool must be a list .* the key the string "rm"')
  refused({ deny = { tool = { nil, "rm_all" } } }, "deny.tool must be a list .* %[1%] is missing")
  refused({ timeout = -1 }, "timeout must be seconds above 0")
  refused({ timeout = 0 / 0 }, "timeout must be seconds above 0")
end)

test("policy: a host with a port is a mistake that is named", function(t)
  t.match(t.raises("argument", stoke.policy, { deny = { host = { "localhost:80" } } }).message, "no scheme, port or path")
end)
