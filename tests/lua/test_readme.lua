-- README tells the truth: its examples run, its tour names every source file and no other.

local about = require "core.about"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local test = require "stoke.test"

local function sources(folder, out)
  for _, entry in ipairs(fs.list(folder)) do
    local path = folder .. "/" .. entry.name
    if entry.type == "directory" then sources(path, out)
    elseif entry.name:find "%.lua$" or entry.name:find "%.c$" then out[#out + 1] = path end
  end
  return out
end

test("README: the tour names every source file once, and no other", { real = true }, function(t)
  local text = fs.read "README.md"
  local tour = t.match(text, "### A tour of the source(.-)### How to add")
  local named = {}
  for room, rows in tour:gmatch "%*%*(%l+)/%*%*:(.-)\n\n%f[*]" do
    for path in rows:gmatch "[%w_/]+%.%l+" do
      if path:find "%.lua$" or path:find "%.c$" then named[room .. "/" .. path] = (named[room .. "/" .. path] or 0) + 1 end
    end
  end
  local problems = {}
  for _, room in ipairs { "host", "lua", "stdlib", "agents" } do
    for _, path in ipairs(sources(room, {})) do
      if not named[path] then problems[#problems + 1] = path .. " is missing" end
      if (named[path] or 0) > 1 then problems[#problems + 1] = path .. " is named twice" end
      named[path] = nil
    end
  end
  for path in pairs(named) do
    if not path:find "^tests/" then problems[#problems + 1] = path .. " does not exist" end
  end
  table.sort(problems)
  t.eq(problems, {})
end)

local examples = {}
do
  local number = 0
  for code in fs.read "README.md":gmatch "```lua\n(.-)```" do
    number = number + 1
    examples[number] = code
  end
end

for number, code in ipairs(examples) do
  test(("README: example %d runs on the simulator"):format(number), { real = true }, function(t)
    local r = proc.run { argv = { about.executable(), "--sim", "--store", ":memory:", "-e", code }, timeout = 50 }
    t.eq(r.code, 0, r.stdout .. r.stderr)
  end)
end
