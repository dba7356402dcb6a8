-- stoke approve ID: approves or rejects the call that a durable run waits for.

local approve = require "stoke.approve"
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
  if type(value) == "table" then return value end
  errors.raise("usage", ("--args wants a JSON object: %s"):format(err and err.message or "got " .. errors.describe(value)))
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  if a.reject and a.args then errors.raise("usage", "--args are approved: they do not go with --reject") end
  local done = runs.approve(a.id, { of = a.of, reject = a.reject, args = arguments(a.args) })
  if a.json then return output.print_json(done) end
  stdio.write(("%s: #%d of %s: %s\n"):format(done.decision, done.number, approve.visible(done.id), words.what(done)))
end
