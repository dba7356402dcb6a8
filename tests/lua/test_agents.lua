-- agents/: each example runs on the simulator, explains itself, and fails readably.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local proc = require "stoke.proc"

local PASSED_ON = { "PATH", "STOKE_PATH", "STOKE_GC", "ASAN_OPTIONS", "LSAN_OPTIONS",
                    "UBSAN_OPTIONS", "TSAN_OPTIONS" }

-- Run an agent with its home in a folder that is not there: no configuration is read.
local function run(...)
  return proc.run { argv = { about.executable(), ... }, env_allow = PASSED_ON,
                    env = { HOME = "/nonexistent" }, timeout = 60 }
end

local function good(t, r)
  t.ok(r.code == 0, ("exit %s\n%s%s"):format(tostring(r.code or r.signal), r.stdout, r.stderr))
  return r
end

test("agents: each says what it does, needs and how to try it", { real = true }, function(t)
  for _, entry in ipairs(fs.list "agents") do
    local path = "agents/" .. entry.name
    local text = fs.read(path)
    t.ok(text:find("^#!/usr/bin/env stoke\n%-%- " .. entry.name:gsub("%p", "%%%0") .. ": "), path)
    t.ok(text:find("\n-- Needs:", 1, true) and text:find("\n-- Try:", 1, true), path)
    local _, lines = text:gsub("\n", "")
    t.ok(lines >= 10 and lines <= 70, path .. " has " .. lines .. " lines")
    local r = good(t, run(path, "--help"))
    t.ok(r.stdout:find "Examples" < r.stdout:find "Usage", r.stdout)
    t.eq(run(path, "--no-such-flag").code, 2)
  end
end)

test("agents: hello streams an answer and shows usage", { real = true }, function(t)
  local r = good(t, run("agents/hello.lua", "--sim"))
  t.ok(r.stdout:find "%S.*\n%(%S+: %d+ tokens in, %d+ out, %d+%.%d s%)\n$", r.stdout)
  t.eq(r.stderr, "")
  t.eq(run("agents/hello.lua", "--sim", "-m", "no-such-model").code, 5)
  t.eq(run("agents/hello.lua", "--endpoint", "127.0.0.1:1").code, 4)
end)

test("agents: summarize reads a text of many paragraphs", { real = true }, function(t)
  local text = {}
  for i = 1, 12 do text[i] = ("Paragraph %d speaks of rivers and stones. "):format(i):rep(20) end
  local path = proc.run { argv = { "mktemp" } }.stdout:gsub("\n$", "")
  local gone <close> = setmetatable({}, { __close = function() fs.remove(path) end }) -- luacheck: ignore
  fs.write(path, table.concat(text, "\n\n"))
  local r = good(t, run("agents/summarize.lua", path, "--sim", "--limit", "3"))
  t.ok(r.stdout:find "%S", "no summary")
  t.ok(r.stderr:find("failed=0 paragraphs=12", 1, true), r.stderr)
  t.eq(run("agents/summarize.lua", "--sim").code, 2)
  t.eq(run("agents/summarize.lua", "/nonexistent/x", "--sim").code, 1)
end)

test("agents: race_models names a winner", { real = true }, function(t)
  local r = good(t, run("agents/race_models.lua", "Say hello.", "--sim"))
  t.ok(r.stdout:find "%S.*\n%(%S+ won against %d+%)\n$", r.stdout)
end)
