-- Scripted replies: one form in every place that takes them.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local proc = require "stoke.proc"
local script = require "stoke.sim.script"
local sim = require "stoke.sim"

local ARGS = { city = "Oslo" }

--- Ways to write the same reply.
local SAME = {
  { "short", { tool = "f", args = ARGS, id = "c1" } },
  { "a list", { { tool = "f", args = ARGS, id = "c1" } } },
  { "named otherwise", { name = "f", arguments = ARGS, id = "c1" } },
  { "a list, named otherwise", { { name = "f", arguments = ARGS, id = "c1" } } },
  { "long", { tool_calls = { { name = "f", arguments = ARGS, id = "c1" } } } },
  { "long, short inside", { tool_calls = { { tool = "f", args = ARGS, id = "c1" } } } },
  { "as on the wire", { tool_calls = { { type = "function", id = "c1", ["function"] = { name = "f", arguments = ARGS } } } } },
}

test("scripted replies: short and long forms of a call are one", function(t)
  for _, case in ipairs(SAME) do
    t.eq(script.reply(case[2], "r").tool_calls, { { name = "f", arguments = ARGS, id = "c1" } }, case[1])
  end
  t.eq(script.reply({ text = "See.", { tool = "f" }, { name = "g" } }, "r"),
    { text = "See.", tool_calls = { { name = "f", arguments = {} }, { name = "g", arguments = {} } } })
  t.eq(script.reply({ tool = "f", text = "See.", thinking = "Hm.", delay = 1 }, "r"),
    { text = "See.", thinking = "Hm.", delay = 1, tool_calls = { { name = "f", arguments = {} } } })
  t.eq(script.reply({ json = { a = 1 } }, "r"), { text = '{"a":1}' })
end)

--- What each place that takes a script makes of it.
local function places(t)
  local function ask(endpoint) return ollama.chat { model = "m", messages = { { role = "user", content = "hi" } },
    endpoint = endpoint, tools = nil } end
  return {
    ["t.model"] = function(given)
      t.model("m", given)
      return ask()
    end,
    ["sim.serve"] = function(given)
      local server <close> = sim.serve { mem = "place", script = given, models = { "m" }, load_seconds = 0 }
      return ask(server.url)
    end,
    ["a file"] = function(given)
      local loaded = assert(script.compile("return ...", "f.lua") == nil and script.read(given, "f.lua"))
      local server <close> = sim.serve { mem = "file", script = loaded, models = { "m" }, load_seconds = 0 }
      return ask(server.url)
    end,
  }
end

test("scripted replies: every place takes every form", function(t)
  for place, ask in pairs(places(t)) do
    for _, case in ipairs(SAME) do
      local function whole() return case[2] end
      for how, given in pairs { list = { case[2] }, inside = { whole }, whole = whole } do
        local call = ask(given).message.tool_calls[1]
        t.eq({ call["function"].name, call["function"].arguments }, { "f", ARGS }, ("%s, %s, %s"):format(place, case[1], how))
      end
    end
  end
end)

local WRONG = {
  { 7, "a text, a table or a function expected, got 7" },
  { {}, "the reply is empty" },
  { { content = "x" }, "unknown field content %(did you mean text%?%)" },
  { { tol = "f" }, "unknown field tol %(did you mean tool%?%)" },
  { { text = 5 }, "text must be a string, got 5" },
  { { args = {} }, "args without the tool they are for" },
  { { tool = "f", args = "Oslo" }, "args must be a table" },
  { { tool = "f", name = "g" }, "two words for one thing" },
  { { { tool = "f", args = {}, arguments = {} } }, "call 1: args and arguments are two words" },
  { { { tool = "f" }, "g" }, "call 2: a call is { tool" },
  { { { args = {} } }, "call 1: a call needs the name of its tool" },
  { { tool_calls = { f = {} } }, "tool_calls must be a list" },
  { { text = "x", json = {} }, "text and json are two answers" },
  { { json = { 0 / 0 } }, "json: " },
  { { text = "x", status = 500 }, "status without an error" },
  { { error = "x", status = 200 }, "status must be that of an error" },
  { { text = "x", delay = -1 }, "delay must be 0 or more" },
  { { text = "x", tps = 0 / 0 }, "tps must be 0 or more" },
  { { text = "x", cut = { 0 } }, "cut must be a list of sizes" },
  { { text = "x", fault = "resett" }, "no fault 'resett' %(did you mean reset%?%)" },
}

test("scripted replies: a mistake is told with the file, the reply and what is wrong, before anything is asked", function(t)
  for _, case in ipairs(WRONG) do
    local err = t.raises("argument", script.read, { "fine", case[1] }, "replies.lua")
    t.match(err.message, "^replies.lua: reply 2[:,] ")
    t.match(err.message, case[2])
    if not case[2]:find "must be a list" then t.match(err.hint, "a reply is a text") end
    t.match(t.raises("argument", t.model, "m", { "fine", case[1] }).message, "^t.model m: reply 2[:,] .*" .. case[2])
    t.match(t.raises("argument", sim.new, { script = { "fine", case[1] } }).message, "reply 2[:,] .*" .. case[2])
  end
  t.match(t.raises("argument", script.read, { text = "x" }, "f").message, "for one reply write")
  t.match(t.raises("argument", script.read, { "a", nil, "b" }, "f").message, "%[2%] is missing")
  t.match(t.raises("argument", script.read, "x", "f").message, "a list of replies or a function expected")
end)

test("scripted replies: a file that is none says which file and why", function(t)
  for text, wanted in pairs { ["return"] = "f.lua: a file of replies returns a list of them or a function, not nil",
    ["return 5"] = "not 5", ["retrun {}"] = "f.lua:1: ", ["error 'no'"] = "no",
    ["return { { tol = 1 } }"] = "f.lua: reply 1: unknown",
    ["error { code = 1 }"] = "a table { code }" } do
    local read, err = script.compile(text, "f.lua")
    t.eq({ read, err.kind }, { nil, "script" }, text)
    t.match(err.message, wanted)
  end
  local read, err = script.load "/nowhere/replies.lua"
  t.eq({ read, err.kind }, { nil, "usage" })
end)

test("scripted replies: a function that fails, or returns nonsense, is an error of kind script that names it", function(t)
  local server <close> = sim.serve { mem = "bad", models = { "m" }, load_seconds = 0, script = script.read({
    function() error "no idea" end, function() return { tol = 1 } end, "fine" }, "replies.lua") }
  local function ask() return ollama.generate { model = "m", prompt = "x", endpoint = server.url } end
  local err = t.raises("script", ask)
  t.match(err.message, "replies.lua: reply 1: .*no idea")
  t.eq(err.retryable, false)
  t.match(t.raises("script", ask).message, "replies.lua: reply 2: unknown field tol")
  t.eq(ask().response, "fine")
end)

test("scripted replies: the guide's example is one", function(t)
  local text = fs.read "docs/guide.md":match "```lua\n(%-%- replies.lua\n.-)```"
  local read, err = script.compile(text, "replies.lua")
  t.eq({ err, #read.list }, { nil, 9 })
end)

test("scripted replies: --sim=FILE, STOKE_SIM and stoke sim --script read the same file", { real = true }, function(t)
  local here = t.tmp()
  local file = here .. "/replies.lua"
  local function run(argv, environment)
    table.insert(argv, 1, about.executable())
    environment.HOME = here
    return proc.run { argv = argv, cwd = here, env = environment, env_allow = { "PATH", "STOKE_PATH" }, timeout = 30 }
  end
  local ask = [[local r = require "stoke".ollama.chat { model = "qwen2.5:3b", messages = { { role = "user", content = "x" } } }
    print(r.message.tool_calls[1]["function"].name)]]
  for _, case in ipairs(SAME) do
    fs.write(file, "return { " .. json.encode(case[2]):gsub('"([%a_]+)":', '["%1"]='):gsub("%[{", "{{"):gsub("}%]", "}}") .. " }")
    local got = run({ "--sim=replies.lua", "-e", ask }, {})
    t.eq(got.stdout .. got.stderr, "f\n", case[1])
  end
  t.eq(run({ "-e", ask }, { STOKE_SIM = "replies.lua" }).stdout, "f\n")
  fs.write(file, 'return { "x", { tol = "f" } }')
  for name, got in pairs { flag = run({ "--sim=replies.lua", "-e", ask }, {}),
    variable = run({ "-e", ask }, { STOKE_SIM = "replies.lua" }),
    server = run({ "sim", "--port", "0", "--script", "replies.lua" }, {}) } do
    t.match(got.stderr, "script: .*replies.lua: reply 2: unknown field tol")
    t.eq(got.code, 1, name)
  end
end)
