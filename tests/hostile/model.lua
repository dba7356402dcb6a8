-- A model that misbehaves: the list of what it (or the server in front of it) does, for tests/lua/test_misbehaviour.lua.
--
-- Each is { name =, script = | raw =, expect =, ... }:
--
--   script    replies as stdlib/sim/script.lua takes them, the simulator's: a list, or fun(request, n)
--   raw       what the simulator cannot say: a list of a body (which is also the one line of the stream), { lines =, body = } or
--             { status =, body = }, with gap, hang, reset, open; the last one again and again
--   after     what is said after the script; "Done." unless given
--   with      the agent it is made for: "tools" unless given, or "plain", "output", "both" (tools and output), "choose", or a
--             function fun(env) -> agent of its own
--   expect    "value", or the kinds of errors it may end in ("value" may be one of them), as one text with blanks
--   text      the text of the answer, where it is a value; output: the value of the schema, where it is one
--   says      a pattern of the error's message
--   repairs   usage.repairs; requests: how many; seen: calls that reached the tools, "get_weather Oslo, add 1 2"
--   long      so much text that it is played to the agent it is made for only
--   differs   why run and stream may end differently

local M = {}

for _, part in ipairs { "bodies", "lines", "calls", "failures", "texts", "outputs", "tools", "loops" } do
  local list = require("tests.hostile.model." .. part)
  for i, case in ipairs(list) do
    case.name = part .. ": " .. case.name
    M[#M + 1] = case
    if not case.expect then error(("%s[%d] %s expects nothing"):format(part, i, case.name)) end
  end
end

return M
