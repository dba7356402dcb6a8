-- stoke sessions, as a person types it, and the same as functions.

local test = require "stoke.test"
local binary = require "binary"
local fs = require "stoke.fs"
local json = require "stoke.json"

local CHAT = [[
local stoke = require "stoke"
local weather = stoke.tool { name = "get_weather", description = "Current weather in a city", params = { city = "string: city" },
  run = function(args) return "4 degrees in " .. args.city end }
local guide = stoke.agent { name = "guide", model = "qwen2.5:3b", tools = { weather } }
stoke.main(function(args)
  local chat = guide:session { id = args[1] }
  for i = 2, #args do print(chat:run(args[i]).text) end
end)
]]

local ANSWERS = [[return function(request, n)
  local last = request.messages[#request.messages]
  if last.content == "weather" then return { tool_calls = { { name = "get_weather", arguments = { city = "Oslo" } } } } end
  return ("the zebra said %d"):format(#request.messages)
end]]

local function place()
  local here = binary.place { ["chat.lua"] = CHAT, ["answers.lua"] = ANSWERS }
  here.env.OLLAMA_HOST = "127.0.0.1:9"
  return here
end

local SIM = "--sim=answers.lua"

test("sessions: they are listed and shown", { real = true }, function(t)
  local here <close> = place()
  t.eq(here.run("chat.lua", SIM, "ada", "weather", "thanks").stdout, "the zebra said 3\nthe zebra said 5\n")
  t.match(here.run("sessions").stdout, "^ID   AGENT  TURNS  MESSAGES  +CHANGED *\nada  guide      2         6 ")
  t.eq(here.run("sessions", "show", "ada").stdout, [[
ada  guide  2 turns, 6 messages

-- turn 1
user: weather
  > get_weather: { city = "Oslo" }
  < get_weather: 4 degrees in Oslo
assistant: the zebra said 3

-- turn 2
user: thanks
assistant: the zebra said 5
]])
  t.eq(json.decode(here.run("sessions", "--json").stdout).id, "ada")
  t.eq(#json.decode(here.run("sessions", "show", "ada", "--json").stdout).messages, 6)
end)

test("sessions: an exported one goes on, a forked one begins as the first was", { real = true }, function(t)
  local here <close> = place()
  here.run("chat.lua", SIM, "ada", "a", "b")
  local saved = json.decode(here.run("sessions", "export", "ada").stdout)
  t.eq({ saved.version, saved.id, #saved.messages, saved.ends }, { 1, "ada", 4, { 2, 4 } })
  t.match(here.run("sessions", "export", "ada", "ada.json").stdout, "^ada.json: ")
  t.eq(json.decode(fs.read(here.path .. "/ada.json")).messages[1].content, "a")
  t.eq(here.run("sessions", "fork", "ada", "bob", "--at", "1").stdout, "bob begins as ada was after 1 turns\n")
  t.eq(here.run("chat.lua", SIM, "bob", "c").stdout, "the zebra said 3\n")
  t.match(here.run("sessions", "show", "bob").stdout, "begun as ada was after 1 turns")
end)

test("sessions: what is deleted is nowhere in the file, and what a fork needs stays", { real = true }, function(t)
  local here <close> = place()
  local secret, shared = ("pomegranate "):rep(30), ("quince "):rep(40)
  here.run("chat.lua", SIM, "ada", shared, secret, "plum")
  here.run("sessions", "fork", "ada", "bob", "--at", "1")
  local function found(word)
    local all = ""
    for _, entry in ipairs(fs.list(here.path .. "/.stoke")) do
      all = all .. fs.read(here.path .. "/.stoke/" .. (type(entry) == "table" and entry.name or entry))
    end
    return all:find(word, 1, true) ~= nil
  end
  t.ok(found "pomegranate" and found "quince")
  local r = here.run("sessions", "delete", "ada")
  t.eq({ r.stdout, r.stderr, r.code }, { "ada is deleted: 6 messages, 3 runs\n", "", 0 })
  t.eq({ found "pomegranate", found "plum", found "quince" }, { false, false, true })
  t.match(here.run("sessions", "show", "bob").stdout, "quince")
  t.eq(here.run("runs").stdout, "")
end)

test("sessions: mistakes are one error each", { real = true }, function(t)
  local here <close> = place()
  here.run("chat.lua", SIM, "ada", "a")
  local function fails(message, ...)
    local r = here.run("sessions", ...)
    t.eq(r.code, 2)
    t.ok(r.stderr:find(message, 1, true), r.stderr)
  end
  fails("no session has the id \"adda\"", "show", "adda")
  fails("which session?", "delete")
  fails("what is the new session called?", "fork", "ada")
  fails("the session \"ada\" has turns 0 to 1, got 7", "fork", "ada", "x", "--at", "7")
  t.match(here.run("sessions", "fork", "ada", "ada").stderr, "there is a session with the id \"ada\" already")
end)
