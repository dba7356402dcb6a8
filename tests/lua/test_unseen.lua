-- Agents and tools where nobody looks at the requests, as outside of `stoke test`: a test traces with bodies, so in it each request
-- is data, and the way on which it is written at once (stdlib/ollama/written.lua) is never taken. So the tests of these files run
-- here once more without. (A test that checks effects, by t.called and the like, finds none here: it belongs into another file.)

local test = require "stoke.test"
local protocol = require "stoke.ollama.protocol"
local unseen = require "unseen"

local FILES = { "test_agent.lua", "test_agent_session.lua", "test_agent_output.lua", "test_tool.lua" }

local ran, written = 0, 0

local function again(name, options, f)
  if type(options) == "function" then options, f = {}, options end
  test(name .. " (unseen)", options, function(t)
    local chat = protocol.chat
    local _ <close> = setmetatable({}, { __close = function() protocol.chat = chat end })
    function protocol.chat(...)
      local q = chat(...)
      if rawget(q, "sent") then written = written + 1 end
      return q
    end
    ran = ran + 1
    local alone <close> = unseen() -- luacheck: ignore
    return f(t)
  end)
end

local folder = debug.getinfo(1, "S").source:match "^@(.*)/"
local twice = setmetatable({}, { __index = test, __call = function(_, ...) return again(...) end })
package.loaded["stoke.test"] = twice
for _, file in ipairs(FILES) do assert(loadfile(folder .. "/" .. file))() end
package.loaded["stoke.test"] = test

test("requests of these tests were written at once", function(t)
  if ran < 70 then t.skip "counts what the others did" end
  t.ok(written > 50, written)
end)
