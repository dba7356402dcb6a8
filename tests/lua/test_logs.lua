-- Lines of the log beside the spans in which they were written: in their file, by stoke.traces.logs and by stoke logs.

local binary = require "binary"
local engine = require "host.store"
local json = require "stoke.json"
local log = require "stoke.log"
local proc = require "stoke.proc"
local span = require "core.gate.span"
local stoke = require "stoke"
local test = require "stoke.test"
local traces = require "core.traces"

local NOON <const> = 1700000000

-- ---- helpers --------------------------------------------------------------------------------------------------------------------

--- The lines that f writes, as they leave; the clock of the log goes on by a second with each.
local function written(format, f)
  local lines, now = {}, NOON
  log.configure { level = "debug", format = format, colour = false, write = function(line) lines[#lines + 1] = line end,
    now = function()
      now = now + 1
      return now
    end }
  f()
  return lines
end

--- Keeps spans and lines in a file of the test's own.
local function keeping(t, options)
  options = options or {}
  options.path = t.tmp() .. "/traces.db"
  traces.keep(options)
  log.listen(traces.log)
  return options.path, setmetatable({}, { __close = traces.stop })
end

local function inside(name, f)
  local seen <close> = span.enter(name, "x")
  span.inside(seen)
  f()
end

local function messages(lines)
  local out = {}
  for i, line in ipairs(lines) do out[i] = line.message end
  return out
end

-- ---- what is written ------------------------------------------------------------------------------------------------------------

test("a line of JSON says in which trace and span it was written", function(t)
  local _, _ <close> = keeping(t)
  local seen
  local lines = written("json", function()
    log.info "outside"
    inside("work", function()
      seen = span.around()
      log.info("inside", { n = 1 })
    end)
  end)
  t.eq(json.decode(lines[1]).trace_id, nil)
  local line = json.decode(lines[2])
  t.eq({ line.trace_id, line.span_id, line.n }, { seen.trace, span.hex(seen.id), 1 })
end)

test("a line's own fields trace_id and span_id win", function(t)
  local _, _ <close> = keeping(t)
  local lines = written("json", function() inside("work", function() log.info("x", { trace_id = "mine" }) end) end)
  t.eq({ json.decode(lines[1]).trace_id, json.decode(lines[1]).span_id }, { "mine" })
end)

test("what is secret by its name is not written, at any depth; nor is its value in a later line", function(t)
  local lines
  local path, _ <close> = keeping(t)
  for _, format in ipairs { "text", "json" } do
    lines = written(format, function()
      log.info("x", { api_key = "xyzzy-plugh-9", list = { { password = "correct horse" } }, key = "user:1" })
      log.with({ token = "0123456789abcdef0" }).error("the key is xyzzy-plugh-9, the password is correct horse")
    end)
    local text = table.concat(lines)
    for _, secret in ipairs { "xyzzy", "correct", "0123456789abcdef0" } do t.ok(not text:find(secret, 1, true), text) end
    t.contains(text, "user:1")
  end
  local kept = json.encode(stoke.traces.logs { file = path })
  for _, secret in ipairs { "xyzzy", "correct", "0123456789abcdef0" } do t.ok(not kept:find(secret, 1, true), kept) end
end)

-- ---- what is kept ---------------------------------------------------------------------------------------------------------------

test("lines are kept with their fields, and found by trace, level, time, text and number", function(t)
  local path, _ <close> = keeping(t)
  local trace
  written("text", function()
    log.debug("one", { city = "Oslo" })
    inside("work", function()
      trace = span.around().trace
      log.warn "two"
      log.error("three", { list = { 1, 2 } })
    end)
    log.info "four"
  end)
  local function found(options)
    options.file = path
    return messages(stoke.traces.logs(options))
  end
  local all = stoke.traces.logs { file = path }
  t.eq({ all[1].fields, all[3].fields, all[1].trace, all[2].trace, all[3].level, all[1].time },
    { { city = "Oslo" }, { list = { 1, 2 } }, nil, trace, "error", NOON + 1 })
  t.eq(found { trace = trace:sub(1, 8) }, { "two", "three" })
  t.eq(found { trace = "last" }, { "two", "three" })
  t.eq(found { level = "warn" }, { "two", "three" })
  t.eq(found { since = NOON + 3 }, { "three", "four" })
  t.eq(found { grep = "OSLO" }, { "one" })
  t.eq(found { limit = 2 }, { "three", "four" })
  t.eq(found { after = all[1].n, limit = 2 }, { "two", "three" })
end)

test("the file keeps so many lines, the newest", function(t)
  local path, _ <close> = keeping(t, { spans = 1000 })
  written("text", function()
    for i = 1, 2500 do
      log.info(tostring(i))
      if i % 500 == 0 then traces.flush() end
    end
  end)
  local list = stoke.traces.logs { file = path, limit = 5000 }
  t.eq({ #list, list[1].message, list[1000].message }, { 1000, "1501", "2500" })
end)

test("a file of a version that kept no lines has none, keeps its spans, and gets them", function(t)
  local path, closing = keeping(t)
  do
    local _ <close> = closing
    inside("work", function() end)
  end
  local db <close> = engine.open(path, { host = true })
  db:query "DROP TABLE logs"
  db:close()
  t.eq(stoke.traces.logs { file = path }, {})
  traces.keep { path = path }
  local _ <close> = setmetatable({}, { __close = traces.stop })
  written("text", function() log.info "now" end)
  t.eq(messages(stoke.traces.logs { file = path }), { "now" })
  t.eq(#stoke.traces.list { file = path }, 1)
end)

test("a level that is none is refused", function(t)
  local _, err = stoke.try(stoke.traces.logs, { level = "loud" })
  t.match(err.message, "debug, info, warn or error, not loud")
end)

-- ---- the command ----------------------------------------------------------------------------------------------------------------

local SCRIPT <const> = [[
local stoke = require "stoke"
stoke.main(function()
  stoke.log.info("it begins", { n = 1 })
  stoke.agent { name = "bot", model = "qwen2.5:3b", tools = { stoke.tool { name = "look", description = "Look", params = {},
    run = function() stoke.log.warn "nothing to see" return "nothing" end } } }:run "look around"
end)
]]

test("stoke logs shows them, and stoke trace --logs below their spans", { real = true }, function(t)
  local here <close> = binary.place { ["look.lua"] = SCRIPT }
  t.match(here.run("logs").stderr, "no traces are kept.*%-%-spans")
  here.run("look.lua", "--sim", "--spans")
  local id = stoke.json.decode(here.run("trace", "last", "--json").stdout).id
  t.match(here.run("logs").stdout, ("info  it begins  n=1 trace=%s\n.*warn  nothing to see  trace=%s\n"):format(id:sub(1, 12),
    id:sub(1, 12)))
  t.match(here.run("logs", "last", "--level", "warn").stdout, "^%S+ warn  nothing to see\n$")
  local line = json.decode(here.run("logs", "--grep", "begins", "--json").stdout)
  t.eq({ line.msg, line.trace_id, line.n }, { "it begins", id, 1 })
  t.match(here.run("trace", "last", "--logs").stdout, "tool%.call look [^\n]*\n +%S+ warn  nothing to see\n")
  t.match(here.run("trace").stderr, "2 lines were logged: %-%-logs shows them")
  t.eq(here.run("logs", "--since", "1x").code, 2)
end)

test("stoke logs --follow waits for a file that is not there yet, and goes on with what comes", { real = true }, function(t)
  local here <close> = binary.place { ["look.lua"] = SCRIPT }
  local child <close> = proc.spawn { argv = { require "core.about".executable(), "logs", "--follow", "--json" }, cwd = here.path,
    env = here.env, env_allow = binary.PASSED_ON }
  local lines, found = child:lines(), {}
  for _ = 1, 2 do
    here.run("look.lua", "--sim", "--spans")
    for _ = 1, 2 do found[#found + 1] = json.decode(lines()).msg end
  end
  t.eq(found, { "it begins", "nothing to see", "it begins", "nothing to see" })
end)

test("stoke logs --follow tells mistakes, and begins with what is new", { real = true }, function(t)
  local here <close> = binary.place { ["look.lua"] = SCRIPT }
  here.run("look.lua", "--sim", "--spans")
  for _, words in ipairs { { "zz" }, { "abcdef" }, { "--file", "none.db" } } do
    local r = here.run("logs", "--follow", table.unpack(words))
    t.eq(r.code, 2, table.concat(words, " "))
  end
  t.match(here.run("logs", "--trace", "last").stderr, "stoke logs last")
  stoke.sleep(0.02)
  local child <close> = proc.spawn { argv = { require "core.about".executable(), "logs", "--follow", "--json", "--since", "1s",
    "--grep", "begins" }, cwd = here.path, env = here.env, env_allow = binary.PASSED_ON }
  stoke.sleep(1.1) -- what was logged is older than asked for by now, or was shown
  local lines = child:lines()
  here.run("look.lua", "--sim", "--spans")
  local first = json.decode(lines())
  local second = json.decode(stoke.timeout(0.1, function() return stoke.try(lines) end) or "{}")
  t.eq({ first.msg, second.msg == first.msg and second.trace_id == first.trace_id }, { "it begins", false })
end)

test("fields that are too long to be kept are left out, and the line says so", { real = true }, function(t)
  local here <close> = binary.place { ["long.lua"] = [[
    local stoke = require "stoke"
    stoke.main(function() stoke.log.warn("it is long", { text = ("x"):rep(200000) }) end)]] }
  here.run("long.lua", "--sim", "--spans")
  local line = json.decode(here.run("logs", "--json").stdout)
  t.eq(line.msg, "it is long")
  t.match(line.left_out, "^%d+ bytes of fields$")
end)
