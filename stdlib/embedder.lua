--- stoke.embedder: from a script to the C program that runs it by libstoke (host/api/stoke.h).
---
---     local embedder = require "stoke.embedder"
---     for event in bot:stream(question) do
---       if event.type == "text" then embedder.emit("text", event.text) end
---     end

local driver = require "core.driver.embedder"
local effect = require "core.effect"
local errors = require "core.errors"
local json = require "stoke.json"

local M = {}

--- Does a program hold this host? Under the command stoke: no.
---@return boolean
---
--- Example: `if embedder.embedded() then embedder.emit("ready") end`
function M.embedded() return driver.embedded() end

--- Tell the program something: its `event` function is called with the name, and the value as JSON, after this turn of the loop.
---@param name string
---@param value? any plain data
---@return boolean told false: no program holds this host
---Raises `argument` for a name that is no text, and for what JSON cannot say.
---
--- Example: `embedder.emit("progress", { done = 3, of = 10 })`
function M.emit(name, value)
  if type(name) ~= "string" or name:find "%z" then
    errors.argument("embedder.emit: a name expected, got %s", errors.describe(name))
  end
  local text = value == nil and "null" or json.encode(value)
  if not driver.embedded() then return false end
  errors.check(effect.perform("embedder.emit", { name = name, json = text }))
  return true
end

return M
