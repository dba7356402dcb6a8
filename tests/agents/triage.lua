-- The help desk under a script: two models, of which the smaller one takes each account for a question, and never sees an urgency.
local TOPICS = { { "password", "account" }, { "e%-mail", "account" }, { "signed in", "account" }, { "delete", "account" },
  { "charged", "billing" }, { "cost", "billing" }, { "cancelled", "billing" }, { "pay", "billing" }, { "closes", "bug" },
  { "upside down", "bug" }, { "plays any more", "bug" }, { "clock", "bug" } }
local URGENT = { "charged twice", "still take", "closes as soon", "No song", "lost my password", "locked me out" }

return function(request)
  local message, small = request.messages[#request.messages].content, request.model:find "^llama"
  local topic, urgent = "question", false
  for _, one in ipairs(TOPICS) do
    if message:find(one[1]) then
      topic = one[2]
      break
    end
  end
  for _, part in ipairs(URGENT) do urgent = urgent or message:find(part, 1, true) ~= nil end
  if small then topic, urgent = topic == "account" and "question" or topic, false end
  return { json = { topic = topic, urgent = urgent } }
end
