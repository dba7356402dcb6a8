#!/usr/bin/env stoke
-- farm.lua: reads letters of customers on as many machines as there are. Each letter is a durable run: a model says what it is
-- about and drafts an answer, which is filed once. Alone it does them itself; with an engine that machines share (a URL), workers
-- do, and a letter whose machine is switched off is finished by another one.
--
-- Needs: an Ollama with a model that keeps to a schema (stoke pull qwen2.5:3b), or --sim. For many machines PostgreSQL or NATS.
-- Try:   stoke agents/farm.lua tests/agents/ledger/*.txt
--        stoke worker --engine local:/tmp/farm.db agents/farm.lua          (as often as you like; kill one: nothing is lost)
--        STOKE_ENGINE=local:/tmp/farm.db stoke agents/farm.lua tests/agents/ledger/*.txt

local stoke = require "stoke"
local args = require "stoke.args"
local fs = require "stoke.fs"
local json = require "stoke.json"
local ollama = require "stoke.ollama"

local SPEC = {
  name = "farm.lua", summary = "Sort letters and draft answers, on one machine or many.",
  examples = { { "farm.lua letters/*.txt", "a line for each: what it is about, and how urgent" },
               { "farm.lua letters/*.txt --json", "one JSON object a line, with the drafts" } },
  options = { { "model", short = "m", help = "model to ask; without it the newest" },
              { "json", type = "boolean", help = "one JSON object a line" } },
  positionals = { { "files", type = "list", help = "letters, a file each" } },
}

local LETTER = { subject = "string: at most eight words", urgent = "boolean", answer = "string: two sentences" }

local function newest()
  local model = ollama.tags().models[1]
  return model and model.name or error "the server has no models: stoke pull qwen2.5:3b"
end

-- The text goes with the input: the machine that does it does not have the file.
local letter = stoke.workflow("letter", function(input)
  local clerk = stoke.agent { name = "clerk", model = input.model or newest(), output = LETTER,
    instructions = "You read letters to a small shop. Say what the letter is about, and draft an answer." }
  local read = clerk:run(input.text).output
  local filed = stoke.step("file", function(step) -- in a real shop: an order in some other system, which knows it by this key
    return ("%s-%s"):format(read.urgent and "now" or "later", step.key and step.key:sub(1, 8) or "alone")
  end, { idempotent = true })
  return { subject = read.subject, urgent = read.urgent, answer = read.answer, filed = filed }
end)

-- The same letter is the same run, whoever begins it again; one that was changed is another.
local function begin(path, model)
  local stat = fs.stat(path)
  local id = ("%s %s %s"):format(path:match "[^/]+$", stat.size, stat.mtime)
  return letter:start({ text = fs.read(path), model = model }, { id = id })
end

local function show(path, done, err, as_json)
  if as_json then
    local line = done or { error = err.message }
    line.file = path
    print(json.encode(line))
  elseif err then
    print(("%-24s failed: %s"):format(path:match "[^/]+$", err.message))
  else
    print(("%-24s %s %s"):format(path:match "[^/]+$", done.urgent and "!" or " ", done.subject))
  end
end

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local scope <close> = stoke.scope {}
  local first
  scope:map(a.files, function(path)
    local done, err = stoke.try(function() return begin(path, a.model):await() end)
    first = first or err
    show(path, done, err, a.json)
  end, { limit = 100 })
  if first then error(first, 0) end
end)
