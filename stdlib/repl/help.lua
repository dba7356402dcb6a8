--- help(x) and ?name: the documentation comment of a function, a module or a value.

local stdio = require "core.stdio"
local term = require "stoke.term"

local M = {}

local INTRO = [[
help(x), or ?name: what is said of a function, e.g. ?stoke.sleep or help(ollama.chat)
:help lists the commands of the prompt
]]

local function engine()
  local ok, doc = pcall(require, "stoke.doc")
  return ok and doc or nil
end

--- Where a value comes from, when nothing else is known of it.
local function place(value)
  if type(value) ~= "function" then return nil end
  local info = debug.getinfo(value, "S")
  return info.what ~= "C" and ("it is at %s:%d"):format(info.short_src, info.linedefined) or "it is built in"
end

--- The entry of a value, else of a name; names that may have been meant.
local function find(doc, value, name)
  if value ~= nil and (type(value) ~= "string" or not name) then
    local ok, entry = pcall(type(value) == "string" and doc.find or doc.of, value)
    if ok and entry then return entry end
  end
  if not name then return nil end
  local ok, entry, others = pcall(doc.find, name)
  if ok then return entry, others end
end

--- Where the words go: to who asked, where that is not our own terminal.
local function writer(session) return session.write or stdio.write end

--- Say what is known.
---@param session { write?: function, columns?: integer, colour?: boolean } of stoke.repl or of stoke.attach
---@param value any what it is about
---@param name? string what the person called it
function M.show(session, value, name)
  local doc = engine()
  local entry, others
  if doc then entry, others = find(doc, value, name) end
  if entry then return writer(session)(doc.text(entry, (session.columns or term.columns()) - 1, session.colour)) end
  local what = name or type(value) == "string" and value or "it"
  local told = { doc and ("nothing is written about %s"):format(term.clean(what))
    or "this binary has no module stoke.doc, which reads the documentation comments" }
  told[#told + 1] = place(value)
  if others and others[1] then told[#told + 1] = "did you mean " .. table.concat(others, ", ") .. "?" end
  writer(session)(table.concat(told, "; ") .. "\n")
end

--- The function `help` of the prompt.
---@param session table
---@return function
function M.command(session)
  return function(...)
    if select("#", ...) == 0 then return writer(session)(INTRO) end
    M.show(session, (...))
  end
end

--- `?name`.
---@param session table
---@param name string
function M.question(session, name)
  name = name:match "^%s*(.-)%s*$"
  if name == "" then return writer(session)(INTRO) end
  local fields = require "stoke.repl.complete".field
  local value
  for part in name:gmatch "[^.:]+" do
    if value == nil then value = session.eval:lookup(part) else value = fields(value, part) end
    if value == nil then break end
  end
  M.show(session, value, name)
end

return M
