-- The example of libstoke, docs/embedding.c, as a program. The library itself: tests/c/api.c; installed: tests/clients.
local proc = require "stoke.proc"
local test = require "stoke.test"

local PROGRAM = (os.getenv "STOKE_BUILD" or "build") .. "/embedding"

test("embedding: an agent in a C program answers as it goes, and uses its tools", { real = true }, function(t)
  local r = proc.run { argv = { PROGRAM, "--sim", "What is 17 * 23?" }, timeout = 60 }
  t.eq(r.code, 0)
  t.match(r.stdout:gsub('""', ""), '"calculator.*391') -- its answer comes in pieces, which are as they come
  t.match(r.stdout, '"tool_calls":1')
end)

test("embedding: an error comes with its kind and hint", { real = true }, function(t)
  local r = proc.run { argv = { PROGRAM, "Hello" }, env = { OLLAMA_HOST = "127.0.0.1:9" }, timeout = 60 }
  t.eq(r.code, 1)
  t.match(r.stderr, "^ask: refused: .*hint: ")
end)
