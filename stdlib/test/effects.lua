--- The effects of a test, and the assertions about them.

local compare = require "stoke.test.compare"
local show = require "stoke.show"
local errors = require "core.errors"

local M = {}

---@class stoke.test.effect
---@field name string "tool.call", "llm.chat", "llm.stream", "http.request", "fs.read", ...
---@field tool? string of a tool's call: its name
---@field args? table of a tool's call
---@field model? string of a model's call
---@field about? string where it went: a model, URL, path, program
---@field error? string kind of the error it ended with
---@field message? string of that error
---@field input_tokens? integer
---@field output_tokens? integer
---@field start number seconds since 1970, of the test's clock
---@field queue number seconds it waited for a slot
---@field run number seconds it took
---@field request any what it was asked

--- A record of the span gate, as a test reads it.
---@param record table
---@return stoke.test.effect
---
--- Example: `list[#list + 1] = effects.of(record)`
function M.of(record)
  local q = record.request
  if record.name == "tool.call" then
    record.tool, record.args = q.name, q.args
  elseif record.name:find "^llm%." and type(q) == "table" then
    record.model = q.model or (type(q.body) == "table" and q.body.model) or nil
  end
  return record
end

--- Calls that did not come about: refused by the policy or by a person.
local REFUSED = { denied = true, needs_approval = true }

local function calls(list, tool)
  local out = {}
  for _, effect in ipairs(list) do
    if effect.tool and (tool == nil or effect.tool == tool) then out[#out + 1] = effect end
  end
  return out
end

--- Describes the calls, for a message.
local function listed(effects)
  if #effects == 0 then return "  (no tool was called)" end
  local lines = {}
  for i, effect in ipairs(effects) do
    if i > 20 then
      lines[#lines + 1] = ("  and %d more"):format(#effects - 20)
      break
    end
    lines[i] = ("  %s %s%s"):format(effect.tool, show.line(effect.args), effect.error and ("  -> " .. effect.error) or "")
  end
  return table.concat(lines, "\n")
end

--- Calls a model asked for that did not come about (no such tool, arguments that do not fit), as its later questions tell.
local function in_vain(list)
  local performed, last = {}, nil
  for _, effect in ipairs(list) do
    if effect.tool and effect.request.id then performed[effect.request.id] = true end
    if effect.model and type(effect.request.body) == "table" and effect.request.body.messages then last = effect.request.body end
  end
  local lines = {}
  for _, message in ipairs(last and last.messages or {}) do
    for _, call in ipairs(message.role == "assistant" and message.tool_calls or {}) do
      if call.id and not performed[call.id] and #lines < 10 then
        lines[#lines + 1] = ("  %s %s"):format(call["function"].name, show.line(call["function"].arguments))
      end
    end
  end
  return #lines > 0 and "\nasked for by a model, and not called:\n" .. table.concat(lines, "\n") or ""
end

local CALLED = { times = "number", error = "string" }

local function times_word(n) return n == 1 and "once" or ("%d times"):format(n) end

--- What is wrong with "this tool was called"; nil when nothing is.
---@param list stoke.test.effect[]
---@param tool string
---@param args? table
---@param options? { times?: integer, error?: string }
---@return string|nil
---
--- Example: `local wrong = effects.called(list, "get_weather", { city = "Oslo" })`
function M.called(list, tool, args, options)
  if type(tool) ~= "string" then errors.argument("t.called: the name of a tool expected, got %s", errors.describe(tool)) end
  if args ~= nil and type(args) ~= "table" and type(args) ~= "function" then
    errors.argument("t.called: arguments must be a table or a function, got %s", errors.describe(args))
  end
  options = errors.options(options, CALLED, "t.called")
  local found = {}
  for _, effect in ipairs(calls(list, tool)) do
    local outcome = not REFUSED[effect.error]
    if options.error then outcome = effect.error == options.error end
    if outcome and (args == nil or compare.partial(effect.args, args)) then found[#found + 1] = effect end
  end
  local fits
  if options.times then fits = #found == options.times else fits = #found > 0 end
  if fits then return nil, found end
  return ("expected a call of %s%s%s%s, got %s; what was called:\n%s"):format(tool,
    args ~= nil and " with " .. (type(args) == "table" and show.line(args) or "arguments that fit") or "",
    options.error and " that ends with " .. options.error or "",
    options.times and ", " .. times_word(options.times) or "",
    #found == 0 and "none" or tostring(#found), listed(calls(list))) .. in_vain(list)
end

--- Why "this tool was not called" fails. A refused call does not count.
---@param list stoke.test.effect[]
---@param tool? string nil: no tool at all
---@return string|nil
---
--- Example: `local wrong = effects.not_called(list, "shell")`
function M.not_called(list, tool)
  local found = {}
  for _, effect in ipairs(calls(list, tool)) do
    if not REFUSED[effect.error] then found[#found + 1] = effect end
  end
  if #found == 0 then return nil end
  return ("expected no call of %s, got %d:\n%s"):format(tool or "any tool", #found, listed(found))
end

local INFERENCE = { ["llm.chat"] = true, ["llm.stream"] = true }
local ASKED = { times = "number" }

local function same_model(a, b)
  local canonical = require "stoke.sim.models".canonical
  return canonical(a):lower() == canonical(b):lower()
end

--- What is wrong with "this model was asked".
---@param list stoke.test.effect[]
---@param model? string nil: any model
---@param options? { times?: integer }
---@return string|nil
---
--- Example: `local wrong = effects.asked(list, "qwen2.5:3b", { times = 2 })`
function M.asked(list, model, options)
  if model ~= nil and type(model) ~= "string" then
    errors.argument("t.asked: the name of a model expected, got %s", errors.describe(model))
  end
  options = errors.options(options, ASKED, "t.asked")
  local found, by_model, names = 0, {}, {}
  for _, effect in ipairs(list) do
    if INFERENCE[effect.name] and effect.model and not REFUSED[effect.error] then
      if model == nil or same_model(effect.model, model) then found = found + 1 end
      if not by_model[effect.model] then names[#names + 1] = effect.model end
      by_model[effect.model] = (by_model[effect.model] or 0) + 1
    end
  end
  local fits
  if options.times then fits = found == options.times else fits = found > 0 end
  if fits then return nil end
  for i, name in ipairs(names) do names[i] = ("  %s, %s"):format(name, times_word(by_model[name])) end
  return ("expected %s to be asked%s, it was asked %s; who was asked:\n%s"):format(model or "a model",
    options.times and " " .. times_word(options.times) or "", found == 0 and "never" or times_word(found),
    #names > 0 and table.concat(names, "\n") or "  (no model was asked)")
end

--- Tokens of all finished calls, in and out.
---@param list stoke.test.effect[]
---@return integer
---
--- Example: `print(effects.tokens(list))`
function M.tokens(list)
  local total = 0
  for _, effect in ipairs(list) do total = total + (effect.input_tokens or 0) + (effect.output_tokens or 0) end
  return total
end

return M
