-- What the tasks of chaos programs do besides waiting for each other: each of these goes through the door into the world of
-- chaos_world.lua. `me` is a body of order_programs.lua.

local errors = require "core.errors"
local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "core.json"
local ollama = require "stoke.ollama"
local proc = require "stoke.proc"
local stoke = require "stoke"
local world = require "chaos_world"

local M = {}

local function key_of(me)
  me.effects = me.effects + 1
  return ("%s/%s/%d"):format(me.run.seed, me.path, me.effects)
end

local function model_of(me) return world.MODELS[me.pick(#world.MODELS)] end

local function limits() return { first_byte = 0.08, idle = 0.08, total = 0.2 } end

local HOWS = { "whole", "whole", "missing", "reset" }

local function url(me, how)
  local wait = me.pick(3) == 1 and ("&wait=%g"):format(me.pick(8) / 1000) or ""
  return ("%s/%s?how=%s%s"):format(me.run.world.urls[me.pick(2)], key_of(me), how, wait)
end

function M.get(me)
  local answer = http.get(url(me, HOWS[me.pick(4)]), { timeout = limits() })
  me:step("answered", answer.status, answer.body:sub(1, 80), answer.headers["x-key"])
end

function M.post(me)
  local answer = http.post(url(me, "whole"), { body = "text of " .. me.path })
  me:step("posted", answer.status)
end

function M.lines(me)
  local most, n = me.pick(7), 0
  local stream <close> = http.get(url(me, me.pick(3) == 1 and "cut" or "lines"), { stream = "lines", timeout = limits() })
  for line in stream:lines() do
    n = n + 1
    me:step("line", line)
    if n == most then break end
  end
end

function M.chunks(me)
  local stream <close> = http.get(url(me, "lines"), { stream = "bytes" })
  for bytes in stream:chunks() do me:step("bytes", #bytes) end
end

function M.chat(me)
  local reply = ollama.chat { model = model_of(me), endpoint = me.run.world.model, timeouts = limits(),
    messages = { { role = "user", content = key_of(me) } } }
  me:step("chat", reply.message.content, reply.usage.output_tokens)
end

function M.stream(me)
  local most, n = me.pick(12), 0
  local scope <close> = stoke.scope { budget = { tokens = 100 * me.pick(30) } }
  local ok, err = pcall(function()
    for ev in ollama.stream { model = model_of(me), endpoint = me.run.world.model, prompt = key_of(me), timeouts = limits() } do
      n = n + 1
      me:step("event", ev.type, ev.text)
      if n == most then break end
    end
  end)
  me:step("streamed", ok, scope.budget.used.tokens, scope.budget.used.calls)
  if not ok then error(err, 0) end
end

-- What the body of a tool does is not done again by a replay, so nothing of it may be in the trace.
local function unseen(me)
  local child = me:child "tool"
  child.run = setmetatable({ step = function() end }, { __index = me.run })
  return child
end

local function tools_of(me)
  local child = unseen(me)
  return {
    stoke.tool { name = "look", description = "Looks", params = { at = "string" }, run = function(a)
      M.leaf(child)
      return "seen " .. a.at
    end },
    stoke.tool { name = "ask", description = "Asks", needs_approval = true, params = { what = "string" }, run = function(a)
      return "asked " .. a.what
    end },
  }
end

local function bot_of(me, name, more)
  local given = { name = name, model = model_of(me), endpoint = me.run.world.model, timeouts = limits(), tools = tools_of(me),
    max_steps = 4, deadline = 0.3 }
  for k, v in pairs(more or {}) do given[k] = v end
  return stoke.agent(given)
end

local function told(me, result)
  me:step("agent", result.text, result.steps, json.encode(result.usage.calls), result.id, result.agent, #result.messages)
end

function M.agent(me) told(me, bot_of(me, "bot"):run(key_of(me))) end

function M.nested(me)
  local critic = bot_of(me, "critic")
  told(me, bot_of(me, "bot", { tools = { critic:as_tool(), table.unpack(tools_of(me)) } }):run(key_of(me)))
end

function M.handoff(me)
  local other = bot_of(me, "other")
  told(me, bot_of(me, "first", { tools = {}, handoffs = { other } }):run(key_of(me)))
end

function M.session(me)
  local chat = bot_of(me, "chat"):session()
  for _ = 1, me.pick(2) do
    for ev in chat:stream(key_of(me)) do
      if ev.type ~= "done" and ev.type ~= "usage" then me:step("ev", ev.type, ev.text, ev.name) end
    end
  end
  me:step("session", #chat.messages)
end

function M.output(me)
  local reader = stoke.agent { model = model_of(me), endpoint = me.run.world.model, output = { answer = "integer" },
    timeouts = limits(), repair = 1, deadline = 0.3 }
  me:step("output", json.encode(reader:run(key_of(me)).output))
end

function M.budget(me)
  local scope <close> = stoke.scope { budget = { calls = me.pick(4), tokens = 500 * me.pick(8) } }
  local ok, err = pcall(scope.map, scope, { 1, 2, 3 }, function(i)
    return ollama.chat { model = "good", endpoint = me.run.world.model, timeouts = limits(),
      messages = { { role = "user", content = ("%s %d"):format(me.path, i) } } }.message.content
  end)
  me:step("budget", ok, scope.budget.used.calls, scope.budget.used.tokens)
  if not ok then error(err, 0) end
end

function M.approval(me)
  local tool = tools_of(me)[2]
  me:step("approved", tool:call { what = "it" })
end

function M.files(me)
  local path = ("%s/%s"):format(me.run.world.root, key_of(me):gsub("/", "_"))
  fs.write(path, "text of " .. me.path)
  me:step("read", fs.read(path), fs.stat(path).size)
  if me.pick(2) == 1 then fs.remove(path) end
  me:step("there", fs.stat(path) ~= nil)
end

function M.program(me)
  local r = proc.run { argv = { "sh", "-c", ("echo %d; sleep 0.00%d; exit %d"):format(me.pick(9), me.pick(9), me.pick(3)) } }
  me:step("ran", r.code, r.stdout, r.seconds)
end

function M.talk(me)
  local p <close> = proc.spawn { argv = { "sh", "-c", "while read x; do echo got $x; done" } }
  for i = 1, me.pick(3) do
    p:write(("%d\n"):format(i))
    me:step("said", p:lines()())
  end
  if me.pick(2) == 1 then
    p:close_stdin()
    me:step("ended", p:wait().code)
  end
end

function M.chance(me)
  me:step("chance", math.random(1000000), stoke.rand.int(1, 1000000), os.time(), os.clock(), stoke.time.monotonic())
end

function M.choose(me)
  local option = stoke.choose { model = model_of(me), endpoint = me.run.world.model, prompt = key_of(me), options = { "a", "b" },
    deadline = 0.2, timeouts = limits() }
  me:step("chosen", option)
end

-- Two tasks read one stream.
function M.shared(me)
  local stream <close> = http.get(url(me, "lines"), { stream = "lines", timeout = limits() })
  local read = stream:lines()
  local scope <close> = stoke.scope {}
  scope:map({ "a", "b" }, function(who)
    for line in read do me:step(who, line) end
  end)
end

function M.folder(me)
  local root = ("%s/%s"):format(me.run.world.root, key_of(me):gsub("/", "_"))
  fs.mkdir(root, { parents = true })
  local watch <close> = fs.watch(root)
  fs.write(root .. "/x", "1")
  me:step("changed", watch:next(0.02), #fs.list(root))
  if me.pick(2) == 1 then fs.remove(root, { recursive = true }) end
end

-- A session that is used from a task that a race leaves behind.
function M.turns(me)
  local chat = bot_of(me, "turns", { tools = {} }):session()
  local _, who = stoke.race {
    function() chat:run(key_of(me)) end,
    function() stoke.sleep(me.pick(20) / 1000) end,
  }
  local ok, result = pcall(chat.run, chat, key_of(me))
  me:step("turns", who, ok, ok and result.text, #chat.messages)
  local fork = chat:fork()
  me:step("forked", #fork.messages, #json.encode(fork:save()))
end

-- A generator whose values are effects.
function M.generator(me)
  local values = coroutine.wrap(function()
    for _ = 1, me.pick(3) do coroutine.yield(M.leaf(me) or "nothing") end
  end)
  for value in values do me:step("generated", value) end
end

-- A handler that waits for the world, whatever ends its block.
function M.handler(me)
  local guard <close> = setmetatable({}, { __close = function(_, err)
    local ok, raised = pcall(M.get, me)
    me:step("handled", err and errors.wrap(err).kind, ok, ok or errors.wrap(raised).kind)
  end })
  M.leaf(me)
  me:step("left", guard ~= nil)
end

function M.any(me)
  local a, b = me:child "any", me:child "any"
  local value, index = stoke.any { function() M.leaf(a) return a.path end, function() M.leaf(b) return b.path end }
  me:step("any", value, index)
end

function M.late(me)
  local child = me:child "late"
  stoke.shield(0.05, function() M.leaf(child) end)
  me:step "shielded"
end

local LEAVES = { "get", "get", "post", "lines", "chat", "chat", "stream", "files", "chance", "program" }

-- One effect on the world.
function M.leaf(me)
  local name = LEAVES[me.pick(#LEAVES)]
  M[name](me)
  return name
end

M.NAMES = { "get", "post", "lines", "chunks", "chat", "stream", "agent", "nested", "handoff", "session", "output", "budget",
  "approval", "files", "program", "talk", "chance", "generator", "handler", "any", "late", "choose", "shared", "folder", "turns" }

return M
