-- Calls that are answered from questions which mean the same: through the cache gate, with a server's chat and embedding models.

local cache = require "core.gate.cache"
local settings = require "core.cache.settings"
local fake = require "fake"
local files = require "core.cache.file"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local test = require "stoke.test"

require "core.cache.semantic.learner".EXPLORE = 0 -- two questions in a hundred are asked all the same, by chance: not here

local DIGEST, OTHER <const> = ("1"):rep(64), ("2"):rep(64)

-- Vectors of the questions: near each other, as a model makes them.
local function vector_of(text)
  local x = text:find "Chile" and 0.42 or 0.1 * (#text % 3)
  return { 1, x, 0.05 }
end

--- A server that counts what it is asked, and answers with a capital, or as it is told.
local function server(t, told)
  local seen = { chats = 0, digest = DIGEST }
  local one = fake(function(req, res)
    if req.path == "/api/tags" then
      return res:reply(200, {}, json.encode { models = { { name = "m:latest", digest = seen.digest }, { name = "e:latest",
        digest = OTHER } } })
    end
    local body = json.decode(req.body)
    if req.path == "/api/embed" then
      local rows = {}
      for i, text in ipairs(type(body.input) == "table" and body.input or { body.input }) do rows[i] = vector_of(text) end
      return res:reply(200, {}, json.encode { model = "e", embeddings = rows, prompt_eval_count = 3 })
    end
    local text = body.messages[#body.messages].content
    if body.model == "j" then
      seen.judged = (seen.judged or 0) + 1
      return res:reply(seen.judge and 200 or 500, {}, json.encode { model = "j", done = true, done_reason = "stop",
        message = { role = "assistant", content = seen.judge or "" } })
    end
    seen.chats = seen.chats + 1
    res:reply(200, {}, json.encode { model = "m", done = true, done_reason = "stop", prompt_eval_count = 5, eval_count = 2,
      message = { role = "assistant", content = told and told(text) or (text:find "Chile" and "Santiago" or "Lima") } })
  end)
  local forget = function()
    cache.forget()
    if cache.semantic then cache.semantic.forget() end
  end
  forget()
  files.path = t.tmp() .. "/cache.db"
  files.forget()
  seen.url = one.url
  function seen.ask(text, semantic, more)
    local call = { model = "m", endpoint = one.url, options = { temperature = 0 }, messages = { { role = "user", content = text } },
      cache = { semantic = semantic } }
    for name, value in pairs(more or {}) do call[name] = value end
    return ollama.chat(call)
  end
  return setmetatable(seen, { __close = function()
    forget()
    files.path = nil
    one.server:close()
  end })
end

local function semantic_of(more)
  local options = { model = "e", error = 0.2, cold = false, same = function(a, b) return a == b end }
  for name, value in pairs(more or {}) do options[name] = value end
  return options
end

-- Wordings of one question, all through the gates.
local WORDINGS = { "What is the capital of Peru?", "Tell me the capital of Peru.", "Which city is the capital of Peru?",
  "What is Peru's capital?", "Please tell me the capital of Peru.", "Can you tell me what Peru's capital is?",
    "What's the capital of Peru?",
  "Tell me Peru's capital.", "Hi, what is the capital of Peru?", "Hello, what is Peru's capital?", "Name the capital of Peru.",
  "What is the capital of Peru, please?", "Give me the capital of Peru.", "Tell me what the capital of Peru is." }

test("semantic gate: explores until it knows, then answers without the model", { real = true }, function(t)
  local on <close> = server(t)
  local hits = 0
  for _, text in ipairs(WORDINGS) do
    local reply = on.ask(text, semantic_of())
    t.eq(reply.message.content, "Lima", text)
    if reply.cached == "semantic" then
      hits = hits + 1
      t.match(reply.semantic.id, "^%x%x%x%x%x%x%x%x$")
      t.ok(reply.semantic.chance >= 0.8)
    end
  end
  t.ok(hits > 0, "some are given")
  t.eq(on.chats + hits, #WORDINGS)
  t.eq(cache.semantic.stats().different, 0)
end)

test("semantic gate: without a way to compare answers nothing is learned and nothing is given", { real = true }, function(t)
  local on <close> = server(t)
  for _, text in ipairs(WORDINGS) do on.ask(text, { model = "e", error = 0.2 }) end
  t.eq(on.chats, #WORDINGS)
  t.ok(cache.semantic.stats().unchecked > 0)
end)

test("semantic gate: answers in a format are compared without being told how", { real = true }, function(t)
  local on <close> = server(t, function() return '{"city": "Lima"}' end)
  local more = { format = { type = "object", properties = { city = { type = "string" } }, required = { "city" } } }
  for _, text in ipairs(WORDINGS) do on.ask(text, { model = "e", error = 0.2 }, more) end
  t.ok(on.chats < #WORDINGS, on.chats)
end)

test("semantic gate: in shadow the model is always asked", { real = true }, function(t)
  local on <close> = server(t)
  for _, text in ipairs(WORDINGS) do t.ne(on.ask(text, semantic_of { shadow = true }).cached, "semantic") end
  t.eq(on.chats, #WORDINGS)
  t.ok(cache.semantic.stats().right > 0)
end)

test("semantic gate: another question is refused by name, and any other change of the request is another scope",
  { real = true }, function(t)
  local on <close> = server(t)
  for _, text in ipairs(WORDINGS) do on.ask(text, semantic_of()) end
  t.eq(on.ask("What is the capital of Chile?", semantic_of()).message.content, "Santiago")
  t.ok(cache.semantic.stats().refused.word or cache.semantic.stats().refused.name)
  for what, more in pairs {
    system = { messages = { { role = "system", content = "Be brief." }, { role = "user", content =
      "Hey, what is Peru's capital?" } } },
    history = { messages = { { role = "user", content = "Hi" }, { role = "assistant", content = "Hi" },
      { role = "user", content = "Hey, what is Peru's capital?" } } },
    option = { options = { temperature = 0, num_predict = 50 } },
    tools = { tools = { { type = "function", ["function"] = { name = "f", parameters = { type = "object" } } } } },
  } do
    local before = on.chats
    on.ask("Hey, what is Peru's capital?", semantic_of(), more)
    t.eq(on.chats, before + 1, what)
  end
end)

test("semantic gate: a changed model is another scope", { real = true }, function(t)
  local on <close> = server(t)
  for _, text in ipairs(WORDINGS) do on.ask(text, semantic_of()) end
  on.digest = ("3"):rep(64)
  require "core.cache.models".forget()
  local before = on.chats
  t.eq(on.ask("Hey, what is Peru's capital?", semantic_of()).cached, nil)
  t.eq(on.chats, before + 1)
end)

test("semantic gate: what was learned is there for the next process, and what is taken back is gone", { real = true }, function(t)
  local on <close> = server(t)
  local id
  for _, text in ipairs(WORDINGS) do
    local reply = on.ask(text, semantic_of())
    id = reply.semantic and reply.semantic.id or id
  end
  t.ok(id)
  files.of():flush()
  cache.semantic.forget()
  local before = on.chats
  t.eq(on.ask("Hey, what is Peru's capital?", semantic_of()).cached, "semantic")
  t.eq(on.chats, before)
  t.eq({ cache.semantic.wrong(id), cache.semantic.wrong(id) }, { true, false })
  t.ne(on.ask("Hey, tell me Peru's capital.", semantic_of()).cached, "semantic")
end)

local function hits_of(on, semantic, from)
  local hits = 0
  for i = from or 1, #WORDINGS do
    if on.ask(WORDINGS[i], semantic).cached == "semantic" then hits = hits + 1 end
  end
  return hits
end

test("semantic gate: a judge is asked before an answer is given, and only its yes lets it be given", { real = true }, function(t)
  local free <const> = (function()
    local on <close> = server(t)
    return hits_of(on, semantic_of())
  end)()
  local sayings = { ['{"same": true}'] = true, ['{"same": false}'] = false, ['{"same": "yes"}'] = false, ["yes"] = false }
  for said, given in pairs(sayings) do
    local on <close> = server(t)
    on.judge = said
    local hits = hits_of(on, semantic_of { judge = "j" })
    local drawn <const> = 3 -- of all questions two in a hundred are asked all the same, by chance
    t.ok(given and math.abs(hits - free) <= drawn and hits > 0 or not given and hits == 0, said .. ": " .. hits)
    t.ok(on.judged > 0)
    t.eq(on.chats + hits, #WORDINGS)
  end
end)

test("semantic gate: a judge that fails counts as a no, and is left alone for a while", { real = true }, function(t)
  local on <close> = server(t)
  t.eq(hits_of(on, semantic_of { judge = "j" }), 0)
  t.ok(cache.semantic.stats().judged.failed > 1)
  t.ok(on.judged <= 3, on.judged) -- with the repeats of one call
end)

test("semantic gate: a judge may be a function; one that raises counts as a no", { real = true }, function(t)
  local on <close> = server(t)
  local asked = {}
  t.ok(hits_of(on, semantic_of { judge = function(a, b)
    asked[#asked + 1] = { a, b }
    return true
  end }) > 0)
  t.eq({ asked[1][1] ~= asked[1][2], type(asked[1][2]) }, { true, "string" })
  local other <close> = server(t)
  t.eq(hits_of(other, semantic_of { judge = function() error "no" end }), 0)
end)

test("semantic gate: what same and judge ask of models is not compared in turn", { real = true }, function(t)
  local on <close> = server(t)
  local asked, deep = 0, 0
  local function ask_too(a)
    asked, deep = asked + 1, deep + 1
    t.eq(deep, 1, "asked about its own question")
    ollama.chat { model = "m", endpoint = on.url, options = { temperature = 0 },
      messages = { { role = "user", content = "Is the capital of Peru " .. a .. "?" } } }
    deep = deep - 1
    return true
  end
  settings.configure { semantic = semantic_of { same = ask_too, judge = ask_too } }
  local _ <close> = setmetatable({}, { __close = settings.forget })
  for _, text in ipairs(WORDINGS) do
    ollama.chat { model = "m", endpoint = on.url, options = { temperature = 0 }, messages = { { role = "user", content = text } } }
  end
  t.ok(asked > 2, asked)
end)

test("semantic gate: a same that never ends does not hold its call for ever", { real = true }, function(t)
  local on <close> = server(t)
  local gate = require "core.gate.semantic"
  local before = gate.PATIENCE
  gate.PATIENCE = 0.05
  local _ <close> = setmetatable({}, { __close = function() gate.PATIENCE = before end })
  for i = 1, 3 do
    t.eq(on.ask(WORDINGS[i], semantic_of { same = function() require "stoke".sleep(1e6) end }).message.content, "Lima")
  end
  t.ok(cache.semantic.stats().unchecked > 0)
end)

test("semantic gate: what became of questions is counted over processes, and an answer given keeps its entry", { real = true },
  function(t)
  local on <close> = server(t)
  local hits = hits_of(on, semantic_of())
  local first = cache.semantic.totals()
  t.eq({ first.served, first.served + first.explored + first.missed }, { hits, #WORDINGS })
  files.of():flush()
  cache.semantic.forget()
  on.ask("Hey, what is Peru's capital?", semantic_of())
  local both = cache.semantic.totals()
  t.eq({ both.served, cache.semantic.stats().served }, { hits + 1, 1 })
  local stats = require "stoke.cache".stats()
  t.eq(stats.semantic.served, hits + 1)
  t.eq(stats.kinds.semantic.hits, hits + 1)
  t.eq(stats.saved.calls, stats.kinds.exact.hits + stats.kinds.embedding.hits, "an answer is not counted twice")
  t.eq(stats.kinds.tally, nil)
end)

test("semantic gate: a stream is answered as a stream", { real = true }, function(t)
  local on <close> = server(t)
  local hits = 0
  for _, text in ipairs(WORDINGS) do
    local pieces, cached = {}, nil
    for event in ollama.stream { model = "m", endpoint = on.url, options = { temperature = 0 },
      messages = { { role = "user", content = text } }, cache = { semantic = semantic_of() } } do
      if event.type == "text" then pieces[#pieces + 1] = event.text end
      if event.type == "done" then cached = event.cached end
    end
    t.eq(table.concat(pieces), "Lima")
    if cached == "semantic" then hits = hits + 1 end
  end
  t.ok(hits > 0 and on.chats + hits == #WORDINGS, hits)
end)

test("semantic gate: where the embedding model does not answer the model is asked, and no error is seen", { real = true },
  function(t)
  local on <close> = server(t)
  for _, text in ipairs { "What is the capital of Peru?", "Tell me the capital of Peru." } do
    t.eq(on.ask(text, semantic_of { endpoint = "http://127.0.0.1:1" }).message.content, "Lima")
  end
  t.eq(on.chats, 2)
end)

test("semantic gate: settings that make no sense are named", function(t)
  for _, bad in ipairs { 3, { error = 1 }, { error = 0 }, { same = 1 }, { judge = 1 }, { judge = "" }, { modle = "x" } } do
    t.raises("argument", function() settings.check("x", { semantic = bad }) end)
  end
  cache.forget()
end)
