-- Lists that grow: of each item what was written is kept, and the text and the digest are those of any other list.

local test = require "stoke.test"
local json = require "stoke.json"
local rand = require "stoke.rand"
local engine = require "core.json"

local growing = engine.growing

local function message(i)
  local kind = i % 4
  if kind == 0 then return { role = "user", content = ("word \u{E9} %d "):format(i):rep(1 + i % 9) } end
  if kind == 1 then return json.object({ role = "tool", content = ("x"):rep(300) }, { "role", "content" }) end
  if kind == 2 then return { role = "assistant", tool_calls = { { id = "c" .. i, arguments = { a = { i } } } } } end
  return i
end

local function list(n)
  local out = {}
  for i = 1, n do out[i] = message(i) end
  return out
end

test("growing: the text, the digest and the piece are those of a list that is written at once", function(t)
  local grown, n = growing {}, 0
  for _ = 1, 40 do
    for _ = 1, rand.int(1, 3) do
      n = n + 1
      grown[n] = message(n)
    end
    local whole = list(n)
    if rand.int(0, 2) > 0 then t.eq(engine.encode { messages = grown, z = 1 }, engine.encode { messages = whole, z = 1 }) end
    if rand.int(0, 2) > 0 then t.eq(json.digest { messages = grown }, json.digest { messages = whole }) end
    if rand.int(0, 3) == 0 then
      t.eq(engine.encode(grown), engine.encode(whole))
      t.eq(json.digest(grown), json.digest(whole))
      t.eq(engine.encode(grown, { pretty = true }), engine.encode(whole, { pretty = true }))
      local piece = engine.piece { grown }
      t.eq(tostring(piece), engine.encode { whole })
      t.eq(json.digest(piece), json.digest { whole })
      t.eq(engine.encode(piece:value()), engine.encode { whole })
    end
  end
  t.ok(engine.is_array(grown))
end)

test("growing: an item is written once", function(t)
  local grown = growing { { a = 1 } }
  t.eq(engine.encode(grown), '[{"a":1}]')
  grown[1].a, grown[2] = 2, { b = 1 }
  t.eq(engine.encode(grown), '[{"a":1},{"b":1}]')
  t.eq(engine.encode(require "stoke.schema.values".clone(grown)), '[{"a":2},{"b":1}]')
end)

test("growing: a list that has become shorter is written anew", function(t)
  local grown = growing(list(8))
  t.eq(engine.encode(grown), engine.encode(list(8)))
  t.eq(json.digest(grown), json.digest(list(8)))
  for i = 8, 4, -1 do grown[i] = nil end
  grown[4] = "other, and longer than all that had been there before: " .. ("x"):rep(5000)
  local whole = list(3)
  whole[4] = grown[4]
  t.eq(engine.encode(grown), engine.encode(whole))
  t.eq(json.digest(grown), json.digest(whole))
  grown[5], whole[5] = 5, 5
  t.eq(engine.encode(grown), engine.encode(whole))
end)

test("growing: an item that cannot be encoded is named, and what was kept stays", function(t)
  local grown = growing { { a = 1 } }
  engine.encode(grown)
  grown[2], grown[3] = 2, { b = { print } }
  local _, err = engine.encode { messages = grown }
  t.match(err.message, "cannot encode a function at %.messages%[3%]%.b%[1%]")
  grown[3] = 3
  t.eq(engine.encode(grown), '[{"a":1},2,3]')
end)

test("growing: what is kept counts for the depth", function(t)
  local grown = growing { { { 1 } } }
  t.eq(engine.encode({ grown }, { max_depth = 4 }), "[[[[1]]]]")
  local _, err = engine.encode({ grown }, { max_depth = 3 })
  t.match(err.message, "nested deeper than the limit at %[1%]")
  grown[2] = 2
  t.eq(engine.encode({ grown }, { max_depth = 4 }), "[[[[1]],2]]")
end)

test("growing: what else stands in the metatable is not taken for it", function(t)
  local grown = growing { 1 }
  for _, odd in ipairs { io.stdout, {}, "text", engine.piece { ("x"):rep(200) }, engine.spec { { name = "a", kind = "any" } } } do
    getmetatable(grown)[2], getmetatable(grown)[3] = odd, odd
    t.eq(engine.encode(grown), "[1]")
    t.eq(json.digest(grown), json.digest { 1 })
  end
  t.match(t.raises("argument", growing, setmetatable({}, {})).message, "a metatable of its own")
  t.raises("table expected", growing, 1)
end)
