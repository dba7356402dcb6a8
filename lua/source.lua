--- Source text of loaded chunks, as it was when loaded: documentation comments are read from it even if the file has changed since.

local about = require "host.about"

local M = {}

local texts = {}

--- Remember the text of a chunk.
---@param chunkname string as debug.getinfo(f, "S").source gives it
---@param text string|nil
function M.remember(chunkname, text) texts[chunkname] = text end

--- The Lua of a file: without a byte order mark, and without a first line for the shell.
---@param text string
---@return string
function M.code(text) return (text:gsub("^\xEF\xBB\xBF", ""):gsub("^#[^\n]*", "")) end

--- The text of a chunk; nil if it was not remembered.
---@param chunkname string
---@return string|nil
function M.text(chunkname) return texts[chunkname] end

--- The text a function was compiled from, and the line it begins at; nil if the chunk was not remembered.
---@param f function
---@return string|nil text
---@return integer|nil line
function M.of(f)
  local info = debug.getinfo(f, "S")
  return texts[info.source], info.linedefined
end

--- If STOKE_PATH names a source tree, the program runs from it, so the text comes from there too.
local function from_tree(name)
  local tree = os.getenv "STOKE_PATH"
  local room, rest = name:match "^(core)%.(.+)$"
  if not room then room, rest = "stoke", name:match "^stoke%.(.+)$" or name == "stoke" and "init" end
  if not tree or not rest then return nil end
  local folder = room == "core" and "lua/" or "stdlib/"
  for _, ending in ipairs { ".lua", "/init.lua" } do
    local path = folder .. rest:gsub("%.", "/") .. ending
    local file = io.open(tree .. "/" .. path, "rb")
    if file then
      local text = file:read "a"
      file:close()
      return text, path
    end
  end
end

--- The text of a document that is part of the binary: "guide" is docs/guide.md, "page/page.css" is stdlib/page/page.css.
---@param name string
---@return string|nil text
---@return string|nil path
function M.document(name)
  local tree = os.getenv "STOKE_PATH"
  local path = name:find("/", 1, true) and "stdlib/" .. name or ("docs/%s.md"):format(name)
  local file = tree and io.open(tree .. "/" .. path, "rb")
  if file then
    local text = file:read "a"
    file:close()
    return text, path
  end
  return about.source("docs." .. name)
end

--- The documentation comments of a built-in module; line numbers are those of the file.
---@param name string "stoke.http", "core.channel"
---@return string|nil text
---@return string|nil path "stdlib/http.lua"
function M.embedded(name)
  local text, path = from_tree(name)
  if text then return text, path end
  return about.source(name)
end

return M
