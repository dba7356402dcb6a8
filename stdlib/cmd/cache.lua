-- stoke cache: what is kept of answers, where it came from, and its end.

local approve = require "stoke.approve"
local args = require "stoke.args"
local cache = require "stoke.cache"
local errors = require "core.errors"
local fs = require "stoke.fs"
local output = require "stoke.runs.output"
local stdio = require "core.stdio"
local term = require "stoke.term"
local time = require "stoke.time"

local SPEC = {
  name = "stoke cache", summary = "Show what is kept of answers, forget it, and carry it to another machine.",
  examples = { { "stoke cache stats", "how much is kept, and how many calls it has saved" },
               { "stoke cache list --model qwen2.5:3b", "the entries, the newest first" },
               { "stoke cache show 3f2a", "one of them: what it says, and where it came from" },
               { "stoke cache wrong 3f2a", "an answer was wrong: forget it" },
               { "stoke cache clear --older 30d", "forget what is older; without an option: all" },
               { "stoke cache export answers.cache", "write the entries into a file; import reads it" } },
  options = { { "kind", placeholder = "KIND", choices = { "exact", "stream", "embedding", "prefix", "semantic" } },
              { "model", placeholder = "NAME", help = "only entries of this model" },
              { "older", placeholder = "AGE", help = "clear: only what is older: 12h, 30d, 8w" },
              { "limit", short = "n", default = 50, help = "list: so many at most" },
              { "file", placeholder = "PATH", help = "the file of the cache; else .stoke/cache.db here, or the user's own" },
              { "json", type = "boolean", help = "JSON: one object, or one a line" } },
  positionals = { { "what", optional = true, choices = { "stats", "list", "show", "clear", "wrong", "export", "import" } },
                  { "id", optional = true, help = "show, wrong: the entry; export, import: the file" } },
}

local SECONDS <const> = { s = 1, m = 60, h = 3600, d = 86400, w = 7 * 86400 }

local function age(text)
  if not text then return nil end
  local number, unit = text:lower():match "^(%d+%.?%d*)%s*(%a)$"
  if number and SECONDS[unit] then return tonumber(number) * SECONDS[unit] end
  errors.raise("usage", ("--older wants a number and a unit, got '%s'"):format(text), { hint = "as in --older 30d" })
end

local function counted(n, one, many) return ("%d %s"):format(n, n == 1 and one or many or one .. "s") end

local NAMES <const> = { exact = "answers", stream = "streamed answers", embedding = "embeddings", prefix = "completions",
  semantic = "meanings of questions" }

local DO = {}

function DO.stats()
  return cache.stats(), function(s)
    local calls = s.hits + s.misses
    stdio.write(("%s\n"):format(term.clean(s.path or "in memory alone")))
    stdio.write(("%s, %s of at most %s on the disk\n"):format(counted(s.entries, "entry", "entries"), term.bytes(s.file or s.bytes),
      term.bytes(s.limit)))
    if calls > 0 then
      stdio.write(("%s: %d answered from the cache (%.0f %%), %d asked\n"):format(counted(calls, "call"), s.hits,
        s.hits / calls * 100, s.misses))
    else
      stdio.write "no call has looked for an answer yet\n"
    end
    local rows = { { "WHAT", "ENTRIES", "SIZE", "GIVEN AGAIN", "SECONDS SAVED", "TOKENS SAVED" } }
    for _, kind in ipairs { "exact", "stream", "embedding", "prefix", "semantic" } do
      local of = s.kinds[kind]
      if of then
        rows[#rows + 1] = { NAMES[kind], ("%d"):format(of.entries), term.bytes(of.bytes), ("%d"):format(of.hits),
          ("%.0f"):format(of.seconds), ("%d"):format(of.tokens // 1 | 0) }
      end
    end
    if #rows > 1 then term.table(rows, { right = { [2] = true, [3] = true, [4] = true, [5] = true, [6] = true } }) end
    if s.evicted > 0 then stdio.write(("%s had to go to make room\n"):format(counted(s.evicted, "entry", "entries"))) end
  end
end

local SHORT <const>, WIDTH <const> = 12, 60

local function left(entry, now)
  if not entry.ttl then return "" end
  local seconds = entry.made + entry.ttl - now
  return seconds > 0 and term.duration(seconds) or "old"
end

function DO.list(a)
  return cache.list { kind = a.kind, model = a.model, limit = a.limit }, function(list)
    if #list == 0 then return stdio.err "nothing is kept\n" end
    local now, rows = time.now(), { { "ID", "KIND", "MODEL", "AGE", "FRESH", "GIVEN", "SIZE", "SAYS" } }
    for i, e in ipairs(list) do
      local says = term.clean((e.text or ""):gsub("%s+", " "))
      rows[i + 1] = { e.id:sub(1, SHORT), e.kind, approve.visible(e.model or ""), term.duration(math.max(now - e.made, 0)),
        left(e, now), ("%d"):format(e.hits), term.bytes(e.bytes), term.width(says) > WIDTH and term.fit(says, WIDTH) or says }
    end
    term.table(rows, { right = { [4] = true, [5] = true, [6] = true, [7] = true } })
    if #list == a.limit then stdio.err(("(the newest %d; --limit N shows more)\n"):format(a.limit)) end
  end
end

function DO.show(a)
  return cache.peek(a.id), function(e)
    local function line(name, value)
      if value ~= nil and value ~= "" then stdio.write(("%-10s%s\n"):format(name, term.clean(tostring(value)))) end
    end
    line("id", e.id)
    line("kind", e.kind)
    line("model", e.model)
    line("digest", e.digest)
    line("endpoint", e.endpoint)
    line("script", e.script)
    line("run", e.run)
    line("made", term.duration(math.max(time.now() - e.made, 0)) .. " ago")
    local fresh = left(e, time.now())
    line("fresh", not e.ttl and "for ever" or fresh == "old" and "no: it was for " .. term.duration(e.ttl) or "for " .. fresh)
    line("given", counted(e.hits, "time"))
    if e.seconds then line("took", ("%.1f s, %s"):format(e.seconds, counted(e.tokens or 0, "token"))) end
    if e.text then stdio.write(("\n%s\n"):format(term.clean(e.text))) end
  end
end

function DO.clear(a)
  return { entries = cache.clear { kind = a.kind, model = a.model, older = age(a.older) } }, function(done)
    stdio.write(("%s forgotten\n"):format(counted(done.entries, "entry is", "entries are")))
  end
end

function DO.wrong(a)
  return cache.wrong(a.id), function(done)
    stdio.write(("%s is forgotten%s\n"):format(done.id:sub(1, SHORT), done.taught and ", and learned from" or ""))
  end
end

function DO.export(a)
  local done = cache.export { kind = a.kind, model = a.model }
  if not a.id then
    stdio.write(done.text)
    return nil
  end
  fs.write(a.id, done.text)
  return { path = a.id, entries = done.entries }, function()
    stdio.write(("%s written to %s\n"):format(counted(done.entries, "entry is", "entries are"), term.clean(a.id)))
  end
end

function DO.import(a)
  return cache.import(fs.read(a.id, { max = 1 << 30 })), function(done)
    stdio.write(("%s taken in\n"):format(counted(done.entries, "entry is", "entries are")))
  end
end

local NEEDS <const> = { show = "an id: stoke cache list shows them", wrong = "an id: stoke cache list shows them",
  import = "a file: stoke cache export FILE writes one" }

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local what = a.what or "stats"
  if NEEDS[what] and not a.id then
    errors.raise("usage", ("stoke cache %s needs %s"):format(what, NEEDS[what]))
  end
  if what ~= "import" or a.file then cache.use(a.file) end
  local value, say = DO[what](a)
  if value == nil then return end
  if not a.json then return say(value) end
  if what ~= "list" then return output.print_json(value) end
  for _, entry in ipairs(value) do output.print_json(entry) end
end
