-- Workers on PostgreSQL: hosts are killed, and so is the server.

local test = require "stoke.test"
local postgres = require "postgres"
local rand = require "stoke.rand"
local stoke = require "stoke"
package.path = "tests/lua/?.lua;" .. package.path
local farming = require "farming"

local ORDER <const> = [[
local stoke = require "stoke"
stoke.workflow("order", function(input)
  stoke.sleep(0.05)
  stoke.step("pay", function() return stoke.http.post(input.url .. "/pay/" .. input.n, { body = "x" }).body end)
  return input.n
end)
]]

test("workers on PostgreSQL: hosts and the server are killed, each run ends, and each thing is done once",
  { real = true, timeout = 300 }, function(t)
    local server <close> = postgres.start(t)
    local witness <close> = farming.witness()
    local farm <close> = farming.new(t, ORDER, server.tcp)
    local flow, random, list = farming.flow "order", rand.new(5), {}
    for _, name in ipairs { "a", "b", "c", "d" } do farm:start(name, { "--tries", "50" }) end
    for n = 1, 200 do list[n] = flow:start({ n = n, url = witness.url }, { id = "run " .. n }) end
    for round = 1, 4 do
      stoke.sleep(random:float() * 0.5)
      if round == 3 then
        server:kill()
        server:run()
      else
        local name = ("abcd"):sub(round, round)
        farm:kill(name)
        farm:start(name, { "--tries", "50" })
      end
    end
    local doubts = 0
    for n, run in ipairs(list) do
      farming.until_(function()
        local status = run:status()
        if status.state == "parked" then
          doubts = doubts + 1
          local verdict = witness.done["/pay/" .. n] and { "--value", '"done"' } or { "--retry" }
          farm:command(status.host, "resolve", run.id, table.unpack(verdict))
          stoke.sleep(0.3)
        end
        return status.state == "done"
      end, 60)
    end
    for n = 1, 200 do t.eq({ n, witness.done["/pay/" .. n] }, { n, 1 }) end
  end)
