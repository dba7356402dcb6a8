-- Asks a real Ollama (0.17.4) everything of tests/lua/refusals.lua and prints tests/golden/refusals.txt:
--
--     LUA_PATH="tests/lua/?.lua;;" build/stoke tests/live/record_refusals.lua http://127.0.0.1:11434 >tests/golden/refusals.txt
--
-- It takes minutes, since some options make the server load its model anew.

local stoke = require "stoke"
local http = require "stoke.http"
local refusals = require "refusals"

stoke.main(function(args)
  refusals.each(function(base, place, value, body)
    local number
    for i, one in ipairs(refusals.BASES) do number = one == base and i or number end
    local r = http.request { method = base[1], url = args[1] .. base[2], body = body, raise = false, timeout = 120 }
    local text = refusals.text_of(r.status, r.body)
    if base.types and not text:find "^json: cannot unmarshal" then return end
    print(refusals.line(number, base, place, value, r.status, text))
  end)
end)
