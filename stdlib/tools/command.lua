--- A tool that runs programs: a list of words, never a shell, and only what a list of rules allows (stoke.tools.argv), inside a
--- folder that is all it can change, with limits (the sandbox of proc.run).
---
---     local run = command.run_command { root = "project", allow = { "ls *", "git status", "git diff *", "make test" } }

local argv = require "stoke.tools.argv"
local effect = require "core.effect"
local errors = require "core.errors"
local proc = require "stoke.proc"
local tool = require "stoke.tool"

local M = {}

local OPTIONS = {
  root = "string", allow = "table", timeout = "number", cpu = "number", memory = true, file_size = true,
  processes = true, max_output = "number", env = "table", net = "boolean", read = "table", require = "string",
  name = "string", description = "string", needs_approval = true,
}

--- Where programs are looked for.
M.PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

local TIMEOUT, CPU, OUTPUT = 60, 60, 16384

-- Nothing asks, nothing pages, nothing of the user's own settings.
local ENVIRONMENT = {
  PATH = M.PATH, LANG = "C.UTF-8", TERM = "dumb", PAGER = "cat", GIT_PAGER = "cat", GIT_TERMINAL_PROMPT = "0",
  GIT_CONFIG_NOSYSTEM = "1", GIT_CONFIG_GLOBAL = "/dev/null", GIT_EDITOR = "false", EDITOR = "false",
  GIT_CONFIG_COUNT = "1", GIT_CONFIG_KEY_0 = "core.fsmonitor", GIT_CONFIG_VALUE_0 = "false",
}

-- These show what is there, and would run programs that .git/config or .gitattributes name, which a model may have written.
local GIT_SHOWS = { diff = true, log = true, show = true }

-- ---- the result -----------------------------------------------------------------------------------------------------------

---@class stoke.tools.command.result
---@field code? integer exit code, nil when a signal ended it
---@field signal? string
---@field stdout string the end of it, when it was cut
---@field stderr string
---@field timed_out boolean
---@field seconds number
---@field sandbox string the level of its sandbox
---@field limit? "memory"|"processes" the limit of the sandbox that ended it
local Result = {}
Result.__index = Result
Result.__name = "stoke.tools.command.result"

--- The last `max` bytes, from the beginning of a line if one is near, or else of a character.
local function tail(text, max, dropped)
  if #text <= max and not dropped then return text, false end
  local from = math.max(1, #text - max + 1)
  local line = text:find("\n", from, true)
  if line and line - from < max // 4 and line < #text then return text:sub(line + 1), true end
  while from <= #text and text:find("^[\x80-\xBF]", from) do from = from + 1 end
  return text:sub(from), true
end

local ENDS = {
  SIGXCPU = "it used more processor time than it may", SIGXFSZ = "it wrote a larger file than it may",
  SIGSYS = "it asked the system for something that is not allowed here",
}

local OVER = { memory = "its programs used more memory than they may", processes = "it started more processes than it may" }

local function verdict(result)
  if result.timed_out then return ("stopped: it ran longer than %g s"):format(result.time) end
  if result.limit then return "stopped: " .. (OVER[result.limit] or result.limit) end
  if result.signal then return ("killed by %s%s"):format(result.signal,
    ENDS[result.signal] and ": " .. ENDS[result.signal] or "") end
  return ("exit code %d"):format(result.code)
end

local function section(lines, name, text, cut)
  if text == "" then return end
  lines[#lines + 1] = ("%s%s:"):format(name, cut and " (only its end; the beginning was cut)" or "")
  lines[#lines + 1] = (text:gsub("\n$", ""))
end

function Result:__tostring()
  local lines = { verdict(self) }
  section(lines, "stdout", self.stdout, self.stdout_cut)
  section(lines, "stderr", self.stderr, self.stderr_cut)
  if self.stdout == "" and self.stderr == "" then lines[#lines + 1] = "(no output)" end
  lines[#lines + 1] = ("[sandbox: %s]"):format(self.sandbox or "none")
  return table.concat(lines, "\n")
end

local function shape(r, timeout, max)
  local for_errors = math.min(#r.stderr, math.max(max // 4, max - #r.stdout))
  local result = setmetatable({
    code = r.code, signal = r.signal, timed_out = r.timed_out, seconds = r.seconds, sandbox = r.sandbox, time = timeout,
    limit = r.limit,
  }, Result)
  result.stderr, result.stderr_cut = tail(r.stderr, for_errors, r.truncated and #r.stderr >= max)
  result.stdout, result.stdout_cut = tail(r.stdout, max - for_errors, r.truncated and #r.stdout >= max)
  return result
end

-- ---- running --------------------------------------------------------------------------------------------------------------

local function deny(format, ...) errors.raise("denied", format:format(...)) end

--- The words of a call: argv, or command taken apart.
local function words_of(args)
  local given = args.argv
  if given and #given > 0 and args.command then deny "give argv or command, not both" end
  local line = args.command
  if not line and given and #given == 1 and given[1]:find "%s" then line = given[1] end -- a whole line in one word
  if not line then return given or {} end
  local words, complaint = argv.split(line)
  if not words then deny("%s", complaint) end
  return words
end

--- Git without the programs of a folder's own settings; options that the rule names come later, and win.
local function tamed(words)
  if words[1]:match "[^/]*$" ~= "git" or not GIT_SHOWS[words[2]] then return words end
  local out = { words[1], words[2], "--no-ext-diff", "--no-textconv" }
  return table.move(words, 3, #words, #out + 1, out)
end

--- The program must come from outside the folder: what the model can write, it could run.
local function check_program(words, root, path)
  local found = errors.check(effect.perform("proc.which", { program = words[1], path = path, folder = root }))
  local inside = found.folder == "/" and "/" or found.folder .. "/"
  if found.program:sub(1, #inside) == inside then
    deny("the program %s lies in %s, which commands can change; only programs outside it are run", found.program, found.folder)
  end
end

local function check_number(options, name, low)
  local value = options[name]
  if value == false and low == 1 and name ~= "cpu" then return value end
  if value and not (type(value) == "number" and value >= low) then
    errors.argument("run_command: %s must be at least %g, got %s", name, low, tostring(value))
  end
  return value
end

local function check(options)
  options = errors.options(options, OPTIONS, "run_command")
  if not options.allow then errors.argument "run_command: allow is missing: the commands it may run, such as { \"ls\" }" end
  local rules = {}
  for i, text in ipairs(options.allow) do rules[i] = argv.rule(text, ("run_command: allow[%d]"):format(i)) end
  if options.root == "" then errors.argument "run_command: root is empty" end
  check_number(options, "timeout", 0.001)
  check_number(options, "max_output", 64)
  for _, name in ipairs { "cpu", "memory", "file_size", "processes" } do check_number(options, name, 1) end
  return options, rules
end

local function describe(options, rules)
  return options.description or ("Run a program in the project's folder. There is no shell: no pipes, redirections, variables or "
    .. "wildcards. Allowed: %s. (`*` stands for further words that are no options, `**` for anything.)"):format(argv.listed(rules))
end

---@class stoke.tools.command.options
---@field allow string[] rules of stoke.tools.argv
---@field root? string the folder it works in; "." when not given
---@field timeout? number seconds; 60
---@field cpu? number seconds of processor time for each process; 60
---@field memory? integer|false bytes; also file_size and processes: with the defaults of proc.run's sandbox
---@field max_output? integer bytes of output that the model reads, the last ones; 16384
---@field env? table<string, string> on top of a plain environment
---@field net? boolean the network; false
---@field read? string[] folders it may read beside root and the system
---@field require? string "landlock", "seccomp" or "landlock+seccomp", as in proc.run's sandbox
---@field needs_approval? boolean|function as in stoke.tool; also name and description

--- A tool with the parameters `argv` (a list of words) or `command` (the same in one line, quotes allowed). Its result is a
--- table { code, signal, stdout, stderr, timed_out, seconds, sandbox }, which a model reads as text.
---
--- Allowed programs run in the sandbox of proc.run: they can write below `root` alone, reads `root` and the system, has no
--- network, and reaches no other process. Each result names what this system enforces, with the limits;
--- `require` refuses to run with less. A rule with `**` leaves the sandbox as the only fence, and so does a program that takes its
--- orders from files in `root` (make, npm, git's hooks and filters).
---@param options stoke.tools.command.options
---@return stoke.tool
---Raises `argument`. A call raises `denied` for what no rule allows, `os` when the program cannot be started.
---
--- Example: `local run = command.run_command { root = "project", allow = { "ls *", "git status", "make test" } }`
function M.run_command(options)
  local rules
  options, rules = check(options)
  local root, timeout, max = options.root or ".", options.timeout or TIMEOUT, math.floor(options.max_output or OUTPUT)
  local env = {}
  for name, value in next, ENVIRONMENT do env[name] = value end
  for name, value in next, options.env or {} do env[name] = value end
  for place in (env.PATH .. ":"):gmatch "([^:]*):" do
    if place:sub(1, 1) ~= "/" then errors.argument("run_command: env.PATH must name absolute folders, not %q", place) end
  end
  local sandbox = {
    write = { root }, read = options.read, net = options.net, cpu = options.cpu or CPU, memory = options.memory,
    file_size = options.file_size, processes = options.processes, require = options.require,
  }
  return tool {
    name = options.name or "run_command", description = describe(options, rules),
    params = {
      argv = "string[]?: the program and its arguments, for example [\"ls\", \"src\"]",
      command = "string?: instead of argv, the same in one line",
    },
    needs_approval = options.needs_approval, timeout = timeout + 10, max_output = max + 1024,
    run = function(args)
      local words = words_of(args)
      local rule, reason = argv.judge(rules, words)
      if not rule then deny("%s", reason) end
      check_program(words, root, env.PATH)
      return shape(proc.run {
        argv = tamed(words), cwd = root, env = env, timeout = timeout, max_output = 2 * max, keep = "last", sandbox = sandbox,
      }, timeout, max)
    end,
  }
end

return M
