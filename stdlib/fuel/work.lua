--- The work that a world is given, as data: jobs, each a few calls. The same description is carried out by the naive client and by
--- ours, and the simulated models answer by it, so both get the same answers of the same length.
---
--- A job: { at = seconds after the beginning, calls = list, class =, deadline = seconds it may take, loop = name }. `calls` are
--- made one after the other; an entry that is a list is made all at once. Jobs of one loop are done one after the other: the next
--- begins when the one before has ended.
--- A call: { model =, prompt = tokens, turns = { { answer = tokens, pause = seconds, result = tokens }, ... } }. With more than one
--- turn it is a conversation: each turn but the last asks for the tool `work`, which takes `pause` seconds and gives `result`
--- tokens.

local M = {}

---@class stoke.fuel.call
---@field id? string "17.2": the second call of job 17
---@field model string
---@field prompt integer tokens of the question
---@field turns { answer: integer, pause?: number, result?: integer }[]
---@field embed? boolean an embedding; it has no turns

---@class stoke.fuel.job
---@field at number seconds after the beginning
---@field calls (stoke.fuel.call|stoke.fuel.call[])[]
---@field class? "interactive"|"normal"|"batch"
---@field deadline? number seconds it may take
---@field loop? string
---@field id? integer

--- What every question begins with: tokens that all conversations share.
M.INSTRUCTIONS = "You do one piece of work after the other. Use the tool where there is one, and answer in short words."

--- A generator of numbers from 0 to 1 that is a world's own.
---@param seed integer
---@return fun(): number
---
--- Example: `local random = work.random(7); local pause = 2 * random()`
function M.random(seed)
  local s = seed * 2654435769 + 1013904223
  return function()
    s = s + 0x9e3779b97f4a7c15
    local z = (s ~ (s >> 30)) * 0xbf58476d1ce4e5b9
    z = (z ~ (z >> 27)) * 0x94d049bb133111eb
    return ((z ~ (z >> 31)) >> 11) / (1 << 53)
  end
end

--- A number between two, as a whole one.
---@param random fun(): number
---@param low integer
---@param high integer
---@return integer
---
--- Example: `local tokens = work.between(random, 100, 300)`
function M.between(random, low, high) return low + math.floor(random() * (high - low + 1)) end

--- Seconds until the next arrival, where arrivals are independent of each other.
---@param random fun(): number
---@param rate number arrivals a second
---@return number
---
--- Example: `at = at + work.gap(random, 0.5)`
function M.gap(random, rate) return -math.log(1 - random()) / rate end

--- A single call.
---@param model string
---@param prompt integer tokens
---@param answer integer tokens
---@return stoke.fuel.call
---
--- Example: `local call = work.call("small", 300, 80)`
function M.call(model, prompt, answer) return { model = model, prompt = prompt, turns = { { answer = answer } } } end

--- A job of one call.
---@param at number
---@param call stoke.fuel.call
---@param more? table class, deadline, loop
---@return stoke.fuel.job
---
--- Example: `jobs[1] = work.job(0, work.call("small", 300, 80), { class = "batch" })`
function M.job(at, call, more)
  local job = { at = at, calls = { call } }
  for name, value in next, more or {} do job[name] = value end
  return job
end

--- A conversation: an agent that calls a tool in each turn but the last.
---@param model string
---@param turns integer
---@param o { random: function, prompt: integer[], answer: integer[], result: integer[], pause: number[] } from, to
---@return stoke.fuel.call
---
--- Example: `local talk = work.talk("small", 10, { random = r, prompt = { 300, 500 }, answer = { 60, 120 }, ... })`
function M.talk(model, turns, o)
  local list, random = {}, o.random
  for i = 1, turns do
    list[i] = { answer = M.between(random, o.answer[1], o.answer[2]) }
    if i < turns then
      list[i].pause = o.pause[1] + random() * (o.pause[2] - o.pause[1])
      list[i].result = M.between(random, o.result[1], o.result[2])
    end
  end
  return { model = model, prompt = M.between(random, o.prompt[1], o.prompt[2]), turns = list }
end

--- So many tokens of text. A word has four bytes, which the simulator counts as a token, in a prompt and in an answer.
---@param tokens integer
---@param word? string three letters
---@return string
---
--- Example: `local text = work.text(200)`
function M.text(tokens, word) return (" " .. (word or "abc")):rep(tokens) end

--- Number the jobs and their calls, and list the calls by their names.
---@param jobs stoke.fuel.job[]
---@return table<string, stoke.fuel.call>
---
--- Example: `local calls = work.number(jobs)`
function M.number(jobs)
  local calls = {}
  for i, job in ipairs(jobs) do
    job.id = i
    local n = 0
    local function name(call)
      n = n + 1
      call.id = ("%d.%d"):format(i, n)
      calls[call.id] = call
    end
    for _, call in ipairs(job.calls) do
      if call.model then name(call) else for _, one in ipairs(call) do name(one) end end
    end
  end
  return calls
end

--- The question of a call. It names the call first, so that no two have a beginning in common but the instructions.
---@param call stoke.fuel.call
---@return string
---
--- Example: `local text = work.question(call)`
function M.question(call) return ("job %s:%s"):format(call.id, M.text(call.prompt)) end

--- Tokens of all answers, and of all that is new in the prompts.
---@param jobs stoke.fuel.job[]
---@return integer answers
---@return integer fresh
---
--- Example: `local answers, fresh = work.tokens(jobs)`
function M.tokens(jobs)
  local answers, fresh = 0, 0
  local function add(call)
    fresh = fresh + call.prompt
    for _, turn in ipairs(call.turns or {}) do answers, fresh = answers + turn.answer, fresh + (turn.result or 0) end
  end
  for _, job in ipairs(jobs) do
    for _, call in ipairs(job.calls) do
      if call.model then add(call) else for _, one in ipairs(call) do add(one) end end
    end
  end
  return answers, fresh
end

--- The script of the simulated models: what a request is answered with.
---@param calls table<string, stoke.fuel.call> of M.number
---@return fun(request: table): table
---
--- Example: `sim.serve { mem = "one", script = work.script(calls) }`
function M.script(calls)
  return function(request)
    local id, turn = nil, 1
    for _, message in ipairs(request.messages or {}) do
      if message.role == "user" then id = id or message.content:match "^job ([%d.]+):" end
      if message.role == "assistant" then turn = turn + 1 end
    end
    local call = calls[id or ""]
    if not call or not call.turns[turn] then return { text = "ok" } end
    local now = call.turns[turn]
    local text = M.text(now.answer)
    if turn == #call.turns then return { text = text } end
    return { text = text, tool = "work", args = { job = id, turn = turn } }
  end
end

return M
