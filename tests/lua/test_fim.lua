-- stoke.fim: prompts of the families, where a completion ends, sessions of a buffer.

local test = require "stoke.test"
local families = require "stoke.fim.families"
local fim = require "stoke.fim"
local place = require "stoke.fim.place"
local pool = require "core.gate.pool"
local prompt = require "stoke.fim.prompt"
local routed = require "routed"
local stops = require "stoke.fim.stops"
local stoke = require "stoke"
local time = require "stoke.time"

local Q = { prefix = "def f(a):\n    return ", suffix = "\n\nf(1)\n", files = {},
  path = "src/f.py", repo = "fun", language = "python" }
local WITH = { prefix = Q.prefix, suffix = Q.suffix, path = Q.path, repo = Q.repo, language = Q.language,
  files = { { path = "src/g.py", text = "g = 1" } } }

local ALONE = {
  ["qwen2.5-coder"] = "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>", codellama = "<PRE> P <SUF>S <MID>",
  ["deepseek-coder"] = "<｜fim▁begin｜>P<｜fim▁hole｜>S<｜fim▁end｜>",
  ["deepseek-coder-v2"] = "<｜fim▁begin｜>P<｜fim▁hole｜>S<｜fim▁end｜>",
  starcoder = "<fim_prefix>P<fim_suffix>S<fim_middle>", starcoder2 = "<fim_prefix>P<fim_suffix>S<fim_middle>",
  codegemma = "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>", codestral = "[SUFFIX]S[PREFIX]P",
  ["granite-code"] = "<fim_prefix>P<fim_suffix>S<fim_middle>", ["stable-code"] = "<fim_prefix>P<fim_suffix>S<fim_middle>",
  refact = "<fim_prefix>P<fim_suffix>S<fim_middle>",
}

local FILES = {
  ["qwen2.5-coder"] = "<|repo_name|>fun\n<|file_sep|>src/g.py\ng = 1\n<|file_sep|>src/f.py\n"
    .. "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
  starcoder2 = "<repo_name>fun<file_sep>src/g.py\ng = 1<file_sep><fim_prefix>src/f.py\nP<fim_suffix>S<fim_middle>",
  codegemma = "g = 1<|file_separator|><|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
  codestral = "[SUFFIX]S[PREFIX]+++++ src/g.py\ng = 1\n\n+++++ src/f.py\nP",
  codellama = "<PRE> # src/g.py\n# g = 1\nP <SUF>S <MID>",
}

-- The form with the prefix and the suffix in it, where P and S stand.
local function golden(form)
  return (form:gsub("%f[%u][PS]%f[^%u]", { P = (Q.prefix:gsub("%%", "%%%%")), S = Q.suffix }))
end

for _, family in ipairs(families.list) do
  test("fim: the prompt of " .. family.name, function(t)
    t.eq(prompt.render(family, Q), golden(ALONE[family.name]))
    local form = FILES[family.name]
    if form then t.eq(prompt.render(family, WITH), golden(form)) end
    t.ok(#family.source > 0 and #family.stop > 0)
  end)
end

test("fim: a family is found by the model's name; the more special one first", function(t)
  local found = {}
  for i, name in ipairs { "qwen2.5-coder:1.5b", "Qwen3-Coder:30b", "deepseek-coder-v2:16b", "deepseek-coder:1.3b", "starcoder2:3b",
    "granite-code:3b", "mistral:7b" } do
    local family = families.of(name)
    found[i] = family and family.name or "none"
  end
  t.eq(found, { "qwen2.5-coder", "qwen2.5-coder", "deepseek-coder-v2", "deepseek-coder", "starcoder2", "granite-code", "none" })
end)

test("fim: a text that holds the family's tokens does not end the hole", function(t)
  local family = families.named "refact"
  t.eq(prompt.render(family, { prefix = 'x = "<fim_suffix>"', suffix = "", files = {} }),
    '<fim_prefix>x = "< fim_suffix>"<fim_suffix><fim_middle>')
end)

test("fim: of a long text stay the end of the prefix and the beginning of the suffix, by whole lines", function(t)
  local lines = ("0123456789\n"):rep(100)
  local q = prompt.fit({ prefix = lines .. "cursor", suffix = lines, files = {} }, 100)
  t.eq(q.prefix, ("0123456789\n"):rep(6) .. "cursor")
  t.eq(q.suffix, ("0123456789\n"):rep(2))
  q = prompt.fit({ prefix = "short", suffix = lines, files = {} }, 100)
  t.eq({ q.prefix, #q.suffix }, { "short", 88 })
  t.eq(prompt.tail("aé", 1), "")
  t.eq(prompt.head("éa", 1), "")
end)

test("fim: one line in the middle of a line, several in an empty one or behind what opens a block", function(t)
  local function lines(prefix, suffix, language) return place.of(prefix, suffix, language).lines end
  t.eq(lines("x = ", "\n", "python"), "one")
  t.eq(lines("def f():", "\n", "python"), "many")
  t.eq(lines("def f():\n    ", "", "python"), "many")
  t.eq(lines("if (x) {", "}\n", "c"), "many")
  t.eq(lines("case 1:", "\n", "c"), "one")
  t.eq(lines("local function f(a)", "\nend", "lua"), "many")
  t.eq(lines("  ", "return x", "lua"), "one")
end)

local function stopped(given, ...)
  local at = place.of(given.prefix, given.suffix or "", given.language)
  local stop = stops.new(at, given.suffix or "", given.tokens)
  for _, text in ipairs { ... } do
    if stop:feed(text) then break end
  end
  return { stop:finish() }
end

test("fim: an answer ends at a stop token, also one that comes in two parts", function(t)
  t.eq(stopped({ prefix = "x = ", tokens = { "<|endoftext|>" } }, "1 + 2<|endof", "text|>junk"), { "1 + 2", "token" })
end)

test("fim: one line ends with the line, and before what stands behind the cursor", function(t)
  t.eq(stopped({ prefix = "x = " }, "1", "\ny = 2"), { "1", "line" })
  t.eq(stopped({ prefix = "print(", suffix = ")\n" }, "x)"), { "x" })
  t.eq(stopped({ prefix = "print(", suffix = ")\n" }, "f(x)"), { "f(x)" })
  t.eq(stopped({ prefix = "f(", suffix = ", last)\n" }, "a, last)\n"), { "a", "suffix" })
end)

test("fim: several lines end where the suffix begins again", function(t)
  local given = { prefix = "def f():\n    ", suffix = "\n\nprint(f())\n", language = "python" }
  t.eq(stopped(given, "x = 1\n    return x\n\nprint(f())\nmore"),
    { "x = 1\n    return x", "suffix" })
end)

test("fim: several lines end where a line is said again", function(t)
  t.eq(stopped({ prefix = "", language = "python" }, "total = 1\ntotal = 1\ntotal = 1\n"), { "total = 1", "repeat" })
  t.eq(stopped({ prefix = "", language = "python" }, ("alpha = 1\nbeta = 22\n"):rep(5)),
    { "alpha = 1\nbeta = 22\nalpha = 1\nbeta = 22", "repeat" })
end)

test("fim: a block ends where a line leaves it, and a second one is not begun", function(t)
  t.eq(stopped({ prefix = "def f():\n    ", language = "python" }, "return 1\n\ndef g():\n    return 2\n"), { "return 1", "block" })
  t.eq(stopped({ prefix = "def f():", language = "python" }, "\n    return 1\n\ndef g():\n"), { "\n    return 1", "block" })
  t.eq(stopped({ prefix = "", language = "python" }, "def f():\n    return 1\n\ndef g():\n    return 2\n"),
    { "def f():\n    return 1", "block" })
  t.eq(stopped({ prefix = "int f() {", language = "c" }, "\n  return 1;\n}\n\nint g() {\n"), { "\n  return 1;\n}", "block" })
  t.eq(stopped({ prefix = "int f() {\n  ", suffix = "\n}\n", language = "c" }, "if (x) {\n    y();\n  }\n}\n\nint g() {"),
    { "if (x) {\n    y();\n  }", "suffix" })
  t.eq(stopped({ prefix = "local function f()", language = "lua" }, "\n  return 1\nend\n\nlocal function g()\n"),
    { "\n  return 1\nend", "block" })
end)

-- ---- with a model ------------------------------------------------------------------------------------------------------------

test("fim: a model that can insert gets the suffix, another one the prompt of its family, raw", function(t)
  local world <close> = routed { gpu = { models = { "qwen2.5-coder:1.5b", "codellama" },
    script = function() return "a + b\nmore" end } }
  local q = { prefix = "def add(a, b): return ", suffix = "\n\nadd(1, 2)", path = "a.py", endpoint = "gpu" }
  q.model = "qwen2.5-coder:1.5b"
  t.eq(fim.complete(q), { text = "a + b", why = "line", model = q.model, lines = "one" })
  q.model = "codellama"
  t.eq(fim.complete(q), { text = "a + b", why = "line", model = q.model, lines = "one", family = "codellama" })
  q.model, q.raw = "qwen2.5-coder:1.5b", true
  fim.complete(q)
  local first, second, third = world.asked[1].body, world.asked[2].body, world.asked[3].body
  t.eq({ first.prompt, first.suffix, first.raw }, { q.prefix, q.suffix })
  t.eq({ second.prompt, second.suffix, second.raw }, { "<PRE> " .. q.prefix .. " <SUF>" .. q.suffix .. " <MID>", nil, true })
  t.contains(third.prompt, "<|fim_middle|>")
  for _, asked in ipairs(world.asked) do
    t.eq({ asked.body.options.num_ctx, asked.body.keep_alive }, {})
  end
end)

test("fim: without a model one that is loaded is taken; none: the error says what to do", function(t)
  local _ <close> = routed { gpu = { models = { "qwen2.5:3b", "codellama" }, script = function() return "1" end } }
  t.eq(fim.model "gpu", "codellama:latest")
  local _, err = stoke.try(fim.complete, { prefix = "x", model = "qwen2.5:3b", endpoint = "gpu" })
  t.eq({ err.kind, err.message }, { "usage", "qwen2.5:3b cannot insert, and its family is not known" })
  t.contains(err.hint, "family")
end)

test("fim: what is enough closes the stream, and the slot is free within 50 ms", function(t)
  local _ <close> = routed { gpu = { models = { "codellama" }, tokens_per_second = 10,
    script = function() return "one\ntwo " .. ("word "):rep(500) end } }
  local start = time.monotonic()
  t.eq(fim.complete { prefix = "x = ", model = "codellama", endpoint = "gpu" }.text, "one")
  t.ok(time.monotonic() - start < 5)
  stoke.sleep(0.05)
  t.eq(pool.list(), {})
end)

test("fim: 20 keys in 800 ms ask once; 19 are told that they are superseded", function(t)
  local world <close> = routed { gpu = { models = { "codellama" }, script = function() return "answer" end } }
  local session = fim.session { wait = 0.15 }
  local scope <close> = stoke.scope {}
  local told, texts = 0, {}
  for i = 1, 20 do
    scope:spawn(function()
      stoke.sleep(i * 0.04)
      local done, why = session:complete { prefix = ("k"):rep(i), model = "codellama", endpoint = "gpu" }
      if why == "superseded" then told = told + 1 end
      if done then texts[#texts + 1] = done.text end
    end)
  end
  scope:wait()
  t.eq({ told, texts, #world.asked, session.asked }, { 19, { "answer" }, 1, 1 })
end)

test("fim: who types along with an answer, or takes it back, asks nothing", function(t)
  local session = fim.session { wait = 0, complete = function() return "return x" end }
  local function ask(prefix, suffix) return session:complete({ prefix = prefix, suffix = suffix }).text end
  t.eq({ ask "  ", ask "  r", ask "  ret", ask "  r", ask "  " }, { "return x", "eturn x", "urn x", "eturn x", "return x" })
  t.eq({ session.asked, session.kept }, { 1, 4 })
  ask "  q"
  ask("  r", "other")
  t.eq(session.asked, 3)
  session:forget()
  ask "  "
  t.eq(session.asked, 4)
end)

test("fim: a session keeps no more than it may", function(t)
  local session = fim.session { wait = 0, entries = 4, bytes = 100, complete = function() return "x" end }
  for i = 1, 10 do session:complete { prefix = tostring(i) .. "a" } end
  t.eq(#session.entries, 4)
  session:complete { prefix = ("y"):rep(200) }
  t.eq(#session.entries, 4)
  session:complete { prefix = ("z"):rep(98) }
  t.eq({ #session.entries, session.size }, { 1, 99 })
end)

test("fim: a cancelled completion frees the slot within 50 ms", function(t)
  local _ <close> = routed { gpu = { models = { "codellama" }, tokens_per_second = 10,
    script = function() return ("word "):rep(500) end } }
  local session = fim.session { wait = 0 }
  local scope <close> = stoke.scope {}
  local why
  scope:spawn(function() why = select(2, session:complete { prefix = "x = ", model = "codellama", endpoint = "gpu" }) end)
  stoke.sleep(1)
  t.eq(pool.list()[1].busy, 1)
  session:cancel()
  stoke.sleep(0.05)
  t.eq({ pool.list(), why }, { {}, "superseded" })
end)
