--- The cache of answers, from outside: what it holds, where entries came from, and their end. `stoke cache` is these functions.
--- Calls use it by themselves where `cache = true` stands at them, at their agent, scope or route, or in the settings.

require "core.driver.cache"
local effect = require "core.effect"
local errors = require "core.errors"

local M = {}

local function perform(name, q) return errors.check(effect.perform(name, q)) end

local KINDS = { "exact", "stream", "embedding", "prefix", "semantic" }

local function check_kind(what, kind)
  if kind == nil then return nil end
  for _, known in ipairs(KINDS) do
    if kind == known then return kind end
  end
  local near = type(kind) == "string" and errors.suggest(kind, KINDS)
  errors.argument("%s: kind must be one of %s, got %s%s", what, table.concat(KINDS, ", "), errors.describe(kind),
    near and (" (did you mean %s?)"):format(near) or "")
end

--- Look at another file than that of this script; for the verb.
---@private
---@param path? string nil: the one of the settings, of the working folder, or the user's own
---@return string path
---Raises `usage` where there is none.
---
---Example: `print(cache.use())`
function M.use(path) return perform("cache.use", { path = path }) end

--- What the cache holds, and what it was good for.
---@return stoke.cache.stats stats { path, entries, bytes, limit, file, memory, hits, misses, evicted, kinds = { exact = { entries,
---  bytes, hits, seconds, tokens } ... }, calls = what became of the calls of this process }
---
---Example: `local s = stoke.cache.stats(); print(s.hits, s.misses, s.bytes)`
function M.stats() return perform("cache.stats", {}) end

--- Entries, the newest first.
---@param options? { kind?: string, model?: string, limit?: integer } limit: 100 when not given
---@return stoke.cache.entry[]
---Raises `argument`.
---
---Example: `for _, e in ipairs(stoke.cache.list { kind = "exact" }) do print(e.id, e.model, e.hits, e.text) end`
function M.list(options)
  options = errors.options(options, { kind = "string", model = "string", limit = "number" }, "cache.list")
  return perform("cache.list", { kind = check_kind("cache.list", options.kind), model = options.model,
    limit = options.limit or 100 })
end

--- One entry; looking at it does not count as a hit.
---@param id string its id, or the first digits of it
---@return stoke.cache.entry
---Raises `usage` for an id that no entry has.
---
---Example: `print(stoke.cache.peek("3f2a").text)`
function M.peek(id) return perform("cache.find", { id = id }) end

--- Forget entries: all of them where nothing is said.
---@param options? { kind?: string, model?: string, older?: number } older: seconds
---@return integer entries that went
---Raises `argument`.
---
---Example: `stoke.cache.clear { older = 30 * 86400 }`
function M.clear(options)
  options = errors.options(options, { kind = "string", model = "string", older = "number" }, "cache.clear")
  return perform("cache.clear", { kind = check_kind("cache.clear", options.kind), model = options.model, older = options.older })
end

--- An answer was wrong: it is forgotten, and where it was given to a question that only means the same, that is learned from.
---@param id string
---@return { id: string, kind: string, taught: boolean }
---Raises `usage` for an id that no entry has.
---
---Example: `stoke.cache.wrong(reply.semantic.id)`
function M.wrong(id) return perform("cache.wrong", { id = id }) end

--- Entries as a text, for another machine or another project.
---@param options? { kind?: string, model?: string }
---@return { text: string, entries: integer } exported
---
---Example: `stoke.fs.write("answers.cache", stoke.cache.export().text)`
function M.export(options)
  options = errors.options(options, { kind = "string", model = "string" }, "cache.export")
  return perform("cache.export", { kind = check_kind("cache.export", options.kind), model = options.model })
end

--- Take in what was exported. Who writes such a text says what models will seem to have said: take in none that you do not trust.
---@param text string
---@return { entries: integer } imported
---Raises `usage` for a text that is none.
---
---Example: `stoke.cache.import(stoke.fs.read "answers.cache")`
function M.import(text)
  if type(text) ~= "string" then errors.argument("cache.import: a text expected, got %s", errors.describe(text)) end
  return perform("cache.import", { text = text })
end

return M
