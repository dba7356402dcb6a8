--- A run that stands still, looked into: the script's frames of a task with their locals, the run's tasks, its scopes.

local env = require "core.env"
local errors = require "core.errors"
local scopes = require "core.scope"
local source = require "core.source"
local tasks = require "core.task"
local term = require "stoke.term"

local M = {}

--- Levels of a stack that are looked at; locals that are listed; a value's columns there.
local LEVELS <const>, LOCALS <const> = 200, 60

-- ---- frames -----------------------------------------------------------------------------------------------------------------

---@class stoke.runs.frame
---@field level integer of the coroutine's stack
---@field func function
---@field at string "file:line"
---@field name? string of the function
---@field text? string the line

--- The name of a file; the run has its own text of it.
local function own_path(text) return (text:gsub(" %(as the run has it%)", "")) end

local function is_script(info)
  return info.what ~= "C" and not info.short_src:find "^stoke:" and not info.source:find("=stoke:", 1, true)
end

local function line_of(chunkname, number)
  local text, n = source.text(chunkname), 0
  for l in ((text or "") .. "\n"):gmatch "([^\n]*)\n" do
    n = n + 1
    if n == number then return text and l:match "^%s*(.-)%s*$" or nil end
  end
end

--- The frames of a coroutine that are the script's, the innermost first.
---@param co thread
---@return stoke.runs.frame[]
---
--- Example: `for _, frame in ipairs(inside.frames(co)) do print(frame.at, frame.name) end`
function M.frames(co)
  local out = {}
  for level = 0, LEVELS do
    local info = debug.getinfo(co, level, "Slnf")
    if not info then break end
    if is_script(info) then
      local path = own_path(info.short_src)
      local caller = info.what ~= "main" and debug.getinfo(co, level + 1, "S")
      local name = caller and is_script(caller) and info.name ~= "?" and info.name or nil
      if info.what == "main" then name = "the file's body" end
      out[#out + 1] = { level = level, func = info.func, at = ("%s:%d"):format(path, info.currentline), name = name,
        text = line_of(info.source, info.currentline) }
    end
  end
  return out
end

--- The locals of a frame, and the variables of functions around it: the innermost of a name last.
---@param co thread
---@param frame stoke.runs.frame
---@return { name: string, value: any, outer?: boolean }[]
---
--- Example: `for _, var in ipairs(inside.locals(co, frame)) do print(var.name, var.value) end`
function M.locals(co, frame)
  local out = {}
  for i = 1, math.huge do
    local name, value = debug.getupvalue(frame.func, i)
    if not name then break end
    if name ~= "" and name ~= "_ENV" then out[#out + 1] = { name = name, value = value, outer = true } end
  end
  for i = 1, math.huge do
    local name, value = debug.getlocal(co, frame.level, i)
    if not name then break end
    if not name:find "^%(" then out[#out + 1] = { name = name, value = value } end
  end
  return out
end

--- The globals of a function: its _ENV, or those of scripts.
local function globals_of(func)
  for i = 1, math.huge do
    local name, value = debug.getupvalue(func, i)
    if not name then return env.globals end
    if name == "_ENV" and type(value) == "table" then return value end
  end
end

--- What names mean in a frame; nothing can be assigned.
---@param co thread
---@param frame? stoke.runs.frame
---@param names? table<string, any> that are there, too
---@return table
---
--- Example: `local f = load("return city", "=entry", "t", inside.environment(co, frame))`
function M.environment(co, frame, names)
  local known, values = {}, {}
  for _, var in ipairs(frame and M.locals(co, frame) or {}) do known[var.name], values[var.name] = true, var.value end
  local globals = frame and globals_of(frame.func) or env.globals
  return setmetatable({}, { __index = function(_, name)
    if known[name] then return values[name] end
    if names and names[name] ~= nil then return names[name] end
    local ok, value = pcall(function() return globals[name] end)
    if ok then return value end
    errors.raise("script", ("%s is neither a local of this place nor a global"):format(name), { hint = ":locals lists them" })
  end, __newindex = function(_, name)
    errors.raise("argument", ("%s cannot be assigned: the run is a recording, and is not changed here"):format(tostring(name)),
      { hint = "stoke fork ID --set N=JSON makes another run of it" })
  end })
end

-- ---- tasks and scopes -------------------------------------------------------------------------------------------------------

local function label_of(task) return term.clean(tostring(task.name or "task")) end

local function of_run(schedule)
  local out = {}
  for _, entry in ipairs(tasks.list(true)) do
    if entry.task.schedule == schedule then out[#out + 1] = entry end
  end
  return out
end

--- The tasks of a run, as rows of a table.
---@param schedule stoke.schedule
---@param stopped? stoke.task the one that the run stands still in
---@param columns? integer of the terminal
---@return string
---
--- Example: `io.write(inside.tasks(task.schedule, task))`
function M.tasks(schedule, stopped, columns)
  local rows = { { "TASK", "NAME", "WAITS FOR", "AT", "SPAWNED AT" } }
  for i, entry in ipairs(of_run(schedule)) do
    local here = entry.task == stopped
    rows[i + 1] = { (here and "*" or "") .. i, label_of(entry), here and "(stands still here)" or entry.waits or "(is ready)",
      own_path(entry.at or ""), own_path(entry.site or "") }
  end
  return #rows == 1 and "no task\n" or term.layout(rows, { columns = columns })
end

--- The task of a number in that list.
---@param schedule stoke.schedule
---@param number integer
---@return stoke.task|nil
---
--- Example: `local task = inside.task(schedule, 2)`
function M.task(schedule, number)
  local entry = of_run(schedule)[number]
  return entry and entry.task
end

local function about(scope)
  local parts = {}
  local budget = rawget(scope, "budget") or scope.context and scope.context.budget
  if scope.alarm then parts[#parts + 1] = "a deadline" end
  if scope.shield then parts[#parts + 1] = "a shield" end
  if budget and type(budget.used) == "table" then
    parts[#parts + 1] = ("budget used: %d tokens, %d calls"):format(budget.used.tokens or 0, budget.used.calls or 0)
  end
  if scope.cancelled then parts[#parts + 1] = "cancelled: " .. tostring(scope.cancelled.message) end
  return #parts > 0 and "  (" .. table.concat(parts, ", ") .. ")" or ""
end

local function add(out, scope, depth, name)
  out[#out + 1] = ("%s%s%s\n"):format(("  "):rep(depth), name, term.clean(about(scope)))
end

--- A task's own stack of scopes, the outermost first.
local function opened(task)
  local list, scope = {}, task.scope
  while scope and scope ~= task do
    table.insert(list, 1, scope)
    scope = scope.outer
  end
  return list
end

local function children(out, scope, depth, stopped, walk)
  local child = scope.first
  while child do
    walk(out, child, depth, stopped)
    child = child.next
  end
end

local function walk(out, task, depth, stopped)
  add(out, task, depth, ("task %s%s"):format(label_of(task), task == stopped and "  * the run stands still here" or ""))
  children(out, task, depth + 1, stopped, walk)
  for i, scope in ipairs(opened(task)) do
    add(out, scope, depth + i, "scope")
    children(out, scope, depth + i + 1, stopped, walk)
  end
end

--- The tree of a run's tasks and the scopes they have open.
---@param root stoke.task
---@param stopped? stoke.task
---@return string
---
--- Example: `io.write(inside.scopes(root, task))`
function M.scopes(root, stopped)
  local out = {}
  walk(out, root, 0, stopped)
  return table.concat(out)
end

--- The root task of a run.
---@param task stoke.task one of it
---@return stoke.task
---
--- Example: `local root = inside.root(task)`
function M.root(task)
  local up = task.up
  while up do
    local owner = up.task or up
    if owner.schedule ~= task.schedule or owner == task then break end
    task, up = owner, owner.up
  end
  return task
end

-- ---- entries ------------------------------------------------------------------------------------------------------------------

--- Instructions of Lua that an entry may run.
local LIMIT <const> = 100 * 1000 * 1000

local function too_long() errors.raise("limit", "the entry did not end: it was broken off") end

--- Run an entry without the world: an effect is refused.
---@param text string an expression, or statements
---@param environment table
---@return table results packed
---Raises what the entry raises; `denied` for an effect in it.
---
--- Example: `local results = inside.eval("city", inside.environment(co, frame))`
function M.eval(text, environment)
  local chunk = load("return " .. text, "=entry", "t", environment)
  local problem
  if not chunk then chunk, problem = load(text, "=entry", "t", environment) end
  if not chunk then errors.raise("script", problem) end
  local scope <close> = scopes.open {}
  local reason = errors.new("denied", "the run stands still: here nothing is done, only looked at",
    { hint = ":step goes on with the run" })
  scope.cancelled, scope.overdue, scope.aside = reason, true, true
  debug.sethook(too_long, "", LIMIT)
  local results = table.pack(pcall(chunk))
  debug.sethook()
  if not results[1] then error(results[2], 0) end
  return table.pack(table.unpack(results, 2, results.n))
end

M.LOCALS = LOCALS

return M
