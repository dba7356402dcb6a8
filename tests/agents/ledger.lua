-- What the model of ledger.lua says: it pays what the invoice says, and tells what came of it.

return function(request)
  local last = request.messages[#request.messages]
  if last.role == "tool" then return "Done: " .. last.content .. "." end
  return { tool_calls = { { name = "pay", arguments = { vendor = "ACME Ltd", euros = 40 } } } }
end
