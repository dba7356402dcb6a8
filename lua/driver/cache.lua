--- Effects on the cache, for scripts and for `stoke cache`: cache.stats, cache.list, cache.get, cache.clear, cache.wrong,
--- cache.export and cache.import. It is the cache of this process; a command that runs no script takes the one that scripts of the
--- present folder use, or one that is named. Looking makes no file.

local engine = require "host.store"
local env = require "host.env"
local fs = require "host.fs"
local disk = require "core.cache.disk"
local effect = require "core.effect"
local entries = require "core.cache.entries"
local errors = require "core.errors"
local files = require "core.cache.file"
local keys = require "core.cache.key"
local leftover = require "core.leftover"
local place = require "core.store.place"
local plain = require "core.store.plain"
local script = require "core.script"
local settings = require "core.cache.settings"
local streams = require "core.stream"
local texts = require "core.text"
local transfer = require "core.cache.transfer"
local values = require "core.cache.value"

local M = {}

-- ---- which file -------------------------------------------------------------------------------------------------------------

local function is_file(path)
  local stat = fs.stat(path)
  return stat ~= nil and stat.type == "file"
end

--- Refuse a file that is no cache. The one of this process is put aside and begun anew when it is opened, if there is something
--- wrong with it; one that somebody has named must not be.
local function check_named(path)
  local function no(why, hint) return errors.new("usage", ("%s %s"):format(texts.word(path), why), { hint = hint }) end
  if not is_file(path) then return no("is no file", "the cache of a script is .stoke/cache.db in its folder") end
  local db, err = engine.open(path, { readonly = true, busy = 2 })
  local found
  if db then
    found = db:query "SELECT version,inode FROM meta"
    db:close()
  elseif not disk.damaged(err) then
    return err
  end
  local row, stat = found and found.rows[1], fs.stat(path)
  if not row then return no "is no cache" end
  if row[1] ~= disk.VERSION then return no "was written by another version of stoke" end
  if not stat or stat.ino ~= row[2] then
    return no("was copied, or made elsewhere: what is in it is not trusted", "stoke cache export and import copy entries")
  end
end

--- For a command that runs no script: use a file that somebody has named; else the one that scripts of the present folder use,
--- where there is one.
---@param path? string
---@return boolean|nil ok
---@return stoke.error? err kind `usage`: it is no cache
function M.use(path)
  if path then
    local err = check_named(path)
    if err then return nil, err end
  elseif not settings.path and not script.path then
    local near = (place.path "./x":gsub("[^/]*$", "cache.db"))
    path = is_file(near) and near or nil
  end
  if path then
    files.forget()
    files.path = path
  end
  return true
end

--- The path of the file; nil: there is none, the cache is in memory alone.
---@return string|nil
function M.where() return files.where() end

--- f(file), with the file; nil, where there is none yet, unless it is to be made.
local function with(f, make)
  local path, file = files.where(), files.of()
  if path and not make then
    file:flush() -- what was put may make it
    if not is_file(path) then return nil end
  end
  return f(file)
end

--- The database of a file that has been written; nil and an error where it cannot be opened.
local function database(file)
  file:flush()
  local db = file:database()
  if db then return db end
  if file.path then return nil, errors.new("db", ("the cache %s cannot be opened"):format(texts.word(file.path))) end
end

-- ---- entries as plain data --------------------------------------------------------------------------------------------------

--- What a semantic entry says of itself.
local function semantic_of(row)
  local held = row.value and plain.decode(row.value)
  return type(held) == "table" and type(held.entry) == "table" and held.entry or nil
end

--- A row as people and scripts see it.
local function shown(row)
  local facts = row.facts
  local key = keys.hex(row.key)
  local out = { id = key:sub(1, 8), key = key, kind = row.kind, model = facts.model, digest = facts.digest,
    endpoint = facts.endpoint, run = facts.run, script = facts.script, input_tokens = facts.input_tokens or facts.tokens,
    output_tokens = facts.output_tokens, seconds = facts.seconds, made = row.made, ttl = row.ttl, hits = row.hits,
    bytes = row.bytes, row = row.row }
  local meaning = row.kind == "semantic" and semantic_of(row)
  out.answers = meaning and meaning.id or nil
  return out
end

--- The message of an answer as a whole, in any of its shapes.
local function from_reply(reply)
  local message = type(reply.message) == "table" and reply.message or {}
  local calls = {}
  for i, call in ipairs(type(message.tool_calls) == "table" and message.tool_calls or {}) do
    local f = type(call) == "table" and type(call["function"]) == "table" and call["function"] or {}
    calls[i] = { name = f.name, arguments = f.arguments }
  end
  return { text = message.content or reply.response, thinking = message.thinking or reply.thinking,
    calls = calls[1] and calls or nil, reason = reply.done_reason }
end

local function from_stream(text)
  local words, thoughts, calls, reason, pieces = {}, {}, {}, nil, 0
  for _, item in streams.items(text) do
    if type(item) == "table" then
      pieces = pieces + 1
      if item.type == "text" then
        words[#words + 1] = item.text
      elseif item.type == "thinking" then
        thoughts[#thoughts + 1] = item.text
      elseif item.type == "tool_call" then
        calls[#calls + 1] = { name = item.name, arguments = item.arguments }
      elseif item.type == "done" then
        reason, pieces = item.reason, pieces - 1
      end
    end
  end
  return { text = table.concat(words), thinking = thoughts[1] and table.concat(thoughts) or nil, calls = calls[1] and calls or nil,
    reason = reason, pieces = pieces }
end

local READ = {
  exact = function(row)
    if values.is_stream(row.value) then return from_stream(row.value) end
    return from_reply(plain.decode(row.value))
  end,
  embedding = function(row) return { dimensions = #row.value // 4 } end,
  prefix = function(row)
    local _, prompt, text, reason = string.unpack("<s4s4s4s4", row.value)
    return { text = text, reason = reason, prompt = prompt }
  end,
  semantic = function(row)
    local entry, wordings = semantic_of(row), {}
    if not entry then return { learned = true } end
    for i, wording in ipairs(entry.texts) do wordings[i] = wording.text end
    return { wordings = wordings, served = entry.served }
  end,
}

--- What an entry answers; an empty table where it cannot be read.
local function answer_of(row)
  local read = READ[row.kind]
  local ok, answer = pcall(read or function() return {} end, row)
  return ok and answer or { damaged = true }
end

-- ---- looking ----------------------------------------------------------------------------------------------------------------

--- What became of this process's calls; nil: nobody has asked for a cache.
local function own_calls()
  local gate = package.loaded["core.gate.cache"]
  return gate and plain.decode(plain.encode(gate.counts)) or nil
end

local function totals(kinds)
  local saved, n, bytes = { calls = 0, input_tokens = 0, output_tokens = 0, seconds = 0 }, 0, 0
  for name, kind in next, kinds do
    n, bytes = n + kind.entries, bytes + kind.bytes
    if name == "semantic" then goto next end -- what it gives is an answer of its own kind
    saved.calls, saved.seconds = saved.calls + kind.hits, saved.seconds + kind.seconds
    saved.input_tokens, saved.output_tokens = saved.input_tokens + kind.input_tokens, saved.output_tokens + kind.output_tokens
    ::next::
  end
  return saved, n, bytes
end

local function stats()
  local calls = own_calls()
  local empty = { path = files.where(), exists = false, entries = 0, bytes = 0, limit = settings.bytes or disk.USUAL, kinds = {},
    evicted = 0, hits = 0, misses = 0, memory = 0, saved = totals {}, calls = calls }
  local out, err = with(function(file)
    local held = file:stats()
    local db, failed = database(file)
    if failed then return nil, failed end
    local kinds
    if db then kinds, failed = entries.sums(db) end
    if failed then return nil, failed end
    held.exists, held.calls, held.kinds = db ~= nil, calls, kinds or {}
    held.saved, held.entries, held.bytes = totals(held.kinds)
    held.semantic = (held.kinds.semantic or package.loaded["core.gate.semantic"]) and require "core.gate.semantic".totals() or nil
    if not db then held.entries, held.bytes = file.memory.count, file.memory.bytes end
    return held
  end)
  if err then return nil, err end
  return out or empty
end

local function page(q)
  local out, err = with(function(file)
    local db, failed = database(file)
    if not db then return failed == nil and {} or nil, failed end
    local rows
    rows, failed = entries.page(db, { kind = q.kind, model = q.model, before = q.before, limit = q.limit })
    if not rows then return nil, failed end
    for i, row in ipairs(rows) do rows[i] = shown(row) end
    return rows
  end)
  if err then return nil, err end
  return out or {}
end

-- ---- one entry --------------------------------------------------------------------------------------------------------------

local function bytes_of(digits)
  return (digits:gsub("%x%x", function(two) return string.char(tonumber(two, 16)) end))
end

--- The row of an id: the first digits of its key, at least one; several is an error that lists them.
local function find(db, id)
  local digits = id:lower()
  if not digits:find "^%x+$" or #digits > 64 then
    return nil, errors.new("usage", ("%q is no id of an entry: it is made of the digits 0-9 and a-f"):format(id),
      { hint = "stoke cache list tells them" })
  end
  local whole = digits:sub(1, #digits // 2 * 2)
  local rows, err = entries.page(db, { from = bytes_of(whole), limit = 300 })
  if not rows then return nil, err end
  local found, names = {}, {}
  for _, row in ipairs(rows) do
    if keys.hex(row.key):sub(1, #digits) == digits then found[#found + 1] = row end
  end
  if #found > 1 then
    for i = 1, math.min(#found, 5) do names[i] = ("%s (%s)"):format(keys.hex(found[i].key):sub(1, 12), found[i].kind) end
    return nil, errors.new("usage", ("several entries begin with %s: %s%s"):format(id, table.concat(names, ", "),
      found[6] and ", ..." or ""), { hint = "give more of its digits" })
  end
  if found[1] then return found[1] end
  return nil, errors.new("usage", ("no entry of the cache has the id %s"):format(id), { hint = "stoke cache list tells them" })
end

local function nothing()
  local path = files.where()
  return errors.new("usage", path and ("there is no cache yet: %s does not exist"):format(texts.word(path)) or
    "the cache is in memory alone, and empty", { hint = "calls with cache = true make it" })
end

local function with_row(q, f)
  local missing = true
  local out, err = with(function(file)
    missing = false
    local db, failed = database(file)
    if not db then return nil, failed or nothing() end
    local row
    row, failed = find(db, q.id)
    if not row then return nil, failed end
    return f(file, db, row)
  end)
  if missing and not err then return nil, nothing() end
  return out, err
end

local function get(q)
  return with_row(q, function(_, db, row)
    local rows, err = entries.page(db, { kind = row.kind, from = row.key, limit = 1, values = true })
    if not rows then return nil, err end
    if not rows[1] then return nil, errors.new("usage", ("the entry %s has just gone"):format(q.id)) end
    local out = shown(rows[1])
    out.answer = answer_of(rows[1])
    return out
  end)
end

-- ---- changing ---------------------------------------------------------------------------------------------------------------

local function clear(q)
  local n, err = with(function(file)
    local _, failed = database(file)
    if failed then return nil, failed end
    return file:clear { kind = q.kind, older = q.older, model = q.model }
  end)
  if err then return nil, err end
  return n or 0
end

--- An answer that was wrong: it is not given again. Where it was given to a question that was worded otherwise, that is learned.
local function wrong(q)
  return with_row(q, function(file, db, row)
    local out = shown(row)
    local meanings, err = entries.count(db, { kind = "semantic" })
    if not meanings then return nil, err end
    out.learned = meanings > 0 and require "core.gate.semantic".wrong(out.answers or out.id)
    file:delete(row.kind, row.key)
    return out
  end)
end

-- ---- copies -----------------------------------------------------------------------------------------------------------------

local function put_all(file, text)
  local at = 1
  while at <= #text do
    local n, err = file:write(text, at, #text - at + 1)
    if err then return nil, err end
    if n then
      at = at + n
    else
      local _, failed = file:wait(true)
      if failed then return nil, failed end
    end
  end
  return true
end

local made = 0

--- Write a file that has its name only once it is whole.
local function write_whole(target, f)
  local stat = fs.stat(target)
  if stat and stat.type ~= "file" then return nil, errors.new("usage", ("%s is no file"):format(target)) end
  local folder = target:match "^(.*/)[^/]*$" or ""
  made = made + 1
  local out, err = fs.open(("%s.stoke-%d-c%d-p%s.tmp"):format(folder, env.pid(), made, env.place()), "temp", 384, target) -- 0600
  if not out then return nil, err end
  local held <close> = out
  local n
  n, err = f(function(text) return put_all(held, text) end)
  local ok = n ~= nil
  if ok then ok, err = held:sync() end
  if ok then ok, err = held:publish(target) end
  if not ok then return nil, err end
  leftover.sweep(folder ~= "" and folder or "./", fs.list, fs.unlink)
  return n
end

local function export(q, _, work)
  local missing = true
  local n, err = with(function(file)
    missing = false
    local db, failed = database(file)
    if not db then return nil, failed or nothing() end
    local which, progress = { kind = q.kind, model = q.model }, work and work.progress
    if work and work.put then return transfer.export(db, which, work.put, progress) end
    return write_whole(q.to, function(put) return transfer.export(db, which, put, progress) end)
  end)
  if missing and not err then return nil, nothing() end
  return n and { entries = n }, err
end

local PIECE <const> = 1 << 20

local function import(q, _, work)
  local source, err = fs.open(q.from, "read")
  if not source then return nil, err end
  local held <close> = source
  local stat = held:stat()
  if stat and stat.type == "directory" then return nil, errors.new("usage", ("%s is a folder"):format(q.from)) end
  local done, total = 0, stat and stat.type == "file" and stat.size or nil
  local function take()
    while true do
      local bytes, failed = held:read(PIECE)
      if failed then return nil, failed end
      if bytes then
        done = done + #bytes
        if work and work.progress and total then work.progress(done, math.max(total, done)) end
        return bytes
      end
      local _, gone = held:wait()
      if gone then return nil, gone end
    end
  end
  return with(function(file) return transfer.import(file, take, q.from) end, true)
end

local function define(name, class, run, subject)
  effect.define("cache." .. name, { class = class, subject = subject, run = run, repeats = class == "idempotent" or nil })
end

define("stats", "pure", stats)
define("list", "pure", page)
define("get", "pure", get)
define("clear", "idempotent", clear)
define("wrong", "idempotent", wrong)
define("export", "idempotent", export, function(q) return "path", q.to end)
define("import", "idempotent", import, function(q) return "path", q.from end)

return M
