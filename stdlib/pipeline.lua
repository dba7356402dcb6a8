--- stoke.pipeline: items that go through stages, each with workers of its own, over streams that last.
---
---     local papers = stoke.pipeline { name = "papers", stages = {
---       { name = "read",  augment = function(p) return { text = stoke.fs.read(p.path) } end, concurrency = 4 },
---       { name = "ask",   infer = reader, prompt = "Summarize: {text}", into = "summary", concurrency = 8 },
---       { name = "write", post = function(p) db:exec("INSERT INTO paper VALUES (?, ?)", p.path, p.summary) end },
---     } }
---     stoke.main(function() print(papers:run(list).done) end)
---
--- Between two stages stand at most `bound` items: a slow stage holds up those before it, so that no model is asked for what nobody
--- takes. A value that a stage has handed on is in the stream of the next one in the same step with which it is settled: a process
--- that is killed loses nothing, and who comes after goes on. An item that fails is tried again, `tries` times in all, and then is
--- a dead letter of that stage, with the reason. Items of one key go through each stage in their order. Several processes may work
--- at one pipeline.

local errors = require "core.errors"
local kinds = require "stoke.pipeline.kinds"
local modules = require "core.modules"
local queues = require "stoke.queue"
local rewinds = require "stoke.pipeline.rewinds"
local runs = require "stoke.pipeline.run"
local scopes = require "core.scope"
local terms = require "core.terms"

local M = {}

--- Items between two stages, where nothing else is said.
local BOUND <const> = 64

--- Items that are put in at once, at most.
local CHUNK <const> = 256

---@class stoke.pipeline.stage.definition
---@field name string letters, digits, - and _
---@field augment? fun(value: table, item: table): table? its fields are added to the value
---@field infer? stoke.agent its answer is added as the field `into` ("answer"); of a value that is a text it becomes the value
---@field prompt? string|fun(value: any): any what that agent is asked: "Summarize: {text}"; without it the value's `prompt`,
---  `input` or `messages`, or the value
---@field workflow? stoke.workflow a durable run per item; its result as with infer
---@field post? fun(value: any, item: table): any what it returns is the value; nil: that stays as it is
---@field run? fun(value: any, item: table): any what it returns is the value; nil: the item ends here
---@field into? string
---@field split? boolean the value is a list: each of it goes on as an item of its own
---@field concurrency? integer items at once (1)
---@field tries? integer how often an item is tried (3)
---@field bound? integer items before this stage at most (that of the pipeline)
---@field lease? number seconds after which an item is another's, where its process was killed (30)

---@class stoke.pipeline
---@field name string
---@field stages table[]
local Pipeline = {}
Pipeline.__index = Pipeline
Pipeline.__name = "stoke.pipeline"

local OPTIONS = { name = "string", stages = "table", engine = "string", bound = "number", class = true, told = "function" }

local known = setmetatable({}, { __mode = "v" }) -- name -> the pipeline

local function stages_of(given, bound)
  errors.list("stoke.pipeline: stages", given)
  if #given == 0 then errors.argument "stoke.pipeline: stages is empty" end
  local list, order = {}, {}
  for i, stage in ipairs(given) do
    list[i] = kinds.stage(("stoke.pipeline: stages[%d]"):format(i), stage, bound)
    if order[list[i].name] then errors.argument("stoke.pipeline: two stages are named %s", list[i].name) end
    order[list[i].name] = i
  end
  return list, order
end

--- Are these the same stages, with other code?
local function are_alike(a, b)
  for i = 1, math.max(#a, #b) do
    if not a[i] or not b[i] or a[i].name ~= b[i].name then return false end
  end
  return true
end

--- A file that is loaded again gives a pipeline that works its new code: each item that begins from then on goes by it.
local function renew(self, list, o)
  local old, told = self.stages, self.told
  self.stages, self.told = list, o.told
  modules.undo(function() self.stages, self.told = old, told end)
  for i, stage in ipairs(list) do
    if self.running and stage.concurrency ~= old[i].concurrency then
      self.running.workers[i].concurrency = stage.concurrency
      self.running.workers[i]:restart()
    end
  end
  return self
end

--- Define a pipeline.
---@param given { name: string, stages: stoke.pipeline.stage.definition[], engine?: string, bound?: integer, class?: string,
---  told?: fun(stage: string, id: string, state: string, err?: stoke.error) } engine: a URL of stoke.queue; bound: items between
---  two stages (64); class: of its calls of models ("batch"); told: of each item that was "done", is "dead", or is tried "again"
---@return stoke.pipeline
---Raises `argument`.
---
--- Example: `local p = stoke.pipeline { name = "papers", stages = { { name = "ask", infer = bot } } }`
function M.new(given)
  local o = errors.options(given, OPTIONS, "stoke.pipeline")
  if not o.name or not o.name:find "^[%w_-]+$" or #o.name > 60 then
    errors.argument("stoke.pipeline: a name expected, of letters, digits, - and _, got %s", errors.describe(o.name))
  end
  local bound = math.tointeger(o.bound or BOUND)
  if not bound or bound < 1 then errors.argument("stoke.pipeline: bound must be a whole number of at least 1") end
  local list, order = stages_of(o.stages or {}, bound)
  local there = known[o.name]
  if there and there.running and are_alike(there.stages, list) then return renew(there, list, o) end
  local self = setmetatable({ name = o.name, stages = list, order = order, engine = o.engine, told = o.told,
    class = terms.check("stoke.pipeline", o.class) or "batch" }, Pipeline)
  known[o.name] = self
  return self
end

local function check_self(self, what) scopes.check_self(self, Pipeline, ("pipeline:%s()"):format(what)) end

--- The place of a stage by its name.
local function check_stage(self, what, name)
  if type(name) == "string" and self.order[name] then return name end
  local names = {}
  for i, stage in ipairs(self.stages) do names[i] = stage.name end
  local near = errors.suggest(tostring(name), names)
  errors.argument("pipeline:%s: there is no stage %s%s", what, errors.named(name), near and (" (did you mean %s?)"):format(near)
    or ("; there are " .. table.concat(names, ", ")))
end

--- Call with its queue: that of the run, else one for this call.
local function with_queue(self, f)
  if self.running then return f(self.running.queue) end
  local queue <close> = queues.open(self.engine)
  return f(queue)
end

-- ---- putting in ----------------------------------------------------------------------------------------------------------------

local function item_of(given, i)
  if type(given) ~= "table" or given.value == nil then
    errors.argument("pipeline: item %d must be { id =, value =, key = }, got %s", i, errors.describe(given))
  end
  errors.options(given, { id = true, value = true, key = "string" }, "pipeline: an item")
  local id = math.type(given.id) == "integer" and tostring(given.id) or given.id
  if type(id) ~= "string" or id == "" or #id > runs.LONGEST then
    errors.argument("pipeline: item %d wants an id, a text of 1 to %d bytes, got %s", i, runs.LONGEST, errors.describe(given.id))
  end
  return { id = id, key = given.key, value = given.value }
end

--- Take items from a list or an iterator, in chunks that the room before the first stage is several of.
local function feed(self, source, put)
  local chunk = math.max(1, math.min(CHUNK, self.stages[1].bound // 4))
  local i, list = 0, {}
  local function next_one()
    i = i + 1
    if errors.callable(source) then return source() end
    return source[i]
  end
  for given in next_one do
    list[#list + 1] = item_of(given, i)
    if #list == chunk or errors.callable(source) then
      put(list)
      list = {}
    end
  end
  if list[1] then put(list) end
end

local function check_source(what, source)
  if errors.callable(source) then return source end
  errors.list(what, source)
  return source
end

--- Put items in front of the first stage. Where the pipeline works in this process, it waits for room. An id that was put in before
--- is passed over.
---@param source { id: string|integer, value: any, key?: string }[]|fun(): table? a list or an iterator; items of one key go through
---  each stage in their order
---@return integer new
---Raises `argument`, and what the engine raises.
---
--- Example: `papers:put { { id = "a.txt", value = { path = "a.txt" } } }`
function Pipeline:put(source)
  check_self(self, "put")
  check_source("pipeline:put: the items", source)
  local new = 0
  with_queue(self, function(queue)
    local run = self.running or runs.new(self, queue)
    feed(self, source, function(list) new = new + run:put(list) end)
  end)
  return new
end

-- ---- working -------------------------------------------------------------------------------------------------------------------

local function work(self, what, source, ends)
  if self.running then errors.argument("pipeline:%s: it works already in this process", what) end
  local queue <close> = queues.open(self.engine)
  local run = runs.new(self, queue)
  self.running = run
  local _ <close> = setmetatable({}, { __close = function() self.running = nil end })
  run:go(source and function(put) feed(self, source, put) end, ends)
  return run
end

---@class stoke.pipeline.report
---@field done integer items that came out of the last stage, or ended before it, since it first began
---@field dead integer dead letters of all stages
---@field stages { stage: string, waiting: integer, lent: integer, done: integer, dead: integer }[]
---@field seconds number of this run
---@field calls integer of models, in this run
---@field input_tokens integer
---@field output_tokens integer

--- Work until nothing is left to do.
---@param source? table[]|fun(): table? items to put in, as for pipeline:put, while it works; nil: what is there
---@return stoke.pipeline.report
---Raises `argument`; what the engine raises; the error of a place where nothing works, such as `refused` where no server answers.
--- Items that fail raise nothing: pipeline:failed lists them.
---
--- Example: `local report = papers:run(list)`
function Pipeline:run(source)
  check_self(self, "run")
  if source ~= nil then check_source("pipeline:run: the items", source) end
  local run = work(self, "run", source, true)
  local status = self:status()
  local report = { done = status[#status].done, dead = 0, stages = status, seconds = run.seconds }
  for _, row in ipairs(status) do report.dead = report.dead + row.dead end
  for name, n in next, run.usage do
    if name ~= "seconds" then report[name] = n end
  end
  return report
end

--- Work until cancelled: items come by pipeline:put, from this process or others.
---Raises what pipeline:run raises.
---
--- Example: `scope:spawn(papers.serve, papers)`
function Pipeline:serve()
  check_self(self, "serve")
  work(self, "serve", nil, false)
end

-- ---- looking -------------------------------------------------------------------------------------------------------------------

--- How many items stand before each stage, and what came of the others.
---@return { stage: string, waiting: integer, lent: integer, done: integer, dead: integer }[]
---
--- Example: `for _, s in ipairs(papers:status()) do print(s.stage, s.waiting, s.dead) end`
function Pipeline:status()
  check_self(self, "status")
  return with_queue(self, function(queue) return runs.look(queue, self) end)
end

--- An iterator with a queue of its own.
local function iterate(self, each)
  return coroutine.wrap(function()
    local queue <close> = queues.open(self.engine)
    each(queue, rewinds.new(queue, self.name, self.order))
  end)
end

--- What came out of the last stage, in the order in which it was handed to it; what a later pipeline:again made void is left out.
---@return fun(): { id: string, key?: string, value: any }|nil iterator
---Raises what the engine raises, while it is iterated.
---
--- Example: `for item in papers:results() do print(item.id, item.value.summary) end`
function Pipeline:results()
  check_self(self, "results")
  local index = #self.stages
  local stream = runs.stream(self.name, self.stages[index].name)
  return iterate(self, function(queue, again)
    for done in queue:outcomes(stream, runs.GROUP) do
      local env = done.value
      if done.state == "done" and env and not env.dropped and not again:void(env.g, env.at) then
        coroutine.yield { id = env.id, key = done.key, value = env.v }
      end
    end
  end)
end

--- The dead letters: items that failed as often as they are tried, or that can never be done.
---@param stage? string of this one alone
---@return fun(): { stage: string, id: string, key?: string, offset: integer, reason: string, tries: integer }|nil iterator
---Raises `argument`, and what the engine raises.
---
--- Example: `for item in papers:failed() do print(item.stage, item.id, item.reason) end`
function Pipeline:failed(stage)
  check_self(self, "failed")
  if stage ~= nil then check_stage(self, "failed", stage) end
  return iterate(self, function(queue)
    for _, one in ipairs(self.stages) do
      if not stage or stage == one.name then
        for done in queue:outcomes(runs.stream(self.name, one.name), runs.GROUP) do
          if done.state == "dead" then
            coroutine.yield { stage = one.name, id = done.id, key = done.key, offset = done.offset, reason = done.reason,
              tries = done.tries }
          end
        end
      end
    end
  end)
end

-- ---- again ---------------------------------------------------------------------------------------------------------------------

--- Have dead letters tried again.
---@param stage? string of this one alone
---@return integer count
---Raises `argument`, and what the engine raises.
---
--- Example: `papers:retry "ask"`
function Pipeline:retry(stage)
  check_self(self, "retry")
  if stage ~= nil then check_stage(self, "retry", stage) end
  return with_queue(self, function(queue)
    local count = 0
    for _, one in ipairs(self.stages) do
      if not stage or stage == one.name then count = count + queue:revive(runs.stream(self.name, one.name), runs.GROUP) end
    end
    return count
  end)
end

--- Let a stage, and those after it, do their items again: with newer code, and without a call of the stages before. What had come
--- of these items is void.
---@param stage string
---@param from? integer the offset in that stage to begin at (1: all)
---Raises `argument`, and what the engine raises.
---
--- Example: `papers:again "write"`
function Pipeline:again(stage, from)
  check_self(self, "again")
  check_stage(self, "again", stage)
  from = math.tointeger(from or 1)
  if not from or from < 1 then errors.argument("pipeline:again: the offset must be a whole number of at least 1") end
  with_queue(self, function(queue)
    local run = self.running or runs.new(self, queue)
    run.rewinds:add(stage, from, function(name, offset) run:rewind(name, offset) end, true)
  end)
end

--- Begin a stage anew in this process, alone: what it works at is given back, and taken again.
---@param stage string
---Raises `argument` where the pipeline does not work in this process.
---
--- Example: `papers:restart "ask"`
function Pipeline:restart(stage)
  check_self(self, "restart")
  check_stage(self, "restart", stage)
  if not self.running then errors.argument("pipeline:restart: it does not work in this process") end
  self.running.workers[self.order[stage]]:restart()
end

function Pipeline:__tostring() return "pipeline " .. self.name end

return setmetatable(M, { __call = function(_, given) return M.new(given) end })
