-- stoke chat [MODEL]: a plain conversation. On a terminal it prompts; from a pipe each line is one
-- message and only the answers are printed.

local args = require "stoke.args"
local errors = require "core.errors"
local call = require "stoke.ollama.call"
local ollama = require "stoke.ollama"
local stdio = require "core.stdio"
local term = require "stoke.term"

local SPEC = {
  name = "stoke chat", summary = "Talk to a model in the terminal.",
  examples = { { "stoke chat qwen2.5:3b", "Ctrl-C stops an answer, Ctrl-D ends" },
               { "echo \"Name a river\" | stoke chat qwen2.5:3b", "one line, one message" },
               { "stoke chat --system \"Answer in verse.\"", "the newest model" } },
  options = { { "system", short = "s", placeholder = "TEXT", help = "instructions for the model" },
              { "think", type = "boolean", help = "let the model think first (shown dimmed)" },
              { "stats", type = "boolean", help = "tokens and seconds after each answer" } },
  positionals = { { "model", optional = true, help = "the model; without it the newest" } },
}

local COMMANDS = [[
/clear   forget the conversation
/bye     end (Ctrl-D does too)
]]

local function stats_text(u)
  local text = ("%d tokens in, %d out, %s"):format(u.input_tokens or 0, u.output_tokens or 0,
                                                   term.duration(u.seconds or 0))
  if (u.load_seconds or 0) >= 0.1 then
    text = text .. (", %s of it loading"):format(term.duration(u.load_seconds))
  end
  return text
end

-- Print the events of one answer as they come; returns its text and the done event.
local function show_answer(chat, events)
  local text, thinking, done = {}, false, nil
  local shown = chat.tty and term.clean or function(s) return s end
  for ev in events do
    if ev.type == "thinking" then
      thinking = true
      if chat.tty then stdio.write(term.paint("dim", shown(ev.text), chat.colour)) end
    elseif ev.type == "text" then
      if thinking and chat.tty then stdio.write "\n\n" end
      thinking = false
      text[#text + 1] = ev.text
      stdio.write(shown(ev.text))
    elseif ev.type == "done" then
      done = ev
    end
  end
  stdio.write "\n"
  return table.concat(text), done
end

-- One turn. What was said stays said only if the model answered.
local function turn(chat, line)
  local messages = chat.messages
  messages[#messages + 1] = { role = "user", content = line }
  local text, done = show_answer(chat, ollama.stream {
    model = chat.model, messages = messages, think = chat.think })
  text = call.without_thinking({ model = chat.model }, text)
  messages[#messages + 1] = { role = "assistant", content = text }
  if chat.stats and done and done.usage then
    stdio.err(term.paint("dim", stats_text(done.usage), chat.colour) .. "\n")
  end
end

local function forget(chat)
  chat.messages = chat.system and { { role = "system", content = chat.system } } or {}
end

-- On a terminal Ctrl-C stops the answer and not the conversation, and an error is shown; either way the turn is forgotten.
local function ask(chat, line)
  if not chat.tty then return turn(chat, line) end
  local before = #chat.messages
  local _, err = term.interruptible(turn, chat, line)
  if not err then return end
  for i = #chat.messages, before + 1, -1 do chat.messages[i] = nil end
  local text = err.kind == "cancelled" and "\n(stopped)" or term.clean(tostring(err))
  stdio.err(term.paint("red", text, term.colour(2)) .. "\n")
end

-- Words of the conversation itself. Returns "end", "done" or nil for an ordinary message.
local function command(chat, line)
  local word = line:match "^(/%a+)%s*$"
  if word == "/bye" or word == "/exit" or word == "/quit" then return "end" end
  if word == "/clear" then
    forget(chat)
    return "done"
  elseif word == "/help" or line == "/?" then
    stdio.write(COMMANDS)
    return "done"
  elseif word then
    local near = errors.suggest(word, { "/bye", "/clear", "/help" })
    stdio.err(("no command %s%s\n"):format(word, near and ", did you mean " .. near .. "?" or ""))
    return "done"
  end
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local chat = { model = a.model or ollama.newest(), system = a.system, think = a.think,
                 stats = a.stats, tty = term.interactive(),
                 colour = term.colour(1) }
  forget(chat)
  if chat.tty then stdio.err(("%s; /help, /bye\n"):format(chat.model)) end
  while true do
    local line = stdio.read_line(chat.tty and ">>> " or "")
    if not line then break end
    if line:find "%S" then
      local what = command(chat, line)
      if what == "end" then return end
      if not what then ask(chat, line) end
    end
  end
  if chat.tty then stdio.write "\n" end
end
