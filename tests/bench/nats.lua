-- make bench: items published, and items claimed and settled, a second by the engine of NATS, beside bare libnats, on one server.
--   BENCH=build/bench stoke test --internal --file nats.lua
package.path = "tests/clients/?.lua;" .. package.path

local engine = require "core.engine"
local errors = require "core.errors"
local nats = require "nats"
local proc = require "stoke.proc"
local stoke = require "stoke"
local test = require "stoke.test"

local now = require "host.time".monotonic
local BENCH <const>, ROUNDS <const> = os.getenv "BENCH" or "build/bench", tonumber(os.getenv "ROUNDS") or 3
local COUNT <const>, TASKS <const>, AT_ONCE <const> = 20000, 4, 500

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

--- By several tasks, each f(first, last) for its next AT_ONCE: items a second.
local function rate(f)
  local began, next_one = now(), 1
  local scope <close> = stoke.scope()
  for _ = 1, TASKS do
    scope:spawn(function()
      while next_one <= COUNT do
        local first = next_one
        next_one = first + AT_ONCE
        f(first, first + AT_ONCE - 1)
      end
    end)
  end
  scope:wait()
  return COUNT / (now() - began)
end

local function publish(e, stream)
  return rate(function(first, last)
    local list = {}
    for i = first, last do list[#list + 1] = { id = ("%06d"):format(i), value = ("x"):rep(512), v = 1 } end
    errors.check(e:publish(stream, list))
  end)
end

local function work(e, stream)
  return rate(function()
    local left = AT_ONCE
    while left > 0 do
      local claims = errors.check(e:claim { stream = stream, group = "g", n = left, lease = 30, wait = 5, tries = 3 })
      local list = {}
      for i, claim in ipairs(claims) do list[i] = { claim = claim, state = "done" } end
      if list[1] then errors.check(e:settle(list)) end
      left = left - #claims
    end
  end)
end

local function bare(url, stream)
  local said = proc.run { argv = { BENCH .. "/nats", url, stream, tostring(COUNT), tostring(AT_ONCE) }, timeout = 120 }
  local published, done = said.stdout:match "publish_s=(%d+)\ndone_s=(%d+)"
  return tonumber(published), tonumber(done)
end

local function figure(what, own, other)
  print(("%-46s %10.0f %10.0f a s"):format(what, median(own), median(other)))
end

test("items", { real = true, timeout = 600, effects = false }, function()
  local server <close> = nats.start { skip = function(words) errors.raise("os", words) end }
  local e <close> = errors.check(engine.open(server.url))
  local published, done, other, other_done = {}, {}, {}, {}
  for round = 1, ROUNDS do
    local stream = "s" .. round
    published[round], done[round] = publish(e, stream), work(e, stream)
    other[round], other_done[round] = bare(server.url, stream)
  end
  figure("nats: published, 500 at a time, 4 tasks", published, other)
  figure("nats: claimed and settled, 500 at a time", done, other_done)
end)
