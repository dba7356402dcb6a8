-- Files of at most 600 lines, functions of at most 60.
local source = require "source"

local FILE_LINES, FUNCTION_LINES = 600, 60

local function check_function(path, first, last, name, report)
  local length = last - first + 1
  if length > FUNCTION_LINES then
    report(path, first, ("%s is %d lines long, more than %d"):format(name, length, FUNCTION_LINES),
           "name a part of it and make that a function")
  end
end

-- With comments and strings blanked, every block of Lua opens with one of four words and closes with one of two.
local OPEN = { ["function"] = true, ["if"] = true, ["do"] = true, ["repeat"] = true }
local CLOSE = { ["end"] = true, ["until"] = true }

local function lua_functions(path, text, report)
  local stack = {}
  for n, line in source.lines(source.code(path, text)) do
    for at, word in line:gmatch "()%f[%w_]([%a_][%w_]*)" do
      if OPEN[word] then
        local name = word == "function" and (line:match("^function%s*([%w_.:]*)", at) or "")
        stack[#stack + 1] = { line = n, name = name }
      elseif CLOSE[word] then
        local block = table.remove(stack)
        if block and block.name then
          check_function(path, block.line, n, block.name == "" and "a function" or block.name, report)
        end
      end
    end
  end
end

local function c_functions(path, text, report)
  local first, name
  local head, head_line = "", nil
  for n, line in source.lines(source.code(path, text)) do
    if first then
      if line:find "^}" then
        check_function(path, first, n, name, report)
        first = nil
      end
    elseif line:find "^[%a_ ]" or line:find "^%s" then
      if line:find "^[%a_]" then head, head_line = "", n end
      head = head .. line
      if line:find "{%s*$" and head:find "%)%s*{%s*$" and not head:find "=" then
        first, name = head_line or n, head:match "([%w_]+)%s*%(" or "a function"
        head = ""
      end
    end
  end
end

return {
  name = "size",
  folders = { "host", "lua", "stdlib", "agents", "tests" },
  endings = { "c", "h", "lua" },
  check = function(path, text, report)
    local count = 0
    for n in source.lines(text) do count = n end
    if count > FILE_LINES then
      report(path, count, ("a file of %d lines, more than %d"):format(count, FILE_LINES),
             "split it by responsibility")
    end
    if path:find "%.lua$" then lua_functions(path, text, report) else c_functions(path, text, report) end
  end,
}
