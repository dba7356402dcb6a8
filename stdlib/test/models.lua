--- Scripted models: a simulated Ollama for one test, in memory, whose models reply from the test's script.
---
--- A model without a script is there too, whatever its name, and answers by the simulator's own rules. Answers take no time unless
--- a reply says so.

local errors = require "core.errors"
local texts = require "core.text"
local show = require "stoke.show"

local M = {}

local ABILITIES = { "completion", "tools", "thinking", "vision", "insert" }

---@class stoke.test.model
---@field name string usable as `model =`
---@field calls integer how often it was asked
---@field requests table<integer, any> what it was asked: bodies as the server got them
---@field left integer replies that are not used yet
local Model = {}
Model.__index = function(self, key)
  local list = rawget(self, "script").list
  if key == "left" then return list and math.max(0, #list - self.calls) or 0 end
  return Model[key]
end
Model.__name = "stoke.test.model"

local function canonical(name) return require "stoke.sim.models".canonical(name):lower() end

local function last_words(request)
  local messages = request.messages
  local text = messages and #messages > 0 and messages[#messages].content or request.prompt or ""
  return show.line(#text > 120 and texts.head(text, 120) .. "..." or text)
end

local ORDINALS = { "st", "nd", "rd" }
local function ordinal(n)
  local tens = n % 100
  return n .. (tens >= 11 and tens <= 13 and "th" or ORDINALS[n % 10] or "th")
end

--- The next reply of a model. If there is none the test fails, however the code under test handles the error it gets.
local function next_reply(model, request, problems)
  model.calls = model.calls + 1
  local n, script = model.calls, model.script
  model.requests[n] = request
  local reply, what = script:answer(request, n)
  if reply then return reply end
  if what then
    what = "the script of a model failed: " .. what
  elseif script.make or script.list[n] then
    what = ("the function that scripts the model %s returned nothing for call %d"):format(model.name, n)
  else
    what = ("the script of the model %s has %d repl%s and was asked a %s time; its last message was %s"):format(
      model.name == "scripted" and request.model or model.name, #script.list,
      #script.list == 1 and "y" or "ies", ordinal(n), last_words(request))
  end
  problems[#problems + 1] = what
  return { error = what, status = 500 }
end

--- The models of one test.
---@class stoke.test.models
local Models = {}
Models.__index = Models

---@param problems string[] takes what makes the test fail
---@return stoke.test.models
---
--- Example: `local models = models.new(problems)`
function M.new(problems)
  return setmetatable({ by_name = {}, problems = problems }, Models)
end

--- The simulator itself, made when it is first needed.
function Models:sim()
  if self.made then return self.made end
  local made = require "stoke.sim".new {
    load_seconds = 0, tokens_per_second = 0, prefill = 0, slots = 8, script = function(request)
      local model = self.by_name[canonical(request.model)] or self.any
      return model and next_reply(model, request, self.problems)
    end,
  }
  local find = made.models.find
  made.models.find = function(list, name)
    local model = find(list, name)
    if model and not (self.any or self.by_name[canonical(name)]) then return model end
    if model and model.able then return model end
    model = require "stoke.sim.models".build({ name = name, caps = not (model and model.embed_only) and ABILITIES or nil },
      list.defaults)
    model.able = true
    list:put(model)
    return model
  end
  self.made = made
  return made
end

--- Give a model its script.
---@param name? string nil: every model that has no script of its own
---@param script table|fun(request: table, n: integer): any
---@return stoke.test.model
---
--- Example: `models:script("qwen2.5:3b", { "Hello" })`
function Models:script(name, script)
  local where = name and "t.model " .. name or "t.model"
  if name ~= nil and (type(name) ~= "string" or not require "stoke.sim.models".valid_name(name)) then
    errors.argument("t.model: the name of a model expected, got %s", errors.describe(name))
  end
  local model = setmetatable({ name = name or "scripted", calls = 0, requests = {},
    script = require "stoke.sim.script".read(script, where) }, Model)
  if name then self.by_name[canonical(name)] = model else self.any = model end
  return model
end

return M
