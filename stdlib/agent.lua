--- stoke.agent: a model with instructions and tools. A run asks the model, runs the tools it calls, and repeats until it answers.
---
---     local bot = stoke.agent { name = "umbrella", model = "qwen2.5:3b", instructions = "Answer in one sentence.",
---       tools = { weather } }
---     print(bot:run("Do I need an umbrella in Oslo?").text)
---
--- `run` and `stream` are stateless; a session keeps the conversation. A reload does not change a run that has already begun.

local budgets = require "core.gate.budget"
local cache = require "core.cache.settings"
local errors = require "core.errors"
local scopes = require "core.scope"
local script = require "core.script"
local json = require "core.json"
local terms = require "core.terms"
local modules = require "core.modules"
local place = require "core.store.place"
local config = require "stoke.config"
local explain = require "stoke.agent.explain"
local guest = require "stoke.agent.guest"
local history = require "stoke.agent.history"
local input = require "stoke.agent.input"
local loop = require "stoke.agent.loop"
local model_options = require "stoke.model.options"
local schema = require "stoke.schema"
local session = require "stoke.agent.session"
local stream = require "stoke.agent.stream"
local texts = require "stoke.agent.texts"
local tool = require "stoke.tool"

local M = {}

--- Questions to the model where the agent does not say.
---@private
M.MAX_STEPS = 12
--- Answers that are asked for again where the agent does not say.
---@private
M.REPAIR = 2

--- All live agents (weak keys), for reload and inspection.
---@private
M.live = setmetatable({}, { __mode = "k" })

---@class stoke.agent
---@field name string its name; "file:line" where it was given none
---@field definition table in force for the runs that begin now
local Agent = {}
Agent.__name = "stoke.agent"
M.Agent = Agent

function Agent.__index(self, key)
  if key == "name" then return self.definition.label end
  return Agent[key]
end

--- What a script sets would change nothing, without a word.
function Agent:__newindex(key)
  errors.raise("argument", ("the %s of an agent cannot be set: an agent stays as it was made"):format(tostring(key)),
    { hint = "stoke.agent { ... } makes another; instructions may be a function, asked before each question" })
end

--- What a run, a turn of a session and the event "done" give; printed, it is its text.
---@class stoke.agent.result
---@field text string what the model answered last
---@field output any with a schema: the value, checked
---@field messages table[] the input, the calls, their results, the answer
---@field steps integer questions to the model
---@field usage stoke.usage nested runs included
---@field agent string name of the agent that answered; a handoff changes it
---@field id string
---@field reason string "stop", or "length" when the answer was cut off
---@field thinking? string
---@field cached? "exact"|"shared"|"semantic" no model was asked: how the last answer came from the cache
---@field model? string of a run with a route or a fallback: the model that answered last, as its server calls it
---@field endpoint? string and its endpoint, along a route
---@field rung? integer where a fallback was taken: 2 is the first
---@field margin? number where `logprobs` was asked for: how sure the model was of the answer, in nats: the mean distance of the
---  likeliest token to the next one, over the tenth of the tokens where it is least

---@class stoke.agent.definition
---@field name? string needed for handoffs, as_tool and reload
---@field description? string what other agents read about it
---@field model string may be left out where `route` names one
---@field instructions? string|fun(run: table): string? a text, or a function that gives it for each question
---@field tools? (stoke.tool|stoke.agent|function)[] tools, agents, documented functions
---@field mcp? string|table a server of .mcp.json by its name, a description as stoke.mcp.connect takes it, or a list of these: each
---  run has the tools that they offer when it begins
---@field output? any a schema; the result then has `output`
---@field repair? integer how often an answer that does not fit, or is empty, is asked for again (2)
---@field handoffs? (stoke.agent|fun(): stoke.agent)[] agents that may take the conversation over; a function gives one that is
---  made later, and is called when the first run begins
---@field max_steps? integer questions to the model (12)
---@field budget? { tokens?: integer, calls?: integer, seconds?: number } of a run, nested work included
---@field deadline? number seconds of a run
---@field class? "interactive"|"normal"|"batch" who goes first where calls of models wait, see ollama.chat; of the scope around when
---  not given
---@field route? string|string[] where its questions may go: a route of the settings, or { "model@endpoint", "@endpoint" ... }
---@field fallback? (string|{ text?: string, model?: string, endpoint?: string }|fun(err: stoke.error): string?)[] what is asked,
---  or said, when a question has failed for good: smaller models, a text. The result has `rung`
---@field cache? boolean|stoke.cache.settings its answers are kept, and given again where the same is asked; of the scope around
---  when not given
---@field options? table|string sampling: temperature, seed, num_predict ...; or the name of a sampling profile
---@field sampling? string name of a sampling profile (precise, balanced, creative, those of stoke.config.lua); options go over it
---@field think? boolean|"low"|"medium"|"high"|"max"
---@field endpoint? string name or address
---@field timeouts? table seconds by phase, as for ollama.chat
---@field split_thinking? boolean false: reasoning between tags stays in the text, see ollama.chat
---@field auto_pull? boolean a model that the server does not have is pulled first, see ollama.chat
---@field nudge? boolean false: accept an answer that only announces work; by default the model is asked once to do the work or to
---  answer (with tools or handoffs)
---@field texts? table<string, string|function> what the library says to the model, replaced; see stoke.agent.texts
---@field memory? stoke.memory|table what it remembers: shown what fits each question, it gets the tools `recall` and `remember`;
---  { memory, k = 5, kind =, tags =, min =, recall = false, tools = false } says more; { "path", embed = ... } is opened when it is
---  first needed
---@field summarize? boolean|fun(messages: table[], summary?: string): string what falls out of the context window is summarized

---@class stoke.agent.limits of one run, before those of the agent
---@field max_steps? integer
---@field class? "interactive"|"normal"|"batch"
---@field deadline? number seconds; the shorter counts
---@field logprobs? boolean the result has a `margin`; for servers that tell the odds of tokens (Ollama from 0.12.11)
---@field route? string|string[]

local OPTIONS = { name = "string", description = "string", model = "string", instructions = true, tools = "table", output = true,
  repair = "number", handoffs = "table", max_steps = "number", budget = "table", deadline = "number", options = true,
  sampling = true, think = true, endpoint = "string", timeouts = "table", summarize = true, nudge = "boolean", texts = "table",
  split_thinking = "boolean", auto_pull = "boolean", class = true, route = true, fallback = true,
  cache = true, memory = true, mcp = true }

local function is_agent(value) return type(value) == "table" and getmetatable(value) == Agent end

local function whole(where, name, value, least)
  if value ~= nil and (math.type(value) ~= "integer" or value < least) then
    errors.argument("%s: %s must be a whole number of at least %d, got %s", where, name, least, tostring(value))
  end
end

--- A list, and nothing that a reader of lists would pass over: one tool alone, or names for keys.
local function check_list(where, name, list)
  if is_agent(list) or tool.is(list) then
    errors.argument("%s: %s must be a list, { ... }, got %s alone", where, name, tostring(list))
  end
  if name == "tools" and type(list) == "table" and type(list.run) == "function" then
    errors.argument("%s: tools must be a list of tools: { stoke.tool { ... } }", where)
  end
  errors.list(("%s: %s"):format(where, name), list)
end

local function check(given)
  if type(given) ~= "table" then errors.argument("stoke.agent: a table expected, got %s", errors.describe(given)) end
  errors.options(given, OPTIONS, "stoke.agent")
  local name, options = given.name, given.options
  if name ~= nil and (name == "" or #name > 64 or not name:find "^[%w_][%w_ .-]*$") then
    errors.argument("stoke.agent: the name must be letters, digits, `_`, `-`, `.` or blanks, at most 64; got %q", name)
  end
  local where = name and "stoke.agent " .. name or "stoke.agent"
  if given.sampling ~= nil or type(options) == "string" then options = model_options.sampled(where, options, given.sampling) end
  local model = given.model
  if given.route ~= nil then model = require "stoke.config.routes".model(where, model, given.route) end
  model_options.check(where, { model = model, options = options, think = given.think, timeouts = given.timeouts },
    { model = true, options = "table", think = true, timeouts = "table" })
  local text = given.instructions
  if text ~= nil and type(text) ~= "string" and not errors.callable(text) then
    errors.argument("%s: instructions must be a string, or a function that returns one, got %s", where, type(text))
  end
  if given.summarize ~= nil and type(given.summarize) ~= "boolean" and not errors.callable(given.summarize) then
    errors.argument("%s: summarize must be true, false or a function, got %s", where, type(given.summarize))
  end
  whole(where, "max_steps", given.max_steps, 1)
  whole(where, "repair", given.repair, 0)
  if given.budget then budgets.check(given.budget, where .. ": budget") end
  if given.tools then check_list(where, "tools", given.tools) end
  if given.handoffs then check_list(where, "handoffs", given.handoffs) end
  if given.deadline and not (given.deadline > 0) then
    errors.argument("%s: deadline must be seconds above 0, got %s", where, tostring(given.deadline))
  end
  if given.texts then texts.check(where, given.texts) end
  if given.fallback ~= nil then require "stoke.model.fallback".check(where, given.fallback) end
  terms.check(where, given.class)
  cache.check(where, given.cache)
  return where, options, model
end

--- The tools, by their names; an agent in the list is one, too.
local function tools_of(where, list)
  local tools, by_name = {}, {}
  for i, given in ipairs(list or {}) do
    local made = given
    if is_agent(given) then
      made = given:as_tool()
    elseif type(given) == "function" then
      made = tool(given)
    elseif not tool.is(given) then
      errors.argument("%s: tools[%d] must be a tool (stoke.tool { ... }), an agent or a documented function, got %s", where, i,
        errors.describe(given))
    end
    if by_name[made.name] then errors.argument("%s: two tools are named %s", where, made.name) end
    tools[i], by_name[made.name] = made, made
  end
  return tools, by_name
end

local function handoff_name(name) return "transfer_to_" .. name:gsub("[^%w_-]", "_") end

local function handoff_definition(target, own)
  local definition = target.definition
  return { type = "function", ["function"] = { name = handoff_name(definition.name),
    description = texts.of("handoff_tool", own, { agent = definition.name,
      description = definition.description and " " .. definition.description or "" }),
    parameters = { type = "object", properties = json.object {} } } }
end

--- Agents that may take over: name of the call -> handle. Their definitions are looked up when the handoff happens.
local function handoffs_of(where, list, by_name, definitions, own)
  if not list then return nil end
  local targets, order = {}, {}
  for i, given in ipairs(list) do
    local target = given
    if not is_agent(given) and errors.callable(given) then target = given() end
    if not is_agent(target) then
      errors.argument("%s: handoffs[%d] must %s an agent, got %s", where, i, target == given and "be" or "return",
        errors.describe(target))
    end
    if not target.definition.name then
      errors.argument("%s: handoffs[%d] has no name: an agent that is handed over to needs one", where, i)
    end
    local name = handoff_name(target.definition.name)
    if by_name[name] or targets[name] then errors.argument("%s: two tools are named %s", where, name) end
    targets[name], order[i] = target, name
    definitions[#definitions + 1] = handoff_definition(target, own)
  end
  if order[1] then return targets, order end
end

--- What a definition has where it was given nothing.
local Definition = { tools = {}, by_name = {}, names = {}, tools_bytes = 0, repair = M.REPAIR, max_steps = M.MAX_STEPS }
Definition.__index = Definition

local COPIED = { "name", "description", "instructions", "repair", "max_steps", "budget", "deadline", "think", "endpoint",
  "timeouts", "nudge", "texts", "split_thinking", "auto_pull", "route", "fallback" }

--- Tools and handoffs, worked out once.
local function add_tools(definition, where, given)
  local memory = given.memory ~= nil and definition.memory
  local tools, by_name = tools_of(where, memory and memory.with(given.tools) or given.tools)
  local definitions, names = {}, {}
  for i, made in ipairs(tools) do definitions[i] = made:definition() end
  local targets, order = handoffs_of(where, given.handoffs, by_name, definitions, given.texts)
  if not definitions[1] then return end
  for name in next, by_name do names[name] = true end
  for name in next, targets or {} do names[name] = true end
  definition.tools, definition.by_name, definition.names, definition.targets = tools, by_name, names, targets
  definition.handoff_order = order
  guest.tell(definition, definitions)
end

--- Is one of the handoffs made later?
local function waits(list)
  for _, target in ipairs(list or {}) do
    if not is_agent(target) and errors.callable(target) then return true end
  end
  return false
end

--- Servers of MCP, whose tools each run asks for when it begins.
local function add_servers(definition, where, given)
  local agents = require "stoke.mcp.agents"
  local servers = agents.servers(where .. ": mcp", given.mcp)
  definition.ready = function(self)
    if self.complete then self:complete() end
    return agents.with(self, servers, function(made, tools)
      add_tools(made, where, { tools = tools, handoffs = given.handoffs, texts = given.texts })
    end)
  end
end

--- What a run works with: everything checked, and not changed any more once it is complete.
local function define(given, label)
  local where, options, model = check(given)
  local definition = setmetatable({ model = model, class = terms.check(where, given.class),
    cache = cache.check(where, given.cache) }, Definition)
  if options then definition.options = options end
  for _, name in ipairs(COPIED) do
    if given[name] ~= nil then definition[name] = given[name] end
  end
  definition.label = given.name or label
  definition.bounded = given.budget ~= nil or given.deadline ~= nil or given.class ~= nil or given.cache ~= nil or nil
  if given.memory ~= nil then definition.memory = require "stoke.memory.recall".of(where, given.memory) end
  if waits(given.handoffs) then
    definition.complete = function(self)
      add_tools(self, where, given)
      self.complete = nil
    end
  elseif given.tools or given.handoffs or definition.memory then
    add_tools(definition, where, given)
  end
  if given.mcp ~= nil then add_servers(definition, where, given) end
  if given.output ~= nil then definition.output = schema(given.output) end
  if given.summarize then definition.summarize = given.summarize end
  return definition
end

--- While a file is reloaded, the agent it made under this name before is given the new definition: sessions go on with it.
local function handle_of(definition)
  local self = definition.name and modules.before("agent", definition.name)
  if self then
    local before = self.definition
    modules.changed(self, before)
    modules.undo(function() self.definition = before end)
    self.definition = definition
  else
    self = setmetatable({ definition = definition }, Agent)
    M.live[self] = true
    if modules.change then modules.undo(function() M.live[self] = nil end) end
  end
  definition.handle = self
  if definition.name then
    modules.made("agent", definition.name, self)
    if session.on_made then session.on_made(self) end
    if modules.body() then script.left = M.take_up end
  end
  return self
end

--- Where there is a store, turns of kept sessions may have been left there: they go on.
---@private
function M.take_up()
  if place.is_there(script.path, config.get().store) then session.kept().define_all(M.live) end
end

--- What one definition knows of changed tools: their new versions, or (for runs that began with it) the old ones.
local function with_tools(definition, pick)
  local tools, by_name = {}, {}
  for i, made in ipairs(definition.tools) do
    tools[i] = pick(made)
    by_name[made.name] = tools[i]
  end
  definition.tools, definition.by_name = tools, by_name
end

local function count_changed(definition, changed)
  local count = 0
  for _, made in ipairs(definition.tools) do
    if changed[made] then count = count + 1 end
  end
  for _, target in next, definition.targets or {} do
    if changed[target] then count = count + 1 end
  end
  return count
end

--- After a reload: agents whose tools or handoffs have changed get definitions that say so; runs that have begun keep theirs, with
--- the tools as they were.
---@private
---@param changed table<table, any> what was changed in place -> what it was
---
--- Example: `agent.refresh { [weather] = before }`
function M.refresh(changed)
  local function old(made) return changed[made] or made end
  for handle in next, M.live do
    local definition, before = handle.definition, changed[handle]
    if before then with_tools(before, old) end
    if count_changed(definition, changed) > 0 then
      if not before then
        local fresh = setmetatable({}, getmetatable(definition))
        for key, value in next, definition do fresh[key] = value end
        with_tools(definition, old)
        definition = fresh
        handle.definition = fresh
      end
      local definitions = {}
      for i, made in ipairs(definition.tools) do definitions[i] = made:definition() end
      for _, name in ipairs(definition.handoff_order or {}) do
        definitions[#definitions + 1] = handoff_definition(definition.targets[name], definition.texts)
      end
      guest.tell(definition, definitions)
    end
  end
end

--- The agent as it is now, with the tools of more servers of MCP: for who serves it to a client that brings its own.
---@private
---@param handle stoke.agent
---@param servers stoke.mcp.client[]
---@return stoke.agent
---
--- Example: `local with = agent.with_servers(bot, { client })`
function M.with_servers(handle, servers)
  local definition = handle.definition
  local function ready()
    local base = definition
    if base.complete then base:complete() end
    if base.ready then base = base:ready() end
    return require "stoke.mcp.agents".with(base, servers, function(made, tools)
      local handoffs = {}
      for i, name in ipairs(base.handoff_order or {}) do handoffs[i] = base.targets[name] end
      add_tools(made, "stoke.agent " .. definition.label, { tools = tools, handoffs = handoffs, texts = definition.texts })
    end)
  end
  return setmetatable({ definition = setmetatable({ ready = ready, complete = false }, { __index = definition }) }, Agent)
end

--- What the library itself says to models. Without an argument, the texts in force: { name, purpose, fields, text } each, sorted by
--- name. With a table, these are replaced for all agents; an agent's own `texts` go before them. A replacement is a text with
--- {fields}, a function of a table of the fields that returns the text, or false for the built-in one.
---
---     schema, misfit                        the shape of the answer, and one that does not fit it
---     empty, nudge                          an answer without a word, and one that announces work and calls nothing
---     unreadable, unreadable_without_tools  a call that could not be read
---     unknown_tool, no_tools, bad_arguments, too_many_calls, repeated   calls that are wrong
---     failure, bug, denied, cancelled       tools that failed
---     handoff, second_handoff, handoff_tool, agent_tool, agent_input    agents that work together
---     summary_task, summary, choose         summaries of what fell out of the window; the options of stoke.choose
---     recalled                              what an agent with a memory remembers
---@param given? table<string, string|function|false>
---@return { name: string, purpose: string, fields: string, text: string|function }[]
---Raises `argument` for an unknown name or field.
---
--- Example: `stoke.agent.texts { empty = "You said nothing. Please answer." }`
function M.texts(given)
  if given ~= nil then texts.replace(given) end
  return texts.list()
end

--- Make an agent.
---@param given stoke.agent.definition
---@return stoke.agent
---Raises `argument`.
---
--- Example: `local bot = stoke.agent { name = "poet", model = "qwen2.5:3b", instructions = "Answer in verse." }`
function M.new(given)
  return handle_of(define(given, errors.place() or "an agent"))
end

--- An agent that works inside of a library: it has a label, and no name, so no file is said to have made it.
---@private
---@param given stoke.agent.definition
---@param label string
---@return stoke.agent
---
--- Example: `local planner = agent.inner({ model = "qwen2.5:3b" }, "crew planner")`
function M.inner(given, label) return setmetatable({ definition = define(given, label) }, Agent) end

--- An agent whose turns others do: a team.
---@private
---@param definition table label, name, model, play = fun(run): text, value, answer; what a definition has besides
---@return stoke.agent
---
--- Example: `local crew = agent.played { label = "crew", name = "crew", model = m, play = function(run) return "done" end }`
function M.played(definition)
  definition.bounded = definition.budget ~= nil or definition.deadline ~= nil or definition.class ~= nil or definition.cache ~= nil
    or nil
  return handle_of(setmetatable(definition, Definition))
end

--- The history of a run that begins with this input.
local function beginning(definition, given)
  if type(given) == "string" and utf8.len(given) then return history.of(given) end
  return history.new(input.messages(definition.label, given))
end

--- Answer once: ask the model, run what it calls, until it answers. Remembers nothing.
---@param given string|{ text: string, images?: (string|table)[] }|table[] a text, a text with images by path, or messages
---@param options? stoke.agent.limits
---@return stoke.agent.result
---Raises what ollama.chat raises, and `invalid_output` (the answer does not fit, or is empty), `limit` (it was cut off before its
---JSON was complete), `max_steps`, `loop`, `budget`, `deadline`, `needs_approval`; `err.work` is the result so far.
---
--- Example: `print(bot:run("Do I need an umbrella in Oslo?").text)`
function Agent:run(given, options)
  if getmetatable(self) ~= Agent then scopes.check_self(self, Agent, "agent:run()") end
  local definition = self.definition
  if options ~= nil then options = loop.options("agent:run", options) end
  return (loop.run(definition, beginning(definition, given), 1, nil, options))
end

--- Answer once, and iterate over the events as they come.
--- They are { type = "text", text =, partial = with a schema the value so far }, "thinking" { text },
--- "tool_call" { id, name, arguments, cancel }, "tool_result" { id, name, text, failed, value = what run returned, err = why it
--- failed }, "tool_progress" { id, name, text, done, total } of a tool that says how far it is (stoke.progress),
--- "fallback" { rung, model = nil for a text, err }, "approval" { id, pending }, "handoff" { from, to },
--- "usage" { usage }, "interrupted" { text } in a durable run whose process ended in the middle of an answer (it is asked for
--- again, and begins anew), "done" { result = as of agent:run }. What an agent does that works as a tool of this one comes as
--- { type = "nested", agent =, run =, event = }. Leaving the loop ends the run and closes its connection.
---@param given string|{ text: string, images?: (string|table)[] }|table[]
---@param options? stoke.agent.limits
---@return fun(): table|nil iterator for generic `for`
---Raises, while it is iterated, what agent:run raises.
---
--- Example: `for ev in bot:stream("Hello") do if ev.type == "text" then io.write(ev.text) end end`
function Agent:stream(given, options)
  scopes.check_self(self, Agent, "agent:stream()")
  local definition = self.definition
  options = loop.options("agent:stream", options)
  local past = beginning(definition, given)
  return stream.open(function(listener) return loop.run(definition, past, 1, listener, options) end)
end

--- A conversation that remembers; with an id it is kept, and goes on in whichever process opens it again.
---@param saved? table of session:save(); or { id = "ada", wait = seconds }: wait bounds how long another process may have it
---@return stoke.agent.session
---Raises `argument` for a table that is no saved session, for the id of another agent's; `db`.
---
--- Example: `local chat = bot:session(); chat:run "My name is Ada."; print(chat:run("Who am I?").text)`
function Agent:session(saved)
  scopes.check_self(self, Agent, "agent:session()")
  return session.new(self, saved)
end

--- The agent as a tool for another agent. The tool takes a task as text and returns the answer.
---@param options? { name?: string, description?: string, needs_approval?: boolean|function, max_output?: integer }
---@return stoke.tool
---Raises `argument` when the agent has no name.
---
--- Example: `local boss = stoke.agent { model = m, tools = { critic:as_tool() } }`
function Agent:as_tool(options)
  scopes.check_self(self, Agent, "agent:as_tool()")
  options = errors.options(options, { name = "string", description = "string", needs_approval = true, max_output = "number" },
    "agent:as_tool")
  local definition = self.definition
  if not definition.name and not options.name then
    errors.argument("agent:as_tool: the agent made at %s has no name: a tool needs one", definition.label)
  end
  local made = tool {
    name = options.name or definition.name:gsub("[^%w_-]", "_"),
    description = options.description or definition.description
      or texts.of("agent_tool", definition.texts, { agent = definition.label }),
    params = { input = "string: " .. texts.of("agent_input", definition.texts, { agent = definition.label }) },
    needs_approval = options.needs_approval, max_output = options.max_output, timeout = false,
    run = function(args)
      local result = self:run(args.input)
      if result.output ~= nil then return result.output end
      return result.text
    end,
  }
  made.through = true -- what an agent does is done by effects: a durable run sees which of them were begun
  return made
end

--- Print the exact request that agent:run would send first, how long its answer may get, and what the library would say to the
--- model where that applies; and return all that. Nothing is sent.
---@param given string|{ text: string, images?: (string|table)[] }|table[]
---@return { method: string, url: string, body: string, answer: string, texts: table } body: JSON text
---
--- Example: `bot:explain "Do I need an umbrella in Oslo?"`
function Agent:explain(given)
  scopes.check_self(self, Agent, "agent:explain()")
  return explain.show(self:next_request(given))
end

--- The exact request a first turn would send.
---@param given string|{ text: string, images?: string[] }|table[]
---@return { method: string, url: string, body: string, answer: string, texts: table } body: JSON text; see agent:explain
---
--- Example: `print(bot:next_request("Hello").body)`
function Agent:next_request(given)
  scopes.check_self(self, Agent, "agent:next_request()")
  local definition = self.definition
  return explain.next_request(definition, beginning(definition, given))
end

function Agent:__tostring()
  local definition = self.definition
  return ("%s %s (%s)"):format(definition.play and "team" or "agent", definition.label, definition.pattern or definition.model)
end

return setmetatable(M, { __call = function(_, ...) return M.new(...) end })
