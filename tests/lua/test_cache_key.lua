-- Keys of the cache: the hash of parts.

local keys = require "core.cache.key"
local test = require "stoke.test"

test("a key is 32 bytes, and says nothing of its parts", function(t)
  local key = keys.of("exact", "a secret", "more")
  t.eq(#key, 32)
  t.eq(keys.of("exact", "a secret", "more"), key)
  t.eq(key:find("secret", 1, true), nil)
end)

test("what is moved from one part to the next is another key", function(t)
  t.ok(keys.of("ab", "c") ~= keys.of("a", "bc"))
  t.ok(keys.of("a", "") ~= keys.of("a"))
  t.ok(keys.of("a\0b") ~= keys.of("a", "b"))
  t.ok(keys.of("a", "b") ~= keys.of("b", "a"))
end)

test("a key as digits, and back", function(t)
  local key = keys.of "x"
  t.eq(keys.parse(keys.hex(key)), key)
  t.eq({ keys.parse "xyz", keys.parse(("0"):rep(63)), keys.parse(("g"):rep(64)) }, {})
  t.eq(keys.hex(keys.digest ""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
end)

test("tables that say the same are one text, whatever the order in which they were filled", function(t)
  local a, b = {}, {}
  for i = 1, 20 do a["k" .. i] = i end
  for i = 20, 1, -1 do b["k" .. i] = i end
  t.eq(keys.canonical(a), keys.canonical(b))
end)
