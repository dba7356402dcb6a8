--- Connections of the PostgreSQL engine: made when they are needed, made again when they were lost, and asked again what can be
--- asked again. Two of them, so that claims and looks do not stand behind what is large, and two commits share one way to the disk.

local errors = require "core.errors"
local host = require "host.task"
local monotonic = require "host.time".monotonic
local pg = require "host.pg"
local rand = require "host.rand"
local schema = require "core.engine.postgres.schema"
local tasks = require "core.task"

local M = {}

--- Seconds for which a server that is away is tried again; between two tries, at first and at most.
M.PATIENCE, M.FIRST, M.MOST = 30, 0.05, 1
--- How often a transaction is begun again that others were in the way of.
local CLASHES <const> = 20

--- All that is asked is found by an index: plans that are made while the tables are small must not last as scans of large ones.
local SESSION <const> = { "SET enable_seqscan = off", "SET enable_hashjoin = off", "SET enable_mergejoin = off", "SET jit = off" }

--- Of the system, not of a script's seed: two processes with one seed make different calls.
local generator = rand.new()

--- A number that no other call has.
---@return integer
function M.call() return generator:int(math.mininteger, math.maxinteger) end

---@class core.engine.postgres.link
---@field url string
---@field name string the URL without a password
---@field closed boolean
---@field conns table<"look"|"write", userdata>
---@field opening table<string, table[]> who waits for one that is being made
---@field changes table<string, integer> how often something of a name has changed
---@field waiters table<string, table<thread, true>>
---@field news table<string, true> names that others are to be told of
local Link = {}
Link.__index = Link

--- Errors of a server or a connection that is away, which may come back.
local function away(err)
  local state = rawget(err, "sqlstate") or ""
  return (err.kind == "refused" or err.kind == "timeout" or err.kind == "unreachable" or state == "53300" or state:find "^57P")
end

local function clash(err)
  local state = rawget(err, "sqlstate")
  return state == "40001" or state == "40P01"
end

function Link:over() return errors.new("cancelled", ("the queue %s was closed"):format(self.name)) end

--- An error, with whose it is.
function Link:explain(err)
  if err.kind == "cancelled" or err.message:find("the queue ", 1, true) == 1 then return err end
  local hint = rawget(err, "hint")
  if rawget(err, "sqlstate") == "42883" or rawget(err, "sqlstate") == "42P01" then
    hint = "its schema stoke is incomplete: DROP SCHEMA stoke CASCADE, and all of its streams are gone, or restore a backup"
  end
  return errors.new(err.kind, ("the queue %s: %s"):format(self.name, err.message),
    { hint = hint, sqlstate = rawget(err, "sqlstate"), phase = rawget(err, "phase") })
end

-- ---- changes ----------------------------------------------------------------------------------------------------------------

--- Something of this name has changed: wake who waits for it here.
function Link:wake(name)
  self.changes[name] = (self.changes[name] or 0) + 1
  local list = self.waiters[name]
  if not list then return end
  self.waiters[name] = nil
  for co in next, list do host.wake(co) end
end

function Link:wake_all()
  for name in next, self.waiters do self:wake(name) end
end

--- Wait until something of a name has changed since it was `seen`.
---@param name string
---@param seen integer
---@param seconds number
---@return boolean|nil true; nil and an error
---@return stoke.error|nil err
function Link:await(name, seen, seconds)
  local co = host.enter "queue".co
  if self.closed then return nil, self:over() end
  if (self.changes[name] or 0) ~= seen then return true end
  self.waiters[name] = self.waiters[name] or {}
  self.waiters[name][co] = true
  local woken, err = host.park("queue", seconds)
  if self.waiters[name] then
    self.waiters[name][co] = nil
    if not next(self.waiters[name]) then self.waiters[name] = nil end
  end
  if woken == nil then return nil, err end
  if self.closed then return nil, self:over() end
  return true
end

--- Hear what other processes tell, as long as the connection lives.
local function listen(self, conn)
  while true do
    local name, lost = conn:next()
    if name == nil or self.closed then break end
    if name then self:wake(name) end
    if lost then self:wake_all() end
  end
  self:wake_all() -- what was told meanwhile is not known: they look
end

--- Tell other processes. Those who miss it look within a second.
local function tell(self)
  while next(self.news) and not self.closed do
    local names = { array = "text", n = 0 }
    for name in next, self.news do
      names.n = names.n + 1
      names[names.n] = name
    end
    self.news = {}
    self:ask("look", { { "SELECT pg_notify('stoke', n) FROM unnest($1::text[]) n", names } })
  end
  self.telling = false
end

--- Something of this name has changed, for everybody.
function Link:changed(name)
  self:wake(name)
  self.news[name] = true
  if self.telling then return end
  self.telling = true
  tasks.spawn(tell, { system = true, name = "queue" }, self)
end

-- ---- connections ------------------------------------------------------------------------------------------------------------

--- Connect, and see that the schema is there.
local function connect(self, which)
  local conn, err = pg.connect(self.url)
  if not conn then return nil, err end
  local ok
  ok, err = schema.check(conn)
  if ok then
    local job = {}
    for i, sql in ipairs(SESSION) do job[i] = { sql } end
    if which == "look" then job[#job + 1] = { "LISTEN stoke" } end
    ok, err = conn:run(job, true)
  end
  if ok and self.closed then ok, err = nil, self:over() end
  if ok then return conn end
  conn:close()
  return nil, err
end

--- One that lives; whoever comes first makes it, the others wait for that.
local function connected(self, which)
  local conn = self.conns[which]
  if conn and conn:alive() then return conn end
  local list = self.opening[which]
  if not list then
    list = {}
    self.opening[which] = list
    if conn then conn:close() end
    tasks.spawn(function()
      local made, err = connect(self, which)
      self.conns[which], self.opening[which] = made, nil
      if made and which == "look" then tasks.spawn(listen, { system = true, name = "queue" }, self, made) end
      list.over, list.err = true, err
      for _, co in ipairs(list) do host.wake(co) end
    end, { system = true, name = "queue" })
  end
  list[#list + 1] = host.enter "queue".co
  while not list.over do
    local woken, err = host.park "queue"
    if woken == nil then return nil, err end
  end
  if list.err then return nil, list.err end
  return self.conns[which]
end

--- Do a job; while the server is away, again.
---@param which "look"|"write" the connection
---@param job table[] statements of host.pg: all or none of them are done, and they may be done twice
---@return table[]|nil results
---@return stoke.error|nil err
function Link:ask(which, job)
  local last, pause, clashes = monotonic() + M.PATIENCE, M.FIRST, 0
  while true do
    if self.closed then return nil, self:over() end
    local results
    local conn, err = connected(self, which)
    if conn then results, err = conn:run(job) end
    if results then return results end
    local again = err.kind == "overloaded" and not rawget(err, "sqlstate") and conn -- too much is on the way already
    if clash(err) and clashes < CLASHES then
      clashes, again = clashes + 1, true
    end
    if self.closed and err.kind == "cancelled" then return nil, self:over() end
    if err.kind == "cancelled" or not (again or away(err) and monotonic() < last) then return nil, self:explain(err) end
    local woken, cancelled = host.park("queue", pause * (0.5 + generator:float()))
    if woken == nil then return nil, cancelled end
    if not again then pause = math.min(pause * 2, M.MOST) end
  end
end

function Link:close()
  self.closed = true
  for _, conn in next, self.conns do conn:close() end
  self.conns = {}
  self:wake_all()
end

--- A link whose first connection is made.
---@param url string
---@param name string
---@return core.engine.postgres.link|nil
---@return stoke.error|nil err
function M.open(url, name)
  local self = setmetatable({ url = url, name = name, closed = false, conns = {}, opening = {}, changes = {}, waiters = {},
    news = {}, telling = false }, Link)
  local conn, err = connected(self, "write")
  if conn then return self end
  return nil, self:explain(err)
end

return M
