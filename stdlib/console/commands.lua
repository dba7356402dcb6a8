--- The colon commands for inspecting a host, at its own prompt or attached to it.

local approve = require "stoke.approve"
local errors = require "core.errors"
local inspect = require "stoke.inspect"
local json = require "core.json"
local ordered = require "core.ordered"
local words = require "stoke.agent.texts"
local time = require "stoke.time"

local M = {}

local function describe_word(word) return word == "" and "nothing" or errors.describe(word) end

local function number(word, what)
  local n = math.tointeger(tonumber(word))
  if not n then errors.argument("%s wants a number, got %s", what, describe_word(word)) end
  return n
end

--- Working out a request calls the functions that the agent has: for its instructions, summaries, and agents made later.
local function check_request(whose)
  local definition = type(whose) == "string" and inspect.agent(whose).definition or inspect.session(whose).handle.definition
  for name, field in next, { instructions = "instructions", summarize = "summarize", complete = "handoffs" } do
    if errors.callable(definition[name]) then
      errors.raise("denied", ("a function of the agent %s would run, that of its %s"):format(definition.label, field),
        { hint = "stoke attach --write" })
    end
  end
  for _, name in ipairs { "schema", "summary" } do
    if errors.callable(words.template(name, definition.texts)) then
      errors.raise("denied", ("a function of the agent %s would run, that of its text %s"):format(definition.label, name),
        { hint = "stoke attach --write" })
    end
  end
end

--- name -> { usage, summary, run = fun(rest, run: fun(code: string), write: boolean, columns: integer): string,
--- write? = it changes something }
---@type table<string, { usage: string, summary: string, run: fun(rest, run, write, columns): string, write?: boolean }>
M.commands = {
  tasks = { usage = ":tasks [NUMBER|all]", summary = "what lives and what it waits for; the stack of one", run = function(rest)
    if rest == "" or rest == "all" then return inspect.tasks(rest == "all") end
    return inspect.traceback(number(rest, ":tasks"))
  end },
  agents = { usage = ":agents", summary = "agents, their models and tools", run = function() return inspect.agents() end },
  sessions = { usage = ":sessions", summary = "conversations", run = function() return inspect.sessions() end },
  mail = { usage = ":mail", summary = "mailboxes and dead letters", run = function() return inspect.mail() end },
  messages = { usage = ":messages SESSION", summary = "what was said in one",
    run = function(rest) return inspect.messages(number(rest, ":messages")) end },
  window = { usage = ":window SESSION", summary = "how full its context window is",
    run = function(rest) return inspect.window(number(rest, ":window")) end },
  request = { usage = ":request SESSION|AGENT [TEXT]", summary = "the exact request its next turn would send",
    run = function(rest, _, write)
      local word, text = rest:match "^(%S*)%s*(.*)$"
      local whose = math.tointeger(tonumber(word)) or word
      if whose == "" then errors.argument ":request wants the number of a session, or the name of an agent" end
      if not write then check_request(whose) end
      return inspect.request(whose, text ~= "" and text or nil)
    end },
  pool = { usage = ":pool", summary = "slots of each model, who is on them, who waits and why",
    run = function(_, _, _, columns) return inspect.pool(columns) end },
  models = { usage = ":models", summary = "the models of the server", run = function() return inspect.models() end },
  pending = { usage = ":pending", summary = "what waits for approval", run = function() return inspect.pending() end },
  reload = { usage = ":reload [MODULE]", summary = "load changed files again, or a module", write = true, run = function(rest)
    local reload = require "stoke.reload"
    local report = rest == "" and reload.all() or reload.module(rest)
    local text = reload.text(report)
    return text ~= "" and text:gsub("\n*$", "\n") or "nothing has changed\n"
  end },
  watch = { usage = ":watch [on|off]", summary = "load changed files again as they are saved", write = true, run = function(rest)
    if rest ~= "on" and rest ~= "off" then errors.argument(":watch wants on or off, got %s", describe_word(rest)) end
    require "stoke.reload".watch(rest == "on")
    return ("watching: %s\n"):format(rest)
  end },
  time = { usage = ":time CODE", summary = "run it and say how long that took", write = true, run = function(rest, run)
    local began = time.monotonic()
    run(rest)
    return ("%.3f s\n"):format(time.monotonic() - began)
  end },
  quit = { usage = ":quit", summary = "leave (Ctrl-D does too)", run = function() return "" end }, -- the client does that
  cancel = { usage = ":cancel TASK", summary = "cancel a task", write = true, run = function(rest)
    inspect.cancel(number(rest, ":cancel"), "cancelled by somebody attached to the host")
    return "cancelled\n"
  end },
  approve = { usage = ":approve NUMBER", summary = "let a pending call be made", write = true, run = function(rest)
    approve.find(rest, ":approve"):approve()
    return "approved\n"
  end },
  reject = { usage = ":reject NUMBER [REASON]", summary = "refuse a pending call", write = true, run = function(rest)
    local word, reason = rest:match "^(%S*)%s*(.*)$"
    approve.find(word, ":reject"):reject(reason ~= "" and reason or nil)
    return "rejected\n"
  end },
  edit = { usage = ":edit NUMBER JSON", summary = "let a pending call be made with other arguments", write = true,
    run = function(rest)
      local word, text = rest:match "^(%S*)%s*(.*)$"
      local entry = approve.find(word, ":edit")
      local args, err = json.decode(text)
      if type(args) ~= "table" then
        errors.argument(":edit wants the arguments as JSON: %s", err and err.message or errors.describe(args))
      end
      entry:edit(args)
      return "approved with these arguments\n"
    end },
}

M.commands.help = { usage = ":help", summary = "this", run = function()
  local names, out, width = ordered.names(M.commands), {}, 0
  for _, command in next, M.commands do width = math.max(width, #command.usage) end
  for i, name in ipairs(names) do
    local command = M.commands[name]
    out[i] = ("%-" .. width .. "s  %s%s\n"):format(command.usage, command.summary, command.write and " (with --write)" or "")
  end
  out[#out + 1] = "A dotted name (stoke.version, config.models[1]) is looked up; with --write it is Lua, and ?name is explained.\n"
  return table.concat(out)
end }

--- Do what `:name rest` says.
---@param text string with its colon
---@param write? boolean whether it may change something
---@param run fun(code: string) runs Lua, for `:time`
---@param columns? integer of the terminal
---@return string text to show
---Raises `argument` for a command that does not exist, `denied`, and what the command raises.
---
--- Example: `io.write(commands.run(":tasks all"))`
function M.run(text, write, run, columns)
  local name, rest = text:match "^:(%S*)%s*(.-)%s*$"
  local command = M.commands[name]
  if not command then
    local near = errors.suggest(name, ordered.names(M.commands))
    errors.argument("there is no command :%s%s", name, near and (" (did you mean :%s?)"):format(near) or "; :help lists them")
  end
  if command.write and not write then
    errors.raise("denied", (":%s changes something"):format(name), { hint = "stoke attach --write" })
  end
  return command.run(rest, run, write, columns)
end

return M
