#!/usr/bin/env stoke
-- notebook.lua: an agent that keeps notes in a database and finds them again by their words. A model
-- forgets when its window ends; a file does not. Two tools write and search (SQLite's full-text search).
--
-- Needs: an Ollama with a model that calls tools (stoke pull qwen2.5:3b), or --sim.
-- Try:   stoke agents/notebook.lua "Remember that Ada likes figs, and that Bob is allergic to nuts."
--        stoke agents/notebook.lua "What can I bake for Bob?"

local stoke = require "stoke"
local args = require "stoke.args"
local ollama = require "stoke.ollama"

local SPEC = {
  name = "notebook.lua", summary = "An agent that keeps notes, and finds them again.",
  examples = { { "notebook.lua 'Remember that Ada likes figs.'", "keep something" },
               { "notebook.lua 'What does Ada like?' -f ~/notes.db", "ask, with another notebook" } },
  options = { { "file", short = "f", default = "notebook.db", help = "the notebook; it is made when it is not there" },
              { "model", short = "m", help = "model to ask; without it the newest with tools" } },
  positionals = { { "prompt", help = "what to keep, or a question" } },
}

-- What a model writes is no query: its words in quotes, any of which may be in a note.
local function query(words)
  local list = {}
  for word in words:gmatch "[%w\128-\255]+" do list[#list + 1] = ('"%s"'):format(word) end
  return table.concat(list, " OR ")
end

local function tools(notes)
  local remember = stoke.tool {
    name = "remember", description = "Keep one fact as a note", params = { text = "string: the fact, as a whole sentence" },
    run = function(a)
      if notes:one("select 1 as known from notes where text = ?", a.text) then return "It was noted already." end
      local _, id = notes:exec("insert into notes (text, day) values (?, ?)", a.text, os.date "!%Y-%m-%d")
      return ("Note %d is kept."):format(id)
    end,
  }
  local search = stoke.tool {
    name = "search_notes", description = "Notes with any of some words, the best first", params = { words = "string" },
    run = function(a)
      local words, lines = query(a.words), {}
      if words == "" then return "No words were given." end
      for _, note in ipairs(notes:query("select day, text from notes where notes match ? order by rank limit 8", words)) do
        lines[#lines + 1] = note.day .. ": " .. note.text
      end
      return lines[1] and table.concat(lines, "\n") or "Nothing is noted about that."
    end,
  }
  return { remember, search }
end

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local model = a.model or ollama.newest "tools"
  local notes <close> = stoke.db.open(a.file)
  notes:exec "create virtual table if not exists notes using fts5(text, day unindexed)"
  local bot = stoke.agent { name = "notebook", model = model, tools = tools(notes),
    instructions = "You keep a notebook. Remember each fact you are told with the tool, one note a fact. Before you answer a " ..
      "question, search the notes for its words. Answer in one sentence, from the notes." }
  for ev in bot:stream(a.prompt) do
    if ev.type == "text" then io.write(ev.text) end
    if ev.type == "tool_call" then io.stderr:write(("> %s %s\n"):format(ev.name, ev.arguments.text or ev.arguments.words)) end
    if ev.type == "tool_result" then io.stderr:write((ev.text:gsub("[^\n]+", "< %0")), "\n") end
  end
  print()
end)
