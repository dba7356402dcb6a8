-- What a model answers, read into legal actions: stdlib/person/turn.lua, actions.lua.
local actions = require "stoke.person.actions"
local json = require "stoke.json"
local persons = require "persons"
local stoke = require "stoke"
local test = require "stoke.test"
local turns = require "stoke.person.turn"

local ALL = actions.of("test", {
  EAT = { description = "eat something", at = "inn", params = { what = "string 1..20", pieces = "integer 1..3" },
    order = { "what", "pieces" }, apply = function() end },
  GIVE = { description = "give something", params = { to = "near", what = "string 1..20" }, talk = true, apply = function() end },
  PRAY = { description = "pray", when = function(s) return s.at == "church" end, apply = function() end, ends = true },
})

local BOB, EVE = { id = "bob", name = "Bob" }, { id = "eve", name = "Eve" }
local PLACES = { "church", "inn", "mill" }
local SITUATIONS = {
  { kind = "free", near = {}, places = PLACES, at = "mill" },
  { kind = "free", near = { BOB, EVE }, places = PLACES, at = "inn" },
  { kind = "free", near = { BOB }, places = {} },
  { kind = "free", near = {}, places = PLACES, at = "church" },
  { kind = "invited", near = { BOB }, others = { BOB }, places = PLACES },
  { kind = "talk", near = { BOB, EVE }, others = { BOB, EVE }, places = PLACES },
}

local function offer(n, most) return actions.offer(ALL, SITUATIONS[n], most or 4) end
local function read(text, n, o) return turns.read(text, offer(n or 2), o) end
local function one(text, n) return read(text, n).actions[1] end

test("what is offered is what the situation allows", function(t)
  local function names(n) return table.concat(offer(n).names, " ") end
  t.eq(names(1), "GO DO THINK DONE")
  t.eq(names(2), "REACH_OUT GO DO THINK EAT GIVE DONE")
  t.eq(names(3), "REACH_OUT DO THINK GIVE DONE")
  t.eq(names(4), "GO DO THINK PRAY DONE")
  t.eq(names(5), "ACCEPT DECLINE")
  t.eq(names(6), "TALK LEAVE THINK GIVE DONE")
end)

test("the grammar of an answer names the people, places and limits that there are", function(t)
  local format = json.encode(offer(2, 7).shape:format())
  t.contains(format, '"to":{"enum":["Bob","Eve"],"type":"string"}')
  t.contains(format, '"place":{"enum":["church","inn","mill"],"type":"string"}')
  t.contains(format, '"maxItems":7')
  t.eq(actions.example(offer(2), "GIVE"), "GIVE (to: Bob or Eve, what)")
  t.eq(actions.example(offer(2), "DONE"), "DONE")
end)

test("actions are read in their order", function(t)
  local turn = read('{"actions": [{"action": "DO", "activity": "knead dough"},'
    .. '{"action": "REACH_OUT", "to": "Bob", "text": "Hi!"}]}')
  t.eq(turn.actions, { { action = "DO", activity = "knead dough" }, { action = "REACH_OUT", to = "Bob", text = "Hi!" } })
  t.eq(turn.problems, {})
end)

test("what is plainly meant is taken so: names without case, one action, a list, an action as a key, damaged JSON", function(t)
  t.eq(one '{"action": "reach out", "to": "bob", "text": " Hi! "}', { action = "REACH_OUT", to = "Bob", text = "Hi!" })
  t.eq(one '[{"action": "Go", "place": "Mill"}]', { action = "GO", place = "mill" })
  t.eq(one '{"actions": [{"GO": "inn"}]}', { action = "GO", place = "inn" })
  t.eq(one '{"actions": [{"EAT": {"what": "pie", "pieces": "2"}}]}', { action = "EAT", what = "pie", pieces = 2 })
  t.eq(one '{"actions": ["DONE"]}', { action = "DONE" })
  t.eq(one "Sure! ```json\n{'actions': [{'action': 'DO', 'activity': 'sleep',}]}\n```", { action = "DO", activity = "sleep" })
  t.eq(one '{"actions": [{"action": "DO", "activity": "read"}, {"action": "THI', { action = "DO", activity = "read" })
end)

test("what cannot be done is told in words that help", function(t)
  local function told(text, n, o) return read(text, n, o).problems[1] end
  t.eq(told '{"actions": [{"action": "GOO", "place": "inn"}]}',
    "there is no action GOO (did you mean GO?). You can: REACH_OUT, GO, DO, THINK, EAT, GIVE, DONE")
  t.eq(told('{"action": "TALK", "text": "Hi"}', 1), "TALK cannot be done now. You can: GO, DO, THINK, DONE")
  t.match(told '{"action": "GO", "place": "moon"}', "^GO: place: expected one of")
  t.eq(told '{"action": "DO", "activity": "  "}', "DO: activity is empty")
  t.eq(told '{"action": "DO", "activity": "..."}', "DO: activity is empty")
  t.eq(told "I would like to go home.", "that is no JSON with a list of actions")
  t.eq(told '{"actions": []}', "there is no action in it")
end)

test("repeats are not done twice, nor said again", function(t)
  local turn = read('{"actions": [{"action": "THINK", "thought": "Hm", "mood": "calm"},'
    .. '{"action": "THINK", "thought": "hm", "mood": "calm"},'
    .. '{"action": "TALK", "text": "Hi"}, {"action": "TALK", "text": "Ho"}]}', 6)
  t.eq(#turn.actions, 2)
  t.eq(turn.problems, { "THINK: that is the same twice", "TALK: once in a turn" })
  turn = read('{"action": "TALK", "text": "good morning"}', 6, { said = { "Good morning." } })
  t.eq(turn.problems, { "TALK: you have said that already; say something else" })
end)

test("nothing comes after what ends a turn, and no more than the limit before it", function(t)
  local turn = read('{"actions": [{"action": "LEAVE", "text": "Bye"}, {"action": "TALK", "text": "One more thing"}]}', 6)
  t.eq({ #turn.actions, turn.problems[1] }, { 1, "nothing comes after LEAVE" })
  t.eq(read('{"actions": [{"action": "LEAVE", "text": "Bye"}, {"action": "DONE"}]}', 6).problems, {})
  local many = {}
  for i = 1, 40 do many[i] = { action = "THINK", thought = "thought " .. i, mood = "calm" } end
  local text = json.encode { actions = many }
  t.eq(#read(text, 2, { most = 3 }).actions, 3)
  t.eq(#read(text, 2, { most = 99 }).actions, 15)
  t.eq(read(text, 2, { most = 99 }).problems, { "at most 15 actions in a turn" })
end)

test("a world's own actions are checked when they are given", function(t)
  local function refused(given) return t.raises("argument", actions.of, "town", given).message end
  t.match(refused { eat = {} }, "capital letters")
  t.match(refused { TALK = { description = "x", apply = print } }, "there already")
  t.match(refused { EAT = { description = "x" } }, "apply is missing")
  t.match(refused { EAT = { apply = print } }, "description is missing")
  t.match(refused { EAT = { description = "x", apply = print, params = { what = "strin" } } }, "did you mean string")
  t.match(refused { EAT = { description = "x", apply = print, params = { action = "string" } } }, "not `action`")
  t.match(refused { EAT = { description = "x", apply = print, order = { "what" } } }, "is no parameter")
  t.match(refused { EAT = { description = "x", apply = print, param = {} } }, "did you mean params")
  t.match(refused { DONE = false }, "must be able to do nothing")
  t.eq(actions.offer(actions.of("town", { GO = false, DO = false }), SITUATIONS[1], 4).names, { "THINK", "DONE" })
end)

-- ---- 500 malformed turns -------------------------------------------------------------------------------------------------------

test("500 malformed turns in each situation give legal actions or feedback, and never raise", function(t)
  for n, situation in ipairs(SITUATIONS) do
    local offered = offer(n, 15)
    local random, legal = stoke.rand.new(n), 0
    for i = 1, 500 do
      local text = persons.malformed(random)
      local turn = turns.read(text, offered, { most = 15 })
      local what = ("situation %d (%s), turn %d: %q"):format(n, situation.kind, i, text)
      t.ok(#turn.actions <= 15, what)
      t.ok(#turn.problems <= turns.PROBLEMS, what)
      t.ok(turn.actions[1] or turn.problems[1], what)
      for _, action in ipairs(turn.actions) do
        legal = legal + 1
        t.ok(offered.schemas[action.action], what)
        t.eq(offered.schemas[action.action]:check(action), action, what)
      end
      for _, problem in ipairs(turn.problems) do t.ok(utf8.len(problem) and #problem < 250, what) end
    end
    t.ok(legal > 20, ("situation %d: only %d legal actions, so the texts are too far from turns"):format(n, legal))
  end
end)

test("an answer that is no text is read, too", function(t)
  for _, given in ipairs { 5, true, {}, { { {} } }, { actions = 5 }, { actions = { 5, {}, { action = {} } } }, json.null } do
    t.ok(turns.read(given, offer(2)).problems[1], json.encode(given))
  end
end)
