#!/usr/bin/env stoke
-- summarize.lua: summarize a text of any length. Each paragraph is cut down to a note, a few at
-- once; the notes, in order, become one summary. A paragraph that fails is left out and counted.
--
-- Needs: an Ollama with any model, or --sim.
-- Try:   stoke agents/summarize.lua README.md --sim=auto
--        stoke agents/summarize.lua book.txt --limit 4 --model qwen2.5:3b

local stoke = require "stoke"
local args = require "stoke.args"
local fs = require "stoke.fs"
local log = require "stoke.log"
local ollama = require "stoke.ollama"

local SPEC = {
  name = "summarize.lua", summary = "Summarize a text file of any length.",
  examples = { { "summarize.lua README.md", "with the newest model" },
               { "summarize.lua book.txt --limit 4 -m qwen2.5:3b", "four paragraphs at once" } },
  options = { { "model", short = "m", help = "model to ask; without it the newest" },
              { "limit", default = 4, help = "paragraphs in work at once" },
              { "words", default = 80, help = "length of the summary" } },
  positionals = { { "file", help = "the text" } },
}

-- Blank lines part paragraphs; short neighbours are joined, so that no call is wasted on a heading.
local function paragraphs(text)
  local list, open = {}, ""
  for p in (text:gsub("\r\n", "\n") .. "\n\n"):gmatch "(.-)\n%s*\n" do
    if p:find "%S" then open = open .. p .. "\n" end
    if #open >= 600 then list[#list + 1], open = open, "" end
  end
  if open ~= "" then list[#list + 1] = open end
  return list
end

local function newest()
  local m = ollama.tags().models[1]
  return m and m.name or error "the server has no models: stoke pull qwen2.5:3b"
end

local function ask(model, task, text)
  local reply = ollama.chat { model = model, messages = {
    { role = "system", content = task }, { role = "user", content = text } } }
  return reply.message.content
end

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local model = a.model or newest()
  local parts = paragraphs(fs.read(a.file))
  if #parts == 0 then error(a.file .. " is empty") end

  local scope <close> = stoke.scope()
  local failed = 0
  local notes = scope:map(parts, function(part, i)
    local note, err = stoke.try(ask, model, "Give the main point in one sentence.", part)
    if err then
      failed = failed + 1
      log.warn("a paragraph is left out", { paragraph = i, error = err.message })
    end
    return note or ""
  end, { limit = a.limit })
  if failed == #parts then error "no paragraph could be read" end
  log.info("read", { paragraphs = #parts, failed = failed })

  print(ask(model, ("Write one summary of at most %d words."):format(a.words),
            table.concat(notes, "\n")))
end)
