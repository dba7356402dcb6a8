-- What a page shows of its host: what it does now, and what waits for a person: stdlib/page/now.lua, stdlib/page/approvals.lua.

local stoke = require "stoke"
local test = require "stoke.test"
local activity = require "stoke.attach.activity"
local approval = require "core.approval"
local core = require "core.runs"
local errors = require "core.errors"
local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "stoke.json"
local kept = require "kept"
local page_host = require "stoke.page.host"
local redact = require "core.redact"
local runs = require "stoke.runs"
local scripted = require "scripted"
local span = require "core.gate.span"
local watching = require "watching"

local count = 0

local Shown = {}
Shown.__index = Shown
Shown.__close = function(shown) shown.page:close() end

--- A page of this host in memory, without a world.
local function open(options)
  count = count + 1
  local page = stoke.page { mem = "host" .. count, token = watching.TOKEN, host = options == nil or nil }
  if options then page_host.show(page, options) end
  return setmetatable({ page = page, url = page.url:gsub("/$", "") }, Shown)
end

function Shown:look(view, more)
  local query = { view = view }
  for name, value in pairs(more or {}) do query[name] = value end
  return http.get(self.url .. "/look", { query = query, raise = false }):json()
end

--- The answer of an order, and its status.
function Shown:act(order, token)
  order.view = "approvals"
  local res = http.post(self.url .. "/do", { json = order, raise = false,
    headers = token ~= false and { Authorization = "Bearer " .. watching.TOKEN } or {} })
  return res:json(), res.status
end

--- What waits, once so many do.
function Shown:waiting(n)
  for _ = 1, 400 do
    local picture = self:look "approvals"
    if picture.count == n then return picture.entries, picture end
    stoke.sleep(0.05)
  end
  error(("%d entries wait, not %d"):format(self:look("approvals").count, n), 2)
end

local function tool_of(done, more)
  local definition = { name = "delete", needs_approval = true,
    params = { path = "string", api_key = "string?", note = "string[]?" },
    run = function(args) done[#done + 1] = args return "deleted" end }
  for name, value in pairs(more or {}) do definition[name] = value end
  return stoke.tool(definition)
end

--- A call of the tool, in a task of its own, with the agent's name on it.
local function call(tool, args) return stoke.spawn(function() return tool:perform(args, { agent = "janitor" }) end) end

-- ---- now ------------------------------------------------------------------------------------------------------------------------

test("the page names its views, and shows what stoke top shows: calls and tokens as the server counted them", function(t)
  local shown <close> = open()
  local before = shown:look("now").host
  local server <close> = scripted { "One.", "Two." }
  local bot = stoke.agent { name = "writer", model = scripted.MODEL, endpoint = server.url }
  bot:run "a"
  bot:run "b"
  local now = shown:look "now"
  t.eq(now.host.calls - before.calls, 2)
  t.eq(now.host.output_tokens - before.output_tokens, server.sim.ledger.tokens)
  t.eq(now.host.input_tokens - before.input_tokens, server.sim.ledger.models[scripted.MODEL].prompt_tokens)
  local counts = activity.counts()
  t.eq({ counts.calls, counts.output_tokens, #counts.pool.servers },
    { now.host.calls, now.host.output_tokens, #now.pool.servers })
  local writer
  for _, agent in ipairs(now.agents) do writer = agent.name == "writer" and agent or writer end
  t.eq({ writer.model, writer.runs, writer.failed }, { scripted.MODEL, 2, 0 })
  local browser <close> = watching.browser(shown)
  browser:wait(function() return true end, "now")
  t.eq({ browser.hello.views[1].id, browser.hello.views[2].id, browser.hello.views[3].id }, { "now", "runs", "approvals" })
end)

test("a look a second is published, whatever happens, and only what differs", function(t)
  local shown <close> = open()
  local browser <close> = watching.browser(shown)
  browser:wait(function() return true end, "now")
  local server <close> = scripted { "One." }
  local changes = {}
  local publish = shown.page.stream.publish
  shown.page.stream.publish = function(self, type, change)
    if change.view == "now" then changes[#changes + 1] = change end
    return publish(self, type, change)
  end
  stoke.sleep(2.5)
  stoke.agent { name = "one", model = scripted.MODEL, endpoint = server.url }:run "a"
  stoke.sleep(2)
  t.ok(#changes >= 3 and #changes <= 6, tostring(#changes))
  t.eq(changes[2].agents, nil, "nothing had changed of the agents")
  local told = false
  for _, change in ipairs(changes) do told = told or change.agents ~= nil end
  t.ok(told, "the agent that ran is told")
end)

test("failures are grouped by kind and message, whatever the numbers in them, and secrets in them are masked", function(t)
  local shown <close> = open()
  shown:look "now"
  local broken = stoke.tool { name = "broken", params = { n = "integer" }, run = function(args)
    stoke.raise("timeout", ("row %d of shelf is locked; api_key=sk-abcdefghijklmnop1234"):format(args.n))
  end }
  for n = 1, 3 do stoke.try(function() broken:call { n = n } end) end
  local found
  for _, failure in ipairs(shown:look("now").failures) do
    if failure.message:find("of shelf is locked", 1, true) then
      t.eq(found, nil, "one group")
      found = failure
    end
  end
  t.eq({ found.kind, found.count, found.effect, found.about, found.retried }, { "timeout", 3, "tool.call", "broken", 0 })
  t.match(found.message, "^row 3 ")
  t.eq(found.message:find("sk-abcdef", 1, true), nil)
end)

test("nothing is counted before somebody looks: a page that nobody opens listens to nothing", function(t)
  local sinks = #span.sinks
  local shown <close> = open { idle = true }
  stoke.sleep(3)
  t.eq(#span.sinks, sinks)
  t.eq(shown:look("now").error, "there is no view now")
end)

-- ---- what waits in this host ------------------------------------------------------------------------------------------------

test("what waits is shown exactly, and done once it is approved with the token", function(t)
  local shown <close> = open()
  local done = {}
  local running = call(tool_of(done), { path = "a.txt" })
  local entry = shown:waiting(1)[1]
  t.eq({ entry.effect, entry.what, entry.agent, entry.editable }, { "tool.call", "delete", "janitor", true })
  t.eq(entry.text, '{\n  "path": "a.txt"\n}')
  local order = { ["do"] = "approve", id = entry.id, digest = entry.digest }
  local _, status = shown:act(order, false)
  t.eq({ status, #done }, { 401, 0 })
  t.eq(shown:act(order).decision, "approved")
  t.eq(running:await(), "deleted")
  t.eq(done, { { path = "a.txt" } })
  local picture = shown:look "approvals"
  t.eq({ picture.count, picture.decided[1].what, picture.decided[1].decision, picture.decided[1].edited },
    { 0, "delete", "approved", nil })
end)

test("a decision about what was decided already, or asks for something else, is refused", function(t)
  local shown <close> = open()
  local done = {}
  local running = call(tool_of(done), { path = "a.txt" })
  local entry = shown:waiting(1)[1]
  local refused, status = shown:act { ["do"] = "approve", id = entry.id, digest = ("0"):rep(64) }
  t.eq({ status, refused.error }, { 409, "delete asks for something else by now: nothing was decided" })
  t.eq(#done, 0)
  local order = { ["do"] = "reject", id = entry.id, digest = entry.digest, reason = "still needed" }
  t.eq(shown:act(order).decision, "rejected")
  local _, err = running:await()
  t.eq({ err.kind, err.reason }, { "denied", "still needed" })
  refused, status = shown:act(order)
  t.eq({ status, refused.error }, { 409, "delete was decided before, and that stands: rejected: still needed" })
  t.eq(refused.decided, { decision = "rejected", reason = "still needed" })
  order.id = "host-0"
  refused, status = shown:act(order)
  t.eq({ status, refused.error }, { 409, "it does not wait any more: it was decided, or whoever asked has gone on" })
  refused, status = shown:act { ["do"] = "aprove", id = entry.id, digest = entry.digest }
  t.eq({ status, refused.error }, { 400, 'do must be approve or reject, got the string "aprove"' })
end)

test("edited arguments are checked by the tool before they are taken; what fits is done", function(t)
  local shown <close> = open()
  local done = {}
  local running = call(tool_of(done), { path = "a.txt" })
  local entry = shown:waiting(1)[1]
  local function approve(args)
    return shown:act { ["do"] = "approve", id = entry.id, digest = entry.digest, args = args }
  end
  for args, words in pairs { ['{"path": 7}'] = "path: expected string", ["[1]"] = "must be a JSON object",
    ["{"] = "must be a JSON object: " } do
    local refused, status = approve(args)
    t.eq(status, 400, args)
    t.contains(refused.error, words)
  end
  t.eq({ #done, #shown:waiting(1) }, { 0, 1 })
  t.eq(approve('{"path": "copy.txt"}').decision, "approved")
  running:await()
  t.eq(done, { { path = "copy.txt" } })
  t.eq(shown:look("approvals").decided[1].edited, true)
end)

test("what is secret by its name is not shown, and stays as it was where the rest is edited", function(t)
  local shown <close> = open()
  local done = {}
  local running = call(tool_of(done), { path = "a.txt", api_key = "xyzzy-plugh-42" })
  local entry = shown:waiting(1)[1]
  t.eq(json.decode(entry.text), { path = "a.txt", api_key = "[redacted]" })
  shown:act { ["do"] = "approve", id = entry.id, digest = entry.digest, args = entry.text:gsub("a%.txt", "b.txt") }
  running:await()
  t.eq(done, { { path = "b.txt", api_key = "xyzzy-plugh-42" } })
end)

test("secrets in URLs and in texts of JSON are not shown either, and a text that has one is not changed beside it", function(t)
  local shown <close> = open()
  local done = {}
  local args = { path = "http://ada:plugh-nineteen@far.example/a",
    note = { '{"password":"plugh-twenty"}', "as plugh-nineteen said" } }
  local running = call(tool_of(done), args)
  local entry = shown:waiting(1)[1]
  t.eq(json.decode(entry.text), { path = "http://[redacted]@far.example/a",
    note = { '{"password":"[redacted]"}', "as [redacted] said" } })
  local order = { ["do"] = "approve", id = entry.id, digest = entry.digest, args = entry.text:gsub("example/a", "example/b") }
  local refused, status = shown:act(order)
  t.eq({ status, refused.error },
    { 400, "path has a secret that is not shown: leave all of it as it is, or write it out" })
  order.args = json.encode { path = "http://far.example/b", note = json.decode(entry.text).note }
  shown:act(order)
  running:await()
  t.eq(done, { { path = "http://far.example/b", note = args.note } })
end)

test("a secret that this process knows is not shown wherever it stands, and is done all the same", function(t)
  redact.learn("correct-horse-9", "GPU_API_KEY")
  local shown <close> = open()
  local done = {}
  local running = call(tool_of(done), { path = "a.txt", note = { "use correct-horse-9 there", "and this" } })
  local entry = shown:waiting(1)[1]
  t.eq(json.decode(entry.text).note, { "use [secret GPU_API_KEY] there", "and this" })
  shown:act { ["do"] = "approve", id = entry.id, digest = entry.digest, args = entry.text:gsub("and this", "not that") }
  running:await()
  t.eq(done, { { path = "a.txt", note = { "use correct-horse-9 there", "not that" } } })
end)

test("characters that would not be seen are written out, and mean the same when they come back", function(t)
  local shown <close> = open()
  local done = {}
  local path = "safe\u{202E}txt.exe \u{200B} \\u{41} é \u{E0041}"
  local running = call(tool_of(done), { path = path })
  local entry = shown:waiting(1)[1]
  t.contains(entry.text, "safe\\u202etxt.exe \\u200b \\\\u{41} é \\udb40\\udc41")
  shown:act { ["do"] = "approve", id = entry.id, digest = entry.digest, args = entry.text }
  running:await()
  t.eq(done, { { path = path } })
end)

test("long arguments are cut in the list, and given whole to who wants to see them", function(t)
  local shown <close> = open()
  local running = call(tool_of {}, { path = ("x"):rep(100000) })
  local entry = shown:waiting(1)[1]
  t.ok(#entry.text < 20000 and entry.bytes > 100000, tostring(entry.bytes))
  local whole = shown:look("approvals", { id = entry.id })
  t.eq({ #json.decode(whole.text).path, whole.digest }, { 100000, entry.digest })
  shown:act { ["do"] = "reject", id = entry.id, digest = entry.digest }
  running:await()
end)

test("what is asked for is shown of other effects, too", function(t)
  stoke.policy { ask = { path = { "**/*.secret" } } }
  local _ <close> = setmetatable({}, { __close = function() stoke.policy(nil) end })
  local shown <close> = open()
  local path = t.tmp() .. "/a.secret"
  local done
  local running = stoke.spawn(function()
    fs.write(path, "the words")
    done = true
  end)
  local entry = shown:waiting(1)[1]
  t.eq({ entry.effect, entry.editable }, { "fs.write", nil })
  t.contains(entry.text, "the words")
  local refused, status = shown:act { ["do"] = "approve", id = entry.id, digest = entry.digest, args = "{}" }
  t.eq(status, 400, refused.error)
  t.eq(shown:act({ ["do"] = "approve", id = entry.id, digest = entry.digest }).decision, "approved")
  running:await()
  t.eq(done, true)
end)

-- ---- what waits in a store ----------------------------------------------------------------------------------------------------

local function waiting_run(store, id, args, params)
  return kept.run(store, id, function() stoke.sleep(1) end, { state = "waiting", waits = "approval of tool.call book_flight",
    change = function(journal, log)
      kept.open_call(journal, log, { args = args,
        asks = { effect = "tool.call", what = "book_flight", agent = "guide", since = 1, params = params } })
    end })
end

test("what a run in a store waits for is shown and decided, while no process has it", function(t)
  local held <close> = kept.store(t)
  waiting_run(held.store, "trip-7")
  local shown <close> = open { store = held.path, idle = true }
  local entry = shown:waiting(1)[1]
  t.eq({ entry.run, entry.number, entry.what, entry.agent, entry.left }, { "trip-7", 2, "book_flight", "guide", true })
  t.eq(json.decode(entry.text), { from = "Oslo", to = "Rome" })
  local order = { ["do"] = "approve", id = entry.id, digest = entry.digest, args = '{"from": "Oslo", "to": "Paris"}' }
  t.eq(shown:act(order).left, true)
  t.eq(held.store:decisions("trip-7")[1].verdict, { decision = "approved", args = { from = "Oslo", to = "Paris" } })
  local said = shown:waiting(1)[1].said
  t.eq({ said.decision, said.edited }, { "approved", true })
  local refused, status = shown:act(order)
  t.eq({ status, refused.error },
    { 409, "book_flight of the run trip-7 was decided before, and that stands: approved, edited" })
  t.eq(#held.store:decisions "trip-7", 1)
end)

test("of two pages over one store the first decides, and the second shows at once what stands", function(t)
  local held <close> = kept.store(t)
  waiting_run(held.store, "trip-7")
  local a <close> = open { store = held.path, idle = true }
  local b <close> = open { store = held.path, idle = true }
  local entry = b:waiting(1)[1]
  t.eq(a:act({ ["do"] = "reject", id = entry.id, digest = entry.digest, reason = "too dear" }).decision, "rejected")
  local refused, status = b:act { ["do"] = "approve", id = entry.id, digest = entry.digest }
  t.eq({ status, refused.error },
    { 409, "book_flight of the run trip-7 was decided before, and that stands: rejected: too dear" })
  t.eq(refused.decided, { decision = "rejected", reason = "too dear" })
  t.eq(b:waiting(1)[1].said, { decision = "rejected", reason = "too dear" })
  t.eq(held.store:decisions("trip-7")[1].verdict, { decision = "rejected", reason = "too dear" })
end)

test("edited arguments of a run in a store are checked by the parameters that were kept with what is asked", function(t)
  local held <close> = kept.store(t)
  waiting_run(held.store, "trip-7", { from = "Oslo", nights = 2 }, { type = "object", required = { "from" },
    properties = { from = { type = "string" }, nights = { type = "integer" } } })
  local shown <close> = open { store = held.path, idle = true }
  local entry = shown:waiting(1)[1]
  t.eq(entry.unchecked, nil)
  local order = { ["do"] = "approve", id = entry.id, digest = entry.digest, args = '{"from": "Oslo", "nights": "many"}' }
  local refused, status = shown:act(order)
  t.eq(status, 400)
  t.contains(refused.error, "the arguments of book_flight do not fit: nights: expected integer")
  t.eq({ #held.store:decisions "trip-7", shown:waiting(1)[1].said }, { 0, nil })
  order.args = '{"from": "Oslo", "nights": 3}'
  t.eq(shown:act(order).decision, "approved")
  waiting_run(held.store, "trip-8")
  local list = shown:waiting(2)
  t.eq({ list[2].run, list[2].unchecked }, { "trip-8", true }, "of an earlier version: its tool checks when it goes on")
end)

test("a run that waits for something else is not among them, and a store that is not there has none", function(t)
  local held <close> = kept.store(t)
  kept.run(held.store, "sleeps", function() stoke.sleep(1) end, { state = "waiting", waits = "a timer" })
  waiting_run(held.store, "asks")
  local shown <close> = open { store = held.path, idle = true }
  t.eq(shown:waiting(1)[1].run, "asks")
  local none <close> = open { store = t.tmp() .. "/none.db", idle = true }
  local picture = none:look "approvals"
  t.eq({ picture.count, picture.wrong }, { 0, nil })
end)

test("a durable run of this process is told once, and its decision is kept with other arguments", function(t)
  local done = {}
  local tool = tool_of(done)
  local flow = stoke.workflow("clean", function() return tool:call { path = "a.txt" } end)
  local run = flow:start({}, { id = "clean-1" })
  local shown <close> = open()
  local entry = shown:waiting(1)[1]
  t.eq({ entry.run, entry.id:match "^%l+" }, { "clean-1", "host" })
  t.eq(runs.show("clean-1").records[1].params, { type = "object", properties = { path = { type = "string" },
    api_key = { type = "string" }, note = { type = "array", items = { type = "string" } } }, required = { "path" } })
  stoke.sleep(5)
  t.eq(#shown:waiting(1), 1)
  t.eq(shown:act({ ["do"] = "approve", id = entry.id, digest = entry.digest, args = '{"path": "b.txt"}' }).decision, "approved")
  run:await()
  t.eq(done, { { path = "b.txt" } })
  t.eq(runs.find("clean-1").state, "done")
end)

test("a decision that another process has written holds, however soon after it this one decides", function(t)
  local done = {}
  local tool = tool_of(done)
  local run = stoke.workflow("clean", function() return tool:call { path = "a.txt" } end):start({}, { id = "clean-2" })
  local shown <close> = open()
  shown:waiting(1)
  local entry = approval.list()[1]
  local rejected = { decision = "rejected", reason = "still needed" }
  t.eq(core.store():decide("clean-2", entry.key, entry.digest, rejected), true) -- as another process does: nobody here is told
  t.eq(approval.decide(entry, { decision = "approved" }), false)
  local _, err = stoke.try(run.await, run)
  t.eq({ err.kind, err.reason, #done }, { "denied", "still needed", 0 })
end)

test("a decision that cannot be written decides nothing, and says so", function(t)
  local done = {}
  local tool = tool_of(done)
  local run = stoke.workflow("clean", function() return tool:call { path = "a.txt" } end):start({}, { id = "clean-3" })
  local shown <close> = open()
  local entry = shown:waiting(1)[1]
  local store = core.store()
  store.decide = function() return nil, errors.new("db", "the disk is full") end
  local order = { ["do"] = "approve", id = entry.id, digest = entry.digest }
  local refused, status = shown:act(order)
  store.decide = nil
  t.eq({ status, refused.error, #done }, { 409, "the disk is full", 0 })
  t.eq(shown:act(order).decision, "approved")
  run:await()
  t.eq(#done, 1)
end)
