-- What one run of an agent calls: how many functions, of how many Lua files, and how often the way moves from one file to another.
-- Counted by a call hook on a second run, so that nothing is set up for the first time. A hook is a coroutine's own, so that the
-- server in memory, in a task of its own, is not counted.
--   stoke trace.lua [run|tool|ask] [list]     run: an agent's plain run; tool: one with a tool call; ask: the model's part alone
local http = require "stoke.http"
local stoke = require "stoke"
local model = require "stoke.model"

--- Scripts have no hooks: the library's own debug is what a function of it sees.
local function raw_debug(value, seen)
  if seen[value] then return nil end
  seen[value] = true
  if type(value) == "table" then
    for _, member in next, value do
      local found = (type(member) == "function" or type(member) == "table") and raw_debug(member, seen)
      if found then return found end
    end
    return nil
  end
  local i = 1
  while true do
    local name, up = debug.getupvalue(value, i)
    if not name then return nil end
    if name == "_ENV" and up.debug and up.debug.sethook ~= debug.sethook then return up.debug end
    if type(up) == "function" or type(up) == "table" then
      local found = raw_debug(up, seen)
      if found then return found end
    end
    i = i + 1
  end
end

local hooks = raw_debug(http, {})

--- Run f under the hook: counts, and the list of calls in order.
local function traced(f)
  local all, files, moves, calls, last = {}, {}, 0, 0, nil
  hooks.sethook(function()
    local info = hooks.getinfo(2, "Sn")
    if info.what == "C" then return end
    local file = info.short_src
    if file == "trace.lua" or file:find "bench/trace" then return end
    calls = calls + 1
    if not files[file] then files[file] = 0 end
    files[file] = files[file] + 1
    if last and last ~= file then moves = moves + 1 end
    last = file
    all[#all + 1] = ("%s:%d %s"):format(file, info.linedefined, info.name or "?")
  end, "c")
  f()
  hooks.sethook()
  return { calls = calls, files = files, moves = moves, all = all }
end

local tool = stoke.tool { name = "where", description = "Where we are", params = {}, run = function() return "here" end }

local ANSWER = '{"model":"m","message":{"role":"assistant",%s},"done":true,"done_reason":"stop","total_duration":1000000,'
  .. '"load_duration":1000,"prompt_eval_count":20,"eval_count":5}'
local CALL = '"content":"","tool_calls":[{"id":"call_1","function":{"name":"where","arguments":{}}}]'

local WAYS = {
  run = function(url)
    local bot = stoke.agent { model = "m", endpoint = url }
    return function() bot:run "hello" end
  end,
  tool = function(url)
    local bot = stoke.agent { model = "m", endpoint = url, tools = { tool } }
    return function() bot:run "hello" end
  end,
  ask = function(url)
    local target = model.open("m", url)
    local messages = { { role = "user", content = "hello" } }
    return function() assert(model.ask(target, {}, messages)) end
  end,
}

stoke.main(function(args)
  local way = args[1] or "run"
  local asked = 0
  local server = http.serve { mem = "trace", handler = function(_, res)
    asked = asked + 1
    local calls = way == "tool" and asked % 2 == 1
    return res:reply(200, { ["Content-Type"] = "application/json" }, ANSWER:format(calls and CALL or '"content":"hello you"'))
  end }
  local f = WAYS[way](server.url)
  f()
  local seen = traced(f)
  local count = 0
  for _ in pairs(seen.files) do count = count + 1 end
  print(("%s: %d calls, %d Lua files, %d moves between files"):format(way, seen.calls, count, seen.moves))
  if args[2] == "list" then print(table.concat(seen.all, "\n")) end
  server:close()
end)
