--- The replay gate: the recorded outcome instead of the work, or the work and a recording of it.
---
--- What is recorded, and where, is the tape's own business (stdlib/test/cassette.lua), and which one is the context's
--- (lua/context.lua). The gate hands it what an effect was asked and what came of it, and gives an outcome back as the driver would
--- have: after as long, a stream piece by piece. It stands round policy, budget and retries: a call that was tried again is one
--- outcome, and so is one that was refused. A replayed run is not asked about again, and its budget counts without refusing. Only
--- effects that say `taped` come here.

local host = require "host.task"
local monotonic = require "host.time".monotonic

local M = {}

---@class stoke.tape
---@field recording boolean
---@field knows? fun(self, name: string): boolean is there any outcome of this effect?
---@field take fun(self, name: string, q: any): stoke.tape.entry|nil, stoke.error? the outcome to replay; nil and why there is none
---@field open fun(self, name: string, q: any): stoke.tape.entry an effect begins
---@field put fun(self, entry: stoke.tape.entry, kind: string, at: number, value: any, facts?: table) what came of it: "chunk",
---  "value", "error", "end" or "cut"; facts: what is known of a value beside it

---@class stoke.tape.entry
---@field chunks { at: number, value: any }[] of a stream
---@field at number seconds from the request to the value, the error or the end
---@field value any
---@field facts? table what was known beside the value
---@field err? stoke.error
---@field cut? fun(): stoke.error a stream that was left before its end: what reading further meets

-- ---- streams ------------------------------------------------------------------------------------------------------------------

--- What both kinds of source have that is a driver's: llm.stream is read through these (lua/driver/llm.lua).
local function source(class, q, fields)
  fields.state, fields.events, fields.first = { q = q }, {}, 1
  return setmetatable(fields, class)
end

--- Wait until `at` seconds after the request; false and an error when the wait was cut off.
local function until_due(began, at)
  local left = began + at - monotonic()
  if left <= 0 then return true end
  local _, err = host.park("replay", left)
  if err then return false, err end
  return true
end

local Player = {}
Player.__index = Player

function Player:next()
  local entry = self.entry
  local chunk = entry.chunks[self.position + 1]
  if not chunk then
    if entry.cut then return nil, entry.cut() end
    local ok, err = until_due(self.began, entry.at)
    if not ok then return nil, err end
    return nil, entry.err
  end
  local ok, err = until_due(self.began, chunk.at)
  if not ok then return nil, err end
  self.position = self.position + 1
  if chunk.value.type == "done" then self.done = chunk.value end
  return chunk.value
end

function Player.close() end

local Recorder = {}
Recorder.__index = Recorder

function Recorder:tell(kind, value)
  if kind ~= "chunk" then
    if self.ended then return end
    self.ended = true
  end
  self.tape:put(self.entry, kind, monotonic() - self.began, value)
end

function Recorder:next()
  local item, err = self.inner:next()
  if item ~= nil then
    if item.type == "done" then self.done = item end
    self:tell("chunk", item)
    return item
  end
  if err then
    self:tell(err.kind == "cancelled" and "cut" or "error", err)
    return nil, err
  end
  self:tell "end"
end

function Recorder:close()
  self:tell "cut"
  self.inner:close()
end

-- ---- outcomes -----------------------------------------------------------------------------------------------------------------

local function record(tape, def, q, call, attempts)
  local entry, began = tape:open(def.name, q), monotonic()
  local value, err = attempts(def, q, call)
  if err ~= nil then
    tape:put(entry, err.kind == "cancelled" and "cut" or "error", monotonic() - began, err)
    return nil, err
  end
  if def.stream then return source(Recorder, q, { inner = value, tape = tape, entry = entry, began = began }) end
  tape:put(entry, "value", monotonic() - began, value, def.facts and def.facts(value, q))
  return value
end

local function replay(tape, def, q, call)
  if def.absent and tape.knows and not tape:knows(def.name) then return def.absent(q, call.work) end
  local entry, missing = tape:take(def.name, q)
  if not entry then return nil, missing end
  call.started, call.attempts = monotonic(), 1
  local first = def.stream and entry.chunks[1]
  local ok, err = until_due(call.started, first and first.at or entry.at)
  if not ok then return nil, err end
  if first or (def.stream and not entry.err and not entry.cut) then
    return source(Player, q, { entry = entry, began = call.started, position = 0 })
  end
  if entry.cut then return nil, entry.cut() end
  if entry.err then return nil, entry.err end
  local facts = entry.facts
  if facts and def.restore then
    call.attempts = facts.attempts or 1
    def.restore(entry.value, facts, q)
  end
  return entry.value
end

--- The outcome of an effect, from the tape or with a recording of it.
---@param tape stoke.tape
---@param def stoke.effect
---@param q any
---@param call table
---@param attempts fun(def, q, call): any, stoke.error? does the work
---@return any value
---@return stoke.error? err
function M.outcome(tape, def, q, call, attempts)
  if tape.recording then return record(tape, def, q, call, attempts) end
  return replay(tape, def, q, call)
end

return M
