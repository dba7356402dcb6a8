-- What the model of coder.lua says: it mends one of the two mistakes, is told that a test still fails, and mends the other.

local function call(name, arguments) return { name = name, arguments = arguments } end

-- The test command stands in the task.
local function tested(request)
  for _, message in ipairs(request.messages) do
    local command = message.role == "user" and message.content:match "The tests %((.-)%) now say"
    if command then return command end
  end
end

local STEPS = {
  function() return { tool_calls = { call("list_dir", {}) } } end,
  function()
    return { tool_calls = { call("read_file", { path = "basket.lua" }), call("read_file", { path = "check.lua" }) } }
  end,
  function() -- quoted from memory, hence wrong
    local old, new = "for i = 0, #items do", "for i = 1, #items do"
    return { tool_calls = { call("patch_file", { path = "basket.lua", old = old, new = new }) } }
  end,
  function() return { tool_calls = { call("patch_file", { path = "basket.lua", old = "#items - 1 do", new = "#items do" }) } } end,
  function() return "The loop left out the last item; now it does not." end,
  function()
    return { tool_calls = { call("patch_file", { path = "basket.lua", old = "/ 100)", new = "/ 100 + 0.5)" }) } }
  end,
  function(request) return { tool_calls = { call("run_command", { command = tested(request) }) } } end,
  function() return "The total is now rounded half up, as its comment says." end,
}

return function(request, n) return STEPS[n] and STEPS[n](request) or "I do not know how to go on." end
