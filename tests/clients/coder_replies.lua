-- What the model behind coder.lua says: it runs a command of the client, and tells what came of it.

return function(request, n)
  if n == 1 then return { tool = "exec_command", args = { cmd = "echo $((17 * 23))" } } end
  local last = request.messages[#request.messages]
  return "The command said: " .. tostring(last.content):gsub("%s+", " ")
end
