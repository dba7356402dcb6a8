--- Generates the manual page stoke(1), in man(7) markup, from the verbs' option tables and the modules' comments.

local library = require "stoke.doc.library"
local overview = require "stoke.cmd.overview"
local roff = require "stoke.doc.roff"

local M = {}

local plain, quoted, add_rows, add_code = roff.plain, roff.quoted, roff.add_rows, roff.add_code

local function section(out, title) out[#out + 1] = ".SH " .. title end

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
  local out = {}
  roff.add_head(out, "STOKE", 1, "User Commands")
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
  section(out, '"SEE ALSO"')
  out[#out + 1] = ".BR stoke (3)"
  return table.concat(out, "\n") .. "\n"
end

return M
