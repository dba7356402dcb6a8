#!/usr/bin/env stoke
-- complete.lua: completion in an editor, the whole pipeline: what is taken in as context, which model is asked, what is made of its
-- answer. Change this file while the editor runs: what it says holds from the next key on.
--
-- As a script it completes one place of a file.
--
-- Needs: an Ollama with a model that fills holes (stoke pull qwen2.5-coder:1.5b).
-- Try:   stoke lsp agents/complete.lua              # what an editor is told to start (guide: Completion in an editor)
--        stoke agents/complete.lua town.lua --line 12  # what it would write at the end of that line
--        COMPLETE_MODEL=starcoder2:3b stoke lsp agents/complete.lua
--        COMPLETE_MODEL=qwen2.5:3b COMPLETE_FAMILY=qwen2.5-coder stoke lsp agents/complete.lua --sim

local stoke = require "stoke"
local args = require "stoke.args"
local fim = require "stoke.fim"
local place = require "stoke.fim.place"

local M = {}

local model = os.getenv "COMPLETE_MODEL" -- nil: one that is loaded, else the first that can
local family = os.getenv "COMPLETE_FAMILY" -- whose tokens it knows, where its name does not say

-- Other files: those that the text names (by require, import, include) first, and of long ones the beginning.
local function context(q)
  local named, rest = {}, {}
  for _, file in ipairs(q.files or {}) do
    local word = file.path:match "([%w_]+)%.%w+$"
    local part = { path = file.path, text = file.text:sub(1, 8000) }
    local list = word and q.prefix:find("%f[%w_]" .. word .. "%f[^%w_]") and named or rest
    list[#list + 1] = part
  end
  return table.move(rest, 1, #rest, #named + 1, named)
end

-- Nothing is worth a model where nobody could say what comes: in an empty file, behind a finished sentence of a comment.
local function worth_it(q)
  if not q.prefix:find "%S" and not (q.suffix or ""):find "%S" then return false end
  local line = q.prefix:match "[^\n]*$"
  local mark = place.comment(q.language)
  return not (line:find(mark, 1, true) and line:find "[.!?]%s*$")
end

-- A space that stands before the cursor already is not said twice.
local function tidy(q, text)
  if q.prefix:find "[ \t]$" then text = text:gsub("^[ \t]+", "") end
  return text
end

--- Called for each question of the editor that was not superseded: { prefix, suffix, path, language, files }.
function M.complete(q)
  if not worth_it(q) then return "" end
  model = model or fim.model()
  local done = fim.complete { prefix = q.prefix, suffix = q.suffix, path = q.path, language = q.language, files = context(q),
    model = model, family = family, budget = 1500, temperature = 0 }
  done.text = tidy(q, done.text)
  return done
end

local SPEC = {
  name = "complete.lua", summary = "Complete a file at a place, as an editor would ask for it.",
  examples = { { "complete.lua town.lua --line 12", "at the end of line 12" },
               { "complete.lua town.lua", "at the end of the file" } },
  options = { { "line", short = "l", type = "integer", help = "at the end of this line; without it at the end of the file" } },
  positionals = { { "file", help = "the file" } },
}

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local text, at, number = stoke.fs.read(a.file), nil, 0
  for stop in text:gmatch "()\n" do
    number = number + 1
    if number == a.line then at = stop end
  end
  at = at or #text + 1
  local done = M.complete { prefix = text:sub(1, at - 1), suffix = text:sub(at), path = a.file,
    language = place.language(a.file) }
  print(type(done) == "table" and done.text or done)
end)

return M
