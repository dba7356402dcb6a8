--- Ways of asking that say the same, brought to one way before a question is compared (core.cache.semantic.read). What is taken out
--- says nothing of what is asked for; what is moved stands where the other way has it.

local M = {}

-- ---- tokens -------------------------------------------------------------------------------------------------------------------

--- Do these words stand here? German: "Sie" is who is asked, "sie" others, of whom something is asked.
local function stands(lex, tokens, at, words)
  for i, word in ipairs(words) do
    local token = tokens[at + i - 1]
    if not token or token.lower ~= word or i > 1 and token.start then return false end
    if lex.polite[word] and not token.capital then return false end
  end
  return true
end

local function longest(lex, list, tokens, at)
  for _, words in ipairs(list[tokens[at].lower] or {}) do
    if stands(lex, tokens, at, words) then return #words end
  end
end

local function asks(lex, tokens, at)
  local token, following = tokens[at], tokens[at + 1]
  if not token or token.start then return false end
  if lex.asks[token.lower] or lex.whether[token.lower] then return true end
  local word = lex.words[token.lower]
  return word and word.kind == "preposition" and following and lex.asks[following.lower] or false
end

--- Only words that say nothing stand before this place of its sentence.
local function begins(lex, tokens, at)
  while not tokens[at].start do
    at = at - 1
    local word = tokens[at].text and lex.words[tokens[at].lower]
    if not (word and word.kind == "empty") then return false end
  end
  return true
end

local function last_of(tokens, at)
  while tokens[at + 1] and not tokens[at + 1].start do at = at + 1 end
  return at
end

local function without(tokens, from, to)
  for _ = from, to do table.remove(tokens, from) end
end

--- "Can you tell me who ..." asks what "Who ..." does; "do you know whether" leaves a question of yes or no.
local function lead(lex, tokens, at)
  local n = longest(lex, lex.leads, tokens, at)
  local polite = n and tokens[at + n] and lex.words[tokens[at + n].lower]
  if polite and polite.kind == "empty" then n = n + 1 end -- "please"
  if not n or not asks(lex, tokens, at + n) or not begins(lex, tokens, at) then return end
  without(tokens, at, at + n - 1)
  local first = tokens[at]
  first.start = true
  if lex.whether[first.lower] then first.text, first.lower = "@yes", "@yes" end
end

--- "Explain X to me", "Können Sie mir X erklären": what stands around X.
local function frame(lex, tokens, at)
  for _, each in ipairs(lex.frames[tokens[at].lower] or {}) do
    local last = last_of(tokens, at)
    local tail = last - #each.tail + 1
    if stands(lex, tokens, at, each.head) and tail > at + #each.head and stands(lex, tokens, tail, each.tail)
      and begins(lex, tokens, at) then
      tokens[tail - 1].stop, tokens[tail - 1].comma = tokens[last].stop, tokens[last].comma
      without(tokens, tail, last)
      without(tokens, at, at + #each.head - 1)
      table.insert(tokens, at, { text = "@what", lower = "@what", start = true, made = true })
      return
    end
  end
end

--- Ways to ask that say nothing, taken out.
---@param lex core.semantic.lexicon
---@param tokens core.semantic.token[] changed
function M.tokens(lex, tokens)
  local at = 1
  while at <= #tokens do
    if tokens[at].text then
      lead(lex, tokens, at)
      if tokens[at] and tokens[at].text then frame(lex, tokens, at) end
    end
    at = at + 1
  end
end

-- ---- sentences ------------------------------------------------------------------------------------------------------------------

local function moved(items, from, to, place)
  local out = table.move(items, from, to, 1, {})
  for _ = from, to do table.remove(items, from) end
  for i = #out, 1, -1 do table.insert(items, place, out[i]) end
end

local function question_at(items, key)
  for i, item in ipairs(items) do
    if item.kind == "question" then return item.key == key and i or nil end
    if item.kind ~= "empty" then return nil end
  end
end

local function words_from(items, at)
  local last = at - 1
  while items[last + 1] and items[last + 1].kind == "word" do last = last + 1 end
  return last
end

--- "Which building is the tallest" stands as "the tallest building" does.
local function superlative(self, items)
  if self.lex.language == "es" then return end -- it stands behind its noun already
  local at = question_at(items, "what")
  if not at then return end
  local last = words_from(items, at + 1)
  local be = items[last + 1]
  if last <= at or not be or not self.lex.data.be[be.lower or ""] then return end
  local place = last + 2
  while items[place] and items[place].kind == "empty" do place = place + 1 end
  local best = items[place]
  local following = items[place + 1]
  if best and best.kind == "comparison" and not (following and (following.kind == "word" or following.key == "than")) then
    moved(items, at + 1, last, place - (last - at) + 1)
  end
end

--- "Welche Währung hat Ghana" and "qué moneda tiene Ghana" stand as "... of Ghana" does, where nothing but a name comes behind.
local function owned(self, items)
  local has, of = self.lex.has, self.lex.data.of
  local at = has and question_at(items, "what")
  if not at then return end
  local owner = items[at + 2]
  if not (items[at + 1] and items[at + 1].kind == "word" and owner and has[owner.lower or ""]) then return end
  local words = 0
  for i = at + 3, #items do
    local item = items[i]
    if item.kind == "word" and not item.verb and not item.participle and (item.capital or self.lex.language == "es") then
      words = words + 1
    elseif item.kind ~= "empty" then
      return
    end
  end
  if words == 0 or words > 2 then return end
  items[at + 2] = { kind = "preposition", key = of, lower = of }
end

--- "What does X mean" stands as "the meaning of X" does.
local function meaning(self, items)
  local last = items[#items]
  local at = self.lex.data.does and question_at(items, "what")
  if not at or not last or last.kind ~= "word" or last.key ~= "mean" then return end
  for i = at + 1, #items - 1 do
    if items[i].kind == "preposition" or items[i].kind == "person" then return end
  end
  items[#items - 1].stop, items[#items - 1].comma = items[#items - 1].stop or last.stop, last.comma
  items[#items] = nil
  table.insert(items, at + 1, { kind = "word", key = "word-meaning", lower = "word-meaning" })
end

--- "Who was Guernica painted by" stands as "Who painted Guernica" does.
local function painted_by(_, items)
  local at, by, verb = question_at(items, "who"), items[#items], items[#items - 1]
  if not at or not by or by.kind ~= "preposition" or by.key ~= "by" or not verb or not verb.participle then return end
  local be = items[at + 1]
  if not be or be.kind ~= "tense" or be.key ~= "past" then return end
  verb.stop = by.stop
  items[#items] = nil
  moved(items, #items, #items, at + 2)
  items[at + 2].participle = nil
end

--- "Are cats like dogs" asks whether they are alike; "do cats like dogs" whom they are fond of.
local function like(self, items)
  if not self.lex.data.does then return end
  local be, at = false, nil
  for i, item in ipairs(items) do
    if item.lower and self.lex.data.does[item.lower] or item.key == "did" then return end
    be = be or item.be or item.lower and self.lex.data.be[item.lower]
    if item.lower == "like" then at = i end
  end
  if be and at then items[at].key = "alike" end
end

-- How something is, for whoever does it.
local WAYS = { safe = true, necessary = true, possible = true, normal = true, allowed = true, hard = true, easy = true,
  dangerous = true }

--- "Are raw eggs safe to eat" stands as "Is it safe to eat raw eggs" does.
local function safe_to(self, items)
  local verb, to, way = items[#items], items[#items - 1], items[#items - 2]
  if self.lex.language ~= "en" or #items < 5 or not (to.kind == "preposition" and to.key == "to") then return end
  if not (verb.verb and WAYS[way.key or ""] and self.lex.data.be[items[1].lower or ""]) then return end
  items[#items - 1].stop, way.stop = nil, verb.stop
  items[#items], items[#items - 1] = nil, nil
  verb.stop = nil
  table.insert(items, 2, verb)
end

--- "What are the planets" asks for all of them; "what is a planet" what one is. Nothing but the article and the number tells.
local function all_of_them(self, items)
  local at = self.lex.language == "en" and question_at(items, "what")
  if not at then return end
  local the, last = false, nil
  for i = at + 1, #items do
    local item = items[i]
    if item.lower == "the" and not last then
      the = true
    elseif item.kind == "word" then
      last = item
    elseif item.kind ~= "empty" then
      return
    end
  end
  if the and last and last.lower and last.lower ~= last.key and last.lower:find "s$" then last.key = last.key .. "+all" end
end

--- Other orders of one sentence, brought to one.
---@param reading table with `lex`
---@param items table[] of one sentence; changed
function M.sentence(reading, items)
  superlative(reading, items)
  owned(reading, items)
  meaning(reading, items)
  painted_by(reading, items)
  like(reading, items)
  safe_to(reading, items)
  all_of_them(reading, items)
end

return M
