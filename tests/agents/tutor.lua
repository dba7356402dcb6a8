-- What the model of tutor.lua says: it judges an answer, notes it, remembers what it is told, and asks about what it is shown.

local function call(name, arguments) return { tool_calls = { { name = name, arguments = arguments } } } end

-- What the learner said last, and the notes that stand before it.
local function asked_with(messages)
  for i = #messages, 1, -1 do
    if messages[i].role == "user" then
      local notes, asked = messages[i].content:match "^(Notes of yours.-)\n\n(.*)$"
      return asked or messages[i].content, notes or ""
    end
  end
end

return function(request)
  local messages = request.messages
  local last, asked, notes = messages[#messages], asked_with(messages)
  if last.role == "tool" and last.content == "noted" then
    return { text = "Not quite: 1/2 + 1/3 = 5/6. What is 1/2 + 1/4?", delay = asked:find "7/9" and 600 or nil }
  end
  if last.role == "tool" and last.content == "remembered" then return "Football! What is half of a match of 90 minutes?" end
  if last.role == "tool" then return "You know this: " .. last.content end
  if asked:find "2/5" or asked:find "7/9" then return call("note_answer", { topic = "Fractions", right = false }) end
  if asked:find "3/4" then return call("note_answer", { topic = "decimals", right = true }) end
  if asked:find "football" then return call("remember", { fact = "The learner likes football.", importance = 6 }) end
  if asked:find "How am I" then return call("read_progress", {}) end
  local about = asked:match "Ask me one question about ([^.]+)%."
  if about then
    local when, what = notes:match "%((%w+ %w+ ago)%) The learner likes (%w+)"
    return ("A question about %s%s."):format(about, what and (", with %s, as I was told %s"):format(what, when) or "")
  end
  return ("Fractions it is. What is 1/2 + 1/3? (%d)"):format(#messages)
end
