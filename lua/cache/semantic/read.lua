--- What a question asks for, as signatures: one short string for each thing that two questions must have in common before the
--- answer to one may be given to the other (core.cache.semantic.gates compares them).
---
--- Everything that is not known to be empty stands for itself: a word of no list, a sign, a number, a name. So two questions are
--- taken for the same only where every part of one has been found in the other, in the same order, and what cannot be read is
--- refused.

local lexicon = require "core.cache.semantic.lexicon"
local numbers = require "core.cache.semantic.numbers"
local rewrite = require "core.cache.semantic.rewrite"
local split = require "core.cache.semantic.split"
local de = require "core.cache.semantic.words.de"
local en = require "core.cache.semantic.words.en"
local es = require "core.cache.semantic.words.es"

local M = {}

local DATA, ORDER = { en = en, de = de, es = es }, { "en", "de", "es" }
local built = {}

local function lexicon_of(language)
  built[language] = built[language] or lexicon.build(language, DATA[language])
  return built[language]
end

---@class core.semantic.reading
---@field language? string "en"; nil: none of the known ones
---@field why? string why it cannot be judged
---@field signs table<string, string> by gate: number, unit, date, quote, code, negation, comparison, quantity, word, question,
---  person, tense, direction
---@field names table<string, boolean> words with a capital inside a sentence
---@field words string[] what is in signs.word, sorted
---@field now boolean it asks about this moment
---@field relative boolean it counts from today

-- ---- from words to what they are read as ----------------------------------------------------------------------------------------

--- The phrase that stands at a place. One that is written with "^" stands at the beginning of a sentence alone.
local function matches(tokens, at, words)
  for i, word in ipairs(words) do
    local token = tokens[at + i - 1]
    if i == 1 and token.start then word = word:gsub("^%^", "") end
    if not token or token.lower ~= word or (i > 1 and token.start) then return false end
  end
  return true
end

local NONE = {}

local function phrase_at(lex, tokens, at)
  local token = tokens[at]
  if not token.text then return nil end
  for _, list in ipairs { lex.phrases[token.lower] or NONE, token.start and lex.phrases["^" .. token.lower] or NONE } do
    for _, phrase in ipairs(list) do
      if matches(tokens, at, phrase.words) then return phrase end
    end
  end
end

-- ---- the language ---------------------------------------------------------------------------------------------------------------

local KNOWN = { empty = 1, free = 1, preposition = 1, question = 1, person = 1, negation = 1, tense = 1, quantity = 0.5, word = 0.4,
  comparison = 0.5 }

--- The language whose words are the most of the text, if one has more than the others.
local function language_of(tokens)
  local best, most, second = nil, 0, 0
  for _, language in ipairs(ORDER) do
    local lex, score = lexicon_of(language), 0
    local words = lex.words
    for at, token in ipairs(tokens) do
      local word = token.text and words[token.lower]
      local phrase = phrase_at(lex, tokens, at)
      score = score + math.max(word and KNOWN[word.kind] or 0, phrase and #phrase.words or 0)
    end
    if score > most then
      best, most, second = language, score, most
    elseif score > second then
      second = score
    end
  end
  if most >= 0.9 and most > second then return best end
end

--- Put phrases in the place of their words.
local function replaced(lex, tokens)
  local out, at = {}, 1
  while at <= #tokens do
    local token, found = tokens[at], phrase_at(lex, tokens, at)
    if found then
      local last = tokens[at + #found.words - 1]
      for i, word in ipairs(found.reads) do
        out[#out + 1] = { text = word, lower = word, start = token.start and i == 1, made = true,
          comma = i == #found.reads and last.comma, stop = i == #found.reads and last.stop,
          aux = found.aux, be = found.be }
      end
      if #found.reads == 0 then
        local follower = tokens[at + #found.words]
        if follower then follower.start = follower.start or token.start end
      end
      at = at + #found.words
    else
      out[#out + 1] = token
      at = at + 1
    end
  end
  return out
end

--- A plural as its singular, where nothing says otherwise.
local function singular(lex, word)
  if lex.whole[word] or #word < 4 then return word end
  if lex.language == "en" then
    if word:find "ss$" or word:find "us$" or word:find "is$" or not word:find "s$" then return word end
    if word:find "ies$" and #word > 4 then return word:sub(1, -4) .. "y" end
    if word:find "[cs]hes$" or word:find "[xz]es$" or word:find "sses$" then return word:sub(1, -3) end
    if word:find "oes$" then return word:sub(1, -3) end
    return word:sub(1, -2)
  elseif lex.language == "es" then
    if word:find "ces$" then return word:sub(1, -4) .. "z" end
    if word:find "[^aeiou]es$" and #word > 4 then return word:sub(1, -3) end
    if word:find "[aeiou]s$" and not word:find "is$" then return word:sub(1, -2) end
  end
  return word
end

--- German: an adjective without its ending. Not -er: "schneller" may compare.
local function bare(token, word)
  if token.capital or #word < 5 then return word end
  return word:match "^(.-)e[nsm]$" or word:match "^(.-)e$" or word
end

--- German: "ausschalten" is what "schalte ... aus" is.
local function separable(lex, word)
  for particle in pairs(lex.particles) do
    local verb = word:sub(1, #particle) == particle and lex.words[word:sub(#particle + 1):gsub("^zu", "")]
    if verb and verb.verb and #word - #particle > 4 then
      return { kind = "word", key = particle .. verb.key, verb = true, past = verb.past, participle = verb.participle }
    end
  end
end

local function plain_word(lex, token)
  local word = token.lower
  local known = lex.words[word] or (lex.particles and separable(lex, word))
  if known and known.verb and lex.nouns and token.capital and not token.start then return { kind = "word", key = word } end
  if known then return known end
  if lex.language == "de" then
    word = bare(token, word)
  else
    word = singular(lex, word)
  end
  known = lex.words[word]
  if known and (known.kind == "word" and not (known.verb and lex.language == "de") or known.kind == "free" or
    known.kind == "unit") then return known end
  return { kind = "word", key = word }
end

--- A capital that tells a name from an ordinary word.
local function named(lex, token)
  if token.made then return nil end
  if token.shout then
    local known = lex.words[token.lower]
    if known and known.kind ~= "word" and known.kind ~= "unit" and known.kind ~= "date" then return { kind = "word",
      key = token.lower .. "!" } end
  end
  if token.roman then return { kind = "word", key = "1st!" } end
  if lex.twofaced[token.lower] and not (token.lower == "will" and not token.capital) then
    if token.capital and not token.start then return { kind = "word", key = token.lower .. "^" } end
    if token.capital then return { kind = "word", key = token.lower .. "?" } end
    if not lex.words[token.lower] then return { kind = "word", key = token.lower } end
  end
end

--- Signs of units whose case tells them apart: Mb is no MB, and MW no mW. Of others it says nothing: 250 mL, 5 KM.
local function cased(lex, token, before)
  local text = token.text
  if not (before and before.kind == "number") or not text or #text > 3 then return nil end
  local known = lex.words[token.lower]
  if text:find "^[KMGT]b$" then return { kind = "unit", key = token.lower .. "it" } end
  if text == "mL" or known and known.kind == "unit" and #text > 1 and text == text:upper() then return nil end
  if text == "M" or text == "G" or text:find "^[mM]%u" or text:find "^M%l$" then return { kind = "unit", key = text } end
end

--- German: "Sie" inside a sentence is who is spoken to; at its beginning it may be either.
local function polite(lex, token)
  if not token.capital or not lex.polite[token.lower] then return nil end
  return { kind = "person", key = token.start and token.lower .. "?" or "2s" }
end

local function read_word(lex, token, before)
  if token.kind then return token end
  local other = cased(lex, token, before) or polite(lex, token)
  if other then return other end
  local word = token.lower
  local asked = word:match "^@(.+)$"
  if asked == "i" then return { kind = "person", key = "1" } end
  if asked and not lex.words[word] then return { kind = "question", key = asked } end
  return named(lex, token) or plain_word(lex, token)
end

-- ---- signatures -----------------------------------------------------------------------------------------------------------------

local Reading = {}
Reading.__index = Reading

function Reading:note(kind, key)
  local list = self.lists[kind]
  if not list then
    list = {}
    self.lists[kind] = list
  end
  list[#list + 1] = key
end

local LITERAL = { quote = true, code = true }
local PART = { word = true, number = true, ordinal = true, unit = true, date = true, now = true, quote = true, code = true,
  comparison = true, quantity = true, negation = true, person = true }

local function gate_of(kind)
  if kind == "ordinal" then return "number" end
  if kind == "now" then return "date" end
  if kind == "free" then return "word" end
  return kind
end

--- The order of what stands in a sentence: its core, and its parts that a preposition begins.
local function ordering()
  return { core = {}, parts = {}, marks = {}, segment = nil }
end

local function place(order, key)
  local list = order.segment or order.core
  list[#list + 1] = key
end

local function close(order)
  if order.segment then order.parts[#order.parts + 1] = table.concat(order.segment, " ") end
  order.segment = nil
end

--- "capital of France" stands as "France's capital" does. Gives the place of the last word that was put.
local function genitive(items, at, order)
  local list = order.segment or order.core
  local first = #list
  while first > 0 and items[at - 1 - (#list - first)] and items[at - 1 - (#list - first)].kind == "word" do first = first - 1 end
  local head = {}
  for i = first + 1, #list do head[#head + 1], list[i] = list[i], nil end
  local last = at
  while items[last + 1] and (items[last + 1].kind == "word" or (last == at and items[last + 1].kind == "empty")) do
    last = last + 1
    if items[last].kind == "word" then list[#list + 1] = items[last].key end
  end
  table.move(head, 1, #head, #list + 1, list)
  return last
end

--- "How many strings does a violin have" stands as "the strings of a violin" does: who has comes first.
local function owner_first(self, items, kind)
  local have = items[#items]
  if (kind ~= "what" and kind ~= "howmany") or not have or have.lower ~= self.lex.data.have then return items end
  local from
  for i, item in ipairs(items) do
    if item.lower and self.lex.data.does[item.lower] then from = i end
  end
  if not from or from < 3 then return items end
  local out = {}
  for i = 1, #items do out[i] = items[i] end
  local owner = table.move(items, from + 1, #items - 1, 1, {})
  local first = from
  while first > 1 and out[first - 1].kind ~= "question" do first = first - 1 end
  local owned = table.move(items, first, from - 1, 1, {})
  out = table.move(items, 1, first - 1, 1, {})
  table.move(owner, 1, #owner, #out + 1, out)
  table.move(owned, 1, #owned, #out + 1, out)
  out.asks = items.asks
  return out
end

--- "How many strings are in a violin" is the same again.
local function holder_first(order, kind)
  if kind ~= "howmany" or #order.parts ~= 1 then return end
  local holder = order.parts[1]:match "^in: (.+)$"
  if holder then
    table.insert(order.core, 1, holder)
    order.parts = {}
  end
end

--- Two persons or more: their places tell who does what.
local function several_persons(items)
  local first
  for _, item in ipairs(items) do
    local person = item.kind == "person" and item.key or item.person
    if person and first and first ~= person then return true end
    first = first or person
  end
  return false
end

--- German: two nouns or more with articles in the core; these tell who does it to whom, whatever the order.
local function mark_cases(self, order)
  if not self.lex.data.cases or #order.marks < 2 then return end
  order.parts[#order.parts + 1] = "cases: " .. table.concat(order.marks, " ")
end

--- German and Spanish: an article behind a noun with a preposition begins another part of the sentence.
local function part_ends(self, items, at, order)
  local before = items[at - 1]
  return order.segment and order.segment[2] and self.lex.opens[items[at].lower or ""] and
    not self.lex.joins[before and before.lower or ""]
end

local function sentence_of(self, items, order)
  local at, be, passive, participle = 1, false, false, nil
  local persons, cases = several_persons(items), self.lex.data.cases
  while at <= #items do
    local item = items[at]
    local lower = item.lower
    if part_ends(self, items, at, order) then close(order) end
    if item.kind == "preposition" then
      local before, after = items[at - 1], items[at + 1]
      if item.key == "of" and before and before.kind == "free" and after then
        close(order) -- "the age of X" is "how old is X"
      elseif item.key == "of" and before and before.kind == "word" and after then
        local last = genitive(items, at, order)
        for i = at + 1, last do
          if items[i].kind == "word" then self:note("word", items[i].key) end
        end
        at = last
      else
        close(order)
        order.segment = { item.key .. ":" }
        self:note("preposition", item.key)
      end
    elseif item.kind == "question" then
      close(order)
    elseif PART[item.kind] then
      if item.participle and be then passive, participle = true, item.key end
      self:note(gate_of(item.kind), item.key)
      if persons or not (item.kind == "person" and self.lex.subjects[lower]) then place(order, item.key) end
      local article = cases and item.capital and not order.segment and items[at - 1]
      if article and cases[article.lower or ""] then order.marks[#order.marks + 1] = item.key .. "+" .. cases[article.lower] end
      if item.going then self:note("tense", "ing") end
    elseif item.kind == "free" then
      self:note("word", item.key)
    end
    if item.be or lower and self.lex.data.be[lower] then be = true end
    if item.person then
      self:note("person", item.person)
      if persons then place(order, item.person) end
    end
    if item.comma then close(order) end
    at = at + 1
  end
  close(order)
  mark_cases(self, order)
  return passive, participle
end

local OBJECT_QUESTIONS = { how = true, when = true, where = true, why = true, howlong = true, howoften = true }

--- "How is X made" asks what "How do you make X" asks; "Who was hired" is not "Who hired".
local function passive_order(self, order, kind, participle)
  if OBJECT_QUESTIONS[kind] then
    for i, key in ipairs(order.core) do
      if key == participle then
        table.remove(order.core, i)
        table.insert(order.core, 1, key)
        return
      end
    end
  end
  self:note("tense", "passive")
end

--- German: the particle at a sentence's end belongs to its verb; "hat ... erfunden" is "erfand"; and the verb, whose place depends
--- on the kind of sentence, stands first.
local function verb_first(self, items)
  local last, verb, have, participle = items[#items], nil, nil, false
  for i, item in ipairs(items) do
    if item.verb then
      if verb then return end
      verb, participle = i, item.participle or item.either and have ~= nil
    elseif item.key == "haben" then
      have = i
    end
  end
  if not verb then return end
  if last.lower and self.lex.particles[last.lower] and #items > verb then
    items[#items] = nil
    items[#items].stop, items[#items].comma = last.stop, last.comma
    items[verb].key = last.lower .. items[verb].key
  end
  if participle and have then
    self:note("tense", "past")
    items[have].kind = "empty"
  end
  local item = table.remove(items, verb)
  local after = items[verb - 1]
  if after and (item.stop or item.comma) then after.stop, after.comma, item.stop, item.comma = item.stop, item.comma, nil, nil end
  local first = 1
  for i, other in ipairs(items) do
    if other.kind == "question" then first = i + 1 end
  end
  table.insert(items, first, item)
end

--- Where anyone is meant, who asks says no more: "Wie sortiere ich", "Cómo ordeno".
local function anyone(self, items, kind)
  if kind ~= self.lex.data.anyone then return end
  for _, item in ipairs(items) do
    if item.person == "1" then item.person = nil end
    if item.kind == "person" and self.lex.subjects[item.lower] then item.kind = "empty" end
  end
end

local function kind_of_sentence(self, items)
  local first
  for _, item in ipairs(items) do
    if item.kind == "question" then
      first = item.key
      break
    end
  end
  if not first then
    for _, item in ipairs(items) do
      if not item.greeting then
        if self.lex.auxiliaries[item.lower or ""] or (item.person and self.lex.data.asking and item.first) then first = "yes" end
        break
      end
    end
  end
  return first or (items.asks and self.lex.data.asking and "yes") or "-"
end

local function tenses(self, items, passive)
  local aux, past = false, false
  for _, item in ipairs(items) do
    if item.kind == "tense" and not (passive and item.key == "future" and item.lower:find "^w[ei]rd") then
      self:note("tense", item.key)
    end
    if item.lower and (item.aux or self.lex.auxiliaries[item.lower] or item.kind == "tense") then aux = true end
    if item.past then past = true end
  end
  if past and not aux then self:note("tense", "past") end
end

-- What stands in the name of a thing; a sentence of nothing else asks what it is.
local NAMED = { word = true, preposition = true, empty = true, number = true, unit = true, quote = true, code = true }

--- "capital of Norway" asks what "What is the capital of Norway" does.
local function fragment(self, items)
  if items.asks or not self.lex.data.fragments or #items < 2 then return false end
  for _, item in ipairs(items) do
    if not NAMED[item.kind] or item.verb or item.aux or item.lower and self.lex.auxiliaries[item.lower] then return false end
  end
  return true
end

local function measured(self, items, kind)
  if kind == "howmuch" then
    for _, item in ipairs(items) do
      if self.lex.measured[item.key or ""] then return "what" end
    end
  end
  return kind
end

local function joined(list, sorted)
  if not list then return "" end
  if sorted then table.sort(list) end
  return table.concat(list, " ")
end

local GATES = { "number", "unit", "date", "quote", "code", "negation", "comparison", "quantity", "word", "question", "person",
  "tense" }

local function finish(self, orders)
  local signs, text = {}, {}
  for _, gate in ipairs(GATES) do signs[gate] = joined(self.lists[gate], not LITERAL[gate]) end
  for _, order in ipairs(orders) do
    table.sort(order.parts)
    text[#text + 1] = table.concat(order.core, " ") .. " / " .. table.concat(order.parts, " / ")
  end
  signs.direction = table.concat(text, " . ")
  return signs
end

local function sentences(items)
  local list, now = {}, {}
  for _, item in ipairs(items) do
    now[#now + 1] = item
    if item.stop then
      now.asks = item.stop == "?"
      list[#list + 1], now = now, {}
    end
  end
  if now[1] then list[#list + 1] = now end
  return list
end

local function items_of(lex, tokens)
  local items = {}
  rewrite.tokens(lex, tokens)
  for _, token in ipairs(replaced(lex, tokens)) do
    local read = read_word(lex, token, items[#items])
    local item = read == token and token or { kind = read.kind, key = read.key, past = read.past, participle = read.participle,
      either = read.either, going = read.going, person = read.person, verb = read.verb, lower = token.lower, comma = token.comma,
      stop = token.stop, capital = token.capital, start = token.start, shout = token.shout, aux = token.aux, be = token.be }
    items[#items + 1] = item
  end
  return numbers.joined(lex, items)
end

local TIMES = { second = true, minute = true, hour = true, day = true, week = true, month = true, year = true }

--- "in 3 days", "vor 3 Tagen", "hace 3 días"
local function counts_from_today(lex, items, at)
  local number, unit = items[at + 1], items[at + 2]
  return lex.ago[items[at].lower or ""] and number and number.kind == "number" and unit and TIMES[unit.key or ""] or false
end

--- Read a question.
---@param text string
---@return core.semantic.reading
---
--- Example: `read.of("How far is 5 km?").signs.number` is "5".
function M.of(text)
  local tokens, why = split.tokens(text)
  if not tokens then return { why = why, signs = {} } end
  local language = language_of(tokens)
  if not language then return { why = "language", signs = {} } end
  local lex = lexicon_of(language)
  local self = setmetatable({ lex = lex, lists = {} }, Reading)
  local items = items_of(lex, tokens)
  local names, orders, now, relative = {}, {}, false, false
  for i, item in ipairs(items) do
    if item.capital and not item.start and not lex.nouns then names[item.key or ""] = true end
    now = now or item.kind == "now"
    relative = relative or (item.kind == "date" and not item.key:find ":") or counts_from_today(lex, items, i)
  end
  for _, sentence in ipairs(sentences(items)) do
    local order = ordering()
    local kind = measured(self, sentence, kind_of_sentence(self, sentence))
    if kind == "-" and #sentence == #items and fragment(self, sentence) then kind = "what" end
    rewrite.sentence(self, sentence)
    if lex.particles then verb_first(self, sentence) end
    anyone(self, sentence, kind)
    if lex.data.have then sentence = owner_first(self, sentence, kind) end
    local passive, participle = sentence_of(self, sentence, order)
    holder_first(order, kind)
    if passive then passive_order(self, order, kind, participle) end
    tenses(self, sentence, passive)
    if kind ~= "-" then self:note("question", kind) end
    if #order.core + #order.parts > 0 then orders[#orders + 1] = order end
  end
  if not self.lists.question then self:note("question", "-") end
  return { language = language, signs = finish(self, orders), names = names, words = self.lists.word or {}, now = now,
    relative = relative, opposite = lex.opposite }
end

return M
