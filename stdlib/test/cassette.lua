--- A cassette: the recorded requests and responses of a test, one JSON line each, for replay offline.
---
---     {"cassette":2,"test":"plans a trip","start":1767225600.0,"seed":7,...}  the clock, seed and time zone it was recorded with
---     {"n":1,"effect":"llm.stream","at":0.01,"request":{...}}                 at: seconds since the test began
---     {"n":1,"at":0.2,"chunk":{"type":"text","text":"Oslo"}}                  at: seconds since that request
---     {"n":1,"at":0.9,"end":1}              after so many chunks; or "value", "error", "cut" (left before its end)
---
--- A request is identified by its canonical text: its content without time limits, endpoint and secrets. The same request may be
--- recorded several times; its outcomes are replayed in that order. A cassette is a tape of lua/gate/replay.lua.
---
--- Each line is plain data as the store and an exported run have it (host/bind/bind_plain.h): JSON that reads back exactly, with
--- bytes, errors and declared orders of keys. Format 1 was JSON with forms of its own for those; it is read for ever.

local about = require "core.about"
local effects = require "core.effect"
local errors = require "core.errors"
local json = require "core.json"
local config = require "stoke.config"
local fs = require "stoke.fs"
local miss = require "stoke.test.miss"
local plain = require "core.store.plain"
local redact = require "core.redact"
local time = require "stoke.time"

local M = {}

--- Of what is written; 1 is read, too.
local VERSION <const> = 2

---@class stoke.test.cassette: stoke.tape
local Cassette = {}
Cassette.__index = Cassette

-- ---- requests -----------------------------------------------------------------------------------------------------------------

--- JSON cannot hold bytes that are not UTF-8.
local function pack(text)
  if type(text) ~= "string" or utf8.len(text) then return text end
  return { hex = (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) }
end

local function unpack_text(value)
  if type(value) ~= "table" then return value end
  return (value.hex:gsub("%x%x", function(digits) return string.char(tonumber(digits, 16)) end))
end

local function http_body(self, body)
  if type(body) ~= "string" then return body end
  local value = body:find "^%s*[{%[]" and json.decode(body)
  if type(value) == "table" then return self.redactor:fields(value) end
  if not body:find "^[%w_%[%]%%.-]+=[^\n]*$" then return pack(self.redactor:text(body)) end -- no form
  return (self.redactor:url("?" .. body):sub(2))
end

--- Headers of a request that say what is asked for, sorted.
local function http_headers(self, list)
  local out = {}
  for _, line in ipairs(list or {}) do
    if not line:lower():find "^user%-agent:" then out[#out + 1] = self.redactor:header(line) end
  end
  table.sort(out)
  return json.array(out)
end

--- The canonical form of a request, and its text; nil and an error for what cannot be written. Third: the text as it was recorded
--- before secret variables were left out, where there are any.
local function canonical(self, name, q)
  local request
  if q.protocol then
    request = { protocol = q.protocol, method = q.method or "POST", path = q.path, body = q.body, raw = pack(q.raw) }
  else
    request = { method = q.method, url = self.redactor:url(q.url), headers = http_headers(self, q.headers),
      body = http_body(self, q.body), read = q.read }
  end
  local text, err = json.encode(request)
  if not text then return nil, err end
  request = self.redactor:texts(json.decode(text)) -- declared orders of keys are gone
  local recorded = json.encode(request)
  request = redact.without_variables(request)
  local own = json.encode(request)
  return request, name .. " " .. own, own ~= recorded and name .. " " .. recorded or nil
end

-- ---- outcomes -----------------------------------------------------------------------------------------------------------------

--- An error without the places in the program that met it.
local function bare_error(err)
  local fields = {}
  for name, value in next, err do
    local simple = type(value) == "string" or type(value) == "number" or type(value) == "boolean"
    if simple and name ~= "traceback" and name ~= "where" then fields[name] = value end
  end
  fields.kind, fields.message = nil, nil
  return errors.new(err.kind, err.message, fields)
end

local function unpack_error(fields)
  local kind, message = fields.kind, fields.message
  fields.kind, fields.message = nil, nil
  for name, value in next, fields do fields[name] = unpack_text(value) end
  return errors.new(kind, unpack_text(message), fields)
end

--- The body of an answer, re-encoded when it contains a secret.
local function answer_body(self, body)
  if type(body) ~= "string" then return body end
  local value = body:find "^%s*[{%[]" and json.decode(body, { ordered = true })
  if type(value) == "table" then
    local clean, found = self.redactor:fields(value)
    if found or self.redactor:text(body) ~= body then return json.encode(self.redactor:texts(clean)) end
    return body
  end
  return self.redactor:text(body)
end

--- A head without cookies.
local function clean_head(self, head)
  return (head:gsub("[^\n]+", function(line) return self.redactor:header(line) end))
end

--- An answer of the web.
local function clean_value(self, name, value)
  if name ~= "http.request" then return value end
  return { status = value.status, head = clean_head(self, value.head), body = answer_body(self, value.body) }
end

--- What is known of an answer of the web that comes as a stream.
local function clean_facts(self, facts)
  local opened = facts and facts.about
  if not opened or not opened.head then return facts end
  return { opened = facts.opened, came = facts.came, about = { status = opened.status, head = clean_head(self, opened.head) } }
end

local function unpack_facts(facts)
  local opened = facts.about
  if type(opened) == "table" then opened.head = unpack_text(opened.head) end
  if type(facts.opened) ~= "number" then facts.opened = nil end
  return facts
end

local function unpack_value(name, value)
  if name ~= "http.request" then return value end
  return { status = value.status, head = unpack_text(value.head), body = unpack_text(value.body) }
end

-- ---- recording ----------------------------------------------------------------------------------------------------------------

--- A redactor that knows the secrets in the settings.
---@return core.redactor
---
--- Example: `cassette.redactor():text(answer)`
function M.redactor()
  local redactor = redact.new()
  for _, endpoint in next, config.get().endpoints do
    if endpoint.key then redactor:learn(endpoint.key) end
    for name, value in next, endpoint.headers or {} do
      if redact.secret(name) then redactor:learn(value) end
    end
  end
  local key = os.getenv "OLLAMA_API_KEY"
  if key then redactor:learn(key) end
  return redactor
end

local function new(path, again, fields)
  fields.path, fields.again, fields.redactor, fields.count = path, again, M.redactor(), 0
  return setmetatable(fields, Cassette)
end

--- Rounded: digits below a tenth of a millisecond are noise.
local function rounded(seconds) return math.floor(seconds * 1e4 + 0.5) / 1e4 end

--- The time zone of this machine, by its distances from UTC in the summer and in the winter.
local function zone() return ("%s %s"):format(os.date("%z", 1767225600), os.date("%z", 1782864000)) end

--- A cassette to be recorded.
---@param path string
---@param test string
---@param seed integer
---@return stoke.test.cassette
---
--- Example: `local tape = cassette.record("cassettes/trip.jsonl", "plans a trip", 7)`
function M.record(path, test, seed)
  local self = new(path, nil, { recording = true, lines = {}, began = time.monotonic() })
  self:write { cassette = VERSION, test = test, start = time.now(), seed = seed, zone = zone(), stoke = about.version }
  return self
end

function Cassette:write(record)
  local text, err = plain.encode(record, nil, true)
  if not text then -- an unexpected value: reported once, when the file is written
    self.failed = self.failed or err
    return
  end
  self.lines[#self.lines + 1] = text
end

function Cassette:open(name, q, at)
  local request = canonical(self, name, q)
  if not request then return { skip = true } end
  self.count = self.count + 1
  self:write { n = self.count, effect = name, at = rounded(at or time.monotonic() - self.began), request = request }
  return { n = self.count, name = name, written = 0 }
end

function Cassette:put(entry, kind, at, value, facts)
  if entry.skip then return end
  if kind == "value" then value = clean_value(self, entry.name, value) end
  if kind == "error" then value = bare_error(value) end
  if kind == "chunk" then entry.written = entry.written + 1 end
  if kind == "end" then value = entry.written end
  if kind == "cut" then value = true end
  self:write { n = entry.n, at = rounded(at), [kind] = value, facts = clean_facts(self, facts) }
end

--- A line without secrets, also those that were seen later. What has none stays as it is written.
local function without_secrets(redactor, line)
  if redact.variables(redactor:text(line)) == line and not line:find("\\", 1, true) then return line end
  return json.encode(redact.without_variables(redactor:texts(json.decode(line, { ordered = true }))))
end

--- Write the file.
---@return integer requests
function Cassette:save()
  if self.failed then error(self.failed, 0) end
  fs.mkdir(self.path:match "^(.*)/" or ".", { parents = true })
  for i, line in ipairs(self.lines) do self.lines[i] = without_secrets(self.redactor, line) end
  fs.write(self.path, table.concat(self.lines, "\n") .. "\n")
  return self.count
end

-- ---- records of durable runs ---------------------------------------------------------------------------------------------------

--- What came of a record, as the lines of a cassette. When the pieces of a stream came is not recorded: all when it ended.
local function put_outcome(self, entry, row)
  local outcome, at = row.outcome, row.took or 0
  if not outcome then return self:put(entry, "cut", at) end
  if outcome.err then
    return self:put(entry, outcome.err.kind == "cancelled" and "cut" or "error", at, outcome.err)
  end
  local known = outcome.facts and outcome.facts.known
  if not outcome.items then return self:put(entry, "value", at, outcome.value, known) end
  local kind, err = "cut", nil
  for _, item in ipairs(outcome.items) do
    if item.value ~= nil then self:put(entry, "chunk", at, item.value) end
    if item.ended then
      kind, err = not item.err and "end" or item.err.kind == "cancelled" and "cut" or "error", item.err
    end
  end
  self:put(entry, kind, at, err, { opened = 0, about = outcome.about })
end

--- The cassette of a durable run: what it asked of model servers and of the web, and what came of it. A test of that name whose
--- code asks the same replays it.
---@param path string
---@param test string
---@param run { created: number }
---@param rows stoke.journal.row[]
---@return stoke.test.cassette
---
--- Example: `cassette.of_run("cassettes/a_test-trip.jsonl", "trip", run, store:load(run).rows):save()`
function M.of_run(path, test, run, rows)
  local self = new(path, nil, { recording = true, lines = {}, began = 0 })
  self:write { cassette = VERSION, test = test, start = run.created, seed = 1, zone = zone(), stoke = about.version }
  for _, row in ipairs(rows) do
    local effect = effects.about(row.name)
    if effect and effect.taped then
      local entry = self:open(row.name, row.request, math.max(0, (row.time or run.created) - run.created))
      if not entry.skip then put_outcome(self, entry, row) end
    end
  end
  return self
end

-- ---- replaying ----------------------------------------------------------------------------------------------------------------

local ORDERED = { ordered = true }

--- A line of format 1 as one of today. Tool calls keep the order of their arguments, as they do when they come from a server.
local function decode_old(self, line)
  local record = json.decode(line, line:find("tool_call", 1, true) and ORDERED or nil)
  if type(record) ~= "table" then return record end
  local entry = record.request == nil and self.entries[record.n]
  local name = entry and entry.name
  if type(record.facts) == "table" then record.facts = unpack_facts(record.facts) end
  if type(record.value) == "table" then record.value = unpack_value(name, record.value) end
  local err, chunk = record.error, record.chunk
  if type(err) == "table" and type(err.kind) == "string" then record.error = unpack_error(err) end
  if type(chunk) ~= "table" or name ~= "http.stream" then return record end
  if chunk.bytes ~= nil then
    record.chunk = unpack_text(chunk.bytes)
  else
    record.chunk = { event = unpack_text(chunk.event), data = unpack_text(chunk.data), id = unpack_text(chunk.id) }
  end
  return record
end

local function decode(self, line)
  if self.version == 1 then return decode_old(self, line) end
  local ok, record = pcall(plain.decode, line)
  return ok and record or nil
end

local function chunk_of(name, value)
  if name == "http.stream" then return value end
  if value.type == "tool_call" and type(value.call) == "table" then value.arguments = value.call["function"].arguments end
  return value
end

local function outcome(self, entry, record)
  entry.at = record.at
  entry.facts = type(record.facts) == "table" and record.facts or nil
  entry.over = record.chunk == nil
  if record.chunk ~= nil then
    entry.chunks[#entry.chunks + 1] = { at = record.at, value = chunk_of(entry.name, record.chunk) }
  elseif type(record["end"]) == "number" then
    entry.over = record["end"] == #entry.chunks
  elseif record.value ~= nil then
    entry.value = record.value
  elseif record.error ~= nil then
    entry.err = record.error
  elseif record.cut then
    entry.cut = function()
      return self:refuse(miss.cut(self, entry))
    end
  end
end

--- Effects whose value is a table.
local TABLES = { ["llm.chat"] = true, ["llm.learned"] = true, ["http.request"] = true }

--- Has this line the fields that its kind needs? The file may have been edited.
local function is_record(self, record)
  if type(record) ~= "table" then return false end
  if record.cassette then return (record.cassette == 1 or record.cassette == VERSION) and type(record.start) == "number" end
  local n, err = record.n, record.error
  if math.type(n) ~= "integer" or type(record.at) ~= "number" then return false end
  if record.request ~= nil then
    return n == #self.entries + 1 and type(record.request) == "table" and type(record.effect) == "string"
  end
  local entry = self.entries[n]
  if not entry or TABLES[entry.name] and type(record.value or {}) ~= "table" then return false end
  if err ~= nil and not errors.is(err) then return false end
  local chunk = record.chunk
  return chunk == nil or type(chunk) == "table" or entry.name == "http.stream" and type(chunk) == "string"
end

local function useless(self, format, ...)
  errors.raise("replay", self.path .. format:format(...), { hint = "record it again: " .. self.again "--record" })
end

local function read(self, text)
  local number = 0
  for line in text:gmatch "[^\n]+" do
    number = number + 1
    if number == 1 then self.version = line:find '"cassette"%s*:%s*1%s*[,}]' and 1 or VERSION end
    local record = decode(self, line)
    if not is_record(self, record) then
      useless(self, ":%d is no line of a cassette", number)
    elseif record.cassette then
      self.start, self.seed, self.zone = record.start, math.tointeger(record.seed), record.zone
    elseif record.request then
      local entry = { n = record.n, name = record.effect, request = json.decode(json.encode(record.request)), chunks = {}, at = 0 }
      entry.key = entry.name .. " " .. json.encode(entry.request)
      self.entries[record.n] = entry
      local same = self.by_key[entry.key] or {}
      self.by_key[entry.key] = same
      same[#same + 1] = entry
    else
      outcome(self, self.entries[record.n], record)
    end
  end
  for _, entry in ipairs(self.entries) do
    if not entry.over then useless(self, " is not whole: what came of request %d is missing, or a part of it", entry.n) end
  end
end

--- A cassette that was recorded; nil when there is none.
---@param path string
---@param again fun(flags: string): string the command that runs the test
---@param problems string[] takes what makes the test fail
---@return stoke.test.cassette|nil
---Raises `replay` for a file that is no cassette.
---
--- Example: `local tape = cassette.load("cassettes/trip.jsonl", again, {})`
function M.load(path, again, problems)
  if not fs.stat(path) then return nil end
  local self = new(path, again, { recording = false, entries = {}, by_key = {}, problems = problems })
  read(self, fs.read(path))
  return self
end

--- What is on it, as the records of a run: to look at, and to compare with another's. There are no frames on a cassette, so its
--- keys are "cassette/NAME#N", and it cannot be replayed as a run.
---@return stoke.journal.row[]
---
--- Example: `for _, row in ipairs(tape:rows()) do print(row.key, row.outcome.value) end`
function Cassette:rows()
  local rows, counts = {}, {}
  for i, entry in ipairs(self.entries) do
    counts[entry.name] = (counts[entry.name] or 0) + 1
    local def = effects.about(entry.name)
    local came = { facts = { attempts = 1 } }
    if def and def.stream then
      came.items = {}
      for k, chunk in ipairs(entry.chunks) do came.items[k] = { value = chunk.value, inline = true } end
      table.insert(came.items, { ended = true, err = entry.err, inline = true })
    elseif entry.err then
      came.err = entry.err
    elseif entry.cut then
      came.err, came.cut = errors.new("cancelled", "it was left before its end"), true
    else
      came.value, came.facts.known = entry.value, entry.facts
    end
    rows[i] = { number = i, key = ("cassette/%s#%d"):format(entry.name, counts[entry.name]), name = entry.name,
      class = "idempotent", digest = json.digest(entry.request), request = entry.request, took = entry.at, seen = i, inline = true,
      outcome = came }
  end
  return rows
end

--- A miss makes the test fail, whatever the code under test makes of the error.
function Cassette:refuse(message)
  local hint = "record it again: " .. self.again "--record"
  self.problems[#self.problems + 1] = message .. "\n" .. hint
  return errors.new("replay", message, { hint = hint })
end

--- What the test asks of the time zone is not what was answered when it was recorded, somewhere else.
function Cassette:elsewhere()
  local here = not self.recording and type(self.zone) == "string" and zone()
  if not here or here == self.zone then return nil end
  return self:refuse(("os.date and os.time go by the time zone; %s was recorded where it is %s from UTC (January, July), and "
    .. "here it is %s: run the test with the same TZ, or use os.date with \"!\""):format(self.path, self.zone, here))
end

--- The next outcome of a request.
local function unused(same)
  for _, entry in ipairs(same or {}) do
    if not entry.used then return entry end
  end
end

function Cassette:knows(name, q)
  local _, key, older = canonical(self, name, q)
  return unused(self.by_key[key] or self.by_key[older or key]) ~= nil
end

function Cassette:take(name, q)
  local request, key, older = canonical(self, name, q)
  if not request then return nil, key end
  local same = self.by_key[key] or self.by_key[older or key]
  local entry = unused(same)
  if entry then
    entry.used = true
    return entry
  end
  if same then return nil, self:refuse(miss.exhausted(self, same)) end
  return nil, self:refuse(miss.unknown(self, name, request, key))
end

return M
