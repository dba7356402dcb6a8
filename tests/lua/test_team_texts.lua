-- What a team says to models: every text of it is shown by explain, and can be replaced.

local fs = require "stoke.fs"
local test = require "stoke.test"
local stoke = require "stoke"
local teams = require "teams"
local texts = require "stoke.agent.texts"

local PATTERNS <const> = { "round_robin", "selector", "swarm", "graph", "debate", "mixture", "vote", "reflect", "orchestrate",
  "ledger" }

local FAILS <const> = { error = "boom", status = 400 }

-- The team's own questions, by the shape of their answers; the first plan stalls, the first work is not good.
local function decide(request, n)
  local properties = request.format and request.format.properties or {}
  if properties.parts then return { json = { parts = { { part = "x", worker = "ada" }, { part = "y", worker = "bob" } } } } end
  if properties.reason then
    return { json = { reason = "", done = n > 8, progress = false, next = n % 2 == 0 and "ada" or "bob", instruction = "go" } }
  end
  if properties.faults then return { json = { faults = { "f" }, good = false } } end
  if properties.slogan then return { json = { slogan = "s" } } end
  return { json = { next = properties.next and properties.next.enum[1] } }
end

-- Members fail now and then, and hand over where they can.
local function says(name)
  return function(request, n)
    if n == 2 then return FAILS end
    if n == 3 then return "" end
    for _, tool in ipairs(request.tools or {}) do
      if n < 4 then
        return { tool_calls = { { name = "look", arguments = {} }, { name = tool["function"].name, arguments = { note = "n" } } } }
      end
    end
    return ("%s %d"):format(name, n)
  end
end

local function made(name, world, replaced)
  local look = stoke.tool { name = "look", description = "Looks", run = function() return "seen" end }
  local given = { members = { world.agent("ada", name == "swarm" and { tools = { look } } or nil), world.agent "bob" },
    texts = replaced, output = { slogan = "string" }, retries = 1, on_failure = "go_on" }
  if name == "graph" then given.edges, given.begin = { { "ada", "bob" }, { "bob", "ada" } }, "ada" end
  if name == "selector" then given.may_end = true end
  if name == "debate" or name == "reflect" then given.rounds = 3 end
  if name == "mixture" then given.layers = 2 end
  if name == "round_robin" then given.max_turns = 6 end
  return stoke.team[name](given)
end

local function names_of(set)
  local list = {}
  for name in pairs(set) do list[#list + 1] = name end
  table.sort(list)
  return list
end

test("every text that a pattern says is shown by explain, and explain shows its first question", function(t)
  for _, name in ipairs(PATTERNS) do
    local world <close> = teams { ada = says "ada", bob = says "bob", team = decide }
    local said, replaced = {}, {}
    for _, text in ipairs(texts.list()) do
      if text.name:find "^team_" or text.name:find("^" .. name .. "_") then
        replaced[text.name] = function(about)
          said[text.name] = true
          return texts.of(text.name, nil, about)
        end
      end
    end
    local team = made(name, world, replaced)
    local chat = team:session()
    for _ = 1, 2 do pcall(chat.run, chat, "The task") end -- an error is told at the end, if nobody was left
    local shown, request = {}, team:next_request "The task"
    t.match(request.body, "The task")
    for _, text in ipairs(request.texts) do shown[text.name] = true end
    t.ok(#names_of(said) > 0, name .. " says nothing")
    for _, text in ipairs(names_of(said)) do t.ok(shown[text], ("%s says %s, and explain does not"):format(name, text)) end
  end
end)

test("one table of texts fits all teams, whatever was loaded before", function(t)
  local r = require "stoke.proc".run { argv = { require "core.about".executable(), "-e", [[
    local stoke = require "stoke"
    local a = stoke.agent { name = "a", model = "m" }
    local b = stoke.agent { name = "b", model = "m" }
    stoke.team.selector { members = { a, b }, texts = { debate_judge = "Judge: {task} {answers}" } }
    stoke.agent { name = "c", model = "m", texts = { notes_ask = "x", memory_reflect = "y {insights}", graph_names = "z" } }
    print "made"]] }, timeout = 30 }
  t.eq({ r.stdout, r.stderr }, { "made\n", "" })
end)

test("every module with texts of its own is one that stoke.agent.texts knows", function(t)
  local listed, missing = fs.read "stdlib/agent/texts.lua", {}
  local function look(folder)
    for _, entry in ipairs(fs.list(folder)) do
      local path = folder .. "/" .. entry.name
      if entry.type == "directory" then look(path) end
      local name = path:match "^stdlib/(.*)%.lua$"
      if name and name ~= "agent/texts" and fs.read(path):find "texts%.add {" then
        local module = "stoke." .. name:gsub("/", ".")
        if not listed:find("%f[%w_.]" .. module:gsub("%.", "%%.") .. "%f[^%w_.]") then missing[#missing + 1] = module end
      end
    end
  end
  look "stdlib"
  t.eq(missing, {}, "add them to ELSEWHERE in stdlib/agent/texts.lua")
end)
