--- Tools on files below a root folder: read_file, write_file, list_dir, patch_file. No path a model sends leads out of the root
--- (stoke.fs, option `root`). What goes wrong is said so that a model can mend it.
---
---     local files = require "stoke.tools.files"
---     local tools = { files.read_file { root = "work" }, files.patch_file { root = "work", needs_approval = true } }

local effect = require "core.effect"
local errors = require "core.errors"
local leftover = require "core.leftover"
local texts = require "core.text"
local glob = require "stoke.tools.files.glob"
local patch = require "stoke.tools.files.patch"
local semaphore = require "core.channel".semaphore
local text = require "stoke.tool.text"
local tool = require "stoke.tool"
require "core.driver.fs"

local M = {}

local READ_MAX = 16 << 20  -- a larger file is not read for a few of its lines
local PATCH_MAX = 4 << 20
local SHOWN_MAX = 16000    -- bytes a model reads of a file where the tool does not say
local ENTRIES_MAX = 500
local DEPTH_MAX = 5

-- ---- what all four share ------------------------------------------------------------------------------------------------------

local COMMON = { root = "string", name = "string", description = "string", needs_approval = true }

--- The options of a tool; the root must be there now, not only when a model asks.
local function settings(options, known, what)
  local names = {}
  for _, from in ipairs { COMMON, known } do
    for name, wanted in next, from do names[name] = wanted end
  end
  options = errors.options(options, names, "files." .. what)
  local root = options.root or "."
  if root == "" or root:find("\0", 1, true) then errors.argument("files.%s: the root is no path: %q", what, root) end
  local stat = errors.check(effect.perform("fs.stat", { path = root }))
  if not stat or stat.type ~= "directory" then
    errors.argument("files.%s: the root %q is %s", what, root, stat and "no folder" or "not there")
  end
  return root, options
end

local function check_count(value, what, least)
  local n = value and math.tointeger(value)
  if value and not (n and n >= least) then errors.argument("files.%s must be a whole number from %d", what, least) end
  return n
end

local function make(options, definition)
  definition.name = options.name or definition.name
  definition.description = options.description or definition.description
  definition.needs_approval = options.needs_approval
  return tool(definition)
end

local function fail(format, ...) errors.raise("tool", format:format(...)) end

--- Control characters and broken UTF-8 of a name would be read as something else.
local function quote(path) return '"' .. texts.printable(path, 200) .. '"' end

--- The nearest name in the folder that a missing path should be in, as a hint.
local function suggestion(root, path)
  local folder, name = path:match "^(.*)/([^/]+)/*$"
  if not folder then folder, name = ".", path end
  local entries = effect.perform("fs.list", { path = folder == "" and "/" or folder, root = root })
  if not entries then return ("there is no folder %s either; list_dir shows what there is"):format(quote(folder)) end
  local names = {}
  for i = 1, math.min(#entries, 1000) do
    if not leftover.is_file(entries[i].name) then names[#names + 1] = entries[i].name end
  end
  local near = errors.suggest(name, names)
  if near then return ("did you mean %s?"):format(quote(folder == "." and near or folder .. "/" .. near)) end
  return "list_dir shows what there is"
end

--- Raise what an effect said; of what is missing, with the nearest name.
local function explain(root, path, err)
  if err.kind == "os" and path ~= "" then
    local stat, failed = effect.perform("fs.stat", { path = path, root = root, link = true })
    if not stat and not failed then fail("there is no %s; %s", quote(path), suggestion(root, path)) end
  end
  error(err, 0)
end

local function read(root, path, max)
  local content, err = effect.perform("fs.read", { path = path, root = root, max = max })
  if not err then return content end
  if err.message:find "it is a folder$" then fail("%s is a folder; list_dir shows what is in it", quote(path)) end
  explain(root, path, err)
end

local function count_lines(content)
  local _, breaks = content:gsub("\n", "")
  return breaks + ((content == "" or content:sub(-1) == "\n") and 0 or 1)
end

local function is_binary(content)
  local sample = content:sub(1, 8192)
  if sample:find("\0", 1, true) then return true end
  local _, broken = texts.valid(sample):gsub("\u{FFFD}", "")
  return broken > 8 and broken > #sample // 5
end

local function refuse_binary(content, path, what)
  if is_binary(content) then fail("%s is a binary file (%d bytes); it has no text to %s", quote(path), #content, what) end
end

-- ---- read_file ----------------------------------------------------------------------------------------------------------------

--- Where line `number` begins; behind the end when there are not so many.
local function start_of(content, number)
  local at = 1
  for _ = 2, number do
    local stop = content:find("\n", at, true)
    if not stop then return #content + 1 end
    at = stop + 1
  end
  return at
end

--- The lines first to last, as many whole ones as fit into max bytes: text, last line shown, bytes left out of it.
local function slice(content, first, last, max)
  local from, shown = start_of(content, first), first - 1
  local at = from
  while shown < last and at <= #content do
    local stop = content:find("\n", at, true) or #content
    if stop - from + 1 > max then
      if shown >= first then break end
      return content:sub(from, from + max - 1), first, stop - from + 1 - max -- one line alone is too long
    end
    at, shown = stop + 1, shown + 1
  end
  return content:sub(from, at - 1), shown, 0
end

local function part(content, args, max)
  local total = count_lines(content)
  local first, last = args.first or 1, math.min(args.last or total, total)
  if content == "" then return ("[%s is empty]"):format(quote(args.path)) end
  if first > total then fail("%s has %d lines; there is no line %d", quote(args.path), total, first) end
  if args.last and args.last < first then fail("last (%d) is before first (%d)", args.last, first) end
  local shown, stop, rest = slice(content, first, last, max)
  shown = texts.valid(shown)
  if first == 1 and stop == total and rest == 0 then return shown end
  local notes = { ("lines %d to %d of %d"):format(first, stop, total) }
  if rest > 0 then notes[#notes + 1] = ("%d bytes of line %d are left out"):format(rest, stop) end
  if stop < last then notes[#notes + 1] = ("cut here; read on with first = %d"):format(stop + 1) end
  return ("%s%s[%s]"):format(shown, shown:sub(-1) == "\n" and "" or "\n", table.concat(notes, "; "))
end

---@class stoke.tools.files.options
---@field root? string the folder that holds all the tool may touch; "." when not given; must be there
---@field name? string what the model calls the tool
---@field description? string what the model reads about it
---@field needs_approval? boolean|fun(args: table): boolean

--- A tool that reads a text file, or some of its lines.
---@param options? stoke.tools.files.options and max_bytes: a longer text is cut after a whole line, and says so (16000)
---@return stoke.tool read_file { path, first?, last? }
---Raises `argument`, `os`.
---
--- Example: `local read = files.read_file { root = "docs", max_bytes = 8000 }`
function M.read_file(options)
  local root, given = settings(options, { max_bytes = "number" }, "read_file")
  local max = check_count(given.max_bytes, "read_file: max_bytes", 64) or SHOWN_MAX
  return make(given, {
    name = "read_file", idempotent = true, max_output = 3 * max + 1024,
    description = "Read a text file. Give first and last to read only these lines.",
    params = { path = "string: path of the file",
      first = "integer? >= 1: first line to read", last = "integer? >= 1: last line to read" },
    run = function(args)
      local content = read(root, args.path, READ_MAX)
      refuse_binary(content, args.path, "read")
      return part(content, args, max)
    end,
  })
end

-- ---- write_file ---------------------------------------------------------------------------------------------------------------

--- Writes come one after the other: two patches of one file must not undo each other.
local writing = semaphore(1)

local function put(root, path, content, fresh)
  local q = { path = path, root = root, data = content, fresh = fresh or nil }
  local ok, err = effect.perform("fs.write", q)
  local folder = path:match "^(.*[^/])/+[^/]+/*$"
  if not ok and err.kind == "os" and folder then
    local stat, failed = effect.perform("fs.stat", { path = folder, root = root })
    if not stat and not failed then -- only the folder was missing
      ok, err = effect.perform("fs.mkdir", { path = folder, root = root, parents = true })
      if ok then ok, err = effect.perform("fs.write", q) end
    end
  end
  if not ok then error(err, 0) end
end

local function sizes(content)
  local lines = count_lines(content)
  return ("%d byte%s, %d line%s"):format(#content, #content == 1 and "" or "s", lines, lines == 1 and "" or "s")
end

local function write(root, args, overwrite)
  local path = args.path
  local permit <close> = writing:acquire() -- luacheck: ignore permit
  local before, err = effect.perform("fs.stat", { path = path, root = root })
  if err and err.kind ~= "denied" then explain(root, path, err) end -- what is denied the write says itself
  if before and before.type == "directory" then fail("%s is a folder; give the path of a file in it", quote(path)) end
  if before and not overwrite then fail("%s is there already, and is kept; choose another name", quote(path)) end
  put(root, path, args.content, not overwrite)
  if not before then return ("created %s: %s"):format(quote(path), sizes(args.content)) end
  return ("replaced %s: %s (it had %d bytes)"):format(quote(path), sizes(args.content), before.size)
end

--- A tool that writes a whole file, and makes the folders it is in. A reader sees the old content or the new one.
---@param options? stoke.tools.files.options and overwrite: false = only new files (true)
---@return stoke.tool write_file { path, content }
---Raises `argument`, `os`.
---
--- Example: `local write = files.write_file { root = "out", needs_approval = true }`
function M.write_file(options)
  local root, given = settings(options, { overwrite = "boolean" }, "write_file")
  local overwrite = given.overwrite ~= false
  return make(given, {
    name = "write_file", idempotent = overwrite,
    description = overwrite and "Write a file; what it held before is lost. To change a part of a file use patch_file."
      or "Write a new file. A file that is there already is not changed.",
    params = { path = "string: path of the file", content = "string: the whole text of the file" },
    run = function(args) return write(root, args, overwrite) end,
  })
end

-- ---- list_dir -----------------------------------------------------------------------------------------------------------------

local MARKS = { directory = "/", link = " (a link, not followed)", fifo = " (a fifo)", socket = " (a socket)",
  device = " (a device)" }

local function line_of(path, entry)
  local mark = MARKS[entry.type] or (entry.type == "file" and (" (%d bytes)"):format(entry.size)) or ""
  return texts.printable(path, 4096) .. mark
end

--- Depth first, each folder before what is in it. `inside` is the path below the listed folder.
local function gather(list, path, inside, depth)
  local entries, err = effect.perform("fs.list", { path = path, root = list.root })
  if err then
    if inside == "" then return err end
    list.lines[#list.lines + 1] = ("%s (%s)"):format(texts.printable(path, 4096), err.message:match ": ([^:]*)$" or err.kind)
    return
  end
  for _, entry in ipairs(entries) do
    if #list.lines >= ENTRIES_MAX then
      list.more = true
      return
    end
    local below = inside == "" and entry.name or inside .. "/" .. entry.name
    local whole = path == "." and entry.name or path .. "/" .. entry.name
    local shown = not leftover.is_file(entry.name) and (not list.glob or glob.fits(below, list.glob))
    if shown then list.lines[#list.lines + 1] = line_of(whole, entry) end
    if entry.type == "directory" then
      if depth > 1 then gather(list, whole, below, depth - 1) else list.deeper = true end
    end
  end
end

local function list_folder(root, args)
  local path = (args.path or "."):gsub("^%./+", ""):gsub("(.)/+$", "%1")
  if path == "" and args.path ~= "" then path = "." end
  local pattern = args.glob ~= "" and args.glob or nil
  local deep = pattern and pattern:find("/", 1, true) and DEPTH_MAX
  local depth = math.min(math.max(args.depth or deep or 1, 1), DEPTH_MAX)
  local list = { root = root, glob = pattern, lines = {} }
  local err = gather(list, path, "", depth)
  if err then
    local stat = effect.perform("fs.stat", { path = path, root = root })
    if stat and stat.type == "file" then fail("%s is a file; read_file reads it", quote(path)) end
    explain(root, path, err)
  end
  if #list.lines == 0 and pattern then
    local hint = list.deeper and depth < DEPTH_MAX and ("; depth = %d looks deeper"):format(DEPTH_MAX) or ""
    return ("[nothing in %s fits %s%s]"):format(quote(path), quote(pattern), hint)
  end
  if #list.lines == 0 then return ("[%s is empty]"):format(quote(path)) end
  if list.more then
    list.lines[#list.lines + 1] = ("[cut after %d entries; list a folder below, or give a glob]"):format(ENTRIES_MAX)
  end
  return table.concat(list.lines, "\n")
end

--- A tool that lists a folder: sorted, folders with a slash behind them, files with their size; links are shown, not followed.
---@param options? stoke.tools.files.options
---@return stoke.tool list_dir { path?, depth?, glob? }
---Raises `argument`, `os`.
---
--- Example: `print(files.list_dir { root = "src" }:call { glob = "**/*.lua" })`
function M.list_dir(options)
  local root, given = settings(options, {}, "list_dir")
  return make(given, {
    name = "list_dir", idempotent = true, max_output = 64 << 10,
    description = "List the files in a folder. Folders end with a slash.",
    params = { path = "string?: path of the folder; all when not given",
      depth = "integer? >= 1: how many levels of folders to show, 1 to 5",
      glob = "string?: show only names like this: *.lua, or src/**/*.lua" },
    run = function(args) return list_folder(root, args) end,
  })
end

-- ---- patch_file ---------------------------------------------------------------------------------------------------------------

local function report(path, done)
  local out = { done.count == 1 and ("replaced 1 place in %s, at line %s"):format(quote(path), done.lines)
    or ("replaced %d places in %s, at lines %s"):format(done.count, quote(path), done.lines) }
  if done.loose then
    out[1] = out[1] .. "; `old` was found by ignoring white space. This stands there now:"
    out[2] = text.cut(texts.valid(done.new == "" and "[nothing]" or done.new), 1000)
  end
  return table.concat(out, "\n")
end

local function patch_one(root, args)
  local permit <close> = writing:acquire() -- luacheck: ignore permit
  local content = read(root, args.path, PATCH_MAX)
  refuse_binary(content, args.path, "replace")
  local changed, done = patch.apply(content, args.old, args.new, args.all)
  if not changed then fail("%s is not changed: %s", quote(args.path), texts.valid(done)) end
  local _, err = effect.perform("fs.write", { path = args.path, root = root, data = changed })
  if err then error(err, 0) end
  return report(args.path, done)
end

--- A tool that replaces a text in a file. The text must stand there once; when it differs in white space alone, that is found
--- and said. When it does not stand there, the model reads the nearest lines.
---@param options? stoke.tools.files.options
---@return stoke.tool patch_file { path, old, new, all? }
---Raises `argument`, `os`.
---
--- Example: `files.patch_file { root = "src" }:call { path = "a.lua", old = "x = 1", new = "x = 2" }`
function M.patch_file(options)
  local root, given = settings(options, {}, "patch_file")
  return make(given, {
    name = "patch_file",
    description = "Change a part of a text file: the text `old`, copied exactly from the file, is replaced by `new`.",
    params = { path = "string: path of the file", old = "string: text that stands in the file once",
      new = "string: the text to put there instead", all = "boolean?: replace every place, when there are several" },
    run = function(args) return patch_one(root, args) end,
  })
end

return M
