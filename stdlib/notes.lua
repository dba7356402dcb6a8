--- stoke.notes: questions to documents. A folder (or a list of texts) is cut into passages, which are found by their words and by
--- what they mean; a model answers from them, and each statement says which lines it rests on.
---
---     local notes <close> = stoke.notes("docs", { embed = "nomic-embed-text", file = "docs.notes" })
---     for _, hit in ipairs(notes:search("how is it installed?", { k = 3 })) do print(hit.file, hit.lines[1], hit.text) end
---     local answer = notes:ask("How is it installed?", { model = "qwen2.5:3b" })
---     print(answer.text)                                   -- "Run make install. [2]"
---     for _, c in ipairs(answer.citations) do print(c.number, c.file, c.lines[1], c.lines[2]) end
---
--- **What is read**: files of text below the folder, but not those whose names begin with a dot, and no links. Binary files, files
--- that cannot be read and those above `max_bytes` are passed over and named. The next time, files whose size and times are as they
--- were are not read, and what is embedded comes from the embedding cache where it was embedded before.
---
--- **What a document says** is data: it is quoted in the one message that has the question, each line behind a mark, and never in
--- instructions.

local agent_texts = require "stoke.agent.texts"
local ask = require "stoke.notes.ask"
local embed = require "stoke.memory.embed"
local errors = require "core.errors"
local fs = require "stoke.fs"
local index = require "stoke.notes.index"
local scopes = require "core.scope"
local search = require "stoke.notes.search"
local tables = require "stoke.db.tables"
local semaphore = require "core.channel".semaphore

local M = {}

---@class stoke.notes.hit a passage that was found
---@field id integer
---@field file string path below the folder, or the name of the text
---@field lines integer[] numbers of its first and last line
---@field heading string the headings above it: "Guide > Install", or ""
---@field text string
---@field score number sum of 1 / (60 + place) over both lists
---@field by_words? integer its place among those that share words with the question
---@field by_meaning? integer its place among those whose vectors are near
---@field similarity? number cosine

---@class stoke.notes.report what reading came to
---@field added string[] files that are new
---@field changed string[]
---@field gone string[]
---@field same integer
---@field skipped { file: string, why: string }[] what has no text, or cannot be read

---@class stoke.notes.answer
---@field text string the statements, a line each, with the numbers of the passages: "The ferry leaves at nine. [2]"
---@field found boolean false: nothing was found (no model was asked), or the passages do not tell
---@field citations { number: integer, file: string, lines: integer[], heading: string, text: string }[] passages that are cited
---@field passages stoke.notes.hit[] all that the model was shown, by number
---@field removed integer[] numbers that the model wrote into its text, and that no passage has
---@field usage? stoke.usage
---@field result? stoke.agent.result

---@class stoke.notes
---@field report stoke.notes.report of the last reading
local Notes = {}
Notes.__index = Notes
Notes.__name = "stoke.notes"

-- ---- opening -------------------------------------------------------------------------------------------------------------------

local OPTIONS = { embed = true, file = true, name = "string", bytes = "number", overlap = "number", only = "table", skip = "table",
  hidden = "boolean", max_bytes = "number", max_files = "number", min = "number", texts = "table", progress = true,
  refresh = "boolean", rebuild = "boolean" }

local function whole(what, name, value, default, least, most)
  value = value == nil and default or value
  local n = math.tointeger(value)
  if not n or n < least or n > most then
    errors.argument("%s: %s must be a whole number from %d to %d, got %s", what, name, least, most, tostring(value))
  end
  return n
end

local function check_min(what, value, default)
  if value == nil then return default end
  if not (value >= -1 and value <= 1) then errors.argument("%s: min must be from -1 to 1, got %s", what, tostring(value)) end
  return value
end

local function globs(name, list)
  errors.list("stoke.notes: " .. name, list or {})
  for i, one in ipairs(list or {}) do
    if type(one) ~= "string" or one == "" then
      errors.argument("stoke.notes: %s[%d] must be a glob, such as \"*.md\", got %s", name, i, errors.describe(one))
    end
  end
  return list
end

--- Texts that were given, as entries.
local function entries_of(list)
  errors.list("stoke.notes: the texts", list)
  local out, seen = {}, {}
  for i, given in ipairs(list) do
    local one = type(given) == "string" and { name = tostring(i), text = given } or given
    if type(one) ~= "table" or type(one.text) ~= "string" then
      errors.argument("stoke.notes: text %d must be a string, or { name =, text = }, got %s", i, errors.describe(given))
    end
    errors.options(one, { name = "string", text = "string" }, ("stoke.notes: text %d"):format(i))
    local name = one.name or tostring(i)
    if not utf8.len(name) or name == "" then errors.argument("stoke.notes: the name of text %d is empty, or not UTF-8", i) end
    if seen[name] then errors.argument("stoke.notes: two texts have the name %q", name) end
    seen[name], out[i] = true, { name = name, text = one.text }
  end
  return out
end

--- Where the texts come from.
local function source_of(source)
  if type(source) == "table" then return nil, entries_of(source) end
  if type(source) ~= "string" or source == "" then
    errors.argument("stoke.notes: a folder, or a list of texts; got %s", errors.describe(source))
  end
  local stat = fs.stat(source)
  if not stat or stat.type ~= "directory" then
    errors.raise("argument", ("stoke.notes: %q is %s"):format(source, stat and "no folder" or "not there"),
      { hint = stat and "for one file: stoke.notes { { name = path, text = stoke.fs.read(path) } }" or nil })
  end
  local folder = source:match "^(.-)/*$"
  return folder ~= "" and folder or "/", nil
end

local function settings(given)
  local what = "stoke.notes"
  local o = errors.options(given, OPTIONS, what)
  local name = tables.name(what, o.name or "notes")
  tables.check(what .. ": file", o.file)
  if o.texts then agent_texts.check(what, o.texts) end
  if o.progress then errors.check_callable(o.progress, "stoke.notes: progress") end
  local bytes = whole(what, "bytes", o.bytes, 1200, 100, 16384)
  return { name = name, embed = embed.of(o.embed, what), texts = o.texts, bytes = bytes,
    overlap = whole(what, "overlap", o.overlap, bytes // 6, 0, bytes // 2), only = globs("only", o.only),
    skip = globs("skip", o.skip) or {}, hidden = o.hidden or false, progress = o.progress,
    max_bytes = whole(what, "max_bytes", o.max_bytes, 4 << 20, 1, 64 << 20),
    max_files = whole(what, "max_files", o.max_files, 100000, 1, 1000000), min = check_min(what, o.min, 0.2) }, o
end

--- Open notes, and read what is new or has changed since the last time.
---@param source string|(string|{ name: string, text: string })[] a folder, or texts
---@param options? { embed?: string|table|fun(texts: string[]): number[][], file?: string|stoke.db.database, name?: string, bytes?:
---  integer, overlap?: integer, only?: string[], skip?: string[], hidden?: boolean, max_bytes?: integer, max_files?: integer, min?:
---  number, texts?: table, progress?: fun(done: integer, total: integer, file: string), refresh?: boolean, rebuild?: boolean }
---  embed: the model that makes vectors, or { model =, endpoint = }, or a function; without one, words alone are compared; file:
---  where the index is kept (in memory, until the scope ends), or an open database; name: of its tables ("notes"); bytes: of a
---  passage at most (1200); overlap: bytes that a passage repeats of the one before (a sixth); only, skip: globs of paths; hidden:
---  files whose names begin with a dot, too; max_bytes: of a file (4 MiB); max_files: 100000; min: the least cosine of what is
---  found by its meaning alone (0.2); texts: what is said to models, see stoke.agent.texts (notes_ask, ...); progress: called once
---  a second while files are read; refresh = false: nothing is read now; rebuild: make the index anew
---@return stoke.notes
---Raises `argument` (also: the index is of another model, or about other texts), `os`, `db`, `limit` (max_files), `denied`,
---`cancelled`, and what embedding raises.
---
--- Example: `local letters <close> = stoke.notes.open { "The ferry leaves at nine.", { name = "food", text = "A bakery." } }`
function M.open(source, options)
  local self, o = settings(options)
  self.folder, self.list = source_of(source)
  local database, own = tables.open(o.file, nil, "stoke.notes")
  self.db, self.path, self.own = database, database.path, own
  local guard <close> = setmetatable({}, { __close = function(_, err) if err ~= nil and own then database:close() end end })
  setmetatable(self, Notes)
  self.reading = semaphore(1)
  index.open(self, o.rebuild)
  self.report = { added = {}, changed = {}, gone = {}, same = 0, skipped = {} }
  if o.refresh ~= false then self:refresh() end
  local _ = guard
  return self
end

--- Close them; a database that was given stays open. What `<close>` does.
---
--- Example: `handbook:close()`
function Notes:close()
  scopes.check_self(self, Notes, "notes:close()")
  if self.vectors then self.vectors:close() end
  if self.own then self.db:close() end
end

Notes.__close = Notes.close

-- ---- following -----------------------------------------------------------------------------------------------------------------

--- Read what is new or has changed, and take out what is gone.
---@return stoke.notes.report report also in `notes.report`
---Raises `os`, `db`, `limit`, `denied`, `cancelled`, and what embedding raises: what was read before is kept.
---
--- Example: `print(#handbook:refresh().changed)`
function Notes:refresh()
  scopes.check_self(self, Notes, "notes:refresh()")
  local permit <close> = self.reading:acquire() -- luacheck: ignore permit
  self.report, self.folders = index.refresh(self)
  return self.report
end

--- Seconds without a further change after which what has changed is read, and after which it is read in any case.
local QUIET <const>, LATEST <const> = 0.2, 5

--- Wait until something in the folder has changed, and for the quiet after it.
local function wait(watch, seconds)
  if not watch:next(seconds) then return false end
  for _ = 1, LATEST // QUIET do
    if not watch:next(QUIET) then break end
  end
  return true
end

--- Follow the folder: read what changes as it changes. Each step of the loop gives a report; leaving it ends the watch.
---@return fun(): stoke.notes.report iterator for generic `for`
---Raises `argument` for notes of a list, and as notes:refresh and fs.watch.
---
--- Example: `for report in handbook:watch() do print(#report.added, #report.changed, #report.gone) end`
function Notes:watch()
  scopes.check_self(self, Notes, "notes:watch()")
  if not self.folder then errors.argument "notes:watch: these are notes of a list of texts, which nobody can watch" end
  if not self.folders then self:refresh() end
  local open, watched = nil, nil
  local function renew() -- folders come and go
    local names = table.concat(self.folders, "\0")
    if names == watched then return false end
    if open then open:close() end
    open, watched = fs.watch(self.folders), names
    return true
  end
  renew()
  local unread = true -- what changed before the watch stood
  local function step()
    while true do
      if not unread then wait(open) end
      unread = false
      local report = self:refresh()
      if renew() then unread = true end
      if report.added[1] or report.changed[1] or report.gone[1] then return report end
    end
  end
  return step, nil, nil, setmetatable({}, { __close = function() open:close() end })
end

---@class stoke.notes.file
---@field file string
---@field passages integer
---@field skipped? string why it has no passages

--- The files that are known, in the order of their paths.
---@return stoke.notes.file[]
---Raises `db`, `cancelled`.
---
--- Example: `for _, one in ipairs(handbook:files()) do print(one.file, one.passages, one.skipped) end`
function Notes:files()
  scopes.check_self(self, Notes, "notes:files()")
  local out = {}
  for row in self.db:each(index.named(self, "SELECT name AS file, passages, why AS skipped FROM NAME_files ORDER BY name")) do
    out[#out + 1] = row
  end
  return out
end

-- ---- asking --------------------------------------------------------------------------------------------------------------------

---@private
function Notes.check_k(what, k) return whole(what, "k", k, 6, 1, 1000) end

local SEARCH = { k = "number", filter = true, min = "number" }

local function check_filter(filter)
  if filter == nil or type(filter) == "string" or errors.callable(filter) then return filter end
  if type(filter) ~= "table" then
    errors.argument("notes:search: filter must be a glob, a list of globs or a function, got %s", errors.describe(filter))
  end
  return globs("filter", filter)
end

--- Find passages, the best first.
---@param question string
---@param options? { k?: integer, filter?: string|string[]|fun(file: string): boolean, min?: number } k: how many at most (6);
---  filter: of the files, globs or a function; min: the least cosine of what is found by its meaning alone
---@return stoke.notes.hit[]
---Raises `argument`, `db`, `cancelled`, and what embedding raises.
---
--- Example: `local hits = handbook:search("deadlines", { k = 3, filter = "guide/*.md" })`
function Notes:search(question, options)
  scopes.check_self(self, Notes, "notes:search()")
  local o = errors.options(options, SEARCH, "notes:search")
  if type(question) ~= "string" or not utf8.len(question) or not question:find "%S" then
    errors.argument("notes:search: the question must be a text that is not empty, got %s", errors.describe(question))
  end
  return search.best(self, { text = question, k = self.check_k("notes:search", o.k), filter = check_filter(o.filter),
    min = check_min("notes:search", o.min, self.min) })
end

--- Have a model answer a question from the passages that fit it. Each statement of the answer has the numbers of the passages it
--- rests on; that they exist is checked. Where nothing is found, no model is asked.
---@param question string
---@param options { model: string, k?: integer, filter?: string|string[]|function, min?: number, endpoint?: string, route?:
---  string|string[], sampling?: table|string, think?: boolean|string, repair?: integer, budget?: table, deadline?: number,
---  timeouts?: table, texts?: table } k, filter, min: as notes:search; sampling: temperature 0 unless given; texts: notes_ask,
---  notes_question, notes_nothing, notes_untold
---@return stoke.notes.answer
---Raises `argument`, `db`, and what agent:run raises: `invalid_output` where the model cites no passage that there is, however
---often it is asked.
---
--- Example: `print(handbook:ask("When does the ferry leave?", { model = "qwen2.5:3b" }).text)`
function Notes:ask(question, options)
  scopes.check_self(self, Notes, "notes:ask()")
  return ask.run(self, question, options)
end

--- A tool with which an agent searches the notes.
---@param options? { name?: string, description?: string, k?: integer, filter?: string|string[]|function, min?: number } name:
---  "search_notes"; k: passages it tells (6)
---@return stoke.tool
---Raises `argument`.
---
--- Example: `local bot = stoke.agent { model = m, tools = { handbook:tool { k = 4 } } }`
function Notes:tool(options)
  scopes.check_self(self, Notes, "notes:tool()")
  return ask.tool(self, options)
end

return setmetatable(M, { __call = function(_, ...) return M.open(...) end })
