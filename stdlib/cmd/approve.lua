-- stoke approve ID: approves or rejects the call that a durable run waits for.

local args = require "stoke.args"
local errors = require "core.errors"
local json = require "core.json"
local output = require "stoke.runs.output"
local runs = require "stoke.runs"
local stdio = require "core.stdio"
local words = require "stoke.runs.words"

local SPEC = {
  name = "stoke approve", summary = "Approve or reject the call that a durable run waits for, also while no process has the run.",
  examples = { { "stoke show trip-7", "what it waits for, with the exact arguments" },
               { "stoke approve trip-7", "approve it; if the run asks for something else by then, it keeps waiting" },
               { "stoke approve trip-7 --reject 'too expensive'", "the model reads why" },
               { "stoke approve trip-7 --of 6", "the call of record 6, if several calls of a run wait" },
               { "stoke approve trip-7 --args '{\"to\":\"Rome\"}'", "with other arguments" } },
  options = { { "reject", placeholder = "WHY", help = "reject it; the model reads why" },
              { "of", type = "integer", placeholder = "N", help = "number of the record, if several wait" },
              { "args", placeholder = "JSON", help = "approve it with these arguments in place of its own" },
              { "json", type = "boolean", help = "the decision as JSON" } },
  positionals = { { "id", help = "the run" } },
}

local function arguments(text)
  if not text then return nil end
  local value, err = json.decode(text)
  if type(value) == "table" and not text:find "^%s*%[" then return value end
  local got = err and err.message or "got " .. (type(value) == "table" and "a list" or errors.describe(value))
  errors.raise("usage", "--args wants a JSON object: " .. got)
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  if a.reject and a.args then errors.raise("usage", "--args are approved: they do not go with --reject") end
  local done = runs.approve(a.id, { of = a.of, reject = a.reject, args = arguments(a.args) })
  if a.json then return output.print_json(done) end
  local id = words.id { id = done.id, number = done.run }
  stdio.write(("%s: #%d of %s: %s%s\n"):format(done.decision, done.number, id, words.what(done),
    a.args and ", with " .. json.encode(done.args) or ""))
  if done.left then stdio.write(("no process has it: stoke resume %s continues it\n"):format(id)) end
end
