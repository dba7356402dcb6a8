-- stoke resolve ID: settles an effect in doubt.

local args = require "stoke.args"
local errors = require "core.errors"
local json = require "core.json"
local output = require "stoke.runs.output"
local runs = require "stoke.runs"
local stdio = require "core.stdio"
local words = require "stoke.runs.words"

local SPEC = {
  name = "stoke resolve",
  summary = "Say what happened to an effect in doubt: one that had begun when its process ended, before its "
    .. "outcome was recorded.",
  examples = { { "stoke show trip-7", "which one, and what it was asked to do" },
               { "stoke resolve trip-7 --retry", "it did not happen: do it" },
               { "stoke resolve trip-7 --value '{\"booking\":\"K7Q\"}'", "it happened, with this outcome" },
               { "stoke resolve trip-7 --fail 'the bank was down'", "it failed: the run gets an error" } },
  options = { { "retry", type = "boolean", help = "it did not happen: do it" },
              { "value", placeholder = "JSON", help = "it happened, with this outcome" },
              { "fail", placeholder = "WHY", help = "it failed" },
              { "of", type = "integer", placeholder = "N", help = "number of the record, if several are in doubt" },
              { "json", type = "boolean", help = "the decision as JSON" } },
  positionals = { { "id", help = "the run" } },
}

local function value_of(text)
  if not text then return nil end
  local value, err = json.decode(text)
  if not err then return value end
  errors.raise("usage", "--value is no JSON: " .. err.message, { hint = "a text stands in quotes: --value '\"...\"'" })
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local said = (a.retry and 1 or 0) + (a.value and 1 or 0) + (a.fail and 1 or 0)
  if said ~= 1 then
    errors.raise("usage", said == 0 and "what happened to it? --retry, --value JSON or --fail WHY" or
      "--retry, --value and --fail exclude each other", { hint = "stoke show ID says what is in doubt" })
  end
  local done = runs.resolve(a.id, { of = a.of, retry = a.retry, value = value_of(a.value), fail = a.fail })
  if a.json then return output.print_json(done) end
  local verdict = a.retry and "to be done again" or a.value and "done, with the given outcome" or "failed"
  local id = words.id { id = done.id, number = done.run }
  stdio.write(("#%d of %s: %s: %s\n"):format(done.number, id, words.what(done), verdict))
  stdio.write(("stoke resume %s continues it; so does a script that defines its workflow\n"):format(id))
end
