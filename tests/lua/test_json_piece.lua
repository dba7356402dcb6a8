-- Pieces of JSON that are encoded once, and digests that do not depend on them.

local test = require "stoke.test"
local json = require "stoke.json"
local rand = require "stoke.rand"
local engine = require "core.json"
local hash = require "core.hash"

local null, piece = json.null, json.piece

local function generator()
  local seed = rand.int(0, 0x7FFFFFFF)
  local state = seed
  return function(n)
    state = state * 6364136223846793005 + 1442695040888963407
    return (state >> 33) % n
  end, seed
end

local LEAVES = {
  function(random) return random(2000) - 1000 end,
  function(random) return (random(2000) - 1000) / 8 end,
  function(random) return random(2) == 0 end,
  function() return null end,
  function(random) return ("text \u{E9}\n\"%d\" "):format(random(100)):rep(random(4)) end,
  function(random) return ("x"):rep(random(300)) end,
}

-- The same random value twice: plain, and with pieces in places.
local function twins(random, depth)
  local kind = depth > 0 and random(9) or 9
  local plain, pieced
  if kind < 3 then
    plain, pieced = json.array {}, json.array {}
    for i = 1, random(5) do plain[i], pieced[i] = twins(random, depth - 1) end
  elseif kind < 6 then
    plain, pieced = json.object {}, json.object {}
    local order = {}
    for i = 1, random(6) do
      local key = ("%s%d"):format(("k"):rep(random(20)), random(50) * 10 + i)
      plain[key], pieced[key] = twins(random, depth - 1)
      table.insert(order, 1 + random(#order + 1), key)
    end
    if random(3) == 0 then
      json.object(plain, order)
      json.object(pieced, order)
    end
  else
    local leaf = LEAVES[1 + random(#LEAVES)](random)
    plain, pieced = leaf, leaf
  end
  if random(3) == 0 then pieced = piece(pieced) end
  return plain, pieced
end

-- The form of which a digest is the SHA-256, by its definition.
local INLINE = 128
local function form(v, root)
  if type(v) ~= "table" then return json.encode(v) end
  local parts = {}
  local text
  if json.is_array(v) then
    for i = 1, #v do parts[i] = form(v[i]) end
    text = "[" .. table.concat(parts, ",") .. "]"
  else
    local keys = {}
    for key in next, v do keys[#keys + 1] = key end
    table.sort(keys)
    for i, key in ipairs(keys) do parts[i] = json.encode(key) .. ":" .. form(v[key]) end
    text = "{" .. table.concat(parts, ",") .. "}"
  end
  if root or #text <= INLINE then return text end
  return "\1" .. hash.sha256(text):gsub("%x%x", function(hex) return string.char(tonumber(hex, 16)) end)
end

test("piece: taken as it is inside a table, with its length and its text", function(t)
  local message = piece { role = "user", content = "Hi \u{E9}" }
  local text = '{"content":"Hi \u{E9}","role":"user"}'
  t.eq({ #message, tostring(message) }, { #text, text })
  t.eq(json.encode(message), text)
  t.eq(json.encode { messages = { message, message }, n = piece(1), s = piece "x" },
    ('{"messages":[%s,%s],"n":1,"s":"x"}'):format(text, text))
  t.ok(engine.is_piece(message) and not engine.is_piece {} and not engine.is_piece "{}")
  t.ok(rawequal(piece(message), message))
end)

test("piece: its value changes afterwards, the piece does not", function(t)
  local message = { role = "user", content = "a" }
  local kept = piece(message)
  message.content = "b"
  t.eq(tostring(kept), '{"content":"a","role":"user"}')
  local value = kept:value()
  value.content = "c"
  t.eq(tostring(kept), '{"content":"a","role":"user"}')
end)

test("piece: gives back its value, lists, empty objects and the order of keys with it", function(t)
  local text = '{"z":[],"a":{"y":1,"b":{}},"n":[1,2.5,null,true,""]}'
  local kept = piece(json.decode(text, { ordered = true }))
  t.eq(tostring(kept), text)
  t.eq(json.encode(kept:value()), text)
  t.eq(piece(null):value(), null)
  t.eq(piece(piece "x"):value(), "x")
  t.eq(json.encode({ kept }, { pretty = true }), json.encode({ json.decode(text, { ordered = true }) }, { pretty = true }))
end)

test("piece: what JSON cannot say is none, by its place", function(t)
  t.match(t.raises("argument", piece, { a = { print } }).message, "cannot encode a function at %.a%[1%]")
  t.match(t.raises("argument", piece).message, "expected a value")
  local _, err = engine.piece { a = 0 / 0 }
  t.match(err.message, "NaN")
  t.match(t.raises("argument", piece(1).value, {}).message, "piece:value")
  t.match(t.raises("argument", json.encode, { hash.new() }).message, "cannot encode a userdata at %[1%]")
end)

test("piece: limits of depth and size hold for what is in it", function(t)
  local deep = 0
  for _ = 1, 600 do deep = { deep } end
  local kept = piece(deep)
  local other = kept
  for _ = 1, 400 do other = { other } end
  t.eq(#json.encode(other), 2001)
  t.match(t.raises("argument", json.encode, { other }).message, "nested deeper than the limit")
  t.match(t.raises("argument", json.digest, { other }).message, "nested deeper than the limit")
  t.match(t.raises("argument", piece, { { other } }).message, "nested deeper than the limit")
  t.match(t.raises("argument", json.encode, { piece { 1 } }, { max_depth = 1 }).message, "nested deeper")
  t.raises("limit", json.encode, { piece(("x"):rep(100)) }, { max_size = 50 })
end)

test("piece: its metatable is out of reach", function(t)
  t.eq(getmetatable(piece(1)), "piece")
  t.raises("table expected", setmetatable, piece(1), {})
  t.eq(piece(1).text, nil)
end)

test("digest: a long table inside is in it by its own SHA-256, all else by its text with sorted keys", function(t)
  local random, seed = generator()
  for _ = 1, 300 do
    local plain = twins(random, 5)
    if json.digest(plain) ~= hash.sha256(form(plain, true)) then
      error(("seed %d: %s has the digest of another form"):format(seed, json.encode(plain)))
    end
  end
  local long = { text = ("x"):rep(INLINE) }
  t.eq(json.digest(long), hash.sha256(json.encode(long)))
  t.ok(json.digest { long } ~= hash.sha256(json.encode { long }))
end)

test("digest, encode: pieces say what plain tables say, wherever they are", function(t)
  local random, seed = generator()
  for _ = 1, 300 do
    local plain, pieced = twins(random, 5)
    local text, digest = json.encode(plain), json.digest(plain)
    local ok = json.encode(pieced) == text and json.digest(pieced) == digest and json.digest(pieced) == digest
      and json.encode(pieced, { pretty = true }) == json.encode(plain, { pretty = true })
      and json.digest(piece(plain)) == digest and json.encode(piece(pieced):value()) == text
    if not ok then error(("seed %d: %s differs as pieces"):format(seed, text)) end
  end
  local list = { { a = ("x"):rep(200) }, { b = 1 } }
  t.eq(json.digest { piece(list) }, json.digest { list })
  t.eq(json.digest(piece(list)), json.digest(list))
end)

test("digest: what is long and differs has another one", function(t)
  local function history(word) return { { { content = ("x"):rep(300) .. word, role = "user" } } } end
  t.ok(json.digest(history "a") ~= json.digest(history "b"))
  t.ok(json.digest { piece(history "a") } ~= json.digest { piece(history "b") })
  t.ok(json.digest { ("x"):rep(300) } ~= json.digest { { ("x"):rep(300) } })
end)

test("digest: a list that is fixed has the digest of any other, also the second time", function(t)
  local function tools() return { json.object({ b = ("x"):rep(200), a = { 2 } }, { "b", "a" }) } end
  local fixed = engine.fixed(tools())
  for _ = 1, 2 do t.eq(json.digest { tools = fixed }, json.digest { tools = tools() }) end
  t.eq(json.digest(fixed), json.digest(tools()))
  t.eq(json.digest(piece { tools = fixed }), json.digest { tools = tools() })
  t.eq(tostring(piece { tools = fixed }), json.encode { tools = tools() })
end)

test("piece: thousands of them are collected", function(t)
  collectgarbage()
  local before = collectgarbage "count"
  for i = 1, 20000 do piece { content = ("x"):rep(100), n = i } end
  collectgarbage()
  t.ok(collectgarbage "count" < before + 200)
end)
