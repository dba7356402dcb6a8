#!/usr/bin/env stoke
-- research.lua: a question is answered by a small team. A manager splits it into questions; workers look
-- for the answers at once, each an agent with tools of its own on the documents in --root; an editor merges
-- their notes into one answer, which streams. A worker that fails is replaced by one that is told what went
-- wrong; if that one fails, too, a reader answers from what the two have read; and if even that is not enough,
-- the editor is told why the question is open. The whole team shares one budget of tokens and one deadline:
-- exit code 6 or 124 when they are used up.
--
-- Needs: an Ollama with a model that calls tools (stoke pull qwen2.5:3b), or --sim.
-- Try:   stoke agents/research.lua "How is an effect cancelled?" --root lua
--        stoke agents/research.lua "What changed?" --root docs --workers 6 --tokens 50000 --deadline 120

local stoke = require "stoke"
local args = require "stoke.args"
local ollama = require "stoke.ollama"
local term = require "stoke.term"
local usage = require "stoke.agent.usage"

local function positive(n) return n > 0 and n or error("it must be above 0", 0) end

local SPEC = {
  name = "research.lua", summary = "A manager, workers with tools and an editor answer a question from documents.",
  examples = { { "research.lua \"How do I install it?\" --root docs", "from the files in docs" },
               { "research.lua \"Compare A and B\" --tokens 50000 --deadline 120", "at most so much" } },
  options = { { "model", short = "m", help = "model to ask; without it the newest with tools" },
              { "root", default = ".", placeholder = "DIR", help = "the documents" },
              { "web", type = "boolean", help = "workers may read web pages, too" },
              { "workers", default = 4, convert = positive, help = "questions at most, and workers at once" },
              { "tokens", type = "integer", convert = positive, help = "tokens all may use together" },
              { "deadline", type = "number", convert = positive, placeholder = "S", help = "seconds for all" } },
  positionals = { { "question", help = "what to find out" } },
}

local function note(format, ...) io.stderr:write(term.paint("dim", format:format(...), term.colour(2)), "\n") end

local function team(a)
  local model, box = a.model or ollama.newest "tools", stoke.tools
  local tools = { box.list_dir { root = a.root }, box.read_file { root = a.root }, box.calculator() }
  if a.web then table.insert(tools, box.http_fetch()) end
  local manager = stoke.agent {
    name = "manager", model = model, output = { questions = ("string[] 1..%d"):format(a.workers) },
    instructions = "Split the request into the few separate questions that must be answered for it. "
      .. "Somebody else answers each of them from documents, without knowing the request or the other questions.",
  }
  local function hire(n) -- a worker is cheap: an agent is a table
    return stoke.agent {
      name = "worker " .. n, model = model, max_steps = 8, tools = tools,
      instructions = "Answer the question from the documents. List them, read what matters, then answer in at most "
        .. "five sentences and name the files. Say so if they do not tell.",
    }
  end
  local reader = stoke.agent { -- no tools: it cannot get lost
    name = "reader", model = model,
    instructions = "Answer the question from the excerpts, and only from them, in at most five sentences. Name the files. "
      .. "Say so if they do not tell.",
  }
  local editor = stoke.agent {
    name = "editor", model = model,
    instructions = "Write one answer to the request from the notes, and only from them. Say what stayed open.",
  }
  return manager, hire, reader, editor
end

-- What a run has read before it failed: the results of its tools, by the call that brought them.
local function excerpts_of(work, list)
  local asked = {}
  for _, message in ipairs(work and work.messages or {}) do
    for _, call in ipairs(message.tool_calls or {}) do
      asked[call.id] = call["function"].name .. " " .. stoke.json.encode(call["function"].arguments)
    end
    if message.role == "tool" and not message.content:find "^error" then
      list[#list + 1] = ("[%s]\n%s"):format(asked[message.tool_call_id] or message.tool_name, message.content:sub(1, 4000))
    end
  end
end

-- Errors that a second worker would meet as well.
local FOR_ALL = { budget = true, deadline = true, refused = true, auth = true, unreachable = true, denied = true }

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local scope <close> = stoke.scope { deadline = a.deadline, budget = a.tokens and { tokens = a.tokens } }
  local manager, hire, reader, editor = team(a)
  local spent = usage.new()

  local function work(agent, question, excerpts)
    local result, err = stoke.try(agent.run, agent, question)
    local done = result or err.work
    if done then usage.add(spent, done.usage) end
    if not err then return result.text end
    if FOR_ALL[err.kind] then error(err, 0) end
    excerpts_of(done, excerpts)
    return nil, err
  end

  -- One question, by whoever can answer it: a text, or nil and why not.
  local function answer(i, question)
    local excerpts = {}
    local text, err = work(hire(i), question, excerpts)
    if text then return text end
    note("worker %d is replaced: %s", i, err.message)
    text, err = work(hire(i), ("%s\n\nSomebody tried before you, and failed: %s. Go about it another way."):format(question,
      err.message), excerpts)
    if text or #excerpts == 0 then return text, err end
    note("the reader takes over from worker %d: %s", i, err.message)
    return work(reader, ("Question: %s\n\nExcerpts:\n\n%s"):format(question, table.concat(excerpts, "\n\n")), excerpts)
  end

  local plan = manager:run(a.question)
  usage.add(spent, plan.usage)
  local questions = plan.output.questions
  for i, question in ipairs(questions) do note("%d. %s", i, term.clean(question)) end

  local open = 0
  local notes = scope:map(questions, function(question, i)
    local text, err = answer(i, question)
    if err then open = open + 1 end
    note(err and "question %d stays open: %s" or "question %d is answered", i, err and err.message)
    return ("Question %d: %s\nNote: %s"):format(i, question, text or ("(open: %s)"):format(err.message))
  end, { limit = a.workers })
  if open == #questions then error("no worker found an answer", 0) end

  for ev in editor:stream(("Request: %s\n\n%s"):format(a.question, table.concat(notes, "\n\n"))) do
    if ev.type == "text" then io.write(ev.text) end
    if ev.type == "done" then usage.add(spent, ev.result.usage) end
  end
  note("\n%d questions, %d open; %d calls, %d tool calls, %d tokens in, %d out, %.1f s of model time", #questions, open,
    spent.calls, spent.tool_calls, spent.input_tokens, spent.output_tokens, spent.seconds)
end)
