-- stoke cache, and stoke.cache: what is kept, as people look at it.

local about = require "core.about"
local cached = require "cached"
local files = require "core.cache.file"
local fs = require "stoke.fs"
local gate = require "core.gate.cache"
local json = require "stoke.json"
local proc = require "stoke.proc"
local stoke = require "stoke"
local test = require "stoke.test"

-- A file with three answers, and what `stoke cache` says of it.
local function kept(t)
  local path = t.tmp() .. "/cache.db"
  local server <close> = cached { answer = function(body) return body.prompt and "one two" or nil end }
  files.path = path
  server:chat "Hi"
  server:chat "Hi"
  server:chat("Other", { cache = { ttl = 60 } })
  server:stream "Go"
  files.of():close()
  return path
end

local function verb(path, ...)
  local argv = { about.executable(), "cache", ... }
  table.move({ "--file", path }, 1, 2, #argv + 1, argv)
  return proc.run { argv = argv, env_allow = { "PATH", "HOME" } }
end

test("stats: what is kept, and what it was good for", function(t)
  local path = kept(t)
  local r = verb(path)
  t.match(r.stdout, "3 entries, .* of at most 268 MB on the disk")
  t.match(r.stdout, "4 calls: 1 answered from the cache %(25 %%%), 3 asked")
  t.match(r.stdout, "answers +2 ")
  local stats = json.decode(verb(path, "stats", "--json").stdout)
  t.eq({ stats.entries, stats.hits, stats.misses, stats.kinds.exact.hits, stats.kinds.exact.seconds }, { 3, 1, 3, 1, 2.0 })
end)

test("list and show: one line an entry; where it came from", function(t)
  local path = kept(t)
  local r = verb(path, "list")
  t.match(r.stdout, "stream +m .*one two")
  local list = {}
  for line in verb(path, "list", "--json", "--kind", "exact").stdout:gmatch "[^\n]+" do list[#list + 1] = json.decode(line) end
  t.eq({ #list, list[1].text, list[2].text, list[1].ttl }, { 2, "2: Other", "1: Hi", 60 })
  r = verb(path, "show", list[2].id:sub(1, 9))
  for _, words in ipairs { "model     m", "digest    1111", "given     1 time", "took      2.0 s, 5 tokens", "\n1: Hi\n" } do
    t.match(r.stdout, words)
  end
end)

test("clear and wrong: what is forgotten is asked for again", function(t)
  local path = kept(t)
  local id = json.decode(verb(path, "list", "--json", "--kind", "stream").stdout).id
  t.match(verb(path, "wrong", id:sub(1, 8)).stdout, "is forgotten")
  t.eq(verb(path, "clear", "--kind", "exact", "--older", "500w").stdout, "0 entries are forgotten\n")
  t.eq(verb(path, "clear").stdout, "2 entries are forgotten\n")
  t.eq(verb(path, "list").stderr, "nothing is kept\n")
end)

test("export and import: answers go to another file, and are given from there", function(t)
  local path = kept(t)
  local folder = t.tmp()
  t.eq(verb(path, "export", folder .. "/answers").stdout, ("3 entries are written to %s/answers\n"):format(folder))
  local server <close> = cached()
  files.path = folder .. "/other.db"
  t.eq(stoke.cache.import(fs.read(folder .. "/answers")), { entries = 3 })
  local reply = server:chat "Hi"
  t.eq({ reply.cached, reply.message.content, server.asked }, { "exact", "1: Hi", 0 })
  t.raises("usage", stoke.cache.import, "something else\n")
  t.raises("usage", stoke.cache.import, "")
end)

test("mistakes are told with what to do", function(t)
  local path = kept(t)
  t.match(verb(path, "show", "zz").stderr, "no id of an entry.*stoke cache list")
  t.match(verb(path, "show", "0123456789").stderr, "no entry has the id")
  t.match(verb(path, "show").stderr, "needs an id")
  t.match(verb(path, "clear", "--older", "soon").stderr, "a number and a unit")
  t.match(verb("/nowhere/cache.db").stderr, "there is no cache: no file /nowhere/cache.db.*cache = true")
end)

test("stoke.cache: the same for scripts", function(t)
  local server <close> = cached()
  server:chat "Hi"
  server:chat "Hi"
  local stats = stoke.cache.stats()
  t.eq({ stats.entries > 0, stats.hits, stats.misses, stats.calls.exact }, { true, 1, 1, 1 })
  t.raises("argument", stoke.cache.list, { kind = "exakt" })
  t.raises("argument", stoke.cache.clear, { older = "x" })
  files.path = t.tmp() .. "/cache.db"
  gate.forget()
  server:chat "Hi"
  local list = stoke.cache.list()
  t.eq({ #list, list[1].text, stoke.cache.peek(list[1].id:sub(1, 6)).id }, { 1, "2: Hi", list[1].id })
  t.eq({ stoke.cache.clear { model = "other" }, stoke.cache.wrong(list[1].id).kind, #stoke.cache.list() }, { 0, "exact", 0 })
  t.eq(server:chat("Hi").cached, nil)
end)
