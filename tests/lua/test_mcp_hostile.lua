-- MCP servers that misbehave: whatever they do, a call ends with an answer or a clear error, and the next one works.

local test = require "stoke.test"
local about = require "core.about"
local stoke = require "stoke"
local mcp = require "stoke.mcp"

local REAL = { real = true, timeout = 60 }

local function connect(behaviour, more)
  local spec = { name = "peer", command = about.executable(), args = { "run", "tests/lua/mcp_peer.lua", "legacy", behaviour } }
  for key, value in pairs(more or {}) do spec[key] = value end
  return mcp.connect(spec)
end

test("mcp hostile: answers to nothing, ids of others and lines that are no messages are ignored and counted", REAL, function(t)
  local peer <close> = connect "lies"
  t.eq(peer:call("add", { a = 1, b = 2 }).text, "3")
  t.eq(peer.rpc.unknown, 3)
  t.eq(peer.rpc.bad, 3)
end)

test("mcp hostile: a flood of notifications is slowed down, and the answer behind it comes", REAL, function(t)
  local peer <close> = connect "flood"
  t.eq(peer:call("add", { a = 1, b = 2 }).text, "3")
  t.ok(peer.wire.flood.paused >= 1, "paused")
end)

test("mcp hostile: a line of 100 MB ends the connection, and memory stays", REAL, function(t)
  local peer <close> = connect "long"
  local err = t.raises("limit", peer.call, peer, "add", { a = 1, b = 2 })
  t.match(err.message, "16 MB")
  collectgarbage()
  t.ok(collectgarbage "count" < 60 * 1024, collectgarbage "count")
end)

test("mcp hostile: an answer that comes byte by byte is an answer", REAL, function(t)
  local peer <close> = connect "partial"
  t.eq(peer:call("add", { a = 1, b = 2 }).text, "3")
end)

test("mcp hostile: results of the wrong shape are errors of the protocol", REAL, function(t)
  local wrong <close> = connect "wrong"
  t.raises("protocol", wrong.call, wrong, "add", { a = 1, b = 2 })
  local content <close> = connect "content"
  t.raises("protocol", content.call, content, "add", { a = 1, b = 2 })
end)

test("mcp hostile: an answer with no result and no error of the protocol's form fails its call at once", REAL, function(t)
  local none <close> = connect "no result"
  t.match(t.raises("protocol", none.call, none, "add", { a = 1, b = 2 }).message, "neither a result nor an error")
  local words <close> = connect "error text"
  t.match(t.raises("protocol", words.call, words, "add", { a = 1, b = 2 }).message, "it broke")
end)

test("mcp hostile: a text that was cut in the middle of a character is an answer, with U+FFFD in it", REAL, function(t)
  local peer <close> = connect "half"
  t.eq(peer:call("add", { a = 1, b = 2 }).text, "cut \u{FFFD}\n\u{FFFD}")
end)

test("mcp hostile: lists without end, and two tools of one name, are errors of the protocol", REAL, function(t)
  local endless <close> = connect "endless"
  t.match(t.raises("protocol", endless.tools, endless).message, "same page")
  local twice <close> = connect "twice"
  t.match(t.raises("protocol", twice.tools, twice).message, "two tools are named add")
end)

test("mcp hostile: strange names are made sayable; a schema that cannot be used here is the server's to check", REAL, function(t)
  local peer <close> = connect "strange"
  local list = peer:tools()
  t.eq(list[1].name, "a_b_c")
  t.eq(list[2].name, "_9")
  t.eq(list[1].params:json_schema().type, "object")
end)

test("mcp hostile: a server that dies in mid-call fails that call with its last words, and is started again", REAL, function(t)
  local peer <close> = connect "good"
  local other = stoke.spawn(function() return stoke.try(peer.call, peer, "slow") end)
  stoke.sleep(0.2)
  local err = t.raises("incomplete", peer.call, peer, "bye")
  t.match(err.message, "ended with code 7; its last words: a last word")
  t.eq(err.retryable, false)
  local _, failed = other:await()
  t.eq(failed.kind, "incomplete")
  t.eq(peer:call("add", { a = 1, b = 2 }).text, "3")
end)

test("mcp hostile: a server that never lists its tools runs into its time", REAL, function(t)
  local peer <close> = connect("never lists", { timeout = 0.3 })
  t.raises("timeout", peer.tools, peer)
  t.eq(peer.rpc.count, 0)
end)

test("mcp hostile: a program that is missing, or is no server, is a clear error", REAL, function(t)
  local missing = mcp.connect { command = "no-such-server-here" }
  t.match(t.raises("os", missing.tools, missing).message, "no%-such%-server%-here")
  local wrong = mcp.connect { command = "sh", args = { "-c", "echo hello; echo what >&2; exit 3" } }
  t.match(t.raises("incomplete", wrong.tools, wrong).message, "ended with code 3; its last words: what")
  local deaf <close> = mcp.connect { command = "sleep", args = { "30" }, start_timeout = 0.5 }
  t.match(t.raises("timeout", deaf.tools, deaf).message, "did not start")
end)

test("mcp hostile: a closed client says so, and its process is gone", REAL, function(t)
  local peer = connect "good"
  peer:tools()
  local pid = peer.wire.pid
  peer:close()
  peer:close()
  t.match(t.raises("argument", peer.call, peer, "add").message, "closed")
  t.eq(require "stoke.fs".stat("/proc/" .. pid), nil)
end)
