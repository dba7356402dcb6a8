-- What the guide of watched_runs.lua answers.

local HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>'

return function(request)
  local last = request.messages[#request.messages]
  if last.role == "user" then return { tool = "get_weather", args = { city = "Oslo" } } end
  return "Take one. " .. HOSTILE
end
