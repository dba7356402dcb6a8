-- Each kind of effect is recorded with what scripts see of it, and replays when what it touched is gone.

local test = require "stoke.test"
local stoke = require "stoke"
local env = require "stoke.env"
local fs = require "stoke.fs"
local http = require "stoke.http"
local journal = require "core.journal"
local proc = require "stoke.proc"
local runs = require "runs"
local span = require "core.gate.span"

local function names(tape)
  local seen = {}
  for _, row in ipairs(tape.rows) do seen[row.name] = true end
  local list = {}
  for name in pairs(seen) do list[#list + 1] = name end
  return list
end

test("files", { real = true }, function(t)
  local root = t.tmp()
  local function f()
    fs.mkdir(root .. "/a/b", { parents = true })
    fs.write(root .. "/a/b/x", "\0\255bytes")
    fs.rename(root .. "/a/b/x", root .. "/a/y")
    local list = fs.list(root .. "/a")
    local out = { fs.read(root .. "/a/y"), list[1].name, list[2].type, fs.stat(root .. "/a/y").size,
      fs.read("y", { root = root .. "/a" }) }
    fs.remove(root .. "/a", { recursive = true })
    return out, (select(2, stoke.try(fs.read, root .. "/a/y")).code)
  end
  local first, second, tape = runs.twice(f)
  t.eq(first.err, nil)
  t.eq(second, first)
  t.eq(names(tape), { "fs.list", "fs.mkdir", "fs.read", "fs.remove", "fs.rename", "fs.stat", "fs.write" })
  t.eq(fs.stat(root .. "/a"), nil)
end)

test("the web: whole answers, streams, and what is left of one that failed", function(t)
  local asked = 0
  local server = http.serve { mem = "every", handler = function(req, res)
    asked = asked + 1
    if req.path == "/lines" then
      res:start(200, { ["X-Kind"] = "lines" })
      for i = 1, 3 do res:write(("line %d\n"):format(i)) end
      return res:finish()
    end
    if req.path == "/no" then return res:reply(404, {}, "no such thing") end
    res:reply(200, { ["X-Kind"] = "whole" }, "\0\255whole")
  end }
  local function f()
    local whole = http.get(server.url .. "/whole")
    local lines, kinds = {}, {}
    local stream = http.get(server.url .. "/lines", { stream = "lines" })
    for line in stream:lines() do lines[#lines + 1] = line end
    kinds[1], kinds[2] = whole.headers["x-kind"], stream.headers["x-kind"]
    local _, err = stoke.try(http.get, server.url .. "/no", { stream = "lines" })
    return whole.body, lines, kinds, err.message, err.status
  end
  local tape, first = journal.record("run", f)
  t.eq({ first.err, first[2], first[5], asked }, { nil, { "line 1", "line 2", "line 3" }, 404, 3 })
  server:close()
  t.eq(journal.replay(tape, f), first)
end)

test("programs, the environment, the clock, chance", { real = true }, function(t)
  local function f()
    local r = proc.run { argv = { "sh", "-c", "echo out; echo err >&2; exit 3" } }
    stoke.sleep(0.01)
    return r.stdout, r.stderr, r.code, r.seconds, env.get "PATH", env.names(), os.time(), os.clock(), stoke.time.monotonic(),
      stoke.rand.int(1, 1 << 40), stoke.rand.bytes(8), math.random()
  end
  local first, second = runs.twice(f)
  t.eq(first.err, nil)
  t.eq(second, first)
end)

test("what changes in a folder", { real = true }, function(t)
  local root = t.tmp()
  local function f()
    local watch <close> = fs.watch(root)
    fs.write(root .. "/x", "1")
    return watch:next(10), watch:next(0.01)
  end
  local first, second = runs.twice(f)
  t.eq(first.err, nil)
  t.ok(first[1]:sub(1, #root) == root, first[1])
  t.eq(second, first)
end)

test("an effect that is replayed has a span that says so", function(t)
  local on, seen = span.on, {}
  local function sink(record) seen[#seen + 1] = record.replayed or false end
  span.listen(sink)
  local _ <close> = setmetatable({}, { __close = function()
    span.unlisten(sink)
    span.switch(on)
  end })
  runs.twice(function() runs.ask "x" end)
  t.eq(seen, { false, true })
end)
