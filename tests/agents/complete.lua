-- What the model of complete.lua says: the sum for a function that adds, else a word.

return function(request)
  if (request.prompt or ""):match("<|fim_prefix|>(.*)$"):find("add", 1, true) then return " a + b\n\nprint(add(1, 2))\n" end
  return "word"
end
