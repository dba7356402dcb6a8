-- A wrong name is answered with the right one: members of modules, methods of objects, options from elsewhere.

local test = require "stoke.test"
local errors = require "core.errors"
local foreign = require "core.foreign"
local http = require "stoke.http"
local json = require "stoke.json"
local names = require "core.names"
local ollama = require "stoke.ollama"
local proc = require "stoke.proc"
local source = require "core.source"
local stoke = require "stoke"

local function message(f, ...)
  local _, err = stoke.try(f, ...)
  return err and err.message or "no error"
end

-- ---- modules ----------------------------------------------------------------------------------------------------------------

test("names: every module says what it does not have, and what was meant", function(t)
  local cases = {
    { "fs", "readfile", "stoke.fs has no readfile; did you mean read?" }, { "fs", "raed", "did you mean read?" },
    { "fs", "exists", "did you mean stat?" }, { "http", "fetch", "did you mean get?" }, { "http", "put",
      'request, with method = "..."' },
    { "json", "parse", "did you mean decode?" }, { "json", "stringify", "did you mean encode?" }, { "proc", "exec",
      "did you mean run?" },
    { "time", "time", "did you mean now?" }, { "rand", "choice", "did you mean pick?" }, { "env", "getenv", "did you mean get?" },
    { "log", "warning", "did you mean warn?" }, { "ollama", "list", "did you mean tags?" }, { "ollama", "tryChat", "try_chat" },
    { "tools", "readfile", "read_file" }, { "term", "colours", "did you mean colour?" }, { "args", "pars", "did you mean parse?" },
    { "config", "gett", "did you mean get?" }, { "schema", "jsn", "did you mean json?" }, { "agent", "runn", "has no runn" },
    { "test", "nothing_like_it", "has no nothing_like_it" }, { "doc", "fnd", "did you mean find?" },
  }
  for _, case in ipairs(cases) do
    t.contains(message(function() return stoke[case[1]][case[2]] end), case[3])
    t.contains(message(function() return require("stoke." .. case[1])[case[2]] end), case[3])
  end
  t.contains(message(function() return stoke.go end), "stoke has no go; did you mean spawn?")
  t.contains(message(function() return stoke.slep end), "did you mean sleep?")
end)

test("names: a module is still a plain table to who looks for no name of it", function(t)
  local count = 0
  for key, value in pairs(stoke.fs) do
    t.ok(type(key) == "string" and value ~= nil)
    count = count + 1
  end
  t.ok(count > 5)
  t.eq({ stoke.fs[1], rawget(stoke.fs, "nothing"), stoke.fs.__tostring }, {})
  t.ok(type(stoke.http.serve) == "table" or type(stoke.http.serve) == "function") -- loaded when it is first asked for
  local own = stoke.time
  own.mine = 1
  t.eq(stoke.time.mine, 1)
  own.mine = nil
end)

-- ---- objects ----------------------------------------------------------------------------------------------------------------

local function objects()
  local agent = stoke.agent { model = "m" }
  return {
    { agent, "ask", "stoke.agent has no ask; did you mean run?" }, { agent, "explian", "did you mean explain?" },
    { agent:session(), "send", "stoke.agent.session has no send; did you mean run?" },
    { stoke.tool { name = "f", run = print }, "execute", "stoke.tool has no execute; did you mean call?" },
    { stoke.schema { a = "string" }, "validate", "stoke.schema has no validate; did you mean check?" },
    { stoke.scope {}, "start_soon", "stoke.scope has no start_soon; did you mean spawn?" },
    { stoke.spawn(function() end), "join", "stoke.task has no join; did you mean await?" },
    { stoke.channel(1), "put", "stoke.channel has no put; did you mean send?" }, { stoke.channel(1), "sendd",
      "did you mean send?" },
    { stoke.semaphore(1), "lock", "did you mean acquire?" }, { "a text", "split", "string has no split; here it is gmatch" },
    { { hello = print }, "helo", "the table has no helo; did you mean hello?" },
  }
end

test("names: the call of a method that an object does not have names the object and the method that was meant", function(t)
  for _, case in ipairs(objects()) do
    local object <const>, method, wanted = case[1], case[2], case[3]
    local f = assert(load(("local object = ... return 1 + object:%s('x', { 2 })"):format(method), "=case"))
    local said = message(f, object)
    t.contains(said, wanted)
    t.match(said, "^case:1: ")
    t.contains(select(2, pcall(f, object)), wanted) -- a plain pcall has it too
    if getmetatable(object) == require "core.scope".Scope then object:close() end
  end
end)

test("names: so does a call with a dot, and a tail call", function(t)
  source.remember("@split.lua", "string.split('a')")
  local bot = stoke.agent { model = "m" }
  t.contains(message(function() bot.ask(bot, "x") end), "stoke.agent has no ask")
  t.contains(message(function() return bot:ask "x" end), "stoke.agent has no ask")
  t.contains(message(load("string.split('a')", "@split.lua")), "string has no split")
end)

test("names: where nothing is known, Lua's own words stay", function(t)
  t.contains(message(function() local x = {} x:anything() end), "attempt to call a nil value (method 'anything')")
  t.contains(message(function() local f = nil f() end), "attempt to call a nil value")
  t.eq(names.better "odd", "odd")
  local function deep() return 1 + deep() end
  t.contains(tostring(select(2, pcall(deep))), "stack overflow")
end)

test("names: fields of answers and requests that are called otherwise elsewhere", function(t)
  local server <close> = http.serve { mem = "names", handler = function(req)
    return message(function() return req.params end) .. "\n" .. message(function() return req.text end)
  end }
  local res = http.get(server.url)
  t.eq(res.body, "stoke.http.incoming has no params; did you mean query?\n"
    .. "stoke.http.incoming has no text; here it is body, a field")
  t.contains(message(function() return res.text end), "stoke.http.response has no text; here it is body, a field")
  t.contains(message(function() return res.stauts end), "did you mean status?")
  t.contains(message(function() return res:josn() end), "did you mean json?")
  t.eq({ res.stream, res.zzz }, {})
  t.contains(message(function() server:stop() end), "stoke.http.server has no stop; did you mean close?")
end)

-- ---- options from elsewhere -------------------------------------------------------------------------------------------------

test("names: options of other libraries are answered with ours", function(t)
  local chat = function(more)
    more.model, more.messages = "m", more.messages or { { role = "user", content = "x" } }
    return ollama.chat(more)
  end
  local agent = function(more)
    more.model = "m"
    return stoke.agent(more)
  end
  local cases = {
    { agent, { system = "x" }, "stoke.agent: unknown option system; here it is instructions" },
    { agent, { prompt = "x" }, "instructions" }, { agent, { temperature = 0 }, "options = { temperature = ... }" },
    { agent, { max_tokens = 5 }, "options = { num_predict = ... }" }, { agent, { functions = {} }, "tools" },
    { agent, { api_key = "x" }, "OLLAMA_API_KEY" }, { agent, { base_url = "x" }, "endpoint" }, { agent, { output_type = {} },
      "output" },
    { agent, { max_turns = 3 }, "max_steps" }, { agent, { num_ctx = 1 }, 'stoke.models { ["MODEL"] = { num_ctx = ... } }' },
    { agent, { messages = {} }, "agent:session()" }, { agent, { stream = true }, "agent:stream" },
    { chat, { prompt = "x" }, 'ollama.chat: unknown option prompt; here it is messages = { { role = "user"' },
    { chat, { system = "x" }, 'role = "system"' }, { chat, { temperature = 1 }, "options = { temperature = ... }" },
    { chat, { max_tokens = 1 }, "num_predict" }, { chat, { functions = {} }, "tools" }, { chat, { response_format = {} },
      "format" },
    { chat, { options = { max_tokens = 9 } }, "options.max_tokens; here it is num_predict" },
    { chat, { stop = {} },
      "options = { stop" },
    { ollama.generate, { model = "m", messages = {} }, "ollama.chat takes messages" },
    { ollama.embed, { model = "m", prompt = "x" }, "input" },
    { proc.run, { cmd = "ls" }, "argv" }, { proc.run, { argv = { "ls" }, shell = true }, '"sh", "-c"' },
    { stoke.tool, { name = "f", run = print, parameters = {} }, "params" }, { stoke.tool, { name = "f", func = print }, "run" },
    { stoke.choose, { model = "m", prompt = "x", choices = {} }, "options" }, { stoke.scope, { timeout = 1 }, "deadline" },
    { stoke.policy, { block = {} }, "deny" }, { http.serve, { host = "x", handler = print }, "address" },
  }
  for _, case in ipairs(cases) do t.contains(message(function() return case[1](case[2]) end), case[3]) end
  t.contains(message(json.encode, {}, { indent = 2 }), "json.encode: unknown option indent; here it is pretty = true")
  local bot = stoke.agent { model = "m" }
  t.contains(message(bot.run, bot, "x", { temperature = 0 }), "agent:run: unknown option temperature; here it is the agent's")
  t.contains(message(http.get, "http://x.mem", { params = {} }), "query")
  t.contains(message(http.post, "http://x.mem", { data = "x" }), "body (bytes), json or form")
  t.contains(message(stoke.fs.mkdir, "x", { recursive = true }), "parents = true")
end)

test("names: of several wrong options the first by name is told, whatever the order of the table", function(t)
  for _ = 1, 20 do
    local options = {}
    for _, name in ipairs { "zeta", "beta", "alpha" } do options[name .. ""] = true end
    local err = t.raises("argument", errors.options, options, { good = true }, "f")
    t.contains(err.message, "unknown option alpha")
  end
end)

test("names: what is told of a foreign name is an option or a member there is", function(t)
  for module, members in pairs(foreign.members) do
    local is_class = ({ ["stoke.agent"] = true, ["stoke.tool"] = true, ["stoke.schema"] = true, ["stoke.study"] = true,
      ["stoke.population"] = true })[module]
    local ok, real = pcall(require, module)
    if ok and not is_class and module:find "^stoke%.?%l*$" and type(real) == "table" then
      for name, here in pairs(members) do
        t.eq(rawget(real, name), nil, module .. "." .. name .. " is there")
        if here:find "^%l[%w_]*$" then t.ok(real[here] ~= nil, module .. "." .. here) end
      end
    end
  end
end)

-- ---- globals and syntax -----------------------------------------------------------------------------------------------------

test("names: a module nobody required is named with its require, a word from elsewhere with the one here", function(t)
  for name, wanted in pairs {
    stoke = 'local stoke = require "stoke"', json = 'local json = require "stoke.json"', ollama = 'require "stoke.ollama"',
    None = "nil", True = "true", len = "#value",
    console = "print", await = "a call waits", stoek = "did you mean 'stoke'?", prnt = "did you mean 'print'?",
  } do
    t.contains(message(load("return " .. name)), ("undefined variable '%s' ("):format(name), name)
    t.contains(message(load("return " .. name)), wanted, name)
  end
end)

test("names: a line of another language is answered with how Lua writes it", function(t)
  for line, wanted in pairs {
    ["if x != 1 then end"] = "~=", ["x += 1"] = "x = x + 1", ["i++"] = "x = x + 1", ["const x = 5"] = "local",
    ["let x = 5"] = "local",
    ["import stoke"] = "require", ["from stoke import agent"] = "require", ["if a && b then end"] = "and",
    ["if a || b then end"] = "or", ["elif x then"] = "elseif", ["def f():"] = "function", ["// note"] = "--",
    ["local f = x => x"] = "function(x)", ["local t = { \"a\": 1 }"] = "name = value",
  } do
    local code = "local a = 1;\n" .. line .. "\n"
    local _, problem = load(code, "=x")
    t.contains(names.syntax(problem, code) or "no hint", wanted, line)
  end
  local code = "local t = {\n"
  t.eq(names.syntax(select(2, load(code, "=x")), code), nil)
end)

test("names: a module that is not there is told with the line that wanted it", function(t)
  for name, wanted in pairs { ["stoke.agnet"] = "did you mean 'stoke.agent'?", ollama = 'require "stoke.ollama"' } do
    local _, err = stoke.try(load(("local m = require %q return m"):format(name), "@want.lua"))
    t.contains(tostring(err), wanted)
    t.eq(err.where, "want.lua:1")
  end
  t.eq(tostring(select(2, stoke.try(load 'return require "ollama"'))):find("looked for", 1, true), nil)
end)

test("names: a file may begin with a byte order mark", function(t)
  t.eq(source.code "\xEF\xBB\xBFreturn 1", "return 1")
  t.eq(source.code "\xEF\xBB\xBF#!/usr/bin/env stoke\nreturn 1", "\nreturn 1")
end)

-- ---- calls that cannot work -------------------------------------------------------------------------------------------------

test("names: a method called with a dot says so, whatever it would have done first", function(t)
  local met = {}
  local server <close> = http.serve { mem = "dots", handler = function(req, res)
    met.write, met.start, met.json = message(res.write, "x"), message(res.start), message(req.json)
    return "done"
  end }
  t.eq(http.get("http://dots.mem/").body, "done")
  for _, said in pairs(met) do t.contains(said, "write a colon, not a dot") end
  t.contains(message(server.close, {}), "write a colon, not a dot")
end)

test("names: what a reply, an agent or a session cannot hold is refused where it is set", function(t)
  local met = {}
  local server <close> = http.serve { mem = "sets", handler = function(_, res)
    met.status = message(function() res.status = 404 end)
    met.bytes = message(res.write, res, nil)
    met.headers = message(res.reply, res, 200, "text")
    met.header = message(function() res:set_header("a", "b") end)
    return "done"
  end }
  t.eq(http.get("http://sets.mem/").body, "done")
  t.contains(met.status, "a reply has no field status to set")
  t.contains(met.bytes, "res:write: a string expected, got nil")
  t.contains(met.headers, 'headers are a table { ["Name"] = value }, got the string "text"')
  t.contains(met.header, "res:start(200")
  local bot = stoke.agent { name = "b", model = "m" }
  t.contains(message(function() bot.model = "other" end), "the model of an agent cannot be set")
  local chat = bot:session()
  t.contains(message(function() chat.messages = {} end), "session.messages cannot be set")
  t.contains(message(chat.save, chat, "file.json"), "session:save gives a table, and writes no file")
  t.contains(message(stoke.fallback, nil, print), "a function expected")
end)

test("names: messages and formats of other clients are refused before anything is sent", function(t)
  local function chat(more)
    local q = { model = "m", messages = { { role = "user", content = "x" } } }
    for name, value in pairs(more) do q[name] = value end
    return message(ollama.chat, q)
  end
  t.contains(chat { messages = { role = "user", content = "x" } }, "messages must be a list of messages")
  t.contains(chat { messages = { { role = "human", content = "x" } } }, 'the role "human" is "user" here')
  t.contains(chat { format = { city = "string" } }, "format is no JSON Schema")
  local _, err = stoke.try(ollama.chat, { model = "m", messages = {}, format = { city = "string" } })
  t.contains(err.hint, "stoke.schema")
end)

test("names: tools that are none say how one is made", function(t)
  local function agent(tools) return select(2, stoke.try(stoke.agent, { model = "m", tools = tools })) end
  t.contains(agent({ stoke.tools.calculator }).hint, "call it, with ()")
  t.contains(agent({ { name = "x", parameters = {} } }).message, "stoke.tool { ... }")
  t.contains(agent({ name = "x", run = print }).message, "tools must be a list of tools")
  t.contains(message(function() return stoke.tools.web_search end), "http_fetch")
end)

test("names: a stream is neither a result nor a list", function(t)
  t.model("m", { "hello" })
  local stream <close> = stoke.agent { name = "b", model = "m" }:stream "x"
  t.contains(message(function() return stream.text end), "for ev in stream do ... end; agent:run gives a result")
  t.contains(message(function() return stream[1] end), "a stream is no list")
  local texts = {}
  for ev in stream do if ev.type == "text" then texts[#texts + 1] = ev.text end end
  t.eq(texts, { "hello" })
end)

test("names: a schema of ours is a format", function(t)
  local model = t.model("m", { '{"city":"Oslo"}' })
  local City = stoke.schema { city = "string" }
  local reply = ollama.chat { model = "m", messages = { { role = "user", content = "x" } }, format = City }
  t.eq(json.decode(reply.message.content), { city = "Oslo" })
  t.eq(model.requests[1].format.properties.city.type, "string")
end)
