--- Answers for questions that are worded otherwise. The nearest questions that were answered before are found by their vectors;
--- gates (core.cache.semantic.gates) refuse what words can tell apart; a learner (core.cache.semantic.learner) knows from checked
--- answers how likely an entry's answer is right, and gives it only where that is likely enough.
---
--- Everything here is plain data in memory. Who asks hands in the vectors and keeps the rows: see `store`.
---
---   look -> "serve": give the entry's answer
---        -> "explore": ask the model; where its answer can be compared with the entry's, `teach` says whether they are the same
---        -> "miss": ask the model
--- and after "explore" or "miss" `add` makes the question, with its answer, one that later questions may find.

local gates = require "core.cache.semantic.gates"
local learner = require "core.cache.semantic.learner"
local random = require "core.random"
local read = require "core.cache.semantic.read"
local tally = require "core.cache.semantic.tally"

local M = {}

local NEAREST = 8 -- questions that are looked at
local TEXTS = 8 -- wordings that an entry keeps
local JOIN = 0.7 -- similarity from which the answer of a question that a gate told apart is compared all the same
local COMPARED = 2 -- such questions whose answers are compared
local MAX_ENTRIES = 4096 -- of one scope; the oldest go
local MAX_SCOPES = 64 -- in memory; the one not asked for longest goes

---@class core.semantic.options
---@field vectors { new: fun(dim: integer, options?: table): table } core.vectors
---@field error? number wanted share of wrong ones among the answers given (0.01)
---@field shadow? boolean never serve; measure
---@field cold? boolean an entry may serve on what its scope knows
---@field explore? number share of what could be given that is checked all the same (0.02)
---@field store? core.semantic.store
---@field random? fun(): number

---@class core.semantic.store where rows are kept; each function may be absent
---@field load? fun(scope: string): { learned?: core.semantic.scope, entries: core.semantic.entry[] }|nil
---@field keep? fun(scope: string, entry: core.semantic.entry) an entry has changed
---@field learned? fun(scope: string, learned: core.semantic.scope) what the scope has learned has changed
---@field drop? fun(scope: string, id: string)

---@class core.semantic.entry plain data
---@field id string
---@field texts { text: string, vector: any }[] the question, and wordings of it whose answers were the same
---@field made number when its answer was made, seconds of the wall clock
---@field answer any what add was given: the key of the answer
---@field checks core.semantic.checks
---@field served? number similarity at which its answer was given last

---@class core.semantic.question
---@field text string
---@field scope string hash of all that must be equal: model, instructions, earlier messages, tools, format, options, embedding
---  model
---@field vector any of the text, as core.vectors takes it
---@field now number seconds of the wall clock
---@field offset? number seconds that the place's clock is ahead of UTC

---@class core.semantic.decision
---@field action "serve"|"explore"|"miss"
---@field reason string in words: a gate's name, "nothing near", "cold", "not sure enough", "checked now and then", "shadow"
---@field entry? core.semantic.entry
---@field near? core.semantic.entry[] of a miss: what a gate told apart, and may have the same answer
---@field similarity? number
---@field chance? number how likely the entry's answer is right
---@field sure? boolean it would have been given

local Cache = {}
Cache.__index = Cache

--- A cache of meanings.
---@param options core.semantic.options
---@return core.semantic.cache
---
--- Example: `local cache = semantic.new { vectors = require "core.vectors", error = 0.01 }`
function M.new(options)
  return setmetatable({ options = options, error = options.error or 0.01, scopes = {}, order = {}, by_id = {},
    random = options.random or function() return random.streams["semantic cache"]:float() end,
    counts = tally.new() }, Cache)
end

-- ---- scopes and entries
-- -------------------------------------------------------------------------------------------------------------

local function index(self, scope, entry, wording)
  local vector = wording.vector
  if not scope.set then
    scope.set = self.options.vectors.new(type(vector) == "string" and #vector // 4 or #vector, { metric = "cosine" })
  end
  scope.next = scope.next + 1
  scope.wordings[scope.next] = { entry = entry, wording = wording }
  scope.set:add(scope.next, vector)
end

local function forget(self, hash)
  for id in pairs(self.scopes[hash].entries) do self.by_id[id] = nil end
  self.scopes[hash] = nil
end

local function scope_of(self, hash)
  local scope = self.scopes[hash]
  for i, other in ipairs(self.order) do
    if other == hash then table.remove(self.order, i) break end
  end
  self.order[#self.order + 1] = hash
  if scope then return scope end
  if #self.order > MAX_SCOPES then forget(self, table.remove(self.order, 1)) end
  local kept = self.options.store and self.options.store.load and self.options.store.load(hash)
  local learned = kept and learner.valid(kept.learned) and kept.learned or learner.scope()
  scope = { hash = hash, learned = learned, entries = {}, oldest = {}, wordings = {}, next = 0 }
  self.scopes[hash] = scope
  for _, entry in ipairs(kept and kept.entries or {}) do
    scope.entries[entry.id], self.by_id[entry.id] = entry, scope
    scope.oldest[#scope.oldest + 1] = entry.id
    for _, wording in ipairs(entry.texts) do index(self, scope, entry, wording) end
  end
  return scope
end

local function remove(self, scope, entry)
  scope.entries[entry.id], self.by_id[entry.id] = nil, nil
  for id, row in pairs(scope.wordings) do
    if row.entry == entry then
      scope.set:delete(id)
      scope.wordings[id] = nil
    end
  end
  for i, id in ipairs(scope.oldest) do
    if id == entry.id then table.remove(scope.oldest, i) break end
  end
  local store = self.options.store
  if store and store.drop then store.drop(scope.hash, entry.id) end
end

local function keep(self, scope, entry)
  local store = self.options.store
  if store and store.keep and entry then store.keep(scope.hash, entry) end
  if store and store.learned then store.learned(scope.hash, scope.learned) end
end

-- ---- looking
-- ----------------------------------------------------------------------------------------------------------------------

-- Gates that refuse many a paraphrase, too.
local MAYBE = { word = true, question = true, person = true, tense = true, direction = true }

local function note_near(near, row, gate, score)
  if not MAYBE[gate] or score < JOIN or #near >= COMPARED then return end
  for _, entry in ipairs(near) do
    if entry == row.entry then return end
  end
  near[#near + 1] = row.entry
end

--- The nearest entry that every gate lets through; else the gate that refused the nearest of all, and entries that may have the
--- same answer.
local function candidate(self, scope, question)
  if not scope.set then return nil, "nothing near" end
  local refused, asked, near = nil, nil, {}
  for _, hit in ipairs(scope.set:search(question.vector, NEAREST)) do
    local row = scope.wordings[hit.id]
    asked = asked or read.of(question.text)
    row.reading = row.reading or read.of(row.wording.text) -- not before: a scope may have thousands
    local gate = gates.refusal(row.reading, asked, row.entry.made, question.now, question.offset)
    if not gate then return row.entry, nil, hit.score end
    self.counts.refused[gate] = (self.counts.refused[gate] or 0) + 1
    refused = refused or gate
    note_near(near, row, gate, hit.score)
  end
  return nil, refused or "nothing near", near
end

--- What is known for a question.
---@param question core.semantic.question
---@param own? { error?: number, cold?: boolean, shadow?: boolean, explore?: number } instead of the cache's own
---@return core.semantic.decision
---
--- Example: `local found = cache:look { text = "Who wrote Dracula?", scope = hash, vector = vector, now = time.now() }`
function Cache:look(question, own)
  own = own or self.options
  local scope = scope_of(self, question.scope)
  local entry, refused, similarity = candidate(self, scope, question)
  if not entry then
    self.counts.missed = self.counts.missed + 1
    return { action = "miss", reason = refused --[[@as string]], near = similarity }
  end
  local options = { error = own.error or self.error, cold = own.cold, explore = 0 }
  local action, chance = learner.decide(scope.learned, entry.checks, similarity, options, self.random)
  local found = { action = action, entry = entry, similarity = similarity, chance = chance, sure = action == "serve" }
  if action == "explore" then
    found.reason = entry.checks.n == 0 and "cold" or "not sure enough"
  elseif own.shadow then
    found.action, found.reason = "explore", "shadow"
  elseif self.random() < (own.explore or learner.EXPLORE) then
    found.action, found.reason = "explore", "checked now and then"
  else
    found.reason = "likely the same"
    entry.served = similarity
  end
  local name = found.action == "serve" and "served" or "explored"
  self.counts[name] = self.counts[name] + 1
  return found
end

-- ---- learning
-- ---------------------------------------------------------------------------------------------------------------------

--- Say whether the answer that was found is the same as the one that the model gave.
---@param scope string hash
---@param found core.semantic.decision what look gave: "explore"
---@param same boolean
---
--- Example: `if found.action == "explore" then cache:teach(hash, found, same(answer, kept)) end`
function Cache:teach(scope, found, same)
  local at, counts = scope_of(self, scope), self.counts
  learner.teach(at.learned, found.entry.checks, found.similarity, same)
  local name = same and "same" or "different"
  counts[name] = counts[name] + 1
  if found.sure then
    name = same and "right" or "wrong"
    counts[name] = counts[name] + 1
  end
  keep(self, at, at.entries[found.entry.id])
end

--- Keep a question with its answer. A wording whose answer was found to be the same joins the entry that was found; after a miss
--- `found.entry` may be one of `found.near`: a gate told the questions apart, but one answer serves both, and whoever words either
--- of them in another way finds it. It says nothing of what the gates let through, so nothing is learned from it, except that the
--- entry's answer has been given twice: it is not cold any more.
---@param question core.semantic.question
---@param id string of the new entry
---@param answer any plain data: where the answer is kept
---@param found? core.semantic.decision
---@param same? boolean as teach was told
---@return core.semantic.entry
---
--- Example: `cache:add(question, id, key, found, same)`
function Cache:add(question, id, answer, found, same)
  local scope = scope_of(self, question.scope)
  local wording = { text = question.text, vector = question.vector }
  local entry = same and found and scope.entries[found.entry.id]
  if entry and found.action == "miss" then
    if #entry.texts < TEXTS then entry.checks.joined = true else entry = nil end
  end
  if entry and #entry.texts < TEXTS then
    entry.texts[#entry.texts + 1] = wording
  elseif not entry then
    entry = { id = id, texts = { wording }, made = question.now, answer = answer, checks = learner.entry() }
    scope.entries[id], self.by_id[id] = entry, scope
    scope.oldest[#scope.oldest + 1] = id
    if #scope.oldest > MAX_ENTRIES then remove(self, scope, scope.entries[scope.oldest[1]]) end
  else
    return entry
  end
  index(self, scope, entry, wording)
  keep(self, scope, entry)
  return entry
end

--- An answer was explored, and nobody could say whether it is the same.
---
--- Example: `cache:unchecked()`
function Cache:unchecked() self.counts.unchecked = self.counts.unchecked + 1 end

--- Read what is kept of a scope.
---@param scope string
---
--- Example: `cache:touch(hash)`
function Cache:touch(scope) scope_of(self, scope) end

--- The answer of an entry is gone.
---@param hash string scope
---@param id string
---
--- Example: `cache:drop(hash, id)`
function Cache:drop(hash, id)
  local scope = scope_of(self, hash)
  if scope.entries[id] then remove(self, scope, scope.entries[id]) end
end

--- An answer that was given was wrong: its entry goes, and its scope has learned it.
---@param id string
---@return boolean found
---
--- Example: `cache:wrong(id)`
function Cache:wrong(id)
  local scope = self.by_id[id]
  if not scope then return false end
  local entry = scope.entries[id]
  learner.teach(scope.learned, entry.checks, entry.served or 1, false)
  self.counts.taken_back = self.counts.taken_back + 1
  remove(self, scope, entry)
  keep(self, scope)
  return true
end

--- Somebody was asked whether an answer that would be given may be: a model, or a function of the user's.
---@param found core.semantic.decision "serve"; changed where it may not
---@param yes boolean|nil nil: nobody could say, which is a no
---
--- Example: `cache:judged(found, ask(found.entry.texts[1].text, text))`
function Cache:judged(found, yes)
  local counts = self.counts
  local name = yes and "yes" or yes == nil and "failed" or "no"
  counts.judged[name] = counts.judged[name] + 1
  if yes then return end
  found.action, found.reason, found.sure = "explore", "judge", false
  counts.refused.judge = (counts.refused.judge or 0) + 1
  counts.served, counts.explored = counts.served - 1, counts.explored + 1
end

--- Counts since the start; wrong / (right + wrong) measures the error rate.
---@return core.semantic.counts
---
--- Example: `cache:stats().refused.negation`
function Cache:stats() return self.counts end

-- ---- what a request asks
-- ------------------------------------------------------------------------------------------------------------

--- The question of a request, and all the rest of it, which must be equal. Only a text of a user that ends the conversation is one.
---@param body table of /api/chat or /api/generate
---@return string|nil text
---@return table|string rest the body without the text; or why there is none
---
--- Example: `local text, rest = semantic.question { model = "m", messages = { { role = "user", content = "Why?" } } }`
function M.question(body)
  local rest = {}
  for name, value in pairs(body) do rest[name] = value end
  if body.messages then
    local last = body.messages[#body.messages]
    if not last or last.role ~= "user" or type(last.content) ~= "string" then return nil, "no question" end
    for name in pairs(last) do
      if name ~= "role" and name ~= "content" then return nil, name end
    end
    rest.messages = table.move(body.messages, 1, #body.messages - 1, 1, {})
    return last.content, rest
  end
  if type(body.prompt) ~= "string" or body.images or body.context or body.suffix then return nil, "no question" end
  rest.prompt = nil
  return body.prompt, rest
end

return M
