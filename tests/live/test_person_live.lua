-- Turns of people against a real Ollama: at least 95 of 100 have an action that can be done, at the first asking or the second.
-- Runs only where one answers at OLLAMA_HOST; STOKE_LIVE_MODEL names the model, otherwise it is the smallest that completes texts.

local http = require "stoke.http"
local ollama = require "stoke.ollama"
local stoke = require "stoke"
local test = require "stoke.test"

local TURNS <const>, LEGAL <const> = 20, 0.95

--- The model to be asked.
local function model_of(t)
  local host = os.getenv "OLLAMA_HOST"
  if not host or host == "" then t.skip "OLLAMA_HOST is not set" end
  local _, err = stoke.try(ollama.version)
  if err then t.skip(("no Ollama answers at %s (%s)"):format(ollama.endpoint(), err.kind)) end
  if http.get(ollama.endpoint() .. "/sim/ledger", { raise = false }).status == 200 then
    t.skip(ollama.endpoint() .. " is the simulator")
  end
  local named = (os.getenv "STOKE_LIVE_MODEL" or ""):match "[^, ]+"
  if named then return named end
  local models = ollama.tags().models
  table.sort(models, function(a, b) return a.size < b.size or a.size == b.size and a.name < b.name end)
  for _, one in ipairs(models) do
    for _, capability in ipairs(ollama.show(one.name).capabilities or {}) do
      if capability == "completion" then return one.name end
    end
  end
  t.skip "no model here completes texts"
end

local BOB = { id = "bob", name = "Bob", doing = "reading" }
local LINES = { { id = "bob", name = "Bob", text = "Good morning! Is the bread ready?" }, { id = "ada", name = "Ada",
  text = "Almost." }, { id = "bob", name = "Bob", text = "When will it be?" } }
local SITUATIONS = {
  { near = { BOB }, news = { { text = "The bell rang.", time = 0, importance = 3 } } },
  { near = {} },
  { kind = "invited", near = { BOB }, others = { BOB }, from = "Bob", lines = { LINES[1] } },
  { kind = "talk", near = { BOB }, others = { BOB }, lines = LINES },
}

test("a small model's turns are legal", { real = true, timeout = 600 }, function(t)
  local model = model_of(t)
  local people = stoke.person.people { model = model, timeouts = { total = 120 },
    { id = "ada", name = "Ada", persona = { age = 41, job = "baker", traits = { "kind", "stubborn" } } },
    { id = "bob", name = "Bob" } }
  local legal = 0
  for i = 1, TURNS do
    local answer = people:turn("ada", SITUATIONS[i % #SITUATIONS + 1])
    t.ok(#answer.actions >= 1 and #answer.actions <= 15)
    legal = legal + (answer.failed and 0 or 1)
  end
  t.ok(legal >= LEGAL * TURNS, ("%d of %d"):format(legal, TURNS))
end)
