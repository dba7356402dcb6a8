--- Generates the manual page stoke(1), in man(7) markup, from the verbs' option tables and the modules' comments.

local about = require "core.about"
local library = require "stoke.doc.library"
local overview = require "stoke.cmd.overview"

local M = {}

--- Text between requests: a backslash, and a dot or quote at the start of a line, would be taken for one.
local function plain(text)
  text = text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("\n([.'])", "\n\\&%1")
  return (text:gsub("^([.'])", "\\&%1"))
end

--- An argument of a request.
local function quoted(text) return '"' .. plain(text):gsub('"', "\\(dq") .. '"' end

local function section(out, title) out[#out + 1] = ".SH " .. title end

--- A list of terms and what they mean.
local function add_rows(out, rows)
  for _, row in ipairs(rows) do
    out[#out + 1] = ".TP"
    out[#out + 1] = ".B " .. quoted(row[1])
    out[#out + 1] = row[2] ~= "" and plain(row[2]) or "\\&"
  end
end

--- Lines as they are.
local function add_code(out, lines)
  out[#out + 1] = ".PP"
  out[#out + 1] = ".RS 4"
  out[#out + 1] = ".EX"
  for _, line in ipairs(lines) do out[#out + 1] = plain(line) end
  out[#out + 1] = ".EE"
  out[#out + 1] = ".RE"
end

local function add_examples(out, examples)
  local lines, width = {}, 0
  for _, example in ipairs(examples) do width = math.max(width, #example[1] <= 44 and #example[1] or 0) end
  for i, example in ipairs(examples) do
    lines[i] = example[2] ~= "" and ("%s%s  # %s"):format(example[1], (" "):rep(width - #example[1]), example[2]) or example[1]
  end
  if #lines > 0 then add_code(out, lines) end
end

local function flag(option)
  local text = (option.short and "-" .. option.short .. ", " or "") .. "--" .. option.name
  return option.placeholder and text .. " " .. option.placeholder or text
end

local function add_verb(out, verb)
  local spec = verb.spec
  out[#out + 1] = ".SS " .. quoted(spec.usage)
  out[#out + 1] = plain(spec.summary or verb.verb.summary)
  local rows = {}
  for _, item in ipairs(spec.positionals) do rows[#rows + 1] = { item.placeholder, item.note } end
  for _, option in ipairs(spec.options) do rows[#rows + 1] = { flag(option), option.note } end
  add_rows(out, rows)
  add_examples(out, spec.examples)
end

--- The first sentence of a description.
local function first_sentence(text)
  text = text:gsub("\n\n.*", ""):gsub("\n", " ")
  return text:match "^(.-%.)%s" or text
end

local function add_library(out)
  section(out, "LIBRARY")
  out[#out + 1] = plain "Scripts require these modules; stoke help NAME shows what is in each, and how every function is called."
  local rows = {}
  for _, name in ipairs(library.modules()) do
    local sentence = first_sentence(library.module(name).description):gsub("^" .. name .. ": ", "")
    rows[#rows + 1] = { name, (sentence:gsub(":$", ".")) }
  end
  add_rows(out, rows)
end

--- The whole page.
---@return string
---
--- Example: `io.write(man.page())`
function M.page()
  local out = { ('.TH STOKE 1 "" "stoke %s" "User Commands"'):format(about.version) }
  section(out, "NAME")
  out[#out + 1] = plain "stoke" .. " \\- " .. plain "run agents written in Lua against Ollama"
  section(out, "SYNOPSIS")
  for i, row in ipairs(overview.usage) do
    if i > 1 then out[#out + 1] = ".br" end
    out[#out + 1] = ".B " .. quoted(row[1])
  end
  section(out, "DESCRIPTION")
  out[#out + 1] = plain("stoke runs Lua scripts in which every wait looks like a plain call: many agents at once in one process, "
    .. "their model calls streamed, bounded and cancelled. The first word decides: the name of a verb, else a script, if it "
    .. "ends in .lua, has a slash or is a file.")
  add_rows(out, overview.usage)
  section(out, "FLAGS")
  out[#out + 1] = plain "These may stand before or after the script or the verb, up to --."
  add_rows(out, overview.flags())
  section(out, "VERBS")
  for _, verb in ipairs(overview.verbs()) do add_verb(out, verb) end
  add_library(out)
  section(out, '"EXIT STATUS"')
  add_rows(out, overview.exits)
  section(out, "ENVIRONMENT")
  add_rows(out, overview.environment)
  section(out, "FILES")
  add_rows(out, overview.files)
  section(out, "EXAMPLES")
  add_examples(out, overview.examples)
  return table.concat(out, "\n") .. "\n"
end

return M
