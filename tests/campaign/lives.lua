-- One durable program: left alone, and killed until it has ended; then the two are compared.

local about = require "core.about"
local errors = require "core.errors"
local fs = require "stoke.fs"
local json = require "stoke.json"
local proc = require "stoke.proc"
local stoke = require "stoke"
local stores = require "core.store"
local worlds = require "world"

local M = {}

M.SECONDS = 60 -- a process that takes longer hangs

---@class campaign.case
---@field program table of programs.lua
---@field id string of the run
---@field folder string where it runs
---@field store string
---@field script string
---@field world campaign.world
---@field random fun(n?: integer): number
local Case = {}
Case.__index = Case

--- A generator of its own, so that a seed means the same everywhere.
---@param seed integer
---@return fun(n?: integer): number from 0 to 1, or a whole one from 1 to n
function M.numbers(seed)
  local state = (seed * 2654435761 + 12345) % 4294967296
  return function(n)
    state = state ~ (state << 13) & 0xffffffff
    state = state ~ (state >> 17)
    state = state ~ (state << 5) & 0xffffffff
    local part = (state - 1) / 4294967296
    return n and math.floor(part * n) + 1 or part
  end
end

---@param given { program: table, id: string, folder: string, store?: string, script: string, seed: integer }
---@return campaign.case with `<close>`
function M.new(given)
  local case = setmetatable(given, Case)
  fs.mkdir(case.folder, { parents = true })
  case.store = case.store or case.folder .. "/state.db"
  case.world, case.random = worlds.new(), M.numbers(case.seed)
  case.shown, case.kills, case.doubts, case.lives, case.seconds = {}, 0, 0, 0, 0
  case.told = {}
  return case
end

Case.__close = function(case) case.world:__close() end

-- ---- a life --------------------------------------------------------------------------------------------------------------------

local function read_all(p, from)
  local parts = {}
  for bytes in function() return p:read(nil, from) end do parts[#parts + 1] = bytes end
  return table.concat(parts)
end

local function argv(case)
  return { about.executable(), "--store", case.store, "--endpoint", case.world.url, "run", "--durable=" .. case.id, case.script,
    case.world.url }
end

local function environment(case, extra)
  local env = { HOME = case.folder, PATH = "/usr/bin:/bin" }
  for name, value in next, extra or {} do env[name] = value end
  return env
end

--- Run it once, and kill it after so many seconds unless it has ended by then.
---@param seconds? number
---@param extra? table<string, string> environment
---@return table status
---@return string stderr
function Case:life(seconds, extra)
  self.lives = self.lives + 1
  local p <close> = proc.spawn { argv = argv(self), cwd = self.folder, env = environment(self, extra), stdin = false,
    stderr = "capture" }
  local scope <close> = stoke.scope {}
  local out, err, hangs
  local readers = { scope:spawn(function() out = read_all(p, "stdout") end),
    scope:spawn(function() err = read_all(p, "stderr") end) }
  local killer = scope:spawn(function()
    stoke.sleep(seconds or M.SECONDS)
    hangs = not seconds
    p:kill "SIGKILL"
  end)
  local status = p:wait()
  killer:cancel()
  for _, reader in ipairs(readers) do reader:await() end
  self.seconds = self.seconds + status.seconds
  if hangs then self.world:breaks("hang: it did not end within %d s: %s", M.SECONDS, err) end
  if status.signal == "SIGKILL" then self.kills, self.world.killed = self.kills + 1, true end
  self.shown[#self.shown + 1] = out
  self.world:seen(out:gsub("P<", "p<"), "a print")
  if err ~= "" then self.told[#self.told + 1] = err end
  if err:find "internal error" or err:find "attempt to" or err:find "stack traceback" then
    self.world:breaks("words: %s", err)
  end
  return status, err
end

-- ---- what a person would do ----------------------------------------------------------------------------------------------------

--- Open the store of a case for a moment.
function Case:with_store(f)
  local store = errors.check(stores.open(self.store))
  local _ <close> = setmetatable({}, { __close = function() store:close() end })
  return f(store, errors.check(store:find(self.id)))
end

-- Does the world have a trace of what is called so? Then also what it would have returned.
local function trace(case, name)
  local act = name:match "^w:(.*)$"
  if act then
    local done = case.world.acts["u/" .. act]
    return done and done.answer
  end
  local file, line = name:match "^f:([^:]*):(.*)$"
  if not file then return nil end
  local path = case.folder .. "/" .. file
  local text = fs.stat(path) and fs.read(path) or ""
  return ("\n" .. text):find("\n" .. line .. "\n", 1, true) and line or nil
end

-- What is in doubt: begun, without an outcome; in the body of another effect only while that one has none. Gives the row that
-- what is said of it settles: its own, or the one whose body it is in.
local function doubtful(rows, row)
  if not row.intent or row.outcome then return nil end
  if not row.inside then return row end
  for _, outer in ipairs(rows) do
    if not outer.inside and not outer.outcome and row.key:sub(1, #outer.key + 1) == outer.key .. "/" then return outer end
  end
end

local function resolve_in(case, store, run)
  local parts = errors.check(store:load(run))
  local settled, any = {}, false -- of the steps in one body the first one is settled; bodies side by side each have one
  for _, row in ipairs(parts.rows) do
    local outer = doubtful(parts.rows, row)
    if outer and not settled[outer] then
      local done = trace(case, row.request.name or "")
      errors.check(true, select(2, store:resolve(run.id, row.key, done and { value = done } or { retry = true })))
      if row.inside then settled[outer] = true end
      any = true
    end
  end
  return any
end

--- Say of what is in doubt whether the world has seen it, of a run or of those that it has started.
---@return boolean any
function Case:resolve()
  self.doubts = self.doubts + 1
  return self:with_store(function(store)
    local any = false
    for _, run in ipairs(errors.check(store:list { state = { "parked", "running", "waiting" } })) do
      if run.id == self.id or self.program.name == "children" and run.workflow == "small" and run.input.base == self.world.url then
        any = resolve_in(self, store, run) or any
      end
    end
    return any
  end)
end

local function signal_next(case)
  local list = case.program.signals
  case.sent = case.sent or 0
  if not list or case.sent >= #list then return end
  case.sent = case.sent + 1
  case:with_store(function(store) errors.check(true, select(2, store:signal(case.id, "word", list[case.sent]))) end)
end

local function signals_left(case)
  while case.program.signals and (case.sent or 0) < #case.program.signals do signal_next(case) end
end

-- ---- from beginning to end -----------------------------------------------------------------------------------------------------

local POINTS <const> = { "before-commit", "after-commit-before-ack", "in-append", "checkpoint", "intent", "before-outcome",
  "barrier", "resume", "live" }

-- How this life is to end: after some time, or at a point.
local function doom(case, usual)
  if case.random() < 0.5 then return case.random() * case.random() * usual end
  local point = POINTS[case.random(#POINTS)]
  local pass = case.random() < 0.7 and case.random(4) or case.random(40)
  return nil, { STOKE_FAULT = ("%s:%d"):format(point, pass) }
end

-- Is there a run of this id yet? One that was killed before is made by its next life.
local function known(case)
  if not fs.stat(case.store) then return false end
  return case:with_store(function(_, run) return run ~= nil end)
end

local function ended(case, status, err)
  if status.signal == "SIGKILL" then return false end
  if status.code == 0 then return true end
  if err:find "in_doubt" or err:find "in doubt" then
    if not case:resolve() then case.world:breaks("in doubt, and nothing is: %s", err) return true end
    return false
  end
  case.world:breaks("end: it ended with %s: %s", status.code or status.signal, err)
  return true
end

--- Kill it up to so many times, then let it end.
---@param kills integer
---@param usual number seconds that it takes when it is left alone
function Case:survive(kills, usual)
  for _ = 1, kills * 6 + 40 do
    local seconds, extra
    if self.kills < kills then seconds, extra = doom(self, usual) end
    if extra and self.program.signals then seconds = usual end -- it may wait for the next signal
    if self.program.signals and known(self) then
      if self.kills >= kills then signals_left(self) else signal_next(self) end
    end
    local how = extra and extra.STOKE_FAULT or seconds and ("%.3f s"):format(seconds) or "none"
    if how ~= "none" then self.dooms = (self.dooms and self.dooms .. ", " or "") .. how end
    if ended(self, self:life(seconds, extra)) then return end
  end
  self.world:breaks("end: it never ends: %s", self.told[#self.told])
end

--- Leave it alone. Returns how it ended.
function Case:alone()
  local scope <close> = stoke.scope {}
  if self.program.signals then -- a run has to be there before a signal is sent to it
    scope:spawn(function()
      while not known(self) do stoke.sleep(0.01) end
      signals_left(self)
    end)
  end
  local status, err = self:life()
  scope:wait()
  if status.code ~= 0 then self.world:breaks("alone: %s", err) end
  return self:result()
end

--- What is kept of its end.
---@return { state: string, result: any, printed: integer, shown: string }
function Case:result()
  return self:with_store(function(_, run)
    return { state = run.state, result = run.result, printed = run.printed, error = run.error and tostring(run.error),
      shown = table.concat(self.shown) }
  end)
end

-- ---- comparing -----------------------------------------------------------------------------------------------------------------

local function lines_of(text)
  local count, list = {}, {}
  for line in text:gmatch "[^\n]+" do
    count[line] = (count[line] or 0) + 1
    list[#list + 1] = line
  end
  return count, list
end

--- What is not as in the run that was left alone is said to the world. Returns prints that were lost in a kill.
---@param alone table of Case:result
---@return integer lost
function Case:compare(alone)
  local world, own = self.world, self:result()
  local function encode(value) return value == nil and "nothing" or json.encode(value) end
  if own.state ~= alone.state then world:breaks("state: %s in place of %s: %s", own.state, alone.state, own.error) end
  if encode(own.result) ~= encode(alone.result) then
    world:breaks("result: %s in place of %s", encode(own.result), encode(alone.result))
  end
  if own.printed ~= alone.printed then world:breaks("printed: %d texts in place of %d", own.printed, alone.printed) end
  local count, usual = lines_of(own.shown), lines_of(alone.shown)
  local lost = 0
  for line, n in next, count do
    if n > (usual[line] or 0) then world:breaks("printed: %d times %q, alone %d", n, line:sub(1, 60), usual[line] or 0) end
  end
  for line, n in next, usual do lost = lost + n - math.min(n, count[line] or 0) end
  for line, where in next, world.expected do
    if not own.shown:find("P<" .. line .. ">", 1, true) then world:breaks("lost: P<%s> was not shown before %s", line, where) end
  end
  return lost
end

return M
