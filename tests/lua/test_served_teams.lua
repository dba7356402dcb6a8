-- Teams that are served: models as agents are, in both protocols, with sessions.

local test = require "stoke.test"
local stoke = require "stoke"
local http = require "stoke.http"
local served = require "served"

local USER = { { role = "user", content = "Which colour?" } }
local NAMED = { ["X-Stoke-Session"] = "conversation-of-ada-1" }

--- A writer and a critic who talk in turns.
local function crew(agent)
  return { stoke.team.round_robin { name = "crew", members = { agent { name = "writer" }, agent { name = "critic" } },
    stop = stoke.team.stop.messages(2) } }
end

local function thoughts(lines)
  local out = {}
  for _, line in ipairs(lines) do out[#out + 1] = line.message.thinking end
  return table.concat(out)
end

test("a team is a model: its answer is text, what its members say are thoughts, usage is the sum", function(t)
  local place <close> = served({ "Red.", "Rather blue." }, crew)
  t.eq(place:get "/api/tags":json().models[1].name, "crew:latest")
  local lines = served.lines(place:post("/api/chat", { model = "crew", messages = USER }).body)
  local said = {}
  for _, line in ipairs(lines) do said[#said + 1] = line.message.content end
  t.eq(table.concat(said), "Rather blue.")
  t.match(thoughts(lines), "writer: Red%.\n")
  local sum = 0
  for _, m in pairs(place.model.sim.ledger.models) do sum = sum + m.prompt_tokens end
  t.eq({ #place.model.requests, lines[#lines].prompt_eval_count }, { 2, sum })
end)

test("/v1 serves it as well, whole, streamed and as a response", function(t)
  local place <close> = served({ "Red.", "Blue.", "Red.", "Green.", "Red.", "Grey." }, crew)
  local value = place:post("/v1/chat/completions", { model = "crew", messages = USER }):json()
  t.eq(value.choices[1].message.content, "Blue.")
  local events, ended = served.events(place:post("/v1/chat/completions", { model = "crew", stream = true, messages = USER }).body)
  t.eq({ events[#events].choices[1].finish_reason, ended }, { "stop", true })
  local response = place:post("/v1/responses", { model = "crew", input = "Which?" }):json()
  t.eq(response.output[#response.output].content[1].text, "Grey.")
end)

test("a team takes no tools of a client, and does not say that it does", function(t)
  local place <close> = served({}, crew)
  t.eq(place:post("/api/show", { model = "crew" }):json().capabilities, { "completion", "thinking" })
  local tool = { type = "function", ["function"] = { name = "f", parameters = { type = "object" } } }
  local r = place:post("/api/chat", { model = "crew", messages = USER, tools = { tool } })
  t.eq(r.status, 400)
  t.match(r:json().error, "crew does not support tools")
end)

test("a team in a session knows what was said, and the client's system message once", function(t)
  local place <close> = served({ "Red.", "Blue.", "Still.", "Fine." }, crew)
  local messages = { { role = "system", content = "Be polite." }, USER[1] }
  messages[3] = place:post("/api/chat", { model = "crew", stream = false, messages = messages }, NAMED):json().message
  messages[4] = { role = "user", content = "Sure?" }
  t.eq(place:post("/api/chat", { model = "crew", stream = false, messages = messages }, NAMED):json().message.content, "Fine.")
  local polite, red = 0, false
  for _, m in ipairs(place.model.requests[3].messages) do
    if m.content:find("Be polite.", 1, true) then polite = polite + 1 end
    red = red or m.content:find("Red.", 1, true) ~= nil
  end
  t.eq({ polite, red }, { 1, true })
end)

test("who leaves a team ends what its members do", function(t)
  local place <close> = served({ ("word "):rep(300) }, crew, nil, { tokens_per_second = 10 })
  local task = stoke.spawn(stoke.try, http.post, place.url .. "/api/chat", { json = { model = "crew", messages = USER } })
  stoke.sleep(0.5)
  task:cancel()
  stoke.sleep(0.05)
  t.eq({ place.model.sim.ledger.streams_open, place.model.sim.ledger.disconnects }, { 0, 1 })
end)
