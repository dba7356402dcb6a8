-- stoke export ID [FILE]: a durable run as one file.

local args = require "stoke.args"
local output = require "stoke.runs.output"
local runs = require "stoke.runs"
local show = require "stoke.show"
local stdio = require "core.stdio"

local SPEC = {
  name = "stoke export", summary = "Write a durable run into one file, which repeats it elsewhere, offline.",
  examples = { { "stoke export trip-7", "into trip-7.run" }, { "stoke export trip-7 bug.run", "into this file" },
               { "stoke export trip-7 cassettes/trip.jsonl", "a cassette, for a test with { cassette = \"trip\" }" },
               { "stoke replay bug.run --check", "elsewhere: repeat it without a call" },
               { "stoke show bug.run", "what it did" } },
  options = { { "json", type = "boolean", help = "the path as JSON" } },
  positionals = { { "id", help = "the run" },
                  { "file", optional = true, placeholder = "FILE",
                    help = "ends in .run, or in .jsonl for a cassette; else ID.run" } },
}

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local path = runs.export(a.id, a.file)
  if a.json then return output.print_json { path = path } end
  if path:find "%.jsonl$" then
    local name = path:match "([^/]*)%.jsonl$"
    return stdio.write(("%s: a test with { cassette = %q } beside its folder asks the same, offline\n"):format(path, name))
  end
  stdio.write(("%s: stoke replay %s --check repeats it\n"):format(path, show.word(path)))
end
