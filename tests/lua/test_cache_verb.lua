-- stoke cache, as a person types it.

local about = require "core.about"
local binary = require "binary"
local fs = require "stoke.fs"
local json = require "stoke.json"
local proc = require "stoke.proc"
local test = require "stoke.test"

local ASK = [[
local stoke = require "stoke"
stoke.main(function(args)
  local bot = stoke.agent { name = "bot", model = "qwen2.5:3b", options = { temperature = 0 }, cache = { ttl = 3600 } }
  for _, text in ipairs(args) do
    local result = bot:run(text)
    print(result.text, result.usage.cached or 0)
  end
end)
]]

local ANSWERS = [[return function(request, n)
  return ("the zebra said %s"):format(request.messages[#request.messages].content:upper())
end]]

local function place(more)
  local files = { ["ask.lua"] = ASK, ["answers.lua"] = ANSWERS }
  for name, text in pairs(more or {}) do files[name] = text end
  local here = binary.place(files)
  here.env.OLLAMA_HOST = "127.0.0.1:9"
  function here.ask(...) return here.run("ask.lua", "--sim=answers.lua", ...) end
  function here.objects(...)
    local out = {}
    for line in here.run("cache", ...).stdout:gmatch "[^\n]+" do out[#out + 1] = json.decode(line) end
    return out
  end
  return here
end

test("stoke cache: where there is none it says so, how one comes about, and makes no file", { real = true }, function(t)
  local here <close> = place()
  local r = here.run "cache"
  t.eq({ r.code, r.stderr }, { 0, "" })
  t.match(r.stdout, "^file    .*cache%.db\nThere is no such file yet")
  t.match(r.stdout, "cache = true")
  t.eq(fs.stat(here.path .. "/.stoke"), nil)
  t.eq(fs.stat(here.path .. "/.local"), nil)
  t.match(here.run("cache", "list").stderr, "^the cache is empty")
  t.eq(here.run("cache", "clear").stdout, "nothing to forget\n")
  local shown = here.run("cache", "show", "3f")
  t.eq({ shown.code, shown.stdout }, { 2, "" })
  t.match(shown.stderr, "there is no cache yet")
end)

test("stoke cache: it tells where it is, what it holds, hits and misses, and what was saved", { real = true }, function(t)
  local here <close> = place()
  t.eq(here.ask("a", "b", "a").stdout, "the zebra said A\t0\nthe zebra said B\t0\nthe zebra said A\t1\n")
  local said = here.run "cache".stdout
  t.match(said, "^file    %.stoke/cache%.db\nholds   2 entries, [%d.]+ kB of at most 268 MB %(0 %%%)\n")
  t.match(said, "\ncalls   3 with a cache: 1 hit, 2 misses %(33 %%%)\n")
  t.match(said, "\nsaved   1 answer came from here and not from a model: %d+ %+ %d+ tokens")
  t.match(said, "\nexact +2 +[%d.]+ k?B +1 +%d+ .*answers\n")
  local stats = here.objects("stats", "--json")[1]
  t.eq({ stats.entries, stats.hits, stats.misses, stats.saved.calls, stats.kinds.exact.hits }, { 2, 1, 2, 1, 1 })
  t.eq(stats.saved.output_tokens, stats.kinds.exact.output_tokens)
  t.ok(stats.saved.output_tokens > 0 and stats.saved.input_tokens > 0)
end)

test("stoke cache list and show: the newest first; what an entry answers, and where it came from", { real = true }, function(t)
  local here <close> = place()
  here.ask("a", "b", "a")
  local list = here.objects("list", "--json")
  t.eq({ #list, list[1].hits, list[2].hits, list[1].kind, list[1].model }, { 2, 0, 1, "exact", "qwen2.5:3b" })
  t.eq({ #list[1].id, list[1].key:sub(1, 8), list[1].ttl, list[1].script }, { 8, list[1].id, 3600, "ask.lua" })
  t.match(here.run("cache", "list").stdout, "^ID +KIND +MODEL +AGE +TTL LEFT +HITS +SIZE +ENDPOINT *\n" .. list[1].id .. " +exact ")
  local shown = here.run("cache", "show", list[2].id:sub(1, 7)).stdout
  t.match(shown, "^id +" .. list[2].id .. "\nkind +exact")
  t.match(shown, "\nmade +[^\n]+ ago, by ask.lua\nfresh +for [%dhms]+ more\ncost +%d+ tokens read, %d+ tokens written")
  t.match(shown, "\nended +stop\n\n%-%- answer\nthe zebra said A\n$")
  t.eq(here.objects("show", list[1].id, "--json")[1].answer, { text = "the zebra said B", reason = "stop" })
  t.eq(here.objects("list", "--json", "--kind", "prefix"), {})
  t.eq(here.objects("list", "--json", "--model", "other"), {})
  t.eq(here.objects("list", "--json", "--limit", "1")[1].id, list[1].id)
  t.eq(here.objects("list", "--json")[2].hits, 1) -- looking is no hit
end)

test("stoke cache: streams are told as text and pieces, vectors by their size", { real = true }, function(t)
  local here <close> = place { ["more.lua"] = [[
    local ollama = require "stoke.ollama"
    for _ in ollama.stream { model = "qwen2.5:3b", prompt = "x", options = { temperature = 0 }, cache = true } do end
    ollama.embed { model = "nomic-embed-text", input = { "one", "two" } }
  ]] }
  t.eq(here.run("more.lua", "--sim").stderr, "")
  local stream = here.objects("list", "--json", "--kind", "exact")[1]
  local shown = here.objects("show", stream.id, "--json")[1].answer
  t.ok(#shown.text > 0 and shown.pieces >= 1 and shown.reason)
  t.match(here.run("cache", "show", stream.id).stdout, "\npieces +%d+, as they came\n")
  local vector = here.objects("list", "--json", "--kind", "embedding")[1]
  t.match(here.run("cache", "show", vector.id).stdout, "\nvector +%d+ numbers\n")
  t.match(here.run "cache".stdout, "\nembedding +2 ")
end)

test("stoke cache wrong: that answer is not given again", { real = true }, function(t)
  local here <close> = place()
  here.ask("a", "b")
  local list = here.objects("list", "--json")
  t.eq(here.run("cache", "wrong", list[2].id).stdout, list[2].id .. " is not given again: the model is asked the next time\n")
  t.eq(here.ask("a", "b").stdout, "the zebra said A\t0\nthe zebra said B\t1\n")
end)

test("stoke cache clear: all, of a kind, of a model, or what is older", { real = true }, function(t)
  local here <close> = place()
  here.ask("a", "b")
  t.eq(here.run("cache", "clear", "--older", "1h").stdout, "nothing to forget\n")
  t.eq(here.run("cache", "clear", "--kind", "embedding").stdout, "nothing to forget\n")
  t.eq(here.run("cache", "clear", "--model", "other").stdout, "nothing to forget\n")
  t.eq(here.run("cache", "clear", "--model", "qwen2.5:3b", "--kind", "exact").stdout, "2 entries forgotten\n")
  t.match(here.run "cache".stdout, "It is empty")
  t.eq(here.ask "a".stdout, "the zebra said A\t0\n")
  t.eq(here.objects("clear", "--json"), { { entries = 1 } })
end)

test("stoke cache export and import: what was copied answers elsewhere, and takes nothing back", { real = true }, function(t)
  local here <close> = place()
  local there <close> = place()
  here.ask("a", "b")
  t.eq(here.run("cache", "export", "out.jsonl").stdout, "out.jsonl: 2 entries; stoke cache import takes them over\n")
  t.eq(fs.stat(here.path .. "/out.jsonl").mode & 511, 384) -- 0600
  fs.write(there.path .. "/in.jsonl", fs.read(here.path .. "/out.jsonl"))
  fs.mkdir(there.path .. "/.stoke")
  there.ask "c" -- its file is made
  t.eq(there.run("cache", "import", "in.jsonl").stdout, "2 entries taken over\n")
  t.eq(there.run("cache", "import", "in.jsonl").stdout, "0 entries taken over, 2 here already\n")
  local list = there.objects("list", "--json")
  t.eq({ #list, list[1].hits }, { 3, 0 })
  t.eq(there.run("cache", "show", here.objects("list", "--json")[1].id).code, 0)
  there.run("cache", "wrong", list[1].id)
  t.eq(there.objects("import", "in.jsonl", "--json"), { { entries = 1, known = 1, damaged = 0, large = 0, whole = true } })
end)

test("stoke cache import: damaged lines are left out and counted, a file that was cut is said to be", { real = true }, function(t)
  local here <close> = place()
  here.ask("a", "b")
  here.run("cache", "export", "out.jsonl")
  local text = fs.read(here.path .. "/out.jsonl")
  here.run("cache", "clear")
  fs.write(here.path .. "/bad.jsonl", (text:gsub("zebra said A", "zebra said X"))) -- its sum does not fit
  local r = here.run("cache", "import", "bad.jsonl")
  t.eq({ r.stdout, r.stderr, r.code }, { "1 entry taken over\n", "1 line damaged, and left out\n", 0 })
  fs.write(here.path .. "/cut.jsonl", text:sub(1, -30))
  t.match(here.run("cache", "import", "cut.jsonl").stderr, "cut short")
  fs.write(here.path .. "/other.jsonl", "hello\n")
  r = here.run("cache", "import", "other.jsonl")
  t.eq(r.code, 2)
  t.eq(r.stderr, "stoke: usage: other.jsonl is no file of stoke cache export\n  hint: stoke cache export FILE writes one\n")
  fs.write(here.path .. "/new.jsonl", (text:gsub('"stoke_cache":1', '"stoke_cache":7', 1)))
  t.match(here.run("cache", "import", "new.jsonl").stderr, "another version of stoke")
  t.eq(here.run("cache", "import", "nothing.jsonl").code, 1)
end)

test("stoke cache --file: another cache; what is none is refused, and not touched", { real = true }, function(t)
  local here <close> = place()
  here.ask "a"
  fs.mkdir(here.path .. "/sub")
  local r = proc.run { argv = { about.executable(), "cache", "--file", "../.stoke/cache.db" }, cwd = here.path .. "/sub",
    env = here.env, env_allow = binary.PASSED_ON, timeout = 60 }
  t.match(r.stdout, "holds   1 entry")
  fs.write(here.path .. "/text.db", "not a database at all, and longer than a header of one would be")
  for path, why in pairs { ["text.db"] = "is no cache", ["none.db"] = "is no file" } do
    r = here.run("cache", "--file", path)
    t.eq({ path, r.code, r.stdout }, { path, 2, "" })
    t.match(r.stderr, why)
  end
  t.eq(fs.read(here.path .. "/text.db"), "not a database at all, and longer than a header of one would be")
  fs.write(here.path .. "/copy.db", fs.read(here.path .. "/.stoke/cache.db"))
  t.match(here.run("cache", "clear", "--file", "copy.db").stderr, "was copied, or made elsewhere")
end)

test("stoke cache: what was mistyped is named, with what was meant", { real = true }, function(t)
  local here <close> = place()
  t.match(here.run("cache", "shwo").stderr, "did you mean 'show'")
  t.match(here.run("cache", "list", "--kind", "exat").stderr, "did you mean 'exact'")
  t.match(here.run("cache", "show").stderr, "which entry%?")
  t.match(here.run("cache", "export").stderr, "into which file%?")
  t.match(here.run("cache", "clear", "3f").stderr, "takes no '3f'")
  t.match(here.run("cache", "clear", "--older", "3").stderr, "wants a number and a unit")
  here.ask "a"
  local r = here.run("cache", "show", "zz")
  t.eq({ r.code, r.stdout }, { 2, "" })
  t.match(r.stderr, "is no id of an entry")
  t.match(here.run("cache", "show", ("0"):rep(12)).stderr, "no entry of the cache has the id")
  t.match(here.run("cache", "--help").stdout, "^See what the cache[^\n]+\n\nExamples\n  stoke cache ")
end)
