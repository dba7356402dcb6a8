--- Vectors of texts, of any dialect: texts that come twice are asked for once, those in the cache not at all, and the rest in
--- batches. A text that the server refuses is found and named; the vectors of the others are in the cache then. One that is longer
--- than the model's window is an error, or goes in pieces, or is cut where the caller says so: never without a word.
---
--- What a dialect gives for it (stoke.model): `embedding(target, about, texts, truncate) -> q`, one request, and
--- `vectors(reply) -> rows`.

local batches = require "stoke.model.embed.batches"
local config = require "stoke.config"
local driver = require "core.driver.embed"
local errors = require "core.errors"
local model = require "stoke.model"
local pieces = require "stoke.model.embed.pieces"
local rows = require "stoke.model.embed.rows"
local usages = require "stoke.agent.usage"
local vault = require "core.cache.embedding"

local M = {}

---@class stoke.embed.about how texts are embedded; a call of a dialect may say more
---@field endpoint? string
---@field timeouts? table
---@field dimensions? integer
---@field options? table
---@field long? "error"|"chunk"|"truncate" what becomes of a text longer than the window, "error" when not given
---@field partial? boolean the vectors that there are, instead of an error, where the server refuses some of the texts
---@field cache? boolean|table false: ask for all of them

---@class stoke.embed.outcome plain data: what a journal keeps
---@field dimensions integer numbers of a vector
---@field vectors string all of them, packed (stoke.model.embed.rows)
---@field of integer[] text -> which of them; 0: none
---@field hits integer texts that came from the cache
---@field usage stoke.usage of what was asked
---@field chunked? integer[] texts that went in pieces
---@field truncated? integer[] texts that were cut
---@field errors? { index: integer, err: stoke.error }[]

--- A text that is asked for, or a piece of one.
---@class stoke.embed.item
---@field text string
---@field count? integer how often it stands in the list
---@field piece? boolean
---@field pieces? stoke.embed.item[] that it was cut into
---@field mode? "chunk"|"truncate" how it was made to fit
---@field packed? string its vector
---@field hit? boolean it came from the cache
---@field err? stoke.error

--- Texts that a call without `partial` may have refused before it ends.
local REFUSED <const> = 16
--- Bytes that a token has at least, mostly: a text is cut into as many pieces as it has windows.
local TOKEN <const> = 3
--- What every model can embed.
local CONTROL <const> = "a"

-- ---- what a refusal says ------------------------------------------------------------------------------------------------------

--- A status that says nothing of what was asked for, but of the way there, or of the model.
local ELSEWHERE = { [401] = true, [402] = true, [403] = true, [404] = true, [405] = true, [407] = true, [408] = true, [410] = true,
  [429] = true, [501] = true, [502] = true, [503] = true, [504] = true }
local CONTENT = { invalid_output = true, incomplete = true, protocol = true }

--- Can it be a text among them that the server refuses?
local function blames(err)
  if err.kind == "context_overflow" then return "size" end
  if CONTENT[err.kind] then return "content" end
  local status = err.kind == "http" and rawget(err, "status")
  if not status or ELSEWHERE[status] then return nil end
  return status == 413 and "size" or "content"
end

-- ---- one call ------------------------------------------------------------------------------------------------------------------

---@class stoke.embed.work: stoke.embed.job
local Work = {}
Work.__index = Work

--- After the first answer along a route only those are asked that have the same model: vectors of two cannot be compared.
local function pin(work, reply)
  local candidates = work.target.candidates
  work.pinned = true
  if not candidates[2] then return end
  local list, served = {}, nil
  for _, target in ipairs(candidates) do
    if target.endpoint.name == reply.endpoint then served = target.served break end
  end
  for name, value in next, candidates do
    if type(name) == "string" then list[name] = value end
  end
  for _, target in ipairs(candidates) do
    if not served or target.served == served then list[#list + 1] = target end
  end
  work.target = setmetatable({ candidates = list }, { __index = work.target })
end

--- One request; its rows, packed.
local function ask(work, texts, truncate)
  local target = work.target
  local q = target.dialect.embedding(target, work.about, texts, truncate)
  local reply, err = model.perform("llm.chat", q, target, work.about)
  if err then return nil, err end
  if not work.pinned then pin(work, reply) end
  usages.add(work.usage, target.dialect.usage(reply))
  work.place = reply.endpoint or target.candidates[1].endpoint.name
  local list = target.dialect.vectors(reply)
  if type(list) == "table" and #list == #texts then return list end
  return nil, errors.new("protocol", ("the server gave %d vectors for %d texts"):format(
    type(list) == "table" and #list or 0, #texts), { model = work.target.name })
end

--- Its vector has come, or what is wrong with it.
local function took(work, item, row)
  item.packed = type(row) == "string" and row or rows.pack(row)
  if not item.packed then
    item.err = errors.new("protocol", "the server's vector is no list of finite numbers", { model = work.target.name })
  elseif work.vault and not item.piece then
    work.vault:put(item, work.place)
  end
end

--- The pieces of a text that does not fit. Nil: it cannot be cut.
local function cut(item, window)
  local count = 2
  if window and not item.piece then count = math.max(2, #item.text // (window * TOKEN) + 1) end
  local list = {}
  for _, text in ipairs(pieces.cut(item.text, count) or {}) do
    if text:find "%S" then list[#list + 1] = { text = text, piece = true } end
  end
  if not list[1] then return nil end
  item.mode, item.pieces = "chunk", list
  return list
end

--- What is refused alone: its pieces instead, or noted.
local function refused(work, item, err)
  local long = err.kind == "context_overflow" and work.about.long
  if long == "truncate" and not work.cutting then
    item.mode = "truncate"
    work.cut[#work.cut + 1] = item
    return nil
  end
  local parts = long == "chunk" and cut(item, rawget(err, "window"))
  if parts then return parts end
  item.err = err
  work.refusals = work.refusals + 1
  if not work.about.partial and work.refusals >= REFUSED then
    work.stop = err
    return nil, err
  end
end

local function uneven(one, other)
  return errors.new("protocol", ("the server gave vectors of %d and of %d numbers"):format(one, other))
end

--- The vectors of the pieces of an item, in their order, with what is written in each; an error, where one has it.
local function gather(item, list, weights)
  if not item.pieces then
    if item.err then return item.err end
    local row = rows.unpack(item.packed)
    if list[1] and #row ~= #list[1] then return uneven(#list[1], #row) end
    list[#list + 1], weights[#weights + 1] = row, #item.text:gsub("%s+", "")
    return nil
  end
  for _, piece in ipairs(item.pieces) do
    local err = gather(piece, list, weights)
    if err then return err end
  end
end

--- A text that went in pieces: the mean of their vectors, by length.
local function join(work, item)
  local list, weights = {}, {}
  item.err = gather(item, list, weights)
  if item.err then return end
  item.packed = rows.pack(rows.mean(list, weights))
  if work.vault then work.vault:put(item, work.place) end
end

--- Ask for items, batch by batch.
---@return stoke.error|nil err that no text is to blame for
local function ask_all(work, items, truncate)
  local target = work.target
  work.cutting = truncate
  return batches.ask(items, {
    size = function(item) return #item.text end,
    send = function(list)
      local texts = {}
      for i, item in ipairs(list) do texts[i] = item.text end
      return ask(work, texts, truncate)
    end,
    took = function(item, row) took(work, item, row) end,
    refused = function(item, err) return refused(work, item, err) end,
    blames = blames,
    limit = not truncate and function(err)
      local window = err and rawget(err, "window") or target.learned.window
      return window and window * TOKEN
    end or nil,
    control = function() return select(2, ask(work, { CONTROL }, true)) end,
  })
end

--- The different texts of a list, and which of them stands where.
local function distinct(texts)
  local items, of, known = {}, {}, {}
  for i, text in ipairs(texts) do
    local n = known[text]
    if not n then
      n = #items + 1
      items[n], known[text] = { text = text, count = 0 }, n
    end
    items[n].count, of[i] = items[n].count + 1, n
  end
  return items, of
end

--- Texts that are refused end the call, unless it takes what there is: the first of them is named, and where the others are.
local function blame(items, of, single)
  local first, list = nil, {}
  for i, n in ipairs(of) do
    if items[n].err then
      first = first or items[n].err
      list[#list + 1] = i
    end
  end
  if not first then return nil end
  if first.kind == "context_overflow" and not rawget(first, "hint") then
    first.hint = 'long = "chunk" embeds it in pieces, long = "truncate" its beginning'
  end
  if single then return first end
  first.index, first.indexes = list[1], list
  local more = #list > 1 and (" (and %d more of the texts)"):format(#list - 1) or ""
  first.message = ("input[%d]: %s%s"):format(list[1], first.message, more)
  return first
end

--- Where items have a property, by the places of their texts.
local function places(items, of, has)
  local list = {}
  for i, n in ipairs(of) do
    if has(items[n]) then list[#list + 1] = i end
  end
  return list[1] and list or nil
end

--- What came of it, as plain data.
---@return stoke.embed.outcome|nil
---@return stoke.error|nil err
local function outcome(work, items, of)
  local list, at, hits, width = {}, {}, 0, nil
  for n, item in ipairs(items) do
    local packed = item.packed
    if packed then
      width = width or #packed
      if #packed ~= width then return nil, uneven(width // rows.WIDTH, #packed // rows.WIDTH) end
      list[#list + 1] = packed
      if item.hit then hits = hits + item.count end
    end
    at[n] = packed and #list or 0
  end
  if hits > 0 and work.usage.calls == 0 then work.usage.cached = 1 end
  local which, failed = {}, {}
  for i, n in ipairs(of) do
    which[i] = at[n]
    if items[n].err then failed[#failed + 1] = { index = i, err = items[n].err } end
  end
  return { dimensions = (width or 0) // rows.WIDTH, vectors = table.concat(list), of = which, hits = hits, usage = work.usage,
    chunked = places(items, of, function(item) return item.mode == "chunk" and item.packed end),
    truncated = places(items, of, function(item) return item.mode == "truncate" and item.packed end),
    errors = failed[1] and failed or nil }
end

--- The work of the effect llm.embed.
function Work:run()
  local items, of = distinct(self.texts)
  self.vault = vault.wanted(self.about.cache, config.get().cache) and vault.open(self.target, self.about)
  local missing = self.vault and self.vault:look(items) or items
  local err = ask_all(self, missing, false)
  if not err and self.cut[1] then err = ask_all(self, self.cut, true) end
  if err and err ~= self.stop then return nil, err end
  for _, item in ipairs(missing) do
    if item.pieces and not err then join(self, item) end
  end
  if not self.about.partial then
    err = blame(items, of, self.about.single) or err
    if err then return nil, err end
  end
  return outcome(self, items, of)
end

-- ---- what is offered ------------------------------------------------------------------------------------------------------------

--- Embed texts, and get the vectors as they are kept.
---@param target stoke.target
---@param about stoke.embed.about
---@param texts string[]
---@return stoke.embed.outcome|nil
---@return stoke.error|nil err with `index` and `indexes` where texts were refused
---Raises `cancelled`.
---
--- Example: `local outcome, err = embed.outcome(model.open "nomic-embed-text", {}, { "a text" })`
function M.outcome(target, about, texts)
  if not texts[1] then return { dimensions = 0, vectors = "", of = {}, hits = 0, usage = usages.new() } end
  local q = target.dialect.embedding(target, about, texts, false)
  q.long, q.partial = about.long, about.partial
  local work = { target = target, about = about, texts = texts, usage = usages.new(), cut = {}, refusals = 0 }
  return driver.perform(q, setmetatable(work, Work))
end

--- Packed vectors of texts, for what keeps many of them (core.vectors).
---@param target stoke.target
---@param about stoke.embed.about
---@param texts string[]
---@return string[]|nil packed one a text, in their order
---@return stoke.embed.outcome|stoke.error outcome or the error
---Raises `cancelled`.
---
--- Example: `local packed, err = embed.packed(model.open "nomic-embed-text", {}, { "a text" })`
function M.packed(target, about, texts)
  local found, err = M.outcome(target, about, texts)
  if not found then return nil, err end
  local width, list = found.dimensions * rows.WIDTH, {}
  for i, n in ipairs(found.of) do list[i] = n > 0 and found.vectors:sub((n - 1) * width + 1, n * width) end
  return list, found
end

---@class stoke.embed.reply
---@field embeddings (number[]|false)[] one a text, in their order; false: refused (`partial`)
---@field usage stoke.usage of what was asked
---@field hits integer texts that came from the cache
---@field cached? "exact" nothing was asked
---@field chunked? integer[] texts that went in pieces
---@field truncated? integer[] texts of which only the beginning counts
---@field errors? table<integer, stoke.error> by index, of texts that were refused (`partial`)

--- Embed texts.
---@param target stoke.target
---@param about stoke.embed.about and normalise?: boolean
---@param texts string[]
---@return stoke.embed.reply|nil
---@return stoke.error|nil err
---Raises `cancelled`.
---
--- Example: `local reply, err = embed.reply(model.open "nomic-embed-text", { normalise = true }, { "a text" })`
function M.reply(target, about, texts)
  local found, err = M.outcome(target, about, texts)
  if not found then return nil, err end
  local dimensions, list = found.dimensions, {}
  for i, n in ipairs(found.of) do
    local row = n > 0 and rows.unpack(found.vectors, (n - 1) * dimensions * rows.WIDTH + 1, dimensions)
    list[i] = row and about.normalise and rows.normalise(row) or row
  end
  local reply = { embeddings = list, usage = found.usage, hits = found.hits, chunked = found.chunked, truncated = found.truncated }
  if found.hits > 0 and found.usage.calls == 0 then reply.cached = "exact" end
  if found.errors then
    reply.errors = {}
    for _, failed in ipairs(found.errors) do reply.errors[failed.index] = failed.err end
  end
  return reply
end

return M
