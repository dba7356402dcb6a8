--- What calls of one lane take: speeds, loads, how long answers get and tools pause. Learned from replies, told as seconds.
---
--- A prompt that the server remembers costs a fraction of one that it reads, so the speed of reading is learned from what was read
--- alone: `shared` says how much of a prompt was remembered, as far as the prefix model knows. Decoding slows with the calls beside
--- it, so its speed is kept by their number, in powers of two. All by medians of few recent values: one odd reply changes nothing.
---
--- Pure: nothing here waits, and facts are plain data in and out.

local quantiles = require "core.pool.quantiles"

local M = {}

local max, min, next, type = math.max, math.min, next, type

--- Agents and tools that are kept apart, at most; beyond, what was not used for longest is forgotten.
M.NAMES = 64

--- Fewer tokens than this tell nothing of the speed of reading.
local FEW <const> = 16
--- Of a call that reads at less than this part of the usual time, more was remembered than was known.
local REMEMBERED <const> = 0.5
--- So many in a row, and the server has become faster.
local FASTER <const> = 8
--- Seconds of loading that are no load yet, whatever is usual: a look at the model's file, a busy processor.
local NO_LOAD <const> = 0.1
--- A load takes more than so many times what every call says.
local LOADS <const> = 2.5
--- While no reply has told: seconds a token read and written, tokens of an answer, seconds of a load, of a tool.
local COLD <const>, EACH <const>, OUTPUT <const>, LOAD <const>, PAUSE <const> = 0.002, 0.05, 200, 5, 1
--- Powers of two of calls beside each other.
local POWERS <const> = 8

---@class stoke.pool.estimate
---@field cold stoke.pool.quantiles seconds a token of a prompt that is read
---@field fixed stoke.pool.quantiles seconds of a prompt that is remembered
---@field each table<integer, stoke.pool.quantiles> seconds a token of an answer, by the power of two of the calls in service
---@field loads stoke.pool.quantiles seconds of loads
---@field base stoke.pool.quantiles what calls say that the load took, those apart that were known to load
---@field whole stoke.pool.quantiles seconds of service
---@field outputs table<string, stoke.pool.quantiles> tokens of answers by agent; "" is everybody
---@field pauses table<string, stoke.pool.quantiles> seconds of tools; "" is every tool
local Estimate = {}
Estimate.__index = Estimate

local function ring(values) return quantiles.new(nil, type(values) == "table" and values or nil) end

local function rings(facts, key)
  local out = {}
  for name, values in next, type(facts) == "table" and facts or {} do
    name = key(name)
    if name then out[name] = ring(values) end
  end
  return out
end

local function power_key(name)
  local power = math.tointeger(tonumber(name))
  return power and power >= 0 and power <= POWERS and power
end

local function name_key(name) return type(name) == "string" and name end

--- A lane of which nothing is known, or what an earlier process learned.
---@param facts? table as :facts() gave them; what does not fit is left out
---@return stoke.pool.estimate
---
--- Example: `local lane = estimate.new(); lane:learn(timings, "writer"); local seconds = lane:service(800, 0, "writer")`
function M.new(facts)
  facts = facts or {}
  return setmetatable({ cold = ring(facts.cold), fixed = ring(facts.fixed), each = rings(facts.each, power_key),
    loads = ring(facts.loads), base = ring(facts.base), whole = ring(facts.whole), outputs = rings(facts.outputs, name_key),
    pauses = rings(facts.pauses, name_key), faster = 0, tick = 0 }, Estimate)
end

--- Note a value under a name, and for all names.
local function note(self, kept, name, value)
  self.tick = self.tick + 1
  for _, key in ipairs { "", name } do
    local known = kept[key]
    if not known then
      known = quantiles.new()
      kept[key] = known
    end
    known:add(value)
    known.used = self.tick
    if name == "" then break end
  end
  local count, oldest = 0, nil
  for key, known in next, kept do
    count = count + 1
    if key ~= "" and (not oldest or (known.used or 0) < (kept[oldest].used or 0)) then oldest = key end
  end
  if count > M.NAMES then kept[oldest] = nil end
end

local function get(kept, name, part)
  local known = kept[name or ""] or kept[""]
  return known and known:get(part or 0.5)
end

-- ---- learning -----------------------------------------------------------------------------------------------------------------

local function power_of(busy)
  local power = 0
  while busy and busy > 1 and power < POWERS do busy, power = busy / 2, power + 1 end
  return power
end

--- Seconds from which on it is a load.
local function least_load(self) return NO_LOAD + LOADS * (self.base:get(0.25) or 0) end

--- Was the model loaded for this call? Some engines say a good part of a second with every call, so it is judged by what is usual.
---@param timings table { load } in seconds
---@param expected? boolean the model was not there, as far as is known
---@return boolean
function Estimate:loaded(timings, expected)
  return (timings.load or 0) > (expected and NO_LOAD or least_load(self))
end

--- How fast a prompt was read.
local function read(self, timings, shared)
  local input, prefill = timings.input, timings.prefill
  if not input or not prefill or input < 1 then return end
  local fresh = max(input - (shared or 0), 1)
  if shared and shared > 0 and fresh <= max(FEW, input // 20) then return self.fixed:add(prefill) end
  if fresh < FEW or fresh < 0.3 * input then return end
  local each = max(prefill - (self.fixed:get(0.5) or 0), 0.3 * prefill) / fresh
  local usual = self.cold:get(0.5)
  if usual and each < REMEMBERED * usual then
    self.faster = shared == 0 and self.faster + 1 or self.faster
    if self.faster < FASTER then return end
    self.cold = quantiles.new()
  end
  self.faster = 0
  self.cold:add(each)
end

--- A reply has come.
---@param timings table { load, prefill, decode, input, output } in seconds and tokens, or { total, first, output }; what is nil is
---  not learned from
---@param agent? string who asked
---@param shared? integer tokens of the prompt that the server remembered, as the prefix model says; nil: nobody knows
---@param busy? integer calls in service beside and with it
---@param expected? boolean the model was not there
function Estimate:learn(timings, agent, shared, busy, expected)
  local load, prefill, decode, output = timings.load, timings.prefill, timings.decode, timings.output
  if not decode and timings.first and timings.total then decode = timings.total - timings.first end -- as it was seen from here
  if load then
    if self:loaded(timings, expected) then self.loads:add(load) end
    if not expected then self.base:add(load) end
  end
  read(self, timings, shared)
  if decode and output and output > 0 then
    local power = power_of(busy)
    local known = self.each[power]
    if not known then
      known = quantiles.new()
      self.each[power] = known
    end
    known:add(decode / output)
    note(self, self.outputs, agent or "", output)
  end
  if decode then self.whole:add((prefill or 0) + decode) end
end

--- A tool has run, between two calls of a conversation.
---@param tool string
---@param seconds number
function Estimate:paused(tool, seconds) note(self, self.pauses, tool, seconds) end

-- ---- telling --------------------------------------------------------------------------------------------------------------------

--- Seconds a token of an answer: with as many calls beside it, or the nearest number that is known.
local function each_of(self, busy)
  local power = power_of(busy)
  for distance = 0, POWERS do
    local known = self.each[power - distance] or self.each[power + distance]
    if known and known.n > 0 then return known:get(0.5) end
  end
  return EACH
end

--- Seconds of reading a prompt.
---@param fresh integer tokens that the server does not remember
---@return number
function Estimate:recompute(fresh) return fresh * (self.cold:get(0.5) or COLD) end

--- What a call will take, once it is in a slot.
---@param input integer tokens of its prompt
---@param shared? integer tokens of it that the server remembers
---@param agent? string who asks
---@param busy? integer calls in service, with it
---@return number seconds
---@return number prefill of these, for the prompt
---@return number decode of these, for the answer
function Estimate:service(input, shared, agent, busy)
  local prefill = (self.fixed:get(0.5) or 0) + self:recompute(max(input - min(shared or 0, input), 0))
  local decode = (get(self.outputs, agent) or OUTPUT) * each_of(self, busy)
  return prefill + decode, prefill, decode
end

--- How much of a prompt the server remembered, as the time of reading it tells.
---@param timings table { prefill, input }
---@return number|nil part 0 to 1; nil: too few tokens, or the speed of reading is not known
function Estimate:seen_part(timings)
  local cold, input, prefill = self.cold:get(0.5), timings.input, timings.prefill
  if not cold or not prefill or not input or input < 2 * FEW or self.cold.n < 3 then return nil end
  return max(0, min(1, 1 - (prefill - min(self.fixed:get(0.5) or 0, prefill)) / (input * cold)))
end

--- What calls usually take.
---@return number|nil seconds nil: nothing is known
function Estimate:mean() return self.whole:get(0.5) end

--- What nearly all take less than.
---@param part? number 0.95 of them when not given
---@return number|nil seconds
function Estimate:most(part) return self.whole:get(part or 0.95) end

--- What loading the model takes.
---@return number seconds
---@return boolean known
function Estimate:load()
  local least, real = least_load(self), quantiles.new()
  for i = 1, self.loads.n do
    if self.loads[i] > least then real:add(self.loads[i]) end -- else it has turned out to be none
  end
  local known = real:get(0.5)
  return known or LOAD, known ~= nil
end

--- How long a tool will run: the mean of what is left of its pause.
---@param tool string
---@param so_far? number seconds that it has run already
---@return number seconds
---@return boolean known
function Estimate:pause(tool, so_far)
  local known = self.pauses[tool] or self.pauses[""]
  if not known or known.n == 0 then return PAUSE, false end
  if so_far and so_far > 0 then return known:rest(so_far) or so_far, true end
  return known:get(0.5), true
end

--- Tokens a second that are read and written, for people.
---@param busy? integer
---@return number|nil prefill
---@return number|nil decode
function Estimate:speeds(busy)
  local cold = self.cold:get(0.5)
  return cold and cold > 0 and 1 / cold or nil, next(self.each) and 1 / each_of(self, busy) or nil
end

local function told(kept)
  local out = {}
  for name, known in next, kept do out[tostring(name)] = known:facts() end
  return out
end

--- What M.new takes.
---@return table facts plain data
function Estimate:facts()
  return { cold = self.cold:facts(), fixed = self.fixed:facts(), each = told(self.each), loads = self.loads:facts(),
    base = self.base:facts(), whole = self.whole:facts(), outputs = told(self.outputs), pauses = told(self.pauses) }
end

return M
