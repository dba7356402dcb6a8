-- stoke cache: what the cache holds and has saved; lists, shows, forgets and copies its entries.

local age = require "stoke.cmd.age"
local args = require "stoke.args"
local cache = require "stoke.cache"
local driver = require "core.driver.cache"
local errors = require "core.errors"
local output = require "stoke.runs.output"
local show = require "stoke.show"
local stdio = require "core.stdio"
local term = require "stoke.term"
local time = require "stoke.time"

local WHAT = { "stats", "list", "show", "clear", "export", "import", "wrong" }

local SPEC = {
  name = "stoke cache", summary = "See what the cache of answers holds and has saved; forget or copy entries.",
  examples = { { "stoke cache", "where it is, how full, what it has saved" },
               { "stoke cache list --kind exact", "entries, the newest first" },
               { "stoke cache show 3f9a01bc", "one entry: where it came from, and what it answers" },
               { "stoke cache wrong 3f9a01bc", "that answer was wrong: it is not given again" },
               { "stoke cache clear --older 30d", "forget what is older (units m, h, d, w); without flags: everything" },
               { "stoke cache export answers.jsonl", "copy it; stoke cache import answers.jsonl takes it over" } },
  options = { { "kind", placeholder = "KIND", choices = { "exact", "embedding", "prefix", "semantic" },
                help = "list, clear, export: only entries of this kind" },
              { "model", placeholder = "NAME", help = "list, clear, export: only answers of this model" },
              { "older", placeholder = "AGE", help = "clear: only entries older than this: 90m, 12h, 30d, 8w" },
              { "limit", short = "n", default = 50, help = "list: so many at most" },
              { "file", placeholder = "FILE", help = "another cache, such as bot/.stoke/cache.db" },
              { "json", type = "boolean", help = "JSON: one object, or one a line" } },
  positionals = { { "what", optional = true, choices = WHAT },
                  { "id", optional = true, placeholder = "ID|FILE", help = "show, wrong: the entry; export, import: the file" } },
}

local DO = {}

local ONE = { questions = "question", entries = "entry", hits = "hit", misses = "miss", answers = "answer", vectors = "vector",
  lines = "line" }

local function count(n, word)
  local digits = ("%d"):format(n):reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "")
  return digits .. " " .. (n == 1 and ONE[word] or word)
end

local function ago(seconds) return term.duration(math.max(seconds, 0)) .. " ago" end

-- ---- stats ------------------------------------------------------------------------------------------------------------------

local ORDER = { "exact", "embedding", "prefix", "semantic" }

local HELP = { exact = "answers", embedding = "vectors of texts",
  prefix = "completions to go on with", semantic = "questions that mean the same" }

local function say_empty(s)
  stdio.write(s.exists and "It is empty: no answer was kept yet.\n" or "There is no such file yet: no answer was kept.\n", [[

Calls are cached where the script asks for it:
  stoke.agent { model = "qwen2.5:3b", options = { temperature = 0 }, cache = true }
or, for all scripts, in the settings: cache = true. Vectors of texts are kept unless you say cache = false.
stoke help cache tells what is kept, and what never is.
]])
end

local function say_saved(s)
  local saved, what, cost = s.saved, {}, {}
  if saved.calls == 0 then return stdio.write "saved   nothing yet: no entry was asked for a second time\n" end
  local vectors = s.kinds.embedding and s.kinds.embedding.hits or 0
  if saved.calls > vectors then what[1] = count(saved.calls - vectors, "answers") end
  if vectors > 0 then what[#what + 1] = count(vectors, "vectors") end
  if saved.input_tokens + saved.output_tokens > 0 then
    cost[1] = ("%d + %d tokens (read + written)"):format(saved.input_tokens, saved.output_tokens)
  end
  if saved.seconds >= 0.05 then cost[#cost + 1] = "about " .. term.duration(saved.seconds) .. " of waiting" end
  stdio.write(("saved   %s came from here and not from a model%s\n"):format(table.concat(what, " and "),
    cost[1] and ": " .. table.concat(cost, ", ") or ""))
end

local function say_kinds(s)
  local rows = { { "KIND", "ENTRIES", "SIZE", "HITS", "TOKENS SAVED", "TIME SAVED", "" } }
  for _, name in ipairs(ORDER) do
    local kind = s.kinds[name]
    if kind then
      local tokens = kind.input_tokens + kind.output_tokens
      rows[#rows + 1] = { name, ("%d"):format(kind.entries), term.bytes(kind.bytes), ("%d"):format(kind.hits),
        tokens > 0 and ("%d"):format(tokens) or "", kind.seconds >= 0.05 and term.duration(kind.seconds) or "", HELP[name] }
    end
  end
  term.table(rows, { right = { [2] = true, [3] = true, [4] = true, [5] = true, [6] = true } })
end

--- Names of gates in words; the others are called what they are.
local GATES = { word = "other words", direction = "order", number = "numbers", unit = "units", date = "dates", quote = "quotations",
  name = "names", antonym = "opposites", quantity = "quantities", question = "kind of question", language = "language unknown",
  judge = "the judge" }

local function refusals(refused)
  local list, names = {}, {}
  for gate in next, refused do names[#names + 1] = gate end
  table.sort(names, function(a, b)
    if refused[a] ~= refused[b] then return refused[a] > refused[b] end
    return a < b
  end)
  for i, gate in ipairs(names) do
    if i <= 6 then list[i] = ("%s %d"):format(GATES[gate] or gate, refused[gate]) end
  end
  if #names > 6 then list[7] = "..." end
  return table.concat(list, ", ")
end

--- Questions that mean the same: what was given, and how often it would have been wrong.
local function say_meanings(m)
  local asked, checked = m.served + m.explored + m.missed, m.right + m.wrong
  if asked == 0 then return end
  stdio.write(("meaning %s: %d answered by another one's answer, %d asked to learn, %d with nothing to give\n"):format(
    count(asked, "questions"), m.served, m.explored, m.missed))
  local compared = m.same + m.different
  if compared > 0 then
    stdio.write(("        %s compared: %d the same, %d not\n"):format(count(compared, "answers"), m.same, m.different))
  end
  if m.unchecked > 0 then
    stdio.write(("        %s could not be compared: give `same = function(a, b) ... end`\n"):format(count(m.unchecked, "answers")))
  end
  if checked > 0 then
    local wrong = m.error
    stdio.write(("        %d that would have been given were checked: %d wrong, %.1f %% [%.1f to %.1f]\n"):format(checked, m.wrong,
      100 * wrong.rate, 100 * wrong.low, 100 * wrong.high))
  end
  if m.taken_back > 0 then stdio.write(("        %s called wrong by hand\n"):format(count(m.taken_back, "answers"))) end
  if next(m.refused) then stdio.write(("        near, and refused for: %s\n"):format(refusals(m.refused))) end
  local judge = m.judged
  if judge.yes + judge.no + judge.failed > 0 then
    stdio.write(("        the judge said yes %d times, no %d, and failed %d\n"):format(judge.yes, judge.no, judge.failed))
  end
end

function DO.stats(a)
  local s = cache.stats()
  if a.json then return output.print_json(s) end
  stdio.write(("file    %s\n"):format(s.path and show.word((s.path:gsub("^%./", ""))) or "none: in memory alone"))
  if s.entries == 0 then return say_empty(s) end
  local size = s.file or s.bytes
  stdio.write(("holds   %s, %s of at most %s (%d %%)\n"):format(count(s.entries, "entries"), term.bytes(size), term.bytes(s.limit),
    math.floor(size / s.limit * 100 + 0.5)))
  if s.evicted > 0 then stdio.write(("        %s had to go to make room\n"):format(count(s.evicted, "entries"))) end
  local asked = s.hits + s.misses
  if asked > 0 then
    stdio.write(("calls   %d with a cache: %s, %s (%d %%)\n"):format(asked, count(s.hits, "hits"), count(s.misses, "misses"),
      math.floor(s.hits / asked * 100 + 0.5)))
  end
  say_saved(s)
  if s.semantic then say_meanings(s.semantic) end
  stdio.write "\n"
  say_kinds(s)
end

-- ---- list, show -------------------------------------------------------------------------------------------------------------

local function left(entry, now)
  if not entry.ttl then return "" end
  local seconds = entry.made + entry.ttl - now
  return seconds > 0 and term.duration(seconds) or "expired"
end

function DO.list(a)
  local list = cache.list { kind = a.kind, model = a.model, limit = a.limit }
  if a.json then
    for _, entry in ipairs(list) do output.print_json(entry) end
    return
  end
  if #list == 0 then
    return stdio.err(a.kind and "no such entry; stoke cache list lists all\n" or a.model and "no answer of that model is kept\n"
      or "the cache is empty; stoke cache says where it is, and how calls get there\n")
  end
  local now, rows = time.now(), { { "ID", "KIND", "MODEL", "AGE", "TTL LEFT", "HITS", "SIZE", "ENDPOINT" } }
  for i, entry in ipairs(list) do
    rows[i + 1] = { entry.id, entry.kind, term.clean(entry.model or ""), term.duration(math.max(now - entry.made, 0)),
      left(entry, now), ("%d"):format(entry.hits), term.bytes(entry.bytes), term.clean(entry.endpoint or "") }
  end
  term.table(rows, { right = { [4] = true, [5] = true, [6] = true, [7] = true } })
  if #list == a.limit then stdio.err(("(the newest %d; --limit N shows more)\n"):format(a.limit)) end
end

local function say(name, value) if value then stdio.write(("%-10s%s\n"):format(name, value)) end end

local function say_answer(entry)
  local answer = entry.answer
  if answer.damaged then return stdio.write "\nwhat it answers cannot be read\n" end
  if answer.dimensions then say("vector", ("%d numbers"):format(answer.dimensions)) end
  if answer.pieces then say("pieces", ("%d, as they came"):format(answer.pieces)) end
  if answer.prompt then say("prompt", ("%d bytes, which it goes on from"):format(#answer.prompt)) end
  if answer.reason then say("ended", answer.reason) end
  if answer.learned then say("holds", "what was learned of questions that mean the same") end
  for _, wording in ipairs(answer.wordings or {}) do say("question", term.clean(wording):gsub("\n", "\n          ")) end
  if answer.thinking and answer.thinking ~= "" then stdio.write("\n-- thinking\n", term.clean(answer.thinking), "\n") end
  for _, call in ipairs(answer.calls or {}) do
    stdio.write(("\n-- calls %s: %s\n"):format(term.clean(tostring(call.name)), term.clean(show.line(call.arguments))))
  end
  if answer.text and answer.text ~= "" then stdio.write("\n-- answer\n", term.clean(answer.text), "\n") end
end

function DO.show(a)
  local entry = cache.get(a.id)
  if a.json then return output.print_json(entry) end
  local now, cost = time.now(), {}
  say("id", entry.id)
  say("kind", ("%s (%s)"):format(entry.kind, HELP[entry.kind] or ""))
  local digest = entry.digest and ", digest " .. term.clean(entry.digest):gsub("^sha256[:-]", ""):sub(1, 12) or ""
  say("model", entry.model and term.clean(entry.model) .. digest)
  say("endpoint", entry.endpoint and term.clean(entry.endpoint))
  say("made", ago(now - entry.made) .. (entry.script and ", by " .. term.clean(entry.script) or "")
    .. (entry.run and ", run " .. term.clean(entry.run) or ""))
  local rest = left(entry, now)
  say("fresh", rest == "" and "for ever" or rest == "expired" and "no more: expired" or "for " .. rest .. " more")
  if entry.input_tokens then cost[1] = count(entry.input_tokens, "tokens") .. " read" end
  if entry.output_tokens then cost[#cost + 1] = count(entry.output_tokens, "tokens") .. " written" end
  if entry.seconds and entry.seconds >= 0.05 then cost[#cost + 1] = term.duration(entry.seconds) end
  say("cost", cost[1] and table.concat(cost, ", "))
  say("hits", ("%d"):format(entry.hits))
  say("size", term.bytes(entry.bytes))
  say("gives", entry.answers and "the answer " .. entry.answers)
  say_answer(entry)
end

-- ---- clear, wrong, copies ---------------------------------------------------------------------------------------------------

function DO.clear(a)
  local n = cache.clear { kind = a.kind, model = a.model, older = age.seconds(a.older, "--older", "30d") }
  if a.json then return output.print_json { entries = n } end
  stdio.write(n == 0 and "nothing to forget\n" or ("%s forgotten\n"):format(count(n, "entries")))
end

function DO.wrong(a)
  local entry = cache.wrong(a.id)
  if a.json then return output.print_json(entry) end
  stdio.write(("%s is not given again%s\n"):format(entry.id,
    entry.learned and ", nor to questions like it" or ": the model is asked the next time"))
end

-- A bar, for what takes longer than a second.
local function bar_of(label, unit, quiet)
  if quiet then return nil, nil end
  local bar, began = term.progress { label = label, unit = unit, lines = true }, time.monotonic()
  return function(done, total)
    if time.monotonic() - began > 1 then bar:update(label, done, total) end
  end, bar
end

function DO.export(a)
  local progress, bar <close> = bar_of("export", "entries", a.json)
  local n = cache.export(a.id, { kind = a.kind, model = a.model, progress = progress })
  if bar then bar:finish() end
  if a.json then return output.print_json { path = a.id, entries = n } end
  stdio.write(("%s: %s; stoke cache import takes them over\n"):format(show.word(a.id), count(n, "entries")))
end

function DO.import(a)
  local progress, bar <close> = bar_of("import", "bytes", a.json)
  local done = cache.import(a.id, { progress = progress })
  if bar then bar:finish() end
  if a.json then return output.print_json(done) end
  stdio.write(("%s taken over"):format(count(done.entries, "entries")),
    done.known > 0 and (", %d here already"):format(done.known) or "", "\n")
  if done.damaged > 0 then stdio.err(("%s damaged, and left out\n"):format(count(done.damaged, "lines"))) end
  if done.large > 0 then stdio.err(("%s too large for this cache\n"):format(count(done.large, "entries"))) end
  if not done.whole then stdio.err "the file was cut short: it has no end\n" end
end

local WANTS = { show = "which entry? stoke cache list tells the ids", wrong = "which entry? stoke cache list tells the ids",
  export = "into which file? stoke cache export FILE", import = "from which file? stoke cache import FILE" }

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local what = a.what or "stats"
  if WANTS[what] and not a.id then errors.raise("usage", WANTS[what]) end
  if not WANTS[what] and a.id then
    errors.raise("usage", ("%s takes no '%s'"):format(what, a.id), { hint = "stoke cache --help" })
  end
  if a.limit < 1 or a.limit > 10000 then errors.raise("usage", "--limit wants a number from 1 to 10000") end
  errors.check(driver.use(a.file))
  return DO[what](a)
end
