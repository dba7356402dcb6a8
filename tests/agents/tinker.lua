-- A clerk that knows what its instructions tell it, and a writer that is wrong first: its first idea makes the clerk worse.
local KNOWS = { { "charged", "billing", "money" }, { "cost", "billing", "prices" }, { "closes", "bug", "does not work" },
  { "sign in", "account", "sign%-in" } }
local IDEAS = { "Say yes.", "Sort the message: billing (money), bug (it does not work) or account.",
  "Sort the message: billing (money, prices), bug (it does not work) or account (sign-in). Answer with the word alone." }

return function(request)
  local told, said, turns = "", request.messages[#request.messages].content, 0
  for _, message in ipairs(request.messages) do
    if message.role == "system" then told = message.content end
    if message.role == "user" then turns = turns + 1 end
  end
  if said:find "Present instructions" then return IDEAS[turns] end
  for _, one in ipairs(KNOWS) do
    local first = one[2] == "billing" and told:find "^Sort the message: billing,"
    if said:find(one[1]) and (first or told:find(one[3])) then return one[2] end
  end
  return "question"
end
