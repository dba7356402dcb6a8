--- Kept sessions from outside: what there is of them, what was said, copies, and their end. `stoke sessions` is these functions.
--- `store` names the file of the store; else it is the configured one, `.stoke/state.db` in the working folder, or the user's.

local config = require "stoke.config"
local effect = require "core.effect"
local errors = require "core.errors"
require "core.driver.kept"

local M = {}

---@class stoke.sessions.record
---@field id string
---@field agent string the agent that it was begun with
---@field speaker string the agent that answers next
---@field turns integer
---@field messages integer
---@field created number wall clock, seconds
---@field changed number
---@field fork_of? string id of the session that it began as
---@field fork_at? integer after so many turns
---@field present? { run: string, began: number } the turn that goes on

local function perform(name, q) return errors.check(effect.perform(name, q)) end

local function store_of(options) return options.store or config.get().store end

local function check_id(what, id)
  if type(id) ~= "string" or id == "" then
    errors.argument("%s: the id of a session must be a string that is not empty, got %s", what, errors.describe(id))
  end
  return id
end

--- Sessions, the one that changed last first.
---@param options? { agent?: string, prefix?: string, limit?: integer, store?: string } prefix: of the id
---@return stoke.sessions.record[]
---Raises `usage` where there is no store, `db`.
---
--- Example: `for _, session in ipairs(stoke.sessions.list()) do print(session.id, session.turns) end`
function M.list(options)
  options = errors.options(options, { agent = "string", prefix = "string", limit = "number", store = "string" }, "sessions.list")
  return perform("sessions.list", { agent = options.agent, prefix = options.prefix, limit = options.limit,
    store = store_of(options) })
end

--- A session with its messages and turns.
---@param id string
---@param options? { store?: string }
---@return { session: stoke.sessions.record, messages: table[], turns: table[], ends: integer[] } turns: those that failed, too,
---  each { serial, state, turn, key, run, began, ended, messages }; ends: how many messages there were after each that is done
---Raises `usage` for an id that no session has, `db`.
---
--- Example: `print(#stoke.sessions.show("ada").messages)`
function M.show(id, options)
  check_id("sessions.show", id)
  options = errors.options(options, { store = "string" }, "sessions.show")
  return perform("sessions.load", { id = id, store = store_of(options) })
end

--- The first messages of a session: what it began with.
---@private
---@param id string
---@param count integer
---@return table[] messages
---
--- Example: `print(sessions.beginning("ada", 1)[1].content)`
function M.beginning(id, count)
  return perform("sessions.load", { id = id, first = count, store = store_of {} }).messages
end

--- A session as a plain table: agent:session(saved) goes on with it, JSON can hold it.
---@param id string
---@param options? { store?: string }
---@return table as session:save() gives it, with `id`
---
--- Example: `stoke.fs.write("ada.json", stoke.json.encode(stoke.sessions.export "ada"))`
function M.export(id, options)
  local shown = M.show(id, options)
  local session = shown.session
  return { version = 1, id = session.id, agent = session.speaker, messages = shown.messages, ends = shown.ends,
    first = session.first, summary = session.summary }
end

--- Delete a session with all that is its own: messages, turns, their runs, and contents that nobody else needs; sessions that were
--- forked from it keep what they share. Then the file is written anew, so that nothing is left in free pages.
---@param id string
---@param options? { compact?: boolean, store?: string } compact = false: the file is not written anew
---@return { runs: integer, messages: integer, compacted: boolean }
---Raises `usage` for an id that no session has, `argument` while a turn of it goes on, `db`.
---
--- Example: `stoke.sessions.delete "ada"`
function M.delete(id, options)
  check_id("sessions.delete", id)
  options = errors.options(options, { compact = "boolean", store = "string" }, "sessions.delete")
  return perform("sessions.delete", { id = id, compact = options.compact, store = store_of(options) })
end

--- A second session that begins as this one was after so many turns.
---@param id string
---@param to string id of the new one
---@param options? { at?: integer, store?: string } at: turns (all)
---@return stoke.sessions.record
---Raises `usage`, `argument` where there is a session with that id, `db`.
---
--- Example: `stoke.sessions.fork("ada", "ada, otherwise", { at = 3 })`
function M.fork(id, to, options)
  check_id("sessions.fork", id)
  check_id("sessions.fork", to)
  options = errors.options(options, { at = "number", store = "string" }, "sessions.fork")
  local at = options.at
  if at and not (math.type(at) == "integer" and at >= 0) then
    errors.argument("sessions.fork: at must be a whole number of at least 0, got %s", errors.describe(at))
  end
  return perform("sessions.fork", { id = id, to = to, at = at, store = store_of(options) })
end

return M
