--- Files. Every function suspends its task without blocking other tasks, and raises kind `os` when the system call fails.
---
--- The option `root` makes a path from an untrusted source, such as a model, safe to use: the path is relative to that folder (an
--- absolute path must start with the folder's path), and nothing outside is read, written or inspected. Paths that lead out,
--- symbolic links anywhere in the path, devices, fifos and sockets raise kind `denied`, also when another process replaces a
--- folder by a link meanwhile. Mounts below the root are part of it, and so are hard links: reading follows one, writing gives
--- the name a new file and leaves the other names of the old file unchanged, appending is refused.

local effect = require "core.effect"
local errors = require "core.errors"
local scopes = require "core.scope"
require "core.driver.fs"
require "core.driver.watch"

local M = {}

--- Below a root the path is untrusted input: a bad path is not a bug of the caller, so the driver reports it.
local function check_path(path, what, root)
  if type(path) ~= "string" then errors.argument("%s: the path must be a string, got %s", what, type(path)) end
  if root then
    if root == "" or root:find("\0", 1, true) then errors.argument("%s: the root is no path: %q", what, root) end
    return path
  end
  if path == "" then errors.argument("%s: the path is empty", what) end
  if path:find("\0", 1, true) then errors.argument("%s: the path holds a NUL byte", what) end
  return path
end

--- "0600" or 384.
local function check_mode(mode, what)
  local number = mode
  if type(mode) == "string" then number = mode:find "^[0-7]+$" and tonumber(mode, 8) end
  if math.type(number) ~= "integer" or number < 0 or number > 4095 then
    errors.argument("%s: mode must be octal digits in a string, such as \"0600\", or a number up to 4095", what)
  end
  return number
end

local function perform(name, q) return errors.check(effect.perform(name, q)) end

--- A whole number of bytes among the options of fs.read.
local function check_bytes(options, name, least)
  local given = options[name]
  local count = given and math.tointeger(given)
  if given and (not count or count < least) then
    errors.argument("fs.read: %s must be a whole number of bytes%s", name, least > 0 and (", at least %d"):format(least) or "")
  end
  return count
end

--- The content of a file: all of it, or a part. A fifo or a device is read to its end.
---@param path string
---@param options? { max?: integer, root?: string, from?: integer, bytes?: integer } max: more bytes than this raise kind `limit`;
---  64 MB when not given. from: a part alone, which begins at this byte (1 is the first) and has at most `bytes` (64 KB); so a file
---  of any size is read piece by piece
---@return string bytes of a part that begins behind the end: ""
---Raises `os`, `limit`, `denied` (with a root), `argument`, `cancelled`.
---
--- Example: `local text = fs.read "notes.txt"`
function M.read(path, options)
  options = errors.options(options, { max = "number", root = "string", from = "number", bytes = "number" }, "fs.read")
  local max, from, bytes = check_bytes(options, "max", 0), check_bytes(options, "from", 1), check_bytes(options, "bytes", 1)
  if bytes and not from then errors.argument "fs.read: bytes is of a part: say where it begins, from = 1" end
  if from and options.root then errors.argument "fs.read: a part cannot be read below a root" end
  return perform("fs.read", { path = check_path(path, "fs.read", options.root), max = max, root = options.root,
    at = from and from - 1, bytes = from and (bytes or 65536) })
end

--- Write a file atomically: a reader sees the old content or the new one, and a full disk leaves the old one. A symbolic
--- link stays, and what it points to is replaced. With `append` the bytes go to the end of what is there.
---@param path string
---@param data string
---@param options? { append?: boolean, mode?: string|integer } mode: "0600"; a replaced file keeps its own when not given
---Raises `os`, `argument`, `cancelled`.
---
--- Example: `fs.write("notes.txt", text, { mode = "0600" })`
function M.write(path, data, options)
  options = errors.options(options, { append = "boolean", fresh = "boolean", mode = true, root = "string" }, "fs.write")
  if options.fresh and not options.root then errors.argument("fs.write: fresh needs a root") end
  if options.fresh and options.append then errors.argument("fs.write: either append or fresh") end
  if type(data) ~= "string" then errors.argument("fs.write: the data must be a string, got %s", type(data)) end
  perform("fs.write", {
    path = check_path(path, "fs.write", options.root), data = data, append = options.append or nil,
    mode = options.mode and check_mode(options.mode, "fs.write"), root = options.root, fresh = options.fresh or nil,
  })
end

---@class stoke.fs.entry
---@field name string
---@field type "file"|"directory"|"link"|"fifo"|"socket"|"device"|"unknown"
---@field size? integer bytes; only with a root

--- The entries of a folder, sorted by name (bytewise), without `.` and `..`.
---@param path string
---@param options? { root?: string } with a root more than 100000 entries raise kind `limit`
---@return stoke.fs.entry[]
---Raises `os`, `limit` and `denied` (with a root), `argument`, `cancelled`.
---
--- Example: `for _, entry in ipairs(fs.list ".") do print(entry.type, entry.name) end`
function M.list(path, options)
  options = errors.options(options, { root = "string" }, "fs.list")
  return perform("fs.list", { path = check_path(path, "fs.list", options.root), root = options.root })
end

---@class stoke.fs.stat
---@field type "file"|"directory"|"link"|"fifo"|"socket"|"device"|"unknown"
---@field size integer bytes
---@field mode integer permission bits
---@field mtime number seconds since 1970; also atime and ctime
---@field uid integer also gid, ino, dev and nlink

--- Information about a path; nil when nothing is there. Links are followed, unless `link` is set.
---@param path string
---@param options? { link?: boolean, root?: string } link: about the link itself
---@return stoke.fs.stat|nil
---Raises `os` (a folder on the way may not be entered), `denied` (with a root), `argument`, `cancelled`.
---
--- Example: `if not fs.stat "cache" then fs.mkdir "cache" end`
function M.stat(path, options)
  options = errors.options(options, { link = "boolean", root = "string" }, "fs.stat")
  return perform("fs.stat",
    { path = check_path(path, "fs.stat", options.root), link = options.link or nil, root = options.root })
end

--- Make a folder.
---@param path string
---@param options? { parents?: boolean, root?: string } parents: those above it too, and it is no error that it exists
---Raises `os`, `denied` (with a root), `argument`, `cancelled`.
---
--- Example: `fs.mkdir("out/2024/07", { parents = true })`
function M.mkdir(path, options)
  options = errors.options(options, { parents = "boolean", root = "string" }, "fs.mkdir")
  perform("fs.mkdir",
    { path = check_path(path, "fs.mkdir", options.root), parents = options.parents or nil, root = options.root })
end

--- Remove a file, a link or an empty folder; with `recursive` a folder and all that is in it. Links are removed, never
--- followed.
---@param path string
---@param options? { recursive?: boolean, root?: string }
---Raises `os` (also when there is nothing), `denied` (with a root, of which the root itself is never removed), `argument`,
---`cancelled`.
---
--- Example: `fs.remove("out", { recursive = true })`
function M.remove(path, options)
  options = errors.options(options, { recursive = "boolean", root = "string" }, "fs.remove")
  check_path(path, "fs.remove", options.root)
  local last = path:match "([^/]*)/*$"
  if options.recursive and not options.root and (last == "" or last == "." or last == "..") then
    errors.argument("fs.remove: \"%s\" is not removed with all that is in it; name a folder", path)
  end
  perform("fs.remove", { path = path, recursive = options.recursive or nil, root = options.root })
end

--- Rename a file or folder; an existing target is replaced.
---@param from string
---@param to string
---@param options? table none so far
---Raises `os` (also across file systems), `argument`, `cancelled`.
---
--- Example: `fs.rename("draft.txt", "final.txt")`
function M.rename(from, to, options)
  errors.options(options, {}, "fs.rename") -- ignoring `root` silently would be unsafe
  perform("fs.rename", { from = check_path(from, "fs.rename"), to = check_path(to, "fs.rename") })
end

---@class stoke.fs.watch
---@field stream table
local Watch = {}
Watch.__index = Watch
Watch.__name = "stoke.fs.watch"

--- The next path that has changed, spelt as in `paths` (for a folder: its path and the name in it).
---@param seconds? number wait no longer than this
---@return string|false|nil path false when the time is up, nil after close
---Raises `os`, `argument`, `cancelled`.
---
--- Example: `local path = watch:next(60)`
function Watch:next(seconds)
  scopes.check_self(self, Watch, "watch:next()")
  if seconds ~= nil and (type(seconds) ~= "number" or not (seconds >= 0)) then
    errors.argument("watch:next: seconds must be a number >= 0, got %s", tostring(seconds))
  end
  return errors.check(self.stream:next(seconds))
end

function Watch:__call() return errors.check(self.stream:next()) end

--- Stop watching; leaving the loop does it, too.
---
--- Example: `watch:close()`
function Watch:close() self.stream:close() end

Watch.__close = Watch.close

--- Watch files and folders. Reports each path that changes, however it was written: in place, replaced by a rename, removed or
--- created again. For a folder it reports the entries directly in it, not those deeper. A path need not exist yet. Several
--- changes of one path within a short time may be reported once. The watch ends with the scope it was opened in.
---
--- Where the system does not tell of changes (no inotify, none left, a folder that is gone) the paths are looked at every half
--- second; changes that another machine makes to a network file system are not noticed.
---@param paths string|string[]
---@return stoke.fs.watch iterator for generic `for`; `watch:next(seconds)` waits for a limited time
---Raises `os`, `denied` (a policy), `argument`, `cancelled`.
---
--- Example: `for path in fs.watch { "notes.txt", "inbox" } do print(path) end`
function M.watch(paths)
  if type(paths) == "string" then paths = { paths } end
  if type(paths) ~= "table" or #paths == 0 then errors.argument("fs.watch: a path or a list of paths expected") end
  local list = {}
  for i, path in ipairs(paths) do list[i] = check_path(path, "fs.watch") end
  local watch = setmetatable({ stream = perform("fs.watch", { paths = list }) }, Watch)
  return watch, nil, nil, watch
end

return M
