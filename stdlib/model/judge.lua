--- A small model's word on two questions: would one answer be right for both? The last gate of the semantic cache, where it is
--- asked for (`cache = { semantic = { judge = "model" } }`). A grammar binds what it says; anything else is an error, which the
--- cache takes for a no.

local errors = require "core.errors"
local json = require "core.json"
local terms = require "stoke.model.terms"

local M = {}

--- Seconds that it may take, with loading.
M.PATIENCE = 20
--- What it is asked; a question's own text stands between lines of its own.
M.TEXT = [[Two questions follow. Would one and the same answer be right for both?
A different name, number, unit, date, place, person, order, direction, condition or a "not" in one of them means no.

First question:
%s

Second question:
%s]]

local WHAT <const> = "cache.semantic.judge"
local SHAPE = { type = "object", properties = { same = { type = "boolean" } }, required = { "same" } }

--- Ask it.
---@param models table stoke.model, which asks
---@param name string the model
---@param endpoint? string
---@param a string
---@param b string
---@return boolean|nil same
---@return stoke.error? err
---
--- Example: `local same, err = judge.same(models, "qwen2.5:1.5b", nil, "Who wrote Emma?", "Who is the author of Emma?")`
function M.same(models, name, endpoint, a, b)
  local target = terms.target(WHAT, { cache = false }, models.open(name, endpoint))
  local answer, err = terms.within(WHAT, { deadline = M.PATIENCE }, target, models.ask, target, {},
    { { role = "user", content = M.TEXT:format(a, b) } }, nil, SHAPE, { temperature = 0, num_predict = 32 })
  if not answer then return nil, err end
  local said = json.decode(answer.text)
  if type(said) == "table" and type(said.same) == "boolean" then return said.same end
  return nil, errors.new("invalid_output", ("the judge %s said neither yes nor no: %s"):format(name, answer.text:sub(1, 80)))
end

return M
