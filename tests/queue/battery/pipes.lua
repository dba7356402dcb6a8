-- The battery of engines: stoke.pipeline over one, opened by its address.

local means = require "battery.means"
local stoke = require "stoke"

local behaviour, want = means.behaviour, means.want

--- Stages that hand on what they are given; told(value) is called of what comes to the last one.
local function pipeline(g, told)
  local function same(v) return v end
  return stoke.pipeline { name = (g.name "p":gsub("[^%w]", "-")), engine = g.e.url, stages = {
    { name = "a", run = same, concurrency = 2 }, { name = "b", run = same },
    { name = "c", post = told or same, concurrency = 2 } } }
end

local function items(n)
  local list = {}
  for i = 1, n do list[i] = { id = "i" .. i, value = { n = i } } end
  return list
end

behaviour("a pipeline ends when all of its items are done, and not sooner, however many others there are", function(g)
  for n = 1, 4 do -- each makes it longer work for some engines to tell of all streams
    local report, left = pipeline(g):run(items(20)), 0
    for _, row in ipairs(report.stages) do left = left + row.waiting + row.lent end
    want(("done, dead, left of pipeline %d"):format(n), { report.done, report.dead, left }, { 20, 0, 0 })
  end
end)

behaviour("a pipeline whose items come one by one, with pauses in which nothing is left, goes on to the last of them", function(g)
  local n, came = 0, 0
  local report = pipeline(g, function() came = came + 1 end):run(function()
    n = n + 1
    if n > 6 then return nil end
    if n % 2 == 0 then stoke.sleep(g.short) end
    return { id = n, value = { n = n } }
  end)
  want("done, and seen by the last stage", { report.done, came }, { 6, 6 })
end)

behaviour("of two who work at one pipeline neither ends while the other has items under way", function(g)
  local slow = pipeline(g, function() stoke.sleep(2 * g.short) end)
  local other = stoke.pipeline { name = slow.name, engine = slow.engine, stages = {
    { name = "a", run = function(v) return v end }, { name = "b", run = function(v) return v end },
    { name = "c", post = function() stoke.sleep(2 * g.short) end } } }
  slow:put(items(6))
  local scope <close> = stoke.scope {}
  local first = scope:spawn(slow.run, slow)
  want("the other one", other:run().done, 6)
  want("the first one", first:await().done, 6)
end)
