-- The pool has a bug, or what a script gave it has: nobody's work is lost by that, and nobody hangs.

local test = require "stoke.test"
local driver = require "core.driver.llm"
local log = require "stoke.log"
local notice = require "core.gate.notice"
local ollama = require "stoke.ollama"
local pool = require "core.gate.pool"
local routed = require "routed"
local stoke = require "stoke"
local turns = require "core.gate.turns"

local HI <const> = { { role = "user", content = "Hi" } }
local dialect = driver.dialect "ollama"

-- Another function of the dialect, as a script's own may have one, until it is closed. What is logged meanwhile is returned.
local function with(name, f)
  local before, lines = dialect[name], {}
  pool.forget()
  notice.forget()
  dialect[name] = f(before)
  log.configure { write = function(line) lines[#lines + 1] = line end, level = "info" }
  return lines, setmetatable({}, { __close = function()
    dialect[name] = before
    log.configure { write = require "core.stdio".err }
    pool.forget()
    notice.forget()
  end })
end

-- So many calls, of which some wait and some are streams; what came of each.
local function crowd(scope, n, given)
  local out = { answered = 0, errors = {} }
  for i = 1, n do
    scope:spawn(function()
      local call = { model = "m", messages = HI }
      for name, value in pairs(given) do call[name] = value end
      local ok, err = pcall(function()
        if i % 3 > 0 then return ollama.chat(call) end
        for _ in ollama.stream(call) do end -- luacheck: ignore
      end)
      if ok then out.answered = out.answered + 1 else out.errors[#out.errors + 1] = err end
    end)
  end
  return out
end

-- Answers that break what learns of them, from the n-th on.
local function poison(n)
  local seen = 0
  return function(before)
    return function(value)
      local timings = before(value)
      seen = seen + (timings and 1 or 0)
      if timings and seen >= n then timings.decode = {} end
      return timings
    end
  end
end

test("the engine fails while many wait: it is told once, all are answered, and no slot is lost or taken twice", function(t)
  local _ <close> = routed { one = { models = { "m" }, slots = 4, tokens_per_second = 20 } }
  local lines, _ <close> = with("timings", poison(6))
  local scope <close> = stoke.scope {}
  local out = crowd(scope, 40, { endpoint = "one" })
  local left = scope:spawn(pcall, ollama.chat, { model = "m", endpoint = "one", messages = HI })
  stoke.sleep(0.1)
  left:cancel()
  scope:wait()
  t.eq({ out.answered, out.errors }, { 40, {} })
  t.eq(turns.engine().plain, true)
  t.eq(#lines, 1)
  t.match(lines[1], "internal error: the pool has a bug, and goes on first come, first served .- please report it")
  t.match(lines[1], "lua/pool/%w+.lua:%d+")
  local lane
  for _, server in ipairs(stoke.pool().servers) do
    for _, one in ipairs(server.lanes) do lane = one.model == "m" and server.name == "one" and one or lane end
  end
  t.eq({ lane.busy, lane.waiting }, { 0, 0 })
  out = crowd(scope, 12, { endpoint = "one" })
  stoke.sleep(0.01)
  local told = stoke.pool()
  t.eq({ told.order, told.busy + told.waiting, told.waiting > 0 }, { "fifo", 12, true })
  scope:wait()
  t.eq(out.answered, 12)
end)

test("routes, deadlines and hedges go on without the engine", function(t)
  local one = { models = { "m" }, tokens_per_second = 20 }
  local _ <close> = routed({ one = one, two = one }, [[models = { both = { "m@one", "m@two" } }]])
  local lines, _ <close> = with("timings", poison(1))
  local scope <close> = stoke.scope {}
  local out = crowd(scope, 30, { model = "both" })
  local late = t.raises("deadline", function()
    local _ <close> = stoke.scope { deadline = 0.15 }
    while true do ollama.chat { model = "both", messages = HI } end
  end)
  t.eq(late.seconds, 0.15)
  scope:wait()
  t.eq({ out.answered, out.errors, #lines }, { 30, {}, 1 })
  t.eq(turns.engine().plain, true)
end)

test("a bug in a function of a dialect is told as one, and the pool goes on as before", function(t)
  local _ <close> = routed { one = { models = { "m" }, tokens_per_second = 20 } }
  local lines, _ <close> = with("timings", function() return function() error "my own mistake" end end)
  local scope <close> = stoke.scope {}
  local out = crowd(scope, 20, { endpoint = "one" })
  scope:wait()
  t.eq({ out.answered, turns.engine().plain, #lines }, { 20, nil, 1 })
  t.match(lines[1], "a bug in the dialect ollama of model servers.*my own mistake")
end)

test("what asks a server beside its calls may fail: the process goes on", function(t)
  local _ <close> = routed { one = { models = { "m", "n" }, max_loaded = 1, tokens_per_second = 20 } }
  local lines, _ <close> = with("pooling", function(before)
    return function()
      local way = before()
      return setmetatable({ loaded = function() error "cannot count" end }, { __index = way })
    end
  end)
  local scope <close> = stoke.scope {}
  local one, two = crowd(scope, 9, { endpoint = "one" }), crowd(scope, 9, { endpoint = "one", model = "n" })
  scope:wait()
  t.eq({ one.answered, two.answered, turns.engine().plain, #lines }, { 9, 9, nil, 1 })
  t.match(lines[1], "cannot count")
end)
