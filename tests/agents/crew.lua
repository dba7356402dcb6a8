-- What the manager and the crew of crew.lua say. The first plan stalls: the reader looks for a file that is not there. With --split
-- the calculator cannot do its part, and the reader takes its place.

local function call(name, arguments) return { tool_calls = { { name = name, arguments = arguments } } } end

local judged, tried = 0, 0

local function verdict(reason, done, progress, next_one, instruction)
  return { json = { reason = reason, done = done, progress = progress, next = next_one, instruction = instruction } }
end

local function judge(text)
  judged = judged + 1
  if text:find "They pay 31" then return verdict("both are known", true, true, "reader", "nothing") end
  if judged == 1 then return verdict("nothing is known", false, true, "reader", "Read prices.md.") end
  if judged <= 4 then return verdict("the file is not there", false, false, "reader", "Read prices.md.") end
  if text:find "12.40" then return verdict("the prices are known", false, true, "calculator", "Compute 2 * 12.40 + 12.40 / 2.") end
  return verdict("the files are known now", false, true, "reader", "Read tickets.md and ferries.md.")
end

local function reader(messages)
  local last = messages[#messages]
  if last.role == "tool" then
    if last.content:find "17:30" then
      return "The last ferry leaves at 17:30 (ferries.md). An adult pays 12.40, a child half (tickets.md)."
    end
    if last.content:find "12.40" then return call("read_file", { path = "ferries.md" }) end
    return "There is no such file."
  end
  if last.content:find "Read tickets.md" then return call("read_file", { path = "tickets.md" }) end
  if last.content:find "Your part:\nCompute" then return "They pay 31." end
  if last.content:find "Your part:" then return call("read_file", { path = "tickets.md" }) end
  return call("read_file", { path = "prices.md" })
end

return function(request)
  local words, last = request.messages[1].content, request.messages[#request.messages]
  local text = last.content
  if words:find "^You look things up" then return reader(request.messages) end
  if words:find "^You compute" then
    if text:find "Your part:" then
      tried = tried + 1
      return { error = "the model runner has stopped", status = 400 }
    end
    if last.role == "tool" then return "They pay " .. last.content .. "." end
    return call("calculator", { expression = "2 * 12.40 + 12.40 / 2" })
  end
  local properties = request.format and request.format.properties
  if properties and properties.reason then return judge(text) end
  if properties and properties.parts then
    return { json = { parts = { { part = "Find the prices and the ferries.", worker = "reader" },
      { part = "Compute what they pay.", worker = "calculator" } } } }
  end
  if text:find "List in short" then return "- two adults, one child\n- prices and times have to be found" end
  if text:find "anew" then return "- prices.md is not there\n- tickets.md and ferries.md are" end
  if text:find "Write a plan" then
    if text:find "prices.md is not there" then return "1. reader: tickets.md, ferries.md\n2. calculator: the sum" end
    return "1. reader: prices.md"
  end
  return "They pay 31, and the last ferry leaves at 17:30."
end
