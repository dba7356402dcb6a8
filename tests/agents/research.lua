-- What the team of research.lua says. The first worker on the tickets looks for the same missing file again and again.

local function call(name, arguments) return { tool_calls = { { name = name, arguments = arguments } }, delay = 0.1 } end

local lost = 0

return function(request)
  local words = request.messages[1].content
  if words:find "^Split the request" then
    return '{"questions": ["When does the ferry leave?", "What do two adults and a child pay?"]}'
  elseif words:find "^Write one answer" then
    return "Ferries leave at 9:00, 13:00 and 17:30 (ferries.md). Two adults and a child pay 31 (tickets.md)."
  end
  local last = request.messages[#request.messages]
  local result = last.role == "tool" and last.content
  if request.messages[2].content:find "ferry" then
    if not result then return call("read_file", { path = "ferries.md" }) end
    return "At 9:00, 13:00 and 17:30, says ferries.md."
  end
  if lost < 3 then
    lost = lost + 1
    return call("read_file", { path = "prices.md" })
  end
  if not result then return call("list_dir", {}) end
  if result:find "tickets.md" then return call("read_file", { path = "tickets.md" }) end
  if result:find "12.40" then return call("calculator", { expression = "2 * 12.40 + 12.40 / 2" }) end
  return "They pay " .. result .. ", says tickets.md."
end
