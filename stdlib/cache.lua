--- The cache of this script: what it holds, what it has saved, and what of it goes. Answers and vectors get there by themselves: a
--- call, an agent, a scope, a route or the settings say `cache = true`; vectors are kept unless somebody says `cache = false`.
---
--- `stoke cache` is these functions. The file is `.stoke/cache.db` beside the script, or where the settings say (`cache.path`).

local driver = require "core.driver.cache"
local effect = require "core.effect"
local errors = require "core.errors"

local M = {}

local function perform(name, q, work) return errors.check(effect.perform(name, q, work)) end

--- The kinds of entries.
local KINDS = { "exact", "embedding", "prefix", "semantic" }

local function check_kind(what, kind)
  if kind == nil then return end
  for _, known in ipairs(KINDS) do
    if kind == known then return end
  end
  local near = errors.suggest(kind, KINDS)
  errors.argument("%s: kind must be %s, got %q%s", what, "one of " .. table.concat(KINDS, ", "), kind,
    near and ("; did you mean %q?"):format(near) or "")
end

local function check_id(what, id)
  if type(id) ~= "string" or id == "" then
    errors.argument("%s: the id of an entry must be a string of hexadecimal digits, got %s", what, errors.describe(id))
  end
  return id
end

local function check_path(what, path)
  if type(path) == "string" and path ~= "" then return path end
  errors.argument("%s: the path must be a string that is not empty, got %s", what, errors.describe(path))
end

--- Where the cache is.
---@return string|nil path of the file, which may not be there yet; nil: in memory alone (a test)
---
--- Example: `print(stoke.cache.where())`
function M.where() return driver.where() end

---@class stoke.cache.calls what became of the calls of this process that asked for a cache
---@field exact integer answered by what was kept
---@field shared integer by a call that was being made by somebody else
---@field prefix integer completions answered by the rest of an earlier answer
---@field semantic integer by the answer to a question that means the same
---@field misses integer by a model
---@field stale integer of the exact ones: past their time, and asked for anew
---@field errors integer of the exact ones: past their time, given since the call failed
---@field skipped table<string, integer> not looked for, by why
---@field unkept table<string, integer> answers that were not kept, by why

--- What the cache holds, and what it has saved. Makes no file.
---@return table stats { path, exists, entries, bytes, limit, file, memory, kinds = { [kind] = { entries, bytes, hits, input_tokens,
---  output_tokens, seconds, newest, oldest } }, hits, misses, evicted, saved = { calls, input_tokens, output_tokens, seconds },
---  calls = see stoke.cache.calls; nil where this process has asked for no cache, semantic = see core.semantic.counts; nil where
---  nobody has asked for answers to questions that mean the same }; `hits` and `misses` are those of calls since the file was begun
---Raises `db`, `cancelled`.
---
--- Example: `print(stoke.cache.stats().saved.seconds)`
function M.stats() return perform("cache.stats", {}) end

---@class stoke.cache.entry
---@field id string the first digits of its key
---@field key string 64 hexadecimal digits
---@field kind "exact"|"embedding"|"prefix"|"semantic"
---@field model? string
---@field digest? string of the model
---@field endpoint? string that answered
---@field script? string that asked, and `run`, the durable run
---@field input_tokens? integer what it cost, and `output_tokens`, `seconds`
---@field made number seconds since 1970
---@field ttl? number seconds for which it is fresh; nil: for ever
---@field hits integer times it was given
---@field bytes integer that it takes in the file, about
---@field answers? string of an entry by meaning: the id of the answer that it gives

local LIST = { kind = "string", model = "string", limit = "number", before = "number" }

--- Entries, the newest first. Looking at one is no hit.
---@param options? { kind?: string, model?: string, limit?: integer, before?: integer } limit: at most so many (100); before: `row`
---  of the last one, for those after it
---@return stoke.cache.entry[]
---Raises `argument`, `db`, `cancelled`.
---
--- Example: `for _, entry in ipairs(stoke.cache.list { kind = "exact" }) do print(entry.id, entry.model, entry.hits) end`
function M.list(options)
  options = errors.options(options, LIST, "cache.list")
  check_kind("cache.list", options.kind)
  local limit = options.limit or 100
  if not (math.type(limit) == "integer" and limit >= 1 and limit <= 10000) then
    errors.argument("cache.list: limit must be a whole number from 1 to 10000, got %s", errors.describe(limit))
  end
  return perform("cache.list", { kind = options.kind, model = options.model, limit = limit, before = options.before })
end

local PAGE <const> = 500

--- All entries, the newest first, in pages.
---@param options? { kind?: string, model?: string }
---@return fun(): stoke.cache.entry|nil iterator for generic `for`
---Raises `argument`, `db`, `cancelled`, also while it goes on.
---
--- Example: `for entry in stoke.cache.each() do print(entry.kind, entry.bytes) end`
function M.each(options)
  options = errors.options(options, { kind = "string", model = "string" }, "cache.each")
  check_kind("cache.each", options.kind)
  local list, at, before, ended = {}, 0, nil, false
  return function()
    at = at + 1
    if not list[at] and not ended then
      list, at = perform("cache.list", { kind = options.kind, model = options.model, limit = PAGE, before = before }), 1
      ended = #list < PAGE
      before = list[#list] and list[#list].row
    end
    return list[at]
  end
end

--- One entry, with what it answers.
---@param id string the first digits of its key, as many as no other entry begins with
---@return stoke.cache.entry entry with `answer`: { text, thinking, calls, reason } of an answer, { dimensions } of a vector,
---  { text, prompt } of a completion, { wordings } of an entry by meaning
---Raises `usage` where there is none, or several; `argument`, `db`, `cancelled`.
---
--- Example: `print(stoke.cache.get("3f9a01bc").answer.text)`
function M.get(id) return perform("cache.get", { id = check_id("cache.get", id) }) end

--- Forget entries: all, or those of a kind, of a model, older than so many seconds. Other processes that use the file notice within
--- a second or two.
---@param options? { kind?: string, model?: string, older?: number } older: seconds since they were made
---@return integer entries that went
---Raises `argument`, `db`, `cancelled`.
---
--- Example: `stoke.cache.clear { kind = "exact", older = 7 * 86400 }`
function M.clear(options)
  options = errors.options(options, { kind = "string", model = "string", older = "number" }, "cache.clear")
  check_kind("cache.clear", options.kind)
  if options.older and not (options.older >= 0 and options.older < math.huge) then
    errors.argument("cache.clear: older must be seconds, 0 or more, got %s", tostring(options.older))
  end
  return perform("cache.clear", { kind = options.kind, model = options.model, older = options.older })
end

--- An answer was wrong: it is not given again, and the model is asked the next time. Where it was the answer to a question that
--- means the same, the cache learns from it to be more careful there.
---@param id string as `stoke cache list` tells it, or `reply.semantic.id`
---@return stoke.cache.entry entry as it was; `learned`: it had been kept for questions that mean the same
---Raises `usage` where there is none, or several; `argument`, `db`, `cancelled`.
---
--- Example: `stoke.cache.wrong(reply.semantic.id)`
function M.wrong(id) return perform("cache.wrong", { id = check_id("cache.wrong", id) }) end

local COPY = { kind = "string", model = "string", progress = "function" }

--- Copy entries into a file of lines of JSON, which only its owner may read. It has its name only once it is whole.
---@param path string
---@param options? { kind?: string, model?: string, progress?: fun(done: integer, total: integer) } progress: of entries
---@return integer entries
---Raises `usage` where there is no cache, `argument`, `os`, `db`, `denied` (a policy), `cancelled`.
---
--- Example: `stoke.cache.export "answers.jsonl"`
function M.export(path, options)
  check_path("cache.export", path)
  options = errors.options(options, COPY, "cache.export")
  check_kind("cache.export", options.kind)
  return perform("cache.export", { to = path, kind = options.kind, model = options.model }, { progress = options.progress }).entries
end

--- Take over entries of such a file. One that is here already, as new or newer, stays as it is; a line that is damaged is left out.
---@param path string
---@param options? { progress?: fun(done: integer, total: integer) } of bytes
---@return { entries: integer, known: integer, damaged: integer, large: integer, whole: boolean } imported entries: that were taken
---  over; known: that were here; damaged: lines; large: too large for this cache; whole = false: the file has been cut short
---Raises `usage` where it is no such file, `argument`, `os`, `db`, `denied` (a policy), `cancelled`.
---
--- Example: `print(stoke.cache.import("answers.jsonl").entries)`
function M.import(path, options)
  check_path("cache.import", path)
  options = errors.options(options, { progress = "function" }, "cache.import")
  return perform("cache.import", { from = path }, { progress = options.progress })
end

return M
