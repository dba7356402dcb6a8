-- make bench: claims of the PostgreSQL engine, beside bare libpq that calls the same functions, on a server of its own.
--   BENCH=build/bench stoke test --internal --file postgres.lua
package.path = "tests/clients/?.lua;" .. package.path

local engine = require "core.engine"
local errors = require "core.errors"
local postgres = require "postgres"
local proc = require "stoke.proc"
local stoke = require "stoke"
local test = require "stoke.test"

local now = require "host.time".monotonic
local BENCH <const>, ROUNDS <const> = os.getenv "BENCH" or "build/bench", 3

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

local function fill(e, stream, count)
  for base = 1, count, 500 do
    local list = {}
    for i = base, math.min(count, base + 499) do list[#list + 1] = { id = ("%06d"):format(i), value = '{"a":1}', v = 1 } end
    errors.check(e:publish(stream, list))
  end
end

--- So many items done by so many tasks, n at a time: items a second, seconds of a claim in the middle.
local function ours(e, stream, count, tasks, n)
  local took, done, began = {}, 0, now()
  local scope <close> = stoke.scope()
  for _ = 1, tasks do
    scope:spawn(function()
      while done < count do
        local from = now()
        local claims = errors.check(e:claim { stream = stream, group = "ours", n = n, lease = 30, wait = 0, tries = 3 })
        took[#took + 1], done = now() - from, done + #claims
        local list = {}
        for i, claim in ipairs(claims) do list[i] = { claim = claim, state = "done", value = "x" } end
        if list[1] then errors.check(e:settle(list)) end
      end
    end)
  end
  scope:wait()
  return done / (now() - began), median(took)
end

local function bare(url, stream, count, n)
  local said = proc.run { argv = { BENCH .. "/pg", url, stream, "bare", tostring(n), tostring(count) }, timeout = 300 }
  local rate, p50 = said.stdout:match "claims_s=(%d+)\np50_ms=([%d.]+)"
  return tonumber(rate), tonumber(p50)
end

local function figure(what, own, other, unit)
  print(("%-46s %10.1f %10s %-6s"):format(what, own, other and ("%.1f"):format(other) or "", unit))
end

test("claims", { real = true, timeout = 1200, effects = false }, function()
  local server <close> = postgres.start { skip = function(words) errors.raise("os", words) end }
  local e <close> = errors.check(engine.open(server.url))
  for _, way in ipairs { { "one at a time", 300, 1, 1 }, { "one at a time, 64 tasks", 4000, 64, 1 },
    { "100 at a time, 4 tasks", 8000, 4, 100 } } do
    local rates, middles, other, other_middles = {}, {}, {}, {}
    for round = 1, ROUNDS do
      local stream = ("s%d.%d.%d"):format(way[3], way[4], round)
      fill(e, stream, way[2])
      rates[round], middles[round] = ours(e, stream, way[2], way[3], way[4])
      other[round], other_middles[round] = bare(server.url, stream, way[2], way[4])
    end
    figure("postgres: done, " .. way[1], median(rates), median(other), "a s")
    figure("  a claim, in the middle", median(middles) * 1000, median(other_middles), "ms")
  end
end)
