--- Lua from an attached prompt: entries as at the prompt of `stoke repl`, with locals of their own for each client. What they print
--- goes to the client; what they spawn belongs to the host and goes on when the client leaves.

local errors = require "core.errors"
local evals = require "stoke.repl.eval"
local globals = require "core.env".globals
local help = require "stoke.repl.help"
local printer = require "stoke.repl.print"
local stdio = require "core.stdio"
local tasks = require "core.task"
local terms = require "core.terms"
local time = require "stoke.time"

local M = {}

--- Of what is shown, for a client that does not say how wide its terminal is.
local COLUMNS = 100

--- Clients whose locals are kept.
local KEPT = 16

--- Seconds an entry may run without waiting. The host is at work, stands still meanwhile, and does not hear a client who leaves.
M.LIMIT = 3

--- Break the running coroutine off where it does not wait for so long.
local function bounded()
  local slice, until_ = tasks.slice(), time.monotonic() + M.LIMIT
  local function look()
    local now = tasks.slice()
    if now ~= slice then
      slice, until_ = now, time.monotonic() + M.LIMIT
    elseif time.monotonic() > until_ and not debug.getinfo(2, "S").source:find("stoke:lua/", 1, true) then
      debug.sethook(look, "", 1) -- an entry that catches the error gets it again at once
      errors.raise("limit", ("the entry ran for %g s without waiting, and the host stood still: it was broken off"):format(M.LIMIT),
        { hint = "stoke.sleep(0) in a long loop lets others run" })
    end
  end
  debug.sethook(look, "", 100000)
end

local sessions, order = {}, {}

local supervisor = tasks.supervisor("an attached prompt", function(err, task)
  if task.line or err.kind == "exit" then return end
  stdio.err(("stoke: a task that an attached prompt started failed: %s\n"):format(tostring(err)))
end)

--- print and io.write reach the client whose entry calls them.
local function names_of(session)
  local function put(...)
    local parts = table.pack(...)
    for i = 1, parts.n do parts[i] = tostring(parts[i]) end
    session.write(table.concat(parts))
  end
  local io = setmetatable({ write = function(...) put(...) end }, { __index = globals.io })
  local function print(...)
    local parts = table.pack(...)
    for i = 1, parts.n do parts[i] = tostring(parts[i]) end
    put(table.concat(parts, "\t"), "\n")
  end
  return { stoke = require "stoke", ollama = require "stoke.ollama", print = print, io = io }
end

local function session_of(client)
  local session = sessions[client]
  if session then return session end
  session = { count = 0, columns = COLUMNS }
  local names = names_of(session)
  names.help = help.command(session)
  session.eval = evals.new(names)
  for _, name in ipairs { "_", "_1", "_2", "_3", "_err" } do session.eval:set(name, nil) end
  sessions[client] = session
  order[#order + 1] = client
  if #order > KEPT then sessions[table.remove(order, 1)] = nil end
  return session
end

local function remember(eval, value)
  eval:set("_3", (eval:get "_2"))
  eval:set("_2", (eval:get "_1"))
  eval:set("_1", value)
  eval:set("_", value)
end

local function body(session, text)
  if text:find "^%s*%?" then return help.question(session, text:match "^%s*%?(.*)$") end
  local f, err = session.eval:compile(text, ("attached[%d]"):format(session.count))
  if not f then error(err, 0) end
  bounded()
  local results = table.pack(f())
  debug.sethook()
  if results.n > 0 then remember(session.eval, results[1]) end
  for i = 1, results.n do session.write(printer.show(results[i], { columns = session.columns }) .. "\n") end
end

--- What Tab may make of the word before the cursor in an entry of this client.
---@param before string
---@param client string
---@return integer|nil from
---@return string[]|nil list
---
--- Example: `eval.complete("stoke.sle", "me")`
function M.complete(before, client)
  return require "stoke.repl.complete".complete(session_of(client).eval, before)
end

--- Run one entry; a client that leaves cancels it.
---@param text string
---@param client string whose locals it sees
---@param write fun(text: string)
---@param columns? integer of the client's terminal
---Raises what the entry raises.
---
--- Example: `eval.run("1 + 1", "me", io.write)`
function M.run(text, client, write, columns)
  local session = session_of(client)
  session.count, session.write, session.columns = session.count + 1, write, columns or COLUMNS
  local task = tasks.start(supervisor, ("attached[%d]"):format(session.count), body, session, text)
  terms.interactive(task)
  task.into, task.line, task.reader = supervisor, true, { write = write, columns = session.columns }
  local guard <close> = setmetatable({}, { __close = function() task:cancel "the client has left" end })
  local ok, err = pcall(task.await, task)
  if ok then return end
  session.eval:set("_err", err)
  error(err, 0)
end

return M
