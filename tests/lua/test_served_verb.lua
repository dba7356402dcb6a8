-- stoke serve FILE: the binary from outside, its file as it changes, and its end.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "stoke.json"
local proc = require "stoke.proc"
local sim = require "stoke.sim"
local stoke = require "stoke"
local binary = require "binary"
local served = require "served"

local REAL = { real = true }
local USER = { { role = "user", content = "Hello" } }

local FILE = [[
local stoke = require "stoke"
local poet = stoke.agent { name = "poet", model = "m", instructions = "%s" }
stoke.agent { name = "clerk", model = "m" }
stoke.main(function() error "not run" end)
]]

--- What runs in a folder of its own, with its address.
local function serving(files, ...)
  local here = binary.place(files)
  here.env.XDG_RUNTIME_DIR = here.path
  local model = sim.serve { port = 0, slots = 1000, models = { "m,load=0,tps=200" }, script = function(request)
    return request.messages[1].content .. (" and so on"):rep(30)
  end }
  local child = proc.spawn { argv = { about.executable(), "serve", "a.lua", "--endpoint", model.url, "--port", "0", ... },
    cwd = here.path, env = here.env, env_allow = binary.PASSED_ON, stderr = "merge" }
  local lines = child:lines()
  local url = lines()
  return setmetatable({ here = here, child = child, lines = lines, url = url, model = model }, { __close = function()
    local folder <close> = here -- luacheck: ignore
    local program <close> = child -- luacheck: ignore
    model:close()
  end })
end

local function ask(place, name)
  return http.post(place.url .. "/api/chat", { json = { model = name or "poet", stream = false, messages = USER }, raise = false })
end

--- Lines of the program, up to one with this in it.
local function wait_for(place, text)
  for line in place.lines do
    if line:find(text, 1, true) then return line end
  end
  error("the program ended and did not say " .. text)
end

test("stoke serve: the first line is the address, and every agent of the body with a name is a model", REAL, function(t)
  local place <close> = serving { ["a.lua"] = FILE:format "One." }
  t.match(place.url, "^http://127%.0%.0%.1:%d+$")
  t.eq(wait_for(place, "serving"), "stoke: serving clerk, poet")
  t.match(ask(place):json().message.content, "^One%.")
end)

test("stoke serve: agents that the file returns are what it offers", REAL, function(t)
  local place <close> = serving { ["a.lua"] = [[
    local stoke = require "stoke"
    stoke.agent { name = "hidden", model = "m" }
    return { scribe = stoke.agent { name = "inner", model = "m", instructions = "Two." } }]] }
  t.eq(wait_for(place, "serving"), "stoke: serving scribe")
  t.match(ask(place, "scribe"):json().message.content, "^Two%.")
  t.eq(ask(place, "hidden").status, 404)
end)

test("stoke serve: a file that is saved is taken while a stream goes on, which ends as it began", REAL, function(t)
  local place <close> = serving { ["a.lua"] = FILE:format "One." }
  wait_for(place, "serving")
  local going = http.post(place.url .. "/api/chat", { json = { model = "poet", messages = USER }, stream = "lines" })
  local lines = going:lines()
  t.match(lines(), "One")
  fs.write(place.here.path .. "/a.lua", FILE:format "Two." .. 'stoke.agent { name = "late", model = "m" }\n')
  t.match(wait_for(place, "serving"), "clerk, late, poet")
  t.match(ask(place):json().message.content, "^Two%.")
  local last
  for line in lines do
    t.ok(not line:find "Two")
    last = line
  end
  t.match(last, '"done":true')
end)

test("stoke serve: a file that does not work changes nothing", REAL, function(t)
  local place <close> = serving { ["a.lua"] = FILE:format "One." }
  wait_for(place, "serving")
  fs.write(place.here.path .. "/a.lua", "this is no Lua")
  t.match(wait_for(place, "not reloaded"), "a.lua:1")
  t.match(ask(place):json().message.content, "^One%.")
end)

test("stoke serve: a conversation that is named goes on after kill -9, with what the client never saw", REAL, function(t)
  local place <close> = serving { ["a.lua"] = [[
    local stoke = require "stoke"
    stoke.agent { name = "poet", model = "m", instructions = function(run) return #run.history .. " messages." end }]] }
  local headers = { ["X-Stoke-Session"] = "a-conversation-of-ada" }
  local function say(url, text)
    local body = { model = "poet", stream = false, messages = { { role = "user", content = text } } }
    return http.post(url .. "/api/chat", { json = body, headers = headers }):json().message.content
  end
  t.match(say(place.url, "One"), "^1 messages")
  place.child:kill "KILL"
  place.child:wait()
  local again <close> = proc.spawn { argv = { about.executable(), "serve", "a.lua", "--endpoint", place.model.url, "--port", "0" },
    cwd = place.here.path, env = place.here.env, env_allow = binary.PASSED_ON, stderr = "merge" }
  t.match(say(again:lines()(), "Two"), "^3 messages")
end)

test("stoke serve: a conversation goes on with the agent as it is saved", REAL, function(t)
  local place <close> = serving { ["a.lua"] = FILE:format "One." }
  wait_for(place, "serving")
  local function say()
    local body = { model = "poet", stream = false, messages = USER }
    return http.post(place.url .. "/api/chat", { json = body, headers = { ["X-Stoke-Session"] = "a-conversation-of-ada" } }):json()
  end
  t.match(say().message.content, "^One%.")
  fs.write(place.here.path .. "/a.lua", FILE:format "Two." .. 'stoke.agent { name = "late", model = "m" }\n')
  wait_for(place, "serving")
  t.match(say().message.content, "^Two%.")
  t.match(place.here.run("sessions").stdout, "poet +2 +4 ")
end)

test("stoke serve: two processes have one conversation, by turns and at once", REAL, function(t)
  local place <close> = serving { ["a.lua"] = [[
    local stoke = require "stoke"
    stoke.agent { name = "poet", model = "m", instructions = function(run) return #run.history .. " messages." end }]] }
  local second <close> = proc.spawn { argv = { about.executable(), "serve", "a.lua", "--endpoint", place.model.url, "--port", "0" },
    cwd = place.here.path, env = place.here.env, env_allow = binary.PASSED_ON, stderr = "merge" }
  local urls = { place.url, second:lines()() }
  local function say(i, text)
    local r = http.post(urls[i] .. "/api/chat", { headers = { ["X-Stoke-Session"] = "a-conversation-of-ada" }, raise = false,
      json = { model = "poet", stream = false, messages = { { role = "user", content = text or "Go on" } } } })
    return r.status == 200 and tonumber(r:json().message.content:match "^%d+")
  end
  t.eq({ say(1), say(2), say(1) }, { 1, 3, 5 })
  local tasks = { stoke.spawn(say, 1, "And you?"), stoke.spawn(say, 2, "And I?") }
  local said = { tasks[1]:await(), tasks[2]:await() }
  table.sort(said)
  t.eq(said, { 7, 9 }) -- who came second has waited
end)

test("stoke serve: killed in the middle of an answer, it gives that answer when it is asked again; no tool runs twice", REAL,
  function(t)
    local here <close> = binary.place { ["a.lua"] = [[
      local stoke = require "stoke"
      local note = stoke.tool { name = "note", params = { text = "string" }, run = function(a)
        stoke.fs.write("notes.txt", a.text .. "\n", { append = true })
        return "noted"
      end }
      stoke.agent { name = "poet", model = "m", tools = { note } }]] }
    local model <close> = sim.serve { port = 0, models = { "m,load=0,tps=20" }, script = function(request)
      local last = request.messages[#request.messages]
      return last.role == "tool" and ("word "):rep(20) .. "end" or { tool = "note", args = { text = "once" } }
    end }
    local function start()
      local child = proc.spawn { argv = { about.executable(), "serve", "a.lua", "--endpoint", model.url, "--port", "0" },
        cwd = here.path, env = here.env, env_allow = binary.PASSED_ON, stderr = "merge" }
      return child, child:lines()() .. "/api/chat"
    end
    local asked = { headers = { ["X-Stoke-Session"] = "a-conversation-of-ada" }, stream = "lines",
      json = { model = "poet", think = false, messages = { { role = "user", content = "Note it" } } } }
    local first <close>, url = start()
    local cut <close> = http.post(url, asked)
    t.match(cut:lines()(), "word")
    first:kill "KILL"
    first:wait()
    local second <close>, again = start()
    local said = {}
    for line in http.post(again, asked):lines() do said[#said + 1] = json.decode(line).message.content end
    t.eq(table.concat(said), ("word "):rep(20) .. "end")
    t.eq(fs.read(here.path .. "/notes.txt"), "once\n")
    second:kill "TERM"
  end)

test("stoke ps and stoke top show how many clients are served", REAL, function(t)
  local place <close> = serving { ["a.lua"] = FILE:format "One." }
  wait_for(place, "serving")
  local function shown(...)
    return proc.run { argv = { about.executable(), ... }, cwd = place.here.path, env = place.here.env,
      env_allow = binary.PASSED_ON, timeout = 30 }.stdout
  end
  local function clients()
    local text = shown("ps", "--json")
    while text == "" do -- a host can be looked into when it has lived for half a second
      stoke.sleep(0.1)
      text = shown("ps", "--json")
    end
    return json.decode(text).clients
  end
  t.eq(clients(), 0)
  local going = http.post(place.url .. "/api/chat", { json = { model = "poet", messages = USER }, stream = "lines" })
  t.ok(going:lines()())
  t.eq(clients(), 1)
  t.match(shown "ps", "CLIENTS +SCRIPT\n[^\n]* 1 +[^\n]*a%.lua\n")
  t.match(shown("top", "--once"), "\nclients 1\n")
  t.eq(json.decode(shown("top", "--once", "--json")).clients, 1)
  going:close()
end)

test("stoke serve: SIGTERM lets turns end, and the exit code is 0", REAL, function(t)
  local place <close> = serving { ["a.lua"] = FILE:format "One." }
  wait_for(place, "serving")
  local going = http.post(place.url .. "/api/chat", { json = { model = "poet", messages = USER }, stream = "lines" })
  local lines = going:lines()
  t.ok(lines())
  place.child:kill "TERM"
  local last
  for line in lines do last = line end
  t.match(last, '"done":true')
  t.eq(place.child:wait().code, 0)
end)

test("stoke serve: a second signal ends it at once", REAL, function(t)
  local place <close> = serving { ["a.lua"] = FILE:format "One." }
  wait_for(place, "serving")
  local going = http.post(place.url .. "/api/chat", { json = { model = "poet", messages = USER }, stream = "lines" })
  t.ok(going:lines()())
  place.child:kill "TERM"
  stoke.sleep(0.2)
  place.child:kill "TERM"
  t.eq(place.child:wait().code, 143)
  going:close()
end)

test("stoke serve: mistakes on its command line end with 2 and say what is wrong", REAL, function(t)
  local here <close> = binary.place { ["a.lua"] = FILE:format "One.", ["empty.lua"] = [[
    require "stoke".main(function() end)]] }
  for _, case in ipairs {
    { { "serve" }, "wants a FILE" }, { { "serve", "no.lua" }, "no file no.lua" },
    { { "serve", "empty.lua", "--port", "0" }, "in the body of the file" },
    { { "serve", "a.lua", "--address", "0.0.0.0", "--port", "0" }, "a token is needed" },
  } do
    local r = here.run(table.unpack(case[1]))
    t.eq(r.code, 2, r.stderr)
    t.match(r.stderr, case[2])
  end
end)

test("stoke serve: a token from its file", REAL, function(t)
  local place <close> = serving({ ["a.lua"] = FILE:format "One." }, "--token", "serve.key")
  t.eq(ask(place).status, 401)
  local token = fs.read(place.here.path .. "/serve.key"):match "%x+"
  t.eq(http.get(place.url .. "/api/tags", { headers = { Authorization = "Bearer " .. token } }).status, 200)
end)

test("stoke serve: eight streams at once, while the file is saved ten times: no turn fails", REAL, function(t)
  local place <close> = serving { ["a.lua"] = FILE:format "One." }
  wait_for(place, "serving")
  local failed, turns, over = 0, 0, false
  local scope <close> = stoke.scope {}
  for _ = 1, 8 do
    scope:spawn(function()
      while not over do
        local r = http.post(place.url .. "/api/chat", { json = { model = "poet", messages = USER }, raise = false })
        local lines = served.lines(r.body)
        turns = turns + 1
        if r.status ~= 200 or not lines[#lines].done then failed = failed + 1 end
      end
    end)
  end
  for i = 1, 10 do
    fs.write(place.here.path .. "/a.lua", FILE:format("Take " .. i))
    stoke.sleep(0.15)
  end
  over = true
  scope:wait()
  t.eq(failed, 0)
  t.ok(turns >= 8)
  t.match(ask(place):json().message.content, "^Take 10")
end)

-- ---- crowds ---------------------------------------------------------------------------------------------------------------------

local CROWD = os.getenv "STOKE_HOSTILE" == "1" and 500 or 40
-- What is served is looked at here, and not how the pool finds out what a server can do at once.
local POOL = "return { pool = { per_model = 100000 } }"

--- Streams of a crowd, each with its first line read; what comes back waits for their ends: how many ended well, and how many
--- began otherwise than `word`.
local function crowd(place, word)
  local tasks, begun = {}, 0
  for i = 1, CROWD do
    tasks[i] = stoke.spawn(function()
      local stream <close> = http.post(place.url .. "/api/chat", { json = { model = "poet", messages = USER }, stream = "lines" })
      local said, last
      for line in stream:lines() do
        if not said then begun = begun + 1 end
        said, last = said or line, line
      end
      return { last:find('"done":true', 1, true) ~= nil, said:find('"content":"' .. word, 1, true) ~= nil }
    end)
  end
  while begun < CROWD do stoke.sleep(0.01) end
  return function()
    local well, other = 0, 0
    for _, task in ipairs(tasks) do
      local ended, as_begun = table.unpack(task:await())
      if ended then well = well + 1 end
      if not as_begun then other = other + 1 end
    end
    return well, other
  end
end

test("stoke serve: a crowd of streams under way ends as it began, whatever is saved meanwhile", REAL, function(t)
  local place <close> = serving { ["a.lua"] = FILE:format "One.", ["stoke.config.lua"] = POOL }
  wait_for(place, "serving")
  local rest = crowd(place, "One.")
  for i = 1, 10 do
    fs.write(place.here.path .. "/a.lua", FILE:format("Take " .. i))
    stoke.sleep(0.05)
  end
  t.eq({ rest() }, { CROWD, 0 })
  local said
  repeat
    said = ask(place):json().message.content
  until said:find "^Take 10" -- what was saved last is seen a moment later; the test's time is its limit
end)

test("stoke serve: SIGTERM lets a crowd of streams end, takes no other, and the exit code is 0", REAL, function(t)
  local place <close> = serving { ["a.lua"] = FILE:format "One.", ["stoke.config.lua"] = POOL }
  wait_for(place, "serving")
  local rest = crowd(place, "One.")
  place.child:kill "TERM"
  stoke.sleep(0.1)
  local _, err = stoke.try(http.get, place.url .. "/api/tags")
  t.ok(err and (err.kind == "refused" or err.status == 503), tostring(err))
  t.eq({ rest() }, { CROWD, 0 })
  t.eq(place.child:wait().code, 0)
end)
