-- The environment, read-only.

local test = require "stoke.test"
local env = require "stoke.env"

test("get: the value, the default, nil", function(t)
  t.ok(#env.get "PATH" > 0, "PATH")
  t.eq(env.get("PATH", "x"), env.get "PATH")
  t.eq(env.get "STOKE_NO_SUCH_VARIABLE", nil)
  t.eq(env.get("STOKE_NO_SUCH_VARIABLE", "other"), "other")
  t.eq(os.getenv "PATH", env.get "PATH")
end)

test("names are sorted by bytes and each is set", function(t)
  local names = env.names()
  local path = false
  for i, name in ipairs(names) do
    t.ok(i == 1 or names[i - 1] < name, name .. " is in order")
    t.ok(env.get(name), name .. " is set")
    path = path or name == "PATH"
  end
  t.ok(path, "PATH is among them")
end)

test("mistakes of the caller are named", function(t)
  t.raises("argument", env.get)
  t.raises("argument", env.get, "")
  t.raises("argument", env.get, "A=B")
  t.raises("argument", env.get, "A\0B")
end)
