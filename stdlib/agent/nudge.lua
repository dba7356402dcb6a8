--- Is a text an announcement of work ("I will now look at number 3.") instead of an answer? Small models with tools write one, and
--- call nothing.
---
--- The rule looks at the last sentence: somebody says of himself that he is about to do work ("let me", "I will", "ich werde",
--- "je vais", "voy a", and the verb is one of looking, calling, writing ...), or asks for a moment. It is none where the sentence
--- waits for the reader (a question, "if", "once you", "tell me"), speaks of another day, or is quoted. tests/nudge/ holds the
--- texts that the rule is measured on.

local find = string.find

local M = {}

--- Bytes at the end of a text that are looked at, and of the longest sentence that can be an announcement.
local TAIL, LONGEST = 600, 240

--- Words as a set.
local function set(text)
  local out = {}
  for word in text:gmatch "%S+" do out[word] = true end
  return out
end

-- ---- languages ------------------------------------------------------------------------------------------------------------------

--- { intents = beginnings of an announcement, a line each; verbs = of which one follows; near = at once, but for `skip` }
local LANGUAGES = {
  { near = true, -- English
    intents = [[
let me
i will
i'll
i am going to
i'm going to
i'm now going to
i am now going to
i need to
i have to
i should
i must
i'd like to
i want to
i would like to
we need to
we should
let's
let us
i shall
allow me to
i am about to
i'm about to
i plan to
i intend to
my next step is to
thing to do is to]],
    verbs = set [[check look search find get fetch call use read open list calculate compute query retrieve run execute gather
analyze analyse examine inspect review verify test start begin proceed try retry convert consult investigate see continue
write create update edit modify fix delete remove add apply correct move transfer hand delegate ask compare perform
double double-check load dig pull multiply determine figure confirm research scan browse invoke request extract collect book
save install implement send make take have do grep debug view explore count cross-check re-run rerun refactor replace rewrite
locate validate identify connect pass forward route escalate handle generate prepare draft]],
skip = set [[now first then also just quickly next need to start begin by go ahead and please try proceed with immediately
simply
further briefly actually directly carefully again be am]],
  },
  { -- German
    intents = "ich werde\nwerde ich\nich muss\nmuss ich\nlass mich\nlassen sie mich\nlasst mich\nlass uns\nlassen sie uns",
verbs = set [[abfragen nachsehen nachschauen ansehen anschauen prüfen überprüfen suchen heraussuchen durchsuchen lesen
auflisten
aufrufen abrufen öffnen berechnen ausrechnen ausführen beheben beschaffen verwenden nutzen benutzen ermitteln laden holen
weiterleiten
schreiben testen löschen starten beginnen erstellen korrigieren konsultieren untersuchen analysieren nachschlagen recherchieren
durchführen verbinden übergeben herausfinden anfangen vergleichen umrechnen versuchen finden anpassen ändern]],
  },
  { near = true, -- English, under way
    intents = "i am\ni'm\ni'll be\ni will be",
    verbs = set "checking searching fetching retrieving calling looking consulting querying gathering pulling",
    skip = set "now currently just also going to be",
  },
  { intents = "je vais\nje dois\nlaissez-moi\nlaisse-moi\npermettez-moi\nnous allons\nil faut que je", -- French
verbs = set [[vérifier regarder lire chercher consulter utiliser calculer transférer ouvrir essayer corriger appeler
rechercher lister
récupérer commencer examiner lancer exécuter analyser écrire créer modifier supprimer obtenir trouver interroger
convertir comparer
tester continuer procéder jeter voir demander effectuer]],
  },
  { intents = "voy a\nvamos a\ndéjame\ndéjeme\npermíteme\npermítame\nnecesito\ndebo\ntengo que\nle voy a", -- Spanish
verbs = set [[comprobar revisar buscar leer verificar usar utilizar consultar ver mirar calcular transferir abrir intentar
intentarlo
corregir llamar listar obtener empezar comenzar examinar ejecutar analizar escribir crear modificar borrar eliminar buscarlo
revisarlo
comprobarlo consultarlo convertir comparar probar continuar proceder]],
  },
  { intents = "vado a\nfammi\nlasciami\nmi lasci\ndevo\nsto per", -- Italian
verbs = set [[controllare cercare leggere verificare usare consultare guardare calcolare trasferire aprire provare correggere
chiamare
elencare ottenere iniziare esaminare eseguire analizzare scrivere creare recuperare vedere]],
  },
  { intents = "vou\ndeixe-me\ndeixa-me\npreciso\npermita-me\nvamos", -- Portuguese
verbs = set [[verificar checar buscar procurar ler usar utilizar consultar ver olhar calcular transferir abrir tentar corrigir
chamar
listar obter começar examinar executar analisar escrever criar pesquisar]],
  },
  { intents = "ik zal\nik ga\nga ik\nzal ik\nlaat me\nlaat mij\nik moet\nmoet ik", -- Dutch
verbs = set [[opzoeken zoeken controleren lezen bekijken kijken gebruiken aanroepen opvragen ophalen openen berekenen
uitvoeren testen
schrijven starten beginnen nakijken nagaan doorverbinden vergelijken proberen]],
  },
}

--- Verbs that are work only with one of these behind them.
local FOLLOWED = {
  take = set "look", have = set "look", make = set "call request search query change changes edit", ["do"] = set "that this so it",
  try = set "again another once the a with different", double = set "check",
}

--- Where the verb alone says that it is the speaker's, and about to happen: with one of `soon` in the sentence, or before "...".
local DOING = {
{ verbs = set [[checking fetching searching retrieving looking calling consulting getting running reading analyzing loading
querying]],
    soon = set [[now ...]], first = true },
  { verbs = set "suche lade prüfe", soon = set "...", first = true },
{ verbs = set [[schaue sehe prüfe suche rufe lese öffne berechne führe starte beginne leite hole frage kümmere versuche
überprüfe
ermittle verwende nutze schlage]], with = "ich",
    soon = set [[jetzt nun kurz zuerst zunächst gleich sofort nächstes für moment gerne einmal der mal]] },
  { verbs = set [[consulte lance recherche passe vérifie regarde cherche récupère occupe m'en lis calcule]], with = "je",
    soon = set [[maintenant instant suite d'abord ensuite ...]] },
{ verbs = set [[buscaré revisaré ejecutaré abriré comprobaré leeré consultaré calcularé usaré verificaré intentaré
buscando consultando
revisando comprobando obteniendo empecemos compruebo hago reviso busco consulto]],
    soon = set [[ahora continuación claro momento primero mismo estoy empecemos ...]] },
  { verbs = set [[controllo cerco leggo verifico cercando leggerò userò controllerò cercherò verificherò]],
    soon = set [[ora adesso subito momento strumento ...]] },
{ verbs = set [[buscando verificando abrirei lerei buscarei verificarei usarei]], soon = set [[momento agora seguida estou
...]] },
  { verbs = set [[zoek controleer haal kijk lees bekijk]], with = "ik", soon = set [[nu even moment geduld eerst ...]] },
}

--- Phrases that say it alone: a moment is asked for, or the work goes on.
local ALONE = {}
for phrase in ([[
one moment
just a moment
one second
just a second
hold on
please wait
give me a moment
give me a second
stand by
bear with me
moving on to
working on it
i am checking
i'm checking
i'm looking up
i'm looking into
i'm looking for it
i am looking for
i'm on it
now checking
currently checking
einen moment
moment bitte
bitte warten sie
un instant
veuillez patienter
voyons ce que
commençons par
un momento
por favor espere
um momento
een moment
even geduld]]):gmatch "[^\n]+" do ALONE[#ALONE + 1] = phrase end

--- What comes after an announcement and does not take it back.
local AFTER = set "then after afterwards this that once dann danach ensuite luego después"

--- What waits for the reader, or is not said of this moment.
local WAITS = {}
for phrase in ([[
because others
because they
if
unless
once you
when you
as soon as
after you
after your
until
before you
tell me
let me know
send me
show me
ask me
remind me
provide
upload
please confirm
you confirm
confirmation
should you
would you
shall i
tomorrow
next week
next month
next year
from now on
by friday
by monday
someday
together
look forward
looking forward
see you
call you
correct you
add that
my best
checking out
wenn
falls
sobald
bitte nennen
nicht
wissen
ab jetzt
morgen
würde
si
s'il
dès que
quand vous
donnez-moi
pas
plus tard
demain
dígame
no voy
cuando
mañana
avíseme
se mi
se me
quando
domani
amanhã
niet
laat me weten]]):gmatch "[^\n]+" do WAITS[#WAITS + 1] = phrase end

--- "check if it rains" waits for nobody.
local WHETHER = set "see check verify out determine test confirm know"

--- Words that may stand right before an announcement, beside a comma.
local BEFORE = set "so and then now okay ok sure first next also but well here great alright right please d'abord et und also y"

-- ---- tables of the above, by first word ----------------------------------------------------------------------------------------

local function words_of(text)
  local out = {}
  for word in text:gmatch "%S+" do out[#out + 1] = word end
  return out
end

local function add(index, words, value)
  local first = words[1]
  index[first] = index[first] or {}
  table.insert(index[first], { words = words, value = value })
end

local intents, alone, waits, doing = {}, {}, {}, {}
for _, language in ipairs(LANGUAGES) do
  for line in language.intents:gmatch "[^\n]+" do add(intents, words_of(line), language) end
end
for _, phrase in ipairs(ALONE) do add(alone, words_of(phrase), true) end
for _, phrase in ipairs(WAITS) do add(waits, words_of(phrase), true) end
for _, way in ipairs(DOING) do
  for verb in next, way.verbs do
    doing[verb] = doing[verb] or {}
    table.insert(doing[verb], way)
  end
end

--- Words without which a sentence is no announcement: the first of each, or the longest part of it that is ASCII.
local triggers = {}
for _, index in ipairs { intents, alone, doing, AFTER } do
  for word in next, index do
    local longest = ""
    for part in word:gmatch "%w+" do
      if #part > #longest then longest = part end
    end
    triggers[longest] = true
  end
end

-- ---- sentences ------------------------------------------------------------------------------------------------------------------

local LOWER = { ["É"] = "é", ["È"] = "è", ["Ü"] = "ü", ["Ö"] = "ö", ["Ä"] = "ä", ["À"] = "à", ["Ê"] = "ê", ["Í"] = "í" }
local SIGNS = { ["\u{2019}"] = "'", ["\u{201c}"] = '"', ["\u{201d}"] = '"', ["\u{201e}"] = '"', ["\u{2026}"] = "..." }

--- Small letters, one kind of quote and apostrophe.
local function plain(text)
  text = text:lower()
  if utf8.len(text) == #text then return text end
  text = text:gsub("\xe2\x80.", SIGNS):gsub("«", '"'):gsub("»", '"')
  return (text:gsub("\xc3[\x80-\x9e]", LOWER))
end

--- What sentences end with.
local MARKS = { ". ", "! ", "? ", ": ", "\n" }
local ENDS = { [33] = true, [46] = true, [58] = true, [63] = true }

--- Where the last one of them is; plain searches, which cost next to nothing.
local function last_break(text)
  local best = 0
  for i = 1, #MARKS do
    local at = find(text, MARKS[i], 1, true)
    while at do
      if at > best then best = at end
      at = find(text, MARKS[i], at + 1, true)
    end
  end
  return best
end

--- Take the last sentence off a text: its words, the marks it ends with, and what is left. Nil where there is none, or where it is
--- too long for an announcement.
local function last_sentence(text)
  while true do
    local last = text:byte(-1)
    if last and last <= 32 then text = text:match "^(.*%S)" or "" end
    if text == "" then return nil end
    local at = last_break(text)
    local from, to = at + 1, #text
    if to - at > LONGEST then return nil end
    while ENDS[text:byte(to)] do to = to - 1 end
    local sentence, mark = text:sub(from, to), text:sub(to + 1)
    text = text:sub(1, at)
    if sentence:find "%a" or sentence:find("\xc3", 1, true) then
      if sentence:sub(-3) == "\u{2026}" then mark = "..." end
      return plain(sentence), mark, text
    end
    if at == 0 then return nil end
  end
end

--- Its words, and what stands right before each: a quote, a comma (also for other marks), or nothing.
local function words(sentence)
  local out, before = {}, {}
  for gap, word in sentence:gmatch "([^%w\x80-\xFF]*)([%w\x80-\xFF'-]+)" do
    local n = #out + 1
    out[n] = word
    before[n] = gap:find '"' and '"' or gap:find "[^%s]" and "," or ""
  end
  return out, before
end

--- Verbs of saying: what stands behind one and a colon is somebody's words.
local SAYING = set [[said says say saying told tells wrote writes asked asks replied replies answered answers read reads
sagte sagt sagen schrieb fragte dit écrit dijo dice decir disse]]

--- Does this text end in one, and a colon?
local function quotes(text)
  local sentence, mark = last_sentence(text)
  if not sentence or not mark:find(":", 1, true) then return false end
  for word in sentence:gmatch "[%w\x80-\xFF'-]+" do
    if SAYING[word] then return true end
  end
  return false
end

--- Words that may stand between the first two of a phrase.
local BETWEEN = set "still now first also then just"

local function begins(list, at, phrase)
  if #phrase > 1 and BETWEEN[list[at + 1]] and list[at + 1] ~= phrase[2] then at = at + 1 end
  for i = 2, #phrase do
    if list[at + i - 1] ~= phrase[i] then return false end
  end
  return true
end

--- What may follow where a moment is asked for; "one moment can change a life" asks for none.
local LEAVE = set "please while as let i i'll i'm we and sir madam to bitte ich während s'il je por mientras"
local ASKING = set "moment second on"

local function asked(list, at, phrase, before)
  local last, nxt = phrase[#phrase], at + #phrase
  return not ASKING[last] or not list[nxt] or before[nxt] == "," or LEAVE[list[nxt]] ~= nil
end

--- Is one of the phrases in it? `before`: only where a part of the sentence begins.
local function has(list, index, before)
  for i = 1, #list do
    local free = not before or i == 1 or before[i] == "," or BEFORE[list[i - 1]]
    for _, entry in ipairs(free and index[list[i]] or {}) do
      if begins(list, i, entry.words) and not (list[i] == "if" and WHETHER[list[i - 1]])
        and (not before or asked(list, i, entry.words, before)) then return true end
    end
  end
  return false
end

--- Does a verb of work follow from `at` on?
local function works(list, at, language)
  for i = at, #list do
    if language.verbs[list[i]] then
      local wanted = FOLLOWED[list[i]]
      for j = i + 1, wanted and math.min(i + 5, #list) or 0 do
        if wanted[list[j]] then return true end
      end
      if not wanted then return true end
    end
    if language.near and not language.skip[list[i]] then return false end
  end
  return false
end

--- "I will look ...": does it begin at word `i`?
local function intends(list, before, i)
  local entries = intents[list[i]]
  if not entries or before[i] == '"' then return false end
  if i > 1 and before[i] ~= "," and not BEFORE[list[i - 1]] then entries = nil end
  for _, entry in ipairs(entries or intents[list[i]]) do
    local free = entries ~= nil or not entry.value.near -- other languages put more before it
    if free and begins(list, i, entry.words) and works(list, i + #entry.words, entry.value) then return true end
  end
  return false
end

--- "Checking the weather ...", "Ich prüfe das jetzt": does word `i` say so?
local function does(list, before, i, mark)
  for _, way in ipairs(doing[list[i]] or {}) do
    local own = not way.first or i == 1 or before[i] == ","
    if way.with then own = list[i - 1] == way.with or list[i + 1] == way.with end
    if own then
      if mark:find("..", 1, true) and way.soon["..."] then return true end
      for j = way.first and #list or 1, #list do
        if way.soon[list[j]] then return true end
      end
    end
  end
  return false
end

--- Has it a word that an announcement, or what comes after one, begins with? Most answers have none.
local function promising(sentence)
  for word in sentence:gmatch "%w+" do
    if triggers[word] then return true end
  end
  return false
end

--- A question put to the reader.
local YOU = set "you your sie ihre ihnen du dein vous votre tu usted su te"
local function asks(sentence, mark)
  if not sentence or not mark:find "?" then return false end
  for _, word in ipairs((words(sentence))) do
    if YOU[word] then return true end
  end
  return false
end

local function announces(sentence, mark)
  local list, before = words(sentence)
  if mark:find "?" or has(list, waits) then return false, list end
  local quoted = before[1] == '"'
  for i = 1, #list do
    if intends(list, before, i) or not quoted and does(list, before, i, mark) then return true, list end
  end
  return not quoted and has(list, alone, before), list
end

--- Is this text an announcement of work?
---@param text string
---@return boolean
---
--- Example: `assert(nudge.announces "Let me check the weather." and not nudge.announces "It rains.")`
function M.announces(text)
  local last = text:byte(-1)
  if last == 124 or text:sub(-3) == "```" then return false end -- a table, code
  local tail = text:sub(-TAIL)
  if (find(tail, "=", 1, true) or find(tail, ":", 1, true)) and find(tail, "[=:]%s*[%d.,%s%%*$]*%d[%d.,%s%%*$]*$") then
    return false -- "...: 3 * 4 = 12."
  end
  local sentence, mark, rest = last_sentence(tail)
  if not sentence or not promising(sentence) then return false end
  local said, list = announces(sentence, mark)
  if said then return not asks(last_sentence(rest)) and not quotes(rest) end
  if mark:find "?" or has(list, waits) or not (AFTER[list[1]] or has(list, alone)) then return false end
  sentence, mark = last_sentence(rest)
  return sentence ~= nil and announces(sentence, mark)
end

return M
