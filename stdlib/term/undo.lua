--- Undo for the line editor: states of the entry, one for each change; consecutive typing is one change.

local M = {}

local DEPTH = 200

local Undo = {}
Undo.__index = Undo

--- The states of one editor.
---@return table undo with note and back
function M.new() return setmetatable({ states = {} }, Undo) end

--- A key is about to be handled: keep the state before it.
---@param editor table
---@param event table
function Undo:note(editor, event)
  local typing = event.text ~= nil and not event.text:find "%s"
  if typing and self.typing then return end
  self.typing = typing
  if event.key == "ctrl-_" or event.key == "ctrl-x" then return end
  local text, states = editor:text(), self.states
  local last = states[#states]
  if last and last.text == text then
    last.at = editor.at
    return
  end
  if #states >= DEPTH then table.remove(states, 1) end
  states[#states + 1] = { text = text, at = editor.at }
end

--- Back to the state before the last change.
---@param editor table
---@return "bell"|nil
function Undo:back(editor)
  local states, now = self.states, editor:text()
  local state = table.remove(states)
  while state and state.text == now do state = table.remove(states) end
  if not state then return "bell" end
  editor:set(state.text)
  editor.at = state.at
end

return M
