-- stoke help [VERB|TOPIC|NAME]

local args = require "stoke.args"
local errors = require "core.errors"
local overview_rows = require "stoke.cmd.overview"
local stdio = require "core.stdio"
local term = require "stoke.term"

local SPEC = {
  name = "stoke help", summary = "Show the help of a verb, a topic of the guide, or the documentation of a name.",
  examples = { { "stoke help", "verbs, flags, exit codes" }, { "stoke help pull", "a verb" },
               { "stoke help retry", "a topic; stoke help lists them" },
               { "stoke help stoke.http", "a module" }, { "stoke help ollama.chat", "a function" },
               { "stoke help agent:run", "a method" } },
  positionals = { { "name", optional = true, placeholder = "VERB|TOPIC|NAME", help = "without it: an overview" } },
}

local function rows_text(out, title, rows, colour)
  out[#out + 1] = "\n" .. term.paint("bold", title, colour) .. "\n"
  local width = 0
  for _, r in ipairs(rows) do
    if #r[1] <= 44 then width = math.max(width, #r[1]) end
  end
  for _, r in ipairs(rows) do
    out[#out + 1] = ("  %s%s  %s\n"):format(r[1], (" "):rep(width - #r[1]), r[2])
  end
end

local function overview(colour)
  local out = { "stoke runs agents written in Lua against Ollama.\n" }
  rows_text(out, "Examples", overview_rows.examples, colour)
  rows_text(out, "Usage", overview_rows.usage, colour)
  local verbs = {}
  for i, v in ipairs(require "stoke.cmd".verbs) do verbs[i] = { v.usage, v.summary } end
  rows_text(out, "Verbs", verbs, colour)
  rows_text(out, "Flags (before or after FILE or VERB, up to --)", overview_rows.flags(), colour)
  rows_text(out, "Exit codes", overview_rows.exits, colour)
  out[#out + 1] = "\n" .. term.paint("bold", "Topics (stoke help TOPIC)", colour) .. "\n"
  local line = " "
  for _, topic in ipairs(require "stoke.doc.topics".names()) do
    if #line + 1 + #topic > 78 then
      out[#out + 1] = line .. "\n"
      line = " "
    end
    line = line .. " " .. topic
  end
  out[#out + 1] = line .. "\n"
  return table.concat(out)
end

-- What a name of the library stands for: stoke help ollama.chat
local function library(word)
  local doc = require "stoke.doc"
  local entry, near = doc.find(word)
  if entry then
    stdio.write(doc.text(entry, math.min(term.columns(), 120), term.colour(1)))
    return true
  end
  return false, near
end

-- Neither a verb nor in the library: the nearest of both.
local function unknown(word, near)
  if require "stoke.doc".module "stoke".description == "" then -- make BARE=1
    errors.raise("usage", ("this stoke was built without the documentation of its library: '%s' cannot be shown"):format(word),
                 { hint = "stoke help lists the verbs and topics; man 3 stoke, or another build, has the library" })
  end
  local names = {}
  for i, v in ipairs(require "stoke.cmd".verbs) do names[i] = v.name end
  local verb = errors.suggest(word, names)
  if verb then near = { verb } end
  errors.raise("usage", ("no verb, no topic and nothing in the library is named '%s'"):format(word),
               { hint = near[1] and ("did you mean '%s'?"):format(table.concat(near, "', '", 1, math.min(#near, 3)))
                 or "stoke help lists the verbs and topics, stoke help stoke the library" })
end

---@param argv string[]
return function(argv)
  local word = args.parse(SPEC, argv).name
  if word == nil or word == "help" then
    stdio.write(overview(term.colour(1)))
    return
  end
  local verb = require "stoke.cmd".find(word)
  if not verb then
    local found, near = library(word)
    if not found then unknown(word, near) end
    return
  end
  return require "stoke.cmd".command(verb) { "--help" }
end
