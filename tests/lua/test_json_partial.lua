-- json.partial: what a streamed text says so far. And what must hold of any text, also for json.repair: random texts, cut and
-- damaged, and hostile ones.

local test = require "stoke.test"
local json = require "stoke.json"
local rand = require "stoke.rand"
local scan = require "stoke.reading.scan"
local salvage = require "stoke.reading.salvage"

local function shown(value) return value == nil and "nothing" or json.encode(value) end

-- text so far -> what it says
local SAYS = {
  { "", "nothing" }, { "  ", "nothing" }, { "{", "{}" }, { '{"', "{}" }, { '{"ci', "{}" }, { '{"city"', "{}" }, { '{"city":',
  "{}" },
  { '{"city": "', '{"city":""}' }, { '{"city": "Os', '{"city":"Os"}' }, { '{"city": "Oslo"', '{"city":"Oslo"}' },
  { '{"city": "Oslo",', '{"city":"Oslo"}' }, { '{"city": "Oslo", "n', '{"city":"Oslo"}' }, { '{"a":1', "{}" }, { '{"a":1,',
  '{"a":1}' },
  { '{"a":1 ', '{"a":1}' }, { '{"a":1}', '{"a":1}' }, { '{"a":tru', "{}" }, { '{"a":true', '{"a":true}' }, { '{"a":-', "{}" },
  { '{"a":1.5e', "{}" }, { '{"a":[1,2', '{"a":[1]}' }, { '{"a":[1,2]', '{"a":[1,2]}' }, { '{"a":[{"b":"c', '{"a":[{"b":"c"}]}' },
  { '{"a":[{"b":1},', '{"a":[{"b":1}]}' }, { "[", "[]" }, { "[1", "[]" }, { "[null", "[null]" }, { "[nul", "[]" }, { '["a","',
  '["a",""]' },
  { '{"b":1,"a":2,', '{"b":1,"a":2}' }, { '{"a":{}', '{"a":{}}' }, { '{"a":1}  and then', '{"a":1}' },
  { '["x\\', '["x"]' }, { '["x\\u00e', '["x"]' }, { '["x\\u00e9', '["xé"]' }, { '["\\ud83d', '[""]' }, { '["\\ud83d\\u', '[""]' },
  { '["\\ud83d\\ude00', '["😀"]' }, { '["\\\\ud83d', '["\\\\ud83d"]' }, { '["\xF0\x9F\x98', '[""]' }, { '["\xC3\xA9\xC3',
  '["é"]' },
  { '{"a\\"b":"c', '{"a\\"b":"c"}' }, { '{"{[":"}', '{"{[":"}"}' },
  { '"te', '"te"' }, { "12", "nothing" }, { "12 ", "nothing" }, { "true", "nothing" }, { '"te" x', '"te"' }, { "The", "nothing" },
  { "\u{FEFF}{\"a\":\"x", '{"a":"x"}' }, { '```json\n{"a":"x', '{"a":"x"}' }, { "```json\n[1, 2", "[1]" }, { "```js", "nothing" },
  { "<think>maybe {\"a\":1}", "nothing" }, { "<think>hm</think>\n{\"a\":\"x", '{"a":"x"}' },
  { 'As [1] says, {x}: {"a":"x', '{"a":"x"}' }, { 'A list: ["a", "b', '["a","b"]' },
  { '{"a":1,}', '{"a":1}' }, { '{"a":01,"b":2', "{}" }, { '{"a":1,b:2', '{"a":1}' }, { "{'a':1", "{}" }, { '[1,,2,3', "[1]" },
  { '{"a":"x\\_y","b":1', '{"a":"x"}' }, { '{"a":"x\ny","b":1', '{"a":"x"}' }, { '{"a" "b","c":1', "{}" }, { "[}", "[]" },
  { '["\xFF", 1, ', '[""]' },
}

test("json.partial: what a text says so far", function(t)
  for _, row in ipairs(SAYS) do
    t.eq(row[1] .. "\n=> " .. shown(json.partial(row[1])), row[1] .. "\n=> " .. row[2])
  end
end)

-- ---- random texts ----------------------------------------------------------------------------------------------------------

--- below(n), and the seed it grew from, which --seed of the run decides.
local function generator()
  local seed = rand.int(0, 0x7FFFFFFF)
  local state = seed
  return function(n)
    state = state * 6364136223846793005 + 1442695040888963407
    return (state >> 33) % n
  end, seed
end

local WORDS = { "a", "b c", 'k"1', "é", "😀", "it's", 'x,"y":', "{}", "[1]", "\\", "\n", "", "http://x", "/* */", "true",
"```", "+",
                ":", 'q", "z": "', "</think>", "#", "“q”", "\t", "  ", "}", "]", "," }
local BITS = { '"', "'", "{", "}", "[", "]", ",", ":", "\\", "\n", " ", "a", "1", "/", "*", "“", "\xFF", "`", "#", "-", ".",
"\\u", "+",
               "<think>", "```", "...", "{{", '"a":', "None" }

local function words(below)
  local list = {}
  for i = 1, below(4) do list[i] = WORDS[below(#WORDS) + 1] end
  return table.concat(list)
end

--- A key like no other: damage must not make it the same as its neighbour, whose value it would then replace.
local function key_of(below)
  local tail = {}
  for i = 1, 6 do tail[i] = string.char(103 + below(16)) end
  return words(below) .. table.concat(tail)
end

local function value_of(below, depth)
  local kind = below(depth > 3 and 5 or 8)
  if kind == 0 then return json.null end
  if kind == 1 then return below(2) == 0 end
  if kind == 2 then return below(100000) - 50000 end
  if kind == 3 then return (below(1000) - 500) / 8 end
  if kind == 4 then return words(below) end
  local made = {}
  for i = 1, below(5) do made[kind < 7 and key_of(below) or i] = value_of(below, depth + 1) end
  return kind < 7 and json.object(made) or json.array(made)
end

local function text_of(below)
  local value = below(2) == 0 and { r = value_of(below, 0), s = value_of(below, 0) } or { value_of(below, 0), value_of(below, 0) }
  return json.encode(value, { pretty = below(2) == 0 })
end

local function damage(below, text)
  for _ = 0, below(4) do
    local at = below(#text) + 1
    text = text:sub(1, at - 1) .. BITS[below(#BITS) + 1] .. text:sub(at + below(2))
  end
  return text
end

--- Does every whole field of what a text says so far agree with the rest of it? Only what comes last may be unfinished.
local function agrees(part, whole, last, loosely)
  if json.is_array(part) ~= json.is_array(whole) or type(part) ~= type(whole) then return last and loosely end
  if json.is_array(part) then
    for i, item in ipairs(part) do
      if not agrees(item, whole[i], last and i == #part, loosely) then return false end
    end
  elseif type(part) == "table" then
    local open = 0 -- one field at most is unfinished
    for key, item in next, part do
      if whole[key] == nil then return false end
      if not agrees(item, whole[key], false, loosely) then
        open = open + 1
        if not (last and agrees(item, whole[key], true, loosely)) then return false end
      end
    end
    return open <= 1
  elseif last and type(part) == "string" then
    return whole:sub(1, #part) == part
  elseif last and loosely then
    return true
  else
    return shown(part) == shown(whole)
  end
  return true
end

test("json.repair: a strict text needs no repair, and the tolerant reader finds the same in it", function(t)
  local below, seed = generator()
  for _ = 1, 150 do
    local text = text_of(below)
    local value, repairs = json.repair(text)
    t.eq(#repairs, 0)
    local list = scan.values(text, 1, 256)
    local found = list[1]
    if #list ~= 1 or #found.notes > 0 or found.last ~= #text or json.encode(found.value) ~= json.encode(value) then
      t.fail(("seed %d: %s\n=> %s | %s"):format(seed, text, shown(found and found.value), table.concat(found.notes, "; ")))
    end
  end
end)

test("json.repair, json.partial: a strict text cut at any byte keeps every whole field", function(t)
  local below, seed = generator()
  for _ = 1, 25 do
    local text = text_of(below)
    local whole = json.decode(text)
    for i = 1, #text do
      local cut = text:sub(1, i)
      local mended, said = json.repair(cut), json.partial(cut)
      if mended == nil or not agrees(mended, whole, true, true) then
        t.fail(("seed %d: %s\n=> %s"):format(seed, cut, shown(mended)))
      end
      if said == nil or not agrees(said, whole, true, false) then t.fail(("seed %d: %s\n=> %s"):format(seed, cut, shown(said))) end
    end
    t.eq(json.partial(text), whole)
  end
end)

test("json.partial: a backslash before half a character hides nothing that came before", function(t)
  for _, half in ipairs { "\xC3", "\xE2", "\xE2\x82", "\xF0\x9F\x98" } do
    t.eq(json.partial('{"r":"a","s":"b\\' .. half), { r = "a", s = "b" })
  end
end)

test("json.partial: what was whole stays as it is while any text grows", function(t)
  local below, seed = generator()
  for _ = 1, 40 do
    local text, before = damage(below, text_of(below)), nil
    for i = 1, #text do
      local now = json.partial(text:sub(1, i))
      if before ~= nil and (now == nil or not agrees(before, now, true, false)) then
        t.fail(("seed %d: %s\n=> %s, after %s"):format(seed, text:sub(1, i), shown(now), shown(before)))
      end
      before = now
    end
  end
end)

test("json.repair, json.partial: no damage makes them raise, and what they give can be written", function(t)
  local below, seed = generator()
  local known = { a = true }
  for round = 1, 1500 do
    local text
    if round % 3 == 0 then
      local bits = {}
      for i = 1, below(40) do bits[i] = BITS[below(#BITS) + 1] end
      text = table.concat(bits)
    else
      text = damage(below, text_of(below))
    end
    local fine, err = pcall(function()
      local value, repairs = json.repair(text)
      if value ~= nil then json.encode(value) else t.eq(repairs.kind, "invalid_output") end
      json.encode((json.repair(text, { all = true, want = "array" })) or {})
      local said = json.partial(text)
      if said ~= nil then json.encode(said) end
      json.encode((salvage.from_text(text, known)) or {})
      json.encode((salvage.from_error("error parsing tool call: raw='" .. text .. "', err=x", known)) or {})
    end)
    if not fine then t.fail(("seed %d: %q: %s"):format(seed, text, tostring(err))) end
  end
end)

-- ---- hostile texts ---------------------------------------------------------------------------------------------------------

-- head, what is repeated up to 200 KB
local HOSTILE = {
  { "", "[" }, { "", "{" }, { "", '"' }, { "", "[}" }, { "", "[x " }, { "", "{a" }, { "", '["a"' }, { "", '["a],' }, { "",
  '{"a":1}' },
  { "", "`" }, { "", "``` " }, { "", "<think>" }, { "", "</think>" }, { "", "&quot;{" }, { "", "[." }, { "", "<tool_call>" },
  { "", "\\" },
  { "", "x <tool_call>" }, { "", "Action: a\n" }, { "", "\n" }, { "", " " }, { "", "a(" }, { "", '<function=a>{"b":1}</function>' },
  { "x\n<tool_call>", "</tool_call> " }, { "", '{"name":"a","arguments":{}}\n' }, { "", "\xC3" }, { "", "{{" }, { "[", "]" },
  { "", "</s>" },
  { "[", '"' }, { "[", "/*" }, { "[", "1 " }, { "[", "1" }, { "[", "," }, { "[", "a," }, { "[", "..." }, { "[", "\xE2" }, { "[",
  'a("' },
  { "[", "#\n" }, { "[", "a   " }, { "[", "'a" }, { "[", "“a" }, { "{", "a:" }, { "{", "a:1 " }, { "{", '"a"::::' }, { "{",
  '"a":"b" ' },
  { "{'", "':" }, { '{"a":"', "\\" }, { '{"a":"', '\\"' }, { '{"a":"', '" ' }, { '{"a":"', '", ' }, { '{"a":"', '"b": ' },
  { '{"a":"', '" b: ' },
  { '{"a":"', "\n}" }, { '{"a":"', "\\u12" }, { '{"a":"', "\\ud83d" }, { '["', "\xE2" }, { '["', '"]' }, { '["', '"}' }, { '["',
  '" + "' },
  { '["', "}\n" }, { "{a:", "1,234" }, { '{"a":1', '}, "b":2' }, { "[[[[", '{"a":[1}' }, { "get(", ")" }, { "a(", ") )" },
}

--- Some tenths of a second at most; quadratic time would be minutes.
local function in_time(t, name, f, text)
  local before = os.clock()
  f(text)
  local took = os.clock() - before
  if took > 3 then t.fail(("%s takes %.1f s for %d bytes, %s..."):format(name, took, #text, text:sub(1, 30))) end
end

test("json.repair, json.partial, salvage: any text takes linear time", { real = true, timeout = 300 }, function(t)
  local known = { a = true }
  for _, row in ipairs(HOSTILE) do
    local text = row[1] .. row[2]:rep(200000 // #row[2])
    in_time(t, "json.repair", json.repair, text)
    in_time(t, "json.partial", json.partial, text)
    text = text:sub(1, 40000)
    in_time(t, "salvage.from_text", function(s) return salvage.from_text(s, known) end, text)
    in_time(t, "salvage.from_error", function(s)
      return salvage.from_error("error parsing tool call: raw='" .. s .. "', err=x", known)
    end, text)
  end
end)
