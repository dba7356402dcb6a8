--- Numbers by name and labels, and their text as Prometheus reads it (version 0.0.4 of its text format).
---
---     local set = series.new()
---     local calls = set:group { "model", "error_type" }
---     local count = calls:counter("calls_total", "Calls of models.")
---     local row = calls:row("qwen2.5:3b", nil)
---     count:add(row, 1)
---     io.write(set:text())
---
--- What has the same labels is a group: a row of it is found once, and takes all numbers of one event. Whoever reads these numbers
--- keeps each combination of labels for ever, so there is a bound: a label has so many values, and a group so many rows; what comes
--- beyond is counted together, as "other" (of a gauge that is set there, what was set last).

local redact = require "core.redact"
local texts = require "core.text"

local M = {}

--- Values of one label, rows of one group, bytes of a value, at most.
M.VALUES, M.ROWS, M.BYTES = 200, 2000, 128
--- What stands for values beyond these.
M.OTHER = "other"

-- ---- labels ---------------------------------------------------------------------------------------------------------------------

local ESCAPES <const> = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }

local function escaped(text) return (text:gsub('[\\"\n]', ESCAPES)) end

--- A value as the text of a label: short, UTF-8, and without what is known to be secret. (In the whole text a secret could look
--- like a name or a number.)
local function text_of(value)
  local text = texts.valid(redact.known(tostring(value)))
  return #text > M.BYTES and texts.valid(text:sub(1, M.BYTES)) .. "..." or text
end

--- The value, where its label has room for one more.
local function bounded(group, i, text)
  local known = group.values[i]
  if known.set[text] then return text end
  if known.count >= M.VALUES then return M.OTHER end
  known.count, known.set[text] = known.count + 1, true
  return text
end

local function written(names, values)
  local parts = {}
  for i, name in ipairs(names) do
    if values[i] ~= "" then parts[#parts + 1] = ('%s="%s"'):format(name, escaped(values[i])) end
  end
  return table.concat(parts, ",")
end

---@class stoke.metrics.group
---@field names string[] labels
---@field rows table[] in the order in which they came
---@field by_key table<string, table>
---@field values { count: integer, set: table<string, true> }[] of each label: those that are known, and how many
local Group = {}
Group.__index = Group

--- A row of values that are bounded; made where there is room.
local function row_of(self, values)
  local key = table.concat(values, "\0")
  local row = self.by_key[key]
  if row then return row end
  if #self.rows >= M.ROWS then
    for i in ipairs(self.names) do values[i] = M.OTHER end
    key = table.concat(values, "\0")
    if self.by_key[key] then return self.by_key[key] end
  end
  row = { labels = written(self.names, values) }
  self.rows[#self.rows + 1], self.by_key[key] = row, row
  return row
end

--- The row of these values, one for each label; nil: that label is left out.
---@param ... any
---@return table row
---
--- Example: `local row = calls:row("qwen2.5:3b", "timeout")`
function Group:row(...)
  local values = { ... }
  for i = 1, #self.names do values[i] = values[i] == nil and "" or tostring(values[i]) end
  local row = self.by_key[table.concat(values, "\0")] -- nearly always: what is known is short, and has room
  if row then return row end
  for i, value in ipairs(values) do values[i] = value == "" and "" or bounded(self, i, text_of(value)) end
  return row_of(self, values)
end

-- ---- numbers --------------------------------------------------------------------------------------------------------------------

---@class stoke.metrics.instrument a counter, a gauge or a histogram of a group
---@field name string
---@field kind "counter"|"gauge"|"histogram"
---@field help string
---@field group stoke.metrics.group
---@field limits? number[] of a histogram's buckets
---@field extra? string a label that all its rows have
---@field from stoke.metrics.instrument whose numbers these are: its own, or those of another one under a second name
local Instrument = {}
Instrument.__index = Instrument

local function instrument(group, kind, name, help, limits)
  local made = setmetatable({ name = name, kind = kind, help = help, group = group, limits = limits }, Instrument)
  made.from = made
  local list = group.set.instruments
  list[#list + 1] = made
  return made
end

--- Something that only grows. Its name ends with `_total`.
---@param name string
---@param help string
---@return stoke.metrics.instrument
---
--- Example: `local count = calls:counter("calls_total", "Calls of models.")`
function Group:counter(name, help) return instrument(self, "counter", name, help) end

--- Something that goes up and down.
---@param name string
---@param help string
---@return stoke.metrics.instrument
---
--- Example: `local waiting = lanes:gauge("calls_waiting", "Calls that wait for a slot.")`
function Group:gauge(name, help) return instrument(self, "gauge", name, help) end

--- How large something was, by steps.
---@param name string
---@param help string
---@param limits number[] the upper limits of its buckets, ascending
---@return stoke.metrics.instrument
---
--- Example: `local took = calls:histogram("call_seconds", "What calls took.", { 0.1, 1, 10 })`
function Group:histogram(name, help, limits) return instrument(self, "histogram", name, help, limits) end

--- The numbers of an instrument under another name, too; those of several are one histogram there, told apart by `extra`.
---@param of stoke.metrics.instrument
---@param name string
---@param help string
---@param extra? string `label="value"`
---@return stoke.metrics.instrument
---
--- Example: `calls:also(took, "request_seconds", "The same, as it was called before.")`
function Group:also(of, name, help, extra)
  local made = instrument(self, of.kind, name, help, of.limits)
  made.from, made.extra = of, extra
  return made
end

--- Count.
---@param row table of its group
---@param n number
---
--- Example: `count:add(row, 1)`
function Instrument:add(row, n) row[self] = (row[self] or 0) + n end

--- What it is now.
---@param row table of its group
---@param value number
---
--- Example: `waiting:set(row, 3)`
function Instrument:set(row, value) row[self] = value end

--- Count a value into its bucket.
---@param row table of its group
---@param value number
---
--- Example: `took:observe(row, 0.25)`
function Instrument:observe(row, value)
  local held = row[self]
  if not held then
    held = { sum = 0, count = 0 }
    row[self] = held
  end
  local limits, i = self.limits, 1
  while limits[i] and value > limits[i] do i = i + 1 end
  held[i] = (held[i] or 0) + 1
  held.sum, held.count = held.sum + value, held.count + 1
end

-- ---- text -----------------------------------------------------------------------------------------------------------------------

local function number(value)
  if math.type(value) == "integer" then return ("%d"):format(value) end
  if value ~= value then return "NaN" end
  if value == math.huge then return "+Inf" elseif value == -math.huge then return "-Inf" end
  return ("%.15g"):format(value)
end

local function line(out, name, labels, value)
  out[#out + 1] = labels ~= "" and ("%s{%s} %s\n"):format(name, labels, value) or ("%s %s\n"):format(name, value)
end

local function join(a, b) return a == "" and b or b == "" and a or a .. "," .. b end

local function write_histogram(out, self, labels, held)
  local count = 0
  for i, limit in ipairs(self.limits) do
    count = count + (held[i] or 0)
    line(out, self.name .. "_bucket", join(labels, ('le="%s"'):format(number(limit))), number(count))
  end
  line(out, self.name .. "_bucket", join(labels, 'le="+Inf"'), number(held.count))
  line(out, self.name .. "_sum", labels, number(held.sum))
  line(out, self.name .. "_count", labels, number(held.count))
end

local function write_rows(out, self)
  for _, row in ipairs(self.group.rows) do
    local held = row[self.from]
    if held then
      local labels = join(row.labels, self.extra or "")
      if self.kind == "histogram" then write_histogram(out, self, labels, held) else line(out, self.name, labels, number(held)) end
    end
  end
end

---@class stoke.metrics.set
---@field instruments stoke.metrics.instrument[]
local Set = {}
Set.__index = Set

--- An empty set.
---@return stoke.metrics.set
---
--- Example: `local set = series.new()`
function M.new() return setmetatable({ instruments = {} }, Set) end

--- What has the same labels.
---@param names string[] of the labels
---@return stoke.metrics.group
---
--- Example: `local lanes = set:group { "endpoint", "model" }`
function Set:group(names)
  local values = {}
  for i in ipairs(names) do values[i] = { count = 0, set = {} } end
  return setmetatable({ set = self, names = names, rows = {}, by_key = {}, values = values }, Group)
end

--- All of it as text; nothing is said of what has no number yet.
---@return string
---
--- Example: `res:reply(200, { ["Content-Type"] = "text/plain; version=0.0.4" }, set:text())`
function Set:text()
  local out, at, order = {}, {}, {}
  for _, one in ipairs(self.instruments) do -- a name is written in one place
    if not at[one.name] then
      at[one.name] = {}
      order[#order + 1] = one.name
    end
    table.insert(at[one.name], one)
  end
  for _, name in ipairs(order) do
    local help = redact.known(at[name][1].help):gsub("\\", "\\\\"):gsub("\n", " ")
    local head = ("# HELP %s %s\n# TYPE %s %s\n"):format(name, help, name, at[name][1].kind)
    local before = #out
    out[before + 1] = head
    for _, one in ipairs(at[name]) do write_rows(out, one) end
    if #out == before + 1 then out[#out] = nil end
  end
  return table.concat(out)
end

return M
