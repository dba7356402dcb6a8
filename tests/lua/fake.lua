-- An Ollama in memory that says what the test tells it to, and remembers what it was asked:
--
--     local server <close> = fake { "one whole body", { lines = { ... } }, { status = 404, body = "..." } }
--     ollama.chat { model = "m", messages = ..., endpoint = server.url }
--     server.requests[1].body
--
-- Answers are given in turn, the last one again and again; a function gets (req, res, n) and answers itself.

local http = require "stoke.http"
local stoke = require "stoke"

local count = 0

local function answer(a, res)
  if type(a) == "string" then a = { body = a } end
  if a.delay then stoke.sleep(a.delay) end
  if not a.lines then
    return res:reply(a.status or 200, a.headers or { ["Content-Type"] = "application/json" }, a.body)
  end
  res:start(a.status or 200, { ["Content-Type"] = "application/x-ndjson" })
  for i, line in ipairs(a.lines) do
    if a.gap and i > 1 then stoke.sleep(a.gap) end
    res:write(line .. (a.open and i == #a.lines and "" or "\n"))
  end
  if a.hang then stoke.sleep(1e6) end
  if a.reset then res:reset() end
end

---@param answers table|function
return function(answers)
  count = count + 1
  local name, requests = "fake" .. count, {}
  local server
  server = http.serve { mem = name, max_body = 1 << 28, drain = 0, handler = function(req, res)
    requests[#requests + 1] = { method = req.method, path = req.path, body = req.body, headers = req.headers }
    local n = #requests
    if type(answers) == "function" then return answers(req, res, n) end
    return answer(answers[math.min(n, #answers)], res)
  end }
  return setmetatable({ url = "http://" .. name .. ".mem", name = name, requests = requests, server = server }, {
    __close = function() server:close() end,
  })
end
