-- Bytes of a terminal to keys: whole sequences only, however the bytes are cut.

local test = require "stoke.test"
local keys = require "stoke.term.keys"

--- What the keys are, in short: names, "text" in quotes, <paste>.
local function names(list)
  local out = {}
  for i, k in ipairs(list) do out[i] = k.key or (k.text and ("%q"):format(k.text)) or "<" .. k.paste .. ">" end
  return table.concat(out, " ")
end

local function all(bytes) return names(keys.new():feed(bytes)) end

--- The same bytes one by one.
local function bit_by_bit(bytes)
  local decoder, out = keys.new(), {}
  for i = 1, #bytes do
    for _, k in ipairs(decoder:feed(bytes:sub(i, i))) do out[#out + 1] = k end
  end
  return names(out)
end

test("keys: what is typed is text, control characters have names", function(t)
  t.eq(all "ab c", '"ab c"')
  t.eq(all "\1\4\r\n\t\127\8\31\0", "ctrl-a ctrl-d enter enter tab backspace backspace ctrl-_ ctrl-space")
end)

test("keys: the sequences of xterm, the linux console, tmux and kitty", function(t)
  local rows = { { "\27[A", "up" }, { "\27OA", "up" }, { "\27[D", "left" }, { "\27[H", "home" }, { "\27[4~", "end" },
    { "\27[1;5C", "ctrl-right" }, { "\27[1;3D", "alt-left" }, { "\27[3~", "delete" }, { "\27[3;5~", "ctrl-delete" },
    { "\27[Z", "shift-tab" }, { "\27b", "alt-b" }, { "\27\127", "alt-backspace" }, { "\27\r", "alt-enter" },
    { "\27[13;2u", "shift-enter" }, { "\27[5~", "pageup" }, { "\27é", "alt-é" } }
  for _, row in ipairs(rows) do
    t.eq(all(row[1]), row[2])
    t.eq(bit_by_bit(row[1]), row[2], "one byte at a time")
  end
end)

test("keys: a sequence that nobody knows is dropped whole", function(t)
  t.eq(all "\27[?62;c" .. all "\27[200;3;1Mx", '"x"')
  t.eq(all "\27[1;\1x", 'ctrl-a "x"', "what cannot belong to it is a key")
end)

test("keys: a character is whole before it is a key", function(t)
  t.eq(bit_by_bit "é日🦙", '"é" "日" "🦙"')
  t.eq(all "\xC3(", '"\u{FFFD}" "("')
  t.eq(all "\xFF", '"\u{FFFD}"')
end)

test("keys: a lone ESC waits, and is Escape once its time is up", function(t)
  local decoder = keys.new()
  t.eq(names(decoder:feed "\27"), "")
  t.ok(decoder:waiting())
  t.eq(names(decoder:flush()), "escape")
  t.ok(not decoder:waiting())
  t.eq(names(decoder:feed "x"), '"x"')
end)

test("keys: ESC and what follows in time are one key", function(t)
  local decoder = keys.new()
  decoder:feed "\27"
  t.eq(names(decoder:feed "f"), "alt-f")
  decoder:feed "\27["
  t.ok(decoder:waiting())
  t.eq(names(decoder:feed "A"), "up")
end)

test("keys: Alt-[ is what is left of a sequence that never came", function(t)
  local decoder = keys.new()
  decoder:feed "\27["
  t.eq(names(decoder:flush()), "alt-[")
end)

test("keys: a paste is one key, its lines end in LF, and nothing in it drives the terminal", function(t)
  t.eq(all "\27[200~one\r\ntwo\rthree\27[31m\3\27[201~x", '<one\ntwo\nthree[31m> "x"')
  t.eq(bit_by_bit "\27[200~a\tb\27[201~", "<a\tb>")
end)

test("keys: an ESC inside a paste is no key", function(t)
  local decoder = keys.new()
  decoder:feed "\27[200~abc\27"
  t.ok(not decoder:waiting())
  t.eq(names(decoder:flush()), "")
  t.eq(names(decoder:feed "[201~"), "<abc>")
end)
