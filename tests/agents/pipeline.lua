-- What the model of pipeline.lua says: an amount that stands in the letter, none, and one that it made up.

return function(request)
  local letter = request.messages[#request.messages].content
  if letter:find "Acme" then return { json = { from = "Acme Works", subject = "a missing hose", amount = 1250 } } end
  if letter:find "Bolt" then return { json = { from = "Bolt & Sons", subject = "the new catalogue" } } end
  return { json = { from = "Cable Co.", subject = "rent", amount = 400 } }
end
