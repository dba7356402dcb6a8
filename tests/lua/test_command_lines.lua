-- Every command line that we tell somebody to type is one that stoke takes.

local test = require "stoke.test"
local args = require "stoke.args"
local cmd = require "stoke.cmd"
local commands = require "commands"
local fs = require "stoke.fs"
local overview = require "stoke.cmd.overview"
local scaffold = require "stoke.cmd.scaffold"

local function check(t, lines, where, part)
  for _, line in ipairs(lines) do
    local problem = commands.judge(line, part)
    t.ok(not problem, ("%s: %s: %s"):format(where, line, problem))
  end
  return #lines
end

local function sources(folder, out)
  for _, entry in ipairs(fs.list(folder)) do
    local path = folder .. "/" .. entry.name
    if entry.type == "directory" then sources(path, out) elseif path:find "%.lua$" then out[#out + 1] = path end
  end
  return out
end

test("command lines: the judge knows good ones from bad ones", function(t)
  for _, line in ipairs { "stoke run --sim", "stoke main.lua \"And in Rome?\"", "stoke agents/hello.lua 'Hi' -m x --sim=auto",
    "cd town && stoke test && stoke run --sim", "stoke -e 'print(1)'", "eval \"$(stoke completion bash)\"",
    "stoke help ollama.chat",
    "STOKE_DEBUG=effect stoke a.lua | head -n 2", "stoke pull NAME", "stoke init [FOLDER]", "stoke", "stoke sim --port N" } do
    t.eq(commands.judge(line), nil, line)
  end
  for _, line in ipairs { "stoke run \"And in Rome?\"", "stoke run QUESTION?", "stoke modls", "stoke models --lodaed", "stoke pull",
    "stoke -e 'print('", "stoke help nosuchthing", "stoke agents/hello.lua --modle x", "stoke --endpoint", "stoke init a b",
    "stoke run --wach a.lua", "eval \"$(stoke completion tcsh)\"" } do
    t.ok(commands.judge(line), line)
  end
end)

test("command lines: those in the files that stoke init makes", { real = true }, function(t)
  local count = 0
  for path, text in pairs(scaffold.files "town") do count = count + check(t, commands.in_document(text), path) end
  t.ok(count >= 6, "only " .. count .. " were found")
end)

test("command lines: those in README and the guide", { real = true }, function(t)
  for _, path in ipairs { "README.md", "docs/guide.md" } do
    t.ok(check(t, commands.in_document(fs.read(path)), path) > 5)
  end
end)

test("command lines: those at the head of each agent", { real = true }, function(t)
  for _, path in ipairs(sources("agents", {})) do
    local text = fs.read(path)
    t.ok(check(t, commands.in_document(text:match "^(.-)\n\n"), path) > 0, path)
  end
end)

test("command lines: the examples of every verb, of the whole help and of the agents", { real = true }, function(t)
  local lines = {}
  for _, verb in ipairs(cmd.verbs) do
    local spec = args.describe(args.described(cmd.command(verb)))
    t.ok(#spec.examples > 0, verb.name .. " has no example")
    for _, example in ipairs(spec.examples) do lines[#lines + 1] = example[1] end
    lines[#lines + 1] = "stoke " .. verb.usage
  end
  for _, row in ipairs(overview.examples) do lines[#lines + 1] = row[1] end
  for _, row in ipairs(overview.usage) do lines[#lines + 1] = row[1]:gsub("ARGS", "") end
  for _, path in ipairs(sources("agents", {})) do
    for example in fs.read(path):gmatch "examples = (%b{})" do
      for text in example:gmatch '{ "([^\n]-[^\\])",%s' do
        lines[#lines + 1] = text:gsub('\\"', '"'):gsub("%f[%w_][%w_]+%.lua", "stoke %0", 1)
      end
    end
  end
  check(t, lines, "examples")
  t.ok(#lines > 50)
end)

test("command lines: those in messages and hints", { real = true }, function(t)
  local count = 0
  for _, folder in ipairs { "lua", "stdlib" } do
    for _, path in ipairs(sources(folder, {})) do
      count = count + check(t, commands.in_source(fs.read(path)), path, true)
    end
  end
  t.ok(count > 30, "only " .. count .. " were found")
end)

test("command lines: those for the verbs of other programs", function(t)
  local lines = {}
  for _, line in pairs(cmd.elsewhere) do lines[#lines + 1] = line end
  t.ok(check(t, lines, "elsewhere") > 20)
end)
