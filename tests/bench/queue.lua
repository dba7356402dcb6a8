-- make bench: items a second through three streams of a local queue, each read by a group that does nothing and hands over.
--   stoke queue.lua FOLDER
local stoke = require "stoke"

local N <const>, BATCH <const> = 30000, 256

stoke.main(function(args)
  local queue <close> = stoke.queue("local:" .. args[1] .. "/bench.db")
  local began = stoke.time.monotonic()
  local function stage(from, to)
    local reader <close> = queue:consume(from, "g", { prefetch = BATCH })
    local done = 0
    while done < N do
      local list = {}
      for i = 1, math.min(BATCH, N - done) do
        local item = reader:take(list[1] and 0 or nil)
        if not item then break end
        list[i] = { item = item, state = "done", publish = { { stream = to, id = item.id, value = item.value } } }
      end
      queue:settle(list)
      done = done + #list
    end
  end
  local scope <close> = stoke.scope {}
  scope:spawn(function()
    for at = 1, N, BATCH do
      local list = {}
      for i = at, math.min(N, at + BATCH - 1) do list[#list + 1] = { id = tostring(i), value = i } end
      queue:publish_all("a", list)
    end
  end)
  for i = 1, 3 do scope:spawn(function() stage(("abcd"):sub(i, i), ("abcd"):sub(i + 1, i + 1)) end) end
  scope:wait()
  print(("items_s=%.0f"):format(N / (stoke.time.monotonic() - began)))
end)
