-- `stoke lsp`: completion in an editor, by the protocol's bytes over pipes; the documents that it keeps.

local test = require "stoke.test"
local about = require "core.about"
local document = require "stoke.lsp.document"
local editor_of = require "lsp_client"
local frames = require "stoke.lsp.frames"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local stoke = require "stoke"

local REAL = { real = true, timeout = 60 }
local INLINE <const>, PLAIN <const> = "textDocument/inlineCompletion", "textDocument/completion"
local SIM = { "agents/complete.lua", "--sim=tests/agents/complete.lua", "--wait", "0.01" }
local CODER = { COMPLETE_MODEL = "qwen2.5:3b", COMPLETE_FAMILY = "qwen2.5-coder" }

local function words(...) return table.move(SIM, 1, #SIM, 1, { ... }) end

local function range(a, b, c, d) return { start = { line = a, character = b }, ["end"] = { line = c, character = d } } end

test("lsp: changes by positions that count UTF-16 units, or bytes", function(t)
  local doc = document.new("u", "python", 1, "aé😀b\r\nsecond\n", "utf-16")
  doc:change { range = range(0, 2, 0, 4), text = "x" }
  t.eq(doc:text(), "aéxb\r\nsecond\n")
  doc:change { range = range(0, 99, 1, 0), text = "" }
  t.eq(doc:text(), "aéxbsecond\n")
  doc:change { range = range(0, 1, 0, 1), text = "1\n2\n3" }
  t.eq({ doc:text(), #doc.lines }, { "a1\n2\n3éxbsecond\n", 4 })
  doc:change { range = range(0, 0, 9, 9), text = "all" }
  t.eq({ doc:text(), doc.size, #doc.lines }, { "all", 3, 1 })
  doc = document.new("u", "python", 1, "é😀b", "utf-8")
  doc:change { range = range(0, 2, 0, 6), text = "x" }
  t.eq({ doc:text(), doc.size }, { "éxb", 4 })
  t.eq({ document.bytes("é😀b", 2, "utf-16"), document.units("é😀b", 6, "utf-16") }, { 2, 3 })
end)

test("lsp: many changes leave what the same changes leave in a plain text", function(t)
  local doc, text = document.new("u", nil, 1, "", "utf-8"), ""
  local function position(at)
    local before = text:sub(1, at)
    local _, row = before:gsub("\n", "")
    return { line = row, character = #before:match "[^\n]*$" }
  end
  for i = 1, 500 do
    local from = (i * 7919) % (#text + 1)
    local to = math.min(#text, from + (i * 31) % 9)
    local new = ("ab\ncd\n"):sub(1, (i * 13) % 7)
    doc:change { range = { start = position(from), ["end"] = position(to) }, text = new }
    text = text:sub(1, from) .. new .. text:sub(to + 1)
    if doc:text() ~= text or doc.size ~= #text then t.fail(("change %d: %q is not %q"):format(i, doc:text(), text)) end
  end
end)

test("lsp: messages are put together from any parts; what is no message is an error that says so", function(t)
  local got, parts = {}, {}
  for c in ("Content-Length: 2\r\n\r\n{}content-type: x\r\ncontent-length:3\r\n\r\nabc"):gmatch "." do parts[#parts + 1] = c end
  local i = 0
  frames.each(function(text) got[#got + 1] = text end, function() i = i + 1 return parts[i] end)
  t.eq(got, { "{}", "abc" })
  local _, err = stoke.try(frames.each, print, function() return "GET / HTTP/1.1\r\n\r\n" end)
  t.eq({ err.kind, err.message }, { "protocol", "a message on standard input has no Content-Length" })
end)

test("lsp: initialize tells what there is; positions are bytes where the editor can", REAL, function(t)
  local editor <close> = editor_of(words(), { env = CODER, encodings = { "utf-16", "utf-8" } })
  local can = editor.hello.capabilities
  t.eq({ can.positionEncoding, can.textDocumentSync.change, can.inlineCompletionProvider ~= nil }, { "utf-8", 2, true })
  local other <close> = editor_of(words(), { env = CODER })
  t.eq(other.hello.capabilities.positionEncoding, "utf-16")
end)

test("lsp: completes inline, and as completion with the word in front of the cursor", REAL, function(t)
  local editor <close> = editor_of(words(), { env = CODER })
  local uri = "file:///work/add.py"
  editor:open(uri, "python", "def add(a, b):\n    return\n")
  t.eq(editor:at(INLINE, uri, 1, 10).result.items, { { insertText = " a + b" } })
  editor:change(uri, { { range = range(1, 10, 1, 10), text = " a" } })
  local item = editor:at(PLAIN, uri, 1, 12).result.items[1]
  t.eq({ item.textEdit.newText, item.textEdit.range, item.label }, { "a + b", range(1, 11, 1, 12), "a + b" })
  editor:tell("textDocument/didClose", { textDocument = { uri = uri } })
  t.eq(#editor:at(INLINE, uri, 0, 0).result.items, 0)
end)

test("complete: what it says is what the gallery shows", REAL, function(t)
  local editor <close> = editor_of(words(), { env = CODER })
  local said = {}
  for _, case in ipairs { { "add.py", "python", "def add(a, b):\n    return" }, { "main.py", "python", "x = " },
    { "notes.py", "python", "# All is said here." } } do
    local uri, text = "file:///work/" .. case[1], case[3]
    editor:open(uri, case[2], text)
    local _, row = text:gsub("\n", "")
    local item = editor:at(INLINE, uri, row, #text:match "[^\n]*$").result.items[1]
    said[#said + 1] = ("%s\n%s%s\n"):format("-- " .. case[1], text, item and "[" .. item.insertText .. "]" or "")
  end
  t.eq(table.concat(said, "\n"), (fs.read "tests/golden/complete.txt"))
end)

test("lsp: of questions that follow each other the latest is answered, the others are told so", REAL, function(t)
  local editor <close> = editor_of({ "agents/complete.lua", "--sim=tests/agents/complete.lua", "--wait", "0.3" }, { env = CODER })
  local uri = "file:///work/a.py"
  editor:open(uri, "python", "x = ")
  local at = { textDocument = { uri = uri }, position = { line = 0, character = 4 } }
  local first, second = editor:begin(INLINE, at), editor:begin(INLINE, at)
  t.eq(editor:answer(second).result.items, { { insertText = "word" } })
  t.eq({ editor:answer(first).error.code, editor:answer(first).error.message }, { -32802, "superseded" })
end)

test("lsp: a cancelled request is answered as cancelled", REAL, function(t)
  local editor <close> = editor_of({ "agents/complete.lua", "--sim=tests/agents/complete.lua", "--wait", "30" }, { env = CODER })
  local uri = "file:///work/a.py"
  editor:open(uri, "python", "x = ")
  local id = editor:begin(INLINE, { textDocument = { uri = uri }, position = { line = 0, character = 4 } })
  editor:tell("$/cancelRequest", { id = id })
  t.eq(editor:answer(id).error.code, -32800)
end)

test("lsp: what is asked wrongly is refused, and the server goes on", REAL, function(t)
  local editor <close> = editor_of(words(), { env = CODER })
  t.eq(editor:ask("textDocument/hover").error.code, -32601)
  t.eq(editor:ask(INLINE).error.code, -32602)
  t.eq(editor:ask(INLINE, { textDocument = { uri = "u" }, position = { line = -1, character = 0 } }).error.code, -32602)
  t.eq(editor:ask("initialize").error.code, -32600)
end)

test("lsp: shutdown and exit end it with 0; exit alone with 1", REAL, function(t)
  local editor <close> = editor_of(words(), { env = CODER })
  t.ok(not editor:ask("shutdown").error)
  editor:tell "exit"
  t.eq(editor.process:wait().code, 0)
  local other <close> = editor_of(words(), { env = CODER })
  other:tell "exit"
  t.eq(other.process:wait().code, 1)
end)

test("lsp: a change of the file holds from the next key on", REAL, function(t)
  local folder = t.tmp()
  local function write(word)
    fs.write(folder .. "/c.lua", ("return { complete = function(q) return %q end }\n"):format(word))
  end
  write "first"
  local editor <close> = editor_of({ folder .. "/c.lua", "--wait", "0" }, { stderr = "capture" })
  local uri = "file:///a.lua"
  editor:open(uri, "lua", "x = ")
  t.eq(editor:at(INLINE, uri, 0, 4).result.items[1].insertText, "first")
  write "second"
  local said
  for _ = 1, 200 do
    said = editor:at(INLINE, uri, 0, 4).result.items[1].insertText
    if said == "second" then break end
    stoke.sleep(0.05)
  end
  t.eq(said, "second")
end)

test("lsp: a file that offers no complete is refused with a word", REAL, function(t)
  local folder = t.tmp()
  fs.write(folder .. "/c.lua", "return {}\n")
  local result = proc.run { argv = { about.executable(), "lsp", folder .. "/c.lua" }, stdin = "", timeout = 30 }
  t.eq(result.code, 2)
  t.contains(result.stderr, "returns no table with the function complete")
end)
