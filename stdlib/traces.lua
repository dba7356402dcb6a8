--- stoke.traces: what took how long in a run: its spans as a tree, and what differs between two runs.
---
---     local trace = stoke.traces.get "last"
---     for _, span in ipairs(trace.spans) do print(("  "):rep(span.depth) .. span.name, span.about, span.seconds) end
---
--- Spans are kept where they are asked for: `stoke FILE --spans`, `traces = true` in the settings; what serves keeps them unless
--- the settings say `traces = false`. `stoke trace` draws them.

local config = require "stoke.config"
local effect = require "core.effect"
local errors = require "core.errors"
local trees = require "stoke.traces.tree"

require "core.driver.traces"

local M = {}

local perform, check = effect.perform, errors.check

---@class stoke.traces.summary
---@field id string 32 hex digits
---@field name string of its first span: "script", "agent.run", "serve.request" ...
---@field about? string
---@field start number seconds since 1970
---@field seconds number
---@field spans integer
---@field calls integer of models
---@field errors integer spans that ended in one
---@field input_tokens integer
---@field output_tokens integer

---@class stoke.traces.span
---@field id string 16 hex digits
---@field parent? string
---@field depth integer 0: nothing is around it
---@field path string names from the top, with numbers where a name comes again: "script/agent.run umbrella/llm.chat a#2"
---@field name string
---@field about? string a model, a tool, an address
---@field start number seconds since 1970
---@field at number seconds after the beginning of the trace
---@field seconds number with its wait
---@field queue number seconds of waiting before it began
---@field run number seconds of work
---@field load? number seconds of loading its model
---@field prefill? number seconds of reading the prompt
---@field decode? number seconds of writing
---@field first? number seconds to the first event of a stream
---@field input_tokens? integer
---@field output_tokens? integer
---@field cached? string which cache answered
---@field attempts? integer
---@field error? string kind
---@field request? string JSON, where requests are kept

---@class stoke.traces.trace
---@field id string
---@field start number
---@field seconds number
---@field spans stoke.traces.span[] each before those below it
---@field totals { calls: integer, input_tokens: integer, output_tokens: integer, queue: number, load: number, prefill: number,
---  decode: number, errors: integer } of the calls of models

---@class stoke.traces.line a line of the log
---@field n integer its number in the file: it grows
---@field time number seconds since 1970
---@field level "debug"|"info"|"warn"|"error"
---@field message string
---@field fields? table
---@field trace? string of the span in which it was written
---@field span? string

local function file_of(what, options)
  options = errors.options(options, { file = "string", limit = "number" }, what)
  return options.file, options
end

--- Traces that were kept, the newest first.
---@param options? { file?: string, limit?: integer } file: another one than that of the present folder (or of this script); limit:
---  so many at most (50)
---@return stoke.traces.summary[]
---Raises `usage` where none are kept, `argument`, `db`.
---
--- Example: `for _, trace in ipairs(stoke.traces.list()) do print(trace.id, trace.about, trace.seconds) end`
function M.list(options)
  local file, given = file_of("traces.list", options)
  return check(perform("traces.list", { file = file, limit = given.limit or 50 }))
end

--- One trace.
---@param id string its id, or the beginning of it; "last": the one that ended last
---@param options? { file?: string }
---@return stoke.traces.trace
---Raises `usage` where there is none, `argument`, `db`.
---
--- Example: `print(stoke.traces.get("last").totals.calls)`
function M.get(id, options)
  if type(id) ~= "string" or id == "" then errors.argument("traces.get: an id expected, got %s", errors.describe(id)) end
  local file = file_of("traces.get", options)
  config.get()
  return trees.of(check(perform("traces.get", { file = file, id = id })))
end

local LINES <const> = { file = "string", limit = "number", trace = "string", level = "string", since = "number", grep = "string",
  after = "number" }
local LEVELS <const> = { debug = true, info = true, warn = true, error = true }

--- Lines that stoke.log has written, where traces are kept: the newest of those that are asked for, oldest first.
---@param options? { trace?: string, level?: string, since?: number, grep?: string, limit?: integer, after?: integer,
---  file?: string } trace: of this one alone (its id, the first digits of it, or "last"); level: of this one and above; since:
---  seconds since 1970; grep: with this text in message or fields, in upper or lower case; limit: so many at most (1000); after:
---  the first ones behind this `n`, instead of the newest
---@return stoke.traces.line[]
---Raises `usage` where none are kept, `argument`, `db`.
---
--- Example: `for _, line in ipairs(stoke.traces.logs { level = "warn" }) do print(line.message, line.trace) end`
function M.logs(options)
  options = errors.options(options or {}, LINES, "traces.logs")
  if options.level and not LEVELS[options.level] then
    errors.argument("traces.logs: level must be debug, info, warn or error, not %s", options.level)
  end
  config.get()
  return check(perform("traces.logs", { file = options.file, trace = options.trace, level = options.level,
    since = options.since, grep = options.grep, after = options.after, limit = options.limit or 1000 }))
end

--- What became slower, longer or other between two traces: see stoke.traces.compare.
---@param a string|stoke.traces.trace the one before
---@param b string|stoke.traces.trace the one after
---@param options? { file?: string }
---@return stoke.traces.difference
---
--- Example: `for _, change in ipairs(stoke.traces.diff("4f2a", "last").changes) do print(change.path, change.seconds) end`
function M.diff(a, b, options)
  if type(a) == "string" then a = M.get(a, options) end
  if type(b) == "string" then b = M.get(b, options) end
  if type(a) ~= "table" or type(b) ~= "table" or not a.spans or not b.spans then
    errors.argument("traces.diff: two traces, or their ids, expected")
  end
  return require "stoke.traces.compare".of(a, b)
end

return M
