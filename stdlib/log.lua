-- stoke.log: structured logging to stderr, one line per event:
--
--     12:03:04 info  model loaded  model=qwen2.5:3b seconds=2.1
--
-- or, with STOKE_LOG_FORMAT=json, one JSON object a line, with the trace and the span in which it
-- was written (trace_id, span_id). Logging never raises: whatever value it is given, it prints
-- something. What is secret by its name, and secrets that this process knows, are left out.
--
-- Where traces are kept, so are the lines: `stoke logs` shows them.

local json = require "core.json"
local spans = require "core.gate.span"
local stdio = require "core.stdio"
local time = require "stoke.time"

local M = {}

local RANK = { debug = 1, info = 2, warn = 3, error = 4, off = 5 }
local STYLE = { debug = "dim", info = "green", warn = "yellow", error = "red" }

---The levels, quietest last.
M.levels = { "debug", "info", "warn", "error", "off" }

---@class stoke.log.record a line, as those get it who listen
---@field time number seconds since 1970
---@field level "debug"|"info"|"warn"|"error"
---@field message string
---@field fields? table plain data that JSON can hold
---@field trace? string 32 hex digits
---@field span? string 16 hex digits

local listeners = {} ---@type fun(record: stoke.log.record)[]

---Tell somebody of each line that is written, too. What it raises is dropped.
---@private
---@param listener fun(record: stoke.log.record)
---
---Example: `log.listen(traces.log)`
function M.listen(listener)
  for _, other in ipairs(listeners) do
    if other == listener then return end
  end
  listeners[#listeners + 1] = listener
end

local settings = { level = "info", format = "text", colour = nil, write = nil, now = nil }

---Set where and how much is written. Only what is given changes; values that are no level or no
---format are ignored (stoke.config checks them, and names the place they came from).
---`write(line)` and `now()`, wall seconds, stand in for stderr and the clock.
---@param opts {level?: string, format?: string, colour?: boolean, write?: function, now?: function}
---
---Example: `log.configure { level = "debug", format = "json" }`
function M.configure(opts)
  if RANK[opts.level] then settings.level = opts.level end
  if opts.format == "text" or opts.format == "json" then settings.format = opts.format end
  if opts.colour ~= nil then settings.colour = opts.colour end
  if opts.write then settings.write = opts.write end
  if opts.now then settings.now = opts.now end
end

---The level in force.
---@return string
---
--- Example: `print(log.level())`
function M.level() return settings.level end

---True when a line of this level would be written: ask before building an expensive field.
---@param level string
---@return boolean
---
---Example: `if log.enabled "debug" then log.debug("state", { size = measure() }) end`
function M.enabled(level) return (RANK[level] or 0) >= RANK[settings.level] end

-- Any value as text, without ever raising: a __tostring may fail, a __name may be no string.
local function show(v)
  if type(v) == "string" then return v end
  if math.type(v) == "float" and v == math.floor(v) and math.abs(v) < 1e15 then
    return ("%.0f"):format(v)
  end
  if math.type(v) == "float" then return ("%.6g"):format(v) end
  local ok, text = pcall(tostring, v)
  return ok and text or "<" .. type(v) .. ">"
end

local function has_tostring(v)
  local ok, mt = pcall(getmetatable, v)
  return ok and type(mt) == "table" and rawget(mt, "__tostring") ~= nil
end

local function valid_utf8(s)
  if utf8.len(s) then return s end
  return (s:gsub("[\x80-\xFF]", "?"))
end

local redact -- once something is written

local function ready() redact = redact or require "core.redact" end

-- A copy json.encode cannot refuse: keys are strings, no cycles, no functions, no NaN, four deep.
local function plain(v, depth)
  local kind = type(v)
  if kind == "string" then return valid_utf8(v) end
  if kind == "boolean" then return v end
  if kind == "number" then
    if v ~= v or v == math.huge or v == -math.huge then return show(v) end
    return v
  end
  if kind ~= "table" or has_tostring(v) then return valid_utf8(show(v)) end
  if depth == 0 then return "..." end
  local out, n = {}, #v
  if n > 0 then
    for i = 1, n do out[i] = plain(rawget(v, i), depth - 1) end
    return json.array(out)
  end
  for k, item in next, v do
    local name = valid_utf8(show(k))
    out[name] = plain(redact.field(name, item), depth - 1)
  end
  return json.object(out)
end

local function compact(v)
  local ok, text = pcall(function() return json.encode(redact.clean(plain(v, 4))) end)
  return ok and text or "<" .. type(v) .. ">"
end

local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
local function escape(text)
  return (valid_utf8(text):gsub("[%c\127]", function(c)
    return ESCAPES[c] or ("\\x%02x"):format(c:byte())
  end))
end

local function quoted(v)
  local text
  if type(v) == "table" and not has_tostring(v) then text = compact(v) else text = redact.known(show(v)) end
  if text ~= "" and not text:find "[%s%c\"=\127]" then return valid_utf8(text) end
  return '"' .. escape(text:gsub("\\", "\\\\"):gsub('"', '\\"')) .. '"'
end

local function sorted(fields)
  local keys, values = {}, {}
  for k, v in next, fields do
    local name = show(k)
    if values[name] == nil then keys[#keys + 1] = name end
    values[name] = redact.field(name, v)
  end
  table.sort(keys)
  return keys, values
end

local function text_line(level, message, fields, when)
  local term, colour = require "stoke.term", settings.colour -- late: most programs start without a word
  if colour == nil then colour = term.colour(2) end
  local out = { term.paint("dim", os.date("%H:%M:%S", when // 1 | 0), colour), " ",
                term.paint(STYLE[level], ("%-5s"):format(level), colour), " ", escape(message) }
  local keys, values = sorted(fields)
  local first, lines = true, nil
  for _, k in ipairs(keys) do
    if k == "traceback" and type(values[k]) == "string" and values[k]:find "\n" then
      lines = redact.known(values[k])
    else
      out[#out + 1] = first and "  " or " "
      out[#out + 1] = term.paint("dim", escape(k:gsub("[%s=\"]", "_")) .. "=", colour)
      out[#out + 1] = quoted(values[k])
      first = false
    end
  end
  if lines then -- for a person: line by line
    for line in lines:gmatch "[^\n]+" do out[#out + 1] = "\n  " .. escape(line:gsub("\t", "  ")) end
  end
  return table.concat(out)
end

-- The keys that stand first in a line of JSON; of a line's own fields of these names the first three are left out.
local FIRST = { time = 1, level = 2, msg = 3, trace_id = 4, span_id = 5 }

local function stamp(when)
  return os.date("!%Y-%m-%dT%H:%M:%S", when // 1 | 0) .. (".%03dZ"):format(when % 1 * 1000 // 1)
end

local function json_line(level, message, fields, when, trace, span)
  local out = redact.clean(plain(fields, 4))
  if out[1] ~= nil then out = { fields = out } end
  out.time, out.level, out.msg = stamp(when), level, valid_utf8(message)
  if trace and out.trace_id == nil and out.span_id == nil then out.trace_id, out.span_id = trace, span end
  local order = {}
  for k in next, out do order[#order + 1] = k end
  table.sort(order, function(a, b)
    local x, y = FIRST[a] or 6, FIRST[b] or 6
    if x ~= y then return x < y end
    return a < b
  end)
  return json.encode(json.object(out, order))
end

---A record as one line of text, as it is written, with the day where that is not today.
---@private
---@param record stoke.log.record
---@param colour boolean
---@return string
---
---Example: `io.write(log.line(record, false), "\n")`
function M.line(record, colour)
  ready()
  local before = settings.colour
  settings.colour = colour
  local ok, line = pcall(text_line, record.level, record.message, record.fields or {}, record.time)
  settings.colour = before
  line = ok and line or record.level .. " " .. escape(record.message)
  local day = os.date("%Y-%m-%d", record.time // 1 | 0)
  return day == os.date("%Y-%m-%d", time.now() // 1 | 0) and line or day .. " " .. line
end

---A record as one line of JSON, as it is written with STOKE_LOG_FORMAT=json.
---@private
---@param record stoke.log.record
---@return string
---
---Example: `io.write(log.json(record), "\n")`
function M.json(record)
  ready()
  return json_line(record.level, record.message, record.fields or {}, record.time, record.trace, record.span)
end

-- The trace and the span around the task that writes.
local function around()
  local seen = spans.on and spans.around()
  if seen then return seen.trace, spans.hex(seen.id) end
end

local function tell(level, message, fields, when, trace, span)
  local out = redact.clean(plain(fields, 4))
  if out[1] ~= nil then out = { fields = out } end
  local record = { time = when, level = level, message = valid_utf8(message), trace = trace, span = span,
    fields = next(out) ~= nil and out or nil }
  for _, listener in ipairs(listeners) do pcall(listener, record) end
end

local function emit(level, message, fields)
  ready()
  message = redact.known(show(message)) -- value by value: in a line of JSON a secret may look like a piece of it
  local when, trace, span = (settings.now or time.now)(), around()
  local format = settings.format == "json" and json_line or text_line
  local ok, line = pcall(format, level, message, fields, when, trace, span)
  if not ok then line = level .. " " .. escape(message) end
  local write = settings.write or stdio.err
  write(line .. "\n")
  if listeners[1] then tell(level, message, fields, when, trace, span) end
end

local function as_fields(v)
  if v == nil then return {} end
  if type(v) ~= "table" or has_tostring(v) then return { value = v } end
  return v
end

local function say(level, message, base, fields)
  if not M.enabled(level) then return end
  fields = as_fields(fields)
  if base then
    local all = {}
    for k, v in next, base do all[k] = v end
    for k, v in next, fields do all[k] = v end
    fields = all
  end
  pcall(emit, level, message, fields)
end

---Writes one line a call, at a level:
---
---    log.info("model loaded", { model = "qwen2.5:3b", seconds = 2.1 })
---@class stoke.log.Logger
---@field debug fun(message: any, fields?: table) details for debugging (--log debug)
---@field info fun(message: any, fields?: table) what happens
---@field warn fun(message: any, fields?: table) unexpected, but the program continues
---@field error fun(message: any, fields?: table) what went wrong
---@field with fun(fields: table): stoke.log.Logger a logger that adds these fields to every line

local function logger(into, base)
  for _, level in ipairs { "debug", "info", "warn", "error" } do
    into[level] = function(message, fields) say(level, message, base, fields) end
  end
  ---A logger that adds these fields to every line; a line's own field of that name wins.
  ---
  ---    local mine = log.with { agent = "critic" }
  ---    mine.info("done", { seconds = 2.1 })      -- ... info  done  agent=critic seconds=2.1
  ---@param fields table
  ---@return stoke.log.Logger
  into.with = function(fields)
    local all = {}
    for k, v in next, base or {} do all[k] = v end
    for k, v in next, as_fields(fields) do all[k] = v end
    return logger({}, all)
  end
  return into
end

return logger(M, nil)
