-- stoke run --durable[=ID] FILE: the whole of stoke.main is one durable run.

local env = require "core.env"
local errors = require "core.errors"
local runs = require "core.runs"
local script = require "core.script"
local stdio = require "core.stdio"
require "stoke.workflow"

local function say(format, ...) stdio.err("stoke: " .. format:format(...) .. "\n") end

local function quoted(word) return word:find "[^%w_./:@%%+-]" and "'" .. word:gsub("'", "'\\''") .. "'" or word end

-- What ends the process leaves the run; a person is told how to go on with it.
local function reminder(id, path)
  return setmetatable({}, { __close = function(left)
    if not left.done then say("run %s is kept: stoke run --durable=%s %s goes on with it", id, quoted(id), quoted(path)) end
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

---@param path string
---@param argv string[] the script's own words
---@param id? string
return function(path, argv, id)
  return script.run_file(path, argv, function(body)
    body()
    local main = script.main
    if not main then errors.raise("usage", ("%s has no stoke.main that could be durable"):format(path)) end
    local name = "main:" .. (path:match "[^/]+$" or path)
    local definition = { name = name, f = function(words) return main(words) end }
    runs.defined[name] = definition
    local made = id or runs.new_id()
    local run, existed = runs.start(name, argv, made, definition)
    local left <close> = reminder(made, path)
    if not id then say("run %s", made) end
    if existed and runs.ended(run) then
      left.done = true
      say("run %s has ended: %s, %s", made, run.state, env.globals.os.date("%Y-%m-%d %H:%M:%S", run.changed // 1 | 0))
      if run.error then error(run.error, 0) end
      return run.result
    end
    if not runs.live[made] and run.state ~= "parked" then say("another process has run %s; this one waits for its end", made) end
    return wait_for(made, left)
  end)
end
