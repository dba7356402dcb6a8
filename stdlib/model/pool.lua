--- stoke.pool: what the pool is at, for scripts and for those who draw it.

require "core.driver.pool"
local effect = require "core.effect"
local errors = require "core.errors"
local json = require "core.json"

local M = {}

local FIELDS = { waiting = "number" }

--- Lists stay lists where they are empty.
---@param state table
---@return stoke.pool.state
---
--- Example: `local state = seen.listed(pool.state())`
function M.listed(state)
  json.array(state.servers)
  json.array(state.others)
  for _, server in ipairs(state.servers) do
    for _, lane in ipairs(json.array(server.lanes)) do
      json.array(lane.calls)
      json.array(lane.queue)
    end
  end
  for _, lane in ipairs(state.others) do
    json.array(lane.calls)
    json.array(lane.queue)
  end
  return state
end

---@class stoke.pool.state
---@field servers stoke.pool.server_state[] that this process has asked, by address
---@field busy integer calls that are out
---@field waiting integer calls that wait
---@field programs integer that had to wait, or to choose a server, and have not ended
---@field hits { prefix?: number, tokens: number } prefix: share of these tokens of prompts that the servers remembered, as the time
---  of reading them tells; nil where nothing has told
---@field hedges integer calls that were made a second time on another server, since the first was late
---@field hedges_won integer of these: those in which the second answered first
---@field moved integer calls that failed at one server, and were sent to another
---@field shed integer interactive calls that were refused, since they would have missed their deadline
---@field held integer slots that were kept for a conversation whose tool was at work
---@field power? { stopped: boolean, reason?: string, left?: number, temperature?: number, battery?: number, ac?: boolean } where
---  the settings have limits of power
---@field order "program"|"fifo"
---@field others stoke.pool.lane_state[] what else has slots: effects that are no model's

---@class stoke.pool.server_state
---@field name string of its endpoint
---@field url string
---@field state "ok"|"paced"|"sick"|"loading" paced: it fails, or asked for a pause; sick: it gets no calls until it answers a trial
---@field reason? string why it is not ok, in words
---@field lanes stoke.pool.lane_state[] its models
---@field swaps integer models that were loaded in place of another
---@field swap_seconds number what these took
---@field swap? { kind: "drain"|"swap", to: string, victims: string[], reason: string, seconds?: number } a model that is to be
---  loaded, and who leaves for it; drain: once these have nothing in flight

---@class stoke.pool.lane_state a model at a server
---@field model string
---@field served? string its name there, where it has another
---@field key string
---@field slots integer calls that it answers at once, as far as is known
---@field believed? integer what was learned of that; nil: nothing yet
---@field set? boolean the settings say how many
---@field busy integer calls that are out; one more than slots while it is tried whether there are more
---@field calls stoke.pool.call_state[] those of them whose task is found
---@field waiting integer calls that wait; those of a route count where it goes first
---@field longest? number seconds that one of them has waited
---@field classes? { interactive: integer, normal: integer, batch: integer }
---@field queue stoke.pool.waiting_state[] the first of them, in the order in which they go
---@field resident? boolean is it in memory? nil: nobody knows, or it is the only one that this process uses there
---@field loading? number seconds for which it has been loading
---@field leaving? boolean it gets no calls, as another model is to take its place
---@field held? { agent?: string, tool?: string, left: number }[] slots that are kept for a conversation whose tool is at work
---@field speed? number tokens a second that one call writes
---@field prefill? number tokens a second that are read
---@field load_seconds? number what loading it takes
---@field remembered? number share of its prompts that the server remembered
---@field prompt_tokens? number tokens of these prompts
---@field remembered_tokens? number of these tokens: those that the server remembered
---@field breaker? "open"|"trial"|"tender" it failed; tender: it answers again

---@class stoke.pool.call_state a call that is out
---@field program? integer the number of its program; nil where it did not have to wait
---@field task? string the task's name, or where it was spawned
---@field agent? string
---@field class? "interactive"|"normal"|"batch"
---@field since? number seconds since it was sent
---@field waited? number seconds that it had waited before
---@field parked? boolean its model is not in memory: it waits in the server until there is room
---@field tokens? integer of the answer so far, where it is streamed
---@field rate? number of these a second
---@field reason? string why it had waited, where effects are traced

---@class stoke.pool.waiting_state a call that waits
---@field program integer
---@field task? string
---@field agent? string
---@field class "interactive"|"normal"|"batch"
---@field waited number seconds
---@field reason string why, in words
---@field deadline? number seconds that it has left
---@field servers? integer so many that it may go to

--- What the pool is at: servers, lanes (a model at a server), slots and who holds them, queues and why they wait, what was learned.
---@param options? { waiting?: integer } how many waiting calls of each model are told one by one (10)
---@return stoke.pool.state
---Raises `argument`.
---
--- Example: `for _, server in ipairs(stoke.pool().servers) do print(server.name, server.state) end`
function M.state(options)
  options = errors.options(options or {}, FIELDS, "stoke.pool")
  local waiting = options.waiting or 10
  if math.type(waiting) ~= "integer" or waiting < 0 then
    errors.argument("stoke.pool: waiting must be a whole number of calls, got %s", errors.describe(options.waiting))
  end
  return M.listed(errors.check(effect.perform("llm.pool", { waiting = waiting })))
end

return M
