--- The code of a run. The sources that a run began with are kept in its journal, and it continues on them: if they equal the loaded
--- files, on the loaded code; otherwise they are loaded beside it, with globals of their own.

local env = require "core.env"
local errors = require "core.errors"
local journals = require "core.journal"
local modules = require "core.modules"
local script = require "core.script"
local source = require "core.source"
local tasks = require "core.task"

local M = {}

local MAIN <const> = "main "

--- task -> the box whose bodies it runs
local boxes = setmetatable({}, { __mode = "k" })

--- How a file is called among the sources of a run.
function M.name_of(file) return file.name and ("%s %s"):format(file.name, file.path) or MAIN .. file.path end

--- The sources that are loaded now.
---@return { name: string, text: string }[]
function M.loaded()
  local list = {}
  for i, file in ipairs(modules.list) do list[i] = { name = M.name_of(file), text = file.text } end
  return list
end

--- Add the loaded sources to a log that does not have them yet.
---@param log stoke.journal.log
---@param known table<string, true> names that it has; changed
function M.keep(log, known)
  for _, one in ipairs(M.loaded()) do
    if not known[one.name] then
      known[one.name] = true
      log:source(one.name, one.text)
    end
  end
end

--- Are these the sources that are loaded?
---@param sources { name: string, text: string }[]
---@return boolean
function M.same(sources)
  local loaded = {}
  for _, one in ipairs(M.loaded()) do loaded[one.name] = one.text end
  for _, one in ipairs(sources) do
    if loaded[one.name] ~= one.text then return false end
  end
  return true
end

---@class stoke.runs.box globals of their own, with what was defined in them
---@field globals table
---@field workflows table<string, stoke.runs.workflow>
---@field main? function
---@field require fun(name: string): any

--- The box whose bodies the running task runs.
---@return stoke.runs.box|nil
function M.box()
  local me = tasks.current()
  return me and boxes[me]
end

local LABELS <const> = { " (as the run has it)", " (as it is now)" }

--- A place or a message without the words that tell the code of a run from that of the process.
---@param text string
---@return string
function M.plain(text)
  for _, label in ipairs(LABELS) do
    local from, to = text:find(label, 1, true)
    while from do
      text = text:sub(1, from - 1) .. text:sub(to + 1)
      from, to = text:find(label, 1, true)
    end
  end
  return text
end

local function compile(box, name, path, text)
  local chunkname = "@" .. path .. (box.fresh and LABELS[2] or LABELS[1])
  local chunk, message = load(source.code(text), chunkname, "t", box.globals)
  if not chunk then errors.raise("script", ("the source %s of the run does not compile: %s"):format(name, message)) end
  source.remember(chunkname, text)
  return chunk
end

local function run_body(box, chunk, ...)
  local me = tasks.current()
  local outer = boxes[me]
  boxes[me] = box
  local _ <close> = setmetatable({}, { __close = function() boxes[me] = outer end })
  return chunk(...)
end

local function loader(box, texts)
  local loaded, shared = {}, env.globals
  local function load_own(name)
    local own = texts[name]
    local value = run_body(box, compile(box, name, own.path, own.text), name, own.path)
    if loaded[name] == nil then loaded[name] = value == nil and true or value end
    return loaded[name]
  end
  return function(name)
    if not texts[name] then return shared.require(name) end
    local journal = journals.visible()
    if journal then return journal:require(name, loaded[name], function() return load_own(name) end) end
    if loaded[name] ~= nil then return loaded[name] end
    return load_own(name)
  end
end

--- Globals over those of the script: what is assigned stays here.
local function globals_of(box)
  local shared, own = env.globals, {}
  own._G = own
  own.require = function(name) return box.require(name) end
  own.load = function(chunk, name, mode, globals) return shared.load(chunk, name, mode, globals == nil and own or globals) end
  local strict = getmetatable(shared)
  return setmetatable(own, { __index = function(_, name)
    local value = rawget(shared, name)
    if value == nil then return strict.__index(own, name) end
    return value
  end, __newindex = strict.__newindex and function(_, name, value) rawset(own, name, value) end })
end

--- Load sources in globals of their own.
---@param sources { name: string, text: string }[]
---@param fresh? boolean they are those of a change that is not there yet
---@return stoke.runs.box
---Raises `script`.
function M.load(sources, fresh)
  local box = { workflows = {}, fresh = fresh }
  local texts, main = {}, nil
  for _, one in ipairs(sources) do
    local name, path = one.name:match "^(%S+) (.*)$"
    local own = { path = path, text = one.text }
    if one.name:sub(1, #MAIN) == MAIN then main = own else texts[name] = own end
  end
  box.globals = globals_of(box)
  box.require = loader(box, texts)
  local before = script.main
  local _ <close> = setmetatable({}, { __close = function() script.main = before end })
  script.main = nil
  if main then run_body(box, compile(box, main.path, main.path, main.text)) end
  box.main = script.main
  for _, one in ipairs(sources) do -- a workflow of a module that the script only required in a function
    local name = one.name:match "^(%S+) "
    if texts[name] then box.require(name) end
  end
  return box
end

--- A change that is tried and never made: what bodies would do to the process is dropped, or undone.
local Trial = {}
Trial.__index = Trial

function Trial:require(name)
  local value = env.globals.package.loaded[name]
  if value ~= nil then return value end
  self.missing = name
  errors.raise("script", "a module has to be loaded first")
end

local function try(sources, isolated)
  local body, box = { made = {}, requires = {} }, nil
  local trial = setmetatable({ undo = {}, commit = {}, changed = {}, before = {}, body = body }, Trial)
  modules.change = trial
  local ok = isolated(trial, function() box = M.load(sources, true) end)
  modules.change = nil
  for i = #trial.undo, 1, -1 do trial.undo[i]() end
  return ok and box or nil, trial.missing
end

--- The code of this process as it is to be, in globals of its own.
---@param jobs core.reload.job[] the files that have changed
---@param isolated fun(change: table, f: function): boolean, any runs a body without effects
---@return stoke.runs.box|nil nil: it does not load
function M.fresh(jobs, isolated)
  local sources, changed = M.loaded(), {}
  for _, job in ipairs(jobs) do changed[M.name_of(job.file)] = job.text end
  for _, one in ipairs(sources) do one.text = changed[one.name] or one.text end
  while true do
    local box, missing = try(sources, isolated)
    if not missing then return box end
    local ok, _, path, text = pcall(env.find, missing)
    if not ok or not text then return nil end
    sources[#sources + 1] = { name = ("%s %s"):format(missing, path), text = text }
  end
end

--- From here on the run goes on on the code of this process.
---@param log stoke.journal.log
---@param sources { name: string, text: string }[] that are kept of it
function M.renew(log, sources)
  local kept = {}
  for _, one in ipairs(sources) do kept[one.name] = one.text end
  for _, one in ipairs(M.loaded()) do
    if kept[one.name] ~= one.text then log:source(one.name, one.text) end
  end
end

--- The function of a run, and its `require`: of this process, or of its own sources.
---@param run stoke.store.run
---@param definition? stoke.runs.workflow
---@param sources { name: string, text: string }[] that are kept of it
---@param stays? boolean on these, also where its workflow has code = "latest"
---@return function|nil f
---@return (fun(name: string): any)|stoke.error|nil load nil: the usual one
---@return stoke.runs.workflow|nil definition
function M.of(run, definition, sources, stays)
  local own = sources[1] ~= nil and (stays or not (definition and definition.latest))
  if definition and (not own or M.same(sources)) then return definition.f, nil, definition end
  if not own then
    return nil, errors.new("parked", ("no workflow %s is defined here"):format(run.workflow),
      { hint = "run it with the script that defines it" })
  end
  local ok, box = pcall(M.load, sources)
  if not ok then return nil, errors.new("parked", "its own sources do not load: " .. errors.wrap(box).message) end
  local own_one = box.workflows[run.workflow]
  local f = own_one and own_one.f or run.workflow:sub(1, 5) == "main:" and box.main
  if f then return f, box.require, own_one end
  return nil, errors.new("parked", ("its own sources define no workflow %s"):format(run.workflow))
end

return M
