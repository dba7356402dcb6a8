--- Where a cursor stands, pure: the language by the file's name, and whether one line is wanted there or several.
---
--- The rule is simple, and wrong at times: several lines where the cursor's line is empty so far, or has just opened a block, and
--- nothing but closing brackets stands behind it; else the rest of the line.

local M = {}

local LANGUAGES = { py = "python", lua = "lua", c = "c", h = "c", cc = "cpp", cpp = "cpp", hpp = "cpp", js = "javascript",
  mjs = "javascript", jsx = "javascript", ts = "typescript", tsx = "typescript", go = "go", rs = "rust", java = "java",
  kt = "kotlin",
  cs = "csharp", php = "php", rb = "ruby", sh = "sh", bash = "sh", sql = "sql", swift = "swift", zig = "zig", yaml = "yaml",
  yml = "yaml", toml = "toml", hs = "haskell", ex = "elixir", exs = "elixir", pl = "perl", r = "r", jl = "julia", css = "css" }

local COMMENTS = { python = "#", ruby = "#", sh = "#", yaml = "#", toml = "#", elixir = "#", perl = "#", r = "#", julia = "#",
  lua = "--", sql = "--", haskell = "--" }

local INDENT = { python = true, yaml = true, haskell = true }

local WORDS = { lua = { "then", "do", "else", "repeat" }, ruby = { "do", "then", "else" }, sh = { "then", "do", "else" },
  elixir = { "do", "else" }, julia = { "begin", "else" } }

--- The language of a file; nil: nobody knows.
---@param path string|nil
---@return string|nil
---
--- Example: `print(place.language "src/app.py")`
function M.language(path)
  local ending = path and path:match "%.(%w+)$"
  return ending and LANGUAGES[ending:lower()]
end

--- What begins a comment; "//" where nobody knows.
---@param language string|nil
---@return string
---
--- Example: `print(place.comment "lua")`
function M.comment(language) return COMMENTS[language or ""] or "//" end

---@class stoke.fim.place
---@field lines "one"|"many"
---@field style "indent"|"braces" what ends a block
---@field indent integer columns of the line on which the block hangs
---@field opened boolean that line has opened a block, which is not closed yet
---@field behind string what stands behind the cursor on its line

local function opens(line, language)
  local trimmed = line:match "^(.-)%s*$"
  if trimmed:find "{$" or trimmed:find ":$" and INDENT[language or ""] then return true end
  if language == "lua" and trimmed:find "function[^()]*%b()$" then return true end
  if language == "ruby" and trimmed:find "^%s*def%s" then return true end
  for _, word in ipairs(WORDS[language] or {}) do
    if trimmed:find("%f[%w_]" .. word .. "$") then return true end
  end
  return false
end

--- Columns of a line's indentation; a tab counts as one.
---@param line string
---@return integer
---
--- Example: `print(place.indent "    x")`
function M.indent(line) return #line:match "^[ \t]*" end

--- The place of a cursor.
---@param prefix string
---@param suffix string
---@param language string|nil
---@return stoke.fim.place
---
--- Example: `print(place.of("def f():\n    ", "", "python").lines)`
function M.of(prefix, suffix, language)
  local line, behind = prefix:match "[^\n]*$", suffix:match "^[^\r\n]*"
  local style = (INDENT[language or ""] or WORDS[language or ""]) and "indent" or "braces"
  local empty, opened = not line:find "%S", opens(line, language)
  local many = (empty or opened) and not behind:find "[^%s%)%]}>;,]"
  return { lines = many and "many" or "one", style = style, indent = M.indent(line), opened = opened, behind = behind }
end

return M
