-- D15: requests that come in are no outcomes of a run that serves them: they begin runs of their own, and a run says so.

local test = require "stoke.test"
local http = require "stoke.http"
local journal = require "core.journal"
local runs = require "runs"

test("a run that serves is refused in words", function(t)
  local _, results = journal.record("run", function() return http.serve { mem = "law", handler = print } end)
  t.eq(results.err.kind, "replay")
  t.match(results.err.message,
    "^http%.serve cannot be recorded, so a journalled run does without it: requests that come in begin runs")
end)

test("a request that comes in begins a run, whose arguments are the arrival", function(t)
  local tapes = {}
  local server <close> = http.serve { mem = "arrivals", handler = function(req, res)
    local tape, results = journal.record("request", function(word) return runs.ask(word).text end, req.query.word)
    tapes[#tapes + 1] = tape
    res:reply(200, {}, results[1])
  end }
  t.eq(http.get(server.url .. "/?word=hello").body, "hello!")
  runs.asked = {}
  t.eq(journal.replay(tapes[1], function(word) return runs.ask(word).text end, "hello")[1], "hello!")
  t.eq(runs.asked, {})
end)
