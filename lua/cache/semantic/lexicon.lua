--- The words of one language as core.cache.semantic.read looks them up: every form leads to what it is read as.

local M = {}

---@class core.semantic.word
---@field kind string "empty" | "free" | "preposition" | "question" | "person" | "negation" | "comparison" | "quantity" | "date" |
---  "now" | "number" | "ordinal" | "unit" | "tense" | "word"
---@field key string what it is read as
---@field past? boolean a verb's past
---@field participle? boolean a verb's participle
---@field either? boolean a verb's present, or its participle
---@field going? boolean a verb's -ing
---@field person? string whom the form of a verb says: "1"

---@class core.semantic.lexicon
---@field language string "en"
---@field words table<string, core.semantic.word> by form, in lower case
---@field phrases table<string, { words: string[], reads: string[] }[]> by first word, longest first
---@field auxiliaries table<string, boolean>
---@field twofaced table<string, boolean> a name or an ordinary word, by the capital
---@field whole table<string, boolean> they end in s and are no plural
---@field opposite table<string, table<string, boolean>>
---@field measured table<string, boolean>
---@field join string the word inside numbers ("and")
---@field thousands string the mark between thousands
---@field decimal string
---@field sure boolean this language writes numbers in one way
---@field nouns boolean nouns begin with a capital, so a capital says nothing
---@field particles? table<string, boolean> they stand before a verb, or at the end of its sentence
---@field subjects table<string, boolean> pronouns that only say who does it, wherever they stand
---@field ago table<string, boolean> with a time behind them they count from today
---@field leads table<string, string[][]> by first word, longest first: what stands before a question and says nothing
---@field frames table<string, { head: string[], tail: string[] }[]> by first word: what stands around what is asked for
---@field asks table<string, boolean> words that begin a question
---@field whether table<string, boolean>
---@field has? table<string, boolean> forms of "have" between what is had and who has it
---@field opens table<string, boolean> articles that begin another part of a sentence
---@field joins table<string, boolean> words between two things of one part
---@field polite table<string, boolean> with a capital they mean who is spoken to
---@field data table the words as they are written

local function set(text)
  local found = {}
  for word in (text or ""):gmatch "%S+" do found[word] = true end
  return found
end

--- Each "key: form form" between bars.
local function groups(text, f)
  for group in ((text or "") .. "|"):gmatch "([^|]*)|" do
    local key, rest = group:match "^%s*(%S+):%s(.*)$"
    if key then
      for form in rest:gmatch "%S+" do f(key, form) end
    end
  end
end

--- Lines of words between bars.
local function rows(text, f)
  for group in ((text or "") .. "|"):gmatch "([^|]*)|" do
    local row = {}
    for form in group:gmatch "%S+" do row[#row + 1] = form end
    if row[1] then f(row) end
  end
end

local Builder = {}
Builder.__index = Builder

--- The first meaning that is given stays.
function Builder:put(form, kind, key, more)
  if self.words[form] then return end
  local word = { kind = kind, key = key }
  for name, value in pairs(more or {}) do word[name] = value end
  self.words[form] = word
  if self.made then self.made[#self.made + 1] = form end
end

--- A form of a verb goes before other words, but not before what has a kind of its own.
function Builder:over(form, word)
  local known = self.words[form]
  if not known or known.kind == "word" then self.words[form] = word end
end

function Builder:list(text, kind)
  for form in (text or ""):gmatch "%S+" do self:put(form, kind, form) end
end

--- English: what is made of a regular verb.
local function english(base)
  local stem = base:gsub("e$", "")
  local s = base:find "[sxz]$" and base .. "es" or base:find "[cs]h$" and base .. "es" or base:find "[^aeiou]y$" and
    base:sub(1, -2) .. "ies" or base .. "s"
  local past = base:find "[^aeiou]y$" and base:sub(1, -2) .. "ied" or stem .. "ed"
  return { s }, { past, past:gsub("([bdgklmnprtz])ed$", "%1%1ed") }, { stem .. "ing", stem:gsub("([bdgklmnprtz])$", "%1%1") ..
    "ing",
    base .. "ing" }
end

-- Verbs whose participle has no ge-.
local INSEPARABLE = { "^be%l%l%l", "^ent", "^er%l%l%l", "^ver", "^zer", "^über", "ieren$" }

--- German, present and infinitive of a regular verb given as infinitive. Last the form that is the participle as well.
local function german(base)
  local stem = base:gsub("e?n$", "")
  local e = (stem:find "[td]$" or stem:find "[^lrhaeiounm][nm]$") and "e" or ""
  local present, past = { stem .. "e", stem .. e .. "t", stem .. e .. "st", stem }, { stem .. e .. "te", stem .. e .. "ten" }
  for _, prefix in ipairs(INSEPARABLE) do
    if base:find(prefix) then return present, past, {}, stem .. e .. "t" end
  end
  return present, past, { "ge" .. stem .. e .. "t" }
end

--- Spanish, present of a regular verb: the first person says who is meant.
local SPANISH = { ar = { "a", "an", "e", "en" }, er = { "e", "en", "a", "an" }, ir = { "e", "en", "a", "an" } }
local function spanish(base)
  local stem, ending = base:match "^(.*)([aei]r)$"
  local forms = {}
  for i, tail in ipairs(SPANISH[ending]) do forms[i] = stem .. tail end
  return forms, { stem .. "o" }, stem .. (ending == "ar" and "ado" or "ido")
end

function Builder:verb(base, key)
  key = key or base
  self:put(base, "word", key)
  if self.language == "en" then
    local present, past, going = english(base)
    for _, form in ipairs(present) do self:put(form, "word", key) end
    for _, form in ipairs(past) do self:put(form, "word", key, { past = true, participle = true }) end
    for _, form in ipairs(going) do self:put(form, "word", key, { going = true }) end
  elseif self.language == "de" then
    local present, past, participle, either = german(base)
    for _, form in ipairs(present) do self:put(form, "word", key, { either = form == either or nil }) end
    for _, form in ipairs(past) do self:put(form, "word", key, { past = true }) end
    for _, form in ipairs(participle) do self:put(form, "word", key, { participle = true }) end
  else
    local present, first, participle = spanish(base)
    for _, form in ipairs(present) do self:put(form, "word", key) end
    for _, form in ipairs(first) do self:put(form, "word", key, { person = "1" }) end
    self:put(participle, "word", key, { participle = true })
  end
end

local function verbs(self, data, reads)
  self.made = {}
  rows(data.irregular, function(row)
    local base = row[1]
    local key = reads[base] or base
    if self.language == "en" then
      self:verb(base, key)
      self:over(row[2], { kind = "word", key = key, past = true, participle = row[2] == row[3] or nil })
      if row[2] ~= row[3] then self:over(row[3], { kind = "word", key = key, participle = true }) end
    else
      for i, form in ipairs(row) do
        local mark, bare = form:match "^([<>1])(.+)$" -- <: past, >: participle, 1: first person
        self:put(bare or form, "word", key, { past = mark == "<" or nil, participle = mark == ">" or nil,
          person = mark == "1" and "1" or nil })
        if i == 1 then self:put(form, "word", key) end
      end
    end
  end)
  for base in (data.verbs or ""):gmatch "%S+" do self:verb(base, reads[base]) end
  for _, form in ipairs(self.made) do
    local word = self.words[form]
    if word.kind == "word" then word.verb = true end
  end
end

local function phrases(data, auxiliaries)
  local by = {}
  for text, reads in pairs(data.phrases or {}) do
    local phrase = { words = {}, reads = {} }
    for word in text:gmatch "%S+" do phrase.words[#phrase.words + 1] = word end
    for word in reads:gmatch "%S+" do phrase.reads[#phrase.reads + 1] = word end
    local first = phrase.words[1]
    for i, word in ipairs(phrase.words) do
      phrase.aux = phrase.aux or auxiliaries[word] or nil
      phrase.be = phrase.be or i > 1 and data.be[word] and not data.active[text] or nil
    end
    by[first] = by[first] or {}
    table.insert(by[first], phrase)
  end
  for _, list in pairs(by) do table.sort(list, function(a, b) return #a.words > #b.words end) end
  return by
end

local function opposites(data)
  local found = {}
  rows(data.opposite, function(row)
    for _, a in ipairs(row) do
      found[a] = found[a] or {}
      for _, b in ipairs(row) do found[a][b] = a ~= b or nil end
    end
  end)
  return found
end

local function leads(data)
  local by = {}
  rows(data.leads, function(row)
    by[row[1]] = by[row[1]] or {}
    table.insert(by[row[1]], row)
  end)
  for _, list in pairs(by) do table.sort(list, function(a, b) return #a > #b end) end
  return by
end

--- Rows of "head ... tail".
local function frames(data)
  local by = {}
  rows(data.frames, function(row)
    local frame, side = { head = {}, tail = {} }, "head"
    for _, word in ipairs(row) do
      if word == "..." then side = "tail" else table.insert(frame[side], word) end
    end
    by[row[1]] = by[row[1]] or {}
    table.insert(by[row[1]], frame)
  end)
  for _, list in pairs(by) do table.sort(list, function(a, b) return #a.head > #b.head end) end
  return by
end

local function dates(self, data)
  self:list(data.relative, "date")
  self:list(data.now, "now")
  for _, list in ipairs { data.months, data.month_short } do
    local n = 0
    for form in (list or ""):gmatch "%S+" do
      n = n + 1
      if form ~= "may" then self:put(form, "date", "month:" .. n) end
    end
  end
  local n = 0
  for form in (data.days or ""):gmatch "%S+" do
    n = n + 1
    self:put(form, "date", "day:" .. n)
    self:put(form .. "s", "date", "day:" .. n)
  end
end

--- Build the lexicon of a language.
---@param language string "en"
---@param data table as core.cache.semantic.words.en
---@return core.semantic.lexicon
function M.build(language, data)
  local self = setmetatable({ language = language, words = {} }, Builder)
  local reads = {}
  rows(data.same, function(row)
    for i = 2, #row do reads[row[i]] = row[1] end
  end)
  self:list(data.negation, "negation")
  groups(data.numbers, function(key, form) self:put(form, "number", key) end)
  local n = 0
  for form in (data.ordinals or ""):gmatch "%S+" do
    n = n + 1
    for each in form:gmatch "[^/]+" do self:put(each, "ordinal", n .. ".") end
  end
  self:list(data.quantity, "quantity")
  self:list(data.comparison, "comparison")
  dates(self, data)
  groups(data.questions, function(key, form) self:put(form, "question", key) end)
  groups(data.prepositions, function(key, form) self:put(form, "preposition", key) end)
  groups(data.persons, function(key, form) self:put(form, "person", key) end)
  groups(data.tense, function(key, form) self:put(form, "tense", key) end)
  self:list(data.empty, "empty")
  groups(data.units, function(key, form)
    self:put(form, "unit", key)
    if form:find "%a%a$" then self:put(form .. "s", "unit", key) end
  end)
  local free = set(data.free)
  rows(data.same, function(row)
    for _, form in ipairs(row) do
      if free[row[1]] then self:put(form, "free", row[1]) end
    end
  end)
  self:list(data.free, "free")
  verbs(self, data, reads)
  self.made = nil
  rows(data.plurals, function(row) self:put(row[1], "word", reads[row[2]] or row[2]) end)
  rows(data.same, function(row)
    for _, form in ipairs(row) do self:put(form, "word", row[1]) end
  end)
  return { language = language, words = self.words, phrases = phrases(data, set(data.auxiliaries)),
    auxiliaries = set(data.auxiliaries),
    twofaced = set(data.twofaced), whole = set(data.whole), opposite = opposites(data), measured = set(data.measured),
    join = data.number_join, thousands = data.thousands, decimal = data.decimal, particles = data.particles and
      set(data.particles), subjects = set(data.subjects), ago = set(data.ago), sure = data.sure ~= false, nouns = data.nouns,
    leads = leads(data), frames = frames(data), asks = set(data.asks), whether = set(data.whether),
    has = data.has and set(data.has), polite = set(data.polite), opens = set(data.opens), joins = set(data.joins), data = data }
end

return M
