--- The short way of most effects of a run: of those that are replayed with a value of which nothing else is known, and of those
--- that only look and are done at once. They need no call and no gates, and what is done at once no row but the one in the log.

local errors = require "core.errors"
local frames = require "core.frame"
local host = require "host.task"
local json = require "core.json"
local keep = require "core.journal.keep"
local plain = require "core.store.plain"
local point = require "host.store".fault_point
local wall = require "host.time".wall

local M = {}

local decode, encode, digest_of, key_of, site, touch = plain.decode, plain.encode, json.digest, frames.key, host.site, keep.touch
local GATHERED <const> = keep.GATHERED
local SHORT <const> = 150 -- bytes of a request as text: it refers to no contents

--- The value of a row whose outcome is kept as text, when its turn comes.
local function give(journal, row, text)
  local value = errors.check(decode(text))
  journal.count = journal.count + 1
  local err = journal:arrived(row)
  if err then return nil, err end
  return value
end

--- Does it ask what the row has? Where that is short its text tells, as it would for the same request, without a digest.
local function is_same(row, q)
  if q == nil then return row.sha == "nil" end
  local asked = row.asked
  return asked and #asked < SHORT and encode(q, nil, true, SHORT) == asked or row.sha == digest_of(q, true)
end

--- May it be done here and now? Else it is the gates' to say.
local function is_live(journal, key, log)
  if journal.replaying and not (journal.lives and journal:at_end()) or journal.moving or journal.by_key[key] then return false end
  local count = log and log.texts and log.count
  return count and (count > 0 and not log.held or log:room()) and count < GATHERED
end

local function look(journal, def, key, log)
  local at, began = journal.schedule:length(), wall()
  local value, err = def.run()
  local text = err == nil and log:text(value)
  if not text then return false, key end
  local number, seen = journal.last + 1, journal.seen + 1
  journal.count, journal.seen, journal.last = journal.count + 1, seen, number
  if not journal.dirty then touch(journal) end
  if point then point "before-outcome" end
  log:value(number, key, def.class, "nil", site(), began, seen, at, text)
  journal:grown(number)
  return true, value
end

--- The outcome of an effect, if it is one of those.
---@param journal stoke.journal
---@param def stoke.effect with `quick`
---@param q any
---@param context stoke.context of the journal, without a budget or a tape
---@return boolean served
---@return any value not served: the key of the effect, if it has one now
---@return stoke.error? err
function M.outcome(journal, def, q, context)
  if journal.diverged or journal.stopped or context.inside or journal.redactor.list[1] then return false end
  local key = key_of(context.frame, def.name, def.label and def.label(q))
  local row = journal.replaying and journal.by_key[key]
  local text = row and row.text
  if text then
    if not is_same(row, q) then return false, key end
    return true, give(journal, row, text)
  end
  local log = journal.log
  if not def.at_once or q ~= nil or not is_live(journal, key, log) then return false, key end
  return look(journal, def, key, log)
end

return M
