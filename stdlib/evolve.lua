--- stoke.evolve: an agent file that changes while it is in service, safely. A candidate, the new text of a file, is checked in a
--- copy of the project, compared with the present text, swapped in by hot reload, watched, and taken back by itself where it does
--- worse.
---
---     local clerks = stoke.evolve {
---       files = "clerk.lua",                                  -- what may be changed: a path, or globs
---       tests = { "clerk_test.lua" },                         -- stoke test
---       eval = "clerk_eval.lua",                              -- stoke eval: at least as many cases must pass as now
---       replay = 5,                                           -- the last five runs must ask what they asked
---       ask = true,                                           -- a person sees the change, and decides
---       watch = { seconds = 600, errors = 0.2 },
---     }
---     local verdict = clerks:propose { text = better, why = "shorter instructions" }
---     print(verdict.state, verdict.at, verdict.why)           -- kept, refused or taken_back
---
--- A proposal is a durable run: `stoke show ID` lists its steps, a person approves it there or on the page, and one whose process
--- was killed goes on when the script starts again, also in the middle of watching.
---
--- What a candidate cannot do: change what it is judged by (the tests and the evaluation), files that no rule names, or the policy.
--- Its tests run in a sandbox that can write to the copy alone, without the network; its evaluation reaches the network, since
--- models are there. Swapped in, it has the powers of the script: where its text comes from a model, `ask = true`, and a policy.

local checks = require "stoke.evolve.checks"
local errors = require "core.errors"
local fs = require "stoke.fs"
local globs = require "core.glob"
local hash = require "core.hash"
local modules = require "core.modules"
local random = require "core.random"
local scopes = require "core.scope"
local service = require "stoke.evolve.service"
local workflow = require "stoke.workflow"

local M = {}

---@class stoke.evolve
---@field name string
local Evolve = {}
Evolve.__index = Evolve
Evolve.__name = "stoke.evolve"

---@class stoke.evolve.definition
---@field files string|string[] what may be changed: paths or globs below the project ("agents/*.lua")
---@field name? string of its runs; default: the first of `files`
---@field folder? string the project, of which checks get a copy (that of the script); hidden folders, build and node_modules are
---  left out
---@field tests? string[] files or folders for `stoke test`. In these and in `eval`, `*` stands for the file without `.lua`:
---  "*_test.lua" of agents/clerk.lua is agents/clerk_test.lua, where there is one
---@field eval? string a file for `stoke eval`
---@field commands? string[][] programs that must end with code 0: { { "luacheck", "clerk.lua" } }, a checker of types
---@field replay? integer|string[] durable runs that must ask the same by the new text: so many that ended last, or these
---@field better? boolean more cases must pass than now; without it as many are enough
---@field slower? number how many times as long a trial may take as now (1.5); false: any
---@field tokens? number how many times as many tokens a trial may use as now (2); false: any
---@field ask? boolean a person must approve
---@field watch? stoke.evolve.watch|false how it is looked after once it is in service
---@field timeout? number seconds for each check (600)
---@field env? string[] names of variables that tests and evaluations are given, beside PATH, LANG and OLLAMA_HOST

---@class stoke.evolve.watch
---@field seconds? number how long (60)
---@field runs? integer so many runs of its agents have to end before they are judged (3)
---@field errors? number the share of them that may fail (0.2). A server that is away is no fault of an agent
---@field check? fun(seen: stoke.evolve.seen): boolean, string? called after each run and at the end: false, and why, takes it back

---@class stoke.evolve.verdict
---@field state "kept"|"refused"|"taken_back"
---@field at? "text"|"commands"|"tests"|"replay"|"eval"|"person"|"swap"|"service" where it failed
---@field why? string
---@field file string
---@field run string the durable run that has all its steps
---@field tests? { passed: integer, failed: integer }
---@field replay? { runs: integer }
---@field eval? { before: stoke.evolve.figures, after: stoke.evolve.figures }
---@field service? stoke.evolve.seen

local OPTIONS = { files = true, name = "string", folder = "string", tests = "table", commands = "table", eval = "string",
  replay = true, better = "boolean", slower = true, tokens = true, ask = "boolean", watch = true, timeout = "number",
  env = "table" }
local WATCH = { seconds = "number", runs = "number", errors = "number", check = "function" }
local PROPOSAL = { text = "string", file = "string", why = "string", id = "string" }

--- Bytes of a candidate at most.
local LARGEST <const> = 1 << 20

-- ---- the run --------------------------------------------------------------------------------------------------------------------

--- The checks in their order, the cheap ones first: name, and whether it is asked for.
local CHECKS <const> = {
  { "text", function() return true end },
  { "commands", function(self) return self.commands[1] ~= nil end },
  { "tests", function(self) return self.tests[1] ~= nil end },
  { "replay", function(self) return self.replay ~= nil end },
  { "eval", function(self) return self.eval ~= nil end },
}

local ONCE_MORE <const> = { idempotent = true }

local function refuse(verdict, at, why)
  verdict.state, verdict.at, verdict.why = "refused", at, why
  return verdict
end

--- A name for the copy that a step makes: the same when it is done again.
local function key_of(step, job) return hash.sha256(step.key or job.file .. random.stream("evolve"):int(1, 1 << 53)):sub(1, 16) end

--- All that is asked of a candidate before it is in service, each check a step of the run.
---@return string|nil at where it fails
---@return string|nil why
local function examine(self, job, verdict)
  for _, check in ipairs(CHECKS) do
    local name, asked = check[1], check[2]
    if asked(self) then
      local out = workflow.step(name, function(step)
        job.key = key_of(step, job)
        local why, facts = checks[name](self, job)
        return { why = why, facts = facts }
      end, ONCE_MORE)
      verdict[name] = out.facts
      if out.why then return name, out.why end
    end
  end
end

--- In service it is watched. Taken back, the text before it is there again.
local function look_after(self, job, verdict)
  local seen = workflow.step("service", function() return service.look(self.watch, job) end, ONCE_MORE)
  verdict.service = seen.figures
  if not seen.why then return verdict end
  local left = workflow.step("take back", function() return { why = service.take_back(job) } end, ONCE_MORE).why
  verdict.state, verdict.at = left and "kept" or "taken_back", "service"
  verdict.why = left and ("%s; %s"):format(seen.why, left) or seen.why
  return verdict
end

--- What judges a file: `*` stands for its name.
local function named(patterns, file)
  local list, stem = {}, file:gsub("%.lua$", "")
  for i, pattern in ipairs(patterns) do list[i] = pattern:gsub("%*", (stem:gsub("%%", "%%%%"))) end
  return list
end

local function job_of(self, file)
  return { file = file, path = self.folder == "." and file or ("%s/%s"):format(self.folder, file), tests = named(self.tests, file),
    eval = named({ self.eval }, file)[1] }
end

--- The function of its runs.
local function decide(self, proposal)
  local job = job_of(self, proposal.file)
  job.text, job.why = proposal.text, proposal.why
  job.before = workflow.step("present", function() return fs.read(job.path) end, ONCE_MORE)
  local verdict = { state = "kept", file = proposal.file }
  local at, why = examine(self, job, verdict)
  if at then return refuse(verdict, at, why) end
  at, why = service.swap(self, job, verdict)
  if at then return refuse(verdict, at, why) end
  return self.watch and look_after(self, job, verdict) or verdict
end

-- ---- the definition -----------------------------------------------------------------------------------------------------------

local function list_of(value, what)
  if type(value) == "string" then value = { value } end
  if type(value) ~= "table" or value[1] == nil then
    errors.argument("stoke.evolve: %s must be a path or a list of paths, got %s", what, errors.describe(value))
  end
  for i, path in ipairs(value) do
    if type(path) ~= "string" or path == "" or path:find "^/" or ("/" .. path .. "/"):find("/../", 1, true) then
      errors.argument("stoke.evolve: %s[%d] must be a path below the project, got %s", what, i, errors.describe(path))
    end
  end
  return value
end

local function factor(o, name, default)
  local value = o[name]
  if value == nil then return default end
  if value ~= false and not (type(value) == "number" and value > 0) then
    errors.argument("stoke.evolve: %s must be a number above 0, or false, got %s", name, errors.describe(value))
  end
  return value
end

local function watch_of(given)
  if given == false then return nil end
  local o = errors.options(given or {}, WATCH, "stoke.evolve: watch")
  local seconds, runs, share = o.seconds or 60, o.runs or 3, o.errors or 0.2
  if not (seconds > 0) then errors.argument("stoke.evolve: watch.seconds must be above 0, got %s", tostring(seconds)) end
  if math.type(runs) ~= "integer" or runs < 1 then
    errors.argument("stoke.evolve: watch.runs must be a whole number of at least 1, got %s", tostring(runs))
  end
  if not (share >= 0 and share <= 1) then
    errors.argument("stoke.evolve: watch.errors must be from 0 to 1, got %s", tostring(share))
  end
  return { seconds = seconds, runs = runs, errors = share, check = o.check }
end

local function folder_of_script()
  local first = modules.list[1]
  return first and first.path:match "^(.+)/[^/]*$" or "."
end

local function replay_of(value)
  if value == nil or type(value) == "table" then return value end
  if math.type(value) == "integer" and value >= 1 then return value end
  errors.argument("stoke.evolve: replay must be a whole number of runs, or a list of ids, got %s", errors.describe(value))
end

local function commands_of(list)
  for i, argv in ipairs(list or {}) do
    if type(argv) ~= "table" or type(argv[1]) ~= "string" then
      errors.argument("stoke.evolve: commands[%d] must be a list of words, the first of them a program, got %s", i,
        errors.describe(argv))
    end
  end
  return list or {}
end

--- What judges a candidate is not a candidate: a test, or what is below a folder of tests.
local function judges(self, path)
  for _, judge in ipairs(self.judges) do
    if globs.compile(judge, true)(path) or path:sub(1, #judge + 1) == judge .. "/" then return true end
  end
  return false
end

--- Define what may change, and what a candidate has to pass. Nothing is done yet.
---@param given stoke.evolve.definition
---@return stoke.evolve
---Raises `argument`.
---
--- Example: `local clerks = stoke.evolve { files = "clerk.lua", tests = { "clerk_test.lua" } }`
function M.new(given)
  local o = errors.options(given, OPTIONS, "stoke.evolve")
  if o.files == nil then errors.argument "stoke.evolve: files is missing: what may be changed" end
  local files = list_of(o.files, "files")
  local self = setmetatable({ files = files, name = o.name or files[1], folder = o.folder or folder_of_script(), eval = o.eval,
    tests = o.tests and list_of(o.tests, "tests") or {}, replay = replay_of(o.replay),
    commands = commands_of(o.commands), better = o.better or false,
    slower = factor(o, "slower", 1.5), tokens = factor(o, "tokens", 2), ask = o.ask or false, watch = watch_of(o.watch),
    timeout = o.timeout or 600, env = o.env or {}, rules = {}, judges = {} }, Evolve)
  for i, path in ipairs(files) do self.rules[i] = globs.compile(path, true) end
  table.move(self.tests, 1, #self.tests, 1, self.judges)
  if o.eval then self.judges[#self.judges + 1] = list_of(o.eval, "eval")[1] end
  for _, path in ipairs(files) do
    if judges(self, path) then
      errors.argument("stoke.evolve: %s is what candidates are judged by; it cannot be among `files`", path)
    end
  end
  self.workflow = workflow("evolve " .. self.name, function(proposal) return decide(self, proposal) end)
  return self
end

--- May a candidate change this file?
---@param path string below the project
---@return boolean
---
--- Example: `print(clerks:may "agents/clerk.lua")`
function Evolve:may(path)
  if judges(self, path) then return false end
  for _, fits in ipairs(self.rules) do
    if fits(path) then return true end
  end
  return false
end

-- ---- a proposal -----------------------------------------------------------------------------------------------------------------

local function file_of(self, given, what)
  local only = self.files[1]
  local path = given or not self.files[2] and not only:find "[*?]" and only
    or errors.argument("%s: file is missing: which of %s?", what, table.concat(self.files, ", "))
  list_of(path, "file")
  if not self:may(path) then
    errors.raise("denied", ("%s: %s may not be changed"):format(what, path),
      { hint = "files = { ... } of stoke.evolve names what may" })
  end
  return path
end

--- Propose a new text of a file, and wait until it is kept, refused or taken back.
---@param given { text: string, file?: string, why?: string, id?: string } file: which one, where more than one may be changed; why:
---  what a person reads; id: of its run: proposed again with the same id, it is the same proposal
---@return stoke.evolve.verdict
---Raises `argument`, `denied` for a file that may not be changed, `os`, `limit`, `db`, `cancelled`. What is wrong with the text is
---in the verdict.
---
--- Example: `local verdict = clerks:propose { text = fs.read "clerk.new.lua" }`
function Evolve:propose(given)
  scopes.check_self(self, Evolve, "evolve:propose()")
  local o = errors.options(given, PROPOSAL, "evolve:propose")
  if o.text == nil then errors.argument "evolve:propose: text is missing" end
  if #o.text > LARGEST then
    errors.raise("limit", ("evolve:propose: a text of %d bytes; at most %d are taken"):format(#o.text, LARGEST))
  end
  local run = self.workflow:start({ file = file_of(self, o.file, "evolve:propose"), text = o.text, why = o.why }, { id = o.id })
  local verdict = run:await()
  verdict.run = run.id
  return verdict
end

--- Put the text that is in service to the evaluation: what a better one has to reach.
---@param file? string which one, where more than one may be changed
---@return stoke.evolve.figures
---Raises `argument`, `denied` as `propose`; `script` where it cannot be evaluated, `limit`, `os`.
---
--- Example: `for _, one in ipairs(clerks:measure().failures) do print(one.input, one.why) end`
function Evolve:measure(file)
  scopes.check_self(self, Evolve, "evolve:measure()")
  local job = job_of(self, file_of(self, file, "evolve:measure"))
  if not job.eval then errors.argument "evolve:measure: stoke.evolve was given no eval" end
  return workflow.step("measure", function(step)
    job.key, job.text = key_of(step, job), fs.read(job.path)
    return checks.measure(self, job)
  end, ONCE_MORE)
end

function Evolve:__tostring() return "evolve " .. self.name end

return setmetatable(M, { __call = function(_, given) return M.new(given) end })
