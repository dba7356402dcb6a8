-- Four hosts, each in a network namespace of its own, and a PostgreSQL that they share: one vanishes, one joins, the server is
-- killed, a partition heals. JOBS=100000 by hand.

local test = require "stoke.test"
local fs = require "stoke.fs"
local postgres = require "postgres"
local proc = require "stoke.proc"
local stoke = require "stoke"
package.path = "tests/lua/?.lua;" .. package.path
local farming = require "farming"

local JOBS <const> = math.tointeger(tonumber(os.getenv "JOBS" or "")) or 600
local JOB <const> = [[
local stoke = require "stoke"
stoke.workflow("job", function(n)
  return stoke.step("double", function() return n * 2 end)
end)
]]

local function ip(...) return proc.run { argv = { "ip", ... }, stderr = "merge" } end

-- Namespaces on one bridge; addresses 10.PART.0.1 for this host, 10.PART.0.2 and on for the others.
local function network(t, names)
  local tag = "st" .. tostring(stoke.rand.int(100, 999))
  local net = { tag = tag, address = ("10.%d.0."):format(stoke.rand.int(60, 250)) }
  local made = ip("link", "add", tag, "type", "bridge")
  if made.code ~= 0 then t.skip("network namespaces need root: " .. made.stdout) end
  setmetatable(net, { __close = function()
    for _, name in ipairs(names) do ip("netns", "del", tag .. name) end
    ip("link", "del", tag)
  end })
  ip("addr", "add", net.address .. "1/24", "dev", tag)
  ip("link", "set", tag, "up")
  for i, name in ipairs(names) do
    local ns, here = tag .. name, tag .. name .. "h"
    ip("netns", "add", ns)
    ip("link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", ns)
    ip("link", "set", here, "master", tag, "up")
    ip("-n", ns, "addr", "add", net.address .. i + 1 .. "/24", "dev", "eth0")
    ip("-n", ns, "link", "set", "eth0", "up")
    ip("-n", ns, "link", "set", "lo", "up")
  end
  -- Is a host on the network?
  function net.link(name, up) ip("link", "set", tag .. name .. "h", up and "up" or "down") end
  function net.inside(name) return { "ip", "netns", "exec", tag .. name } end
  return net
end

test("four hosts: one vanishes, one joins, the server is killed, a partition heals; each job is done, once",
  { real = true, timeout = 3600 }, function(t)
    local names = { "a", "b", "c", "d", "e" }
    local server <close> = postgres.start(t, { "-c", "listen_addresses=0.0.0.0" })
    local net <close> = network(t, names)
    fs.write(server.folder .. "/data/pg_hba.conf", "host all all 0.0.0.0/0 trust\n", { append = true })
    server:psql "SELECT pg_reload_conf()"
    local farm <close> = farming.new(t, JOB, ("postgres://stoke@%s1:%d/postgres"):format(net.address, server.port))
    local function join(name) farm:start(name, { "--tries", "50", "--lease", "3" }, net.inside(name)) end
    for i = 1, 4 do join(names[i]) end
    local flow, list, began = farming.flow "job", {}, stoke.time.monotonic()
    for n = 1, JOBS do list[n] = n end
    local beginning = stoke.spawn(function()
      local scope <close> = stoke.scope {}
      scope:map(list, function(n) flow:start(n, { id = "job " .. n }) end, { limit = 50 })
    end)
    stoke.sleep(1)
    farm:kill "a" -- vanishes
    stoke.sleep(0.5)
    net.link("b", false) -- is cut off
    join "e"
    stoke.sleep(1)
    server:kill()
    server:run()
    stoke.sleep(4) -- longer than the lease: others have its runs by now
    net.link("b", true)
    beginning:await()
    local sum = 0
    for n = 1, JOBS do
      local run = require "stoke.workflow".run("job " .. n)
      local value, err = stoke.try(run.await, run)
      if err and err.kind == "in_doubt" then -- its host was gone in the middle of the step: nothing was done by it that counts
        farm:command(run:status().host, "resolve", run.id, "--value", tostring(n * 2))
        value = farming.until_(function() return run:status().state == "done" end, 30) and run:status().result
      elseif err then
        error(err, 0)
      end
      t.eq({ n, value }, { n, n * 2 })
      sum = sum + 1
    end
    t.eq(sum, JOBS)
    print(("%d jobs in %.1f s"):format(JOBS, stoke.time.monotonic() - began))
  end)
