-- make bench: letters a second through mailboxes, what a mailbox takes, and what a team adds to the runs of its members.
--   stoke mail.lua
local stoke = require "stoke"
local sim = require "stoke.sim"

local N <const>, BOXES <const>, TURNS <const>, RUNS <const>, ROUNDS <const> = 200000, 10000, 20, 10, 9

local function figure(what, value, unit, limit, above)
  local missed = above and value < limit or not above and value > limit
  print(("%-46s %10.1f %10s %-6s %6s  (%s %g)%s"):format(what, value, "", unit, "", above and "over" or "under", limit,
    missed and "  MISSED" or ""))
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

local function letters(body)
  local box <close> = stoke.mailbox()
  local began = stoke.time.cpu() -- the processor's: other work on the machine does not count
  stoke.spawn(function()
    for _ = 1, N do box:send("n", body) end
  end)
  for _ = 1, N do box:receive() end
  return N / (stoke.time.cpu() - began)
end

local function memory()
  collectgarbage()
  collectgarbage()
  return collectgarbage "count" * 1024
end

-- Processor time for each message of two members: as a team, and as the same runs by hand, with the same prompts.
local function team_and_hand(url)
  local members, names = {}, { "writer", "critic" }
  for i, name in ipairs(names) do
    members[i] = stoke.agent { name = name, model = "m", endpoint = url, instructions = "You are a " .. name .. "." }
  end
  local pair = stoke.team.round_robin { members = members, max_turns = TURNS, texts = { team_note = "" } }
  local function by_hand()
    local own = { { { role = "user", content = "go" } }, { { role = "user", content = "go" } } }
    for i = 1, TURNS do
      local at = (i - 1) % 2 + 1
      local text = members[at]:run(own[at]).text
      table.insert(own[at], { role = "assistant", content = text })
      local other = own[3 - at]
      local last, line = other[#other], names[at] .. ": " .. text
      if last.role == "user" then last.content = last.content .. "\n\n" .. line
      else table.insert(other, { role = "user", content = line }) end
    end
  end
  local function spent(f)
    collectgarbage()
    local began = stoke.time.cpu()
    for _ = 1, RUNS do f() end
    return (stoke.time.cpu() - began) / (RUNS * TURNS) * 1e6
  end
  local team, hand = {}, {}
  spent(by_hand)
  for i = 1, ROUNDS do team[i], hand[i] = spent(function() pair:run "go" end), spent(by_hand) end
  return median(team) - median(hand)
end

stoke.main(function()
  figure("letters through a mailbox, numbers", letters(1), "1/s", 200000, true)
  figure("letters through a mailbox, small tables", letters { id = 1, text = "hello" }, "1/s", 200000, true)
  local before, boxes = memory(), {} -- luacheck: ignore
  for i = 1, BOXES do boxes[i] = stoke.mailbox("box " .. i) end
  figure("10,000 mailboxes, each", (memory() - before) / BOXES, "B", 2048)
  local server <close> = sim.serve { mem = "bench", load_seconds = 0, tokens_per_second = 0, models = { "m" },
    script = function() return "a short answer" end }
  figure("a team, added to a turn of a member", team_and_hand(server.url), "us", 20)
end)
