--- A tool that runs Lua code a model has written: arithmetic, text and tables that it would otherwise do in its head.
---
--- Each call is a process of its own (about 8 ms) with nothing but memory and time: no files, no programs, no network, no
--- modules. It has string, table, math, utf8, coroutine and print.

local effect = require "core.effect"
local errors = require "core.errors"
require "core.driver.luabox"
local tool = require "stoke.tool"

local M = {}

local OPTIONS = { name = "string", description = "string", memory = "number", cpu = "number", max_output = "number",
  needs_approval = true, require = "string" }
local REQUIRE = { landlock = true, seccomp = true, ["landlock+seccomp"] = true }

local MIB = 1 << 20
local MEMORY, CPU, OUTPUT = 32 * MIB, 2, 16384

local DESCRIPTION = "Run Lua 5.4 code and get what it prints and the values it returns, for example "
  .. "`return 17 * 23` or `local s = 0 for i = 1, 100 do s = s + i end return s`. There are string, table, math, utf8, "
  .. "coroutine and print; no files, no network, no modules. Nothing is kept from one call to the next."

local function number(options, name, default, low, high)
  local value = options[name]
  if value == nil then return default end
  if not (value >= low and value <= high) then
    errors.argument("lua_eval: %s must be %g to %g, got %s", name, low, high, tostring(value))
  end
  return value
end

--- What the model reads.
local function answer(got)
  local printed, text = got.printed, got.text
  if printed ~= "" and printed:sub(-1) ~= "\n" then printed = printed .. "\n" end
  if got.verdict == "ok" then
    if text == "" and printed == "" then return "(no result: return a value, or print it)" end
    return (printed .. text):gsub("\n$", "")
  end
  errors.raise("tool", printed == "" and text or ("%s\nprinted before: %s"):format(text, printed))
end

---@class stoke.tools.lua.options
---@field name? string "lua_eval"
---@field description? string what the model reads about it
---@field memory? integer bytes; 32 MiB when not given
---@field cpu? number seconds of processor time; 2
---@field max_output? integer bytes that the model reads; 16384
---@field needs_approval? boolean|function as in stoke.tool
---@field require? string "landlock", "seccomp" or "landlock+seccomp", as in proc.run's sandbox

--- A tool with one parameter, `code`. An expression is enough; else what the code returns is the result. Tables are shown as
--- Lua would write them, with their keys sorted.
---@param options? stoke.tools.lua.options
---@return stoke.tool
---Raises `argument`. A call raises `tool` when the code fails or is stopped, `denied` when its sandbox cannot be had.
---
--- Example: `print(lua_eval():call { code = "return 17 * 23" })`
function M.lua_eval(options)
  options = errors.options(options, OPTIONS, "lua_eval")
  local memory = math.floor(number(options, "memory", MEMORY, MIB, 1 << 40))
  local cpu = number(options, "cpu", CPU, 0.001, 3600)
  local max_output = math.floor(number(options, "max_output", OUTPUT, 64, 16 * MIB))
  if options.require and not REQUIRE[options.require] then
    errors.argument("lua_eval: require must be \"landlock\", \"seccomp\" or \"landlock+seccomp\", not %q", options.require)
  end
  return tool {
    name = options.name or "lua_eval", description = options.description or DESCRIPTION,
    params = { code = "string: Lua 5.4 code; its return values are the result" },
    needs_approval = options.needs_approval, idempotent = true, timeout = cpu + 30, max_output = max_output,
    run = function(args)
      local got, err = effect.perform("lua.eval", {
        code = args.code, memory = memory, cpu = cpu, max_output = max_output, require = options.require,
      })
      return answer(errors.check(got, err))
    end,
  }
end

return M
