#!/usr/bin/env stoke
-- pipeline.lua: a table of a folder of letters. In three stages each letter is read, a model fills in a record, and a
-- function checks it against the text, so that a sum of money that stands nowhere in the letter fails. What came out is
-- written as CSV. What was asked is kept: run it again and only new letters are asked, kill it and it goes on; --again
-- makes the table anew from the answers there are, without a call of the model.
--
-- Needs: an Ollama with a model of 1B or more (stoke pull qwen2.5:3b), or --sim.
-- Try:   stoke agents/pipeline.lua letters -o letters.csv
--        stoke agents/pipeline.lua letters -o letters.csv --again
--        stoke agents/pipeline.lua letters --retry

local stoke = require "stoke"

local Letter = stoke.schema {
  from = "string: who wrote it", subject = "string: what it is about, in a few words",
  amount = "number?: the sum of money it names, if any",
}

local clerk = stoke.agent {
  name = "clerk", model = "qwen2.5:3b", output = Letter,
  instructions = "You read letters and fill in what they say. Invent nothing.",
}

--- Does a number stand in a text, however it is written (1,250.00)?
local function stands_in(text, number)
  for word in text:gmatch "%d[%d.,]*" do
    if tonumber((word:gsub(",", ""):gsub("%.$", ""))) == number then return true end
  end
  return false
end

--- Read a document.
local function read(letter) return { text = stoke.fs.read(letter.path, { max = 1 << 20 }) } end

--- What the model filled in has to hold.
local function check(letter)
  local record = letter.record
  if record.amount and not stands_in(letter.text, record.amount) then
    stoke.raise("invalid_output", ("the amount %s stands nowhere in the letter"):format(record.amount))
  end
  return { file = letter.path:match "[^/]*$", from = record.from, subject = record.subject, amount = record.amount }
end

local function pipeline(engine)
  return stoke.pipeline { name = "letters", engine = engine, bound = 16, stages = {
    { name = "read", augment = read, concurrency = 4 },
    { name = "ask", infer = clerk, prompt = "{text}", into = "record", concurrency = 8 },
    { name = "check", run = check, tries = 1 },
  } }
end

--- The documents of a folder, as items: the same text is the same item, whatever happened before.
local function documents(folder)
  local list = {}
  for _, entry in ipairs(stoke.fs.list(folder)) do
    local path = folder .. "/" .. entry.name
    if entry.type == "file" and entry.name:find "%.%l+$" then
      list[#list + 1] = { id = entry.name:sub(1, 100) .. " " .. stoke.json.digest(stoke.fs.read(path)):sub(1, 16),
        value = { path = path } }
    end
  end
  return list
end

local function write(letters, path)
  local rows = {}
  for item in letters:results() do rows[#rows + 1] = item.value end
  table.sort(rows, function(a, b) return a.file < b.file end)
  stoke.fs.write(path, stoke.csv.encode(rows, { columns = { "file", "from", "subject", "amount" }, formulas = false }))
  return #rows
end

stoke.main(function(argv)
  local args = stoke.args.parse({
    name = "pipeline.lua", summary = "A table of a folder of letters.",
    examples = { { "pipeline.lua letters -o letters.csv", "letters that are new are asked" },
                 { "pipeline.lua letters --again", "all are checked again, and none is asked" } },
    options = {
      { "output", short = "o", default = "letters.csv", help = "the table" },
      { "again", type = "boolean", help = "check all answers again, without asking" },
      { "retry", type = "boolean", help = "try those again that failed" },
      { "engine", placeholder = "URL", help = "where the letters stand meanwhile, such as postgres://localhost/letters" },
    },
    positionals = { { "folder", help = "a folder of text files" } },
  }, argv)
  local letters = pipeline(args.engine)
  if args.again then letters:again "check" end
  if args.retry then letters:retry() end
  local report = letters:run(documents((args.folder:gsub("/+$", ""))))
  print(("%d letters, %d calls, %d failed: %s"):format(write(letters, args.output), report.calls, report.dead, args.output))
  for item in letters:failed() do print(("  %s (%s): %s"):format(item.id, item.stage, item.reason)) end
end)
