-- stoke.doc: documentation comments, ours and a script's, as data and as text.

local about = require "core.about"
local doc = require "stoke.doc"
local comment = require "stoke.doc.comment"
local fs = require "stoke.fs"
local index = require "stoke.doc.index"
local library = require "stoke.doc.library"
local stoke = require "stoke"
local test = require "stoke.test"

local function names(list)
  local out = {}
  for i, item in ipairs(list) do out[i] = item.name end
  return out
end

-- ---- one comment ----------------------------------------------------------------------------------------------------------

local function read(text) return comment.read(comment.lines(text)) end

test("doc: a comment has a description, parameters, results, errors and an example", function(t)
  local c = read("Adds.\nAnd more.\n@param a number the one\n@param b? number the other,\n  if any\n@return number sum\n"
    .. "Raises `argument`.\n\nExample: `add(1, 2)`")
  t.eq(c.description, "Adds.\nAnd more.")
  t.eq(c.params, { { name = "a", type = "number", optional = false, description = "the one" },
    { name = "b", type = "number", optional = true, description = "the other, if any" } })
  t.eq(c.returns, { { type = "number", description = "sum" } })
  t.eq({ c.raises, c.example }, { "`argument`", "add(1, 2)" })
end)

test("doc: a type goes on over brackets, alternatives, quotes and the results of a function", function(t)
  local function split(text) return { comment.type(text) } end
  t.eq(split "table<string, any> by name", { "table<string, any>", "by name" })
  t.eq(split "{ a: string, b?: (string|table)[] }[] both", { "{ a: string, b?: (string|table)[] }[]", "both" })
  t.eq(split "\"two words\" | 'x' | nil what", { "\"two words\" | 'x' | nil", "what" })
  t.eq(split "string|fun(run: table): string? a text", { "string|fun(run: table): string?", "a text" })
  t.eq(split "(fun(v: any): boolean?, string?)[] checks", { "(fun(v: any): boolean?, string?)[]", "checks" })
  t.eq(split "any", { "any", "" })
end)

test("doc: a type that is broken over two lines is read whole", function(t)
  local c = read "Say.\n@param rules { allow: table,\n  deny: table } what\n"
  t.eq(c.params, { { name = "rules", type = "{ allow: table, deny: table }", optional = false, description = "what" } })
end)

test("doc: an example may be several lines, and indented code is one", function(t)
  t.eq(read("Runs.\n\nExample:\n  local a = 1\n  if a then\n    print(a)\n  end").example,
    "local a = 1\nif a then\n  print(a)\nend")
  t.eq(read("Runs.\n\n    local a = 1\n    print(a)\n@param x any").example, "local a = 1\nprint(a)")
end)

test("doc: a line tells what it declares", function(t)
  t.eq(index.declaration "function M.chat(given, ...)", { owner = "M", sep = ".", member = "chat", params = { "given", "..." } })
  t.eq(index.declaration "function scopes.Scope:map(list)",
    { owner = "scopes.Scope", sep = ":", member = "map", params = { "list" } })
  t.eq(index.declaration "M.now = function()", { owner = "M", sep = ".", member = "now", params = {} })
  t.eq(index.declaration "local add = function(a)", { member = "add", params = { "a" }, loose = true })
  t.eq(index.declaration "local function add(a)", { member = "add", params = { "a" }, loose = true })
  t.eq(index.declaration "M.MAX = 12", { owner = "M", sep = ".", member = "MAX", value = true })
  t.eq(index.declaration "local Agent = {}", { member = "Agent", value = true, loose = true })
  t.eq(index.declaration "print(1)", nil)
end)

-- ---- our own modules -----------------------------------------------------------------------------------------------------

test("doc: every module that scripts require is there, and says what it is", function(t)
  local found = doc.modules()
  t.ok(#found > 15)
  for _, name in ipairs(found) do
    local entry = doc.module(name)
    t.ok(entry.description ~= "", name .. " has no description")
    t.eq({ entry.kind, entry.name }, { "module", name })
    t.ok(entry.call or #entry.entries > 0, name .. " offers nothing")
  end
  t.eq(doc.module "stoke.cmd", nil)
  t.eq(doc.module "stoke.agent.run", nil)
end)

test("doc: a function is found by each of its names", function(t)
  local entry = doc.find "ollama.chat"
  t.eq({ entry.name, entry.module, entry.kind }, { "ollama.chat", "stoke.ollama", "function" })
  t.eq(entry.signature, "ollama.chat(given) -> table")
  t.eq(names(entry.params), { "given" })
  t.match(entry.description, "^One answer of a conversation")
  t.match(entry.raises, "refused")
  t.match(entry.example, "ollama%.chat {")
  t.match(entry.where, "^stdlib/ollama%.lua:%d+$")
  t.eq(doc.find("stoke.ollama.chat").where, entry.where)
  t.eq(doc.find(" ollama.chat() ").where, entry.where)
  t.eq(doc.find("spawn").name, "stoke.spawn")
  t.eq(doc.find("http.serve").name, "http.serve")
end)

test("doc: a function that another file defines has the name scripts know it by", function(t)
  t.eq(doc.find("stoke.sleep").signature, "stoke.sleep(seconds)")
  t.eq(doc.find("stoke.channel").name, "stoke.channel")
  t.eq(doc.of(stoke.channel).name, "stoke.channel")
  t.eq(doc.find("tools.read_file").module, "stoke.tools")
end)

test("doc: methods and classes are found by the end of their class's name", function(t)
  t.eq(doc.find("agent:run").kind, "method")
  t.eq(doc.find("stoke.agent:run").where, doc.find("agent:run").where)
  t.eq(doc.find("session:run").where, doc.find("stoke.agent.session:run").where)
  t.ok(doc.find("agent:run").where ~= doc.find("session:run").where)
  t.eq(doc.find("scope:map").signature, "scope:map(list, f, options?) -> R[]")
  t.eq(doc.find("t.eq").signature, "t.eq(got, want, message?)")
  t.eq(doc.find("stoke.agent.session").kind, "class")
  t.eq(doc.find("task").name, "stoke.task")
  t.eq(doc.find("agent.name").kind, "field")
end)

test("doc: a member marked private is in no listing: help, names, reference, definitions", function(t)
  local config, shown = require "stoke.config", names(doc.module("config").entries)
  for _, member in ipairs { "load", "use_endpoint", "stand_in" } do
    t.eq(type(config[member]), "function")
    t.ok(library.privates("stoke.config")[member], member)
    for _, list in ipairs { shown, doc.names() } do
      t.ok(not (" " .. table.concat(list, " ") .. " "):find(" config." .. member .. " ", 1, true), member)
    end
    t.ok(not doc.reference():find("config." .. member, 1, true), member)
    t.ok(not doc.definitions()["stoke/config.lua"]:find("M." .. member, 1, true), member)
  end
  t.ok(doc.find "config.get")
end)

test("doc: a module that is called itself shows how", function(t)
  t.eq(doc.find("stoke.agent").call.signature, "stoke.agent(given) -> stoke.agent")
  t.eq(doc.find("test").call.name, "test")
  t.match(doc.find("stoke.choose").call.signature, "^stoke%.choose%(given%)")
end)

test("text: the help of a module that makes objects lists their methods", function(t)
  t.contains(doc.text(doc.find "stoke.agent", 80), "\n  agent:stream(given, options?)")
  t.contains(doc.text(doc.find "stoke.schema", 80), "\n  Schema:check(value)")
  t.ok(not doc.text(doc.find "stoke.choose", 80):find("\n  %a+:"))
end)

test("doc: a name that is not there gets suggestions", function(t)
  local entry, near = doc.find "olama.chat"
  t.eq(entry, nil)
  t.eq(near[1], "ollama.chat")
  t.eq(select(2, doc.find "agent:runn")[1], "agent:run")
  t.ok(#select(2, doc.find "") <= 5)
  t.raises("argument", doc.find, 7)
end)

test("doc: what is embedded says the same as the file itself", { real = true }, function(t)
  for _, name in ipairs(about.modules()) do
    local text, path = about.source(name)
    local kept, whole = index.read(text, path), index.read(fs.read(path), path)
    t.eq(kept.head, whole.head, path)
    t.eq(#kept.entries, #whole.entries, path)
    for i, entry in ipairs(whole.entries) do t.eq(kept.entries[i], entry, path) end
  end
end)

-- ---- values ---------------------------------------------------------------------------------------------------------------

test("doc: a value of ours finds its documentation", function(t)
  t.eq(doc.of(stoke.http.get).name, "http.get")
  t.eq(doc.of(stoke.http).kind, "module")
  t.eq(doc.of(stoke.agent).name, "stoke.agent")
  local bot = stoke.agent { name = "poet", model = "m" }
  t.eq(doc.of(bot).name, "stoke.agent")
  t.eq(doc.of(bot.run).name, "agent:run")
  t.eq(doc.of(stoke.channel(1)).name, "stoke.channel")
  t.eq(doc.of {}, nil)
  t.eq(doc.of(12), nil)
end)

test("doc: a script's own function is known by the comment above it", function(t)
  local chunk = load([[
--- Doubles a number.
---@param n number which
---@return number
local function double(n) return 2 * n end

function town.walk(self, ...) end

return double, function() end
]], "@town.lua", "t", { town = {} })
  local double, nameless = chunk()
  local entry = doc.of(double)
  t.eq({ entry.name, entry.signature, entry.description, entry.where },
    { "double", "double(n) -> number", "Doubles a number.", "town.lua:4" })
  t.eq(doc.of(nameless), nil)
end)

test("doc: a script's function without a comment still has a signature", function(t)
  local town = {}
  load("function town.walk(who, ...) end", "@walk.lua", "t", { town = town })()
  t.eq(doc.of(town.walk).signature, "town.walk(who, ...)")
  t.eq(doc.of(town.walk).description, "")
end)

test("doc: Lua's own functions are there, each that scripts have and no other", function(t)
  t.eq(doc.find("string.format").signature, "string.format(format, ...) -> string")
  t.eq(doc.of(string.format).name, "string.format")
  t.eq(doc.of(pcall).name, "pcall")
  local lua, globals = require "stoke.doc.lua", require "core.env".globals
  for _, name in ipairs(lua.names()) do
    local owner, member = name:match "^(%w+)%.(.*)$"
    local from = owner and globals[owner] or globals
    t.eq(type(rawget(from, member or name)), "function", name)
  end
  for _, owner in ipairs { "string", "table", "utf8", "math", "coroutine" } do
    for member, value in pairs(globals[owner]) do
      local name = owner .. "." .. member
      if type(value) == "function" and name ~= "string.dump" then t.ok(lua.find(name), name .. " is missing") end
    end
  end
end)

-- ---- text -----------------------------------------------------------------------------------------------------------------

test("doc: the text fits the terminal and shows the options of a call", function(t)
  local text = doc.text(doc.find "ollama.chat", 60)
  for line in text:gmatch "[^\n]+" do
    if not line:find "^    print" then t.ok(#line <= 60 or not line:find "%s%S+%s%S+%s", line) end
  end
  t.match(text, "messages  table%[%]")
  t.match(text, "num_predict")
  t.ok(not doc.text(doc.find "ollama.chat", 80, false):find "\27")
  t.match(doc.text(doc.find "ollama.chat", 80, true), "\27%[1m")
  t.raises("argument", doc.text, "ollama.chat")
end)

test("doc: as Markdown, a function is a heading, its parameters, and an example", function(t)
  local text = doc.markdown(doc.find "stoke.timeout")
  t.match(text, "^### `stoke.timeout%(seconds, f, ...%) %-> any`\n")
  t.match(text, "%- `seconds` `number`\n")
  t.match(text, "```lua norun\n.-stoke%.timeout%(30")
end)

-- ---- topics -------------------------------------------------------------------------------------------------------------------

test("topics: each is a section of the guide, found by its name and by other words for it", function(t)
  for _, name in ipairs(doc.topics()) do
    local entry = doc.find(name)
    t.ok(entry and entry.kind == "topic", name)
    t.ok(#entry.description > 200, name .. " is short")
  end
  for _, pair in ipairs { { "retries", "retry" }, { "image", "images" }, { "budgets", "budget" }, { "approvals", "approval" },
    { "think", "thinking" }, { "embedding", "embeddings" }, { "exit-codes", "errors" }, { ".env", "env-file" } } do
    t.eq(doc.find(pair[1]).name, pair[2])
  end
  t.match(doc.find "retry".description, "three attempts")
  t.match(doc.find "errors".description, "%- 6: budget, limit")
end)

test("topics: a section ends where the next of its rank begins; Markdown's marks are gone", function(t)
  local budget = doc.find "budget".description
  t.match(budget, "^A scope may have a budget")
  t.ok(not doc.find "context".description:find("16. Errors", 1, true))
  t.match(doc.find "context".description, "Budgets:\n\nA scope may")
  t.ok(not budget:find("```", 1, true) and not budget:find("`", 1, true), budget)
  t.match(budget, "\n    local stoke = require")
end)

test("doc: each name that is offered is found, and is told as what it is called", function(t)
  for _, name in ipairs(doc.names()) do
    local entry = doc.find(name)
    t.ok(entry, name)
    if name:find("[.:]") and entry and entry.kind ~= "topic" then t.eq(entry.name:match "[%w_]*$", name:match "[%w_]*$") end
  end
end)

test("text: no line is wider than the screen but for a word, a string of code, or what is typed at a shell, that is", function(t)
  local all = doc.names()
  for _, module in ipairs(doc.modules()) do
    for _, class in ipairs(doc.classes(module)) do all[#all + 1] = class.name end
  end
  for _, columns in ipairs { 80, 60 } do
    for _, name in ipairs(all) do
      local entry = doc.find(name)
      for line in (entry and doc.text(entry, columns) or ""):gmatch "[^\n]+" do
        t.ok(#line <= columns or utf8.len(line) <= columns
          or not line:gsub('%b""', '""'):gsub("%b''", "''"):match "^%s*(.*)$":find "%s" or line:find "^      stoke ",
          ("%s at %d: %s"):format(name, columns, line))
      end
    end
  end
end)

test("doc: what is typed at a shell stays on its line, with its flags, and what is said of it follows", function(t)
  local shown = doc.text(doc.find "durable", 60)
  t.ok(shown:find("\n      stoke replay rome --check\n          # run it again without a call or a wait, and", 1, true), shown)
end)

test("topics: what is marked may go over the end of a line", function(t)
  for _, name in ipairs(doc.topics()) do
    local prose = ("\n" .. doc.find(name).description):gsub("\n    [^\n]*", "")
    t.eq(prose:match "[^\n]*`[^\n]*", nil, name)
  end
end)

test("doc: code that is broken for a narrow terminal is the same code", function(t)
  for _, topic in ipairs { "streaming", "concurrency", "functions", "agents", "sessions", "output", "budget", "testing" } do
    for _, columns in ipairs { 80, 60 } do
      local code = {}
      for line in doc.text(doc.find(topic), columns):gmatch "[^\n]+" do
        if line:find "^      " then code[#code + 1] = line end
      end
      local text = (table.concat(code, "\n") .. "\n"):gsub("\n      local stoke = require", "\0local stoke = require")
      for block in text:gmatch "[^\0]+" do
        local f, problem = load(block)
        t.ok(f, ("%s at %d: %s\n%s"):format(topic, columns, tostring(problem), block))
      end
    end
  end
end)
