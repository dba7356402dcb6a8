-- SHA-256, against the examples of FIPS 180-2.

local test = require "stoke.test"
local hash = require "core.hash"

local EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
local ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
local MILLION = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

test("one shot", function(t)
  t.eq(hash.sha256 "", EMPTY)
  t.eq(hash.sha256 "abc", ABC)
  t.eq(hash.sha256(("a"):rep(1000000)), MILLION)
end)

test("in pieces, and looked at on the way", function(t)
  local digest = hash.new()
  t.eq(digest:hex(), EMPTY)
  t.eq(digest:update("a"):update(""):update("bc"):hex(), ABC)
  local long = hash.new()
  for _ = 1, 1000 do long:update(("a"):rep(1000)) end
  t.eq(long:hex(), MILLION)
  t.eq(long:hex(), MILLION)
end)
