--- Completions that go on with what was typed meanwhile: a model was asked to go on behind a text, and said "return a + b"; the
--- user has typed "return" himself, so the rest of that answer is the answer now, without asking.
---
--- That holds for calls whose prompt the model goes on with: those with a suffix (the hole between two texts), and raw ones. Where
--- a template makes a message of the prompt, a longer prompt is another question. Everything but the prompt must be the same: the
--- model, the suffix, the options. The answers are kept in memory, in a tree of the texts that they go on behind
--- (lua/cache/radix.lua), which is read from the cache's file once.

local keys = require "core.cache.key"
local radix = require "core.cache.radix"
local wall = require "host.time".wall

local M = {}

local KIND <const> = "prefix"
--- Bytes of the tree; answers that are read from a file, at most.
M.BYTES = 8 << 20
local MOST <const> = 2000

---@class stoke.cache.prefix
---@field tree stoke.cache.radix
---@field loaded? boolean
local Prefix = {}
Prefix.__index = Prefix

--- Answers that nobody has given yet.
---@param bytes? integer that they may take
---@return stoke.cache.prefix
---
--- Example: `local answers = prefix.new()`
function M.new(bytes) return setmetatable({ tree = radix.new(bytes or M.BYTES), loaded = nil }, Prefix) end

--- Fields of a body that do not change what the model says, and the one that is asked about.
local ASIDE = { prompt = true, stream = true, keep_alive = true, model = true }

--- What calls must have in common beside their prompts, as 32 bytes.
---@param q table the request
---@param own string who shares answers
---@param digest string of the model
---@param profile? table how the target's model is loaded
---@param sampling? table and sampled, where a call does not say
---@return string|nil scope nil: not a call whose prompt is gone on with
---
--- Example: `local scope = prefix.scope(q, "", digest)`
function M.scope(q, own, digest, profile, sampling)
  local body = q.path == "/api/generate" and q.body
  if not body or type(body.prompt) ~= "string" or body.prompt == "" then return nil end
  if not (body.raw or type(body.suffix) == "string" and body.suffix ~= "") then return nil end
  local rest = {}
  for name, value in next, body do
    if not ASIDE[name] then rest[name] = value end
  end
  local text = keys.canonical { q.protocol or "", q.path, rest, profile and profile.options or false, sampling or false }
  return text and keys.of(KIND, own, digest, text)
end

local function put(self, whole, text, reason, made)
  self.tree:put(whole, { text = text, reason = reason, made = made }, #text)
end

--- The rest of an answer that has begun with what was typed since.
---@param scope string
---@param prompt string
---@param fits? fun(made: number): boolean is an answer of that time still good?
---@return string|nil text never an empty one
---@return string|nil reason why the answer ended, "stop" or "length"
---@return number|nil made when, seconds since 1970
---
--- Example: `local text = answers:find(scope, "local function add(a, b) re")`
function Prefix:find(scope, prompt, fits)
  local whole = scope .. prompt
  local found = self.tree:find(whole, function(answer, length)
    local typed = #whole - length
    if length <= #scope or typed >= #answer.text or whole:sub(length + 1) ~= answer.text:sub(1, typed) then return nil end
    if fits and not fits(answer.made) then return nil end
    return { answer.text:sub(typed + 1), answer.reason, answer.made }
  end)
  if found then return found[1], found[2], found[3] end
end

--- Keep an answer.
---@param scope string
---@param prompt string
---@param text string
---@param reason string "stop" or "length"
---@param file? stoke.cache.file where it is kept, too
---@param facts? table where it came from
---
--- Example: `answers:keep(scope, "local function add(a, b) ", "return a + b", "stop", file)`
function Prefix:keep(scope, prompt, text, reason, file, facts)
  if text == "" then return end
  put(self, scope .. prompt, text, reason, wall())
  if file then
    file:put(KIND, keys.digest(scope .. prompt), string.pack("<s4s4s4s4", scope, prompt, text, reason), facts)
  end
end

--- Forget an answer.
---@param scope string
---@param prompt string
---@param file? stoke.cache.file
---
--- Example: `answers:drop(scope, "local function add(a, b) ", file)`
function Prefix:drop(scope, prompt, file)
  self.tree:delete(scope .. prompt)
  if file then file:delete(KIND, keys.digest(scope .. prompt)) end
end

--- Read what the file has, once; it takes a while, in which nobody who looks waits: he finds what there is.
---@param file stoke.cache.file
---
--- Example: `answers:load(file)`
function Prefix:load(file)
  if self.loaded then return end
  self.loaded = true
  local list = {}
  for kind, key in file:each(KIND) do
    list[#list + 1] = key
    if kind ~= KIND or #list == MOST then break end
  end
  for i = #list, 1, -1 do -- the newest last, as they were made
    local value, meta = file:get(KIND, list[i])
    local ok, scope, prompt, text, reason = pcall(string.unpack, "<s4s4s4s4", value or "")
    if ok then put(self, scope .. prompt, text, reason, meta.made) end
  end
end

--- As at the beginning.
function Prefix:forget() self.tree, self.loaded = radix.new(self.tree.limit), nil end

return M
