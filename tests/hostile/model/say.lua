-- Words of the wire, for the parts of the list.

local json = require "stoke.json"

local M = { null = json.null }

local function encode(value) return json.encode(value) end
M.encode = encode

--- A last object with this message, and other fields of the reply.
function M.last(message, more)
  local reply = { model = "m", created_at = "2026-01-01T00:00:00Z", message = message, done = true, done_reason = "stop",
    prompt_eval_count = 20, eval_count = 5, total_duration = 1000000, load_duration = 0 }
  for name, value in pairs(more or {}) do reply[name] = value end
  return encode(reply)
end

--- An answer in words.
function M.text(content, more) return M.last({ role = "assistant", content = content }, more) end

--- An answer that calls; each call as the API has it, or whatever else is given.
function M.calls(...) return M.last { role = "assistant", content = "", tool_calls = json.array { ... } } end

--- The same, its list of calls as JSON text.
function M.raw_calls(text)
  return (M.last({ role = "assistant", content = "", tool_calls = "@" }):gsub('"@"', function() return text end))
end

function M.call(name, arguments, id)
  return { id = id, ["function"] = { name = name, arguments = arguments or json.object {} } }
end

function M.weather(city, id) return M.call("get_weather", { city = city or "Oslo" }, id) end

--- A line of a stream that is not the last.
function M.piece(content, more)
  local message = { role = "assistant", content = content }
  for name, value in pairs(more or {}) do message[name] = value end
  return encode { model = "m", created_at = "2026-01-01T00:00:00Z", message = message, done = false }
end

--- A reply of the simulator that calls.
function M.scripted(...)
  local calls = {}
  for i, call in ipairs { ... } do calls[i] = { name = call[1], arguments = call[2] or json.object {} } end
  return { tool_calls = calls }
end

return M
