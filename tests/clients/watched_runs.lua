-- A host whose history is looked at in a browser: runs that are done, that failed, that wait; one asks a model and a tool, and is
-- told texts that would be markup if anybody took them for it.

local stoke = require "stoke"

local HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>'

local weather = stoke.tool { name = "get_weather", description = "Current weather", params = { city = "string: city" },
  run = function(args) return "rain in " .. args.city .. " " .. HOSTILE end }
local guide = stoke.agent { name = "guide", model = "qwen2.5:3b", tools = { weather },
  instructions = "You are a guide. " .. ("You know all cities. "):rep(40) }

local job = stoke.workflow("job", function(input)
  stoke.step("look", function() return input end)
  if input == 7 then stoke.raise("argument", "seven is no job", "take another number") end
end)
local trip = stoke.workflow("trip", function(input)
  stoke.step("pack", function() return { "socks", "hat" } end)
  local answer = guide:run("Umbrella in " .. input.city .. "? " .. HOSTILE).text
  if input.waits then stoke.signal "go" end
  return answer .. ("\nlong"):rep(8000)
end)

stoke.main(function()
  for i = 1, 60 do stoke.try(function() job:start(i, { id = "job-" .. i }):await() end) end
  local waits = trip:start({ city = "Bern", waits = true }, { id = "trip-waits" })
  trip:start({ city = "Oslo" }, { id = "trip-oslo" }):await()
  trip:start({ city = "Rome" }, { id = "trip-rome" }):await()
  print "ready"
  while true do
    stoke.sleep(0.2)
    if stoke.fs.stat "go" then
      stoke.fs.remove "go"
      waits:signal("go")
    end
  end
end)
