-- stoke.db: transactions. Done together or not at all, savepoints inside, nothing else of the world in between.

local stoke = require "stoke"
local test = require "stoke.test"

local db = stoke.db

local function bank(path)
  local open = db.open(path or ":memory:")
  open:exec [[create table accounts (name text primary key, euros integer not null check (euros >= 0));
    insert into accounts values ('ada', 10), ('bob', 10)]]
  return open
end

local function euros(open)
  local out = {}
  for _, row in ipairs(open:query "select euros from accounts order by name") do out[#out + 1] = row.euros end
  return out
end

local PAY <const> = "update accounts set euros = euros + :sum where name = :name"

test("a transaction is committed when its function returns, and gives what that gives", function(t)
  local open <close> = bank()
  local got = table.pack(open:transaction(function(tx, sum)
    tx:exec(PAY, { name = "ada", sum = -sum })
    tx:exec(PAY, { name = "bob", sum = sum })
    return "paid", nil, tx:one("select euros from accounts where name = 'bob'").euros
  end, 4))
  t.eq({ got.n, got[1], got[2], got[3] }, { 3, "paid", nil, 14 })
  t.eq(euros(open), { 6, 14 })
end)

test("an error that leaves it takes everything back, and is raised as it is", function(t)
  local open <close> = bank()
  local err = t.raises("db", open.transaction, open, function(tx)
    tx:exec(PAY, { name = "bob", sum = 40 })
    tx:exec(PAY, { name = "ada", sum = -40 })
  end)
  t.eq(err.code, "SQLITE_CONSTRAINT_CHECK")
  t.eq(euros(open), { 10, 10 })
  local mine = {}
  local ok, raised = pcall(open.transaction, open, function(tx)
    tx:exec "delete from accounts"
    error(mine)
  end)
  t.eq({ ok, raised == mine or raised.value == mine }, { false, true })
  t.eq(euros(open), { 10, 10 })
end)

test("an error that is caught inside takes back its statement alone", function(t)
  local open <close> = bank()
  open:transaction(function(tx)
    tx:exec(PAY, { name = "bob", sum = 1 })
    local _, err = stoke.try(tx.exec, tx, PAY, { name = "ada", sum = -40 })
    t.eq(err.kind, "db")
  end)
  t.eq(euros(open), { 10, 11 })
end)

test("inside it sees what it wrote, and others do not", function(t)
  local path = t.tmp() .. "/x.db"
  local open <close> = bank(path)
  local other <close> = db.open(path)
  local ready, go = stoke.channel(), stoke.channel()
  local scope <close> = stoke.scope {}
  local task = scope:spawn(function()
    open:transaction(function(tx)
      tx:exec "update accounts set euros = 0"
      t.eq(euros(tx), { 0, 0 })
      local seen = {}
      for row in tx:each "select euros from accounts" do seen[#seen + 1] = row.euros end
      t.eq(seen, { 0, 0 })
      ready:send(true)
      go:recv()
    end)
  end)
  ready:recv()
  t.eq(euros(other), { 10, 10 })
  t.eq(euros(open), { 10, 10 })
  go:send(true)
  task:await()
  t.eq(euros(other), { 0, 0 })
end)

test("functions that are called inside may use the database itself: it is the same transaction", function(t)
  local open <close> = bank()
  local function pay(name, sum) open:exec(PAY, { name = name, sum = sum }) end
  t.raises("no way", open.transaction, open, function()
    pay("ada", -5)
    pay("bob", 5)
    t.eq(euros(open), { 5, 15 })
    error "no way"
  end)
  t.eq(euros(open), { 10, 10 })
end)

test("one inside another is a savepoint: its error takes back its own statements", function(t)
  local open <close> = bank()
  open:transaction(function(tx)
    tx:exec(PAY, { name = "ada", sum = 1 })
    t.raises("enough", tx.transaction, tx, function(inner)
      inner:exec(PAY, { name = "bob", sum = 7 })
      t.eq(euros(tx), { 11, 17 }) -- the outer one's methods are the inner one's here
      error "enough"
    end)
    open:transaction(function(inner)
      inner:exec(PAY, { name = "bob", sum = 2 })
      inner:transaction(function(third) third:exec(PAY, { name = "bob", sum = 3 }) end)
    end)
  end)
  t.eq(euros(open), { 11, 15 })
end)

test("two tasks in transactions at once: the second begins when the first has ended", function(t)
  local open <close> = bank(t.tmp() .. "/x.db")
  local order = {}
  local scope <close> = stoke.scope {}
  scope:map({ "one", "two", "three" }, function(name)
    open:transaction(function(tx)
      order[#order + 1] = name .. " in"
      local sum = tx:one("select euros from accounts where name = 'ada'").euros
      tx:one "select 1 as x"
      tx:exec("update accounts set euros = ? where name = 'ada'", sum + 1)
      order[#order + 1] = name .. " out"
    end)
  end)
  t.eq(euros(open), { 13, 10 })
  for i = 1, 6, 2 do t.eq(order[i]:match "^%a+", order[i + 1]:match "^%a+") end
end)

test("tasks that are spawned inside belong to it, and have ended before it is committed", function(t)
  local open <close> = bank()
  open:transaction(function(tx)
    local scope <close> = stoke.scope {}
    scope:map({ 1, 2, 3, 4 }, function(i)
      tx:transaction(function() -- one after the other: there is one connection that writes
        open:exec(PAY, { name = "ada", sum = i })
        if i == 3 then stoke.try(open.exec, open, "no such thing") end
      end)
    end)
  end)
  t.eq(euros(open), { 20, 10 })
end)

test("an error of a task that was spawned inside takes everything back", function(t)
  local open <close> = bank()
  t.raises("child", open.transaction, open, function(tx)
    tx:exec(PAY, { name = "ada", sum = 1 })
    stoke.all { function() error "child" end }
  end)
  t.eq(euros(open), { 10, 10 })
end)

test("only effects of the database belong in it: a model, a file, a sleep are refused with advice", function(t)
  local open <close> = bank()
  local other <close> = bank()
  local bot = stoke.agent { name = "bot", model = "m" }
  for name, f in pairs {
    ["llm%.chat"] = function() bot:run "Hi" end, ["fs%.read"] = function() stoke.fs.read "x" end,
    ["time%.sleep"] = function() stoke.sleep(1) end, ["db%.write"] = function() other:exec "delete from accounts" end,
    ["db%.open"] = function() db.open ":memory:" end,
    ["http%.request"] = function() stoke.all { function() stoke.http.get "http://x/" end } end,
  } do
    local err = t.raises("argument", open.transaction, open, function(tx)
      tx:exec "delete from accounts"
      f()
    end)
    t.match(err.message, name)
    t.match(err.message, "inside a transaction of :memory:")
    t.match(err.hint, "before the transaction")
  end
  t.eq(euros(open), { 10, 10 })
  t.eq(euros(other), { 10, 10 })
  stoke.sleep(1) -- afterwards everything is allowed again
end)

test("the clock, chance and the environment may be asked inside", function(t)
  local open <close> = bank()
  t.eq(open:transaction(function() return math.type(os.time()), type(math.random()), type(stoke.env.get "PATH") end), "integer")
end)

test("a transaction that is over says so", function(t)
  local open <close> = bank()
  local kept
  open:transaction(function(tx) kept = tx end)
  t.match(t.raises("argument", kept.exec, kept, "delete from accounts").message, "this transaction is over")
  t.raises("argument", kept.transaction, kept, function() end)
end)

test("the database is not closed inside of its transaction", function(t)
  local open <close> = bank()
  t.raises("argument", open.transaction, open, function() open:close() end)
  t.eq(euros(open), { 10, 10 })
end)

test("a deadline in the middle takes it back, and the next one begins", function(t)
  local open <close> = bank()
  local never = stoke.channel()
  t.raises("timeout", stoke.timeout, 5, function()
    open:transaction(function(tx)
      tx:exec(PAY, { name = "ada", sum = 1 })
      never:recv()
    end)
  end)
  open:transaction(function(tx) tx:exec(PAY, { name = "bob", sum = 1 }) end)
  t.eq(euros(open), { 10, 11 })
end)

test("a cancelled task's transaction is taken back", function(t)
  local open <close> = bank()
  local ready, never = stoke.channel(), stoke.channel()
  local scope <close> = stoke.scope {}
  local task = scope:spawn(function()
    open:transaction(function(tx)
      tx:exec "delete from accounts"
      ready:send(true)
      never:recv()
    end)
  end)
  ready:recv()
  task:cancel()
  stoke.try(task.await, task)
  t.eq(euros(open), { 10, 10 })
end)

test("a task that waits for its turn to begin can be cancelled", function(t)
  local open <close> = bank(t.tmp() .. "/x.db")
  local inside, go = stoke.channel(), stoke.channel()
  local scope <close> = stoke.scope {}
  local first = scope:spawn(function()
    open:transaction(function(tx)
      tx:exec(PAY, { name = "ada", sum = 1 })
      inside:send(true)
      go:recv()
    end)
  end)
  inside:recv()
  local second = scope:spawn(function() open:transaction(function(tx) tx:exec "delete from accounts" end) end)
  local third = scope:spawn(function() open:exec "delete from accounts" end)
  t.eq(euros(open), { 10, 10 }) -- they wait by now
  second:cancel()
  third:cancel()
  stoke.try(second.await, second)
  stoke.try(third.await, third)
  go:send(true)
  first:await()
  t.eq(euros(open), { 11, 10 })
end)

test("a commit that fails is an error, and takes everything back", function(t)
  local open <close> = db.open ":memory:"
  open:exec [[pragma foreign_keys = on; create table a (id integer primary key);
    create table b (a integer references a (id) deferrable initially deferred)]]
  local err = t.raises("db", open.transaction, open, function(tx) tx:exec "insert into b values (1)" end)
  t.eq(err.code, "SQLITE_CONSTRAINT_FOREIGNKEY")
  t.eq(open:query "select * from b", {})
end)
