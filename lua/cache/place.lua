--- Where the answer to a call is kept: the key of what is asked, for each model that may answer it. Whether it is wanted as a whole
--- or piece by piece is not what is asked: a stream and a whole answer are one entry (lua/cache/value.lua).
---
--- What is asked goes into the key as the bytes that would be sent, so whatever a request says is part of it: messages, system
--- prompt, tools, schema, images, options, those of the model's profile among them. Beside them the digest of the model that the
--- server has under the name, how the answer is read, and the scope.

local files = require "core.cache.file"
local keys = require "core.cache.key"
local models = require "core.cache.models"

local M = {}

---@class core.cache.place
---@field kind "exact"
---@field key string
---@field target stoke.target
---@field digest string of the model
---@field text string what would be sent, were it asked for as a whole
---@field reading string how its answer is read
---@field unsure? boolean the server does not say which model it has now: it is the one that it had

local NONE <const> = {}

--- Paths of what is no question.
local OTHERS <const> = { ["/api/embed"] = true, ["/v1/embeddings"] = true }

--- Is an answer drawn at random, as far as anybody can say? Where no temperature is given the model's own counts, which is hardly
--- ever 0. A seed below 0 asks the server for one of its own choice, another each time.
local function is_sampled(q, target)
  local said, usual = q.body and q.body.options or NONE, target.sampling or NONE
  local seed, temperature = said.seed, said.temperature
  if seed == nil then seed = usual.seed end
  if temperature == nil then temperature = usual.temperature end
  if type(seed) == "number" and seed < 0 then seed = nil end
  return seed == nil and temperature ~= 0
end

--- The request for the answer as a whole.
local function as_a_whole(q)
  local out = {}
  for name, value in next, q do out[name] = value end
  out.sent, out.body = nil, {}
  for name, value in next, q.body do out.body[name] = value end
  out.body.stream = false
  return setmetatable(out, getmetatable(q))
end

--- What would be sent to a target, were it asked for the answer as a whole; or what that is made of.
---@param def stoke.effect
---@param q table
---@param target stoke.target
---@param work any the candidates of the call
---@return string|nil text nil: nobody can tell
function M.text(def, q, target, work)
  local whole = def.stream and q.body and as_a_whole(q) or q
  if q.body and not target.dialect.inventory then -- what is sent there changes with what is learned of the server
    local profile = target.profile
    return keys.canonical { whole.body, target.served or target.name, profile and profile.options or false }
  end
  local sent = rawget(whole, "sent")
  if not sent then
    local options
    options, sent = target.dialect.request(whole, target, false, nil, work)
    if not options or type(sent) ~= "string" then return nil end
  end
  return sent
end

--- How an answer is read is part of what it says; nearly all are read as they usually are.
local usual = {}

local function reading(q, target)
  local profile, split, any = target.profile, q.split_thinking, q.any_arguments
  local own = profile and profile.split_thinking
  if split == nil and not any and own == nil then
    local known = usual[q.path]
    if not known or known.protocol ~= q.protocol then
      known = { protocol = q.protocol, text = ("%s %s"):format(q.protocol, q.path) }
      usual[q.path] = known
    end
    return known.text
  end
  return ("%s %s %s %s %s"):format(q.protocol, q.path, tostring(split), tostring(any), tostring(own))
end

local KIND <const> = "exact"

M.RANDOM, M.NO_QUESTION = "its answer is drawn at random", "it is no question"

--- Who shares answers: those of one project, and in it of one scope.
---@param settings stoke.cache.settings
---@return string
function M.own(settings)
  local scope = settings.scope
  return scope and files.project() .. "\0" .. scope or files.project()
end

--- Where the answers of a call's candidates are kept, in their order.
---@param def stoke.effect
---@param q table
---@param call table of lua/effect.lua
---@param settings stoke.cache.settings
---@return core.cache.place[]|nil places with `key`, of all of them
---@return string|stoke.error why in words; an error of kind `cancelled`
function M.of(def, q, call, settings)
  if q.raw or q.method or OTHERS[q.path] then return nil, M.NO_QUESTION end
  local work, places, why = call.work, {}, "no model was found"
  for _, target in ipairs(type(work) == "table" and work or NONE) do
    if not settings.sampled and is_sampled(q, target) then return nil, M.RANDOM end
    local digest, reason, unsure = models.digest(target, settings.identity)
    if digest then
      local text = M.text(def, q, target, work)
      if not text then return nil, "its request cannot be told" end
      local read = reading(q, target)
      places[#places + 1] = { kind = KIND, target = target, digest = digest, text = text, reading = read, unsure = unsure,
        key = keys.of(KIND, read, text, digest, M.own(settings)) }
    else
      if reason.kind == "cancelled" then return nil, reason end
      why = reason.message
    end
  end
  local first = places[1]
  if not first then return nil, why end
  if not places[2] then
    places.key = first.key
  else
    local list = {}
    for i, place in ipairs(places) do list[i] = place.key end
    places.key = keys.of(table.unpack(list))
  end
  return places
end

--- Why an answer is not kept; nil: it may be.
---@param q table
---@param call table
---@param reason any why it ended
---@return string|nil
function M.unfit(q, call, reason)
  if reason == "length" then
    if call.amend then return "it was cut by a budget" end
    local options = q.body and q.body.options
    if not (options and options.num_predict) then return "it was cut by the context window" end
  elseif reason ~= "stop" and reason ~= "tool_calls" then
    return "it has no end"
  end
end

-- ---- variety ------------------------------------------------------------------------------------------------------------------

--- The conversations that asked for answers drawn at random, and what they got: none of them gets the same twice.
local given = setmetatable({}, { __mode = "k" })

--- The conversation of a call that wants others than it got.
---@param call table
---@param settings stoke.cache.settings
---@return table|nil
function M.unit_of(call, settings)
  if not settings.sampled then return nil end
  local work = call.work
  local run = type(work) == "table" and work.run or call.context.run
  while run and run.outer do run = run.outer end
  return run and run.history
end

--- Has the call's conversation got this answer already, and wants others?
---@param call table
---@param settings stoke.cache.settings
---@param place core.cache.place
---@return boolean
function M.was_given(call, settings, place)
  local unit = M.unit_of(call, settings)
  local list = unit and given[unit]
  return list ~= nil and list[place.key] == true
end

--- It gets it now.
---@param call table
---@param settings stoke.cache.settings
---@param place core.cache.place
function M.note_given(call, settings, place)
  local unit = M.unit_of(call, settings)
  if not unit then return end
  local list = given[unit]
  if not list then
    list = {}
    given[unit] = list
  end
  list[place.key] = true
end

return M
