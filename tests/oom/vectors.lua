-- Sets of vectors while allocations fail, in memory and in a database: a search in place, and one on another thread.

local stoke = require "stoke"

stoke.main(function()
  local memory, rows = stoke.vectors(), {}
  for i = 1, 10000 do rows[i] = { id = i, vector = { i, 1 } } end
  memory:add_all(rows)
  memory:search({ 1, 1 }, 3)
  memory:delete(1)
  memory:search({ 1, 1 }, 3, { filter = { x = 1 }, only = { 1, 2, 3 } })
  local db <close> = stoke.db.open ":memory:"
  local set = stoke.vectors(db)
  set:add("a", { 1, 2 }, { list = "home", n = 1, t = true })
  set:add("b", { 2, 1 })
  set:search({ 1, 1 }, 3, { filter = { list = { "home", "work" } } })
  set:delete "a"
  print(set:count(), set:bytes() > 0)
end)
