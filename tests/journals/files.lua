-- One small file of each kind that stoke keeps beside its store, and a store with a session and an actor, for files.lua of later
-- versions. Run by make.lua; what a version does not have yet is left out. What is here stays as it is.

local stoke = require "stoke"

local function module(name)
  local ok, found = pcall(require, "stoke." .. name)
  return ok and found
end

local makers = {}

function makers.vectors(vectors)
  local set <close> = vectors "notes.vectors"
  set:add("milk", { 1, 0, 0 }, { list = "home" })
  set:add("nails", { 0, 1, 0 }, { list = "work" })
  set:add("bread", { 0.9, 0.1, 0 }, { list = "home" })
  set:delete "bread"
end

function makers.memory(memory)
  local plain <close> = memory "ada.memory"
  plain:add("Ada prefers tea to coffee.", { importance = 4 })
  plain:add("The kettle is broken.", { importance = 2 })
  local meant <close> = memory("bob.memory", { embed = "all-minilm" })
  meant:add("Bob keeps bees.", { importance = 6 })
end

function makers.graph(graph)
  local people <close> = graph "people.graph"
  people:link("Ada", "wrote to", "Charles", { source = "letter 3" })
  people:link("Charles", "built", "the engine")
  people:merge("Ada", "Lady Lovelace")
end

function makers.notes(notes)
  stoke.fs.mkdir "docs"
  stoke.fs.write("docs/install.md", "# Install\n\nRun make install.\n\n# Remove\n\nRun make uninstall.\n")
  local found <close> = notes("docs", { embed = "all-minilm", file = "docs.notes" })
  found:search("how is it installed?", { k = 1 })
end

function makers.world(world)
  local town <close> = world { name = "town", seed = 7, file = "town.world",
    state = { members = { ada = { steps = 0 }, bob = { steps = 0 } } },
    step = function(member, here) member.steps = member.steps + here:random(member):int(1, 3) end,
    inputs = { say = function(member, args) member.heard = args.text return "heard" end } }
  local asked = stoke.spawn(function() return town:ask("say", { text = "Hello" }, { member = "ada" }) end)
  stoke.sleep(0.01)
  town:run { speed = "free", ticks = 50 }
  assert(asked:await() == "heard")
end

function makers.study(study)
  local about <close> = study { file = "adverts.study", model = "qwen2.5:3b", seed = 7 }
  about:populate { size = 3, about = "people of Leeds" }
  about:ask("all", "Would you go there?")
end

function makers.queue(queue)
  local q <close> = queue()
  q:publish("jobs", nil, "job 1", { file = "a.txt" })
  q:publish("jobs", nil, "job 2", { file = "b.txt" })
  local item = q:consume("jobs", "workers"):take()
  item:ack()
end

local bot = stoke.agent { name = "guide", model = "qwen2.5:3b" }
local counter = stoke.actor("counter", { state = { n = 0 }, on = {
  add = function(state, by)
    state.n = state.n + by
    return state.n
  end,
} })

stoke.main(function()
  for _, name in ipairs { "vectors", "memory", "graph", "notes", "world", "study", "queue" } do
    local found = module(name)
    if found then makers[name](found) end
  end
  bot:session({ id = "ada" }):run "What is in Rome?"
  counter:ask("add", 3)
  counter "ada":ask("add", 4)
  print "written"
end)
