--- Structured output: the ladder from what a model wrote to a value that fits the schema.
---
---   constrain  the request has the schema as its format
---   validate   the text is JSON and fits
---   repair     damaged JSON is mended (stoke.reading), values of the wrong type are read where their meaning is plain
---   ask again  with the exact path that is wrong, as often as `repair` says
---
--- Every rung but the first two counts in usage.repairs. An answer that was cut off (`length`) is no invalid answer: asking
--- again would be cut again.

local errors = require "core.errors"
local repeats = require "stoke.agent.repeats"
local texts = require "stoke.agent.texts"

local M = {}

--- What the model is told of the shape.
---@param agent table its definition, with an output
---@return string
function M.instructions(agent)
  return texts.of("schema", agent.texts, { shape = agent.output:describe() })
end

--- What it is told of an answer that does not fit.
---@param agent table
---@param err stoke.error
---@return string
function M.complaint(agent, err)
  return texts.of("misfit", agent.texts, { problem = err.message })
end

--- The error of an answer that was cut.
---@param text string
---@param label string
---@param limit integer|nil num_predict
---@param shaped boolean|nil JSON was wanted
---@return stoke.error
function M.cut(text, label, limit, shaped)
  return errors.new("limit", ("the answer of %s was cut off after %d bytes%s, before %s"):format(label, #text,
    limit and limit > 0 and (" (num_predict = %d)"):format(limit) or "", shaped and "its JSON was complete" or "it said anything"),
    { text = text, hint = "raise options.num_predict, shorten what is asked for, or give the model a larger num_ctx" })
end

--- The error of an answer that did not end by itself.
---@param text string
---@param label string
---@param cap integer tokens it may have where nobody says
---@return stoke.error
function M.endless(text, label, cap)
  local cycle = repeats.cycle(text)
  return errors.new("limit", ("the answer of %s did not end: cut off after %d bytes, at %d tokens%s"):format(label, #text, cap,
    cycle and "; it repeats " .. repeats.shown(cycle) or ""),
    { text = text, limit = cap, hint = cycle and repeats.HINT or "options.num_predict sets another limit (-1: none)" })
end

return M
