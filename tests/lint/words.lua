-- What must not be in the tree: marks of unfinished work, paths of one machine, a second resume or pcall in C.
local source = require "source"

-- Written in two halves, so that this file does not accuse itself.
local MARKS = { "TO" .. "DO", "FIX" .. "ME", "XX" .. "X", "HA" .. "CK", "not " .. "implemented", "un" .. "implemented",
                "stu" .. "b", "stu" .. "bbed" }
local PATHS = { "/wo" .. "rk/", "/fa" .. "rm/" }
local HOMES = { "/ho" .. "me/%w", "/ro" .. "ot/", "/Us" .. "ers/%w" } -- tests may invent one

-- The one place for each of these in host/.
local SINGLE = {
  { word = "lua_resume", owner = "host/loop/task.c" },
  { word = "lua_pcall", owner = "host/loop/call.c" },
  { word = "lua_pcallk", owner = nil },
  { word = "luaL_dostring", owner = nil },
  { word = "luaL_dofile", owner = nil },
}

local function check_single(path, text, report)
  if not path:find "^host/.*%.c$" or path:find "^host/embed/" then return end
  local code = source.code(path, text)
  for _, rule in ipairs(SINGLE) do
    local seen = 0
    for n, line in source.lines(code) do
      if line:find("%f[%w_]" .. rule.word .. "%f[^%w_]%s*%(") then
        seen = seen + 1
        if path ~= rule.owner or seen > 1 then
          report(path, n, "calls " .. rule.word,
                 rule.owner and ("the one call is in %s; go through it"):format(rule.owner) or "use host/loop/call.h")
        end
      end
    end
  end
end

local function check_paths(path, n, line, patterns, report)
  for _, pattern in ipairs(patterns) do
    if line:find("[%s\"'=(:`]" .. pattern) then
      report(path, n, "names a path of one machine", "use a relative path, or a variable of the environment")
    end
  end
end

return {
  name = "words",
  folders = { "host", "lua", "stdlib", "agents", "tests", "docs", "README.md", "CHANGELOG.md", ".ci" },
  endings = { "c", "h", "lua", "sh", "md", "mjs", "js", "html", "css", "run", "json" },
  check = function(path, text, report)
    for n, line in source.lines(text) do
      for _, mark in ipairs(MARKS) do
        if line:find("%f[%w_]" .. mark .. "%f[^%w_]") then
          report(path, n, ("says '%s'"):format(mark), "finish it, or say plainly what is left out and why")
        end
      end
      check_paths(path, n, " " .. line, PATHS, report)
      if not path:find "^tests/lua/" then check_paths(path, n, " " .. line, HOMES, report) end
    end
    check_single(path, text, report)
  end,
}
