-- docs/ tells the truth: the guide's examples run on the simulator, the reference is what the comments say.

local about = require "core.about"
local binary = require "binary"
local doc = require "stoke.doc"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local stoke = require "stoke"
local test = require "stoke.test"

-- ---- the guide ------------------------------------------------------------------------------------------------------------------

-- The fences of a page: { kind, reason, code, line }. ```lua runs as a script on the simulator, ```lua test as a test file,
-- ```lua norun REASON is only compiled.
local function fences(path)
  local out, open, number = {}, nil, 0
  for line in fs.read(path):gmatch "([^\n]*)\n" do
    number = number + 1
    local info = line:match "^```(.*)$"
    if open and info then
      open.code = table.concat(open, "\n") .. "\n"
      out[#out + 1], open = open, nil
    elseif info then
      open = { language = info:match "^%S*", kind = info:match "^lua%s+(%S+)" or "run", reason = info:match "^lua%s+%S+%s+(.+)$",
        line = number }
    elseif open then
      open[#open + 1] = line
    end
  end
  return out
end

local function run(fence, folder)
  if fence.kind == "test" then
    fs.write(folder .. "/guide_test.lua", fence.code)
    return proc.run { argv = { about.executable(), "test", "guide_test.lua" }, cwd = folder, env = { HOME = folder },
      env_allow = binary.PASSED_ON, timeout = 50 }
  end
  return proc.run { argv = { about.executable(), "--sim", "-e", fence.code }, cwd = folder, env = { HOME = folder },
    env_allow = binary.PASSED_ON, timeout = 50 }
end

for _, fence in ipairs(fences "docs/guide.md") do
  if fence.language == "lua" then
    test(("guide: the example at line %d %s"):format(fence.line, fence.kind == "norun" and "compiles" or "runs"), { real = true },
      function(t)
        t.ok(load(fence.code, "=example"))
        if fence.kind == "norun" then return t.ok(fence.reason, "say behind `norun` why it must not run") end
        local folder = proc.run { argv = { "mktemp", "-d" } }.stdout:match "^(.-)%s*$"
        local gone <close> = setmetatable({}, { __close = function() proc.run { argv = { "rm", "-rf", folder } } end })
        local r = run(fence, folder)
        t.eq(r.code, 0, r.stdout .. r.stderr)
        t.eq(r.stderr:gsub("[^\n]*warn[^\n]*\n", ""), "")
      end)
  end
end

test("guide: its table of contents is its headings", function(t)
  local text = fs.read "docs/guide.md"
  local titles, listed = {}, {}
  for title in text:gmatch "\n## ([^\n]+)" do titles[#titles + 1] = title end
  for number, title, anchor in text:gmatch "\n(%d+)%. %[([^\n]-)%]%(#([%w-]+)%)" do
    listed[#listed + 1] = number .. ". " .. title
    t.eq(anchor, (listed[#listed]:lower():gsub("[^%w %-]", ""):gsub(" ", "-")))
  end
  t.eq(listed, titles)
end)

-- ---- the reference --------------------------------------------------------------------------------------------------------------

test("reference: it has each public module once, and none that is the runtime's own", function(t)
  local heads = {}
  for name in doc.reference():gmatch "\n## (%S+)" do heads[#heads + 1] = name end
  t.eq(heads, doc.modules())
  for _, name in ipairs { "stoke.attach", "stoke.cmd", "stoke.doc", "stoke.inspect", "stoke.repl", "stoke.show" } do
    t.ok(not table.concat(heads, " "):find(name, 1, true), name)
  end
end)

-- ---- every public name ----------------------------------------------------------------------------------------------------------

local texts = {}

-- Does the function at file:line return something? Read off its own lines, not those of functions inside.
local function returns_something(where)
  local path, number = where:match "^(.*):(%d+)$"
  texts[path] = texts[path] or require "stoke.doc.comment".lines(fs.read(path))
  local lines = texts[path]
  local n = tonumber(number)
  if lines[n]:find "%f[%w]return%s+[^;%s].*end%s*$" then return true end
  if lines[n]:find "%f[%w]end%s*$" then return false end
  repeat
    n = n + 1
    if lines[n]:find "^  return%s+%S" then return true end
  until not lines[n] or lines[n]:find "^end"
  return false
end

local function each_public(visit)
  local seen = {}
  local function once(entry)
    if not seen[entry.where] then visit(entry) end
    seen[entry.where] = true
  end
  for _, name in ipairs(doc.modules()) do
    local module = doc.module(name)
    if module.call then once(module.call) end
    for _, entry in ipairs(module.entries) do once(entry) end
    for _, class in ipairs(doc.classes(name)) do
      for _, method in ipairs(class.methods) do once(method) end
    end
  end
end

test("reference: every public function has a description, its parameters, its results and an example", function(t)
  local missing = {}
  each_public(function(entry)
    local function lacks(what) missing[#missing + 1] = ("%s: %s lacks %s"):format(entry.where, entry.name, what) end
    if entry.description == "" then lacks "a description" end
    if entry.kind == "field" then return end
    for _, name in ipairs(entry.undescribed or {}) do
      if not name:find "^_" then lacks("---@param " .. name) end
    end
    if #entry.returns == 0 and entry.undescribed and returns_something(entry.where) then lacks "---@return" end
    if not entry.example then lacks "an example" end
  end)
  table.sort(missing)
  t.ok(#missing == 0, "\n" .. table.concat(missing, "\n") .. "\n")
end)

test("reference: every example is Lua", function(t)
  local wrong = {}
  each_public(function(entry)
    local code = entry.example
    if code and not load(code, "=example") and not load("return " .. code, "=example") then
      wrong[#wrong + 1] = entry.where .. ": " .. code
    end
  end)
  t.ok(#wrong == 0, "\n" .. table.concat(wrong, "\n") .. "\n")
end)

-- What an example is run in: every module under its short name, a model and a conversation. It ends after a second.
local FRAME = [[
local stoke = require "stoke"
%s
local m, messages = "qwen2.5:3b", { { role = "user", content = "Hi" } }
local example = load(..., "=example", "t", setmetatable({ stoke = stoke, m = m, messages = messages, test = require "stoke.test",
  %s }, { __index = _G }))
local _, err = stoke.try(stoke.timeout, 1, example)
if err and err.kind ~= "timeout" then io.write(err.kind, ": ", err.message) end
os.exit(0)
]]

local function frame()
  local locals, names = {}, {}
  for _, module in ipairs(doc.modules()) do
    local name = module:match "^stoke%.(%l+)$"
    if name and name ~= "test" then
      locals[#locals + 1] = ("local %s = require \"%s\""):format(name, module)
      names[#names + 1] = ("%s = %s"):format(name, name)
    end
  end
  return FRAME:format(table.concat(locals, "\n"), table.concat(names, ", "))
end

-- What the world, and not the example, is to blame for: a name the reader has to fill in, nobody there to be looked at.
local NOT_ITS_FAULT = { "undefined variable", "there is no session", "there is no agent", "there is no task",
  "was loaded from a file" }

local function blamed(text)
  local kind = text:match "^(%l+): "
  if kind ~= "script" and kind ~= "argument" then return false end
  for _, excuse in ipairs(NOT_ITS_FAULT) do
    if text:find(excuse, 1, true) then return false end
  end
  return true
end

test("reference: every example that stands alone runs on the simulator", { real = true, timeout = 120 }, function(t)
  local folder = proc.run { argv = { "mktemp", "-d" } }.stdout:match "^(.-)%s*$"
  local gone <close> = setmetatable({}, { __close = function() proc.run { argv = { "rm", "-rf", folder } } end })
  local list, wrong, whole, ran = {}, {}, frame(), 0
  each_public(function(entry)
    if entry.example then list[#list + 1] = entry end
  end)
  local scope <close> = stoke.scope {}
  scope:map(list, function(entry)
    local code = load(entry.example) and entry.example or "return " .. entry.example
    local r = proc.run { argv = { about.executable(), "--sim", "-e", whole, code }, cwd = folder, timeout = 20 }
    local said = r.stdout:match "[^\n]*$"
    if r.code ~= 0 or blamed(said) then
      wrong[#wrong + 1] = ("%s: %s\n  %s%s"):format(entry.where, entry.example, said, r.stderr)
    elseif said == "" then
      ran = ran + 1
    end
  end, { limit = 4 })
  t.ok(#wrong == 0, "\n" .. table.concat(wrong, "\n") .. "\n")
  t.ok(ran > 60, ran .. " ran to their end")
end)
