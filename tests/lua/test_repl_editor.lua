-- The line editor as a person sees it: keys in, and the screen that a small terminal (screen.lua) shows after them. The cursor is
-- shown as a bar.

local test = require "stoke.test"
local cells = require "stoke.term.cells"
local editors = require "stoke.term.editor"
local keys = require "stoke.term.keys"
local render = require "stoke.term.render"
local screens = require "stoke.term.screen"
local tokens = require "stoke.repl.tokens"
local new_screen = require "screen"

local Typist = {}
Typist.__index = Typist

--- An editor on a terminal of this size.
local function typist(options, columns, rows)
  options = options or {}
  options.prompt = options.prompt or "> "
  options.more = options.more or ". "
  return setmetatable({ editor = editors.new(options), decoder = keys.new(), columns = columns or 40, rows = rows or 10,
    painter = screens.new(columns or 40), screen = new_screen(columns or 40, rows or 10) }, Typist)
end

function Typist:draw()
  self.screen:feed(self.painter:draw(render.frame(self.editor, self.columns, self.rows)))
end

--- Type, and what the editor said last; `finish` ends a lone ESC.
function Typist:type(bytes)
  local said
  local list = self.decoder:feed(bytes)
  for _, key in ipairs(self.decoder:flush()) do list[#list + 1] = key end
  for _, key in ipairs(list) do
    said = self.editor:handle(key)
    self:draw()
  end
  return said
end

function Typist:shows() return self.screen:text() end
function Typist:cursor() return self.screen:at_cursor() end

--- The line with its cursor after these keys.
local function line(bytes, options)
  local one = typist(options)
  one:type(bytes)
  return one:cursor()
end

local LEFT, RIGHT, UP, DOWN, ESC = "\27[D", "\27[C", "\27[A", "\27[B", "\27"

test("editor: the cursor moves over characters and words, to the ends of the line", function(t)
  t.eq(line("abc" .. LEFT), "> ab|c")
  t.eq(line("abc\1"), "> |abc")
  t.eq(line("abc\1\5"), "> abc|")
  t.eq(line("abc\1" .. RIGHT), "> a|bc")
  t.eq(line("one two.three\27b"), "> one two.|three")
  t.eq(line("one two.three\27b\27b\27f"), "> one two|.three")
  t.eq(line("one two\27[1;5D"), "> one |two")
end)

test("editor: cutting, and what was cut comes back", function(t)
  t.eq(line "abc\127", "> ab|")
  t.eq(line("abc" .. LEFT .. LEFT .. "\27[3~"), "> a|c")
  t.eq(line "one two\23", "> one |")
  t.eq(line "one two\21x\25", "> xone two|")
  t.eq(line("one two\1\11\25\25"), "> one twoone two|")
  t.eq(line("a b c\23\23\25"), "> a b c|", "killed in a row, yanked as one")
  t.eq(line("one two\1\27d"), "> | two")
  t.eq(line "ab\20", "> ba|")
end)

test("editor: undo takes back one change at a time", function(t)
  t.eq(line "hello world\31", "> |", "typed in a row is one change")
  local one = typist()
  one:type "one"
  one:type "\23"
  one:type "\31"
  t.eq(one:cursor(), "> one|")
  one:type "\31"
  t.eq(one:cursor(), "> |")
  t.eq(one:type "\31", "bell")
end)

test("editor: wide characters and marks take the columns they take", function(t)
  t.eq(line("日本" .. LEFT), "> 日|本")
  t.eq(line("日本" .. LEFT .. "\127"), "> |本")
  t.eq(line("e\u{301}x" .. LEFT .. "\127"), "> |x", "a letter goes with its mark")
  t.eq(line("ab" .. LEFT .. "🦙"), "> a🦙|b")
end)

test("editor: long lines wrap, and a wide character never stands astride", function(t)
  local one = typist({}, 10)
  one:type "abcdefghijk"
  t.eq(one:shows(), "> abcdefg\nhijk")
  one:type "\1"
  t.eq(one:cursor(), "> |abcdefg")
  local wide = typist({}, 10)
  wide:type "日本語日本語"
  t.eq(wide:shows(), "> 日本語\n日本語")
  wide:type "\127\127\127"
  t.eq(wide:shows(), "> 日本語", "the row that is no more is cleared")
  t.eq(wide:cursor(), "> 日本語|")
end)

test("editor: an entry that is not finished goes on in the next line", function(t)
  local one = typist { finished = function(text) return text:find "end" ~= nil end }
  t.eq(one:type "do\r", nil)
  one:type "  x()"
  t.eq(one:shows(), "> do\n.   x()")
  one:type "\rend"
  t.eq(one:type "\r", "submit")
  t.eq(one.editor:text(), "do\n  x()\nend")
end)

test("editor: up and down go through the lines of an entry, then through the history", function(t)
  local one = typist { history = { "old one", "old two" } }
  one:type "\27[200~first\nsecond\27[201~"
  one:type(UP)
  t.eq(one:cursor(), "> first|")
  one:type(UP)
  t.eq(one:shows(), "> old two")
  one:type(UP)
  t.eq(one:shows(), "> old one")
  t.eq(one:type(UP), "bell")
  one:type(DOWN .. DOWN)
  t.eq(one:shows(), "> first\n. second", "what was being written is there again")
end)

test("editor: a paste of 200 lines is one entry, of which the terminal shows what fits", function(t)
  local lines = {}
  for i = 1, 200 do lines[i] = ("line(%d)"):format(i) end
  local text = table.concat(lines, "\n")
  local one = typist({}, 40, 10)
  one:type("\27[200~" .. text .. "\n\27[201~")
  t.eq(one.editor:text(), text)
  t.eq(select(2, one:shows():gsub("\n", "\n")), 8)
  t.eq(one:cursor(), ". line(200)|")
  for _ = 1, 50 do one:type(UP) end
  t.eq(one:cursor(), ". line(150)|")
  one:type "X"
  t.ok(one.editor:text():find("line(150)X", 1, true))
  t.eq(one:cursor(), ". line(150)X|")
end)

test("editor: Ctrl-R finds older entries as one types", function(t)
  local one = typist { history = { "print(1)", "x = 2", "print(3)" } }
  one:type "\18pri"
  t.eq(one:cursor(), "search `pri': |print(3)")
  one:type "\18"
  t.eq(one:cursor(), "search `pri': |print(1)")
  t.eq(one:type "\18", "bell")
  t.match(one:shows(), "nothing")
  one:type "\7"
  t.eq(one:cursor(), "> |", "Ctrl-G: as it was")
  one:type("\18x =" .. ESC)
  t.eq(one:cursor(), "> |x = 2")
  one:type(UP)
  t.eq(one:shows(), "> print(1)", "the history goes on from there")
end)

test("editor: Enter in a search runs what was found", function(t)
  local one = typist { history = { "print(1)" } }
  t.eq(one:type "\18pri\r", "submit")
  t.eq(one.editor:text(), "print(1)")
end)

local function from_list(words)
  return function(before)
    local start, found = before:match "[%w.]*$", {}
    for _, word in ipairs(words) do
      if word:sub(1, #start) == start then found[#found + 1] = word end
    end
    return #before - #start + 1, found
  end
end

test("editor: TAB completes, and shows a list where there are several", function(t)
  local one = typist { complete = from_list { "sleep", "spawn", "state" } }
  one:type "x = sl\t"
  t.eq(one:cursor(), "> x = sleep|")
  one:type ", s\t"
  t.eq(one:shows(), "> x = sleep, s\nsleep  spawn  state")
  t.eq(one:cursor(), "> x = sleep, s|")
  one:type "p"
  t.eq(one:shows(), "> x = sleep, sp", "the next key takes the list away")
  t.eq(one:type "q\t", "bell")
end)

test("editor: a TAB that found nothing is done again when more is known", function(t)
  local words = {}
  local one = typist { complete = function(before) return from_list(words)(before) end }
  t.eq(one:type "sl\t", "bell")
  words[1] = "sleep"
  t.ok(one.editor:complete_again())
  t.eq(one.editor:text(), "sleep")
  one:type "q\tx"
  t.ok(not one.editor:complete_again(), "something else was typed since")
end)

test("editor: TAB at the begin of a line of an entry indents", function(t)
  local one = typist { complete = from_list { "sleep" } }
  one:type "\27[200~do\n\27[201~"
  one:type "\27\r\t"
  t.eq(one:cursor(), ".   |")
end)

test("editor: Ctrl-D ends at an empty prompt, and deletes elsewhere", function(t)
  local one = typist()
  t.eq(one:type "\4", "eof")
  one:type "ab\1\4"
  t.eq(one:cursor(), "> |b")
end)

test("editor: the parts of Lua are painted, and take no more room for it", function(t)
  local one = editors.new { prompt = "> ", text = "local s = 'x' -- 1",
    highlight = function(text) return tokens.list(text, true) end }
  local function paint(style, text) return "<" .. style .. ":" .. text .. ">" end
  t.eq(render.frame(one, 40, 10, paint).lines, { "> <magenta:local> s = <green:'x'> <dim:-- 1>" })
  t.eq(render.frame(one, 40, 10, paint).column, 20)
end)

test("screen: what others write goes above the line that is typed", function(t)
  local one = typist()
  one:type "half a li"
  one.screen:feed(one.painter:write "news\n")
  t.eq(one:shows(), "news\n> half a li")
  t.eq(one:cursor(), "> half a li|")
  one:type "ne"
  t.eq(one:shows(), "news\n> half a line")
end)

test("screen: a line without its end is kept, and goes on where it was", function(t)
  local one = typist({}, 20)
  one:type "typing"
  for _, token in ipairs { "Once ", "upon ", "a time ", "there was\n", "The end", ".\n" } do
    one.screen:feed(one.painter:write(token))
  end
  t.eq(one:shows(), "Once upon a time the\nre was\nThe end.\n> typing")
end)

test("screen: text that ends at the edge of the terminal goes on below it", function(t)
  local one = typist({}, 10)
  one:type "x"
  one.screen:feed(one.painter:write "0123456789")
  one.screen:feed(one.painter:write "abc\n")
  t.eq(one:shows(), "0123456789\nabc\n> x")
end)

test("screen: a question takes the line that was written for it", function(t)
  local one = typist()
  one:type "half"
  one.screen:feed(one.painter:write "Name? ")
  local tail, bytes = one.painter:take_tail()
  one.screen:feed(bytes)
  t.eq(tail, "Name? ")
  t.eq(one:shows(), "")
end)

test("screen: in another width the entry is drawn anew over what the terminal made of it", function(t)
  local one = typist({}, 40)
  one:type "0123456789012345678901234567"
  -- as a terminal wraps it when it becomes narrower
  one.screen.columns, one.columns = 16, 16
  one.screen.lines = { { "> 01234567890123" }, { "45678901234567" } }
  one.screen.row, one.screen.column = 2, 14
  one.screen:feed(one.painter:resize(16))
  one:draw()
  t.eq(one:shows(), "> 0123456789012\n345678901234567")
end)

test("screen: what somebody else writes goes above a line that has no end yet, however long, and leaves it whole", function(t)
  for _, half in ipairs { "half a ", "日本語 " .. ("word "):rep(6), ("x"):rep(20) } do
    for _, shown in ipairs { false, true } do
      local one = typist({}, 20, 10)
      if shown then one:type "abc" end
      one.screen:feed(one.painter:write(half))
      one.screen:feed(one.painter:above("tick 1\n", 10))
      one.screen:feed(one.painter:above("tick 2", 10))
      one.screen:feed(one.painter:write "line\n")
      local wanted = new_screen(20, 10)
      wanted:feed("tick 1\ntick 2\n" .. half .. "line\n" .. (shown and "> abc" or ""))
      t.eq(one:shows(), wanted:text())
    end
  end
end)

test("screen: one that is too long to be moved stays, and goes on in the next row", function(t)
  local one = typist({}, 20, 4)
  one.screen:feed(one.painter:write(("word "):rep(30)))
  one.screen:feed(one.painter:above("tick\n", 4))
  one.screen:feed(one.painter:write "more\n")
  t.match(one:shows(), "word\ntick\nmore$")
end)

test("screen: a full screen of output scrolls, and the line is below it", function(t)
  local one = typist({}, 20, 4)
  one:type "abc"
  for i = 1, 10 do one.screen:feed(one.painter:write(i .. "\n")) end
  t.match(one:shows(), "9\n10\n> abc$")
end)

--- What a terminal that knows nothing of the past shows of the same frame.
local function drawn_fresh(one, above)
  local painter, screen = screens.new(one.columns), new_screen(one.columns, one.rows)
  screen:feed(above)
  screen:feed(painter:draw(render.frame(one.editor, one.columns, one.rows)))
  return screen:text(), screen:at_cursor()
end

test("editor and screen: whatever is typed and written, what is seen is what there is", function(t)
  local pieces = { "a", "bc ", "日", "é", "e\u{301}", "🦙", "\9", "\1", "\5", "\2", "\6", "\11", "\21", "\23", "\25", "\20",
    "\31", "\127", "\27[3~", "\27b", "\27f", "\27d", UP, DOWN, LEFT, RIGHT, "\27\r", "\18", "\7", ESC,
    "\27[200~x\ny z\n\27[201~", "\12", "word(1) ",
    "\u{1F468}", "\u{200D}", "\u{1F3FD}", "\u{1F1F3}", "\u{1F1F4}", "\u{FE0F}", "1\u{FE0F}\u{20E3}", "\u{1112}", "\u{1161}" }
  local state = 12345
  local function random(n)
    state = (state * 1103515245 + 12345) & 0x7FFFFFFF
    return (state >> 8) % n + 1
  end
  for round = 1, 20 do
    local one = typist({ history = { "one", "two\nlines", ("long "):rep(20) }, complete = from_list { "alpha", "beta", "word" } },
      8 + random(30), 3 + random(8))
    local written = {}
    one:draw()
    for step = 1, 150 do
      if random(10) == 1 then
        written[#written + 1] = random(3) == 1 and ("news %d\n"):format(step) or ("token%d 日本 "):format(step)
        one.screen:feed(one.painter:write(written[#written]))
      else
        one:type(pieces[random(#pieces)])
      end
      local text, cursor = drawn_fresh(one, table.concat(written):gsub("[^\n]$", "%0\n"))
      t.eq({ one:cursor() }, { cursor }, ("round %d, step %d"):format(round, step))
      local editor = one.editor
      t.eq(editor.cells, cells.split(editor:text()), "the cells of a text do not depend on how it came about")
      t.ok(one:shows() == text, ("round %d, step %d:\n%s\n-- and not\n%s"):format(round, step, one:shows(), text))
    end
  end
end)

local FAMILY, THUMB = "\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}", "\u{1F44D}\u{1F3FD}"
local FLAG, HEART = "\u{1F1F3}\u{1F1F4}", "\u{2764}\u{FE0F}"
local HAN = "\u{1112}\u{1161}\u{11AB}" -- three jamo, one syllable
local KEYCAP, RAINBOW = "1\u{FE0F}\u{20E3}", "\u{1F3F3}\u{FE0F}\u{200D}\u{1F308}"

test("editor: what looks like one character is one: Backspace takes it whole, the cursor steps over it", function(t)
  for _, one in ipairs { FAMILY, THUMB, FLAG, HEART, HAN, KEYCAP, RAINBOW, "e\u{301}\u{323}", "\u{E01}\u{E34}" } do
    t.eq(line("a" .. one .. "\127"), "> a|", one)
    t.eq(line("a" .. one .. "b" .. LEFT .. LEFT .. "x"), "> ax|" .. one .. "b", one)
    t.eq(line(one .. "\1\27[3~x"), "> x|", one)
  end
  t.eq(line(FLAG .. FLAG .. "\127"), "> " .. FLAG .. "|")
  t.eq(line("\u{1F44D}\u{1F44D}" .. LEFT .. "\127"), "> |\u{1F44D}", "two that are not joined are two")
end)

test("editor: characters that come to stand side by side are joined as a terminal joins them", function(t)
  local parts = { "\u{1F468}", "\u{200D}", "\u{1F467}" }
  t.eq(line(parts[1] .. parts[3] .. LEFT .. parts[2] .. "\127"), "> |", "a joiner typed between two")
  t.eq(line(FLAG:sub(1, 4) .. "x" .. FLAG:sub(5) .. LEFT .. "\127" .. "\127"), "> |", "a flag, once what parted it is gone")
  local one = typist()
  one:type("e" .. "\u{301}")
  t.eq(one.editor.at, 1)
end)
