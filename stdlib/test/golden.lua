--- Golden files: the output of a test, stored beside it, reviewed once and compared from then on.

local compare = require "stoke.test.compare"
local show = require "stoke.show"
local errors = require "core.errors"
local fs = require "stoke.fs"

local M = {}

--- Compare with a golden file, or write it.
---@param world stoke.test.world
---@param name string
---@param value any a text, or a value that is printed
---@return string|nil wrong
---
--- Example: `local wrong = golden.check(world, "report", text)`
function M.check(world, name, value)
  if type(name) ~= "string" or not name:find "^[%w_][%w_. -]*$" then
    errors.argument("t.golden: the name must be letters, digits, `_`, `-`, `.` or blanks, got %s", errors.describe(name))
  end
  local folder = world.folder .. "golden"
  local path = ("%s/%s.txt"):format(folder, name)
  local text = type(value) == "string" and value or show.pretty(value)
  if text:sub(-1) ~= "\n" then text = text .. "\n" end
  local known = fs.stat(path) and fs.read(path)
  if known == text then return nil end
  if world.update then
    fs.mkdir(folder, { parents = true })
    fs.write(path, text)
    world.written[#world.written + 1] = path
    return nil
  end
  if not known then
    return ("there is no golden file %s; look at this and write it with:\n  %s\n%s"):format(path, world.again "--update", text)
  end
  return ("%s: %s\nif it is right as it is now: %s"):format(path, compare.texts(text, known), world.again "--update")
end

return M
