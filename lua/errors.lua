--- The one error shape, its kinds, and what each kind means for a retry and for the exit code.
---
--- An error is a table { kind, message, hint?, retryable, cause?, traceback? } with a shared metatable. `host.*` functions
--- and effect.perform return them as a second value; stdlib raises them.

local metatable = require "host.err".metatable
local ordered = require "core.ordered"
local site = require "host.task".site

local M = {}

--- Where the script is: "file:line", nil outside a task.
M.site = site

--- The same as a name for what has no other: without the words in brackets that tell the code of a run from that of the process
--- (lua/runs/code.lua), since a run that goes on names things as it did before.
---@return string|nil
function M.place()
  local at = site()
  return at and (at:gsub(" %(as [%a ]+%)", ""))
end

---@class stoke.error
---@field kind string one of errors.kinds
---@field message string what happened, where, in one line
---@field hint? string how to mend it
---@field where? string "file:line" in the script where it occurred
---@field retryable boolean whether the same call may work later
---@field cause? any the error that caused this one
---@field value? any the raised value, if neither a string nor an error object
---@field traceback? string
---@field suppressed? stoke.error[] later errors of sibling tasks
---@field waited? string of a deadline that ended a wait in the pool: what for ("waited 3.0 s for a slot of ...")

--- kind -> { exit code, may a retry help?, hint, was it refused before any side effect? }
M.kinds = {
  argument = { exit = 1 },
  script = { exit = 1 },
  os = { exit = 1 },
  replay = { exit = 1 },
  usage = { exit = 2, hint = "stoke --help shows how it is used" },
  auth = { exit = 3, hint = "check the key or the headers of this endpoint in stoke.config.lua, or OLLAMA_API_KEY" },
  refused = { exit = 4, retryable = true, hint = "is the server running there? (for a model server: ollama serve, or try --sim)" },
  dns = { exit = 4, retryable = true, hint = "check the host name" },
  tls = { exit = 4, hint = "check the certificate, or the scheme of the URL" },
  unreachable = { exit = 4, retryable = true, hint = "check the network and the address" },
  tool = { exit = 5 },
  http = { exit = 5 },
  overloaded = { exit = 5, retryable = true, hint = "the server is busy; call less at once or later" },
  protocol = { exit = 5, hint = "is this really the server that was meant? (stoke doctor)" },
  db = { exit = 5 },
  incomplete = { exit = 5, retryable = true, hint = "the other side stopped in the middle; asking again may work" },
  interrupted = { exit = 5, retryable = true, hint = "its recording ends in the middle; asking again may work" },
  in_doubt = { exit = 5, hint = "look whether it was done, then say so: stoke resolve ID --retry, --value JSON or --fail" },
  parked = { exit = 5 },
  invalid_output = { exit = 5 },
  context_overflow = { exit = 5, hint = "shorten the input, or give the model a larger num_ctx in its profile" },
  budget = { exit = 6, refusal = true }, -- refusal: no side effect has happened
  limit = { exit = 6 },
  max_steps = { exit = 6 },
  loop = { exit = 6 },
  denied = { exit = 7, refusal = true },
  needs_approval = { exit = 7, refusal = true },
  timeout = { exit = 124, retryable = true },
  deadline = { exit = 124 },
  cancelled = { exit = 130 },
  exit = { exit = 0 }, -- os.exit: unwinds like any error, never reported
}

--- Create an error object.
---@param kind string
---@param message string
---@param fields? table hint, cause, retryable and fields of the kind
---@return stoke.error
function M.new(kind, message, fields)
  local err = fields or {}
  err.kind, err.message = kind, message
  return setmetatable(err, metatable)
end

function metatable.__index(err, key)
  local kind = M.kinds[rawget(err, "kind")]
  if key == "retryable" then return kind ~= nil and kind.retryable or false end
  if key == "hint" then return kind and kind.hint end
  if key == "exit" then return kind and kind.exit or 1 end
end

function metatable.__tostring(err)
  local text = ("%s: %s"):format(err.kind, err.message)
  if rawget(err, "where") then text = ("%s\n  at %s"):format(text, err.where) end
  if err.hint then text = text .. "\n  hint: " .. err.hint end
  if err.cause and type(err.cause) == "table" and err.cause.message then
    text = text .. "\n  cause: " .. tostring(err.cause):gsub("\n", "\n  ")
  end
  return text
end

--- Is the value an error object of this module or the host?
function M.is(value)
  return type(value) == "table" and getmetatable(value) == metatable
end

--- Raise an error object.
---@param kind string
---@param message string
---@param fields? table
function M.raise(kind, message, fields)
  error(M.new(kind, message, fields), 0)
end

--- Raise kind `argument`: a mistake in the calling code.
---@param format string as string.format
function M.argument(format, ...)
  error(M.new("argument", select("#", ...) > 0 and format:format(...) or format), 0)
end

--- Describe a value, for messages about arguments.
---@param value any
---@return string `the string "1"`, `a table { code, why }`, `3.5`
function M.describe(value)
  if type(value) == "string" then return ("the string %q"):format(#value > 40 and value:sub(1, 40) .. "..." or value) end
  if type(value) ~= "table" then return tostring(value) end
  local names = {}
  for key in next, value do names[#names + 1] = tostring(key) end
  table.sort(names)
  return ("a table { %s }"):format(table.concat(names, ", ", 1, math.min(#names, 8)))
end

--- A name that somebody gave, for messages that say what it should name: "there is no ...".
---@param name any
---@return string `"ada"` for a text; anything else as M.describe says it
function M.named(name) return type(name) == "string" and M.describe(name):sub(#"the string " + 1) or M.describe(name) end

--- Turns `nil, err` into a raise, for stdlib: `return errors.check(effect.perform(...))`.
---@generic T
---@param value T
---@param err? stoke.error
---@return T value
function M.check(value, err)
  if err ~= nil then error(err, 0) end
  return value
end

--- The error for an allocation that the host's memory limit refused, or nil. lua/overrun.lua replaces this function.
function M.refused() return nil end

--- Convert a raised value into an error object: strings become kind `script`, Lua's memory error kind `os`.
---@param raised any
---@return stoke.error
function M.wrap(raised)
  if M.is(raised) then return raised end
  -- the runtime called a native function with an argument of the script
  local complaint = type(raised) == "string" and raised:match "^stoke:[^:]+:%d+: (bad argument .*)"
  if complaint then return M.new("argument", complaint) end
  if raised == "not enough memory" then return M.refused() or M.new("os", "out of memory") end -- Lua's message
  if type(raised) == "string" then return M.new("script", raised) end
  return M.new("script", "an error that is no text: " .. M.describe(raised), { value = raised })
end

--- Is the value callable?
---@param value any
---@return boolean
function M.callable(value)
  if type(value) == "function" then return true end
  local meta = type(value) == "table" and getmetatable(value)
  return type(meta) == "table" and type(meta.__call) == "function"
end

--- Messages that Lua itself raises for bugs in the code; they may have been caught and raised again.
local MISTAKES = { "^attempt to ", "^bad argument #", "^stack overflow", "^assertion failed!$", "^undefined variable '",
  "^assignment to the undeclared global " }

--- Is this a bug of the code that raised it: an error of Lua itself, not one raised on purpose (a string or value passed to error
--- or assert, an error object, a refusal)?
---@param err stoke.error
---@return boolean
function M.bug(err)
  if err.kind ~= "script" then return false end
  if rawget(err, "own") then return true end
  local words = err.message:match "^[^\n]-:%d+: (.*)$" or err.message
  for _, pattern in ipairs(MISTAKES) do
    if words:find(pattern) then return true end
  end
  return false
end

--- Message handler: returns the raised value; for a call of nil, names the object and suggests its methods.
---@param raised any
---@return any
function M.mended(raised)
  if type(raised) ~= "string" then return raised end
  local names = raised:find(": attempt to ", 1, true) and require "core.names"
  if names and raised:find "^stoke:" then raised = names.misuse(raised) end
  if names and type(raised) == "string" and raised:find("attempt to call a nil value", 1, true) then return names.better(raised) end
  return raised
end

--- Message handler for xpcall: returns an error object with its place and whether Lua itself raised it (`own`).
function M.handler(raised)
  local err = M.wrap(M.mended(raised))
  if type(raised) == "string" and err.kind == "script" then
    local from = debug.getinfo(2, "f")
    if from and from.func ~= error and from.func ~= assert then err.own = true end
  end
  if not rawget(err, "where") and err.kind ~= "script" and err.kind ~= "usage" then err.where = site() end
  if not rawget(err, "traceback") then err.traceback = debug.traceback("", 2):gsub("^\n", "") end
  return err
end

--- A traceback without the runtime's own frames.
---@param traceback string
---@return string text
---@return integer lines
function M.own_frames(traceback)
  local lines = {}
  for line in traceback:gmatch "[^\n]+" do
    local ours = line:find("\tstoke:", 1, true) or line:find("\t[C]:", 1, true) or line:find("\t(...tail", 1, true)
    if not ours then lines[#lines + 1] = line end
  end
  return table.concat(lines, "\n"), #lines
end

--- A traceback without the runtime's own frames; nil if the remaining frames add nothing to the message. Unfiltered if STOKE_DEBUG
--- is set.
---@param traceback string
---@return string|nil
function M.readable(traceback)
  if os.getenv "STOKE_DEBUG" then return traceback end
  local text, lines = M.own_frames(traceback)
  return lines > 3 and text or nil -- heading, the place itself, "in task main"
end

--- Edit distance with transpositions (optimal string alignment), for did-you-mean; nil where it is above `most`.
local function distance(a, b, most)
  local rows, least = { [0] = {} }, 0
  for j = 0, #b do rows[0][j] = j end
  for i = 1, #a do
    local row, before = { [0] = i }, least
    rows[i], least = row, i
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      row[j] = math.min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        row[j] = math.min(row[j], rows[i - 2][j - 2] + 1)
      end
      least = math.min(least, row[j])
    end
    if least > most and before > most then return nil end -- what follows is made of the last two rows
  end
  return rows[#a][#b] <= most and rows[#a][#b] or nil
end

--- Longest word that is compared, in bytes: the work is the product of both lengths.
local LONGEST = 100

--- The entry of `list` that `word` was probably meant to be.
---@param word string
---@param list string[]
---@return string|nil
function M.suggest(word, list)
  local best, best_distance
  word = word:lower()
  for _, candidate in ipairs(list) do
    local most = math.max(1, #candidate * 2 // 5)
    most = math.min(most, math.max(#candidate, #word) - 1) -- something has to be the same: "x" is not meant to be "a"
    if best then most = math.min(most, best_distance - 1) end
    if #candidate <= LONGEST and math.abs(#candidate - #word) <= most then -- otherwise their lengths differ too much
      local d = distance(word, candidate:lower(), most)
      if d then best, best_distance = candidate, d end
    end
  end
  return best
end

local function fits(value, wanted) return type(value) == wanted or wanted == "function" and M.callable(value) end

--- The equivalent of an option of other libraries.
---@param what string whose options they are: "http.get", "options"
---@param name string
---@return string|nil
function M.elsewhere(what, name) return (require "core.foreign".options[what] or {})[name] end

local function wrong_option(options, known, what)
  local wrong = {}
  for name, value in next, options do
    local wanted = known[name]
    if not wanted or wanted ~= true and not fits(value, wanted) then wrong[#wrong + 1] = tostring(name) end
  end
  table.sort(wrong)
  local name = wrong[1]
  for key in next, options do
    if tostring(key) == name then
      if known[key] then M.argument("%s: option %s must be a %s, got %s", what, name, known[key], type(options[key])) end
    end
  end
  local here = M.elsewhere(what, name)
  if here then M.argument("%s: unknown option %s; here it is %s", what, name, (here:gsub("%%s", name))) end
  local near = M.suggest(name, ordered.names(known))
  M.argument("%s: unknown option %s%s", what, name, near and (" (did you mean %s?)"):format(near) or "")
end

--- Check an options table against its known names; raises `argument` with did-you-mean, or with the equivalent of another library's
--- name (lua/foreign.lua).
---@param options table|nil
---@param known table<string, true|string> name -> true, or the Lua type wanted
---@param what string whose options these are, for the message
---@return table options never nil
function M.options(options, known, what)
  if options == nil then return {} end
  if type(options) ~= "table" then M.argument("%s: options must be a table, got %s", what, type(options)) end
  for name, value in next, options do
    local wanted = known[name]
    if not wanted or wanted ~= true and not fits(value, wanted) then wrong_option(options, known, what) end
  end
  return options
end

--- Check a list: no holes and no other keys, which ipairs would skip silently.
---@param what string
---@param list any
---Raises `argument`, also for what is no table.
function M.list(what, list)
  if type(list) ~= "table" then M.argument("%s must be a list, got %s", what, M.describe(list)) end
  local count = 0
  for key in next, list do
    count = count + 1
    if math.type(key) ~= "integer" or key < 1 then
      M.argument("%s must be a list without names or gaps; it has the key %s", what, M.describe(key))
    end
  end
  for i = 1, count do
    if list[i] == nil then M.argument("%s must be a list without names or gaps; [%d] is missing", what, i) end
  end
end

-- ---- arguments -------------------------------------------------------------------------------------------------------------

--- Check that a value is callable: a function, or a table with __call such as stoke.choose.
---@param f any
---@param what string for the message
---Raises `argument`.
function M.check_callable(f, what)
  if not M.callable(f) then M.argument("%s: a function expected, got %s", what, type(f)) end
end

---@param seconds any
---@param what string for the message
---Raises `argument` unless it is a number of at least 0.
function M.check_seconds(seconds, what)
  if type(seconds) ~= "number" or not (seconds >= 0) then
    M.argument("%s: seconds must be a number >= 0, got %s", what, tostring(seconds))
  end
end

---@param kind any
---@param what string for the message
---Raises `argument` for an unknown kind.
function M.check_kind(kind, what)
  if M.kinds[kind] then return end
  local near = M.suggest(tostring(kind), ordered.names(M.kinds))
  M.argument("%s: there is no kind %s%s", what, tostring(kind), near and (" (did you mean %s?)"):format(near) or "")
end

--- Raise an error of a kind, which determines its exit code and whether a retry may help (lua/errors.lua lists the kinds).
---@param kind string "tool", "invalid_output", "limit", "denied", "usage" ...
---@param message string what happened, in one line
---@param hint? string how to mend it
---Raises that error; `argument` for an unknown kind.
---
--- Example: `stoke.raise("limit", "the report has more than 10 pages", "ask for less")`
function M.raise_checked(kind, message, hint)
  M.check_kind(kind, "stoke.raise")
  if type(message) ~= "string" then M.argument("stoke.raise: the message must be a string, got %s", type(message)) end
  M.raise(kind, message, { hint = hint })
end

return M
