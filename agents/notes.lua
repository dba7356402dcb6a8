#!/usr/bin/env stoke
-- notes.lua: questions to a folder of documents, answered from passages that are found in it; each statement
-- has the number of the passage it rests on, and the passages are listed with file and lines. The folder is read once;
-- the next time what has changed alone is.
--
-- Needs: an Ollama with any model, better one for embeddings as well (stoke pull nomic-embed-text), or --sim.
-- Try:   stoke agents/notes.lua docs "How is a run resumed?"
--        stoke agents/notes.lua ~/notes "When is the rent due?" --embed nomic-embed-text --only "*.md"
--        stoke agents/notes.lua docs "deadlines" --search

local stoke = require "stoke"
local args = require "stoke.args"
local ollama = require "stoke.ollama"
local term = require "stoke.term"

local SPEC = {
  name = "notes.lua", summary = "Answer a question from the documents in a folder, with the lines it rests on.",
  examples = { { "notes.lua docs 'How is a run resumed?'", "found by its words" },
               { "notes.lua docs 'How?' -e nomic-embed-text", "and by what it means" },
               { "notes.lua docs deadlines --search -k 3", "passages alone, no model" } },
  options = { { "embed", short = "e", help = "model that makes vectors; without it words alone are compared" },
              { "model", short = "m", help = "model that answers; without it the newest" },
              { "file", short = "f", placeholder = "FILE", help = "keep the index in this file" },
              { "only", placeholder = "GLOB", help = "read these files alone: \"*.md\"" },
              { "k", short = "k", default = 6, help = "passages that are looked at" },
              { "search", type = "boolean", help = "show the passages, ask no model" } },
  positionals = { { "folder", help = "the documents" }, { "question", help = "what to find out" } },
}

local function note(format, ...) io.stderr:write(term.paint("dim", format:format(...), term.colour(2)), "\n") end

-- Where a passage stands, on one line.
local function place(hit)
  local heading = hit.heading ~= "" and "  " .. hit.heading or ""
  return term.clean(("%s:%d-%d%s"):format(hit.file, hit.lines[1], hit.lines[2], heading))
end

local function open(a)
  local bar <close> = term.progress { label = "reads" }
  local notes = stoke.notes(a.folder, { embed = a.embed, file = a.file, only = a.only and { a.only },
    progress = function(done, total) bar:update("reads", done, total) end })
  local report = notes.report
  note("%d files: %d new, %d changed, %d gone", #notes:files(), #report.added, #report.changed, #report.gone)
  for _, one in ipairs(report.skipped) do note("passed over: %s: %s", term.clean(one.file), one.why) end
  return notes
end

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local model = not a.search and (a.model or ollama.newest())
  local notes <close> = open(a)
  if a.search then
    for _, hit in ipairs(notes:search(a.question, { k = a.k })) do
      print(("%s\n%s\n"):format(term.paint("bold", place(hit)), term.clean(hit.text)))
    end
    return
  end
  local answer = notes:ask(a.question, { model = model, k = a.k })
  print(term.clean(answer.text))
  if answer.citations[1] then print() end
  for _, one in ipairs(answer.citations) do print(("[%d] %s"):format(one.number, place(one))) end
  if answer.removed[1] then note("left out, as there are no such passages: %s", table.concat(answer.removed, ", ")) end
end)
