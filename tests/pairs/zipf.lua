--- Many questions over few intents, as people ask them: some intents often, most of them rarely (Zipf), each in the wordings of the
--- pairs. Exact hits and the semantic cache work as they do before a model; the model's answer is the intent, so that each answer
--- given can be told to be right or wrong. Similarities are those that an embedding model measured (near.tsv).

local learner = require "core.cache.semantic.learner"
local rand = require "stoke.rand"
local semantic = require "core.cache.semantic"

local M = {}

--- An index over measured similarities, with core.vectors' face: a "vector" is the text itself.
---@param near table<string, { text: string, similarity: number }[]>
function M.index(near)
  return { new = function()
    local ids, set = {}, {}
    function set.add(_, id, text) ids[text] = ids[text] or {} table.insert(ids[text], id) return true end
    function set.delete(_, id)
      for _, list in pairs(ids) do
        for i, each in ipairs(list) do
          if each == id then table.remove(list, i) return true end
        end
      end
      return false
    end
    function set.search(_, text, k)
      local hits = {}
      for _, id in ipairs(ids[text] or {}) do hits[#hits + 1] = { id = id, score = 1 } end
      for _, other in ipairs(near[text] or {}) do
        for _, id in ipairs(ids[other.text] or {}) do hits[#hits + 1] = { id = id, score = other.similarity } end
        if #hits >= k then break end
      end
      return hits
    end
    return set
  end }
end

--- Which question asks for what: paraphrases are one intent.
---@param list pairs.pair[]
---@param questions string[]
---@return string[][] intents the wordings of each
---@return table<string, integer> intent by wording
function M.intents(list, questions)
  local parent = {}
  local function root(text)
    while parent[text] do text = parent[text] end
    return text
  end
  for _, pair in ipairs(list) do
    local a, b = root(pair.a), root(pair.b)
    if pair.same and a ~= b then parent[b] = a end
  end
  local intents, number, intent_of = {}, {}, {}
  for _, text in ipairs(questions) do
    local top = root(text)
    if not number[top] then
      intents[#intents + 1] = {}
      number[top] = #intents
    end
    table.insert(intents[number[top]], text)
    intent_of[text] = number[top]
  end
  return intents, intent_of
end

---@class pairs.outcome
---@field asked integer
---@field intents integer distinct intents drawn: no cache can send less
---@field wordings integer distinct wordings drawn: what exact hits alone send
---@field exact integer answers given because the text was the same
---@field semantic integer answers given because it means the same
---@field wrong integer of these
---@field sent integer

--- Ask.
---@param data { list: table, questions: string[], near: table, intents?: string[][] }
---@param options { seed: integer, asked?: integer, intents?: integer, error?: number, cold?: boolean, taught?: integer }
---  taught: questions asked before, on other intents, that are not counted
---@return pairs.outcome
---@return table stats of the cache
function M.run(data, options)
  local random = rand.new(options.seed)
  local intents, intent_of = data.intents, {}
  if intents then
    for i, wordings in ipairs(intents) do
      for _, text in ipairs(wordings) do intent_of[text] = i end
    end
    intents = table.move(intents, 1, #intents, 1, {})
  else
    intents, intent_of = M.intents(data.list, data.questions)
  end
  table.sort(intents, function(a, b) return #a ~= #b and #a > #b or #a == #b and a[1] < b[1] end)
  local chosen = table.move(intents, 1, math.min(options.intents or 500, #intents), 1, {})
  for i = #chosen, 2, -1 do
    local j = random:int(1, i)
    chosen[i], chosen[j] = chosen[j], chosen[i]
  end
  local cumulative, sum = {}, 0
  for i = 1, #chosen do
    sum = sum + 1 / i
    cumulative[i] = sum
  end
  local cache = semantic.new { vectors = M.index(data.near), error = options.error, cold = options.cold,
    random = function() return random:float() end }
  local exact, drawn, out = {}, {}, { asked = 0, intents = 0, wordings = 0, exact = 0, semantic = 0, wrong = 0, sent = 0 }
  for _ = 1, options.asked or 2000 do
    local at, x = 1, random:float() * sum
    while cumulative[at] < x do at = at + 1 end
    local text = chosen[at][random:int(1, #chosen[at])]
    out.asked = out.asked + 1
    if not drawn[at] then drawn[at], out.intents = true, out.intents + 1 end
    if not drawn[text] then drawn[text], out.wordings = true, out.wordings + 1 end
    if exact[text] then
      out.exact = out.exact + 1
    else
      local question = { text = text, scope = "all", vector = text, now = 0 }
      local found = cache:look(question)
      if found.action == "serve" then
        out.semantic = out.semantic + 1
        if found.entry.answer ~= intent_of[text] then out.wrong = out.wrong + 1 end
      else
        out.sent = out.sent + 1
        exact[text] = true
        local same = found.action == "explore" and found.entry.answer == intent_of[text]
        if found.action == "explore" then cache:teach("all", found, same) end
        for _, entry in ipairs(found.near or {}) do
          same = entry.answer == intent_of[text]
          found.entry = entry
          if same then break end
        end
        cache:add(question, text, intent_of[text], found, same)
      end
    end
  end
  return out, cache:stats()
end

--- The paraphrases of the pairs, asked when the cache knows the first of each pair.
---@param data { list: table, questions: string[], near: table }
---@param options { checks: integer, own: integer, cold?: boolean, error?: number, dev?: boolean } checks: pairs of the other
---  half that
---  the scope has learned from; own: times each entry was asked for in this wording before
---@return { served: integer, n: integer, wrong: integer, different: integer }
function M.paraphrases(data, options)
  local out = { served = 0, n = 0, wrong = 0, different = 0 }
  local gates = require "core.cache.semantic.gates"
  local scope = learner.scope()
  local taught = 0
  local function teach(only_dev)
    for _, pair in ipairs(data.list) do
      if pair.dev == only_dev and taught < options.checks and pair.similarity and not gates.texts(pair.a, pair.b) then
        learner.teach(scope, learner.entry(), pair.similarity, pair.same)
        taught = taught + 1
      end
    end
  end
  while taught < options.checks do teach(true) end
  for _, pair in ipairs(data.list) do
    if not pair.dev and pair.similarity then
      local n = pair.same and "n" or "different"
      out[n] = out[n] + 1
      if not gates.texts(pair.a, pair.b) then
        local entry = learner.entry()
        for _ = 1, options.own do learner.teach(scope, entry, pair.similarity, pair.same) end
        local action = learner.decide(scope, entry, pair.similarity, { error = options.error or 0.01, cold = options.cold },
          function() return 1 end)
        if action == "serve" then
          local given = pair.same and "served" or "wrong"
          out[given] = out[given] + 1
        end
      end
    end
  end
  return out
end

return M
