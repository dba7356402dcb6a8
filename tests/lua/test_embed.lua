-- Vectors of many texts: what is asked of the server, what comes from the cache, and what becomes of texts that it refuses.

local embedding = require "core.cache.embedding"
local fake = require "fake"
local files = require "core.cache.file"
local journal = require "core.journal"
local json = require "stoke.json"
local model = require "stoke.model"
local models = require "core.cache.models"
local ollama = require "stoke.ollama"
local scopes = require "core.scope"
local stoke = require "stoke"
local test = require "stoke.test"
local words = require "stoke.runs.words"

local DIGEST = ("0123456789abcdef"):rep(4)

--- A server of embeddings in the bytes of Ollama 0.17. A text's vector is made of its bytes; `tags` = its models' digests.
local function server(o)
  o = o or {}
  local seen = { texts = {}, requests = 0, tags = 0, bodies = {} }
  local one
  one = fake(function(req, res)
    local function reply(status, value) res:reply(status, { ["Content-Type"] = "application/json" }, json.encode(value)) end
    if req.path == "/api/tags" then
      seen.tags = seen.tags + 1
      return reply(200, { models = { { name = "e:latest", model = "e:latest", size = 1, digest = o.digest or DIGEST } } })
    end
    if req.path == "/api/ps" then return reply(200, { models = json.array {} }) end
    local body = json.decode(req.body)
    seen.requests = seen.requests + 1
    seen.bodies[#seen.bodies + 1] = body
    if o.fault then
      local status, text = o.fault(body, seen.requests)
      if status then return reply(status, { error = text }) end
    end
    local rows = json.array {}
    for _, text in ipairs(body.input) do
      if #text > (o.window or math.huge) and not body.truncate then
        return reply(400, { error = "the input length exceeds the context length" })
      end
      if text:find "POISON" then return reply(500, { error = "failed to encode response: json: unsupported value: NaN" }) end
    end
    for i, text in ipairs(body.input) do
      text = text:sub(1, o.window and math.tointeger(o.window))
      seen.texts[#seen.texts + 1] = text
      rows[i] = { #text / 1000, (text:byte(1) or 0) / 1000, (text:byte(-1) or 0) / 1000, o.extra or 0.1 }
    end
    reply(200, { model = "e", embeddings = rows, total_duration = 2000000, load_duration = 1000, prompt_eval_count = #body.input })
  end)
  seen.url = one.url
  return setmetatable(seen, { __close = function()
    one.server:close()
    embedding.forget()
  end })
end

local function embed(on, given)
  given.model, given.endpoint = given.model or "e", on.url
  return ollama.embed(given)
end

local function texts_of(n, prefix)
  local list = {}
  for i = 1, n do list[i] = (prefix or "text ") .. i end
  return list
end

-- ---- what is asked ------------------------------------------------------------------------------------------------------------

test("embed: many texts go in batches, in their order; the reply is one", function(t)
  local on <close> = server()
  local reply = embed(on, { input = texts_of(150) })
  t.eq({ #reply.embeddings, on.requests, reply.usage.calls, reply.prompt_eval_count, reply.usage.input_tokens },
    { 150, 3, 3, 150, 150 })
  t.eq({ reply.model, reply.total_duration, reply.load_duration, reply.hits, reply.cached }, { "e", 6000000, 3000, 0, nil })
  t.eq(on.texts, texts_of(150))
end)

test("embed: a text that comes twice is asked for once, and has a vector of its own at each place", function(t)
  local on <close> = server()
  local rows = embed(on, { input = { "a", "b", "a", "a" } }).embeddings
  t.eq(on.texts, { "a", "b" })
  t.eq(rows[3], rows[1])
  rows[1][1] = 7
  t.ne(rows[3][1], 7)
end)

test("embed: an empty text has a vector, no texts have none and ask nothing", function(t)
  local on <close> = server()
  t.eq({ #embed(on, { input = "" }).embeddings, #embed(on, { input = { "", "x" } }).embeddings }, { 1, 2 })
  local asked = on.requests
  local none = embed(on, { input = {} })
  t.eq({ none.embeddings, none.usage.calls, on.requests }, { {}, 0, asked })
end)

test("embed: long texts make small batches", function(t)
  local on <close> = server()
  embed(on, { input = { ("x"):rep(20000), ("y"):rep(9000), ("z"):rep(9000), "w" } })
  t.eq(on.requests, 3)
end)

test("embed: normalise gives length 1", function(t)
  local on <close> = server()
  local row, sum = embed(on, { input = "a text", normalise = true }).embeddings[1], 0
  for _, v in ipairs(row) do sum = sum + v * v end
  t.near(sum, 1, 1e-12)
  local raw = embed(on, { input = "a text" })
  t.eq(raw.cached, "exact")
  t.near(raw.embeddings[1][1], 0.006, 1e-9)
end)

-- ---- the cache ----------------------------------------------------------------------------------------------------------------

test("embed: the second time nothing is asked, and the numbers are the same bit for bit", function(t)
  local on <close> = server()
  local first = embed(on, { input = texts_of(100) })
  local asked = on.requests
  local again = embed(on, { input = texts_of(100) })
  t.eq({ on.requests, again.cached, again.hits, again.usage.calls, again.usage.input_tokens }, { asked, "exact", 100, 0, 0 })
  t.eq(again.embeddings, first.embeddings)
  t.eq(embed(on, { input = texts_of(100), cache = false }).embeddings, first.embeddings)
end)

test("embed: only what is missing is asked for", function(t)
  local on <close> = server()
  embed(on, { input = { "a", "c" } })
  local reply = embed(on, { input = { "a", "b", "c", "b" } })
  t.eq({ on.texts, reply.hits, reply.cached }, { { "a", "c", "b" }, 2, nil })
  t.near(reply.embeddings[2][2], 0.098, 1e-7)
end)

test("embed: cache = false neither looks nor keeps", function(t)
  local on <close> = server()
  embed(on, { input = "a", cache = false })
  t.eq({ embed(on, { input = "a" }).hits, on.requests, on.tags }, { 0, 2, 1 })
  embed(on, { input = "a", cache = false })
  t.eq(on.requests, 3)
end)

test("embed: another model, other dimensions, other options: each is a miss", function(t)
  local on <close> = server()
  local function asked(given)
    local before = on.requests
    given.input = "a"
    embed(on, given)
    return on.requests - before
  end
  t.eq({ asked {}, asked {} }, { 1, 0 })
  t.eq({ asked { dimensions = 2 }, asked { dimensions = 2 }, asked { dimensions = 3 } }, { 1, 0, 1 })
  t.eq({ asked { options = { seed = 1 } }, asked { options = { seed = 1 } }, asked { options = { seed = 2 } } }, { 1, 0, 1 })
  t.eq({ asked { model = "e:latest" }, asked {} }, { 0, 0 }) -- the same model
end)

test("embed: a model that was replaced under its name is another one", function(t)
  local o = {}
  local on <close> = server(o)
  local before = embed(on, { input = "a" }).embeddings[1]
  o.digest, o.extra = ("f"):rep(64), 0.2
  models.forget()
  local after = embed(on, { input = "a" })
  t.eq({ after.hits, after.embeddings[1][4] == before[4] }, { 0, false })
end)

test("embed: a new model's vectors are not kept under the old one's digest, which was believed when they were asked", function(t)
  local o = {}
  local on <close> = server(o)
  embed(on, { input = "a" })
  o.digest, o.extra = ("f"):rep(64), 0.5 -- made anew by somebody else
  t.eq(embed(on, { input = "b" }).hits, 0)
  stoke.sleep(6)
  t.eq(embed(on, { input = "b" }).hits, 0) -- the server says that it has another model
  o.digest, o.extra = nil, nil
  stoke.sleep(6)
  t.eq(embed(on, { input = "b" }).hits, 0)
end)

test("embed: a later run finds in the file what an earlier one kept", function(t)
  local on <close> = server()
  local after <close> = setmetatable({}, { __close = function() files.path = nil end }) -- luacheck: ignore
  files.path = t.tmp() .. "/cache.db"
  files.forget()
  local first = embed(on, { input = texts_of(300) }).embeddings
  embedding.forget() -- all that this process knows; what it kept is written before
  local again = embed(on, { input = texts_of(300) })
  t.eq({ again.cached, again.embeddings, on.tags }, { "exact", first, 2 })
end)

test("embed: without a digest there is no cache, and the call goes on", function(t)
  local on <close> = server()
  for _ = 1, 2 do t.eq(embed(on, { model = "unknown", input = "a" }).hits, 0) end
  t.eq(on.requests, 2)
end)

test("embed: a budget counts what is asked; what is in the cache is free, also when the budget is spent", function(t)
  local on <close> = server()
  local scope <close> = stoke.scope { budget = { calls = 1 } } -- luacheck: ignore
  embed(on, { input = { "a", "b" } })
  t.eq(embed(on, { input = { "b", "a" } }).cached, "exact")
  t.raises("budget", embed, on, { input = "c" })
end)

-- ---- texts that are refused ---------------------------------------------------------------------------------------------------

test("embed: a text that the server refuses is named; the vectors of all others are kept", function(t)
  local on <close> = server()
  local input = texts_of(50)
  input[37] = "POISON"
  local err = t.raises("invalid_output", embed, on, { input = input })
  t.eq({ err.index, err.indexes }, { 37, { 37 } })
  t.match(err.message, "^input%[37%]: .*NaN")
  table.remove(input, 37)
  local asked = on.requests
  t.eq({ embed(on, { input = input }).cached, on.requests }, { "exact", asked })
end)

test("embed: several, one of them twice: the first is named, all are listed", function(t)
  local on <close> = server()
  local err = t.raises("invalid_output", embed, on, { input = { "a", "POISON 1", "b", "POISON 2", "POISON 1" } })
  t.eq(err.indexes, { 2, 4, 5 })
  t.match(err.message, "and 2 more of the texts")
end)

test("embed: partial gives the vectors that there are, and the errors by their places", function(t)
  local on <close> = server()
  local reply = embed(on, { input = { "a", "POISON", "b" }, partial = true })
  t.eq({ #reply.embeddings[1], reply.embeddings[2], #reply.embeddings[3] }, { 4, false, 4 })
  t.eq({ reply.errors[2].kind, reply.errors[1] }, { "invalid_output", nil })
end)

test("embed: without partial it ends after many refusals, and names those; with it each text is told", function(t)
  local on <close> = server()
  local input = {}
  for i = 1, 100 do input[i] = i % 2 == 0 and "POISON " .. i or "text " .. i end
  local err = t.raises("invalid_output", embed, on, { input = input })
  t.eq({ err.index, #err.indexes }, { 2, 16 })
  local reply, failed = embed(on, { input = input, partial = true }), 0
  for i = 1, 100 do
    t.eq({ reply.embeddings[i] == false, reply.errors[i] ~= nil }, { i % 2 == 0, i % 2 == 0 })
    failed = failed + (reply.errors[i] and 1 or 0)
  end
  t.eq(failed, 50)
end)

test("embed: with partial a server that goes away is an error all the same", function(t)
  local o = { fault = function(_, n) if n > 60 then return 404, "gone" end end }
  local on <close> = server(o)
  local input = {}
  for i = 1, 400 do input[i] = i % 2 == 0 and "POISON " .. i or "text " .. i end
  t.raises("http", embed, on, { input = input, partial = true })
end)

test("embed: one text alone that is refused has the server's own error", function(t)
  local on <close> = server()
  local err = t.raises("invalid_output", embed, on, { input = "POISON" })
  t.eq({ err.index, on.requests }, { nil, 1 })
end)

test("embed: a model that does not embed is asked twice, not once a text", function(t)
  local on <close> = server { fault = function() return 400, '"e" does not support embeddings' end }
  local err = t.raises("http", embed, on, { input = texts_of(60) })
  t.eq({ err.index, on.requests }, { nil, 2 })
end)

test("embed: a model that is not there is no text's fault", function(t)
  local on <close> = server { fault = function() return 404, 'model "e" not found, try pulling it first' end }
  local err = t.raises("http", embed, on, { input = texts_of(60) })
  t.eq({ err.index, err.status, on.requests }, { nil, 404, 1 })
end)

test("embed: what came before a failure in the middle is kept", function(t)
  local o = { fault = function(_, n) if n == 2 then return 404, "gone" end end }
  local on <close> = server(o)
  t.raises("http", embed, on, { input = texts_of(150) })
  t.eq(embed(on, { input = texts_of(150) }).hits, 64)
end)

test("embed: a vector with a hole in it, or of another length, is an error", function(t)
  local rows
  local on <close> = fake(function(req, res)
    res:reply(200, {}, req.path == "/api/tags" and '{"models":[]}' or '{"model":"e","embeddings":' .. rows .. "}")
  end)
  rows = "[[0.5,null],[0.5,0.5]]"
  local err = t.raises("protocol", embed, on, { input = { "a", "b" } })
  t.eq(err.index, 1)
  rows = "[[0.5,0.25],[0.5]]"
  t.match(t.raises("protocol", embed, on, { input = { "a", "b" } }).message, "2 and of 1")
end)

-- ---- long texts ---------------------------------------------------------------------------------------------------------------

test("embed: a text longer than the window is an error that says what can be done", function(t)
  local on <close> = server { window = 100 }
  local err = t.raises("context_overflow", embed, on, { input = { "a", ("long "):rep(30), "b" } })
  t.eq(err.index, 2)
  t.match(err.hint, 'long = "chunk"')
  t.eq(embed(on, { input = { "a", "b" } }).cached, "exact")
end)

test("embed: in pieces its vector is the mean of theirs, and it is listed; the second time it is in the cache", function(t)
  local on <close> = server { window = 100 }
  local text = ("long "):rep(60)
  local reply = embed(on, { input = { "a", text, "b", text }, long = "chunk" })
  t.eq(reply.chunked, { 2, 4 })
  t.eq(table.concat(on.texts):gsub("[ab]", ""), text)
  local sum = 0
  for _, v in ipairs(reply.embeddings[2]) do sum = sum + v * v end
  t.near(sum, 1, 1e-6)
  local asked = on.requests
  local again = embed(on, { input = { text }, long = "chunk" })
  t.eq({ again.embeddings[1], again.chunked, on.requests }, { reply.embeddings[2], { 1 }, asked })
  t.raises("context_overflow", embed, on, { input = { text } }) -- who did not ask for pieces gets none
end)

test("embed: cut, it is listed, and its vector is nobody's who did not ask for that", function(t)
  local on <close> = server { window = 100 }
  local text = ("long "):rep(60)
  for _, how in ipairs { { truncate = true }, { long = "truncate" } } do
    how.input = { "a", text }
    t.eq(embed(on, how).truncated, { 2 })
  end
  t.eq(on.texts, { "a", text:sub(1, 100) })
  t.eq(on.bodies[1].truncate, false)
  t.raises("context_overflow", embed, on, { input = text })
end)

test("embed: a text that no cut makes short enough is an error, in pieces, too", function(t)
  local on <close> = server { window = 0 }
  local err = t.raises("context_overflow", embed, on, { input = { "ab", "cd" }, long = "chunk" })
  t.eq(err.index, 1)
end)

-- ---- around it ----------------------------------------------------------------------------------------------------------------

test("embed: what is said badly is told", function(t)
  for _, case in ipairs {
    { "long must be", { long = "cut" } }, { "did you mean \"chunk\"", { long = "chunks" } },
    { "say two things", { truncate = true, long = "chunk" } }, { "cache must be", { cache = 1 } },
  } do
    case[2].model, case[2].input = "e", "x"
    local err = t.raises("argument", ollama.embed, case[2])
    t.match(err.message .. " " .. tostring(rawget(err, "hint")), case[1])
  end
end)

test("embed: model.embed has the same cache", function(t)
  local on <close> = server()
  embed(on, { input = { "a", "b" } })
  local vectors, usage = model.embed(model.open("e", on.url), {}, { "b", "a" })
  t.eq({ #vectors, usage.calls, on.requests }, { 2, 0, 1 })
end)

test("embed: packed vectors, for who keeps many", function(t)
  local on <close> = server()
  local packed, found = require "stoke.model.embed".packed(model.open("e", on.url), { partial = true }, { "a", "POISON", "a" })
  t.eq({ #packed[1], packed[2], packed[3] == packed[1], found.dimensions }, { 16, false, true, 4 })
end)

test("embed: cancelled between two batches: what has come is kept", function(t)
  local on
  on = server { fault = function(_, n) if n == 2 then stoke.sleep(100) end end }
  local closing <close> = on -- luacheck: ignore
  t.raises("timeout", stoke.timeout, 5, function() return embed(on, { input = texts_of(100) }) end)
  t.eq(embed(on, { input = texts_of(64) }).cached, "exact")
end)

test("embed: a run records the vectors that it got; its replay neither asks nor looks into the cache", function(t)
  local on <close> = server()
  embed(on, { input = { "b" } }) -- one of them is in the cache
  local function run()
    local scope <close> = stoke.scope { budget = { calls = 9 } }
    local reply = embed(on, { input = { "a", "b", "a", "POISON" }, partial = true })
    return { rows = reply.embeddings, hits = reply.hits, usage = reply.usage, failed = reply.errors[4].kind,
      used = scope.budget.used }
  end
  local tape, first = journal.record("run", run)
  t.eq({ first.err, first[1].hits, first[1].failed }, { nil, 1, "invalid_output" })
  t.eq(tape.rows[1].key, "run/llm.embed#1")
  local asked, looked = on.requests, on.tags
  embedding.forget()
  local second = journal.replay(tape, run)
  t.eq(second[1], first[1])
  t.eq({ on.requests, on.tags }, { asked, looked })
end)

test("embed: a run that begins with everything in the cache has the same vectors in its journal", function(t)
  local on <close> = server()
  local function run() return embed(on, { input = { "a", "b" } }).embeddings end
  local _, fresh = journal.record("run", run)
  local tape, cached = journal.record("run", run)
  t.eq({ cached[1], on.requests }, { fresh[1], 1 })
  t.eq(tape.rows[1].outcome.value.hits, 2)
  t.eq({ words.outcome(tape.rows[1], {}) }, { "done", "2 vectors of 4 numbers, 2 from the cache" })
  t.eq(words.what(tape.rows[1]), "llm.embed e")
end)

test("embed: a recording of a test has the requests, whatever is in the cache", function(t)
  local on <close> = server()
  embed(on, { input = "a" })
  local names = {}
  local tape = { recording = true, put = function() end, open = function(_, name)
    names[#names + 1] = name
    return {}
  end }
  local scope <close> = scopes.open { tape = tape } -- luacheck: ignore
  t.eq(embed(on, { input = "a" }).hits, 0)
  t.eq({ names, on.requests }, { { "llm.chat" }, 2 })
end)
