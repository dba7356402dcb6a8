-- A memory of an agent that is told by its path: stdlib/memory/lazy.lua.

local test = require "stoke.test"
local durable = require "durable"
local fs = require "stoke.fs"
local memories = require "stoke.memory"
local reloading = require "reloading"
local sim = require "stoke.sim"
local stoke = require "stoke"

local letters = require "meanings".letters

local function texts_in(path)
  local memory <close> = stoke.memory(path)
  local out = {}
  for i, one in ipairs(memory:list()) do out[i] = one.text end
  return out
end

test("it is opened when an agent first runs, and shared by agents that describe it alike", function(t)
  local path = t.tmp() .. "/ada.memory"
  local function bot(name) return stoke.agent { name = name, model = "m", memory = { path, k = 2, tags = { user = "ada" } } } end
  local one, other = bot "one", bot "other"
  t.eq(fs.stat(path), nil)
  local model = t.model { { tool = "remember", args = { fact = "Ada prefers tea." } }, "Noted.", "Tea." }
  one:run "I prefer tea"
  other:run "Which tea?"
  t.contains(model.requests[3].messages[1].content, "Ada prefers tea.")
  local memory <close> = stoke.memory(path)
  t.eq(memory:list()[1].tags, { user = "ada" })
end)

test("agents at the same time open it once", function(t)
  local path, opened, open = t.tmp() .. "/ada.memory", 0, memories.open
  local back <close> = setmetatable({}, { __close = function() memories.open = open end }) -- luacheck: ignore back
  function memories.open(...)
    opened = opened + 1
    return open(...)
  end
  local function bot() return stoke.agent { name = "bot", model = "m", memory = { path, embed = letters, tools = false } } end
  local list = { bot(), bot() }
  t.model(function() return "Yes." end)
  local scope <close> = stoke.scope {}
  t.eq(#scope:map({ 1, 2, 3, 4 }, function(i) return list[i % 2 + 1]:run("question " .. i).text end), 4)
  t.eq(opened, 1)
end)

test("one that cannot be opened is the error of the run, and the next run tries again", function(t)
  local folder = t.tmp()
  local bot = stoke.agent { name = "bot", model = "m", memory = { folder .. "/none/ada.memory" } }
  t.model(function() return "Yes." end)
  t.raises("none/ada%.memory", bot.run, bot, "Hi")
  fs.mkdir(folder .. "/none")
  t.eq(bot:run("Hi").text, "Yes.")
end)

test("wrong options are told when the agent is made", function(t)
  local function wrong(words, given)
    t.match(t.raises("argument", stoke.agent, { name = "a", model = "m", memory = given }).message, words)
  end
  wrong("half_life", { "x", half_life = -1 })
  wrong("did you mean embed", { "x", embd = "m" })
  wrong("the path is empty", { "" })
  local open <close> = stoke.memory()
  wrong("embed", { open, embed = "m" })
  wrong('{ "path", embed', { 7 })
end)

test("a file that describes a memory is reloaded; what was remembered before is there after it", function(t)
  local path = t.tmp() .. "/ada.memory"
  local function source(words)
    return ([[return require "stoke".agent { name = "bot", model = "m", instructions = %q, memory = { %q } }]]):format(words, path)
  end
  local files <close> = reloading { ["bot.lua"] = source "One." }
  local bot = require "bot"
  local model = t.model { { tool = "remember", args = { fact = "Ada prefers tea." } }, "Noted.", "Tea." }
  bot:run "I prefer tea"
  t.eq(files.edit("bot.lua", source "Two.").err, nil)
  bot:run "Which tea?"
  t.eq(model.requests[3].messages[1].content, "Two.")
  t.contains(model.requests[3].messages[2].content, "Ada prefers tea.")
end)

test("a durable run that is killed remembers once, and goes on with what it was shown", { real = true, timeout = 60 }, function(t)
  local server <close> = sim.serve { port = 0, models = { "m" }, tokens_per_second = 0, load_seconds = 0, script = function(request)
    local last = request.messages[#request.messages]
    if last.role == "tool" then return "noted" end
    if last.content:find "I prefer" then return { tool = "remember", args = { fact = "Ada prefers tea." } } end
    return last.content:find "Ada prefers tea" and "tea, of course" or "unknown"
  end }
  local case = durable.new(t, ([[
    local stoke = require "stoke"
    stoke.main(function()
      local bot = stoke.agent { name = "bot", model = "m", endpoint = %q, memory = { "ada.memory" } }
      print(bot:run("I prefer tea").text)
      stoke.fs.write("remembered", "1")
      stoke.sleep(2)
      print(bot:run("Which tea?").text)
    end)
  ]]):format(server.url))
  case:run("r", nil, durable.file "remembered")
  local status, out, err = case:run "r"
  t.eq(status.code, 0, err)
  t.contains(out, "tea, of course")
  t.eq(texts_in(case.folder .. "/ada.memory"), { "Ada prefers tea." })
end)

test("what is in memory is refused in a durable run, which could not go on with it", { real = true, timeout = 60 }, function(t)
  local case = durable.new(t, [[
    local stoke = require "stoke"
    stoke.main(function()
      local said = {}
      for i, open in ipairs { stoke.memory, stoke.graph, function() return stoke.notes { "a text" } end } do
        local _, err = stoke.try(open)
        said[i] = err.kind .. " " .. tostring(err.message:match "^stoke%.%a+ is in memory") .. " " .. err.hint
      end
      print(table.concat(said, ", "))
    end)
  ]])
  local status, out, err = case:run "r"
  t.eq(status.code, 0, err)
  t.contains(out, "argument stoke.memory is in memory give it a file, argument stoke.graph is in memory give it a file, argument "
    .. "stoke.notes is in memory give it a file")
end)
