-- A batch over many servers, in virtual time: none of them idle, and no row missing or twice where it was interrupted.

local test = require "stoke.test"
local pool = require "core.gate.pool"
local retry = require "core.gate.retry"
local routed = require "routed"
local stoke = require "stoke"

--- So many servers, each of which answers once a second.
local function servers(count, told)
  local given, names = {}, {}
  for i = 1, count do
    local name = ("s%d"):format(i)
    names[i] = ("%q"):format("m@" .. name)
    given[name] = { models = { "m" }, slots = 1, tokens_per_second = 0, script = function(request)
      if told then told(request) end
      return { text = "yes", delay = 1 }
    end }
  end
  return given, ("models = { all = { %s } }"):format(table.concat(names, ", "))
end

local function prompts(count)
  local i = 0
  return function()
    i = i + 1
    return i <= count and { id = i, prompt = "number " .. i } or nil
  end
end

local SERVERS <const> = 28
local ROWS <const> = tonumber(os.getenv "STOKE_BATCH_ROWS" or 60 * SERVERS) -- 100000 by hand, with --patience 3600

test("28 servers at one answer a second: a batch takes at most 3 % longer than they need", function(t)
  pool.forget()
  retry.forget()
  local world <close> = routed(servers(SERVERS))
  local began = stoke.time.monotonic()
  local report = stoke.batch { engine = "local:" .. t.tmp() .. "/q.db", name = "b", input = prompts(ROWS), model = "all" }
  local took, ideal = stoke.time.monotonic() - began, ROWS / SERVERS
  t.eq({ report.done, report.failed, #world.asked }, { ROWS, 0, ROWS })
  t.ok(ideal / took >= 0.97, ("%.1f %% of the ideal: %.1f s in place of %.1f s"):format(100 * ideal / took, took, ideal))
end)

test("a batch over many servers that is interrupted again and again asks nothing twice that was answered", function(t)
  pool.forget()
  retry.forget()
  local rows, answered, lives = 600, {}, 0
  local world <close> = routed(servers(8))
  local o = { engine = "local:" .. t.tmp() .. "/q.db", name = "b", model = "all", concurrency = 16 }
  local report
  repeat
    lives = lives + 1
    o.input = prompts(rows)
    local _, err = stoke.try(stoke.timeout, 9.5, function() report = stoke.batch(o) end)
    t.ok(err == nil or err.kind == "timeout", tostring(err))
  until report
  for row in report:each() do answered[#answered + 1] = row.id end
  t.eq(#answered, rows)
  for i, id in ipairs(answered) do t.eq(id, tostring(i)) end
  t.ok(lives >= 5 and #world.asked <= rows + 16 * lives, ("%d questions in %d lives"):format(#world.asked, lives))
end)
