-- A secret is known to a journal by its name alone: its value is in no row, and a replay with another one does not diverge.

local test = require "stoke.test"
local stoke = require "stoke"
local show = require "stoke.show"
local host = require "host.env"
local http = require "stoke.http"
local journal = require "core.journal"

test("the value of a secret variable is in no row, and a replay reads it anew", function(t)
  local seen = {}
  local server <close> = http.serve { mem = "secrets", handler = function(req, res)
    seen[#seen + 1] = req.headers.authorization
    res:reply(200, {}, "welcome")
  end }
  local function f()
    local key = stoke.env.get "LAW_API_KEY"
    local headers = { Authorization = "Bearer " .. key, ["X-Note"] = "for " .. key }
    return http.get(server.url .. "/?token=" .. key, { headers = headers }).body, key
  end
  host.set("LAW_API_KEY", "first-secret-1")
  local tape, first = journal.record("run", f)
  t.eq({ first[1], first[2], seen[1] }, { "welcome", "first-secret-1", "Bearer first-secret-1" })
  local rows = show.pretty(tape.rows)
  t.ok(not rows:find("first-secret-1", 1, true), rows)
  t.match(rows, "X%-Note: for %[secret LAW_API_KEY%]")
  host.set("LAW_API_KEY", "second-secret-2")
  local second = journal.replay(tape, f)
  t.eq({ second.err, second[1], second[2], #seen }, { nil, "welcome", "second-secret-2", 1 })
end)
