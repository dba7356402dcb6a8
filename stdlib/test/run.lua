--- Runs the tests of one file in this process and tells each result as a line of JSON.

local approval = require "core.approval"
local json = require "core.json"
local isolation = require "core.isolation"
local random = require "core.random"
local script = require "core.script"
local stdio = require "core.stdio"
local stoke = require "stoke"
local test = require "stoke.test"
local text = require "stoke.tool.text"

local M = {}

--- One line. What failed may hold any bytes; JSON may not.
local function tell(record)
  for name, value in next, record do
    if type(value) == "string" then record[name] = text.utf8(value) end
  end
  stdio.write(json.encode(record) .. "\n")
end

--- What one test did: a result record without its name.
local function attempt(item, seed)
  local options = item.options
  if options.skip then return { skipped = tostring(options.skip) } end
  random.seed(seed)
  isolation.enter(options.real)
  local _, err = stoke.try(function()
    stoke.timeout(options.timeout or (options.real and 60 or 1e6), item.f, test.T)
  end)
  local left = isolation.leave()
  if err and rawget(err, "skipped") then return { skipped = err.message } end
  if err then
    local said = rawget(err, "failed") and err.message or tostring(err)
    return { failed = said, where = rawget(err, "where"), traceback = rawget(err, "traceback") }
  end
  if #left > 0 then return { failed = "left behind: " .. table.concat(left, "; ") } end
  return { passed = true }
end

--- Run the tests of a file.
---@param path string
---@param options { filter?: string, seed: integer }
---
--- Example: `run.file("tests/test_a.lua", { seed = 1 })`
function M.file(path, options)
  approval.asker = nil -- a test that needs an answer gives it
  local _, err = stoke.try(script.run_file, path, {})
  if err then
    tell { name = "(loading the file)", failed = tostring(err), traceback = rawget(err, "traceback") }
    return
  end
  for _, item in ipairs(test.list) do
    if not options.filter or item.name:find(options.filter) then
      tell { name = item.name, begins = true }
      local result = attempt(item, options.seed)
      result.name = item.name
      tell(result)
    end
  end
end

return M
