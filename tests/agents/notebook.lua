-- What the model of notebook.lua says: it keeps what it is told, searches for what it is asked, and answers what it found.

local function call(name, arguments) return { name = name, arguments = arguments } end

return function(request)
  local last = request.messages[#request.messages]
  if last.role == "tool" then return "Noted, or found: " .. last.content:match "[^\n]*" end
  local fact = last.content:match "^Remember that (.*)"
  if fact then return { tool_calls = { call("remember", { text = fact }) } } end
  return { tool_calls = { call("search_notes", { words = 'figs" OR (nuts* -- ' .. last.content:gsub("%W", " ") }) } }
end
