-- stoke doctor --probe: what only calls can show. At most 11 of them, each of a few tokens: one that loads, eight at once for the
-- slots of a model, one to another model for how many are held at once, one more to look at keep_alive.

local config = require "stoke.config"
local http = require "stoke.http"
local json = require "core.json"
local look = require "stoke.cmd.doctor.look"
local ollama = require "stoke.ollama"
local stoke = require "stoke"
local time = require "stoke.time"

local M = {}

--- Calls at once, and tokens of each: enough for slots to overlap.
M.WIDTH, M.TOKENS = 8, 24

--- Can a model be asked? Of those that can, the ones in memory come first, then the small ones.
local function candidates(server)
  local loaded, out = {}, {}
  for _, m in ipairs(server.ps) do loaded[m.name] = true end
  for _, m in ipairs(server.list) do
    local chat = m.capabilities == nil
    for _, name in ipairs(m.capabilities or {}) do chat = chat or name == "completion" end
    if chat and not m.remote_host then out[#out + 1] = { name = m.name, size = m.size or 0, loaded = loaded[m.name] or false } end
  end
  table.sort(out, function(a, b)
    if a.loaded ~= b.loaded then return a.loaded end
    if a.size ~= b.size then return a.size < b.size end
    return a.name < b.name
  end)
  return out
end

-- Past the pool, which would hold calls back; with the load options of the profile, which else would load the model anew.
local function ask(model, prompt, tokens, wait)
  local e = config.endpoint()
  local sent = { num_predict = tokens, temperature = 0 }
  for name, value in next, config.profile(model) do
    if name ~= "keep_alive" and name ~= "shift" then sent[name] = value end
  end
  local head = { Authorization = e.key and "Bearer " .. e.key or nil }
  for name, value in next, e.headers do head[name] = value end
  local res = http.post(e.url .. "/api/generate", { headers = head, timeout = wait,
    json = { model = model, prompt = prompt, stream = false, options = json.object(sent) } })
  local reply = res:json()
  return { arrived = time.monotonic(), service = ((reply.prompt_eval_duration or 0) + (reply.eval_duration or 0)) / 1e9 }
end

--- The most calls that were worked on at the same time for at least a twentieth of the whole. A call's service ends when its
--- answer arrives; an answer that this machine reads late seems to overlap with the next, so it cannot be more than the whole work
--- needs in the time it took.
---@param replies { arrived: number, service: number }[]
---@param began number when they were sent
---@return integer
function M.overlap(replies, began)
  local edges, work, ended = {}, 0, began
  for _, r in ipairs(replies) do
    work, ended = work + r.service, math.max(ended, r.arrived)
    edges[#edges + 1] = { at = r.arrived - r.service, by = 1 }
    edges[#edges + 1] = { at = r.arrived, by = -1 }
  end
  table.sort(edges, function(a, b)
    if a.at ~= b.at then return a.at < b.at end
    return a.by < b.by
  end)
  local held, open, whole = {}, 0, 0
  for i = 1, #edges - 1 do
    open = open + edges[i].by
    local seconds = edges[i + 1].at - edges[i].at
    if open > 0 then
      held[open], whole = (held[open] or 0) + seconds, whole + seconds
    end
  end
  local most = 1
  for count, seconds in next, held do
    if count > most and seconds >= whole / 20 then most = count end
  end
  return math.max(1, math.min(most, math.ceil(work / (ended - began) - 0.05)))
end

local function loaded_names()
  local names, by = {}, {}
  for i, m in ipairs(ollama.ps().models) do names[i], by[m.name] = m.name, m end
  return names, by
end

--- Ask the server.
---@param facts stoke.cmd.doctor.facts
---@param wait number seconds for all of it
---@param say fun(text: string) progress
---@return table probe model, slots, keep_alive (seconds), models (held at once), other; problem: why it ended early
function M.run(facts, wait, say)
  local found = { calls = 0 }
  local list = candidates(facts.server)
  if not list[1] then
    found.problem = "there is no model to ask"
    return found
  end
  local model = list[1].name
  found.model = model
  local _, err = stoke.try(stoke.timeout, wait, function()
    say(("one call to %s, to have it in memory"):format(model))
    ask(model, "Hi", 1, wait)
    found.calls = 1
    local _, by = loaded_names()
    local expires = by[model] and look.parse_time(by[model].expires_at)
    found.keep_alive = not by[model] and 0 or expires and math.max(0, math.floor(expires - time.now() + 0.5)) or nil
    found.kept = by[model] ~= nil
    say(("%d calls to it at once, of %d tokens"):format(M.WIDTH, M.TOKENS))
    local scope <close> = stoke.scope {}
    local numbers = {}
    for i = 1, M.WIDTH do numbers[i] = i end
    local began = time.monotonic()
    local replies = scope:map(numbers, function(i)
      return ask(model, ("Count from %d upwards, with commas."):format(i * 7), M.TOKENS, wait)
    end)
    found.calls = found.calls + M.WIDTH
    found.slots = M.overlap(replies, began)
    local other = list[2]
    if not other then return end
    found.other = other.name
    say(("one call to %s, to see whether both stay in memory"):format(other.name))
    ask(other.name, "Hi", 1, wait)
    found.calls = found.calls + 1
    local names, now = loaded_names()
    found.models = #names
    found.evicted = found.kept and not now[model]
  end)
  if err then found.problem = err.message end
  local ps = stoke.try(stoke.timeout, 3, ollama.ps)
  if ps then facts.server.ps = ps.models end
  return found
end

return M
