--- stoke.tool: a function that a model may call. stoke validates the arguments before the function runs; the model reads what
--- it returns or raises.
---
---     local weather = stoke.tool {
---       name = "get_weather", description = "Current weather in a city",
---       params = { city = "string: city name" },
---       run = function(args) return "4 degrees, rain in " .. args.city end,
---     }
---     print(weather:call { city = "Oslo" })

local driver = require "core.driver.tool"
local handler = require "core.coro".handler
local errors = require "core.errors"
local frames = require "core.frame"
local json = require "core.json"
local modules = require "core.modules"
local scopes = require "core.scope"
local comment = require "stoke.tool.comment"
local schema = require "stoke.schema"
local secrets = require "core.secrets"
local text = require "stoke.tool.text"
local clone = require "stoke.schema.values".clone

local M = {}

local straight = driver.straight

--- Seconds a call may take where the tool does not say.
---@private
M.TIMEOUT = 120
--- Bytes of a result that the model reads where the tool does not say.
---@private
M.MAX_OUTPUT = 16384

---@class stoke.tool
---@field name string
---@field description string
---@field params stoke.schema.Schema
---@field timeout number|false seconds
---@field max_output integer bytes
---@field idempotent boolean doing it twice does no harm
---@field needs_approval boolean|fun(args: table): boolean
---@field site? string where it was made, "file:line"
local Tool = {}
Tool.__index = Tool
Tool.__name = "stoke.tool"

---@class stoke.tool.definition
---@field name string
---@field description? string what the model reads about it
---@field params? table a schema, in stoke.schema's notation or as JSON Schema
---@field run fun(args: table, call?: { key: string }): any, any nil and why (a text or an error) is a failure, as an error that it
---  raises; key: in a durable run, the same text each time this call is made
---@field needs_approval? boolean|fun(args: table): boolean
---@field timeout? number|false seconds (120), false = no limit
---@field idempotent? boolean
---@field reconcile? fun(args: table, key: string): any asked in a durable run whose process was killed in mid-call: what came of
---  the call with this key; nil: it was not done
---@field max_output? integer bytes of a result that the model reads (16384)

local OPTIONS = { name = "string", description = "string", params = "table", run = "function", needs_approval = true,
  timeout = true, idempotent = "boolean", reconcile = "function", max_output = "number" }

local NO_PARAMETERS = { type = "object", properties = {} }

local function check_name(name)
  if name == nil then errors.argument("stoke.tool: name is missing") end
  if not name:find "^[%a_][%w_.-]*$" or #name > 64 then
    errors.argument("stoke.tool: the name must be letters, digits, `_`, `-` or `.`, at most 64, beginning with a letter; got %q",
      name)
  end
end

local function check_options(given)
  errors.options(given, OPTIONS, "stoke.tool")
  check_name(given.name)
  local where = "stoke.tool " .. given.name
  if given.description and not utf8.len(given.description) then
    errors.argument("%s: the description is no UTF-8 from byte %d on", where, select(2, utf8.len(given.description)))
  end
  if given.run == nil then errors.argument("%s: run is missing: the function that does the work", where) end
  local needs = given.needs_approval
  if needs ~= nil and type(needs) ~= "boolean" and not errors.callable(needs) then
    errors.argument("%s: needs_approval must be true, false or a function of the arguments, got %s", where, type(needs))
  end
  local timeout = given.timeout
  if timeout ~= nil and timeout ~= false and not (type(timeout) == "number" and timeout > 0) then
    errors.argument("%s: timeout must be seconds above 0, or false for no limit, got %s", where, errors.describe(timeout))
  end
  local most = given.max_output
  if most and most ~= math.huge and not (math.type(most) == "integer" and most >= 64) then
    errors.argument("%s: max_output must be a whole number of at least 64 bytes, got %s", where, tostring(most))
  end
  return where
end

local function parameters(where, params)
  if params == nil or (getmetatable(params) == nil and next(params) == nil) then return schema.json(NO_PARAMETERS) end
  local ok, made = pcall(schema, params)
  if not ok then
    local err = errors.wrap(made)
    errors.argument("%s: params: %s", where, (err.message:gsub("^schema: ", "")))
  end
  if made:json_schema().type ~= "object" then
    errors.argument("%s: params must describe a table of named parameters", where)
  end
  return made
end

--- Creates the tool. During a reload, the earlier tool of this name is updated in place, so that every list that holds it has the
--- new one.
local function new_tool(fields)
  local tool = modules.before("tool", fields.name)
  if tool then
    local before = setmetatable({}, Tool)
    for key, value in next, tool do before[key] = value end
    local function write(from)
      for key in next, tool do tool[key] = nil end
      for key, value in next, from do tool[key] = value end
    end
    modules.changed(tool, before)
    modules.undo(function() write(before) end)
    write(fields)
  else
    tool = setmetatable(fields, Tool)
  end
  modules.made("tool", fields.name, tool)
  return tool
end

--- Make a tool from a table, or from a function with a documentation comment (`---@param city string city name`), which is then
--- called with its parameters in order.
---@param definition stoke.tool.definition|function
---@param options? table with a function: what the comment cannot say (name, needs_approval, timeout, idempotent, max_output)
---@return stoke.tool
---Raises `argument`.
---
--- Example: `local echo = stoke.tool { name = "echo", params = { text = "string" }, run = function(a) return a.text end }`
function M.new(definition, options)
  if type(definition) == "function" then
    definition = comment.definition(definition, options)
  elseif type(definition) ~= "table" then
    errors.argument("stoke.tool: a table or a function expected, got %s", errors.describe(definition))
  elseif getmetatable(definition) == Tool then
    return definition
  end
  local where = check_options(definition)
  local timeout, params = definition.timeout, parameters(where, definition.params)
  local _, bad = json.encode(params:json_schema())
  if bad then
    errors.raise("argument", ("%s: its parameters cannot be told to a model: %s"):format(where, bad.message), { cause = bad })
  end
  return new_tool {
    name = definition.name, description = definition.description or "", params = params,
    run = definition.run, needs_approval = definition.needs_approval or false, idempotent = definition.idempotent or false,
    reconcile = definition.reconcile,
    timeout = timeout == nil and M.TIMEOUT or timeout, max_output = definition.max_output or M.MAX_OUTPUT,
    site = errors.site(),
  }
end

--- Is this a tool?
---@param value any
---@return boolean
---
--- Example: `assert(tool.is(weather))`
function M.is(value) return type(value) == "table" and getmetatable(value) == Tool end

--- The tool's definition for the model, as the API has it. Always returns the same table.
---@return table
---
--- Example: `ollama.chat { model = m, messages = messages, tools = { weather:definition() } }`
function Tool:definition()
  local known = self.defined
  if not known then
    known = json.object({ type = "function", ["function"] = json.object(
      { name = self.name, description = self.description, parameters = self.params:json_schema() },
      { "name", "description", "parameters" }) }, { "type", "function" })
    self.defined = known
  end
  return known
end

local function bad_arguments(self, err)
  return errors.new("invalid_output", ("the arguments of %s do not fit: %s"):format(self.name, err.message),
    { problems = err.problems, path = err.path, tool = self.name })
end

--- Validate arguments, as before each run.
---@param args table
---@return table|nil args integral floats made integers
---@return stoke.error|nil err kind `invalid_output`
---
--- Example: `local args, err = weather:check { town = "Oslo" }`
function Tool:check(args)
  local checked, err = self.params:try(args)
  if err then return nil, bad_arguments(self, err) end
  return checked
end

--- Does this call need a person's approval?
---@param args table checked ones
---@return boolean
---
--- Example: `if delete:asks { path = "x" } then print "a person will be asked" end`
function Tool:asks(args)
  local needs = self.needs_approval
  if type(needs) == "boolean" then return needs end
  return needs(args) and true or false
end

--- Lua's own way to fail, nil and why, is a failure here, too: not the "ok" of a function that returns nothing.
local function fail(why)
  if errors.is(why) then error(why, 0) end
  errors.raise("tool", text.of(why, M.MAX_OUTPUT))
end

--- The work itself. It is done in a scope, however short it is: what the function spawns and opens is part of it. `given` is the
--- function's second argument in a journalled run.
local function body(self, args, run, span, given, progress)
  local scope <close> = scopes.open_work(self.timeout or nil, self.site, run, span, progress)
  local value, why = self.run(args, given)
  if value == nil and why ~= nil then fail(why) end
  if scope.first then scope:wait() end -- what it spawned is part of its work, as of any task's
  return value
end

--- The same inside the effect; an approval may have changed the arguments. In a journalled run `call` says how what it does is
--- kept, and takes what its agents used: a replay does not run them.
local function performed(job, q, span, call)
  local self, args, run = job.tool, q.args, job.run
  if q.edited then
    local err
    args, err = self:check(args)
    if err then error(err, 0) end
  end
  if run and call and call.inside then
    run = run:part()
    call.nested = run.usage
  end
  local key = call and call.key
  return body(self, args, run, span, key and call.context.journal:with_key({}, key) or nil, job.progress)
end

--- The error of a call that exceeded the tool's timeout.
local function name_tool(self, err)
  if err and err.kind == "timeout" and rawget(err, "seconds") == self.timeout then
    err.message = ("%s did not finish within %g s"):format(self.name, self.timeout)
    err.hint = "raise its timeout, or ask it for less"
  end
  return err
end

--- A copy of arguments, so that a function that modifies them does not change the history.
local function copy(given)
  if type(given) ~= "table" then return given end
  local out = {}
  for name, value in next, given do
    if type(value) == "table" then return clone(given) end
    out[name] = value
  end
  return setmetatable(out, getmetatable(given))
end

--- Arguments that are secret by their names are remembered, so that they are found where they would leave: what fails inside may
--- tell them.
local function remember(args)
  for name, value in next, args do
    if type(value) == "table" or type(name) == "string" and secrets.named(name) then
      return require "core.redact".learn_fields(args)
    end
  end
end

--- Does this call wait for a person? It does not run when no person can be asked.
local function asks_first(self, args)
  local ok, asks = xpcall(self.asks, handler, self, args)
  if ok then return asks end
  if errors.is(asks) and asks.kind == "cancelled" then error(asks, 0) end
  return nil, errors.wrap(asks)
end

--- Do a call whose arguments are checked. What a durable run did is told again when it is replayed, what a tool's body says on its
--- way is not: nobody hears it there.
local function work(self, args, id, agent, run, on_pending, on_progress)
  local frame <close> = frames.any and frames.enter("tool", self.name) or nil
  if type(args) == "table" then remember(args) end
  local asks = self.needs_approval
  if type(asks) ~= "boolean" then
    local err
    asks, err = asks_first(self, args)
    if err then return nil, err end
  end
  local value, failed
  local progress = on_progress and not frame and { tell = on_progress } or nil
  if not asks and straight() then
    value, failed = driver.work(body, self, args, run, nil, nil, progress)
  else
    value, failed = driver.call({ name = self.name, args = args, id = id, agent = agent, needs_approval = asks or nil,
      idempotent = self.idempotent or nil, through = self.through }, { body = performed, tool = self, run = run,
      progress = progress, reconcile = self.reconcile and function(key) return self.reconcile(args, key) end or nil },
      not frame and on_pending or nil,
      frame and run and function(used) run:spend(used) end or nil)
  end
  if failed then return nil, name_tool(self, failed) end
  return value
end

--- Call a tool for an agent.
---@private
---@param self stoke.tool
---@param args any as the model wrote them; they are in the history, so the function gets a copy
---@param id string of the call
---@param agent string whose name errors and questions show
---@param run table what agents inside it work for
---@param on_pending? fun(entry: stoke.pending)
---@param on_progress? fun(note: { message?: string, done?: number, total?: number })
---@return any what run returned
---@return stoke.error|nil err
---
--- Example: `local value, err = tool.work(weather, { city = "Oslo" }, "call_1", "umbrella", run)`
function M.work(self, args, id, agent, run, on_pending, on_progress)
  local checked, err = self:check(copy(args))
  if err then return nil, err end
  return work(self, checked, id, agent, run, on_pending, on_progress)
end

local NOBODY = {}

--- Call the tool as a model does: with validation, policy and trace.
---@param args table
---@param about? { id?: string, agent?: string, run?: table, on_pending?: fun(entry: stoke.pending),
---  on_progress?: fun(note: table) } run: of the agent it works for; on_progress hears what it says by stoke.progress: { message,
---  done, total }
---@return any what run returned
---@return stoke.error|nil err
---
--- Example: `local value, err = weather:perform({ city = "Oslo" }, { agent = "umbrella" })`
function Tool:perform(args, about)
  local checked, err = self:check(args)
  if err then return nil, err end
  about = about or NOBODY
  return work(self, checked, about.id, about.agent, about.run, about.on_pending, about.on_progress)
end

--- Call the tool from a script.
---@param args? table
---@return any what its function returned
---Raises `invalid_output` for arguments that do not fit, `denied`, `needs_approval`, `timeout`, and what the function raises.
---
--- Example: `print(weather:call { city = "Oslo" })`
function Tool:call(args)
  scopes.check_self(self, Tool, "tool:call()")
  return errors.check(self:perform(args == nil and {} or args))
end

--- Tools whose unencodable results have been reported.
local told = setmetatable({}, { __mode = "k" })

--- A result as the model reads it: text unchanged, other values as JSON, nil as "ok", cut at max_output. Values that JSON cannot
--- express (NaN, a function, a list with holes, a cycle) are described in words, and logged once per tool.
---@param value any
---@return string
---
--- Example: `print(weather:text({ celsius = 4 }))`
function Tool:text(value)
  if type(value) == "string" and #value <= self.max_output and utf8.len(value) then return value end
  local out, unsaid = text.of(value, self.max_output)
  if unsaid and not told[self] then
    told[self] = true
    require "stoke.log".warn(("tool %s%s returned what JSON cannot say: %s"):format(self.name,
      self.site and " (" .. self.site .. ")" or "", unsaid))
  end
  return out
end

function Tool:__tostring() return ("tool %s"):format(self.name) end

return setmetatable(M, { __call = function(_, ...) return M.new(...) end })
