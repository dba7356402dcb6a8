-- stoke lsp FILE: completion at the cursor in an editor, by the Language Server Protocol.

local approval = require "core.approval"
local args = require "stoke.args"
local errors = require "core.errors"
local frames = require "stoke.lsp.frames"
local lines = require "stoke.mcp.lines"
local log = require "stoke.log"
local offered = require "stoke.cmd.offered"
local reload = require "stoke.reload"
local script = require "core.script"
local servers = require "stoke.lsp.server"

local SPEC = {
  name = "stoke lsp",
  summary = "Complete at the cursor in an editor that speaks the Language Server Protocol: inline completion (LSP 3.18), and "
    .. "completion for editors without it. The editor starts this program, and talks to it over standard input and output. The "
    .. "file says how a completion is made; a change of it holds from the next key on.",
  examples = { { "stoke lsp agents/complete.lua", "what an editor is told to start" },
               { "stoke lsp agents/complete.lua --wait 0.3", "ask a model after 0.3 s without a key" },
               { "stoke lsp agents/complete.lua --sim", "the same, answered by the built-in simulator" } },
  options = { { "wait", type = "number", placeholder = "SECONDS", help = "silence before a model is asked (0.15)" } },
  positionals = { { "file", help = "the script: it returns a table with the function `complete`" } },
}

local function report(method, err) log.error(method .. " failed", { error = tostring(err) }) end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  lines.hold()
  approval.asker = nil -- nobody can be asked: the terminal is the editor's
  local cmd = require "stoke.cmd"
  cmd.check_file(a.file)
  cmd.announce(a.file)
  local _ <close> = offered.restore
  reload.watch(true)
  local module = script.run_body(a.file)
  if type(module) ~= "table" or not errors.callable(module.complete) then
    errors.raise("usage", a.file .. " returns no table with the function complete",
      { hint = "return { complete = function(q) return require \"stoke.fim\".complete(q) end }" })
  end
  local server = servers.new { send = frames.send, report = report, wait = a.wait,
    complete = function(q) return module.complete(q) end } -- looked up each time: a reload changes the table
  offered.follow({ refresh = function() server:forget() end }, "completions stay as they were")
  if not server:serve(frames.each) then errors.raise("exit", "the editor has left without a shutdown", { code = 1 }) end
end
