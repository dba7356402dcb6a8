--- Answers to questions that mean the same (core.cache.semantic), as the cache gate asks for them: the vector of the question, the
--- scope that it belongs to, the rows in the file, and what an answer taught.
---
--- The scope is the request as it would be sent, without the text of the question, with the digests of both models: whatever else
--- is changed, an instruction, a tool, an option, an earlier message, is another scope, in which nothing is known.

local clock = require "host.time"
local host = require "host.task"
local cache = require "core.gate.cache"
local hooks = require "core.cache.settings"
local errors = require "core.errors"
local files = require "core.cache.file"
local json = require "core.json"
local keys = require "core.cache.key"
local plain = require "core.store.plain"
local rand = require "host.rand"
local scopes = require "core.scope"
local semantic = require "core.cache.semantic"
local tally = require "core.cache.semantic.tally"
local tasks = require "core.task"
local terms = require "core.terms"
local values = require "core.cache.value"
local vectors = require "core.vectors"

local M = {}

local KIND <const> = "semantic"
--- The embedding model where nobody names one, and seconds for which it is left alone after it has failed.
M.MODEL, M.PAUSE = "all-minilm", 30
--- Seconds that a function of the user's may take to compare two answers, or to judge two questions.
M.PATIENCE = 60

local OPTIONS = { error = "number", same = true, model = "string", endpoint = "string", shadow = "boolean", cold = "boolean",
  judge = true }

---@class stoke.cache.semantic
---@field error? number wanted share of wrong ones among the answers given so (0.01)
---@field same? fun(a: string, b: string): boolean are two answers the same? Without it only answers in a format are compared
---@field model? string the embedding model ("all-minilm")
---@field endpoint? string where it is (where the call goes)
---@field shadow? boolean never give an answer; measure
---@field cold? boolean an answer may be given before it was checked once itself
---@field judge? string|fun(asked: string, kept: string): boolean a model that is asked about both questions before an answer is
---  given, at the same endpoint, or a function; whatever else they say than yes is a no

--- Are these settings right?
---@param what string who was given them
---@param given any
---Raises `argument`.
function M.check(what, given)
  if given == true then return end
  if type(given) ~= "table" then
    errors.argument("%s: cache.semantic must be true, false or a table such as { error = 0.01, same = f }, got %s", what,
      errors.describe(given))
  end
  errors.options(given, OPTIONS, what .. ": cache.semantic")
  if given.error and not (given.error > 0 and given.error < 1) then
    errors.argument("%s: cache.semantic.error must be a share between 0 and 1, such as 0.01, got %s", what, tostring(given.error))
  end
  if given.same and not errors.callable(given.same) then
    errors.argument("%s: cache.semantic.same must be a function of two answers, got %s", what, errors.describe(given.same))
  end
  local judge = given.judge
  if judge ~= nil and judge ~= "" and type(judge) ~= "string" and not errors.callable(judge) or judge == "" then
    errors.argument("%s: cache.semantic.judge must be the name of a model, or a function of two questions, got %s", what,
      errors.describe(judge))
  end
end

-- ---- what is kept -----------------------------------------------------------------------------------------------------------

local function entry_key(scope, id) return keys.of("semantic entry", scope, id) end
local function scope_key(scope) return keys.of("semantic scope", scope) end

local function put(key, row, model)
  local text = plain.encode(row)
  if text then files.of():put(KIND, key, text, { model = model }) end
end

--- What is kept, looked at by the cache itself: no answer is given with it, so it is no hit.
local function held(kind, key)
  local file = files.of()
  return file:peek(kind, key) or file:reread(kind, key)
end

--- Weights are kept as f32, which takes a third; they are logarithms, and need no more.
local function unpacked(learned)
  if type(learned) ~= "table" or type(learned.weights) ~= "string" or #learned.weights % 4 ~= 0 then return nil end
  return { n = learned.n, weights = vectors.unpack(learned.weights) }
end

--- What was there when this process began, by scope. Others' later entries are found by the next process.
local rows

local function read_rows()
  local file, found = files.of(), {}
  for kind, key in file:each(KIND) do
    local text = kind and held(KIND, key)
    local row = text and plain.decode(text)
    if type(row) == "table" and row.scope then
      local scope = found[row.scope] or { entries = {} }
      found[row.scope] = scope
      if row.entry then scope.entries[#scope.entries + 1] = row.entry else scope.learned = unpacked(row.learned) end
    end
  end
  return found
end

local STORE = {
  load = function(scope)
    local kept = rows[scope]
    if kept then table.sort(kept.entries, function(a, b) return a.made < b.made end) end
    return kept
  end,
  keep = function(scope, entry) put(entry_key(scope, entry.id), { scope = scope, entry = entry }, entry.answer.model) end,
  learned = function(scope, learned)
    put(scope_key(scope), { scope = scope, learned = { n = learned.n, weights = vectors.pack(learned.weights) } })
  end,
  drop = function(scope, id) files.of():delete(KIND, entry_key(scope, id)) end,
}

local engine

-- When the embedding model, and the judge, may be asked again.
local resting, judge_rests = 0, 0

-- ---- counts over all processes ------------------------------------------------------------------------------------------------

local TALLY = { encode = plain.encode, decode = plain.decode,
  each = function()
    local next_one = files.of():each "tally"
    return function() return (select(2, next_one())) end
  end,
  get = function(key) return held("tally", key) end,
  put = function(key, text) files.of():put("tally", key, text, {}) end,
  delete = function(key) files.of():delete("tally", key) end }

--- The key of this process's row, and what it has taken over from old ones.
local own, before

--- Write what was counted.
local function note()
  if not own then
    own = keys.of("semantic tally", rand.new():bytes(16))
    before = tally.take_old(TALLY, clock.wall())
  end
  local row = { at = clock.wall(), counts = tally.add(tally.add(tally.new(), before), engine:stats()) }
  TALLY.put(own, plain.encode(row) --[[@as string]])
end

--- What became of questions, of all processes that use the file.
---@return core.semantic.counts
---
--- Example: `print(require "core.gate.semantic".totals().served)`
function M.totals()
  local all = tally.sum(TALLY, own)
  if engine then tally.add(tally.add(all, before), engine:stats()) end
  all.error = tally.error(all)
  return all
end

--- As at the beginning.
function M.forget() engine, rows, resting, own, before, judge_rests = nil, nil, 0, nil, nil, 0 end

local function opened()
  if not engine then
    rows = rows or read_rows()
    engine = engine or semantic.new { vectors = vectors, store = STORE }
  end
  return engine
end

-- ---- looking ----------------------------------------------------------------------------------------------------------------

--- Run in a task of the host's: what it asks is part of no run and of no budget. Gives its results, or nil and `cancelled`.
local function outside(f, ...)
  local waiting, done, first, second = {}, false, nil, nil
  local arguments = table.pack(...)
  tasks.spawn(function()
    local ok, a, b = pcall(f, table.unpack(arguments, 1, arguments.n))
    if ok then first, second = a, b else first, second = nil, errors.wrap(a) end
    done = true
    scopes.wake_all(waiting)
  end, { system = true, name = "semantic" })
  while not done do
    local woken, err = scopes.queue_up(waiting, host.enter "semantic", "semantic")
    if woken == nil then return nil, err end
  end
  return first, second
end

--- Ask a function of the user's, `same` or `judge`. It may ask models itself, and what it asks is neither cached nor compared: it
--- would be asked about that in turn. Gives what pcall does.
local function ask_user(f, a, b)
  return pcall(function()
    local task = tasks.current()
    local around = terms.inside((task.scope or task).context, nil, nil, false)
    local scope <close> = scopes.open { terms = around, deadline = M.PATIENCE, deadline_kind = "timeout" } -- luacheck: ignore
    return f(a, b)
  end)
end

--- The vector of a text, and the digest of the model that made it.
local function vector_of(options, place, text)
  if clock.monotonic() < resting then return nil, "the embedding model does not answer" end
  local packed, digest = outside(hooks.packed, options.model or M.MODEL, options.endpoint or place.target.endpoint.name, text)
  if packed then return packed, digest end
  if digest.kind == "cancelled" then return nil, digest end
  resting = clock.monotonic() + M.PAUSE
  scopes.tell(("questions are not compared by meaning: %s"):format(digest.message))
  return nil, "the embedding model does not answer"
end

--- The request without its question. nil where the question cannot be told from the rest of it.
local function scope_of(place, sent, text, options, digest)
  local encoded = json.encode(text)
  local first, last = sent:find(encoded, 1, true)
  if not first or sent:find(encoded, first + 1, true) then return nil end
  local rest = sent:sub(1, first - 1) .. "\0" .. sent:sub(last + 1)
  return keys.hex(keys.of("semantic", place.kind, rest, place.reading, place.digest, options.model or M.MODEL, digest))
end

--- Ask whether an answer may be given. Gives an error of kind `cancelled`.
local function judged(options, place, found, text)
  local known, judge = found.entry.texts[1].text, options.judge
  local yes, err
  if errors.callable(judge) then
    local ok, said = ask_user(judge, text, known)
    if ok then yes = said == true else err = errors.wrap(said) end
  elseif clock.monotonic() >= judge_rests then
    yes, err = outside(hooks.judge, judge, options.endpoint or place.target.endpoint.name, text, known)
    if err and err.kind == "cancelled" then return err end
    if err then judge_rests = clock.monotonic() + M.PAUSE end
  end
  if err then scopes.tell(("the judge of questions failed, which counts as a no: %s"):format(err.message)) end
  opened():judged(found, yes)
end

local function options_of(settings) return type(settings.semantic) == "table" and settings.semantic or {} end

---@class core.semantic.asked what a call asked for, and what was found
---@field question core.semantic.question
---@field found core.semantic.decision
---@field options stoke.cache.semantic
---@field place core.cache.place

--- What is known for a call.
---@param q table the request
---@param place core.cache.place of its first candidate
---@param sent string the request as it would be sent
---@param settings stoke.cache.settings
---@return core.semantic.asked|nil asked
---@return string|stoke.error|nil why nobody can look
function M.look(q, place, sent, settings)
  local options = options_of(settings)
  local text, why = semantic.question(q.body or {})
  if not text then return nil, why end
  local vector, digest = vector_of(options, place, text)
  if not vector then return nil, digest end
  local scope = scope_of(place, sent, text, options, digest)
  if not scope then return nil, "the question stands in the request twice" end
  scope = keys.hex(keys.of(scope, settings.scope or "", files.project()))
  local question = { text = text, scope = scope, vector = vector, now = clock.wall(), offset = M.offset() }
  local found = opened():look(question, options)
  local err = found.action == "serve" and options.judge and judged(options, place, found, text) or nil
  if err then return nil, err end
  if found.action == "serve" then files.of():get(KIND, entry_key(scope, found.entry.id)) end -- a hit: it stays longer
  note()
  return { question = question, found = found, options = options, place = place }
end

--- Seconds that the clock of this place is ahead of UTC.
function M.offset()
  local now = os.time()
  local utc = os.date("!*t", now) --[[@as osdate]]
  utc.isdst = os.date("*t", now).isdst
  return os.difftime(now, os.time(utc --[[@as osdateparam]]))
end

--- What a caller is told of an entry that answered.
---@param found core.semantic.decision
---@return { id: string, question: string, similarity: number, chance: number }
function M.told(found)
  return { id = found.entry.id, question = found.entry.texts[1].text, similarity = found.similarity, chance = found.chance }
end

--- The entry's answer is not there any more.
function M.gone(asked) opened():drop(asked.question.scope, asked.found.entry.id) end

-- ---- learning ---------------------------------------------------------------------------------------------------------------

local function content(reply)
  local message = type(reply) == "table" and (reply.message and reply.message.content or reply.response)
  return type(message) == "string" and message or nil
end

--- The reply that an entry kept.
local function kept_reply(answer, q)
  local text = held(answer.kind, answer.key)
  return text and values.whole(text, q.path)
end

--- Are two answers the same? nil: nobody can say.
local function compared(asked, q, new, entry)
  local old = content(kept_reply(entry.answer, q))
  if not old or not new then return nil end
  if asked.options.same then
    local ok, same = ask_user(asked.options.same, new, old)
    if not ok then
      scopes.tell("cache.semantic.same failed: " .. errors.wrap(same).message)
      return nil
    end
    return same and true or false
  end
  if not (q.body and q.body.format) then return nil end
  local a, b = json.decode(new), json.decode(old)
  if a == nil or b == nil then return nil end
  return json.encode(a) == json.encode(b)
end

--- The model has answered, and its answer is kept: learn from it.
---@param asked core.semantic.asked
---@param q table
---@param place core.cache.place where it is kept
---@param reply table
function M.answered(asked, q, place, reply)
  if place ~= asked.place then return end -- another model along the route: its own scope knows nothing of it
  local new, found, same = content(reply), asked.found, nil
  if not new or new == "" then return end
  local calls = reply.message and reply.message.tool_calls
  if calls and calls[1] then return end
  local id = keys.hex(place.key):sub(1, 8)
  if found.action == "explore" then
    same = compared(asked, q, new, found.entry)
    if same ~= nil then opened():teach(asked.question.scope, found, same) else opened():unchecked() end
  end
  for _, entry in ipairs(found.near or {}) do
    if compared(asked, q, new, entry) then
      found.entry, same = entry, true
      break
    end
  end
  opened():add(asked.question, id, { kind = place.kind, key = place.key, model = place.target.name }, found, same)
  note()
end

--- An answer that was given was wrong.
---@param id string as a reply's `semantic.id`
---@return boolean found
function M.wrong(id)
  local known = opened()
  for scope in pairs(rows) do known:touch(scope) end
  local found = known:wrong(id)
  if found then note() end
  return found
end

--- Counts since the start: see core.cache.semantic.
function M.stats() return opened():stats() end

cache.semantic = M

return M
