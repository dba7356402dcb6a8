--- The replay gate: the recorded outcome instead of the work, or the work and a recording of it.
---
--- What is recorded, and where, is the tape's own business (stdlib/test/cassette.lua), and which one is the context's
--- (lua/context.lua). The gate hands it what an effect was asked and what came of it, and gives an outcome back as the driver would
--- have: after as long, a stream piece by piece. It stands round policy, budget and retries: a call that was tried again is one
--- outcome, and so is one that was refused. A replayed run is not asked about again, and its budget counts without refusing. Only
--- effects that say `taped` come here.

local streams = require "core.stream"
local monotonic = require "host.time".monotonic

local M = {}

---@class stoke.tape
---@field recording boolean
---@field knows? fun(self, name: string, q: any): boolean is there an outcome of this request that has not been given yet?
---@field take fun(self, name: string, q: any): stoke.tape.entry|nil, stoke.error? the outcome to replay; nil and why there is none
---@field open fun(self, name: string, q: any): stoke.tape.entry an effect begins
---@field elsewhere? fun(self): stoke.error? the time zone is not that of the recording
---@field put fun(self, entry: stoke.tape.entry, kind: string, at: number, value: any, facts?: table) what came of it: "chunk",
---  "value", "error", "end" or "cut"; facts: what is known of a value beside it. Those of a stream come when it has ended

---@class stoke.tape.entry
---@field chunks { at: number, value: any }[] of a stream
---@field at number seconds from the request to the value, the error or the end
---@field value any
---@field facts? table what was known beside the value
---@field err? stoke.error
---@field cut? fun(): stoke.error it was left before its end: what waiting for longer meets

-- ---- outcomes -----------------------------------------------------------------------------------------------------------------

--- A stream is noted while it is read, and told to the tape as a whole when it has ended.
local function recorded_stream(source, tape, entry, began)
  local opened = monotonic() - began
  return streams.recorder(source, began, function(kind, err, recorder)
    for at, item in streams.items(recorder.transcript) do tape:put(entry, "chunk", at, item) end
    local came = kind ~= "end" and recorder:came() or nil
    tape:put(entry, kind, monotonic() - began, err, { opened = opened, came = came, about = source.about })
  end)
end

local function record(tape, def, q, call, attempts)
  local entry, began = tape:open(def.name, q), monotonic()
  local value, err = attempts(def, q, call)
  if err ~= nil then
    tape:put(entry, err.kind == "cancelled" and "cut" or "error", monotonic() - began, err)
    return nil, err
  end
  if def.stream then return recorded_stream(value, tape, entry, began) end
  tape:put(entry, "value", monotonic() - began, value, def.facts and def.facts(value, q))
  return value
end

--- A stream as it is on the tape.
local function replayed_stream(entry, q, began)
  local transcript, facts = streams.transcript(), entry.facts or {}
  for _, chunk in ipairs(entry.chunks) do streams.note(transcript, chunk.value, chunk.at) end
  return streams.player(transcript:text(), { began = began, at = entry.at, err = entry.err, cut = entry.cut, about = facts.about,
    came = facts.came, q = q })
end

local function replay(tape, def, q, call)
  if def.absent and tape.knows and not tape:knows(def.name, q) then return def.absent(q, call.work) end
  local entry, missing = tape:take(def.name, q)
  if not entry then return nil, missing end
  call.started, call.attempts = monotonic(), 1
  local facts, first = entry.facts, def.stream and entry.chunks[1]
  local opened = def.stream and (facts and facts.opened or first and first.at) -- there was a stream, whatever came of it
  local due = opened or entry.cut and entry.at + streams.PATIENCE or entry.at
  local ok, err = streams.until_due(call.started, due)
  if not ok then return nil, err end
  if def.stream and (opened or not entry.err and not entry.cut) then return replayed_stream(entry, q, call.started) end
  if entry.cut then return nil, entry.cut() end
  if entry.err then return nil, entry.err end
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
