#!/usr/bin/env stoke
-- assistant.lua: a chat that can do things: look at files, calculate, and, when you say yes, write files
-- and run commands. Each of those is shown with its exact arguments before it is done. Nothing leaves
-- the folder given by --root. Ctrl-C stops an answer; the conversation goes on as if it had not been asked. The line has an
-- editor: arrow keys, history (Ctrl-R searches it), Alt-Enter for another line, Ctrl-D to leave.
-- From a pipe each line is one message; nobody is there to say yes, so what needs it ends with exit code 7,
-- unless --yes said it for all.
--
-- Needs: an Ollama with a model that calls tools (stoke pull qwen2.5:3b), or --sim.
-- Try:   stoke agents/assistant.lua --root ~/notes
--        echo "What is in README.md?" | stoke agents/assistant.lua --sim

local stoke = require "stoke"
local args = require "stoke.args"
local fs = require "stoke.fs"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local term = require "stoke.term"

local function folder(path)
  local stat = fs.stat(path)
  return stat and stat.type == "directory" and path or error(("%s is no folder"):format(path), 0)
end

local function rule(text)
  stoke.tools.run_command { allow = { text } } -- says what is wrong with it
  return text
end

local COMMANDS = { "ls *", "cat *", "wc *", "git status", "git log *", "git diff *" }

local SPEC = {
  name = "assistant.lua", summary = "A chat in the terminal with tools; what changes something is asked about first.",
  examples = { { "assistant.lua --root ~/notes", "it sees this folder and no other" },
               { "assistant.lua --allow 'make test' --allow 'git *'", "commands it may ask for" },
               { "echo 'List the files.' | assistant.lua", "one line, one message" } },
  options = { { "model", short = "m", help = "model to ask; without it the newest with tools" },
              { "root", default = ".", placeholder = "DIR", convert = folder, help = "the folder it works in" },
              { "allow", type = "list", placeholder = "RULE", convert = rule,
                help = "a command it may ask for, may be repeated" },
              { "yes", type = "boolean", help = "do not ask: write and run whatever the tools allow" } },
}

local function assistant(model, root, allow)
  local tools = stoke.tools
  return stoke.agent {
    name = "assistant", model = model, summarize = true,
    instructions = "You help in a terminal. Look things up with the tools instead of guessing; answer briefly.",
    tools = {
      tools.now(), tools.calculator(), tools.list_dir { root = root }, tools.read_file { root = root },
      tools.write_file { root = root, needs_approval = true },
      tools.run_command { root = root, needs_approval = true, allow = #allow > 0 and allow or COMMANDS },
    },
  }
end

local function note(text) io.stderr:write(term.paint("dim", text, term.colour(2)), "\n") end

-- The first line of a result, no wider than the terminal.
local function short(text)
  local line = text:match "^[^\n]*"
  if line ~= text then line = line .. " ..." end
  return (term.fit(term.clean(line), term.columns() - 4):gsub(" +$", ""))
end

-- One message and its answer.
local function turn(chat, line)
  local shown = term.interactive() and term.clean or tostring
  for ev in chat:stream(line) do
    if ev.type == "text" then
      io.write(shown(ev.text))
    elseif ev.type == "tool_call" then
      note(("> %s %s"):format(ev.name, short(json.encode(ev.arguments))))
    elseif ev.type == "tool_result" then
      note(("%s %s"):format(ev.failed and "!" or "<", short(ev.text)))
    end
  end
  io.write "\n"
end

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  if a.yes then stoke.policy { allow = { tool = { "write_file", "run_command" } } } end
  local model, person = a.model or ollama.newest "tools", term.interactive()
  local chat = assistant(model, a.root, a.allow):session() -- a turn that fails or is stopped leaves nothing behind in it
  if person then note(("%s in %s; /quit ends"):format(model, a.root)) end
  while true do
    local line = term.prompt { prompt = ">>> ", more = "... ", history = "assistant", complete = { "/quit" },
      hint = "(Ctrl-D or /quit ends)" }
    if not line or line:find "^%s*/quit%s*$" then break end
    if line:find "%S" and not person then
      turn(chat, line) -- an error ends the program, with its exit code
    elseif line:find "%S" then
      local _, err = term.interruptible(turn, chat, line)
      if err then note(err.kind == "cancelled" and "\n(stopped)" or term.clean(tostring(err))) end
    end
  end
end)
