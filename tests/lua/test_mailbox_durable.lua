-- Mailboxes, topics and shared values in durable runs: they come out the same after a kill; what belongs to no run is refused.

local test = require "stoke.test"
local durable = require "durable"
local runs = require "core.runs"
local stored = require "kept_store"
local stoke = require "stoke"

local WORK = [[
local stoke = require "stoke"
stoke.main(function(args)
  local box, board, news = stoke.mailbox("work", { capacity = 2 }), stoke.shared("board", {}), stoke.topic "news"
  local mine = news:subscribe()
  local scope <close> = stoke.scope {}
  for w = 1, 3 do
    scope:spawn(function()
      for letter in box do
        local answer = stoke.http.post(args[1] .. "/" .. letter.body, { body = "x", idempotency = true })
        board:update(function(value)
          value[#value + 1] = letter.body .. " by " .. w
          return value
        end)
        news:publish("done", letter.body)
        letter:reply(answer.body)
      end
    end)
  end
  local answers = scope:map({ 1, 2, 3, 4, 5, 6 }, function(i) return box:ask("do", "job" .. i) end)
  local late = select(2, stoke.try(stoke.mailbox("deaf").ask, stoke.mailbox("deaf"), "x", 1, { timeout = 0.02 }))
  local heard = {}
  for i = 1, 6 do heard[i] = mine:receive().body end
  box:close()
  return table.concat(answers, ";") .. " | " .. table.concat(board:get(), ";") .. " | " .. table.concat(heard, ",") .. late.kind
end)
]]

-- The moment at which so many jobs were done.
local function done(witness, n)
  return function()
    while witness.count < n do stoke.sleep(0.001) end
  end
end

test("a durable run whose tasks send letters, killed after each of its jobs, does each job once", { real = true, timeout = 300 },
  function(t)
    local witness <close> = durable.witness()
    local case = durable.new(t, WORK)
    for n = 1, 5 do case:run("run", { witness.url }, done(witness, n)) end
    local status, _, told = case:run("run", { witness.url })
    t.eq({ status.code, witness.count }, { 0, 6 }, told)
    t.ok(case.kills >= 1, "it was not killed")
    local result = case:result "run"
    t.match(result, "^/job1 done;/job2 done;/job3 done;/job4 done;/job5 done;/job6 done | job")
    t.match(result, "timeout$")
  end)

test("a mailbox of outside is refused in a durable run, with what to use; names are the run's own", { real = true }, function(t)
  local closing <close> = stored(t) -- luacheck: ignore
  local outside <close> = stoke.mailbox "shared name"
  local flow = stoke.workflow("reaches out", function()
    local own = stoke.mailbox "shared name"
    own:send("a", 1)
    local _, err = stoke.try(outside.send, outside, "a", 1)
    return { own:receive().body, err.kind, err.message, err.hint }
  end)
  local result = flow:start():await()
  t.eq({ result[1], result[2] }, { 1, "argument" })
  t.match(result[3], "the mailbox does not belong to the journalled run")
  t.match(result[4], "signals, and actors")
  t.eq(outside:waiting(), 0)
end)

test("a durable shared value is there in the next process, and a set with an old version is refused", { real = true }, function(t)
  local closing <close> = stored(t) -- luacheck: ignore
  local board = stoke.shared("kept board", { n = 1 }, { durable = true })
  board:update(function(value)
    value.n = value.n + 1
    return value
  end)
  local value, version = board:get()
  t.eq({ value.n, version }, { 2, 2 })
  t.eq({ board:set({ n = 9 }, 1), board:get().n }, { false, 2 })
  runs.leave()
  t.eq(board:get().n, 2)
  board:set { n = 3 }
  t.eq(board:get().n, 3)
end)
