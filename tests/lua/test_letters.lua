-- Mailboxes and topics that hosts share: here two processes on one engine.

local test = require "stoke.test"
local about = require "core.about"
local farming = require "farming"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local stoke = require "stoke"

-- Another host: a script that runs until it has ended by itself.
local function other(farm, source)
  fs.write(farm.folder .. "/other.lua", 'local stoke = require "stoke"\n' .. source)
  return proc.spawn { argv = { about.executable(), "other.lua" }, cwd = farm.folder, stderr = "capture",
    env_allow = { "PATH", "STOKE_PATH", "HOME" }, env = { STOKE_ENGINE = farm.url } }
end

local function output(p)
  local parts = {}
  for bytes in function() return p:read(nil, "stdout") end do parts[#parts + 1] = bytes end
  local said = {}
  for bytes in function() return p:read(nil, "stderr") end do said[#said + 1] = bytes end
  p:wait()
  p:close()
  return table.concat(parts) .. table.concat(said)
end

local function shared(name) return stoke.mailbox(name, { shared = true }) end

test("letters reach a reader on another host, in their order, also from before it began", { real = true, timeout = 60 },
  function(t)
    local farm <close> = farming.new(t, "")
    local box = shared "jobs"
    for i = 1, 3 do t.eq(box:send("n", { i = i, "\xff" }), true) end
    t.eq(box:waiting(), 3)
    local p = other(farm, [[
      local box = stoke.mailbox("jobs", { shared = true })
      for i = 1, 5 do local letter = box:receive(20) print(letter.type, letter.body.i, #letter.body[1], letter.from) end]])
    for i = 4, 5 do box:send("n", { i = i, "\xff" }) end
    local from = output(p):match "n\t1\t1\t([^\n]+)"
    t.ok(from)
    t.eq(box:waiting(), 0)
  end)

test("who asks gets the answer of another host, its error, or a timeout", { real = true, timeout = 60 }, function(t)
  local farm <close> = farming.new(t, "")
  local p = other(farm, [[
    for letter in stoke.mailbox("clerk", { shared = true }) do
      if letter.type == "end" then break end
      if letter.type == "double" then letter:reply(letter.body * 2) else letter:fail "no such thing" end
    end]])
  local box = shared "clerk"
  t.eq(box:ask("double", 21, { timeout = 20 }), 42)
  t.contains(t.raises("script", function() box:ask("other", 1, { timeout = 20 }) end).message, "no such thing")
  box:send "end"
  t.eq(output(p), "")
  local late = t.raises("timeout", function() box:ask("double", 1, { timeout = 0.1 }) end)
  t.contains(late.message, 'mailbox "clerk": no answer to "double" within 0.1 s')
end)

test("a reader takes what it wants, and leaves the rest to others", { real = true, timeout = 60 }, function(t)
  local farm <close> = farming.new(t, "") -- luacheck: ignore
  local box = shared "mixed"
  box:send("a", 1)
  box:send("b", 2)
  t.eq(box:receive { types = "b", timeout = 5 }.body, 2)
  t.eq({ box:receive { types = "b", timeout = 0.1 } }, { nil, "timeout" })
  t.eq(box:receive(5).body, 1)
end)

test("what is published reaches subscribers on all hosts, once each, in order", { real = true, timeout = 60 }, function(t)
  local farm <close> = farming.new(t, "")
  local news = stoke.topic("news", { shared = true })
  news:publish("headline", "old", { retain = true })
  local p = other(farm, [[
    local mine <close> = stoke.topic("news", { shared = true }):subscribe { retained = true }
    print(mine:receive(5).body)
    stoke.mailbox("ready", { shared = true }):send "now"
    for i = 1, 3 do print(mine:receive(20).body) end
    print(mine.missed)]])
  local mine <close> = news:subscribe { types = "headline" }
  t.ok(shared "ready":receive(20))
  for i = 1, 3 do news:publish("headline", "new " .. i) end
  t.eq(output(p), "old\nnew 1\nnew 2\nnew 3\n0\n")
  for i = 1, 3 do t.eq(mine:receive(5).body, "new " .. i) end
  t.eq(news:retained(), "old")
end)

test("without an engine they are those of this host", function(t)
  local runs = require "core.runs"
  local before = runs.engine
  runs.engine = function() end
  local _ <close> = setmetatable({}, { __close = function() runs.engine = before end })
  local box <close> = stoke.mailbox("alone", { shared = true })
  box:send("x", 1)
  t.eq(box:receive(1).body, 1)
end)
