-- The history on the page: the list, one run and one trace from within, what is done from there: stdlib/page/runs.lua, lua/history.

local stoke = require "stoke"
local test = require "stoke.test"
local approvals = require "stoke.page.approvals"
local curl = require "stoke.page.runs.curl"
local fs = require "stoke.fs"
local history = require "core.history.runs"
local json = require "stoke.json"
local kept = require "kept"
local proc = require "stoke.proc"
local redact = require "core.redact"
local runs = require "stoke.runs"
local span = require "core.gate.span"
local stored = require "stored"
local streams = require "stoke.page.stream"
local traces = require "core.traces"
local views = require "stoke.page.runs"

local weather = stoke.tool { name = "get_weather", description = "Current weather", params = { city = "string: city" },
  run = function(args) return "4 degrees, rain in " .. args.city end }
local guide = stoke.agent { name = "guide", model = "qwen2.5:3b", tools = { weather }, instructions = "You are a guide." }

local function trip()
  stoke.step("pack", function() return { "socks" } end)
  local text = guide:run("Umbrella?").text
  stoke.sleep(90)
  return text
end

local ANSWERS = { { tool = "get_weather", args = { city = "Oslo" } }, "Take one." }

--- A store with the run trip-7, and a view on it.
local function place(t, f)
  t.model("qwen2.5:3b", ANSWERS)
  local held = kept.store(t)
  kept.run(held.store, "trip-7", f or trip)
  return views.new { store = held.path }, held
end

--- Keep the spans of what follows beside a store, with requests.
local function keeping(held)
  traces.keep { path = held.path:gsub("[^/]*$", "traces.db"), bodies = true }
  return setmetatable({}, { __close = function()
    traces.stop()
    span.bodies = true -- as the tests have it
  end })
end

local function ids(page)
  local out = {}
  for i, item in ipairs(page.items) do out[i] = item.id end
  return out
end

-- ---- the list -------------------------------------------------------------------------------------------------------------------

test("the list has runs and traces in one order, the newest first", function(t)
  local view <const>, held <close> = place(t)
  local _ <close> = keeping(held)
  stoke.sleep(10)
  do local _ <close> = span.enter("script", "later.lua") end -- luacheck: ignore
  stoke.sleep(10)
  kept.run(held.store, "trip-8", function() error(stoke.error, 0) end)
  local page = view:look {}
  t.eq(ids { items = { page.items[1], page.items[3] } }, { "trip-8", "trip-7" })
  t.eq({ page.items[2].kind, page.items[2].title }, { "trace", "later.lua" })
  local newest, oldest = page.items[1], page.items[3]
  t.eq({ newest.kind, newest.name, newest.state, newest.calls }, { "run", "trip", "failed", 0 })
  t.ok(#newest.about > 0, "why it failed")
  t.eq({ oldest.state, oldest.calls, oldest.tokens > 100, page.next }, { "done", 2, true, nil })
end)

test("the list is read by pages, each run once, also where runs come in between", function(t)
  local held <close> = kept.store(t)
  for i = 1, 120 do stored.ok(held.store:create { id = "job-" .. i, workflow = "job" }) end
  local view, seen, sizes, before = views.new { store = held.path }, {}, {}, nil
  repeat
    local page = view:look { before = before }
    for _, id in ipairs(ids(page)) do seen[#seen + 1] = id end
    sizes[#sizes + 1], before = #page.items, page.next
    stored.ok(held.store:create { id = "new-" .. #sizes, workflow = "job" })
  until not before
  t.eq({ sizes, #seen, seen[1], seen[120] }, { { 50, 50, 20 }, 120, "job-120", "job-1" })
end)

test("the list is filtered by state, kind and text; wrong words are refused", function(t)
  local view <const>, held <close> = place(t)
  kept.run(held.store, "trip-8", function() error("broken", 0) end)
  stored.ok(held.store:create { id = "order-9", workflow = "Order" })
  t.eq(ids(view:look { state = "failed" }), { "trip-8" })
  t.eq(ids(view:look { text = "order" }), { "order-9" })
  t.eq(ids(view:look { text = " TRIP ", state = "done" }), { "trip-7" })
  t.eq(ids(view:look { kind = "traces" }), {})
  t.eq(ids(view:look { text = "100%" }), {})
  for _, asked in ipairs { { state = "gone" }, { kind = "things" }, { before = "yesterday" } } do
    t.raises("argument", view.look, view, asked)
  end
end)

test("a search through many runs says how far it has come, and goes on from there", function(t)
  local held <close> = kept.store(t)
  for i = 1, 60 do stored.ok(held.store:create { id = i == 2 and "needle" or "hay-" .. i, workflow = "job" }) end
  local most = history.SEARCHED
  history.SEARCHED = 25
  local _ <close> = setmetatable({}, { __close = function() history.SEARCHED = most end })
  local view, looks, page = views.new { store = held.path }, 0, {}
  repeat
    page = view:look { text = "needle", before = page.next }
    looks = looks + 1
  until page.items[1] or not page.next
  t.eq({ page.items[1].id, looks }, { "needle", 3 })
end)

test("where nothing was kept the list is empty, and nothing is made", function(t)
  local path = t.tmp() .. "/none/state.db"
  local picture = views.new { store = path }:picture()
  t.eq({ #picture.items, picture.host, picture.store }, { 0, false })
  t.eq(fs.stat(path), nil)
end)

test("a store of another version, or damaged, is one clear error", function(t)
  local path = t.tmp() .. "/state.db"
  fs.write(path, ("no database "):rep(100))
  local view = views.new { store = path }
  t.contains(t.raises("db", view.look, view, {}).message, "no store of stoke's")
  t.contains(view:picture().wrong, "no store of stoke's")
end)

-- ---- one run --------------------------------------------------------------------------------------------------------------------

test("a run is its heading and its records: where each is in the run, when, how long, what came of it", function(t)
  local view <const>, held <close> = place(t)
  local shown = view:look { run = "trip-7" }
  t.eq({ shown.run.id, shown.run.workflow, shown.run.state, shown.run.calls, shown.count }, { "trip-7", "trip", "done", 2, 6 })
  local names, by_name = {}, {}
  for i, row in ipairs(shown.records) do names[i], by_name[row.about] = row.about, row end
  t.eq(names, { "step pack", "llm.learned qwen2.5:3b", "llm.chat qwen2.5:3b", "tool get_weather {city=Oslo}", "llm.chat qwen2.5:3b",
    "sleep 90 s" })
  local tool, call = by_name["tool get_weather {city=Oslo}"], shown.records[3]
  t.eq({ tool.frames, tool.who, tool.status, tool.outcome }, { { "agent guide:1", "tool get_weather:1" }, "guide", "done",
    '"4 degrees, rain in Oslo"' })
  t.eq({ call.call, call.input > 0, call.output > 0, call.prefill ~= nil, call.decode ~= nil }, { true, true, true, true, true })
  t.near(by_name["sleep 90 s"].seconds, 90, 0.01)
  t.near(by_name["sleep 90 s"].at + 90, held.store:find("trip-7").changed - shown.run.begun, 1)
end)

test("an answer from the cache says so, and takes no part of the time that it took when it was made", function(t)
  local view = place(t, function()
    for _ = 1, 2 do stoke.chat { model = "qwen2.5:3b", prompt = "And?", options = { temperature = 0 }, cache = true } end
  end)
  local calls = {}
  for _, row in ipairs(view:look({ run = "trip-7" }).records) do
    if row.call then calls[#calls + 1] = row end
  end
  t.eq({ calls[1].cached, calls[1].prefill ~= nil }, { nil, true })
  t.eq({ calls[2].cached, calls[2].prefill, calls[2].decode }, { "exact" })
end)

test("of a long run pages are read, and of what is long only its beginning", function(t)
  local held <close> = kept.store(t)
  kept.run(held.store, "long", function()
    for i = 1, 430 do stoke.step("s" .. i, function() return i == 400 and ("x"):rep(3 << 20) or i end) end
  end)
  local view = views.new { store = held.path }
  local first = view:look { run = "long" }
  t.eq({ first.count, #first.records, first.records[200].n }, { 430, 200, 200 })
  local last = view:look { run = "long", from = "391", more = "1" }
  t.eq({ #last.records, last.records[1].n, last.records[40].n, last.conversations }, { 40, 391, 430 })
  t.ok(#last.records[10].outcome <= 310, "an outcome of megabytes is a line")
  local cut = view:look { run = "long", record = "400" }
  t.eq({ #cut.value < 25000, cut.value_size }, { true, 3 << 20 })
  t.eq(#view:look { run = "long", record = "400", all = "1" }.value, 3 << 20)
end)

test("one record is whole: its request with all messages, its answer, its place", function(t)
  local view <const>, held <close> = place(t)
  local whole = view:look { run = "trip-7", record = "5" }
  local expected = runs.show("trip-7", { store = held.path, requests = true }).records[5]
  t.eq(whole.request, require "stoke.runs.words".whole(expected.request))
  t.contains(whole.request, "4 degrees, rain in Oslo")
  t.eq({ whole.answer.role, whole.answer.text, whole.row.n, #whole.digest }, { "assistant", "Take one.", 5, 64 })
  t.contains(whole.key, "agent guide")
  for _, number in ipairs { "7", "0" } do
    t.contains(t.raises("argument", view.look, view, { run = "trip-7", record = number }).message, "no record #" .. number)
  end
  t.raises("argument", view.look, view, { run = "trip-7", record = "five" })
  t.contains(t.raises("argument", view.look, view, { run = "trip-9" }).message, "no run trip-9")
end)

test("conversations: calls of which each goes on where the one before ended, whoever else has the same instructions", function(t)
  t.model("qwen2.5:3b", function(request)
    local last = request.messages[#request.messages]
    return last.role == "user" and last.content == "Umbrella?" and ANSWERS[1] or "Take one."
  end)
  local held <close> = kept.store(t)
  kept.run(held.store, "trip-7", function()
    stoke.all { function() guide:run "Umbrella?" end, function() guide:run "A hat?" end }
    stoke.chat { model = "qwen2.5:3b", prompt = "And?" }
  end)
  local view = views.new { store = held.path }
  local found = view:look { run = "trip-7" }.conversations
  local sizes = {}
  for i, one in ipairs(found) do sizes[i] = ("%s %d %d"):format(one.title, one.calls, one.messages) end
  table.sort(sizes)
  t.eq(sizes, { "guide 1 2", "guide 2 4", "the run itself 1 1" })
end)

test("a transcript is what the model was told and what it said, in pages; any message is whole where it is asked for", function(t)
  local long = ("word "):rep(2000)
  local view <const>, held <close> = place(t, function() return guide:run("Umbrella? " .. long).text end)
  local last = view:look { run = "trip-7" }.conversations[1].last
  local page = view:look { run = "trip-7", transcript = tostring(last) }
  local said = {}
  for i, one in ipairs(page.items) do said[i] = one.role .. ": " .. (one.text and one.text:sub(1, 9) or one.calls[1].name) end
  t.eq(said, { "system: You are a", "user: Umbrella?", "assistant: get_weather", "tool: 4 degrees", "assistant: Take one." })
  t.eq({ page.items[2].size, #page.items[2].text < 3100, page.items[4].tool }, { 10010, true, "get_weather" })
  t.eq(#view:look { run = "trip-7", transcript = tostring(last), message = "2" }.text, 10010)
  t.eq(#view:look { run = "trip-7", transcript = tostring(last), before = "3" }.items, 2)
  t.raises("argument", view.look, view, { run = "trip-7", transcript = tostring(last), message = "9" })
  t.ok(held.path)
end)

test("a stream that has not ended shows what has come of it", function(t)
  local held <close> = kept.store(t)
  kept.run(held.store, "open", function() end, { state = "running", change = function(journal, log)
    local row = { number = journal.last + 1, key = "run/llm.stream#1", name = "llm.stream", class = "idempotent",
      digest = ("0123456789abcdef"):rep(4), request = { protocol = "ollama", model = "m", path = "/api/chat",
        body = { model = "m", messages = { { role = "user", content = "Hi" } } } }, time = 1767225700 }
    journal.last = row.number
    log:row(row)
    row.outcome = { items = {} }
    for i, text in ipairs { "Good ", "morn" } do
      row.outcome.items[i] = { value = { type = "text", text = text }, inline = false }
      log:item(row, i)
    end
  end })
  local view = views.new { store = held.path }
  local page = view:look { run = "open", transcript = "1" }
  t.eq({ page.items[1].text, page.items[2].text, page.status }, { "Hi", "Good morn", "open" })
end)

test("secrets that this process knows leave by no way", function(t)
  local view <const>, held <close> = place(t, function() return guide:run("The key is planted-0123456789").text end)
  redact.learn("planted-0123456789", "DOOR")
  local _ <close> = setmetatable({}, { __close = redact.forget })
  for _, asked in ipairs { {}, { run = "trip-7" }, { run = "trip-7", record = "2" }, { run = "trip-7", transcript = "2" },
    { run = "trip-7", part = "ends" } } do
    local text = json.encode(view:look(asked))
    t.eq(text:find("planted-0123", 1, true), nil, json.encode(asked))
  end
  t.contains(view:look({ run = "trip-7", transcript = "2" }).items[2].text, "[secret DOOR]")
  t.ok(held.path)
end)

--- A run whose model gives a tool a secret, as a table and as JSON in a text; the tool repeats it.
local function with_secrets(t)
  local login = stoke.tool { name = "login", description = "Log in", params = { user = "string: who", password = "string: word" },
    run = function(args) return { said = "no " .. args.password .. " here", token = "ticket-plugh-77" } end }
  local agent = stoke.agent { name = "teller", model = "qwen2.5:3b", tools = { login } }
  t.model("qwen2.5:3b", { { tool = "login", args = { user = "ann", password = "sesame-plugh-eight" } },
    'done: {"password":"sesame-plugh-eight"}' })
  local held = kept.store(t)
  kept.run(held.store, "trip-7", function()
    stoke.step("note", function() return '{"body":"{\\"api_key\\":\\"sesame-plugh-nine\\",\\"run\\":0}"}' end)
    agent:run "Log in"
    return { password = "sesame-plugh-eight", place = "Oslo" }
  end)
  redact.forget()
  return views.new { store = held.path }, held
end

test("what is secret by its name is masked, in a process that never knew it: records, transcripts, outcomes, curl", function(t)
  local view <const>, held <close> = with_secrets(t)
  local first = view:look { run = "trip-7" }
  local looks = { {}, { run = "trip-7" }, { run = "trip-7", part = "ends" }, { run = "trip-7", part = "ends", all = "1" } }
  for n = 1, first.count do
    looks[#looks + 1] = { run = "trip-7", record = tostring(n) }
    looks[#looks + 1] = { run = "trip-7", record = tostring(n), all = "1" }
    if first.records[n].call then looks[#looks + 1] = { run = "trip-7", transcript = tostring(n) } end
  end
  for _, asked in ipairs(looks) do
    local text = json.encode(view:look(asked))
    t.eq({ text:find("sesame-plugh", 1, true), text:find("ticket-plugh", 1, true) }, {}, json.encode(asked))
  end
  local last = view:look { run = "trip-7", transcript = tostring(first.conversations[1].last) }
  t.contains(json.encode(last), "[redacted]")
  t.contains(view:look({ run = "trip-7", part = "ends" }).result, "Oslo")
  local curled = view:look({ run = "trip-7", record = tostring(first.conversations[1].last) }).curl
  t.match(curled, "^# what is secret in the body is masked")
  local note = json.decode(view:look({ run = "trip-7", record = "1" }).value)
  t.eq(json.decode(note.body), { api_key = "[redacted]", run = 0 })
  t.ok(held.path)
end)

test("what a run waits for has no password in it, in the list, on its own page and among approvals", function(t)
  local held <close> = kept.store(t)
  local url = "http://ada:sesame-plugh-ten@far.example/x"
  kept.run(held.store, "trip-8", function() stoke.sleep(1) end, { state = "waiting", waits = "approval of http.request " .. url,
    change = function(journal, log)
      kept.open_call(journal, log, { args = { url = url }, asks = { effect = "http.request", what = "GET " .. url, since = 1 } })
    end })
  local view = views.new { store = held.path }
  for _, shown in ipairs { view:look {}, view:look { run = "trip-8" } } do
    local text = json.encode(shown)
    t.eq(text:find("sesame", 1, true), nil, text)
    t.contains(text, "approval of http.request")
  end
  local entry = approvals.new({ store = held.path, idle = true }):picture().entries[1]
  t.eq(entry.what, "GET http://ada:[redacted]@far.example/x")
end)

test("fields of the log are masked by their names, and their values in the words of other lines", function(t)
  local held <close> = kept.store(t)
  do
    local _ <close> = keeping(held)
    local one = span.enter("script", "s.lua")
    local function write(message, fields) -- as an earlier version has written it
      traces.log { time = stoke.time.now(), level = "warn", message = message, fields = fields, trace = one.trace, span = one.id }
    end
    write "used sesame-plugh-nine"
    write("logged in", { login = { { name = "ada", password = "sesame-plugh-nine" } } })
    write "at postgres://ada:sesame-plugh-six@h/db"
    span.leave(one)
    traces.flush()
    redact.forget()
  end
  local view = views.new { store = held.path }
  local shown = view:look { trace = view:look({}).items[1].id, part = "log" }
  local text = json.encode(shown)
  t.eq({ #shown.lines, text:find("sesame", 1, true) }, { 3 }, text)
  t.eq(shown.lines[2].fields.login[1], { name = "ada", password = "[redacted]" })
end)

-- ---- curl -----------------------------------------------------------------------------------------------------------------------

--- The words that a shell makes of a line of curl.
local function words_of(line)
  local script = [[curl() { for word in "$@"; do printf '%s\001' "$word"; done; }]] .. "\n" .. line
  local out = proc.run { argv = { "sh", "-c", script }, env = { FAR_API_KEY = "from-the-shell", API_X_API_KEY = "other" } }.stdout
  local words = {}
  for word in out:gmatch "([^\1]*)\1" do words[#words + 1] = word end
  return words
end

test("curl: what a shell makes of the line is the request as it was sent, whatever is in it", { real = true, programs = true },
  function(t)
    local text = "it's \"quoted\" $HOME `id` \\ and\nlines; $(id) \u{1F600}"
    local view <const>, held <close> = place(t, function() return guide:run(text).text end)
    local words = words_of(view:look({ run = "trip-7", record = "2" }).curl)
    local body = json.decode(words[#words])
    t.eq({ words[1], words[2], words[3], words[4], words[5] }, { "-sS", "http://127.0.0.1:11434/api/chat", "-H",
      "Content-Type: application/json", "--data-raw" })
    t.eq(body, json.decode(json.encode(runs.show("trip-7", { store = held.path, requests = true }).records[2].request.body)))
    t.eq(body.messages[2].content, text)
  end)

test("curl: a secret is the name of a variable, which the shell puts in", { real = true, programs = true }, function(t)
  local line = curl.of("http.request", { method = "PUT", url = "https://far.example/a?token=hidden&b=1", body = "x",
    headers = { Authorization = "Bearer planted", Accept = "*/*" } })
  t.eq({ line:find "planted", line:find "hidden" }, {})
  t.contains(line, "$FAR_EXAMPLE_API_KEY")
  local words = words_of((line:gsub("FAR_EXAMPLE_API_KEY", "FAR_API_KEY")))
  t.eq(words, { "-sS", "-X", "PUT", "https://far.example/a?token=&b=1", "-H", "Accept: */*", "-H",
    "Authorization: Bearer from-the-shell", "-H", "Content-Type:", "--data-raw", "x" })
  t.eq({ curl.of("tool.call", { name = "x" }), curl.of("time.sleep", 3), curl.of("fs.read", { path = "/etc" }) }, {})
end)

--- A server that keeps what it is asked, and what curl makes of a line with these variables.
local function asked_again(line, url, variables)
  local env = { PATH = os.getenv "PATH" }
  for name, value in pairs(variables or {}) do env[name] = value end
  local ran = proc.run { argv = { "sh", "-c", (line:gsub("http://127%.0%.0%.1:%d+", url)) }, env = env }
  return ran.stdout, ran.code, ran.stderr
end

local function there(name) return proc.run { argv = { "sh", "-c", "command -v " .. name } }.code == 0 end

test("curl: the line of a request that a run has made asks the same of a server", { real = true, programs = true }, function(t)
  if not there "curl" then t.skip "there is no curl here" end
  local seen
  local server <close> = stoke.http.serve { port = 0, handler = function(req, res)
    seen = { method = req.method, target = req.target, body = req.body, type = req.headers["content-type"],
      login = req.headers.authorization, key = req.headers["x-api-key"] }
    return res:reply(200, {}, "done")
  end }
  local where = server.url:gsub("://", "://ada:plugh-nine@")
  local view <const>, _ <close> = place(t, function()
    stoke.http.post(server.url .. "/a?token=sesame-plugh-1&b={1,2}&c=it's!", { body = "x = $HOME `id`",
      headers = { Authorization = "Bearer sesame-plugh-2", ["X-API-Key"] = "sesame-plugh-3" } })
    stoke.http.get(where .. "/b", { raise = false })
    stoke.http.request { method = "HEAD", url = server.url .. "/c" }
  end)
  local env = { _127_0_0_1_AUTHORIZATION = "Bearer sesame-plugh-2", _127_0_0_1_X_API_KEY = "sesame-plugh-3",
    _127_0_0_1_TOKEN = "sesame-plugh-1", _127_0_0_1_LOGIN = "ada:plugh-nine" }
  local first = seen
  for record, sent in ipairs { { method = "POST", target = "/a?token=sesame-plugh-1&b={1,2}&c=it's!", body = "x = $HOME `id`",
      login = "Bearer sesame-plugh-2", key = "sesame-plugh-3" }, { method = "GET", target = "/b", body = "",
      login = "Basic YWRhOnBsdWdoLW5pbmU=" }, { method = "HEAD", target = "/c", body = "" } } do
    local line = view:look({ run = "trip-7", record = tostring(record) }).curl
    t.eq({ line:find "plugh" }, {}, line)
    local out, code, err = asked_again(line, server.url, env)
    t.eq({ code, err }, { 0, "" }, line)
    if sent.method == "POST" then t.eq(out, "done") end
    t.eq(seen, sent, line)
  end
  t.eq(first.method, "HEAD")
  t.match(view:look({ run = "trip-7", record = "1" }).curl,
    "^# _127_0_0_1_TOKEN: of token; _127_0_0_1_AUTHORIZATION: scheme and key, as in Bearer KEY; "
    .. "_127_0_0_1_X_API_KEY: of X%-API%-Key\n")
end)

test("curl: the line of a call of a model asks the simulator the same", { real = true, programs = true }, function(t)
  if not there "curl" then t.skip "there is no curl here" end
  local view <const>, _ <close> = place(t, function() return guide:run("it's $HOME and `id`").text end)
  local line = view:look({ run = "trip-7", record = "2" }).curl
  local server <close> = require "stoke.sim".serve { port = 0, models = { "qwen2.5:3b" }, script = { "Again." } }
  local out, code, err = asked_again(line, server.url)
  t.eq({ code, err }, { 0, "" })
  t.contains(out, "Again.")
  t.eq(server.sim.ledger.models["qwen2.5:3b"].requests, 1)
end)

-- ---- traces ---------------------------------------------------------------------------------------------------------------------

test("a trace from within: its tree, requests as they were kept, what was said", function(t)
  local held <close> = kept.store(t)
  t.model("qwen2.5:3b", ANSWERS)
  do
    local _ <close> = keeping(held)
    guide:run "Umbrella?"
  end
  local view = views.new { store = held.path }
  local listed = view:look({}).items[1]
  t.eq({ listed.kind, listed.title, listed.calls, listed.spans, listed.state }, { "trace", "guide", 2, 4, "done" })
  local shown = view:look { trace = listed.id }
  local names = {}
  for i, one in ipairs(shown.spans) do names[i] = ("%d %s"):format(one.depth, one.name) end
  t.eq(names, { "0 agent.run", "1 llm.chat", "1 tool.call", "1 llm.chat" })
  local call = shown.spans[4]
  local whole = view:look { trace = listed.id, span = call.id }
  t.contains(whole.curl, "4 degrees, rain in Oslo")
  t.eq(whole.answer.text, "Take one.")
  t.eq({ shown.conversations[1].title, shown.conversations[1].calls, shown.conversations[1].last }, { "guide", 2, call.id })
  local page = view:look { trace = listed.id, transcript = call.id }
  t.eq({ #page.items, page.items[5].text }, { 5, "Take one." })
  t.raises("argument", view.look, view, { trace = listed.id, span = "none" })
  t.raises("usage", view.look, view, { trace = "ffff" })
end)

test("the log of a trace: what was written meanwhile, beside its span; a trace without its outermost span is open", function(t)
  local held <close> = kept.store(t)
  local view = views.new { store = held.path }
  local outer
  do
    local _ <close> = keeping(held)
    stoke.log.listen(traces.log)
    outer = span.enter("script", "s.lua")
    span.inside(outer)
    local inner <close> = span.enter("work", "w") -- luacheck: ignore
    span.inside(inner)
    stoke.sleep(2)
    stoke.log.warn("it rains", { city = "Oslo" })
    span.leave(inner)
    traces.flush()
    local listed = view:look({}).items[1]
    t.eq({ listed.state, listed.title }, { "open", "w" })
    t.eq(#view:look({ state = "done" }).items, 0)
    span.leave(outer)
  end
  local listed = view:look({}).items[1]
  t.eq({ listed.state, listed.title, listed.spans }, { "done", "s.lua", 2 })
  local shown = view:look { trace = listed.id, part = "log" }
  local line = shown.lines[1]
  t.eq({ #shown.lines, line.level, line.message, line.fields.city, line.span }, { 1, "warn", "it rains", "Oslo",
    view:look({ trace = listed.id }).spans[2].id })
  t.near(line.at, 2, 0.01)
end)

test("a durable run is one tree of spans, below who began it, and the page finds it from the run", function(t)
  local path = t.tmp() .. "/state.db"
  local core = require "core.runs"
  t.model("qwen2.5:3b", ANSWERS)
  local flow = stoke.workflow("traced", trip)
  core.open(path)
  local _ <close> = setmetatable({}, { __close = core.leave })
  do
    local _ <close> = keeping { path = path }
    local seen <close> = span.enter("script", "s.lua")
    span.inside(seen)
    t.eq(flow:start(nil, { id = "traced-1" }):await(), "Take one.")
  end
  local view = views.new { store = path }
  local found = view:look { run = "traced-1" }.trace
  local names = {}
  for i, one in ipairs(view:look({ trace = found.id }).spans) do
    names[i] = ("%d %s"):format(one.depth, one.name)
    if one.id == found.span then t.eq({ one.name, one.about }, { "run", "traced-1" }) end
  end
  table.sort(names)
  t.eq(names, { "0 script", "1 run", "1 run.await", "1 run.start", "2 agent.run", "2 step", "3 llm.chat", "3 llm.chat",
    "3 tool.call" })
  t.eq(#view:look({ kind = "traces" }).items, 1)
end)

-- ---- differences ----------------------------------------------------------------------------------------------------------------

test("two runs, or two traces, are compared; a run and a trace are not", function(t)
  local view <const>, held <close> = place(t)
  t.model("qwen2.5:3b", { "Leave it." })
  kept.run(held.store, "trip-8", trip)
  local shown = view:look { a = "run:trip-7", b = "run:trip-8" }
  t.contains(shown.text, "llm.chat qwen2.5:3b")
  local _ <close> = keeping(held)
  for _, seconds in ipairs { 1, 3 } do
    local seen <close> = span.enter("script", "s.lua")
    stoke.sleep(seconds)
    t.ok(seen)
  end
  local found = view:look({ kind = "traces" }).items
  local difference = view:look { a = "trace:" .. found[2].id, b = "trace:" .. found[1].id }
  t.near(difference.seconds, 2, 0.01)
  t.eq(difference.changes[1].path, "script s.lua")
  t.raises("argument", view.look, view, { a = "run:trip-7", b = "trace:" .. found[1].id })
  t.raises("argument", view.look, view, { a = "run:trip-7", b = "run:trip-9" })
end)

-- ---- what is done ---------------------------------------------------------------------------------------------------------------

test("a fork begins with the records up to one of them, with another outcome where one is given", function(t)
  local view <const>, held <close> = place(t)
  local made = view:act { ["do"] = "fork", run = "trip-7", at = 4, value = "sun" }
  t.eq({ made.run, made.goes, made.command }, { "trip-7-2", false, "stoke resume trip-7-2" })
  local shown = view:look { run = "trip-7-2" }
  t.eq({ shown.count, shown.run.fork_of, shown.run.fork_at, shown.records[4].outcome }, { 4, "trip-7", 4, '"sun"' })
  t.eq(view:look({ run = "trip-7" }).count, 6)
  for _, order in ipairs { { ["do"] = "fork", run = "trip-7" }, { ["do"] = "fork", run = "trip-7", at = 1.5 },
    { ["do"] = "fork", at = 1 }, { ["do"] = "fork", run = "none", at = 1 }, { ["do"] = "burn" }, {} } do
    t.raises("argument", view.act, view, order)
  end
  t.raises("usage", view.act, view, { ["do"] = "fork", run = "trip-7", at = 99 })
  t.ok(held.path)
end)

test("where the page is its host's a fork goes on at once, and asks only what is new", function(t)
  local path, core = t.tmp() .. "/state.db", require "core.runs"
  local asked = 0
  t.model("qwen2.5:3b", function(request)
    asked = asked + 1
    return request.messages[#request.messages].role == "user" and ANSWERS[1] or "Take one."
  end)
  local flow = stoke.workflow("hosted", trip)
  core.open(path)
  local _ <close> = setmetatable({}, { __close = core.leave })
  flow:start(nil, { id = "hosted-1" }):await()
  local view = views.new {}
  t.eq({ view:picture().host, view:picture().store, asked }, { true, path, 2 })
  local made = view:act { ["do"] = "fork", run = "hosted-1", at = 4, go = true }
  t.eq(made.goes, true)
  t.eq({ core.await(made.run).result, asked }, { "Take one.", 3 })
end)

test("browsers are told when something was written, and only then", { real = true }, function(t)
  local view <const>, held <close> = place(t, function() end)
  local published, stream = 0, streams.new()
  stream.count = 1
  stream.publish = function(_, kind, about)
    t.eq({ kind, about }, { "change", { view = "runs" } })
    published = published + 1
  end
  local follower = stoke.spawn(view.follow, view, stream)
  stoke.sleep(1.2)
  t.eq(published, 0)
  kept.run(held.store, "trip-8", function() end)
  for _ = 1, 300 do
    if published > 0 then break end
    stoke.sleep(0.01)
  end
  t.ok(published > 0)
  follower:cancel()
end)
