--- Runs that hosts share and that have ended: deleted from their engine. A person or a timer does that (stoke prune --engine URL),
--- no worker by itself: how long a result is to be had is known by those who ask for it, not by who computed it.

local errors = require "core.errors"
local shared = require "core.runs.shared"

local M = {}

--- All that is said of runs, a page of values at a time.
local function each_word(e, f)
  local since = 0
  while true do
    local list = errors.check(e:kv_watch(shared.RUNS, "", since, 0))
    if not list[1] then return end
    for _, change in ipairs(list) do
      since = math.max(since, change.revision)
      if change.value then f(change) end
    end
  end
end

--- Signals that came after the end, or whose run is gone.
local function drop_signals(e, ended)
  for _, key in ipairs(errors.check(e:kv_keys(shared.SIGNALS, ""))) do
    local id = key:match "^(.*)/[^/]*$"
    if id and (ended[id] or ended[id] == nil and not shared.look(id)) then errors.check(e:kv_delete(shared.SIGNALS, key)) end
  end
end

--- What was asked of runs is needed until they have ended: engines keep it where one has not.
local function drop_inputs(e)
  for _, one in ipairs(errors.check(e:streams())) do
    if one.stream:sub(1, #shared.STREAMS) == shared.STREAMS then errors.check(e:trim(one.stream, one.last + 1)) end
  end
end

--- Delete runs that ended longer ago than so many seconds, by the engine's clock: first their journals, then the word of them, so
--- that one that is interrupted is done by the next. The engine keeps that there was such an item, and sources, which are few.
---@param older number
---@param dry? boolean
---@return { runs: { id: string, workflow: string, state: string, changed: number }[] } done the oldest first
---Raises what the engine says; `protocol` where a newer stoke wrote what this one does not know.
function M.prune(older, dry)
  local e = shared.engine()
  local list, ended, limit = {}, {}, errors.check(e:now()) - older
  each_word(e, function(change)
    local word = shared.word(change.value, "the run " .. change.key)
    ended[change.key] = shared.ENDED[word.state] or false
    if shared.ENDED[word.state] and word.changed <= limit then
      list[#list + 1] = { id = change.key, workflow = word.workflow, state = word.state, changed = word.changed,
        revision = change.revision }
    end
  end)
  table.sort(list, function(a, b)
    if a.changed ~= b.changed then return a.changed < b.changed end
    return a.id < b.id
  end)
  for _, run in ipairs(list) do
    if not dry then
      errors.check(e:log_drop(shared.JOURNALS, run.id))
      errors.check(e:kv_delete(shared.RUNS, run.id, run.revision))
    end
    run.revision = nil
  end
  if not dry then
    drop_signals(e, ended)
    drop_inputs(e)
  end
  return { runs = list }
end

return M
