--- stoke.metrics: figures of this process, as Prometheus and what reads its text format take them: calls, tokens, waits, slots,
--- queues, caches, retries, breakers, tasks, memory.
---
---     stoke town.lua --metrics 9464               # http://127.0.0.1:9464/metrics
---
--- `stoke serve`, stoke.serve and stoke.page answer GET /metrics, too. Most of it is read when somebody asks. What ends (calls,
--- runs of agents, calls of tools) is counted from the start with --metrics and by `stoke serve`, else from the first question on:
--- before that it costs nothing. A script adds its own:
---
---     local orders = stoke.metrics.counter("orders_total", "Orders that were taken.", { "shop" })
---     orders:add(1, "north")

local counting = require "stoke.metrics.spans"
local errors = require "core.errors"
local guards = require "stoke.page.guard"
local http = require "stoke.http"
local look = require "stoke.metrics.look"
local series = require "stoke.metrics.series"
local spans = require "core.gate.span"

local M = {}

--- What answers are sent as.
---@private
M.TYPE = "text/plain; version=0.0.4; charset=utf-8"
--- The port where none is told: that of OpenTelemetry's exporters for Prometheus.
---@private
M.PORT = 9464

local counted = series.new() -- what ended
local own = series.new() -- what scripts count
local sink

--- Count what ends from now on; it goes on until the process ends.
---@return nil
---
--- Example: `stoke.metrics.start()`
function M.start()
  if sink then return end
  sink = counting.sink(counted)
  spans.listen(sink)
end

--- Count no more, and forget what was counted.
---@return nil
---
--- Example: `stoke.metrics.stop()`
function M.stop()
  if sink then spans.unlisten(sink) end
  sink, counted = nil, series.new()
end

--- All figures as text. It waits for a moment.
---@return string
---
--- Example: `print(stoke.metrics.text())`
function M.text()
  M.start()
  local now = series.new()
  look.into(now)
  return counted:text() .. now:text() .. own:text()
end

-- ---- a script's own -----------------------------------------------------------------------------------------------------------

---@class stoke.metric
---@field name string
local Metric = {}
Metric.__index = Metric
Metric.__name = "stoke.metric"

--- By name: a file that is loaded anew gets the metric that it had.
local metrics = {}

local NAME <const>, LABEL <const> = "^[%a_:][%w_:]*$", "^[%a_][%w_]*$"
--- What the text format, or this process, has for itself.
local TAKEN <const> = { "^stoke_", "^gen_ai_", "^process_", "^http_server_", "^mcp_client_" }

local function check_name(what, name, kind)
  if type(name) ~= "string" or not name:find(NAME) then
    errors.argument("%s: a name is letters, digits and _, got %s", what, errors.describe(name))
  end
  for _, pattern in ipairs(TAKEN) do
    if name:find(pattern) then errors.argument("%s: %s is a name of this process's own figures", what, name) end
  end
  if (kind == "counter") ~= (name:find "_total$" ~= nil) then
    errors.argument(kind == "counter" and "%s: the name of a counter ends in _total, not %s" or
      "%s: only the name of a counter ends in _total, not %s", what, name)
  end
end

local function check_labels(what, labels)
  errors.list(what .. ": labels", labels)
  local seen = {}
  for i, label in ipairs(labels) do
    if type(label) ~= "string" or not label:find(LABEL) or label == "le" or label:find "^__" then
      errors.argument("%s: labels[%d] must be letters, digits and _ (and not le, nor begin with __), got %s", what, i,
        errors.describe(label))
    end
    if seen[label] then errors.argument("%s: labels[%d] is there twice: %s", what, i, label) end
    seen[label] = true
  end
end

local PARTS <const> = { "_bucket", "_sum", "_count" }

--- A histogram is written under three names more: nobody else may have these.
local function check_parts(what, name, kind)
  for _, part in ipairs(PARTS) do
    local of = name:sub(-#part) == part and metrics[name:sub(1, -#part - 1)]
    if of and of.kind == "histogram" then
      errors.argument("%s: %s is a part of the histogram %s", what, name, of.name)
    end
    if kind == "histogram" and metrics[name .. part] then
      errors.argument("%s: %s would be a part of the histogram %s, and is there already", what, name .. part, name)
    end
  end
end

local function metric(kind, name, help, labels, buckets)
  local what = "metrics." .. kind
  check_name(what, name, kind)
  if type(help) ~= "string" then errors.argument("%s: what %s counts is missing, as a text", what, name) end
  labels = labels or {}
  check_labels(what, labels)
  check_parts(what, name, kind)
  local known = metrics[name]
  if known then
    if known.kind ~= kind or table.concat(known.group.names, ",") ~= table.concat(labels, ",") then
      errors.argument("%s: %s is there already, as a %s with other labels or of another kind", what, name, known.kind)
    end
    return known
  end
  local group = own:group(table.move(labels, 1, #labels, 1, {}))
  known = setmetatable({ name = name, kind = kind, group = group, instrument = group[kind](group, name, help, buckets) }, Metric)
  metrics[name] = known
  return known
end

--- Something that only grows.
---@param name string ends in `_total`
---@param help string what is counted
---@param labels? string[] names of what tells its rows apart; each takes up to 200 values, the others are counted as "other"
---@return stoke.metric counter
---Raises `argument`.
---
--- Example: `local orders = stoke.metrics.counter("orders_total", "Orders that were taken.", { "shop" })`
function M.counter(name, help, labels) return metric("counter", name, help, labels) end

--- Something that goes up and down.
---@param name string
---@param help string
---@param labels? string[] see metrics.counter
---@return stoke.metric gauge
---Raises `argument`.
---
--- Example: `stoke.metrics.gauge("shelves", "Shelves that are free."):set(12)`
function M.gauge(name, help, labels) return metric("gauge", name, help, labels) end

--- How large something was: how many values fell below each limit, their number and their sum.
---@param name string with its unit: "pick_seconds"
---@param help string
---@param buckets number[] upper limits, ascending
---@param labels? string[] see metrics.counter
---@return stoke.metric histogram
---Raises `argument`.
---
--- Example: `stoke.metrics.histogram("pick_seconds", "What picking took.", { 1, 10, 60 }):observe(7.5)`
function M.histogram(name, help, buckets, labels)
  errors.list("metrics.histogram: buckets", buckets)
  local before = -math.huge
  for i, limit in ipairs(buckets) do
    if type(limit) ~= "number" or not (limit > before and limit < math.huge) then
      errors.argument("metrics.histogram: buckets[%d] must be a number above the one before (+Inf is always there)", i)
    end
    before = limit
  end
  return metric("histogram", name, help, labels, table.move(buckets, 1, #buckets, 1, {}))
end

local function act(self, kind, what, value, least, ...)
  if self.kind ~= kind and not (what == "add" and self.kind == "gauge") then
    errors.argument("%s: a %s has no %s", self.name, self.kind, what)
  end
  if type(value) ~= "number" or self.kind ~= "gauge" and not (value >= least and value < math.huge and value > -math.huge) then
    errors.argument("%s: a number%s expected, got %s", self.name, least == 0 and ", 0 or more," or "", errors.describe(value))
  end
  if select("#", ...) > #self.group.names then errors.argument("%s: it has %d labels", self.name, #self.group.names) end
  self.instrument[what](self.instrument, self.group:row(...), value)
end

--- Count: of a counter by 0 or more.
---@param n number
---@param ... any values of its labels, in their order
---@return nil
---Raises `argument`.
---
--- Example: `orders:add(1, "north")`
function Metric:add(n, ...) act(self, "counter", "add", n, self.kind == "counter" and 0 or -math.huge, ...) end

--- What a gauge is now.
---@param value number
---@param ... any values of its labels
---@return nil
---Raises `argument`.
---
--- Example: `shelves:set(12)`
function Metric:set(value, ...) act(self, "gauge", "set", value, -math.huge, ...) end

--- A value that a histogram counts.
---@param value number
---@param ... any values of its labels
---@return nil
---Raises `argument`.
---
--- Example: `picked:observe(7.5)`
function Metric:observe(value, ...) act(self, "histogram", "observe", value, -math.huge, ...) end

-- ---- over HTTP ------------------------------------------------------------------------------------------------------------------

--- Answer a request for them.
---@private
---@param res stoke.http.reply
---
--- Example: `metrics.reply(res)`
function M.reply(res)
  return res:reply(200, { ["Content-Type"] = M.TYPE, ["Cache-Control"] = "no-store", ["X-Content-Type-Options"] = "nosniff" },
    M.text())
end

local TEXT <const> = { ["Content-Type"] = "text/plain; charset=utf-8" }

local function handle(guard, req, res)
  local may, status, why = guard:judge(req)
  if may == nil then return res:reply(status, TEXT, why .. "\n") end
  if req.path ~= "/metrics" then return res:reply(404, TEXT, "figures are at /metrics\n") end
  if req.method ~= "GET" and req.method ~= "HEAD" then
    return res:reply(405, { ["Content-Type"] = TEXT["Content-Type"], Allow = "HEAD, GET" }, "figures are read by GET\n")
  end
  if not may and guard.private then
    return res:reply(401, { ["Content-Type"] = TEXT["Content-Type"], ["WWW-Authenticate"] = "Bearer" },
      "the token is missing or wrong\n")
  end
  return M.reply(res)
end

local OPTIONS <const> = { port = "number", address = "string", mem = "string", token = "string", token_file = "string",
  public = "boolean", hosts = "table", system = "boolean" }

--- Names are judged by our own guard, which tells why.
local EVERY <const> = { "*" }

--- Serve the figures, and count from now on. A child of the current scope, as http.serve's is.
---@param options? { port?: integer, address?: string, token?: string, token_file?: string, public?: boolean, hosts?: string[] }
---  port (9464; 0: any free one), address (127.0.0.1). On loopback everybody on this machine may read; an address that others reach
---  wants a token as Bearer, given (at least 16 letters or digits) or of a file, made where it is not there, unless it is public.
---  hosts: names that this machine is asked by, beside its own; mem: a name inside this process; system: it keeps no scope
---@return stoke.http.server server
---Raises `argument`; `denied` when others may read the file of the token; `os` when it cannot listen.
---
--- Example: `local server <close> = stoke.metrics.serve { port = 9464 }`
function M.serve(options)
  options = errors.options(options or {}, OPTIONS, "metrics.serve")
  local guard = guards.new(options, "stoke.metrics.serve")
  M.start()
  return http.serve { port = not options.mem and (options.port or M.PORT) or nil, address = options.address,
    mem = options.mem, hosts = EVERY, origins = EVERY, max_body = 1024, drain = 0, system = options.system,
    background = options.system, handler = function(req, res) return handle(guard, req, res) end }
end

return M
