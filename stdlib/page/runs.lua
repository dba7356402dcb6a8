--- The view of a page on what was: the durable runs of a store and the traces that were kept, and any one of them from within. It
--- needs no host that runs, and takes part in none: it reads the files, beside whoever writes them.
---
--- GET /look?view=runs asks for a page of the list (text, state, kind, before); with run=ID or trace=ID for one of them (see
--- stdlib/page/runs/run.lua and trace.lua); with a=ID and b=ID for how two differ. What is done: the order { do = "fork", run =,
--- at =, value =, go = } begins a new run with the first records of another one.

local compare = require "stoke.page.runs.compare"
local core = require "core.runs"
local data = require "stoke.page.data"
local errors = require "core.errors"
local files = require "stoke.page.runs.files"
local json = require "stoke.json"
local lists = require "stoke.page.runs.list"
local run = require "stoke.page.runs.run"
local runs = require "stoke.runs"
local tasks = require "core.task"
local time = require "stoke.time"
local trace = require "stoke.page.runs.trace"
local words = require "stoke.runs.words"

local M = {}

--- Seconds between two looks at whether the files have changed.
local EVERY <const> = 0.5

---@class stoke.page.runs
---@field id string
---@field kind "runs"
---@field title string
---@field files stoke.page.files
local View = {}
View.__index = View

--- A view on the history of a store.
---@param options { store?: string, id?: string, title?: string } store: its path; default: the one that this process has open, that
---  of the settings, of the present folder
---@return stoke.page.runs
---
--- Example: `page:add(runs.new { store = "bot/.stoke/state.db" })`
function M.new(options)
  options = errors.options(options, { store = "string", id = "string", title = "string" }, "page.runs")
  return setmetatable({ id = options.id or "runs", kind = "runs", title = options.title or "History",
    files = files.new(options.store) }, View)
end

--- Has this process the store open, so that a run can be taken up here?
local function is_host(self)
  local own = core.store()
  return own ~= nil and own.path == self.files:store_path()
end

--- The first page of the list; where the files cannot be read, why (`wrong`): the other views of the page go on.
---@return table
---
--- Example: `local picture = view:picture()`
function View:picture()
  local ok, page = pcall(lists.page, self.files, {})
  if not ok then
    local err = errors.wrap(page)
    if err.kind == "cancelled" then error(err, 0) end
    page = { items = json.array(), wrong = data.text(err.message, 1000) }
  end
  page.view, page.store, page.host = self.id, data.text(self.files:store_path(), 500), is_host(self)
  page.traces = data.text(self.files:traces_path(), 500)
  return page
end

--- Tell browsers that something was written; what they show they ask for anew.
---@param stream stoke.page.stream
---Raises `cancelled`.
---
--- Example: `tasks.spawn(view.follow, {}, view, page.stream)`
function View:follow(stream)
  local _ <close> = setmetatable({}, { __close = function() self.files:close() end })
  local last
  while true do
    if stream.count == 0 then self.files:close() end
    stream:watched()
    local token = self.files:token()
    if last and last ~= token then stream:publish("change", { view = self.id }) end
    last = token
    time.sleep(EVERY)
  end
end

--- It is never closed: what was stays.
---@return boolean
---
--- Example: `assert(not view:closed())`
function View:closed() return false end

--- What a browser asks for.
---@param asked table<string, string>
---@return table
---Raises `argument`, `usage`, `db`.
---
--- Example: `local page = view:look { state = "failed" }`
function View:look(asked)
  if asked.a and asked.b then return compare.look(self.files, asked.a, asked.b) end
  if asked.run then return run.look(self.files, asked) end
  if asked.trace then return trace.look(self.files, asked) end
  return lists.page(self.files, asked)
end

-- ---- what may be done -----------------------------------------------------------------------------------------------------------

--- Take a run up in this process, which has its store. What becomes of it is in the store, also where it fails.
local function take_up(id)
  tasks.spawn(function() pcall(core.resume, id) end, { name = "page.run", system = true })
  return true
end

--- A new run that begins with the records of another one, up to one of them.
local function fork(self, order)
  local of, at = order.run, math.tointeger(order.at)
  if type(of) ~= "string" then errors.raise("argument", "run must be the id of a run") end
  if not at or at < 0 then errors.raise("argument", "at must be the number of the last record that both runs share") end
  local path = self.files:store_path()
  if not path then errors.raise("argument", "there is no store of durable runs") end
  local found = run.find(self.files, of)
  local set = order.value ~= nil and { [at] = order.value } or nil
  local made = runs.fork(found.id, { at = at, set = set, store = path })
  local goes = order.go == true and is_host(self) and take_up(made.id)
  return { run = made.id, goes = goes, command = "stoke resume " .. words.id(made) }
end

local DOES = { fork = fork }

--- Do what somebody at the page wants.
---@param order table { ["do"] = "fork", run = string, at = integer, value?: any, go?: boolean } value: another outcome of the
---  record `at`; go: the new run is taken up at once, where the page is its host's
---@return { run: string, goes: boolean, command: string } made
---Raises `argument`, `usage`, `db`.
---
--- Example: `view:act { ["do"] = "fork", run = "trip-7", at = 4, go = true }`
function View:act(order)
  local what = order["do"]
  local f = DOES[what]
  if f then return f(self, order) end
  errors.raise("argument", type(what) == "string" and ("a history cannot be told to %s"):format(data.text(what, 60))
    or "do is missing: what is to be done", { hint = "fork" })
end

return M
