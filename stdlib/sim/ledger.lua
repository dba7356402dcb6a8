--- Counters of a simulated server.
---
--- requests: HTTP requests but for the ledger's own. streams_open, streams_max: inference requests
--- in flight. disconnects: clients that left before their answer was complete. loads: models
--- loaded; swaps: loads that put another runner out; aborted_loads: loads thrown away with their
--- client. slot_seconds: time slots were taken. tokens: generated, counted when a slot is given
--- back. busy_503: refusals by the full load queue. answers: generations that were delivered whole. models: the same by model.

local M = {}
local Ledger = {}
Ledger.__index = Ledger

function M.new()
  return setmetatable({
    requests = 0, streams_open = 0, streams_max = 0, disconnects = 0, loads = 0, swaps = 0, aborted_loads = 0,
    slot_seconds = 0, tokens = 0, busy_503 = 0, answers = 0, models = {}, taken = 0, taken_sum = 0,
  }, Ledger)
end

function Ledger:model(model)
  local m = self.models[model.name]
  if not m then
    m = { requests = 0, loads = 0, slot_seconds = 0, tokens = 0, prompt_tokens = 0, cached_tokens = 0 }
    self.models[model.name] = m
  end
  return m
end

function Ledger:arrived(model)
  local m = self:model(model)
  m.requests = m.requests + 1
end

function Ledger:load_begins(model, swap)
  self.loads = self.loads + 1
  if swap then self.swaps = self.swaps + 1 end
  local m = self:model(model)
  m.loads = m.loads + 1
end

function Ledger:slot_taken(t)
  self.taken, self.taken_sum = self.taken + 1, self.taken_sum + t.slot_at
  local m = self:model(t.request.model)
  m.prompt_tokens = m.prompt_tokens + t.job.prompt_tokens
  m.cached_tokens = m.cached_tokens + t.cached
end

function Ledger:slot_given(t, now, tokens)
  local m, seconds = self:model(t.request.model), now - t.slot_at
  self.taken, self.taken_sum = self.taken - 1, self.taken_sum - t.slot_at
  self.slot_seconds, self.tokens = self.slot_seconds + seconds, self.tokens + tokens
  m.slot_seconds, m.tokens = m.slot_seconds + seconds, m.tokens + tokens
end

function Ledger:stream_opened()
  self.streams_open = self.streams_open + 1
  if self.streams_open > self.streams_max then self.streams_max = self.streams_open end
end

function Ledger:stream_closed() self.streams_open = self.streams_open - 1 end

local FIELDS = { "requests", "streams_open", "streams_max", "disconnects", "loads", "swaps", "aborted_loads",
  "slot_seconds", "tokens", "busy_503", "answers" }
local MODEL_FIELDS = { "requests", "loads", "slot_seconds", "tokens", "prompt_tokens", "cached_tokens" }

local function rounded(seconds) return math.floor(seconds * 1e6 + 0.5) / 1e6 end

--- The ledger as a list of {key, value} pairs in a fixed order; values are numbers, `models` again
--- such a list.
---@param now number the machine's time, for slots still taken
function Ledger:report(now)
  local list = {}
  for _, k in ipairs(FIELDS) do list[#list + 1] = { k, self[k] } end
  list[8][2] = rounded(self.slot_seconds + self.taken * now - self.taken_sum)
  local names, models = {}, {}
  for name in pairs(self.models) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local m, fields = self.models[name], {}
    for _, k in ipairs(MODEL_FIELDS) do fields[#fields + 1] = { k, m[k] } end
    fields[3][2] = rounded(m.slot_seconds)
    models[#models + 1] = { name, fields }
  end
  list[#list + 1] = { "models", models }
  return list
end

return M
