-- Which model a server has under a name.

local endpoints = require "core.endpoint"
local fake = require "fake"
local json = require "stoke.json"
local model = require "stoke.model"
local models = require "core.cache.models"
local ollama = require "stoke.ollama"
local stoke = require "stoke"
local test = require "stoke.test"

local ONE, OTHER <const> = ("1"):rep(64), ("2"):rep(64)

--- A server whose model "m" has a digest that changes.
local function server(o)
  local seen = { asked = 0, digest = ONE }
  local one = fake(function(req, res)
    if req.path ~= "/api/tags" then
      return res:reply(200, {}, req.path == "/api/pull" and '{"status":"success"}\n' or "")
    end
    seen.asked = seen.asked + 1
    if o and o.delay then stoke.sleep(o.delay) end
    if o and o.answer then return res:reply(o.status or 200, {}, o.answer) end
    res:reply(200, {}, json.encode { models = { { name = "m:latest", digest = seen.digest } } })
  end)
  seen.url = one.url
  return setmetatable(seen, { __close = function()
    one.server:close()
    models.forget()
  end })
end

local function digest(on, name) return models.digest(model.open(name or "m", on.url)) end

test("models: a name and its long form are one model; the server is asked every second", function(t)
  local on <close> = server()
  t.eq({ digest(on), digest(on, "m:latest"), on.asked }, { ONE, ONE, 1 })
  on.digest = OTHER
  stoke.sleep(0.5)
  t.eq({ digest(on), on.asked }, { ONE, 1 })
  stoke.sleep(1)
  t.eq({ digest(on), on.asked }, { OTHER, 2 })
end)

test("models: many who ask at once are one question", function(t)
  local on <close> = server { delay = 1 }
  local scope <close> = stoke.scope()
  local found = scope:map({ 1, 2, 3, 4, 5 }, function() return (digest(on)) end)
  t.eq({ found, on.asked }, { { ONE, ONE, ONE, ONE, ONE }, 1 })
end)

test("models: the first who asks is cut off: the others get the answer all the same", function(t)
  local on <close> = server { delay = 1 }
  local scope <close> = stoke.scope()
  local first = scope:spawn(function() return (digest(on)) end)
  local second = scope:spawn(function() return (digest(on)) end)
  stoke.sleep(0.5)
  first:cancel()
  t.eq({ second:await(), on.asked }, { ONE, 1 })
end)

test("models: what this process changes on a server is asked anew", function(t)
  for _, change in ipairs {
    function(on) for _ in ollama.pull { model = "m", endpoint = on.url } do end end, -- luacheck: ignore
    function(on) ollama.copy { source = "a", destination = "m", endpoint = on.url } end,
    function(on) ollama.delete { model = "m", endpoint = on.url } end,
  } do
    local on <close> = server()
    t.eq(digest(on), ONE)
    on.digest = OTHER
    change(on)
    t.eq(digest(on), OTHER)
  end
end)

test("models: a name the server does not list, and a server that does not tell, have no digest", function(t)
  local on <close> = server()
  local found, err = digest(on, "other")
  t.eq(found, nil)
  t.match(err.message, "does not list the model other")
  for _, answer in ipairs { "{}", "[]", "no json", '{"models":[{"name":"m"}]}' } do
    local odd <close> = server { answer = answer }
    t.eq(digest(odd), nil)
  end
  local broken <close> = server { answer = '{"error":"no"}', status = 404 }
  t.eq({ digest(broken), (digest(broken)), broken.asked }, { nil, nil, 1 })
end)

test("models: a dialect that tells no digests has none", function(t)
  local target = endpoints.plain(endpoints.of "http://127.0.0.1:9", "m", { name = "mine" })
  local found, err = models.digest(target)
  t.eq({ found, err.kind }, { nil, "usage" })
end)
