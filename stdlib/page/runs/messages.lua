--- A conversation as a browser shows it: messages one after another, each cut to what is read at a glance; one of them whole where
--- it is asked for.

local data = require "stoke.page.data"
local json = require "stoke.json"
local llm = require "core.driver.llm"

local M = {}

--- Bytes of a text that are shown at first, and at most; messages of a page.
M.SHOWN, M.LONGEST, M.MOST = 3000, 4 << 20, 200

--- A text that fits, and how long it is where it was cut.
local function cut(text, most)
  if type(text) ~= "string" or text == "" then return nil end
  return data.text(text, most), #text > most and #text or nil
end

local function arguments_of(value, most)
  if type(value) == "string" then return (cut(value, most)) end
  return (cut(json.encode(data.plain(value, most)), most))
end

local function calls_of(calls, most)
  local out = json.array()
  for i, call in ipairs(type(calls) == "table" and calls or {}) do
    local f = type(call["function"]) == "table" and call["function"] or call
    out[i] = { name = data.text(f.name, 200) or "?", arguments = arguments_of(f.arguments or {}, most) }
  end
  return #out > 0 and out or nil
end

--- One message.
---@param message any as models are sent it: { role, content, thinking, tool_calls, images }
---@param most? integer bytes of a text
---@return table shown { role =, text =, size =, thinking =, calls =, tool =, images = }; size: bytes of a text that was cut
---
--- Example: `local shown = messages.one { role = "user", content = "Umbrella?" }`
function M.one(message, most)
  most = most or M.SHOWN
  if type(message) ~= "table" then return { role = "?", text = (cut(tostring(message), most)) } end
  local content, images = message.content, type(message.images) == "table" and #message.images or 0
  if type(content) == "table" then -- in parts, as some servers have it
    local parts = {}
    for _, part in ipairs(content) do
      if type(part) == "table" and type(part.text) == "string" then parts[#parts + 1] = part.text else images = images + 1 end
    end
    content = table.concat(parts, "\n")
  end
  local text, size = cut(content, most)
  return { role = data.text(message.role, 40) or "?", text = text, size = size, thinking = (cut(message.thinking, most)),
    calls = calls_of(message.tool_calls, most), tool = data.text(message.tool_name or message.name, 200),
    images = images > 0 and images or nil }
end

--- What a model was told, in the order it was told: a request has messages, or a prompt.
---@param q any
---@return table[]
---
--- Example: `local list = messages.asked(row.request)`
function M.asked(q)
  local body = type(q) == "table" and (type(q.body) == "table" and q.body or q) or {}
  if type(body.messages) == "table" then return body.messages end
  local list = {}
  if type(body.system) == "string" then list[1] = { role = "system", content = body.system } end
  if type(body.prompt) == "string" then list[#list + 1] = { role = "user", content = body.prompt } end
  return list
end

local function streamed(items)
  local text, thinking, calls = {}, {}, {}
  for _, item in ipairs(items) do
    local value = item.value
    if type(value) == "table" then
      if value.type == "text" then text[#text + 1] = tostring(value.text) end
      if value.type == "thinking" then thinking[#thinking + 1] = tostring(value.text) end
      if value.type == "tool_call" then calls[#calls + 1] = value end
    end
  end
  return { role = "assistant", content = table.concat(text), thinking = table.concat(thinking), tool_calls = calls }
end

--- What the model answered; nil: nothing yet, or nothing that can be read.
---@param row stoke.journal.row with its whole outcome
---@return table|nil message
---
--- Example: `local answer = messages.answer(row)`
function M.answer(row)
  local outcome, q = row.outcome, row.request
  if not outcome or outcome.err and not outcome.items then return nil end
  if outcome.items then return streamed(outcome.items) end
  local dialect = type(q) == "table" and q.protocol and llm.dialect(q.protocol)
  if not dialect or type(outcome.value) ~= "table" then return nil end
  local ok, answer = pcall(dialect.answer, outcome.value)
  if not ok or type(answer) ~= "table" then return nil end
  return { role = "assistant", content = answer.text, thinking = answer.thinking, tool_calls = answer.calls }
end

--- Messages of a page: the newest, and how many there are before them.
---@param list table[]
---@param before? integer only those before this number
---@return table { items = { { n =, role =, ... } }, first = integer }
---
--- Example: `local page = messages.page(messages.asked(row.request))`
function M.page(list, before)
  local last = math.min(#list, (before or #list + 1) - 1)
  local first = math.max(1, last - M.MOST + 1)
  local items = json.array()
  for n = first, last do
    local one = M.one(list[n])
    one.n = n
    items[#items + 1] = one
  end
  return { items = items, first = first }
end

return M
