-- The four file tools: what they do, and what they tell a model that gets it wrong.

local test = require "stoke.test"
local files = require "stoke.tools.files"
local fs = require "stoke.fs"
local glob = require "stoke.tools.files.glob"
local jail = require "core.driver.jail"
local patch = require "stoke.tools.files.patch"
local paths = require "tests.hostile.paths"
local proc = require "stoke.proc"
local stoke = require "stoke"

local function sh(script, ...)
  local r = proc.run { argv = { "sh", "-ec", script, "sh", ... } }
  if r.code ~= 0 then error("sh: " .. r.stderr) end
  return r.stdout
end

--- A root of its own for one test: { path -> content }.
local function root(content)
  local path = sh "mktemp -d":match "[^\n]+"
  for name, text in next, content or {} do
    local folder = name:match "^(.*)/"
    if folder then fs.mkdir(path .. "/" .. folder, { parents = true }) end
    fs.write(path .. "/" .. name, text)
  end
  return setmetatable({ path = path }, {
    __close = function() fs.remove(path, { recursive = true }) end,
    __call = function(_, name) return fs.read(path .. "/" .. name) end,
  })
end

local function numbered(n)
  local out = {}
  for i = 1, n do out[i] = "line " .. i end
  return table.concat(out, "\n") .. "\n"
end

local function refused(t, tool, args, pattern)
  local err = t.raises("tool", tool.call, tool, args)
  t.match(err.message, pattern)
  return err.message
end

-- ---- read_file ----------------------------------------------------------------------------------------------------------------

test("read_file: a file as it is", function(t)
  local r <close> = root { ["a/b.txt"] = "one\ntwo", ["empty.txt"] = "" }
  local read = files.read_file { root = r.path }
  t.eq(read:call { path = "a/b.txt" }, "one\ntwo")
  t.eq(read:call { path = "./a/../a/b.txt" }, "one\ntwo")
  t.eq(read:call { path = r.path .. "/a/b.txt" }, "one\ntwo")
  t.eq(read:call { path = "empty.txt" }, '["empty.txt" is empty]')
end)

test("read_file: some lines, and which they are", function(t)
  local r <close> = root { f = numbered(100) }
  local read = files.read_file { root = r.path }
  t.eq(read:call { path = "f", first = 99 }, "line 99\nline 100\n[lines 99 to 100 of 100]")
  t.eq(read:call { path = "f", first = 2, last = 3 }, "line 2\nline 3\n[lines 2 to 3 of 100]")
  t.eq(read:call { path = "f", last = 1 }, "line 1\n[lines 1 to 1 of 100]")
  t.eq(read:call { path = "f", first = 100, last = 500 }, "line 100\n[lines 100 to 100 of 100]")
  t.eq(read:call { path = "f", first = 1, last = 100 }, numbered(100))
  refused(t, read, { path = "f", first = 101 }, '"f" has 100 lines; there is no line 101')
  refused(t, read, { path = "f", first = 9, last = 3 }, "last %(3%) is before first %(9%)")
end)

test("read_file: a long text is cut after a whole line, and the note says where to read on", function(t)
  local r <close> = root { f = numbered(1000), wide = ("x"):rep(1000) .. "\nnext\n" }
  local read = files.read_file { root = r.path, max_bytes = 100 }
  local shown = read:call { path = "f" }
  t.match(shown, "^line 1\n.*line 13\n%[lines 1 to 13 of 1000; cut here; read on with first = 14%]$")
  t.match(read:call { path = "f", first = 14 }, "^line 14\n")
  local text, from = {}, 1
  while from do -- what the notes lead through is the whole file
    local part = read:call { path = "f", first = from }
    text[#text + 1] = part:match "^(.*\n)%["
    from = math.tointeger(part:match "first = (%d+)%]$")
  end
  t.eq(table.concat(text), numbered(1000))
  t.eq(read:call { path = "wide" },
    ("x"):rep(100) .. "\n[lines 1 to 1 of 2; 901 bytes of line 1 are left out; cut here; read on with first = 2]")
  t.eq(read:text(read:call { path = "f" }), shown, "the tool's own limit does not cut again")
end)

test("read_file: binary files are refused, other encodings shown as well as can be", function(t)
  local r <close> = root { ["a.png"] = "\x89PNG\r\n\0\0", ["b.bin"] = ("\xFF\xFE\x81"):rep(100), latin = "caf\xE9 au lait\n" }
  local read = files.read_file { root = r.path }
  refused(t, read, { path = "a.png" }, '"a.png" is a binary file %(8 bytes%); it has no text to read')
  refused(t, read, { path = "b.bin" }, "is a binary file")
  t.eq(read:call { path = "latin" }, "caf\u{FFFD} au lait\n")
end)

test("read_file: what is missing is named, with what was probably meant", function(t)
  local r <close> = root { ["src/main.c"] = "x", ["README.md"] = "x" }
  local read = files.read_file { root = r.path }
  refused(t, read, { path = "src/mian.c" }, '^there is no "src/mian.c"; did you mean "src/main.c"%?$')
  refused(t, read, { path = "readme.md" }, 'did you mean "README.md"')
  refused(t, read, { path = "lib/x" }, 'there is no folder "lib" either; list_dir shows what there is')
  refused(t, read, { path = "src/zzzzzzzz" }, "list_dir shows what there is")
  refused(t, read, { path = "src" }, '"src" is a folder; list_dir shows what is in it')
  t.match(t.raises("denied", read.call, read, { path = "../x" }).message, "it leads out of the root")
end)

-- ---- write_file ---------------------------------------------------------------------------------------------------------------

test("write_file: makes the file and its folders, and says what it did", function(t)
  local r <close> = root {}
  local write = files.write_file { root = r.path }
  t.eq(write:call { path = "a/b/c.txt", content = "one\ntwo\n" }, 'created "a/b/c.txt": 8 bytes, 2 lines')
  t.eq(write:call { path = "a/b/c.txt", content = "x" }, 'replaced "a/b/c.txt": 1 byte, 1 line (it had 8 bytes)')
  t.eq(write:call { path = r.path .. "/d/e", content = "" }, ('created "%s/d/e": 0 bytes, 0 lines'):format(r.path))
  t.eq(r "a/b/c.txt", "x")
  refused(t, write, { path = "a/b", content = "x" }, '"a/b" is a folder')
  t.match(t.raises("os", write.call, write, { path = "a/b/c.txt/d", content = "x" }).message, "not a directory")
  t.raises("os", write.call, write, { path = "new/", content = "x" })
  t.raises("denied", write.call, write, { path = "../up/x", content = "x" })
  t.eq(fs.stat(r.path .. "/../up"), nil)
end)

test("write_file: without overwrite only new files", function(t)
  local r <close> = root { f = "old" }
  local write = files.write_file { root = r.path, overwrite = false }
  refused(t, write, { path = "f", content = "new" }, '"f" is there already, and is kept')
  t.eq(r "f", "old")
  t.eq(write:call { path = "x/g", content = "new" }, 'created "x/g": 3 bytes, 1 line')
  t.eq(files.write_file { root = r.path }.idempotent, true)
  t.eq(write.idempotent, false)
end)

-- ---- list_dir -----------------------------------------------------------------------------------------------------------------

local function tree()
  local r = root { ["b.lua"] = "12", ["a.txt"] = "", ["src/x.lua"] = "1", ["src/net/y.lua"] = "123", ["src/net/z.c"] = "1" }
  sh("cd $1; mkdir empty; ln -s /etc link; mkfifo pipe; printf x >\"$(printf 'odd\\nname')\"", r.path)
  return r
end

test("list_dir: sorted, folders marked, sizes, links shown and not followed", function(t)
  local r <close> = tree()
  local list = files.list_dir { root = r.path }
  local all = "a.txt (0 bytes)\nb.lua (2 bytes)\nempty/\nlink (a link, not followed)\nodd\\x0aname (1 bytes)\npipe (a fifo)\nsrc/"
  for _, path in ipairs { "", ".", "./", "./." } do t.eq(list:call { path = path ~= "" and path or nil }, all, path) end
  t.eq(list:call { path = "src/" }, "src/net/\nsrc/x.lua (1 bytes)")
  t.eq(list:call { path = "empty" }, '["empty" is empty]')
  refused(t, list, { path = "a.txt" }, '"a.txt" is a file; read_file reads it')
  refused(t, list, { path = "scr" }, 'did you mean "src"')
  t.raises("denied", list.call, list, { path = "link" })
  t.raises("denied", list.call, list, { path = ".." })
end)

test("list_dir: temp files of writes are not shown, nor found by a glob or as the name that was meant", function(t)
  local dir <close> = root {}
  for _, name in ipairs { "a.txt", ".stoke-1-2.tmp", ".stoke-1-2-0.tmp", ".stoke-1-2-p0123abcd-0.tmp", ".stoke-notes.tmp" } do
    proc.run { argv = { "touch", dir.path .. "/" .. name } }
  end
  local list = files.list_dir { root = dir.path }
  t.eq(list:call {}, ".stoke-notes.tmp (0 bytes)\na.txt (0 bytes)")
  t.eq(list:call { glob = "*.tmp" }, ".stoke-notes.tmp (0 bytes)")
  local _, err = stoke.try(function() return files.read_file({ root = dir.path }):call { path = ".stoke-1-3.tmp" } end)
  t.ok(not err.message:find "1%-2", err.message)
end)

test("list_dir: levels and globs", function(t)
  local r <close> = tree()
  local list = files.list_dir { root = r.path }
  t.match(list:call { depth = 2 }, "\nsrc/\nsrc/net/\nsrc/x.lua %(1 bytes%)$")
  t.match(list:call { depth = 99 }, "\nsrc/net/\nsrc/net/y.lua %(3 bytes%)\n")
  t.eq(list:call { glob = "*.lua" }, "b.lua (2 bytes)")
  t.eq(list:call { glob = "**/*.lua" }, "b.lua (2 bytes)\nsrc/net/y.lua (3 bytes)\nsrc/x.lua (1 bytes)")
  t.eq(list:call { path = "src", glob = "net/*" }, "src/net/y.lua (3 bytes)\nsrc/net/z.c (1 bytes)")
  t.eq(list:call { glob = "*.go" }, '[nothing in "." fits "*.go"; depth = 5 looks deeper]')
end)

test("list_dir: a large folder is cut, and the note says so", function(t)
  local r <close> = root {}
  sh("cd $1; seq -f 'f%04g' 1 600 | xargs touch", r.path)
  local text = files.list_dir { root = r.path }:call {}
  local _, lines = text:gsub("\n", "")
  t.eq(lines, 500)
  t.match(text, "^f0001 .*\nf0500 %(0 bytes%)\n%[cut after 500 entries; list a folder below, or give a glob%]$")
end)

test("glob: stars, classes, folders between, and no pattern that takes for ever", function(t)
  for _, case in ipairs {
    { "main.c", "*.c", true }, { "main.c", "*", true }, { "main.c", "main.?", true }, { "main.c", "*.h", false },
    { "x/main.c", "*.c", true },
    { "a-b", "a-b", true }, { "a.b", "a%b", false }, { "a+b", "a+b", true }, { "f1", "f[0-9]", true }, { "fx", "f[0-9]", false },
    { "fx", "f[!0-9]", true }, { "f]", "f[]]", true }, { "f[", "f[", true }, { "", "*", true }, { "ab", "a*b*", true },
    { "src/a/b/c.lua", "src/**/*.lua", true }, { "src/c.lua", "src/**/*.lua", true }, { "src/a/c.lua", "src/*.lua", false },
    { "c.lua", "**/*.lua", true }, { "a/b", "**", true }, { "a/b/c", "a/**", true }, { "\u{E9}x", "?x", true },
    { "\u{E9}", "\u{E9}", true },
    { ("a"):rep(250), ("*a"):rep(100) .. "b", false }, { ("a/"):rep(100) .. "x", ("**/a/"):rep(60) .. "y", false },
  } do t.eq(glob.fits(case[1], case[2]), case[3], case[1] .. " and " .. case[2]) end
end)

-- ---- patch_file ---------------------------------------------------------------------------------------------------------------

local SOURCE = "local x = 1\nif x then\n    print(x)\n    return x\nend\n\nlocal y = 1\n"

test("patch_file: the one place is replaced, byte for byte", function(t)
  local r <close> = root { f = SOURCE }
  local tool = files.patch_file { root = r.path }
  t.eq(tool:call { path = "f", old = "local x = 1", new = "local x = 100%1" }, 'replaced 1 place in "f", at line 1')
  t.eq(r "f", "local x = 100%1\n" .. SOURCE:match "\n(.*)")
  t.eq(tool:call { path = "f", old = "    return x\n", new = "" }, 'replaced 1 place in "f", at line 4')
  t.eq(tool:call { path = "f", old = "local x = 100%1\nif x then\n    print(x)\nend\n\n", new = "" },
    'replaced 1 place in "f", at line 1')
  t.eq(r "f", "local y = 1\n")
end)

test("patch_file: several places need all, or more lines", function(t)
  local r <close> = root { f = SOURCE }
  local tool = files.patch_file { root = r.path }
  refused(t, tool, { path = "f", old = "= 1", new = "= 2" },
    "occurs 2 times %(lines 1, 7%); add lines around it .* or set all to true")
  t.eq(r "f", SOURCE)
  t.eq(tool:call { path = "f", old = "= 1", new = "= 2", all = true }, 'replaced 2 places in "f", at lines 1, 7')
  t.eq(r "f", (SOURCE:gsub("= 1", "= 2")))
end)

test("patch_file: white space that differs is forgiven where there is one such place, and reported", function(t)
  local r <close> = root { f = SOURCE }
  local tool = files.patch_file { root = r.path }
  local said = tool:call { path = "f", old = "print( x )\nreturn x", new = "print(x + 1)\nreturn x + 1" }
  t.eq(said, 'replaced 1 place in "f", at line 3; `old` was found by ignoring white space. This stands there now:\n'
    .. "print(x + 1)\n    return x + 1")
  t.eq(r "f", "local x = 1\nif x then\n    print(x + 1)\n    return x + 1\nend\n\nlocal y = 1\n")
  refused(t, tool, { path = "f", old = "local  x=1\nif  y", new = "z" }, "does not occur")
end)

test("patch: indentation follows the file", function(t)
  local function apply(text, old, new) return (patch.apply(text, old, new)) end
  t.eq(apply("\tif a then\n\t\tb()\n\tend\n", "if a then\n  b()\nend", "if a then\n  c()\n  d()\nend"),
    "\tif a then\n\t\tc()\n\t\td()\n\tend\n")
  t.eq(apply("  a ( 1 )\n  b()\n", "a(1)\nb()", "a(2)\n  deeper()\nb()"), "  a(2)\n    deeper()\n  b()\n")
  t.eq(apply("x = f( a,b )  -- c\n", "f(a, b)", "g(a)"), "x = g(a)  -- c\n")
  t.eq(apply("one\n  two  three\nfour\n", "two three", ""), "one\nfour\n")
end)

test("patch: white space that makes a difference is not forgiven", function(t)
  for _, case in ipairs { { "elseif x", "else if x" }, { "ab = 1", "a b = 1" }, { "foobar (1)", "bar(1)" }, { "f (10)", "f(1" } } do
    local text, why = patch.apply(case[1] .. "\n", case[2], "z")
    t.eq(text, nil, case[1])
    t.match(why, "does not occur")
  end
  local _, why = patch.apply("a  b\na   b\n", "a b", "z")
  t.match(why, "apart from white space it occurs 2 times %(lines 1, 2%): copy one exactly")
end)

test("patch: ends of lines are those of the file", function(t)
  local function apply(text, old, new) return (patch.apply(text, old, new)) end
  t.eq(apply("a\r\nb\r\nc\r\n", "a\nb", "x\ny"), "x\r\ny\r\nc\r\n")
  t.eq(apply("a\r\nb\r\nc\r\n", "b", "x\ny"), "a\r\nx\r\ny\r\nc\r\n")
  t.eq(apply("a\r\nb\r\n", "a\r\nb", "x\r\ny"), "x\r\ny\r\n")
  t.eq(apply("a\r\n  b  c\r\n", "a\nb c", "x\ny"), "x\r\n  y\r\n")
  t.eq(apply("a\nb\n", "a\nb", "x\ny"), "x\ny\n")
end)

test("patch_file: what does not occur is answered with the nearest lines", function(t)
  local r <close> = root { f = numbered(5) .. "function total(items)\n  return 0\nend\nfunction totals(list)\nend\n" }
  local tool = files.patch_file { root = r.path }
  local said = refused(t, tool, { path = "f", old = "functoin total(items)\n", new = "x" },
    '^"f" is not changed: `old` does not occur')
  t.match(said, "line 6: function total%(items%)\n  line 9: function totals%(list%)\n")
  refused(t, tool, { path = "f", old = "%%%%@@@@~~~~", new = "x" }, "no line is like")
  refused(t, tool, { path = "f", old = " \n", new = "x" }, "`old` is empty")
  refused(t, tool, { path = "f", old = "end", new = "end" }, "are the same")
  refused(t, tool, { path = "g", old = "a", new = "x" }, 'there is no "g"')
end)

test("patch_file: two at once do not undo each other", function(t)
  local lines = {}
  for i = 1, 40 do lines[i] = ("<%d>"):format(i) end
  local r <close> = root { f = table.concat(lines, "\n") }
  local tool = files.patch_file { root = r.path }
  local scope <close> = stoke.scope {}
  scope:map(lines, function(line) return tool:call { path = "f", old = line, new = "done " .. line } end)
  local _, count = r "f":gsub("done", "")
  t.eq(count, 40)
end)

-- ---- all four -----------------------------------------------------------------------------------------------------------------

test("every tool: names, approval, options, a root that must be there", function(t)
  local r <close> = root {}
  for name, make in next, files do
    local ask = function(args) return args.path == "x" end
    local tool = make { root = r.path, needs_approval = ask }
    t.eq(tool.name, name)
    t.eq(tool.needs_approval, ask)
    t.eq(make { root = r.path, name = "other", description = "d" }.description, "d")
    t.eq(make().name, name, "the root is the working folder")
    t.raises("argument", make, { root = r.path .. "/none" })
    t.raises("argument", make, { root = "/dev/null" })
    t.raises("argument", make, { root = "" })
    t.raises("argument", make, { rooot = r.path })
  end
  t.raises("argument", files.read_file, { max_bytes = 1 })
end)

--- A canary outside, and every hostile path through every tool, confined both ways.
local function hostile(t)
  local r <close> = root { ["outside/secret.txt"] = "the canary sings", ["jail/plain.txt"] = "plain\n",
    ["jail/a/b/c.txt"] = "deep\n" }
  sh([[cd "$1/jail"; ln -s ../outside/secret.txt link_file; ln -s ../outside link_dir; ln -s .. link_up; ln -s . link_root
    ln -s ../outside/made.txt link_dangling; ln -s / link_slash; ln -s ../../outside a/link_dir; ln -s plain.txt link_in
    mkfifo fifo
    touch -d 2001-02-03T04:05:06 ../outside ../outside/secret.txt]], r.path)
  local function outside() return sh("cd $1; ls -A; find outside -printf '%p %y %s %m %T@\n' | sort; cat outside/*", r.path) end
  local options, before = { root = r.path .. "/jail" }, outside()
  local calls = {
    { files.read_file(options), {} }, { files.list_dir(options), { depth = 5 } },
    { files.write_file(options), { content = "EVIL" } }, { files.patch_file(options), { old = "the canary", new = "EVIL" } },
    { files.patch_file(options), { old = "canary song", new = "EVIL" } },
  }
  for _, list in next, paths do
    for _, path in ipairs(list) do
      path = path:gsub("{BASE}", r.path)
      for _, call in ipairs(calls) do
        call[2].path = path
        local value, err = stoke.try(call[1].call, call[1], call[2])
        local told = err and err.message or value
        t.ok(type(told) == "string" and not told:find "canary sings" and not told:find "root:x?:0:", call[1].name .. " of " .. path)
        t.ok(utf8.len(told), "it is UTF-8")
        if err then t.ok(err.kind == "denied" or err.kind == "os" or err.kind == "tool", tostring(err)) end
      end
    end
  end
  t.eq(outside(), before)
end

for _, walk in ipairs { false, true } do
  local skip = not walk and not jail.kernel and "this kernel cannot" or false
  local title = "no tool leaves the root " .. (walk and "(by components)" or "(by the kernel)")
  test(title, { skip = skip, timeout = 300, real = true }, function(t)
    local was <const> = jail.walk
    local _ <close> = setmetatable({}, { __close = function() jail.walk = was end })
    jail.walk = walk
    hostile(t)
  end)
end
