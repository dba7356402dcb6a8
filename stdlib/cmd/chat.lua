-- stoke chat [MODEL]: a plain conversation. On a terminal it has the editor of the prompt; from a pipe each line is one
-- message and only the answers are printed.

local args = require "stoke.args"
local complete = require "stoke.repl.complete"
local engine = require "core.json"
local errors = require "core.errors"
local model = require "stoke.model"
local fs = require "stoke.fs"
local histories = require "stoke.term.history"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local prompts = require "stoke.term.prompt"
local stdio = require "core.stdio"
local term = require "stoke.term"

local SPEC = {
  name = "stoke chat", summary = "Talk to a model in the terminal.",
  examples = { { "stoke chat qwen2.5:3b", "Ctrl-C stops an answer, Ctrl-D ends, /help lists the commands" },
               { "echo \"Name a river\" | stoke chat qwen2.5:3b", "one line, one message" },
               { "stoke chat --system \"Answer in verse.\"", "the newest model" },
               { "stoke chat --resume talk.json", "a conversation that /save wrote" } },
  options = { { "system", short = "s", placeholder = "TEXT", help = "instructions for the model" },
              { "think", type = "boolean", help = "let the model think first (shown dimmed)" },
              { "stats", type = "boolean", help = "tokens and seconds after each answer" },
              { "resume", placeholder = "FILE", help = "go on with a conversation that /save wrote" },
              { "no-history", type = "boolean", help = "keep nothing of what is entered" } },
  positionals = { { "model", optional = true, help = "the model; without it the newest" } },
}

local HINT = "(Ctrl-D or /bye ends, /help lists the commands)"

-- ---- answers ----------------------------------------------------------------------------------------------------------

local function stats_text(u)
  local text = ("%d tokens in, %d out, %s"):format(u.input_tokens or 0, u.output_tokens or 0, term.duration(u.seconds or 0))
  if (u.load_seconds or 0) >= 0.1 then text = text .. (", %s of it loading"):format(term.duration(u.load_seconds)) end
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

-- What is sent: the instructions, and what was said.
local function messages_of(chat)
  local list = chat.system and { { role = "system", content = chat.system } } or {}
  return table.move(chat.messages, 1, #chat.messages, #list + 1, list)
end

-- One turn. What was said stays said only if the model answered.
local function turn(chat, line)
  local messages = chat.messages
  messages[#messages + 1] = { role = "user", content = line }
  local text, done = show_answer(chat, ollama.stream { model = chat.model, messages = messages_of(chat), think = chat.think,
    class = "interactive", options = next(chat.options) and chat.options or nil })
  text = model.settled(model.open(chat.model), {}, text)
  messages[#messages + 1] = { role = "assistant", content = text }
  if chat.stats and done and done.usage then
    stdio.err(term.paint("dim", stats_text(done.usage), chat.colour) .. "\n")
  end
end

-- On a terminal Ctrl-C stops the answer and not the conversation, and an error is shown; either way the turn is forgotten.
local function ask(chat, line)
  if not chat.tty then return turn(chat, line) end
  local before = #chat.messages
  local _, err = term.interruptible(turn, chat, line)
  if not err then return end
  for i = #chat.messages, before + 1, -1 do chat.messages[i] = nil end
  if chat.terminal then chat.terminal:fresh_line() end
  local text = err.kind == "cancelled" and "(stopped)" or term.clean(tostring(err))
  stdio.err(term.paint("red", text, term.colour(2)) .. "\n")
end

-- ---- commands ---------------------------------------------------------------------------------------------------------
-- name -> { usage, summary, run = fun(chat, rest): what is said of it, or "end" }

local C = {}

local function usage(name)
  errors.raise("usage", ("%s: %s"):format(C[name].usage, C[name].summary), { hint = "/help lists the commands" })
end

C.bye = { usage = "/bye", summary = "end (Ctrl-D does too)", run = function() return "end" end }

C.clear = { usage = "/clear", summary = "forget the conversation", run = function(chat)
  chat.messages = {}
  return "forgotten"
end }

C.model = { usage = "/model [NAME]", summary = "go on with another model; or which one it is", run = function(chat, rest)
  if rest == "" then return chat.model end
  if rest:find "%s" then usage "model" end
  ollama.show(rest) -- raises for one that is not there
  chat.model = rest
  return "the next answer is by " .. rest
end }

C.system = { usage = "/system [TEXT]", summary = "other instructions, or none", run = function(chat, rest)
  chat.system = rest ~= "" and rest or nil
  return chat.system and "instructions changed" or "no instructions"
end }

local LEVELS = { on = true, off = false, low = "low", medium = "medium", high = "high" }

C.think = { usage = "/think [on|off|LEVEL]", summary = "let the model think first", run = function(chat, rest)
  local level = LEVELS[rest == "" and "on" or rest]
  if level == nil then usage "think" end
  chat.think = level
  return "thinking: " .. (rest == "" and "on" or rest)
end }

C.stats = { usage = "/stats [on|off]", summary = "tokens and seconds after each answer", run = function(chat, rest)
  if rest ~= "" and rest ~= "on" and rest ~= "off" then usage "stats" end
  chat.stats = rest ~= "off"
  return "stats: " .. (chat.stats and "on" or "off")
end }

C.save = { usage = "/save FILE", summary = "write it as JSON, for stoke chat --resume FILE",
  run = function(chat, rest)
    if rest == "" then usage "save" end
    if rest:sub(1, 2) == "~/" then rest = (os.getenv "HOME" or "~") .. rest:sub(2) end
    fs.write(rest, json.encode({ model = chat.model, system = chat.system, messages = json.array(chat.messages) },
      { pretty = true }) .. "\n")
    return ("%d messages are in %s"):format(#chat.messages, rest)
  end }

local function thinking_of(chat)
  if type(chat.think) == "string" then return chat.think end
  return chat.think == nil and "as the model likes" or chat.think and "on" or "off"
end

local function number_or_text(word)
  if word == "true" or word == "false" then return word == "true" end
  return tonumber(word) or word
end

C.set = { usage = "/set parameter NAME VALUE", summary = "temperature, num_ctx ...", run = function(chat, rest)
  local what, value = rest:match "^(%a+)%s*(.-)$"
  if what == "system" then return C.system.run(chat, (value:gsub('^"(.*)"$', "%1"))) end
  if what == "think" then return C.think.run(chat, value) end
  if what == "nothink" then return C.think.run(chat, "off") end
  if what == "verbose" or what == "quiet" then return C.stats.run(chat, what == "verbose" and "on" or "off") end
  local name, setting = value:match "^(%S+)%s+(.+)$"
  if what ~= "parameter" or not name then usage "set" end
  chat.options[name] = number_or_text(setting)
  return ("%s = %s"):format(name, setting)
end }

C.show = { usage = "/show", summary = "model, instructions, options, how much was said", run = function(chat)
  local out = { "model     " .. chat.model, "thinking  " .. thinking_of(chat),
    ("messages  %d"):format(#chat.messages) }
  if chat.system then out[#out + 1] = "system    " .. chat.system end
  if next(chat.options) then out[#out + 1] = "options   " .. term.format(chat.options) end
  return table.concat(out, "\n")
end }

C.help = { usage = "/help", summary = "this", run = function()
  local names, rows = {}, {}
  for name in next, C do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do rows[i] = { C[name].usage, C[name].summary } end
  return table.concat { term.layout(rows, { columns = stdio.is_tty(1) and term.columns() or nil }), "\n",
    "Alt-Enter       another line in the same message; or begin and end it with \"\"\"\n",
    "Ctrl-R, arrows  search and walk through what was entered before\n",
    "Ctrl-C          stops the answer, drops the line\n",
    "A message may begin with a slash behind a blank." }
end }

-- Other words for them, as people know them from elsewhere.
local OTHERS = { exit = "bye", quit = "bye", ["?"] = "help", load = "model" }

local function names_of_commands()
  local names = {}
  for name in next, C do names[#names + 1] = "/" .. name end
  table.sort(names)
  return names
end

-- Words of the conversation itself. Returns "end", "done" or nil for an ordinary message.
local function command(chat, line)
  local name, rest = line:match "^/([%a?]+)%f[%s%z]%s*(.-)%s*$"
  if not name then return nil end
  local found = C[OTHERS[name] or name]
  if not found then
    local near = errors.suggest("/" .. name, names_of_commands())
    if not chat.tty then -- nobody is there to correct it
      errors.raise("usage", "no command /" .. name, { hint = near and "did you mean " .. near .. "?" or "/help lists them" })
    end
    stdio.err(("no command /%s%s\n"):format(name, near and ", did you mean " .. near .. "?" or "; /help lists them"))
    return "done"
  end
  local ok, said = pcall(found.run, chat, rest)
  if not ok then
    if not errors.is(said) or said.kind == "cancelled" or not chat.tty then error(said, 0) end
    stdio.err(term.paint("red", term.clean(tostring(said)), term.colour(2)) .. "\n")
    return "done"
  end
  if said == "end" then return "end" end
  local write = (found == C.help or found == C.show) and stdio.write or stdio.err
  write(term.clean(said) .. "\n")
  return "done"
end

-- ---- reading ----------------------------------------------------------------------------------------------------------

local WORDS = { think = { "high", "low", "medium", "off", "on" }, stats = { "off", "on" },
  set = { "nothink", "parameter", "quiet", "system", "think", "verbose" } }

-- What Tab may make of the word before the cursor.
local function completion(before)
  local start = before:match "^/(%a*)$"
  local name, at, word = before:match "^/(%a+)%s+()(%S*)$"
  local list, from = {}, 1
  if start then
    for _, known in ipairs(names_of_commands()) do
      local more = C[known:sub(2)].usage:find " " and " " or "" -- what may follow can be typed at once
      if known:sub(1, #before) == before then list[#list + 1] = known .. more end
    end
  elseif name then
    name, from = OTHERS[name] or name, at
    if name == "model" then return at, complete.models(word) end
    if name == "save" then return at, complete.files(word) end
    for _, known in ipairs(WORDS[name] or {}) do
      if known:sub(1, #word) == word then list[#list + 1] = known end
    end
  else
    return nil
  end
  return from, list
end

-- """ begins a message of several lines, and ends it.
local function finished(text) return not text:find '^%s*"""' or text:find('"""', text:find '"""' + 3, true) ~= nil end

local function unquoted(text) return text:match '^%s*"""\n?(.-)\n?"""%s*$' or text end

-- Messages as they are typed.
local function typed(chat, keep)
  local terminal = chat.terminal
  local history = histories.open(keep and histories.path "chat" or nil)
  complete.on_models = function() terminal:complete_again() end
  complete.refresh_models()
  return function()
    local text = terminal:read { prompt = ">>> ", more = "... ", history = history.entries, complete = completion,
      finished = finished, below = true }
    if text then
      local _, why = history:add(text)
      if why then stdio.err(term.paint("dim", ("(not kept in the history: %s)"):format(why), term.colour(2)) .. "\n") end
    end
    return text
  end
end

-- ---- the conversation -------------------------------------------------------------------------------------------------

-- What /save wrote.
local function saved(path)
  local value, err = engine.decode(fs.read(path))
  local good = type(value) == "table" and type(value.messages) == "table"
  for _, message in ipairs(good and value.messages or {}) do
    good = good and type(message) == "table" and type(message.role) == "string" and type(message.content) == "string"
  end
  if not good then
    errors.raise("usage", ("%s is no conversation%s"):format(path, err and ": " .. err.message or ""),
      { hint = "/save FILE writes one" })
  end
  return { model = type(value.model) == "string" and value.model or nil,
    system = type(value.system) == "string" and value.system or nil,
    messages = table.move(value.messages, 1, #value.messages, 1, {}) }
end

local function loop(chat, read)
  for line in read do
    if line:find "%S" then
      local what = command(chat, line)
      if what == "end" then return true end
      if not what then ask(chat, unquoted(line)) end
    end
  end
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local before = a.resume and saved(a.resume) or { messages = {} }
  local chat = { model = a.model or before.model or ollama.newest(), system = a.system or before.system, think = a.think,
    stats = a.stats, tty = term.interactive(), colour = term.colour(1), messages = before.messages, options = {} }
  if not chat.tty then
    loop(chat, prompts.piped(finished))
    return
  end
  local so_far = #chat.messages > 0 and (", %d messages so far"):format(#chat.messages) or ""
  stdio.err(("%s%s; /help, /bye\n"):format(chat.model, so_far))
  local held <close> = prompts.hold(HINT)
  chat.terminal = held.terminal
  loop(chat, typed(chat, not a.no_history))
end
