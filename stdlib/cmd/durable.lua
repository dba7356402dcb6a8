-- stoke run --durable[=ID] FILE: the whole of stoke.main is one durable run.

local approve = require "stoke.approve"
local errors = require "core.errors"
local modules = require "core.modules"
local runs = require "core.runs"
local script = require "core.script"
local stdio = require "core.stdio"
local term = require "stoke.term"
local texts = require "core.text"
local words = require "stoke.runs.words"
require "stoke.workflow"

local function say(format, ...) stdio.err("stoke: " .. term.clean(format:format(...)) .. "\n") end

-- Tells a person how to go on with a run that this process leaves.
local function reminder(run, path)
  local again = ("stoke run --durable=%s %s"):format(texts.word(run.id), texts.word(path))
  if not texts.typable(run.id) then again = "stoke resume " .. runs.typed(run) end
  return setmetatable({}, { __close = function(left)
    if not left.done then say("run %s is kept: %s continues it", approve.visible(run.id), again) end
  end })
end

-- Waits for the end of a run, and raises what it raised.
local function wait_for(id, left)
  local ended, err = runs.await(id)
  if err then
    left.done = err.kind ~= "cancelled"
    error(err, 0)
  end
  left.done = true
  if ended.error then error(ended.error, 0) end
  return ended.result
end

--- The run of this id, where there is one that has not ended.
local function living(id)
  local store = id and runs.find_store() and runs.open()
  local run = store and store:find(id)
  return run and not runs.ended(run) and run or nil
end

--- The file does not load any more: its run goes on with the sources that it keeps.
local function without_file(path, id, problem)
  local run = errors.wrap(problem).kind ~= "cancelled" and living(id) or nil
  if not run then error(problem, 0) end
  say("%s does not load any more (%s); run %s continues on the code it began with", path,
    errors.wrap(problem).message, approve.visible(id))
  local left <close> = reminder(run, path)
  local results = table.pack(pcall(runs.resume, id))
  left.done = results[1] or errors.wrap(results[2]).kind ~= "cancelled"
  if not results[1] then error(results[2], 0) end
  return results[2]
end

local function no_main(path)
  errors.raise("usage", ("%s has no stoke.main, which is what a durable run does"):format(path),
    { hint = "put what the script does into it: stoke.main(function(args) ... end)" })
end

--- The file that is run does not even name it: nothing of its body is done before that is said. A run that was begun goes on.
local function check_main(path, id)
  if living(id) then return end
  for _, file in ipairs(modules.list) do
    if file.path == path and not file.name and not file.text:find("main", 1, true) then no_main(path) end
  end
end

---@param path string
---@param argv string[] the script's own words
---@param id? string
return function(path, argv, id)
  return script.run_file(path, argv, function(body)
    check_main(path, id)
    local loaded, problem = pcall(body)
    if not loaded then return without_file(path, id, problem) end
    local main = script.main
    if not main then no_main(path) end
    local name = "main:" .. (path:match "[^/]+$" or path)
    local definition = { name = name, f = function(given) return main(given) end }
    runs.defined[name] = definition
    local made = id or runs.new_id()
    local run, existed = runs.start(name, argv, made, definition)
    local left <close> = reminder(run, path)
    if not id then say("run %s", made) end
    if existed and runs.ended(run) then
      left.done = true
      say("run %s has ended: %s, %s", approve.visible(made), run.state, words.date(run.changed))
      if run.error then error(run.error, 0) end
      return run.result
    end
    if not runs.live[made] and run.state ~= "parked" then
      say("another process has run %s; this one waits for its end", approve.visible(made))
    end
    return wait_for(made, left)
  end)
end
