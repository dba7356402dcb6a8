-- What the sides and the judge of debate.lua say. The sceptic fails once; a vote has five answers, three of which are equal.

local votes, failed = { "32", "34", "32", "32", "30" }, false

return function(request)
  local words, last = request.messages[1].content, request.messages[#request.messages].content
  if words:find "^You debate as an advocate" then
    if last:find "Others have answered" then return "A tram, but a short line first: the sceptic is right about the cost." end
    return "Yes. A tram brings people into the town without cars."
  elseif words:find "^You debate as a sceptic" then
    if not failed then
      failed = true
      return { error = "the model runner has stopped", status = 400 }
    end
    if last:find "Others have answered" then return "A short line may be worth it, if the region pays half." end
    return "No. A bus costs a tenth of it."
  elseif words:find "^You judge" then
    return "Build a short line if the region pays half: both sides agree on that in the end."
  end
  return { text = table.remove(votes, 1), delay = 0.1 }
end
