-- A simulated Ollama in memory whose model says what the test tells it to, and what it was asked:
--
--     local server <close> = scripted { { tool_calls = { { name = "f", arguments = {} } } }, "a text" }
--     stoke.agent { model = scripted.MODEL, endpoint = server.url }:run "Hi"
--     server.requests[1].messages
--
-- Replies are those of stdlib/sim/script.lua; a function gets (request, n). Other options go to stoke.sim.

local sim = require "stoke.sim"

local M = { MODEL = "qwen2.5:3b" }

local count = 0

return setmetatable(M, { __call = function(_, script, options)
  count = count + 1
  local requests, given = {}, options or {}
  given.mem, given.load_seconds = "scripted" .. count, given.load_seconds or 0
  given.tokens_per_second = given.tokens_per_second or 0
  given.script = function(request, n)
    requests[n] = request
    if type(script) == "function" then return script(request, n) end
    return script[n]
  end
  local server = sim.serve(given)
  return setmetatable({ url = server.url, requests = requests, sim = server.sim }, { __close = function() server:close() end })
end })
