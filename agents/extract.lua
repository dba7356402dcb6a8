#!/usr/bin/env stoke
-- extract.lua: text in, checked records out. Records are parted by blank lines; each becomes one line of
-- JSON with exactly the fields you name, in the order of the text, as soon as it and those before it are
-- there. An answer that does not fit is asked for again with what is wrong; one that never fits is
-- reported on stderr and counted, and the others come out all the same.
--
-- Needs: an Ollama with any model (stoke pull qwen2.5:3b), or --sim.
-- Try:   stoke agents/extract.lua invoices.txt --fields 'vendor=string,total=number >= 0,due=date?'
--        stoke agents/extract.lua --fields 'name=string,mood=good|bad|mixed' --strict < reviews.txt > reviews.jsonl

local stoke = require "stoke"
local args = require "stoke.args"
local fs = require "stoke.fs"
local json = require "stoke.json"
local ollama = require "stoke.ollama"

-- 'vendor=string: who sells,total=number >= 0' as a schema; its fields are asked for in this order.
local function fields(text)
  local shape, order = {}, {}
  for part in text:gmatch "[^,]+" do
    local name, kind = part:match "^%s*([%a_][%w_]*%??)%s*=%s*(.-)%s*$"
    if not name or kind == "" then error(("%q is no name=type"):format(part), 0) end
    if shape[name] then error(("the field %s is there twice"):format(name), 0) end
    shape[name], order[#order + 1] = kind, name
  end
  if not order[1] then error("no field is named", 0) end
  return stoke.schema.fields(shape, { order = order, strict = true })
end

local SPEC = {
  name = "extract.lua", summary = "Turn text into checked records, one JSON line each.",
  examples = { { "extract.lua invoices.txt -f 'vendor=string,total=number >= 0,due=date?'", "? = may be absent" },
               { "extract.lua -f 'name=string,tags=string[] 1..5' < notes.txt", "a list of one to five" },
               { "extract.lua a.txt b.txt -f 'mood=good|bad|mixed' --strict", "exit code 5 if one failed" } },
  options = { { "fields", short = "f", required = true, placeholder = "NAME=TYPE,...", convert = fields,
                help = "types as in stoke.schema: string, integer, number, boolean, date, a|b|c, string[] ..." },
              { "model", short = "m", help = "model to ask; without it the newest" },
              { "limit", default = 4, convert = function(n) return n >= 1 and n or error("at least 1", 0) end,
                help = "records in work at once" },
              { "strict", type = "boolean", help = "exit code 5 when a record failed" } },
  positionals = { { "files", type = "list", optional = true, help = "without them standard input" } },
}

local function records(files)
  local texts, list = {}, {}
  for i, path in ipairs(files) do texts[i] = fs.read(path) end
  if #files == 0 then texts[1] = io.read "a" end
  local all = table.concat(texts, "\n\n"):gsub("\r\n", "\n") .. "\n\n"
  for record in all:gmatch "(.-)\n[ \t]*\n" do
    if record:find "%S" then list[#list + 1] = record end
  end
  return list
end

-- What a record can do wrong by itself; a dead server is no fault of the record's.
local OWN_FAULT = { invalid_output = true, limit = true, context_overflow = true }

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local list = records(a.files)
  local clerk = stoke.agent {
    name = "clerk", model = a.model or ollama.newest(), output = a.fields, options = { temperature = 0 },
    instructions = "Extract one record from the text. Take only what the text says; leave out what it does not say.",
  }

  local lines, next_line, failed = {}, 1, 0
  local function put(i, line) -- false = nothing to print
    lines[i] = line
    while lines[next_line] ~= nil do
      if lines[next_line] then print(lines[next_line]) end
      next_line = next_line + 1
    end
  end

  local scope <close> = stoke.scope()
  scope:map(list, function(record, i)
    local result, err = stoke.try(clerk.run, clerk, record)
    if not err then return put(i, json.encode(result.output)) end
    if not OWN_FAULT[err.kind] then error(err, 0) end
    failed = failed + 1
    io.stderr:write(("record %d (%s): %s\n"):format(i, record:match "%S[^\n]*":sub(1, 40), err.message))
    put(i, false)
  end, { limit = a.limit })

  io.stderr:write(("%d records, %d failed\n"):format(#list, failed))
  if a.strict and failed > 0 then os.exit(5) end
end)
