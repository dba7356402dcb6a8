-- What may be required inside a function, late, and why. A file names what it needs at its top; late is for what most runs never
-- need and would pay for when they start, and for the few circles. A name that is added here says which of these it is.
local source = require "source"

local LATE = {}
local function add(why, names)
  for name in names:gmatch "%S+" do LATE[name] = why end
end

-- An index hands its modules on by name.
add("index", "stoke. stoke.cmd. stoke.team. stoke.tools.")
-- It requires whoever asks for it: the verbs what lists them, the terminal's parts the terminal, errors the names they explain.
add("circle", [[stoke.cmd core.effect core.errors core.names stoke.ollama.window stoke.repl.print stoke.term.progress
  stoke.term.prompt]])
-- Large, and for some runs alone: a prompt, a server, the simulator, the documentation, a test, a verb's own.
add("rare", [[stoke stoke.fim stoke.actor stoke.approve stoke.attach stoke.attach.console stoke.attach.eval stoke.cmd.doctor.probe
  stoke.cmd.durable
  stoke.cmd.overview
  stoke.cmd.watch stoke.console.commands stoke.console.prompt stoke.doc stoke.doc.definitions stoke.doc.library stoke.doc.man
  stoke.doc.man_lua stoke.doc.markdown stoke.doc.text stoke.doc.topics stoke.fs stoke.http.serve stoke.inspect stoke.inspect.hosts
  stoke.json
  stoke.log stoke.mailbox stoke.mailbox.shared stoke.topic.shared stoke.ollama
  stoke.doc.markdown stoke.doc.text stoke.doc.topics stoke.fs stoke.http.serve stoke.inspect stoke.inspect.hosts stoke.json
  stoke.actor.shared stoke.log stoke.mailbox stoke.mailbox.shared stoke.topic.shared stoke.ollama
  stoke.ollama.pooling stoke.page.host stoke.page.remote stoke.page.watch
  stoke.ollama.unknown
  stoke.ollama.pulls stoke.ollama.transfer stoke.rand stoke.reading.repair stoke.reload stoke.repl.complete stoke.sim
  stoke.sim.models stoke.sim.script stoke.sim.v1 stoke.sim.v1.responses
  stoke.workflow stoke.agent.kept
  stoke.graph.extract stoke.memory stoke.memory.lazy stoke.memory.older stoke.memory.recall stoke.memory.think
  stoke.config.routes stoke.config.sensors
  stoke.model.fallback stoke.flow.pace stoke.flow.cascade stoke.model.forecast
  stoke.model.pool stoke.model.embed stoke.model.call stoke.openai stoke.openai.capabilities
  stoke.model.terms stoke.model.judge
  stoke.mcp.agents stoke.mcp.offers stoke.metrics stoke.metrics.flag stoke.tool.progress
  stoke.traces.compare stoke.traces.otlp stoke.world.file stoke.eval.words stoke.eval.junit
  stoke.term stoke.term.cluster stoke.team.stop stoke.test.effects stoke.test.files stoke.test.golden
  stoke.test.run stoke.test.world stoke.time]])
-- What carries queues: the one that a URL names.
add("engines", "core.engine.")
-- Words for errors.
add("errors", "core.foreign stoke.log.bugs")
-- Of the core: what begins before the rest is there, or is an engine that few runs start.
add("core", [[core.about core.approval core.driver.fs core.env core.gate.cache core.gate.hedge
  core.gate.holders core.gate.memory core.gate.pool core.gate.semantic core.gate.span core.gate.turns core.hash core.json
  core.keeper core.pool.picture core.random core.redact core.runs.shared
  core.script core.stdio core.store core.store.learned core.store.pins core.store.place
  core.task core.traces host.about]])

local seen = {}

local function is_early(head)
  return head == "" or head:find "^local [%w_, ]+ = $" or head == "return " or head:find "^[%w_.]+ = $"
end

return {
  name = "lazy",
  folders = { "lua", "stdlib" },
  endings = { "lua" },
  check = function(path, text, report)
    -- a file in a text holds no require of ours
    local code = source.code(path, text, true):gsub("%[=+%[.-%]=+%]", function(whole) return (whole:gsub("[^\n]", " ")) end)
    for n, line in source.lines(code) do
      for head, name in line:gmatch "()%f[%w_]require%s*%(?%s*[\"']([%w_.]+)" do
        if not is_early(line:sub(1, head - 1)) then
          seen[name] = true
          if not LATE[name] then
            report(path, n, ("requires %s late"):format(name), "do it at the top, or say in tests/lint/lazy.lua why not")
          end
        end
      end
    end
  end,
  finish = function(report)
    for name in pairs(LATE) do
      if not seen[name] then report("tests/lint/lazy.lua", 1, ("nobody requires %s late"):format(name), "take it off the list") end
    end
  end,
}
