-- What the team of research.lua says. The first worker on the tickets looks for the same missing file again and again. A request
-- that says "lost" is too much for both workers: each reads the one file for ever, and the reader answers from what they read.

local function call(name, arguments) return { tool_calls = { { name = name, arguments = arguments } }, delay = 0.1 } end

local lost = 0

local function asked_to_get_lost(request)
  for _, message in ipairs(request.messages) do
    if message.role == "user" and message.content:find "^Lost" then return true end
  end
  return false
end

return function(request)
  local words = request.messages[1].content
  if words:find "^Split the request" then
    if request.messages[2].content:find "^Lost" then return '{"questions": ["Lost: when does the first ferry leave?"]}' end
    return '{"questions": ["When does the ferry leave?", "What do two adults and a child pay?"]}'
  elseif words:find "^Answer the question from the excerpts" then
    local asked = request.messages[2].content
    return asked:find "ferries.md" and asked:find "17:30" and "At 9:00, says ferries.md." or "They do not tell."
  elseif words:find "^Write one answer" then
    return "Ferries leave at 9:00, 13:00 and 17:30 (ferries.md). Two adults and a child pay 31 (tickets.md)."
  end
  local last = request.messages[#request.messages]
  local result = last.role == "tool" and last.content
  if asked_to_get_lost(request) then return call("read_file", { path = "ferries.md" }) end
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
