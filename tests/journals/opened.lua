-- Opens what files.lua wrote, whichever version ran that, goes on with it, and prints what was found. Run in the folder of the
-- files by tests/lua/test_journals_files.lua; a file that is not there is left out.

local stoke = require "stoke"
local json = require "stoke.json"

local openers = {}

openers["notes.vectors"] = function(path)
  local set <close> = stoke.vectors(path)
  set:add("tape", { 0, 0, 1 }, { list = "work" })
  return { set:count(), set:search({ 1, 0, 0 }, 1)[1].id, set:search({ 0, 0, 1 }, 1, { filter = { list = "work" } })[1].id }
end

openers["ada.memory"] = function(path)
  local memory <close> = stoke.memory(path)
  memory:add "Ada has a new kettle."
  return { memory:count(), memory:search("tea or coffee?", { k = 1 })[1].text }
end

openers["bob.memory"] = function(path)
  local memory <close> = stoke.memory(path, { embed = "all-minilm" })
  return { memory:count(), memory:search("bees", { k = 1 })[1].text }
end

openers["people.graph"] = function(path)
  local graph <close> = stoke.graph(path)
  graph:link("the engine", "was seen by", "Mary")
  return graph:path("Lady Lovelace", "Mary").names
end

openers["docs.notes"] = function(path)
  local notes <close> = stoke.notes("docs", { embed = "all-minilm", file = path })
  local hit = notes:search("how is it installed?", { k = 1 })[1]
  return { hit.file, hit.text:find("make install", 1, true) ~= nil }
end

openers["town.world"] = function(path)
  local world <close> = stoke.world { name = "town", seed = 7, file = path,
    state = { members = { ada = { steps = 0 }, bob = { steps = 0 } } },
    step = function(member, here) member.steps = member.steps + here:random(member):int(1, 3) end,
    inputs = { say = function(member, args) member.heard = args.text return "heard" end } }
  local was = world:tick()
  world:run { speed = "free", ticks = 50 }
  local past = world:at(was) -- a tick is a second: the moment at which the file was left
  return { was, world:tick(), past.tick, world:look().members.ada.heard }
end

openers["adverts.study"] = function(path)
  local study <close> = stoke.study { file = path, model = "qwen2.5:3b", seed = 7 }
  study:populate { size = 3, about = "people of Leeds" }
  study:ask("all", "Would you go there?")
  local report = study:report()
  return { report.kept }
end

openers[".stoke/queue.db"] = function()
  local queue <close> = stoke.queue()
  local item = queue:consume("jobs", "workers"):take()
  item:ack()
  return { item.id, item.value.file }
end

openers[".stoke/traces.db"] = function()
  return { #stoke.traces.list() > 0, #stoke.traces.get("last").spans > 0 }
end

-- A cache that was copied is put aside, with a word, and begun anew: nothing is lost but the answers that it would have saved.
openers[".stoke/cache.db"] = function()
  return { #stoke.ollama.embed { model = "all-minilm", input = "how is it installed?" }.embeddings[1] > 0 }
end

openers[".stoke/state.db"] = function()
  local counter = stoke.actor("counter", { state = { n = 0 }, on = {
    add = function(state, by)
      state.n = state.n + by
      return state.n
    end,
  } })
  local bot = stoke.agent { name = "guide", model = "qwen2.5:3b" }
  local session = bot:session { id = "ada" }
  local said = #session.messages
  session:run "And in Oslo?"
  return { said, #session.messages, counter:ask("add", 1), counter "ada":ask("add", 1) }
end

stoke.main(function()
  local out = {}
  for path, opener in pairs(openers) do
    if stoke.fs.stat(path) then
      local found, err = stoke.try(opener, path)
      out[path] = found or { "failed: " .. tostring(err) }
    end
  end
  print(json.encode(out))
end)
