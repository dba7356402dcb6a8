-- stoke run --durable[=ID] FILE: the whole of stoke.main is one durable run.

local env = require "core.env"
local errors = require "core.errors"
local modules = require "core.modules"
local runs = require "core.runs"
local script = require "core.script"
local stdio = require "core.stdio"
require "stoke.workflow"

local function say(format, ...) stdio.err("stoke: " .. format:format(...) .. "\n") end

local function quoted(word) return word:find "[^%w_./:@%%+-]" and "'" .. word:gsub("'", "'\\''") .. "'" or word end

-- An id may be any bytes; a terminal is shown none that it would obey.
local function shown(id)
  if utf8.len(id) and not id:find "%c" then return id end
  return (id:gsub("[^\x20-\x7E]", function(c) return ("\\x%02X"):format(c:byte()) end))
end

-- What ends the process leaves the run; a person is told how to go on with it.
local function reminder(id, path)
  return setmetatable({}, { __close = function(left)
    if not left.done then say("run %s is kept: stoke run --durable=%s %s goes on with it", shown(id), quoted(id), quoted(path)) end
  end })
end

-- Wait for its end: what it raises is raised here.
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

--- The file is gone, or does not load any more: a run that was begun with it goes on on the sources that it keeps.
local function without_file(path, id, problem)
  if errors.wrap(problem).kind == "cancelled" or not living(id) then error(problem, 0) end
  say("%s does not load any more (%s); run %s goes on with the code that it was begun with", path,
    errors.wrap(problem).message, shown(id))
  local left <close> = reminder(id, path)
  local results = table.pack(pcall(runs.resume, id))
  left.done = results[1] or results[2].kind ~= "cancelled"
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
    local definition = { name = name, f = function(words) return main(words) end }
    runs.defined[name] = definition
    local made = id or runs.new_id()
    local run, existed = runs.start(name, argv, made, definition)
    local left <close> = reminder(made, path)
    if not id then say("run %s", shown(made)) end
    if existed and runs.ended(run) then
      left.done = true
      say("run %s has ended: %s, %s", shown(made), run.state, env.globals.os.date("%Y-%m-%d %H:%M:%S", run.changed // 1 | 0))
      if run.error then error(run.error, 0) end
      return run.result
    end
    if not runs.live[made] and run.state ~= "parked" then
      say("another process has run %s; this one waits for its end", shown(made))
    end
    return wait_for(made, left)
  end)
end
