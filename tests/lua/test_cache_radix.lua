-- Texts by what other texts begin with: beside a list that is searched from one end to the other.

local radix = require "core.cache.radix"
local rand = require "stoke.rand"
local test = require "stoke.test"

local function any(value, length) return { value, length } end

test("radix: the longest text that a text begins with", function(t)
  local tree = radix.new(1 << 20)
  for _, text in ipairs { "local", "local x", "local y = ", "print" } do tree:put(text, text:upper(), 1) end
  t.eq(tree:find("local x = 1", any), { "LOCAL X", 7 })
  t.eq(tree:find("local x", any), { "LOCAL X", 7 })
  t.eq(tree:find("local y =", any), { "LOCAL", 5 })
  t.eq({ tree:find("loca", any), tree:find("", any), tree:find("prink", any) }, {})
end)

test("radix: one that is not accepted gives way to a shorter one", function(t)
  local tree = radix.new(1 << 20)
  for _, text in ipairs { "", "a", "ab", "abc" } do tree:put(text, #text, 1) end
  t.eq(tree:find("abcd", function(value) return value < 2 and value or nil end), 1)
  t.eq(tree:find("abcd", function(value) return value < 1 and value or nil end), 0)
end)

test("radix: another value takes the place of the first; bytes are given back to the last", function(t)
  local tree = radix.new(1 << 20)
  tree:put("abc", 1, 10)
  local bytes = tree.bytes
  tree:put("abc", 2, 10)
  t.eq({ tree.bytes, tree.count, tree:find("abc", any)[1] }, { bytes, 1, 2 })
  t.eq({ tree:delete "ab", tree:delete "abcd", tree:delete "abc", tree:delete "abc" }, { false, false, true, false })
  t.eq({ tree.bytes, tree.count, tree.root.children }, { 0, 0, nil })
end)

test("radix: what was used longest ago goes first, and it is never above its limit", function(t)
  local tree = radix.new(2200)
  tree:put("first", 1, 300)
  tree:put("second", 2, 300)
  tree:find("first", any)
  tree:put("third", 3, 300)
  tree:put("fourth", 4, 300)
  t.eq({ tree:find("second", any), tree:find("first", any), tree:find("fourth", any) },
    { [2] = { 1, 5 }, [3] = { 4, 6 } })
  tree:put("huge", 5, 5000)
  t.eq({ tree.count, tree:find("huge", any) }, { 3 })
end)

test("radix: whatever is put, asked for and deleted, it says what a list says", function(t)
  for seed = 1, 20 do
    local random, tree, list = rand.new(seed), radix.new(1 << 30), {}
    local function text_of()
      local parts = {}
      for i = 1, random:int(0, 12) do parts[i] = ("ab\xff"):sub(random:int(1, 3)):sub(1, 1) end
      return table.concat(parts)
    end
    for step = 1, 400 do
      local text, what = text_of(), random:int(1, 3)
      if what == 1 then
        tree:put(text, step, 0)
        list[text] = step
      elseif what == 2 then
        t.eq(tree:delete(text), list[text] ~= nil)
        list[text] = nil
      else
        local best
        for other, value in next, list do
          if text:sub(1, #other) == other and value % 2 == 0 and (not best or #other > best[2]) then best = { value, #other } end
        end
        t.eq(tree:find(text, function(value, length) return value % 2 == 0 and { value, length } or nil end), best)
      end
    end
    for text in next, list do t.eq(tree:delete(text), true) end
    t.eq({ tree.bytes, tree.count, next(tree.root.children or {}) }, { 0, 0 })
  end
end)
