-- stoke logs: what was logged in runs whose spans were kept.

local age = require "stoke.cmd.age"
local args = require "stoke.args"
local config = require "stoke.config"
local errors = require "core.errors"
local log = require "stoke.log"
local stdio = require "core.stdio"
local stoke = require "stoke"
local term = require "stoke.term"
local time = require "stoke.time"
local traces = require "stoke.traces"

local SPEC = {
  name = "stoke logs", summary = "Show what stoke.log wrote, where traces are kept (stoke serve, stoke FILE --spans).",
  examples = { { "stoke logs", "the last 200 lines" },
               { "stoke logs --follow --level warn", "warnings and errors, as they come" },
               { "stoke logs last", "those of the run that ended last; stoke trace last --logs has them beside its spans" },
               { "stoke logs 4f2a", "of another trace; the first digits are enough" },
               { "stoke logs --since 10m --grep refund", "of ten minutes, with this text" },
               { "stoke logs --json | jq .msg", "for a script: as STOKE_LOG_FORMAT=json writes them" } },
  positionals = { { "trace", optional = true, placeholder = "ID|last", help = "of this trace alone" } },
  options = { { "follow", short = "f", type = "boolean", help = "go on with what comes, until Ctrl-C" },
              { "level", default = "debug", choices = { "debug", "info", "warn", "error" }, help = "this one and above" },
              { "since", placeholder = "AGE", help = "what is newer than this: 30s, 10m, 12h, 7d" },
              { "grep", placeholder = "TEXT", help = "with this text, in upper or lower case" },
              { "limit", short = "n", default = 200, help = "so many at most, the newest" },
              { "file", placeholder = "FILE", help = "another file of traces, such as bot/.stoke/traces.db" },
              { "json", type = "boolean", help = "one JSON object a line" } },
}

--- Seconds between two looks.
local EVERY <const> = 0.3

local function print_line(a, line)
  if a.json then return stdio.write(log.json(line) .. "\n") end
  if line.trace and not a.trace then -- which run it is of
    line.fields = line.fields or {}
    line.fields.trace = line.fields.trace or line.trace:sub(1, 12)
  end
  stdio.write(log.line(line, term.colour(1)) .. "\n")
end

--- What is there, or comes into being: the file of this project is waited for. One that was named has to be there.
local function look(a, asked)
  if not a.follow or a.file then return traces.logs(asked) end
  local lines, err = stoke.try(traces.logs, asked)
  if err and not err.absent then error(err, 0) end
  return lines or {}
end

--- The number of the newest line that there is now.
local function newest(a)
  local last = look(a, { limit = 1, file = a.file })[1]
  return last and last.n or 0
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  if a.limit < 1 then errors.raise("usage", ("--limit must be at least 1, not %d"):format(a.limit)) end
  local since = age.seconds(a.since, "--since", "10m")
  local asked = { trace = a.trace, level = a.level, grep = a.grep, limit = a.limit, file = a.file,
    since = since and time.now() - since }
  if config.flags().trace then -- before the verb has its arguments
    errors.raise("usage", "--trace is the runtime's own flag: it writes what the command does into a file",
      { hint = "stoke logs last, or stoke logs ID, shows the lines of one trace" })
  end
  local from = a.follow and newest(a)
  local found = look(a, asked)
  for _, line in ipairs(found) do print_line(a, line) end
  if not a.follow then
    if #found == 0 and not a.json then stdio.err "nothing was logged\n" end
    return
  end
  asked.after = math.max(from, found[1] and found[#found].n or 0)
  asked.limit, asked.since = 1000, nil
  while true do
    time.sleep(EVERY)
    local more = look(a, asked)
    for _, line in ipairs(more) do print_line(a, line) end
    asked.after = more[1] and more[#more].n or asked.after
  end
end
