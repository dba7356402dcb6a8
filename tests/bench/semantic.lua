-- 2,000 questions over 500 intents, drawn by Zipf's law, each in one of six wordings: what is sent to the model. The
-- similarities are
-- a real embedding model's, from tests/pairs/asked.tsv, so no server is needed; the model's answer is the intent.
--   stoke test --internal tests/bench/semantic.lua prints the rows below
-- No cache sends less than the distinct intents drawn: that is the bound, printed beside.
package.path = "tests/pairs/?.lua;" .. package.path
local asked = require "asked"
local pairs_of = require "read"
local test = require "stoke.test"
local zipf = require "zipf"

local SEEDS = { 1, 2 }

local function share(n, of) return ("%d (%.1f %%)"):format(n, 100 * n / of) end

test("2,000 questions over 500 intents", { timeout = 600 }, function(t)
  local questions = asked.questions()
  local data = { intents = asked.intents(), near = pairs_of.asked("tests/pairs", questions) }
  for _, case in ipairs { { "error 0.01" }, { "error 0.05", error = 0.05 }, { "error 0.01, cold = true", cold = true },
    { "error 0.05, cold = true", error = 0.05, cold = true } } do
    for _, seed in ipairs(SEEDS) do
      local out = zipf.run(data, { seed = seed, error = case.error, cold = case.cold })
      print(("%s, seed %d: sent %s; intents drawn %s; exact hits alone send %s; exact %d, " ..
        "semantic %d, wrong %s"):format(case[1], seed,
        share(out.sent, out.asked), share(out.intents, out.asked), share(out.wordings, out.asked), out.exact, out.semantic,
        pairs_of.rate(out.wrong, out.semantic)))
      t.ok(out.sent >= out.intents)
    end
  end
end)
