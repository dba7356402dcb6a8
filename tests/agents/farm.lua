-- What the model of farm.lua says of letters, by what is in them.

return function(request)
  local last = request.messages[#request.messages].content
  if last:find "broken" then
    return '{"subject": "The lamp came broken", "urgent": true, "answer": "We are sorry. Another one leaves today."}'
  end
  return { text = '{"subject": "When do you open?", "urgent": false, "answer": "At nine. See you then."}', delay = 0.2 }
end
