-- What the model of notes.lua says: a statement from each passage that tells something, one with a number that there is not.

return function(request)
  local asked = request.messages[#request.messages].content
  if not asked:match("Question: [^\n]*$"):find "leave" then return '{"statements": []}' end
  local statements = {}
  for passage in (asked .. "\n\n"):gmatch "(.-)\n\n" do -- quoted lines are never empty
    local number, time = passage:match "^%[(%d)%]", passage:match "%d+:%d%d"
    if number and time then
      table.insert(statements, ('{"text": "The ferry leaves at %s.", "passages": [%s]}'):format(time, number))
    end
    if number and passage:find "Bicycles" then
      table.insert(statements, ('{"text": "Bicycles go for free [9].", "passages": [%s]}'):format(number))
    end
  end
  return '{"statements": [' .. table.concat(statements, ", ") .. "]}"
end
