-- A database while allocations fail: statements, rows one by one, transactions, errors in words.
local stoke = require "stoke"

stoke.main(function()
  local open <close> = stoke.db.open ":memory:"
  open:exec "create table a (x integer primary key, y); insert into a (y) values ('one'), (x'00ff'), (null)"
  open:exec("insert into a (y) values (:y)", { y = ("z"):rep(3000) })
  for row in open:each "select x, y from a" do assert(row.x) end
  local scope <close> = stoke.scope {}
  scope:map({ 1, 2, 3 }, function(i)
    open:transaction(function(tx)
      tx:exec("insert into a (y) values (?)", i)
      stoke.try(tx.transaction, tx, function(inner) inner:exec "insert into a (x) values (1)" end)
    end)
  end)
  local _, err = stoke.try(open.query, open, "select * from b") -- its words name the memory, and what is printed must not
  print(err.hint, open:one("select count(*) as n from a").n)
end)
