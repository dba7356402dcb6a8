-- json.repair: what models write, what is read of it, and what it says it mended. Each row: text, value as JSON, repairs.

local test = require "stoke.test"
local json = require "stoke.json"

local FENCE, BEFORE, AFTER = "code fence left out", "text before the JSON left out", "text after the JSON left out"
local TRAILING, EXTRA, COMMA = "trailing comma left out", "extra comma left out", "missing comma put in"
local COLON, COMMENT, INNER = "missing colon put in", "comment left out", "quote in a string escaped"
local SINGLE, CURLY = "single quotes read as double quotes", "typographic quotes read as double quotes"
local BACK, TRIPLE = "backticks read as double quotes", "triple quotes read as double quotes"
local KEY, VALUE = "quotes put round a key", "quotes put round a value"
local PYTHON, UNDEFINED = "Python literal (True, False, None) read as JSON", "undefined read as null"
local NOT_FINITE, NUMBER = "NaN or Infinity read as null", "number written as JSON has it"
local BREAK, CONTROL = "line break in a string escaped", "control character in a string escaped"
local ESCAPE, WRONG = "escape written as JSON has it", "wrong escape read as text"
local HALF, BYTES = "half of a surrogate pair replaced", "bytes that are no UTF-8 replaced"
local BRACE, BRACKET = "missing } put in", "missing ] put in"
local TO_BRACE, TO_BRACKET = "] read as }", "} read as ]"
local CUT_STRING, CUT_KEY = "cut string closed", "cut key left out"
local CUT_NUMBER, NO_NUMBER = "cut number read as far as it goes", "cut number left out"
local CUT_LITERAL, NO_VALUE = "cut literal completed", "key without a value left out"
local NULL, JOINED, UNCLOSED = "missing value read as null", "strings joined by + made one", "unclosed string closed"
local DOUBLED, ELLIPSIS = "doubled braces read as single", "ellipsis left out"
local THINKING, BOM = "thinking block left out", "byte order mark left out"
local MARKDOWN, BOLD = "Markdown round the JSON left out", "Markdown bold left out"

local function list(...) return table.concat({ ... }, "; ") end

local function twice(what, n) return ("%s, %d times"):format(what, n or 2) end

--- Repairs without their places.
local function placeless(repairs)
  local out = {}
  for i, what in ipairs(repairs) do out[i] = what:gsub(", first at byte %d+$", ""):gsub(", at byte %d+$", "") end
  return table.concat(out, "; ")
end

--- Checks every row, and names the text where one differs.
local function corpus(name, rows, options)
  test("json.repair: " .. name, function(t)
    for _, row in ipairs(rows) do
      local value, repairs = json.repair(row[1], options)
      local got = value == nil and repairs.kind .. ": " .. repairs.message
        or ("%s | %s"):format(json.encode(value), placeless(repairs))
      t.eq(("%s\n=> %s"):format(row[1], got), ("%s\n=> %s | %s"):format(row[1], row[2], row[3] or ""))
    end
  end)
end

test("json.repair: each repair says the byte of the first of its kind", function(t)
  for _, row in ipairs {
    { "{'a': 1,}", SINGLE .. ", at byte 2; " .. TRAILING .. ", at byte 8" },
    { '{"a":[1,2,],"b":{"x":1,}}', TRAILING .. ", 2 times, first at byte 10" },
    { '\u{FEFF}{"a":1,}', "byte order mark left out, at byte 1; trailing comma left out, at byte 10" },
    { '<think>x</think>{"a":1,}', "thinking block left out, at byte 1; trailing comma left out, at byte 23" },
    { 'Sure: {"a": 1 "b": 2} ok', "text before the JSON left out, at byte 1; missing comma put in, at byte 15; "
      .. "text after the JSON left out, at byte 23" },
    { '"a": 1, "b": 2,}', "missing { put in, at byte 1; trailing comma left out, at byte 15" },
    { '{"a":"x\\qy"}', "wrong escape read as text, at byte 8" }, { '{"a":"\\ud83d"}',
      "half of a surrogate pair replaced, at byte 7" },
    { '{"a":"x\ty"}', "control character in a string escaped, at byte 8" },
    { '{&quot;a&quot;:1,}', "HTML entities read as what they stand for, at byte 2; trailing comma left out" },
  } do
    local _, repairs = json.repair(row[1])
    t.eq(table.concat(repairs, "; "), row[2], row[1])
  end
end)

corpus("strict JSON is left as it is", {
  { '{"a":1}', '{"a":1}' }, { "[]", "[]" }, { "{}", "{}" }, { ' {"b":2, "a":[1,2]} ', '{"b":2,"a":[1,2]}' }, { "null", "null" },
  { "true", "true" }, { "false", "false" }, { '"x"', '"x"' }, { "-1.5e3", "-1500.0" }, { "9007199254740993", "9007199254740993" },
  { '{"url":"http://x/y","c":"/* no */ # // comment"}', '{"url":"http://x/y","c":"/* no */ # // comment"}' },
  { '{"md":"```json\\n{\\"a\\": 1,}\\n```"}', '{"md":"```json\\n{\\"a\\": 1,}\\n```"}' },
  { '["it\'s", "“q”", "True", "a, \\"b\\": c", "<think>"]', '["it\'s","“q”","True","a, \\"b\\": c","<think>"]' },
})

corpus("code fences", {
  { '```json\n{"a":1}\n```', '{"a":1}', FENCE },
  { '```\n[1,2]\n```', "[1,2]", FENCE },
  { '```json\n{"a":1}', '{"a":1}', FENCE },
  { '```JSON5\n{a:1}\n```', '{"a":1}', list(FENCE, KEY) },
  { '{"a":1}\n```', '{"a":1}', FENCE },
  { 'Here:\n```json\n{"a":1}\n```\nDone.', '{"a":1}', list(FENCE, BEFORE, AFTER) },
  { '```json\n{"code":"```py\\nx\\n```"}\n```', '{"code":"```py\\nx\\n```"}', FENCE },
  { 'Not {"long": "object that is no answer"} but\n```json\n{"a":1}\n```',
  '{"a":1}', list(FENCE, BEFORE, "one of 2 values taken") },
  { '```python\nx = [1,2,3,4,5,6,7,8]\n```\n```json\n{"a":1}\n```', '{"a":1}', list(FENCE, BEFORE, "one of 2 values taken") },
  { "```json\n'x'\n```", '"x"', list(FENCE, SINGLE) },
  { '~~~\n{"a":1}\n~~~', '{"a":1}', twice(MARKDOWN) },
})

corpus("prose before and behind", {
  { 'Sure! {"a":1}', '{"a":1}', BEFORE },
  { '{"a":1} Hope this helps!', '{"a":1}', AFTER },
  { 'The answer is {"a":1}, as asked.', '{"a":1}', list(BEFORE, AFTER) },
  { 'See [1] and [the] {name}: {"a":1}', '{"a":1}', list(BEFORE, "one of 2 values taken") },
  { 'use {x | x > 0} then {"a":2}', '{"a":2}', BEFORE },
  { '**{"a":1}**', '{"a":1}', twice(MARKDOWN) },
  { '`{"a":1}`', '{"a":1}', twice(MARKDOWN) },
  { '> {"a":1}', '{"a":1}', MARKDOWN },
  { '<answer>{"a":1}</answer>', '{"a":1}', list(BEFORE, AFTER) },
  { '{"a":1}}', '{"a":1}', "extra closing bracket left out" },
  { '{"a":1}\n]}', '{"a":1}', "extra closing bracket left out" },
  { '{"a": {"x": 1}\n\nI hope this helps: yes!', '{"a":{"x":1}}', list(BRACE, AFTER) },
  { 'x = {"a":1};', '{"a":1}', BEFORE },
  { 'Result: {city: Oslo, temp: 5}', '{"city":"Oslo","temp":5}', list(BEFORE, twice(KEY), VALUE) },
  { 'The items are [1, 2, 3].', "[1,2,3]", list(BEFORE, AFTER) },
})

corpus("thinking, and bytes before the text", {
  { '<think>maybe {"x":1}</think>{"a":1}', '{"a":1}', THINKING },
  { 'I think {"x":1}\n</think>\n\n{"a":1}', '{"a":1}', THINKING },
  { '<thinking>[1]</thinking>\n```json\n{"a":1,}\n```', '{"a":1}', list(THINKING, FENCE, TRAILING) },
  { '{"a":"</think>",}', '{"a":"</think>"}', TRAILING },
  { '\u{FEFF}{"a":1}', '{"a":1}', BOM },
  { '\u{FEFF}{"a":1,}', '{"a":1}', list(BOM, TRAILING) },
  { '{\u{A0}"a":\u{200B} 1}', '{"a":1}', twice("odd white space left out") },
})

corpus("commas", {
  { '{"a":1,}', '{"a":1}', TRAILING }, { "[1,2,]", "[1,2]", TRAILING }, { '[{"a":1,},]', '[{"a":1}]', twice(TRAILING) },
  { "[1,,2]", "[1,2]", EXTRA }, { "[,1]", "[1]", EXTRA }, { '{,"a":1}', '{"a":1}', EXTRA },
  { '{"a":1,,"b":2}', '{"a":1,"b":2}', EXTRA }, { "[1,,]", "[1]", list(EXTRA, TRAILING) },
  { "[1 2 3]", "[1,2,3]", twice(COMMA) }, { '["a" "b"]', '["a","b"]', COMMA }, { '["a"\n"b"]', '["a","b"]', COMMA },
  { '{"a":1 "b":2}', '{"a":1,"b":2}', COMMA }, { '{"a":"x" "b":"y"}', '{"a":"x","b":"y"}', COMMA },
  { '{"a":"x"\n"b":[1]\n"c":{}}', '{"a":"x","b":[1],"c":{}}', twice(COMMA) },
  { '[{"a":1}{"a":2}]', '[{"a":1},{"a":2}]', COMMA }, { '[[1][2]]', "[[1],[2]]", COMMA },
  { '{"a":1;"b":2}', '{"a":1,"b":2}', "; read as a comma" }, { '["a";"b"]', '["a","b"]', "; read as a comma" },
})

corpus("colons", {
  { '{"a" 1}', '{"a":1}', COLON }, { '{"a" "b"}', '{"a":"b"}', COLON }, { '{"a" {"b":1}}', '{"a":{"b":1}}', COLON },
  { '{"a"=1}', '{"a":1}', "= read as a colon" }, { '{"a"=>1}', '{"a":1}', "= read as a colon" },
  { "{a = 1, b = 'x'}", '{"a":1,"b":"x"}', list(twice(KEY), twice("= read as a colon"), SINGLE) },
  { '{"a"::1}', '{"a":1}', "extra colon left out" },
  { '{"a":,"b":2}', '{"a":null,"b":2}', NULL }, { '{"a":}', '{"a":null}', NULL },
})

corpus("quotes of other kinds", {
  { "{'a':'b'}", '{"a":"b"}', twice(SINGLE) }, { "['it's', 'ok']", '["it\'s","ok"]', list(twice(SINGLE), INNER) },
  { "{'a': 'say \"hi\"'}", '{"a":"say \\"hi\\""}', twice(SINGLE) }, { "{'a': \"it's\"}", '{"a":"it\'s"}', SINGLE },
  { "{'a': 'don\\'t'}", '{"a":"don\'t"}', list(twice(SINGLE), WRONG) },
  { "{“a”: “b”}", '{"a":"b"}', twice(CURLY) }, { "{„a“: ‘b’}", '{"a":"b"}', twice(CURLY) },
  { "{“a\": \"b\"}", '{"a":"b"}', CURLY }, { "[«a»]", '["a"]', CURLY }, { '["“a”"]', '["“a”"]' },
  { "{`a`: `b`}", '{"a":"b"}', twice(BACK) }, { "{a: `x ${y}\nz`}", '{"a":"x ${y}\\nz"}', list(KEY, BACK, BREAK) },
  { '{"a": """x "y" z""", "b": 1}', '{"a":"x \\"y\\" z","b":1}', TRIPLE },
  { "{'a': '''it's'''}", '{"a":"it\'s"}', list(SINGLE, TRIPLE) },
  { "{&quot;a&quot;: &quot;b &amp; c&quot;}", '{"a":"b & c"}', "HTML entities read as what they stand for" },
  { '{"a": "&quot;b&quot;",}', '{"a":"&quot;b&quot;"}', TRAILING },
  { '{\\"a\\": \\"b\\"}', '{"a":"b"}', "escaped quotes read as quotes" },
})

corpus("keys and words without quotes", {
  { "{a:1}", '{"a":1}', KEY }, { "{a_b-c:1, $d:2}", '{"a_b-c":1,"$d":2}', twice(KEY) }, { "{1:2}", '{"1":2}', KEY },
  { "{true: 1}", '{"true":1}', KEY }, { '{"a":1, b:2}', '{"a":1,"b":2}', KEY }, { "{größe: 1}", '{"größe":1}', KEY },
  { '{"city": Oslo}', '{"city":"Oslo"}', VALUE }, { '{"city": New York, "n": 1}', '{"city":"New York","n":1}', VALUE },
  { '{"city": Oslo\n}', '{"city":"Oslo"}', VALUE }, { '{"city": Oslo "n": 1}', '{"city":"Oslo","n":1}', list(VALUE, COMMA) },
  { "[red, green]", '["red","green"]', twice(VALUE) }, { '{"t": 12:30, "d": 2024-01-05}',
  '{"t":"12:30","d":"2024-01-05"}', twice(VALUE) },
  { '{"n": 10 km}', '{"n":"10 km"}', VALUE }, { '{"p": 5%, "q": $3}', '{"p":"5%","q":"$3"}', twice(VALUE) },
  { '{"u": http://x.y/z, "b": 1}', '{"u":"http://x.y/z","b":1}', VALUE },
  { '{"d": new Date("2020-01-01"), "b": 1}', '{"d":"new Date(\\"2020-01-01\\")","b":1}', VALUE },
  { '{"_id": ObjectId("ab")}', '{"_id":"ObjectId(\\"ab\\")"}', VALUE },
})

corpus("literals of other languages", {
  { '{"a":True,"b":False,"c":None}', '{"a":true,"b":false,"c":null}', twice(PYTHON, 3) }, { "True", "true", PYTHON },
  { '{"a":undefined}', '{"a":null}', UNDEFINED }, { '[nil]', "[null]", UNDEFINED }, { '[NaN, 1]', "[null,1]", NOT_FINITE },
  { '{"a":Infinity,"b":-Infinity}', '{"a":null,"b":null}', twice(NOT_FINITE) },
  { "[TRUE, NULL]", "[true,null]", twice("literal in capitals read as JSON") },
  { '{"a": Trueish}', '{"a":"Trueish"}', VALUE }, { '{"a": true or false}', '{"a":"true or false"}', VALUE },
})

corpus("numbers", {
  { "[.5]", "[0.5]", NUMBER }, { "[-.5]", "[-0.5]", NUMBER }, { "[5.]", "[5.0]", NUMBER }, { "[+1]", "[1]", NUMBER },
  { "[01]", "[1]", NUMBER }, { "[-007]", "[-7]", NUMBER }, { "[1_000]", "[1000]", NUMBER }, { "[0x1F]", "[31]", NUMBER },
  { "[+.5e1]", "[5.0]", NUMBER }, { "[01.50]", "[1.5]", NUMBER }, { '{"a":1,234}', '{"a":1234}', NUMBER },
  { '{"a":1,234,567.5,"b":1}', '{"a":1234567.5,"b":1}', NUMBER }, { "[1,234]", "[1,234]" },
  { '{"a":1,234:5}', '{"a":1,"234":5}', KEY }, { "[1e999]", '["1e999"]', "" }, { "[1e999,]", '["1e999"]', TRAILING },
  { "[01e999]", "[null]", "number out of range read as null" },
  { "[12345678901234567890,]", '["12345678901234567890"]', TRAILING }, { "[1.2.3]", '["1.2.3"]', VALUE },
  { "[9007199254740993,]", "[9007199254740993]", TRAILING }, { "[-0.0,1e3,-1E-2,]", "[-0.0,1000.0,-0.01]", TRAILING }, { ".5",
  "0.5", NUMBER },
})

corpus("comments, ellipses, bold", {
  { '{"a":1 // one\n}', '{"a":1}', COMMENT }, { '{"a":1, # one\n"b":2}', '{"a":1,"b":2}', COMMENT },
  { '{/* x */"a":/* y */1}', '{"a":1}', twice(COMMENT) }, { '// first\n{"a":1}', '{"a":1}', BEFORE },
  { '{"a":"x", // why\n"b":"y" /* and */}', '{"a":"x","b":"y"}', twice(COMMENT) }, { "[1, /* open", "[1]", list(COMMENT, BRACKET) },
  { "[red // a colour\n]", '["red"]', list(VALUE, COMMENT) },
  { "[1,2,...]", "[1,2]", ELLIPSIS }, { "[1, ..., 9]", "[1,9]", ELLIPSIS }, { '{"a":1, ...}', '{"a":1}', ELLIPSIS },
  { '["a", …]', '["a"]', ELLIPSIS }, { '{"a":"x", ..., "b":"y"}', '{"a":"x","b":"y"}', ELLIPSIS },
  { '{**"a"**: 1}', '{"a":1}', twice(BOLD) }, { '{"a": **"x"**}', '{"a":"x"}', twice(BOLD) },
})

corpus("inside strings", {
  { '{"a":"x\ny\tz"}', '{"a":"x\\ny\\tz"}', list(BREAK, CONTROL) }, { '["\0"]', '["\\u0000"]', CONTROL },
  { [[{"a":"x\_y"}]], '{"a":"x_y"}', WRONG }, { [[{"a":"it\'s"}]], '{"a":"it\'s"}', WRONG },
  { [[{"re":"\d+\.\w"}]], '{"re":"\\\\d+.\\\\w"}', twice(WRONG, 3) }, { '["\\x41\\u{1F600}"]', '["A😀"]', twice(ESCAPE) },
  { '["\\u12"]', '["\\\\u12"]', WRONG }, { '["\\ud83d"]', '["\u{FFFD}"]', HALF }, { '["\\ude00x"]', '["\u{FFFD}x"]', HALF },
  { '["\xFF\xE2\x82 \xC3\xA9",]', '["\u{FFFD}\u{FFFD}\u{FFFD} é"]', list(BYTES, TRAILING) },
  { '{"\xFF":1}', '{"\u{FFFD}":1}', BYTES },
  { '["a" + "b"]', '["ab"]', JOINED }, { '{"a":"x" +\n"y" + \'z\', "b":1}', '{"a":"xyz","b":1}', list(twice(JOINED), SINGLE) },
})

corpus("quotes inside strings, and strings never closed", {
  { '{"t":"he said "hi" to me"}', '{"t":"he said \\"hi\\" to me"}', twice(INNER) },
  { '{"t":"he said "hi", and left","b":1}', '{"t":"he said \\"hi\\", and left","b":1}', twice(INNER) },
  { '["a "quoted" word", "b"]', '["a \\"quoted\\" word","b"]', twice(INNER) },
  { '{"t":""hi" he said"}', '{"t":"\\"hi\\" he said"}', twice(INNER) },
  { '{"code":"a["x"]","b":1}', '{"code":"a[\\"x\\"]","b":1}', twice(INNER) },
  { '{"html":"<a href="x">y</a>"}', '{"html":"<a href=\\"x\\">y</a>"}', twice(INNER) },
  { '{"t":"size 5" wide","b":1}', '{"t":"size 5\\" wide","b":1}', INNER },
  { '{"a":"x, "b":1}', '{"a":"x","b":1}', UNCLOSED }, { '{"a":"x\n"b":1}', '{"a":"x","b":1}', list(BREAK, UNCLOSED, COMMA) },
  { '{"p":"C:\\dir\\", "b":1}', '{"p":"C:\\\\dir\\\\","b":1}', list(WRONG, UNCLOSED) },
  { '{"a":"x\n}', '{"a":"x"}', list(BREAK, UNCLOSED) },
})

corpus("brackets", {
  { '{"a":[1,2', '{"a":[1,2]}', list(CUT_NUMBER, BRACKET, BRACE) }, { '{"a":[1,2}', '{"a":[1,2]}', BRACKET },
  { '{"a":{"b":1}', '{"a":{"b":1}}', BRACE }, { '[{"a":1]', '[{"a":1}]', BRACE }, { '{"a":[1,2},"b":3}',
  '{"a":[1,2],"b":3}', TO_BRACKET },
  { '[{"a":1],{"b":2}]', '[{"a":1},{"b":2}]', TO_BRACE }, { '{"a":1]', '{"a":1}', TO_BRACE }, { "[1,2}", "[1,2]", TO_BRACKET },
  { '{"o":{"a":[1,2},"b":3}', '{"o":{"a":[1,2]},"b":3}', BRACKET }, { '{"a":[1,2}}', '{"a":[1,2]}', TO_BRACKET },
  { '{"a":1},"b":2}', '{"a":1,"b":2}', "stray closing bracket left out" }, { '"a":1,"b":2}', '{"a":1,"b":2}', "missing { put in" },
  { '{{"a":{{"b":1}}}}', '{"a":{"b":1}}', twice(DOUBLED) }, { '{{"a":1}', '{"a":1}', DOUBLED },
  { '{{"a":1},{"a":2}}', '[{"a":1},{"a":2}]', "braces round a list read as brackets" },
  { '{"a":1 @ "b":2}', '{"a":"1 @","b":2}', list(VALUE, COMMA) }, { '{"a":{} @,"b":2}', '{"a":{},"b":2}',
  "stray characters left out" },
  { '{"a"}', '{"a":null}', NULL },
})

corpus("texts that are cut", {
  { "{", "{}", BRACE }, { "[", "[]", BRACKET }, { '{"', "{}", list(CUT_KEY, BRACE) }, { '{"a', "{}", list(CUT_KEY, BRACE) },
  { '{"a"', "{}", list(NO_VALUE, BRACE) }, { '{"a":', "{}", list(NO_VALUE, BRACE) }, { '{"a":"',
  '{"a":""}', list(CUT_STRING, BRACE) },
  { '{"a":"x', '{"a":"x"}', list(CUT_STRING, BRACE) }, { '{"a":"x\\', '{"a":"x"}', list(CUT_STRING, BRACE) },
  { '{"a":"x\\u00', '{"a":"x"}', list(CUT_STRING, BRACE) }, { '{"a":"x\\ud83d\\ude', '{"a":"x"}', list(CUT_STRING, BRACE) },
  { '{"a":"x\xF0\x9F\x98', '{"a":"x"}', list(CUT_STRING, BRACE) }, { '{"a":t', '{"a":true}', list(CUT_LITERAL, BRACE) },
  { '{"a":nul', '{"a":null}', list(CUT_LITERAL, BRACE) }, { '{"a":12', '{"a":12}', list(CUT_NUMBER, BRACE) },
  { '{"a":1.', '{"a":1}', list(CUT_NUMBER, BRACE) }, { '{"a":1e', '{"a":1}', list(CUT_NUMBER, BRACE) }, { '{"a":-',
  "{}", list(NO_NUMBER, BRACE) },
  { '{"a":1,', '{"a":1}', BRACE }, { '[1,"x"', '[1,"x"]', BRACKET }, { '{"a":[{"b":"c"},',
  '{"a":[{"b":"c"}]}', list(BRACKET, BRACE) },
  { 'Sure: {"a":"x', '{"a":"x"}', list(BEFORE, CUT_STRING, BRACE) }, { '"ab', '"ab"', CUT_STRING }, { '{"a":"x"\n```',
  '{"a":"x"}', list(BRACE, FENCE) }, { '["x",\n```\nbye', '["x"]', list(BRACKET, FENCE, AFTER) },
})

corpus("of several values the longest, else the first", {
  { '{"a":1}\n{"a":2}', '{"a":1}', "one of 2 values taken" }, { '{"a":1}\n{"a":22}', '{"a":22}', "one of 2 values taken" },
  { '[1,2] and {"a":1, "b":2}', "[1,2]", list(AFTER, "one of 2 values taken") },
  { 'first [1,2] then {"a":1, "b":2}', '{"a":1,"b":2}', list(BEFORE, "one of 2 values taken") },
})

corpus("want prefers objects", {
  { 'A list [1,2,3,4,5,6,7,8] and {"a":1}', '{"a":1}', list(BEFORE, "one of 2 values taken") }, { "[1,2]", "[1,2]" },
}, { want = "object" })

corpus("want prefers arrays", {
  { '{"a":1,"b":2} then [1]', "[1]", list(BEFORE, "one of 2 values taken") }, { 'So: {"a":1}', '{"a":1}', BEFORE },
}, { want = "array" })

corpus("all gives every value in a list", {
  { '{"a":1}\n{"a":2}\n', '[{"a":1},{"a":2}]', "2 values read from one text" }, { '{"a":1}', '[{"a":1}]' }, { "1", "[1]" },
  { "{'a':1}\n{a:2,}\n", '[{"a":1},{"a":2}]', list(SINGLE, KEY, TRAILING, "2 values read from one text") },
  { "'x'", '["x"]', SINGLE },
  { 'one {"a":1} two [2,3] three', '[{"a":1},[2,3]]', list(BEFORE, AFTER, "2 values read from one text") },
}, { all = true })

test("json.repair: a text without JSON gives nil and an error that says what it is", function(t)
  for _, text in ipairs { "", "   ", "Sorry, I cannot.", "[the] answer", "{name}", "<think>hm {\"a\":1}", "]", "```\n```", "no",
  "\xFF" } do
    local value, err = json.repair(text)
    t.eq(value, nil, text)
    t.eq(err.kind, "invalid_output")
    t.ok(math.type(err.offset) == "integer")
  end
  local _, err = json.repair "Sorry, I cannot\nanswer that in JSON, as far as I know."
  t.eq(err.message, 'no JSON in the text (54 bytes): "Sorry, I cannot answer that in JSON, as ..."')
  t.match(select(2, json.repair "<think>hm").message, "inside its thinking")
end)

test("json.repair: nesting and size have a limit", function(t)
  local deep = ("["):rep(256) .. ("]"):rep(256)
  t.ok(json.repair(deep))
  local value, err = json.repair(("["):rep(257))
  t.eq(value, nil)
  t.eq(err.message, "nested deeper than 256 at byte 257")
  t.eq(err.offset, 257)
  t.eq(select(2, json.repair("{'a':{'b':{}}}", { max_depth = 2 })).message, "nested deeper than 2 at byte 11")
  t.eq(select(2, json.repair('{"a":1,}', { max_size = 7 })).message, "a text of 8 bytes, more than 7")
  t.ok(json.repair('{"a":1}', { max_size = 7 }))
end)

test("json.repair: keys keep their order, arrays their mark, integers stay exact", function(t)
  local value = json.repair '{"b":1,"a":{"z":9007199254740993,"y":[]},"b":2,}'
  t.eq(json.encode(value), '{"b":2,"a":{"z":9007199254740993,"y":[]}}')
  t.ok(json.is_array(value.a.y))
  t.eq(math.type(value.a.z), "integer")
  t.ok(json.is_array((json.repair("{'a':1}", { all = true }))))
end)

test("json.repair: what it is asked is checked", function(t)
  t.raises("argument", json.repair, nil)
  t.raises("argument", json.repair, {})
  t.raises("argument", json.repair, "{}", { al = true })
  t.raises("argument", json.repair, "{}", { want = "list" })
  t.raises("argument", json.partial, 1)
end)

test("json.repair: a long row of digits is read in time that grows with it", function(t)
  for _, digits in ipairs { ("1"):rep(100000), ("1_"):rep(50000), ("1."):rep(50000), "0" .. ("1e"):rep(50000) } do
    for _, text in ipairs { "[" .. digits .. "x", "[" .. digits .. "x]", "{" .. digits, digits .. "x" } do
      t.ok(pcall(json.repair, text))
    end
  end
end)
