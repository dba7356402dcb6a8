-- What the model of tutor.lua says: it judges an answer, notes it, and asks again about what was wrong.

local function call(name, arguments) return { tool_calls = { { name = name, arguments = arguments } } } end

return function(request)
  local messages = request.messages
  local last = messages[#messages]
  if last.role == "tool" and last.content == "noted" then return "Not quite: 1/2 + 1/3 = 5/6. What is 1/2 + 1/4?" end
  if last.role == "tool" then return "You know this: " .. last.content end
  if last.content:find "2/5" then return call("note_answer", { topic = "Fractions", right = false }) end
  if last.content:find "3/4" then return call("note_answer", { topic = "fractions", right = true }) end
  if last.content:find "How am I" then return call("read_progress", {}) end
  return ("Fractions it is. What is 1/2 + 1/3? (%d)"):format(#messages)
end
