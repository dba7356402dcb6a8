-- What the model of assistant.lua says: it answers what it is asked last, first with a call, then with what came of it.

local function call(name, arguments) return { tool_calls = { { name = name, arguments = arguments } } } end

local FIRST = {
  ["What is 17 * 23?"] = call("calculator", { expression = "17 * 23" }),
  ["What is here?"] = call("list_dir", {}),
  ["What is in it?"] = call("read_file", { path = "notes/monday.md" }),
  ["Write a list."] = call("write_file", { path = "list.txt", content = "bread\nsalt\n" }),
  ["Show me the list."] = call("run_command", { command = "cat list.txt" }),
  ["Remove it."] = call("run_command", { command = "rm list.txt" }),
}

return function(request)
  local last, asked = request.messages[#request.messages], nil
  if last.role == "tool" then return "It says: " .. last.content:match "^[^\n]*" end
  if last.role == "user" then asked = last.content end
  return FIRST[asked] or "I was asked: " .. tostring(asked)
end
