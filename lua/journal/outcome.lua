--- Outcomes as a journal keeps them: one record of all that came of an effect.

local errors = require "core.errors"
local plain = require "core.journal.plain"
local redact = require "core.redact"

local M = {}

--- How bad it is to do an effect twice.
---@param def stoke.effect
---@param q any
---@return "pure"|"idempotent"|"unsafe"
function M.class_of(def, q)
  local class = def.class
  if type(class) == "function" then class = class(q) end
  return class or "unsafe"
end

--- Does an effect that is not pure say that it may be repeated?
---@param def stoke.effect
---@param q any
---@return boolean|nil
function M.repeats(def, q)
  local how = def.repeats
  if type(how) == "function" then return how(q) end
  return how
end

--- Does whoever does its work know it again by the key of the effect?
---@param def stoke.effect
---@param q any
---@return "disk"|"commit"|nil how well what led to it has to be kept
function M.keyed(def, q)
  local how = def.keyed
  if type(how) == "function" then return how(q) end
  return how
end

--- What is known of most values; nobody changes facts.
M.ONCE = { attempts = 1 }
local ONCE = M.ONCE

--- What is known of a value beside it.
local function facts_of(def, value, q, call)
  if not (def.usage or def.facts or call.asked or call.nested or call.meter) and call.attempts == 1 then return ONCE end
  local facts = { attempts = call.attempts, asked = call.asked, usage = def.usage and not def.stream and def.usage(value, q) or nil,
    known = def.facts and def.facts(value, q) or nil, nested = call.nested, counts = call.attempts > 0 }
  if call.meter then facts.spent = plain.copy(call.meter.used) end
  return facts
end

--- A value as plain data, with the names of secrets in their place; a replay, which reads them anew, puts them back.
local function kept_of(redactor, def, value)
  local own = def.codec and def.codec.keep(value) or value
  if not redactor.named[1] or own == nil then return own end
  local copy, odd = plain.copy(own)
  return odd and own or redactor:conceal(copy)
end

local function too_large(def, err, facts)
  err.message = ("%s: %s"):format(def.name, err.message)
  return { err = plain.copy(err), facts = facts }, err
end

--- The outcome as it is kept; an error in its place where it cannot be.
---@param redactor core.redactor
---@param def stoke.effect
---@param value any
---@param err stoke.error|nil
---@param q any
---@param call table
---@param log? stoke.journal.log
---@return stoke.journal.outcome
---@return stoke.error|nil failed it cannot be kept
function M.of(redactor, def, value, err, q, call, log)
  if err ~= nil then
    redact.error(err) -- the run sees it as a later life of it will
    local kind = errors.kinds[err.kind]
    local spent = call.meter and plain.copy(call.meter.used)
    return { err = plain.copy(err), cut = err.kind == "cancelled" or nil, refusal = kind and kind.refusal,
      facts = { attempts = call.attempts, asked = call.asked, spent = spent, nested = call.nested,
        counts = call.attempts > 0 } }
  end
  local text, limit
  if def.bare and log and log.texts and value ~= nil and call.attempts == 1 and not (call.asked or call.nested or call.meter) then
    text, limit = log:text(kept_of(redactor, def, value))
    if text then return { text = text, facts = ONCE } end -- as most are
  end
  local facts = facts_of(def, value, q, call)
  if def.secret and def.secret(q) then
    if type(value) == "string" then redactor:learn(value, def.secret(q)) end
    return { secret = true, facts = facts }
  end
  if def.stream then return { items = {}, about = value.about and plain.copy(value.about), rests = value.rest ~= nil,
    facts = facts } end
  local own = kept_of(redactor, def, value)
  if log and log.texts and own ~= nil and not limit then text, limit = log:text(own) end
  if text then return { text = text, facts = facts } end
  if limit then return too_large(def, limit, facts) end
  local kept, odd = plain.copy(own)
  if not odd then return { value = kept, facts = facts } end
  local what = type(q) == "table" and type(q.name) == "string" and ("%s %s"):format(def.name, q.name) or def.name
  local failed = errors.new("script", ("%s: a journalled run keeps plain data alone, and %s"):format(what, odd),
    { hint = "return text, or tables of text and numbers" })
  return { err = plain.copy(failed), facts = facts }, failed
end

return M
