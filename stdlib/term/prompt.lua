--- Line input for programs: stoke.term.prompt, and the verbs that hold a conversation. A prompt owns the terminal while it reads,
--- or for a whole conversation.

local input = require "core.driver.input"
local errors = require "core.errors"
local histories = require "stoke.term.history"
local keeper = require "core.keeper"
local stdio = require "core.stdio"
local terminals = require "stoke.term.terminal"

local M = {}

local OPTIONS = { prompt = "string", more = "string", text = "string", hint = "string", history = true, complete = true,
  finished = "function", secret = "boolean" }

-- ---- who has the terminal ----------------------------------------------------------------------------------------------------

local shared -- { terminal, users, hint }: one for all tasks that read

--- End the program as the signal of Ctrl-C does.
local function leave(number, name)
  if shared.before then return shared.before(number, name) end
  keeper.on_signal = nil
  keeper.exit(128 + number)
end

--- Ctrl-C at a prompt discards the line; on an empty line it says how to leave, and a second one in a row leaves.
---@return boolean taken
local function interrupted()
  local what = shared.terminal:interrupt()
  if what == "empty" and shared.warned then
    leave(2, "SIGINT")
  elseif what then
    shared.warned = what == "empty"
    if shared.warned then stdio.err(shared.hint .. "\n") end
  end
  return what and true or false
end

local function on_interrupt() interrupted() end

--- A signal: Ctrl-C from outside, or on a terminal that gives whole lines, or while nobody reads.
local function on_signal(number, name)
  if number == 2 and interrupted() then return end
  leave(number, name)
end

local function take(hint)
  if not shared then
    local plain = os.getenv "TERM" == "dumb"
    local terminal = terminals.open { plain = plain, on_interrupt = on_interrupt }
    if not plain then stdio.put(1, terminal:next_row()) end
    shared = { users = 0, terminal = terminal, before = keeper.on_signal }
    keeper.on_signal = on_signal
  end
  shared.users, shared.hint = shared.users + 1, hint
  return shared.terminal
end

local Given = { __close = function()
  shared.users = shared.users - 1
  if shared.users > 0 then return end
  local terminal = shared.terminal
  if keeper.on_signal == on_signal then keeper.on_signal = shared.before end
  shared = nil
  terminal:close()
end }

--- The terminal for a whole conversation, a to-be-closed value: what is typed meanwhile waits for the next read, and what others
--- write goes round the line that is typed. Only where input and output are terminals.
---@param hint string what Ctrl-C says at an empty prompt
---@return table guard
function M.hold(hint)
  return setmetatable({ terminal = take(hint) }, Given)
end

-- ---- histories ---------------------------------------------------------------------------------------------------------------

local opened = {} -- path -> history: read once

local function history_of(given)
  if given == nil or given == false then return nil end
  if type(given) == "table" then
    for i, entry in ipairs(given) do
      if type(entry) ~= "string" then errors.argument("term.prompt: history[%d] must be a string, got %s", i, type(entry)) end
    end
    return { entries = given, add = function(self, entry)
      if self.entries[#self.entries] ~= entry then self.entries[#self.entries + 1] = entry end
    end }
  end
  if type(given) ~= "string" or given == "" then
    errors.argument("term.prompt: history must be a name, a path or a list of entries, got %s", errors.describe(given))
  end
  local path = histories.path(given)
  if not path then
    opened[given] = opened[given] or histories.open(nil)
    return opened[given]
  end
  opened[path] = opened[path] or histories.open(path)
  return opened[path]
end

-- ---- completion --------------------------------------------------------------------------------------------------------------

--- Completion from a list of words: of the word before the cursor.
local function from_words(words)
  return function(before)
    local at, start = before:match "()(%S*)$"
    local list = {}
    for _, word in ipairs(words) do
      if word:sub(1, #start) == start then list[#list + 1] = word end
    end
    return at, list
  end
end

--- What the script's own function says, checked: an error there, or a wait, must not take the keyboard along.
local function checked(f)
  return function(before)
    local ok, from, list, later = pcall(f, before)
    if not ok or math.type(from) ~= "integer" or from < 1 or from > #before + 1 or type(list) ~= "table" then return nil end
    local words = {}
    for _, word in ipairs(list) do
      if type(word) == "string" and not word:find "%c" then words[#words + 1] = word end
    end
    return from, words, later
  end
end

--- Entries that do not come from a terminal: lines, until `finished` says that they are one.
---@param finished fun(text: string): boolean
---@return fun(): string|nil
function M.piped(finished)
  return function()
    local text
    repeat
      local line = stdio.read_line()
      if not line then return text end
      text = text and text .. "\n" .. line or line
    until finished(text)
    return text
  end
end

-- ---- reading -----------------------------------------------------------------------------------------------------------------

local function check(options)
  if type(options) == "string" then options = { prompt = options } end
  options = errors.options(options, OPTIONS, "term.prompt")
  local complete = options.complete
  if complete ~= nil and type(complete) ~= "table" and type(complete) ~= "function" then
    errors.argument("term.prompt: complete must be a function or a list of words, got %s", type(complete))
  end
  return { prompt = options.prompt or "> ", more = options.more or "", text = options.text, finished = options.finished,
    secret = options.secret,
    complete = complete and (type(complete) == "table" and from_words(complete) or checked(complete)), below = true },
    not options.secret and history_of(options.history) or nil, options.hint or "(Ctrl-D ends)"
end

--- See stoke.term.prompt.
---@param options? string|stoke.term.prompt.options
---@return string|nil
function M.read(options)
  local wanted, history, hint = check(options)
  if not (stdio.is_tty(0) and stdio.is_tty(1)) then
    if stdio.is_tty(0) then stdio.err(wanted.prompt) end -- its output goes elsewhere, and somebody sits there
    return input.read "line"
  end
  wanted.history = history and history.entries
  local text
  if stdio.holder and stdio.holder.read and not (shared and stdio.holder == shared.terminal) then
    wanted.below = nil -- a question inside somebody else's prompt
    text = stdio.holder:read(wanted)
  else
    local terminal = take(hint)
    local guard <close> = setmetatable({}, Given)
    terminal:fresh_line()
    text = terminal:read(wanted)
    shared.warned = false
  end
  if history and text then history:add(text) end
  return text
end

return M
