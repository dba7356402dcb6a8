-- The outside of a durable program: a model server and a witness on one port. The witness counts what is done by its name, its
-- idempotency key and its arguments; what it has been told is evidence of what the program had learned by then.

local hash = require "core.hash"
local http = require "stoke.http"
local json = require "stoke.json"
local sim = require "stoke.sim"

local M = {}

---@class campaign.world
---@field url string
---@field broken string[] promises that broke, in words
---@field calls table<string, { asked: integer, answered: integer, behind?: string }> calls of models by what was asked
---@field acts table<string, { count: integer, key?: string, body: string }> by name; those below u/ must not be done twice
---@field repeats { cut: integer, window: integer } calls asked again: of which no answer had left; that were answered
local World = {}
World.__index = World

-- Calls of a tool before an answer, by the model.
local TOOL_CALLS <const> = { tiny = 3, member = 1 }

-- What a request asks, whoever asks: the same for the same messages (and the same seed: votes are asked alike).
local function name_of(request)
  local parts = { tostring(request.options and request.options.seed) }
  for _, message in ipairs(request.messages or {}) do parts[#parts + 1] = message.role .. "\n" .. tostring(message.content) end
  return "A" .. hash.sha256(table.concat(parts, "\n")):sub(1, 12)
end

-- An answer in the shape that is wanted: a plan, a verdict, who is next. The question alone decides.
local function shaped(wants, name)
  local number = tonumber(name:sub(2, 8), 16)
  if wants.parts then return { parts = { { part = "one " .. name, worker = "loser" }, { part = "two", worker = "ada" } } } end
  if wants.good then return { faults = { "it lacks " .. name }, good = number % 3 == 0 } end
  local list = wants.next.enum
  return { reason = name, done = number % 4 == 0, progress = number % 2 == 0, next = list[number % #list + 1],
    instruction = "do " .. name }
end

-- The call that a model makes now, if any: its own tool first, then it hands over until somebody has.
local function call_of(request, name)
  local results, handed = 0, false
  for _, message in ipairs(request.messages) do
    if message.role == "tool" then results = results + 1 end
    if tostring(message.content):find "handed over" then handed = true end
  end
  local names = {}
  for i, tool in ipairs(request.tools or {}) do names[i] = tool["function"].name end
  if names[1] == "book" and results < (TOOL_CALLS[request.model] or 0) then
    return { tool = "book", args = { n = results + 1, ref = name }, delay = 0.001 }
  end
  local last = names[#names]
  return last and last ~= "book" and not handed and { tool = last, args = { note = name }, delay = 0.001 } or nil
end

local function answer(request)
  local name = name_of(request)
  if request.model == "broken" then return { error = "out of order", status = 400 } end
  if request.format then return { json = shaped(request.format.properties, name), delay = 0.001 } end
  local call = call_of(request, name)
  if call then return call end
  if request.model == "voter" then return { text = request.options.seed < 4 and "yes" or "no", delay = 0.001 } end
  local words = {}
  for i = 1, request.model == "slow" and 30 or 3 do words[i] = "word" .. i end
  return { text = name .. " " .. table.concat(words, " "), delay = 0.001 }
end

function World:breaks(format, ...) self.broken[#self.broken + 1] = format:format(...) end

-- A call of a model, before it is answered. What is behind a barrier or was shown must not be asked again.
function World:asked(name)
  local call = self.calls[name] or { asked = 0, answered = 0 }
  self.calls[name] = call
  call.asked = call.asked + 1
  if call.asked == 1 then return call end
  if call.behind then
    self:breaks("lost: the call %s was answered, and kept before %s, but it is asked again", name, call.behind)
  elseif call.answered > 0 then
    self.repeats.window = self.repeats.window + 1
  else
    self.repeats.cut = self.repeats.cut + 1
  end
  return call
end

-- Somebody outside has seen these texts: what they speak of must be kept.
function World:seen(text, where)
  for name in text:gmatch "A%x+" do
    local call = self.calls[name]
    if call then call.behind = call.behind or where end
  end
  if self.killed then return end -- a kill may have taken prints along
  for line in text:gmatch "P<([^>]*)>" do self.expected[line] = where end
end

function World:act(name, key, body)
  local act = self.acts[name]
  if not act then
    act = { count = 0, key = key, body = body, answer = "W(" .. name .. ")" }
    self.acts[name] = act
  end
  act.count = act.count + 1
  if act.key ~= key then self:breaks("key: %s came with the keys %s and %s", name, act.key, key) end
  if act.body ~= body then self:breaks("arguments: %s came as %q and as %q", name, act.body, body) end
  if name:find "^u/" then
    if act.count > 1 then self:breaks("repeated: %s was done %d times", name, act.count) end
    self:seen(body, name)
  end
  return act.answer
end

-- How much was done, and how often it was asked for.
function World:counts()
  local names, acts, calls = 0, 0, 0
  for _, act in next, self.acts do names, acts = names + 1, acts + act.count end
  for _ in next, self.calls do calls = calls + 1 end
  return { names = names, acts = acts, calls = calls }
end

---@return campaign.world with `<close>`
function M.new()
  local world = setmetatable({ broken = {}, calls = {}, acts = {}, expected = {}, repeats = { cut = 0, window = 0 } }, World)
  local models = { "tiny,tps=0", "member,tps=0", "voter,tps=0", "broken,tps=0", "slow,tps=3000" }
  local simulated = sim.new { models = models, slots = 16, load_seconds = 0, script = answer }
  world.server = http.serve { port = 0, drain = 0, max_body = 1 << 28, handler = function(req, res)
    local act = req.path:match "^/w/(.*)$"
    if act then
      local done = world:act(act, req.headers["idempotency-key"], req.body)
      return res:reply(200, {}, done)
    end
    if req.path ~= "/api/chat" then return simulated.handler(req, res) end
    local call = world:asked(name_of(json.decode(req.body)))
    simulated.handler(req, res)
    call.answered = call.answered + 1
  end }
  world.url = world.server.url
  return world
end

World.__close = function(world) world.server:close() end

return M
