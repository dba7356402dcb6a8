-- Runs the lints from the top of the tree:  lua5.4 tests/lint/run.lua [NAME...]     (no name: all of them)
-- Each finding is one line: file:line: what; how to mend it. Exit code 1 when there is one.
package.path = "tests/lint/?.lua;" .. package.path
local source = require "source"

local ORDER = { "layers", "circles", "face", "lazy", "size", "words", "docs" }
local findings = 0

local function report(path, line, what, mend)
  findings = findings + 1
  print(("%s:%d: %s; %s"):format(path, line, what, mend))
end

local function run(name)
  local lint = require(name)
  for _, path in ipairs(source.files(lint.folders, lint.endings)) do
    local text = source.read(path)
    if text then lint.check(path, text, report) end
  end
  if lint.finish then lint.finish(report) end
end

local function luacheck()
  local ok = os.execute "luacheck --no-color -q lua stdlib agents tests"
  if not ok then findings = findings + 1 end
end

local names = #arg > 0 and arg or { "luacheck", "selftest", table.unpack(ORDER) }
for _, name in ipairs(names) do
  if name == "luacheck" then
    luacheck()
  elseif name == "selftest" then
    findings = findings + #require "selftest"()
  else
    run(name)
  end
end
if findings > 0 then print(("lint: %d findings"):format(findings)) end
os.exit(findings == 0 and 0 or 1)
