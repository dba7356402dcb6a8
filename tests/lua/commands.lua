-- Command lines of stoke as documents, help texts and hints tell them: found in a text, and judged by the descriptions that the
-- verbs really parse by.

local args = require "stoke.args"
local cmd = require "stoke.cmd"
local doc = require "stoke.doc"
local fs = require "stoke.fs"
local runtime = require "stoke.cmd.flags"
local script = require "core.script"

local M = {}

-- ---- a line as words ----------------------------------------------------------------------------------------------------------

--- The commands of a shell line, each a list of words. A word is { text =, quoted = }.
local function commands(line)
  local list, words, word, i = {}, {}, nil, 1
  local function add(text, quoted)
    word = word or { text = "", quoted = false }
    word.text, word.quoted = word.text .. text, word.quoted or quoted
  end
  local function end_word()
    if word then words[#words + 1] = word end
    word = nil
  end
  local function end_command()
    end_word()
    if words[1] then list[#list + 1] = words end
    words = {}
  end
  while i <= #line do
    local c = line:sub(i, i)
    if c == "'" then
      local text = line:match("^'([^']*)'", i)
      if not text then return nil, "a quote is not closed" end
      add(text, true)
      i = i + #text + 2
    elseif c == '"' then
      local close, text = i + 1, {}
      while close <= #line and line:sub(close, close) ~= '"' do
        if line:sub(close, close) == "\\" then close = close + 1 end
        text[#text + 1] = line:sub(close, close)
        close = close + 1
      end
      if close > #line then return nil, "a quote is not closed" end
      text = table.concat(text)
      local inner = text:match "^%$%((stoke .*)%)$" -- eval "$(stoke completion bash)"
      if inner then table.move(commands(inner), 1, 9, #list + 1, list) end
      add(text, true)
      i = close + 1
    elseif c == "#" and not word then
      break
    elseif c:find "[|&;<>()]" then
      if c == "<" or c == ">" then -- what follows is a file
        end_word()
        local file = line:match("^[<>]+%s*([^%s|&;<>()]*)", i)
        i = i + #line:match("^[<>]+%s*", i) + #file
      else
        end_command()
        i = i + 1
      end
    elseif c:find "%s" then
      end_word()
      i = i + 1
    else
      add(c)
      i = i + 1
    end
  end
  end_command()
  return list
end

-- ---- judging ------------------------------------------------------------------------------------------------------------------

local function is_placeholder(text) return text:find "^[A-Z][A-Z_|]*$" or text:find "^%%" end

local function spec_of_script(path)
  script.run_body(path)
  local main = script.main
  return main and args.described(function(argv) main(argv) end)
end

--- Without what looks at this machine.
local function pure(spec)
  local out = {}
  for key, value in pairs(spec) do out[key] = value end
  for _, part in ipairs { "options", "positionals" } do
    out[part] = {}
    for i, item in ipairs(spec[part] or {}) do
      local copy = {}
      for key, value in pairs(item) do copy[key] = value end
      copy.convert = nil
      out[part][i] = copy
    end
  end
  return out
end

local function parse(spec, words)
  local given = {}
  for _, word in ipairs(words) do
    if word == "--help" or word == "-h" then return nil end
    if word == "N" or word == "S" or word == "%d" then word = "1" end
    if not word:find "^%.%.%.$" then given[#given + 1] = word end
  end
  local ok, err = pcall(args.parse, pure(spec), given)
  if ok or err.kind == "exit" then return nil end
  if err.message:find "wants .*'%u+'$" or err.message:find "cannot be '%u+'" then return nil end -- a placeholder
  if err.message:find "wants a value" then return nil end -- which a message gives in words
  return err.message
end

--- Words behind a script's name, by the script's own description where it is ours.
local function judge_script(file, words)
  if is_placeholder(file) or file == "-" then return nil end
  if not file:find "%.lua$" and not file:find "/" then return ("%s is neither a verb nor a script"):format(file) end
  local path = fs.stat(file) and file or fs.stat("agents/" .. file) and "agents/" .. file
  if not path or not path:find "^agents/" then return nil end
  local spec = spec_of_script(path)
  return spec and parse(spec, words)
end

local function judge_run(words)
  local i = 1
  while words[i] and words[i]:find "^%-." and words[i] ~= "-e" do
    local known = words[i] == "--watch" or words[i] == "--name" or words[i] == "--help" or words[i]:find "^%-%-durable"
    if not known then return "unknown flag " .. words[i] end
    i = i + (words[i] == "--name" and 2 or 1)
  end
  if words[i] == "-e" or not words[i] then return nil end
  return judge_script(words[i], table.move(words, i + 1, #words, 1, {}))
end

local function judge_verb(verb, words)
  if verb.name == "run" then return judge_run(words) end
  if verb.name == "help" and words[1] and not is_placeholder(words[1]) then
    if not cmd.find(words[1]) and not doc.find(words[1]) then return ("nothing is known of %s"):format(words[1]) end
  end
  return parse(args.described(cmd.command(verb)), words)
end

local function judge_words(words)
  local ok, flags, rest = pcall(runtime.split, words)
  if not ok then return flags.message end
  local first = rest[1]
  if first == nil or first == "--help" or first == "-h" or first == "--version" or first == "-V" then return nil end
  local more = table.move(rest, 2, #rest, 1, {})
  if first == "-e" then
    if is_placeholder(more[1] or "") then return nil end
    local chunk, problem = load(more[1] or "")
    return not chunk and problem or nil
  end
  if first:find "^%-." then return "unknown flag " .. first end
  if first == "VERB" or first == "FILE" then return nil end
  local verb = cmd.find(first)
  if verb then return judge_verb(verb, more) end
  return judge_script(first, more)
end

--- What is wrong with a whole line, or nil.
---@param line string as it would be typed
---@param part? boolean prose names the verb alone: nothing is missing
---@return string|nil
function M.judge(line, part)
  local list, problem = commands((line:gsub("%[=[^%]]*%]", ""):gsub("[%[%]]", "")))
  if not list then return problem end
  local seen = false
  for _, words in ipairs(list) do
    while words[1] and words[1].text:find "^[A-Z_]+=" do table.remove(words, 1) end
    if words[1] and words[1].text:find "^%$?[%w_/]*stoke$" then
      seen = true
      local texts = {}
      for i = 2, #words do texts[i - 1] = words[i].text end
      local wrong = judge_words(texts)
      if wrong and not (part and (wrong:find "^missing argument" or wrong:find "wants a value")) then return wrong end
    end
  end
  return not seen and "no command of stoke" or nil
end

-- ---- finding ------------------------------------------------------------------------------------------------------------------

--- Lines of code and words in backquotes in Markdown, or in the comments of a script.
function M.in_document(text)
  local out = {}
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    local code = line:match "^    (stoke .*)$" or line:match "^%-%-%s+Try:%s+(.*)$" or line:match "^%-%-%s%s%s%s+(.*stoke .*)$"
    if code then out[#out + 1] = code end
    for quoted in line:gmatch "`(stoke [^`]*)`" do out[#out + 1] = quoted end
  end
  return out
end

--- What messages and hints tell a user to type, in a source: a verb, and what is certainly meant as its words. Prose may follow.
function M.in_source(text)
  local out = {}
  text = ("\n" .. text):gsub("\n%s*%-%- [^\n]*", "") -- comments speak to us
  text = text:gsub("\\n", "\n")
  for rest in text:gmatch "[\"'(` ]stoke (%l[^\"'\n`;,)|]*)" do
    local words = {}
    for word in rest:gmatch "%S+" do
      word = word:gsub("[.:]$", "")
      local argument = #words == 0 or word:find "^%-%-?%a" or is_placeholder(word) or word:find "^[%w._]+:[%w._]+$"
      if not argument then break end
      words[#words + 1] = word
    end
    if cmd.find(words[1]) then out[#out + 1] = "stoke " .. table.concat(words, " ") end
  end
  return out
end

return M
