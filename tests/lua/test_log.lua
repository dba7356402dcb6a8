-- stoke.log: the two formats, levels, children, and values nobody should log.

local test = require "stoke.test"
local log = require "stoke.log"

local NOON = 1700000000.25 -- 2023-11-14T22:13:20.250Z

-- Run f with the log going to a table of lines.
local function capture(opts, f)
  local lines = {}
  log.configure { level = opts.level or "info", format = opts.format or "text",
                  colour = opts.colour or false, now = function() return NOON end,
                  write = function(line) lines[#lines + 1] = line end }
  f()
  return lines
end

local function body(line) return (line:gsub("^%d%d:%d%d:%d%d ", ""):gsub("\n$", "")) end

test("log: one line an event, keys sorted, values quoted when needed", function(t)
  local lines = capture({}, function()
    log.info("model loaded", { seconds = 2.5, model = "qwen2.5:3b", name = "two words",
                               empty = "", ok = true, n = 3, f = 4.0, eq = "a=b", q = 'say "hi"' })
    log.warn("plain")
  end)
  t.ok(lines[1]:find "^%d%d:%d%d:%d%d info  model loaded  ", lines[1])
  t.eq(body(lines[1]), 'info  model loaded  empty="" eq="a=b" f=4 model=qwen2.5:3b n=3 '
       .. 'name="two words" ok=true q="say \\"hi\\"" seconds=2.5')
  t.eq(body(lines[2]), "warn  plain")
end)

test("log: levels below the one set are dropped", function(t)
  local lines = capture({ level = "warn" }, function()
    log.debug "a"
    log.info "b"
    log.warn "c"
    log.error "d"
  end)
  t.eq(#lines, 2)
  t.ok(log.enabled "error" and not log.enabled "info")
  t.eq(#capture({ level = "off" }, function() log.error "x" end), 0)
end)

test("log: JSON lines carry time, level and msg first", function(t)
  local lines = capture({ format = "json" }, function()
    log.error("broken", { b = 1, a = "x", list = { 1, 2 }, time = "mine" })
  end)
  t.eq(lines[1], '{"time":"2023-11-14T22:13:20.250Z","level":"error","msg":"broken",'
       .. '"a":"x","b":1,"list":[1,2]}\n')
end)

test("log: a child adds its fields, a line's own field wins", function(t)
  local lines = capture({}, function()
    local child = log.with({ agent = "critic", n = 1 }).with { turn = 2 }
    child.info("done", { n = 9 })
    log.info "bare"
  end)
  t.eq(body(lines[1]), "info  done  agent=critic n=9 turn=2")
  t.eq(body(lines[2]), "info  bare")
end)

test("log: one event stays one line, and text cannot drive the terminal", function(t)
  local lines = capture({}, function()
    log.info("two\nlines \27[31m", { text = "a\nb\tc", ["bad key="] = 1 })
  end)
  t.eq(body(lines[1]), 'info  two\\nlines \\x1b[31m  bad_key_=1 text="a\\nb\\tc"')
end)

test("log: odd values never raise", function(t)
  local cycle = {}
  cycle.self = cycle
  local angry = setmetatable({}, { __tostring = function() error "no" end })
  local shy = setmetatable({}, { __metatable = false })
  local fields = { f = print, cycle = cycle, angry = angry, shy = shy, nan = 0 / 0, inf = 1 / 0,
                   bytes = "\xff\xfe", co = coroutine.create(print), nested = { a = { b = { 1 } } } }
  fields[1], fields[2.5], fields[true] = "one", "float key", "bool key"
  for _, format in ipairs { "text", "json" } do
    local lines = capture({ format = format }, function()
      log.info("odd", fields)
      log.info(nil, 5)
      log.info({}, "text")
      log.info(angry, angry)
      log.info("\xff", nil)
      log.with(7).info(0 / 0)
    end)
    t.eq(#lines, 6)
    for _, line in ipairs(lines) do
      t.ok(utf8.len(line), "not UTF-8")
      t.eq(select(2, line:gsub("\n", "")), 1)
    end
  end
end)

test("log: colour only where asked", function(t)
  local line = capture({ colour = true }, function() log.warn("x", { a = 1 }) end)[1]
  t.ok(line:find("\27[33mwarn \27[0m", 1, true), line)
  t.ok(not capture({}, function() log.warn "x" end)[1]:find "\27")
end)
