--- Command rules: splits a command line without a shell, and matches its words against the allowed commands.
---
--- A rule is a line of words. They must be the command's own, one by one, and without more nothing may follow:
---
---     "git status"      git status, and nothing else
---     "git diff *"      any further words that are no options, assignments, or paths out of the folder
---     "ls -l *"         an option is allowed by standing in the rule
---     "pytest **"       any arguments may follow
---
--- `*` is refused where its words would be commands themselves: interpreters, wrappers (env, xargs), git without a subcommand.

local errors = require "core.errors"

local M = {}

local ARGUMENTS_MAX, BYTES_MAX = 256, 64 << 10

local function set(words)
  local out = {}
  for word in words:gmatch "%S+" do out[word] = true end
  return out
end

-- ---- one line -------------------------------------------------------------------------------------------------------------

local NO_SHELL = "there is no shell here, so %s; give one program and its arguments, each as it is"

-- What a shell would make something of, unquoted.
local SYNTAX = {
  ["|"] = "`|` cannot join programs", [">"] = "`>` cannot write a file", ["<"] = "`<` cannot read a file",
  [";"] = "`;` cannot begin another command", ["&"] = "`&` and `&&` cannot begin another command",
  ["$"] = "`$` stands for no variable or command", ["`"] = "a backtick runs no command",
  ["*"] = "`*` stands for no names", ["?"] = "`?` stands for no names", ["["] = "`[` stands for no names",
  ["]"] = "`]` stands for no names", ["("] = "parentheses group nothing", [")"] = "parentheses group nothing",
  ["\\"] = "a backslash quotes nothing (put the word in quotes)", ["\n"] = "one line is one command",
  ["\r"] = "one line is one command",
}

-- Spaces and marks that look like nothing, or like a plain space.
local INVISIBLE = {
  "\u{85}", "\u{A0}", "\u{AD}", "\u{180E}", "\u{2028}", "\u{2029}", "\u{202F}", "\u{205F}", "\u{2060}", "\u{3000}", "\u{FEFF}",
}
for code = 0x2000, 0x200F do INVISIBLE[#INVISIBLE + 1] = utf8.char(code) end
for code = 0x202A, 0x202E do INVISIBLE[#INVISIBLE + 1] = utf8.char(code) end
for code = 0x2066, 0x2069 do INVISIBLE[#INVISIBLE + 1] = utf8.char(code) end

local function invisible(text)
  if not text:find "[\x80-\xFF]" then return nil end
  for _, mark in ipairs(INVISIBLE) do
    if text:find(mark, 1, true) then return ("U+%04X"):format(utf8.codepoint(mark)) end
  end
end

--- The text in quotes that begin at `at`; nil and a complaint.
local function quoted(line, at)
  local quote = line:sub(at, at)
  local close = line:find(quote, at + 1, true)
  if quote == "'" then
    if not close then return nil, "a quote ' is not closed" end
    return line:sub(at + 1, close - 1), close + 1
  end
  local out, from = {}, at + 1
  while true do
    local stop = line:find('["\\$`]', from)
    if not stop then return nil, 'a quote " is not closed' end
    local found = line:sub(stop, stop)
    out[#out + 1] = line:sub(from, stop - 1)
    if found == '"' then return table.concat(out), stop + 1 end
    if found ~= "\\" then return nil, NO_SHELL:format(SYNTAX[found] .. " (in single quotes it is itself)") end
    local after = line:sub(stop + 1, stop + 1)
    out[#out + 1] = after:find '^["\\$`]' and after or "\\" .. after
    from = stop + 2
  end
end

local function shell_syntax(text, first)
  local found = text:match "[|><;&$`*?%[%]()\\\n\r]"
  if found then return NO_SHELL:format(SYNTAX[found]) end
  if not first then return nil end
  if text:find "^~" then return NO_SHELL:format "`~` stands for no folder" end
  if text:find "^[#!]" then return NO_SHELL:format(("`%s` means nothing"):format(text:sub(1, 1))) end
  if text:find "^{" or text:find "^}" then return NO_SHELL:format "braces group nothing" end
end

--- A command line as a list of words. '...' and "..." keep spaces; nothing else is special, and what a shell would take as
--- special is refused.
---@param line string
---@return string[]|nil argv
---@return string|nil complaint what is wrong, for a model to read
---
--- Example: `argv.split "git commit -m 'first try'"  --> { "git", "commit", "-m", "first try" }`
function M.split(line)
  local hidden = invisible(line)
  if hidden then return nil, ("the command holds the invisible character %s; use plain spaces"):format(hidden) end
  if #line > BYTES_MAX then return nil, ("the command is longer than %d bytes"):format(BYTES_MAX) end
  local out, at = {}, 1
  while true do
    at = line:find("[^ \t]", at)
    if not at then return out end
    local parts, first = {}, true
    repeat
      local char = line:sub(at, at)
      local text, after
      if char == "'" or char == '"' then
        text, after = quoted(line, at)
        if not text then return nil, after end
      else
        text = line:match("^[^ \t'\"]+", at)
        local complaint = shell_syntax(text, first)
        if complaint then return nil, complaint end
        after = at + #text
      end
      parts[#parts + 1], at, first = text, after, false
    until at > #line or line:find("^[ \t]", at)
    out[#out + 1] = table.concat(parts)
    if #out == 1 and out[1]:find "^[%a_][%w_]*%+?=" then
      return nil, NO_SHELL:format(("%s sets no variable of the environment"):format(out[1]))
    end
  end
end

-- ---- rules ----------------------------------------------------------------------------------------------------------------

-- Their arguments are programs, or run some.
local RUNNERS = set [[
  sh bash dash ash zsh ksh mksh fish csh tcsh rbash busybox toybox env xargs nice ionice nohup timeout time stdbuf setsid setarch
  chrt taskset watch parallel flock script sudo doas su runuser chroot unshare nsenter bwrap firejail ssh scp sftp rsync socat nc
  ncat netcat telnet perl ruby node nodejs deno bun php lua luajit tclsh wish expect awk gawk mawk nawk original-awk sed ed ex vi
  vim vim.tiny view nvim emacs nano pico less more most man info gdb lldb strace ltrace tar cpio bsdtar zip m4 dc octave R gnuplot
  sqlite3 psql mysql ftp lftp at batch crontab systemctl systemd-run docker podman kubectl screen tmux npx start-stop-daemon
  run-parts fd xdg-open open exec eval command builtin source . stoke ld.so ld-linux-x86-64.so.2 psh powershell pwsh fish
  python python2 python3 pypy pypy3 ipython java jshell groovy scala ghci runghc racket guile sbcl erl elixir iex swift julia
]]

-- Their first word says what they do, and some of those run programs.
local SUBCOMMANDS = set "git hg svn npm yarn pnpm go cargo pip pip3 gem bundle apt apt-get dpkg rpm cmake mvn gradle dotnet ip"
local GIT_RUNNERS = set [[
  bisect submodule config filter-branch difftool mergetool daemon for-each-repo rebase shell instaweb send-email clone fetch pull
  push remote ls-remote help web--browse credential hook maintenance worktree upload-pack receive-pack upload-archive
]]

local function is_runner(program)
  local name = program:match "[^/]*$"
  return RUNNERS[name] or RUNNERS[name:match "^(%a+)[%d.-]+$" or ""] or false
end

local function check_open(where, words)
  local program = words[1]
  if is_runner(program) then
    errors.argument("%s: %s runs what its arguments say; write every word of it, or `**` to allow anything", where, program)
  end
  if SUBCOMMANDS[program] and #words == 1 then
    errors.argument("%s: name the subcommand, such as \"%s status *\", or `**` to allow anything", where, program)
  end
  if program == "git" and GIT_RUNNERS[words[2]] then
    errors.argument("%s: git %s can run programs; write every word of it, or `**` to allow anything", where, words[2])
  end
end

---@class stoke.tools.rule
---@field text string
---@field words string[] which must be there
---@field rest? "*"|"**" what may follow

--- Read a rule.
---@param text string
---@param what string for the message
---@return stoke.tools.rule
---Raises `argument`.
---
--- Example: `local rule = argv.rule("git diff *", "allow[1]")`
function M.rule(text, what)
  if type(text) ~= "string" then errors.argument("%s must be a string such as \"git diff *\", got %s", what, type(text)) end
  local where = ("%s (%q)"):format(what, text)
  local words, complaint = {}, nil
  for word in text:gmatch "%S+" do words[#words + 1] = word end
  local last = words[#words]
  local rest = (last == "*" or last == "**") and table.remove(words) or nil
  if #words == 0 then complaint = "names no program" end
  for _, word in ipairs(words) do
    if word == "*" or word == "**" then complaint = "`*` and `**` stand at the end" end
  end
  local program = words[1] or ""
  if program:find("/", 1, true) and program:sub(1, 1) ~= "/" then complaint = "a program is a plain name or an absolute path" end
  if program:sub(1, 1) == "-" then complaint = "names no program" end
  if complaint then errors.argument("%s: %s", where, complaint) end
  if rest == "*" then check_open(where, words) end
  return { text = table.concat(words, " ") .. (rest and " " .. rest or ""), words = words, rest = rest }
end

local OPERATORS = set "| || & && ; ;; > >> < << <<< 2> 2>> 2>&1 1>&2 &> &>> >& |& ! { } ( )"

--- Why a further word may not follow a rule with `*`; nil = it may.
local function objection(word)
  if word:find "^%-" then return "options are allowed only where the rule names them" end
  if word:find "^[%a_][%w_]*[+:?!]*=" then return "assignments are not allowed" end
  if word:find "^[/~]" or word:find "^%.%.$" or word:find "^%.%./" or word:find "/%.%./" or word:find "/%.%.$" then
    return "paths stay in the folder: no leading / or ~, no .."
  end
  if OPERATORS[word] or word:find "^%d?[<>]" then return NO_SHELL:format(("`%s` means nothing"):format(word)) end
  if word:find "%$[({]" or word:find "`" then return NO_SHELL:format "$(...) and backticks run nothing" end
  if word:find "%c" then return "it holds a control character" end
  local hidden = invisible(word)
  if hidden then return ("it holds the invisible character %s"):format(hidden) end
end

local function fits(rule, argv)
  for i, word in ipairs(rule.words) do
    if argv[i] ~= word then return false end
  end
  if rule.rest == "**" or #argv == #rule.words then return true end
  if not rule.rest then return false, ("nothing may follow `%s`"):format(rule.text) end
  for i = #rule.words + 1, #argv do
    local reason = objection(argv[i])
    if reason then return false, ("%q does not fit `%s`: %s"):format(argv[i], rule.text, reason) end
  end
  return true
end

local function listed(rules)
  local out = {}
  for i, rule in ipairs(rules) do out[i] = "`" .. rule.text .. "`" end
  return #out > 0 and table.concat(out, ", ") or "nothing"
end
M.listed = listed

--- May this command run? Also refuses what no rule could make harmless: NUL bytes, too many or too long words.
---@param rules stoke.tools.rule[]
---@param argv string[]
---@return stoke.tools.rule|nil rule the one it fits
---@return string|nil reason for a model to read
---
--- Example: `local rule, reason = argv.judge(rules, { "git", "diff", "main" })`
function M.judge(rules, argv)
  if not argv[1] or argv[1] == "" then return nil, "the command names no program" end
  if #argv > ARGUMENTS_MAX then return nil, ("at most %d words, not %d"):format(ARGUMENTS_MAX, #argv) end
  local size = 0
  for _, word in ipairs(argv) do
    size = size + #word
    if word:find("\0", 1, true) then return nil, "a word holds a NUL byte" end
  end
  if size > BYTES_MAX then return nil, ("the words are longer than %d bytes together"):format(BYTES_MAX) end
  local near
  for _, rule in ipairs(rules) do
    local ok, reason = fits(rule, argv)
    if ok then return rule end
    near = near or reason
  end
  local program = argv[1]
  if not near and program:find("/", 1, true) then
    near = ("%q: a program is given by its name, without a path"):format(program)
  end
  local whole = table.concat(argv, " "):gsub("%c", "?")
  return nil, ("%s. Allowed: %s (`*`: words, `**`: anything)"):format(
    near or ("`%s` is not allowed"):format(#whole > 80 and whole:sub(1, 80) .. "..." or whole), listed(rules))
end

return M
