--- Completions that go on with what was typed meanwhile: a model was asked to go on behind a text, and said "return a + b"; the
--- user has typed "return" himself, so the rest of that answer is the answer now, without asking.
---
--- That holds for calls whose prompt the model goes on with: those with a suffix (the hole between two texts), and raw ones. Where
--- a template makes a message of the prompt, a longer prompt is another question. Everything but the prompt must be the same: the
--- model, the suffix, the options. The answers are kept in memory, in a tree of the texts that they go on behind
--- (lua/cache/radix.lua), which is read from the cache's file once.

local keys = require "core.cache.key"
local radix = require "core.cache.radix"

local M = {}

local KIND <const> = "prefix"
--- Bytes of the tree.
M.BYTES = 8 << 20

---@class stoke.cache.prefix
---@field tree stoke.cache.radix
---@field loaded? boolean|"now"
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
---@param identity string what else the answer depends on: the model's digest, the user's scope
---@return string|nil scope nil: not a call whose prompt is gone on with
---
--- Example: `local scope = prefix.scope(q, digest)`
function M.scope(q, identity)
  local body = q.path == "/api/generate" and q.body
  if not body or type(body.prompt) ~= "string" or body.prompt == "" then return nil end
  if not (body.raw or type(body.suffix) == "string" and body.suffix ~= "") then return nil end
  local rest = {}
  for name, value in next, body do
    if not ASIDE[name] then rest[name] = value end
  end
  local text = keys.canonical { q.protocol or "", q.path, rest }
  return text and keys.of(KIND, identity, text)
end

--- The rest of an answer that has begun with what was typed since.
---@param scope string
---@param prompt string
---@return string|nil text never an empty one
---@return string|nil reason why the answer ended, "stop" or "length"
---
--- Example: `local text = answers:find(scope, "local function add(a, b) re")`
function Prefix:find(scope, prompt)
  local whole = scope .. prompt
  local found = self.tree:find(whole, function(answer, length)
    local typed = #whole - length
    if length <= #scope or typed >= #answer.text or whole:sub(length + 1) ~= answer.text:sub(1, typed) then return nil end
    return { answer.text:sub(typed + 1), answer.reason }
  end)
  if found then return found[1], found[2] end
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
  self.tree:put(scope .. prompt, { text = text, reason = reason }, #text)
  if file then
    file:put(KIND, keys.digest(scope .. prompt), string.pack("<s4s4s4s4", scope, prompt, text, reason), facts)
  end
end

--- Read what the file has, once; it takes a while, in which nobody who looks waits: he finds what there is.
---@param file stoke.cache.file
---
--- Example: `answers:load(file)`
function Prefix:load(file)
  if self.loaded then return end
  self.loaded = "now"
  for row in file:each(KIND) do
    local ok, scope, prompt, text, reason = pcall(string.unpack, "<s4s4s4s4", row.value)
    if ok then self.tree:put(scope .. prompt, { text = text, reason = reason }, #text) end
  end
  self.loaded = true
end

--- As at the beginning.
function Prefix:forget() self.tree, self.loaded = radix.new(self.tree.limit), nil end

return M
