-- stoke hosts: the hosts that share runs.

local args = require "stoke.args"
local effect = require "core.effect"
local errors = require "core.errors"
local json = require "stoke.json"
local runs = require "core.runs"
local stdio = require "core.stdio"
local term = require "stoke.term"
require "core.driver.hosts"
require "stoke.workflow"

local SPEC = {
  name = "stoke hosts", summary = "List the hosts that share runs: the workers of an engine.",
  examples = { { "stoke hosts --engine postgres://db/stoke", "who works, on how many runs, and when each was heard last" },
               { "stoke hosts --json", "one JSON object a line; the engine is that of the settings, or STOKE_ENGINE" } },
  options = { { "engine", placeholder = "URL", help = "what the hosts share" },
              { "json", type = "boolean", help = "one JSON object a line" } },
}

local function state(one)
  if one.gone then return ("gone: not heard for %s"):format(term.duration(one.seen_ago)) end
  return ("heard %s ago"):format(term.duration(one.seen_ago))
end

local function table_of(list)
  local rows = { { "NAME", "VERSION", "UP", "RUNS", "AT WORK", "SLOTS", "LOAD", "DONE", "STATE" } }
  for i, one in ipairs(list) do
    rows[i + 1] = { term.clean(one.name), term.clean(one.version), term.duration(one.up), ("%d"):format(one.runs),
      ("%d"):format(one.busy), ("%d"):format(one.slots), ("%.0f %%"):format(100 * one.load), ("%d"):format(one.done), state(one) }
  end
  term.table(rows, { right = { [4] = true, [5] = true, [6] = true, [7] = true, [8] = true } })
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  if a.engine then runs.engine = function() return a.engine end end
  if not runs.engine() then
    errors.raise("usage", "stoke hosts wants an engine, which the hosts share",
      { hint = "--engine postgres://HOST/DATABASE, STOKE_ENGINE, or engine in the settings" })
  end
  local list = errors.check(effect.perform("hosts.list", {}))
  if a.json then
    for _, one in ipairs(list) do stdio.write(json.encode(one) .. "\n") end
    return
  end
  if #list == 0 then return stdio.err "no host shares runs by this engine: stoke worker FILE is one\n" end
  table_of(list)
end
