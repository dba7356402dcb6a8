--- The built-in answers: plain talk that says what it is, a summary by the first sentences, a tool
--- chosen by its schema, a JSON schema filled in. Simple matching of words, the same every time.

local json = require "stoke.ollama.server.gojson"
local fill = require "stoke.sim.fill"

local M = {}

local STOP = {}
for w in ("a an and any are as at be by can do does for from get give has have how i in is it list me my need of on or please " ..
  "set show so that the their them there this to use was what when where which who will with would you your tool call " ..
  "function value name"):gmatch "%S+" do STOP[w] = true end

local function words(text)
  local set = {}
  for w in (text or ""):lower():gmatch "[%w\128-\255]+" do
    if not STOP[w] and #w > 1 then
      set[w] = true
      if #w > 4 then set[(w:gsub("s$", ""))] = true end
    end
  end
  return set
end

local function overlap(set, text)
  local n = 0
  for w in pairs(words(text)) do if set[w] then n = n + 1 end end
  return n
end

--- The text of the last message of a role, and its place.
---@param messages table[]
---@param role string
---@return string text
---@return integer index 0 when there is none
function M.last(messages, role)
  for i = #messages, 1, -1 do
    if messages[i].role == role then return messages[i].content or "", i end
  end
  return "", 0
end

local function shorten(text, n)
  local out, count = {}, 0
  for w in text:gmatch "%S+" do
    count = count + 1
    if count > n then out[#out] = out[#out] .. " ..." break end
    out[#out + 1] = w
  end
  return table.concat(out, " ")
end

local function first_sentence(text)
  text = text:gsub("^%s+", "")
  local s = text:match "^(.-[.!?])%s" or text:match "^(.-)\n%s*\n" or text
  return shorten(s, 40)
end

-- The material of a "summarize this" message: what follows the first blank line or colon, else all
-- of it.
local function material(text)
  return text:match "\n%s*\n(.+)$" or text:match ":%s+(.+)$" or text:match "\n(.+)$" or text
end

local function summary(text)
  local body = material(text)
  local out = { first_sentence(body) }
  for paragraph in (body:match "\n%s*\n(.+)$" or ""):gmatch "[^\n]+" do
    if #out >= 3 then break end
    if paragraph:match "%S" then out[#out + 1] = first_sentence(paragraph) end
  end
  return table.concat(out, " ")
end

local function talk(text, model)
  local said = shorten(text, 12)
  if said == "" then return "This is the stoke simulator answering as " .. model .. "; the message was empty." end
  return ("This is the stoke simulator answering as %s, not a language model. You wrote: \"%s\"."):format(model, said)
end

-- Tools -------------------------------------------------------------------------------------------

local function description(f)
  local out = { (f.name or ""):gsub("[_-]", " "), f.description or "" }
  local props = f.parameters and f.parameters.properties
  if json.is_object(props) then
    for _, k in ipairs(json.keys(props)) do
      local p = props[k]
      out[#out + 1] = k:gsub("_", " ") .. " " .. (type(p) == "table" and type(p.description) == "string"
        and p.description or "")
    end
  end
  return table.concat(out, " ")
end

-- The best tool for a text, with its arguments; nil when none seems meant.
local function choose(tools, text)
  local set = words(text)
  local best, best_score, best_args
  for _, tool in ipairs(tools) do
    local f = tool["function"]
    if type(f) == "table" and type(f.name) == "string" then
      local args, found, missing = fill.arguments(f.parameters, text)
      local score = 3 * overlap(set, (f.name:gsub("[_-]", " "))) + overlap(set, description(f)) + found
      local named = text:find(f.name, 1, true) ~= nil
      if named then score = score + 100 end
      local fits = missing == 0 and (named or score > found
        or (found > 0 and (#tools == 1 or text:find("?", 1, true) ~= nil)))
      if fits and score > (best_score or 0) then best, best_score, best_args = f, score, args end
    end
  end
  return best, best_args
end

local function calls(tools, text)
  local f, args = choose(tools, text)
  if not f then return nil end
  local list = {}
  for _, a in ipairs(fill.variants(f.parameters, text, args)) do
    list[#list + 1] = { name = f.name, arguments = a }
  end
  return list
end

local function tool_answer(messages, asked)
  local out = {}
  for i = asked + 1, #messages do
    local m = messages[i]
    if m.role == "tool" then
      out[#out + 1] = (m.tool_name and m.tool_name .. " returned " or "The tool returned ") .. shorten(m.content or "", 60)
    end
  end
  return table.concat(out, "; ") .. "."
end

--- An answer by the built-in rules.
---@param q { messages: table[]?, prompt: string?, suffix: string?, tools: table[]?, format: any, think: any, model: string }
---@return table reply {text, thinking?, tool_calls?}
function M.answer(q)
  local messages = q.messages
  local text, asked = q.prompt or "", 0
  if messages then text, asked = M.last(messages, "user") end
  local reply = {}
  if q.think then reply.thinking = "The simulator matches words; it does not think." end
  local system = messages and M.last(messages, "system") or q.system or ""
  if q.format ~= nil then
    reply.text = json.encode(fill.format(q.format, text))
  elseif messages and #messages > 0 and messages[#messages].role == "tool" then
    reply.text = tool_answer(messages, asked)
  elseif q.suffix and q.suffix ~= "" then
    reply.text = "stoke_simulator()"
  else
    local tools = q.tools and #q.tools > 0 and calls(q.tools, text)
    if tools then
      reply.tool_calls, reply.text = tools, ""
    elseif (text .. " " .. system):lower():find("summar", 1, true) then
      reply.text = summary(text)
    else
      reply.text = talk(text, q.model)
    end
  end
  return reply
end

return M
