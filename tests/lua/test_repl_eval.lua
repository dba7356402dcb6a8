-- Entries of a session: expressions, chunks, what is not finished, and locals that stay.

local test = require "stoke.test"
local evals = require "stoke.repl.eval"
local stoke = require "stoke"

--- Run entries one after the other; the results of the last.
local function run(session, ...)
  local results
  for i, text in ipairs { ... } do
    local f, err = session:compile(text, ("in[%d]"):format(i))
    if not f then error(err, 0) end
    results = table.pack(f())
  end
  return table.unpack(results, 1, results.n)
end

local function fresh(...) return run(evals.new { stoke = stoke }, ...) end

test("eval: what an entry is", function(t)
  local rows = { { "1 + 1", "expression" }, { "f()", "expression" }, { "x = 1", "chunk" }, { "local x", "chunk" },
    { "for i = 1, 2 do", "incomplete" }, { "f(", "incomplete" }, { "1 +", "incomplete" }, { "x =", "incomplete" },
    { "function f()\n", "incomplete" }, { "[[long", "incomplete" }, { "--[[ comment", "incomplete" },
    { "{ 1,", "incomplete" },
    { "x = = 1", "error" }, { "end", "error" }, { "'open", "error" }, { "'open\\", "incomplete" },
    { "local function", "incomplete" },
    { "return", "chunk" }, { "-- a comment", "expression" }, { "", "chunk" } }
  for _, row in ipairs(rows) do t.eq(evals.kind(row[1]), row[2], row[1]) end
end)

test("eval: an expression gives its values, all of them, nil too", function(t)
  t.eq(table.pack(fresh "1, nil, 'x'"), { 1, nil, "x", n = 3 })
  t.eq(fresh "= 1 + 1", 2)
  t.eq(fresh "2 -- two", 2)
end)

test("eval: locals stay, with their values and as the same variables", function(t)
  t.eq(fresh("local n = 1", "n"), 1)
  t.eq(fresh("local n = 0", "function inc() n = n + 1 end", "inc() inc()", "n"), 2)
  t.eq(fresh("local n = 0; local function up() n = n + 1 return n end", "n = 10", "up()", "n"), 11)
  t.eq(fresh("local function even(x) if x == 0 then return true end return not even(x - 1) end", "even(10)"), true)
end)

test("eval: a local declared again is a new variable, and closures keep the old one", function(t)
  t.eq({ fresh("local n = 1", "local function old() return n end", "local n = 2", "n, old()") }, { 2, 1 })
  t.eq({ fresh("local a = 1 local f = function() return a end local a = 2", "a, f()") }, { 2, 1 })
end)

test("eval: a local may be made of a global of the same name", function(t)
  t.eq(fresh("local string = string", "string.upper 'x'"), "X")
  t.eq(fresh("local print = print", "type(print)"), "function")
end)

test("eval: <const> stays const, and the compiler's own constants are there, too", function(t)
  t.eq(fresh("local limit <const> = 5", "limit"), 5)
  t.eq(fresh("local a <const>, b = {}, 2", "b = 3", "b"), 3)
  local session = evals.new()
  run(session, "local limit <const> = 5", "local list <const> = {}")
  for _, text in ipairs { "limit = 6", "list = 1", "function f() limit = 1 end" } do
    t.match(select(2, session:compile(text, "in")).message, "attempt to assign to const variable")
  end
end)

test("eval: <close> belongs to its entry", function(t)
  local session = evals.new()
  run(session, "closed = 0", "local x <close> = setmetatable({}, { __close = function() closed = closed + 1 end })")
  t.eq(run(session, "closed"), 1)
  t.eq(session:lookup "x", nil)
end)

test("eval: what was declared before an error is there", function(t)
  local session = evals.new()
  t.raises("half way", run, session, "local a = 1 local b = a + 1 error('half way') local c = 3")
  t.eq(run(session, "a + b"), 3)
  t.eq(session:lookup "c", nil)
end)

test("eval: only locals of the top level stay", function(t)
  local session = evals.new()
  run(session, "do local inner = 1 end for i = 1, 2 do local j = i end if true then local k = 1 end repeat local r = 1 until r",
    "local f = function() local hidden = 1 return hidden end")
  for _, name in ipairs { "inner", "j", "k", "r", "hidden", "i" } do t.eq(session:lookup(name), nil, name) end
  t.eq(run(session, "f()"), 1)
end)

test("eval: a declaration ends where its expressions end", function(t)
  local rows = {
    { "local a = f(1)(2){3}'x' b = 1", { "a" } }, { "local a, b = 1, -2 + #t .. 'x' and not c print(a)", { "a", "b" } },
    { "local a = function(x) if x then return 1 end end local b = { function() end, [1] = 2 } c()", { "a", "b" } },
    { "local a local b; local c = a", { "a", "b", "c" } }, { "local a = x.y:z 'w'.v[1] = 2", { "a" } },
    { "local a = (f or g)(1).x\nlocal b <const> = a", { "a", "b" } },
    { "local a = [[local z = 1]] local b = 'local y'", { "a", "b" } },
    { "local a -- local c\nlocal b", { "a", "b" } }, { "local function g() local x end local h = 1", { "g", "h" } },
    { "local a = 1 // 2 ^ 3 == 4 local b = a ~= ~1 local c", { "a", "b", "c" } },
  }
  local find = require "stoke.repl.locals".find
  for _, row in ipairs(rows) do
    local names = {}
    for _, d in ipairs(find(row[1])) do
      for _, name in ipairs(d.names) do names[#names + 1] = name end
    end
    t.eq(names, row[2], row[1])
  end
end)

test("eval: places in errors are those of the entry", function(t)
  local session = evals.new()
  local _, err = stoke.try(run, session, "local a = 1", "local b = a\nlocal c = b\nerror 'here'")
  t.eq(err.message, "in[2]:3: here")
  _, err = stoke.try(run, session, "x = = 1")
  t.match(err.message, "^in%[1%]:1: unexpected symbol")
end)

test("eval: new globals may be assigned, also by functions, and are everybody's", function(t)
  t.eq(fresh("function set() fresh_global = 5 end", "set()", "fresh_global, _G.fresh_global"), 5)
  t.raises("undefined variable 'nowhere'", fresh, "nowhere")
  require "core.env".globals.fresh_global = nil
end)

test("eval: more locals than one function could hold", function(t)
  local session = evals.new()
  for i = 1, 300 do run(session, ("local v%d = %d"):format(i, i)) end
  t.eq(run(session, "v1 + v300"), 301)
end)

test("eval: an entry may wait, and be cancelled", function(t)
  local session = evals.new { stoke = stoke }
  t.eq(run(session, "local x = stoke.sleep(1) or 'slept'", "x"), "slept")
  local task = stoke.spawn(function() return stoke.try(run, session, "local y = 1 stoke.sleep(100) local z = 2") end)
  stoke.sleep(1)
  task:cancel()
  stoke.try(task.await, task)
  t.eq({ session:lookup "y", session:lookup "z" }, { 1 })
end)

test("eval: an expression is seen as a place, not lost as a tail call", function(t)
  t.match(evals.new():compile("debug.traceback()", "in[7]")(), "in%[7%]:1:")
end)
