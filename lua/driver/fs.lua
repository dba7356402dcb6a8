--- Effects on files: fs.read, fs.write, fs.list, fs.stat, fs.mkdir, fs.remove, fs.rename.
---
--- Built from the primitive requests of host.fs. A file is a to-be-closed value, so a cancel between two steps leaks nothing;
--- closing a temp file removes it unless it was renamed to its target. Requests with `root` go to driver/jail.lua.

local effect = require "core.effect"
local errors = require "core.errors"
local host = require "host.fs"
local env = require "host.env"
local jail = require "core.driver.jail"
local leftover = require "core.leftover"

local READ_MAX = 64 << 20 -- fs.read refuses more, unless told otherwise
local READ_CHUNK = 64 << 20
local WRITE_CHUNK = 1 << 20 -- each chunk is copied for the thread that writes it

local function refuse(kind, format, ...)
  return nil, errors.new(kind, format:format(...))
end

-- ---- read -----------------------------------------------------------------------------------------------------------------

--- Read the whole file. `sized` = its size is reliable, so a short read is the end.
local function slurp(file, path, size, sized, max)
  local parts, got = {}, 0
  while true do
    local want = math.min(max - got, math.max(size - got, 65536), READ_CHUNK - 1) + 1
    local bytes, err = file:read(want)
    if err then return nil, err end
    if bytes == "" then break end
    if bytes then
      got = got + #bytes
      parts[#parts + 1] = bytes
      if got > max then return refuse("limit", 'cannot read "%s": it is larger than %d bytes', path, max) end
      if sized and #bytes < want and got >= size then break end
    else
      local _, failed = file:wait()
      if failed then return nil, failed end
    end
  end
  return table.concat(parts)
end

--- A part of the file: at most q.bytes from offset q.at on.
local function slice(file, q)
  local parts, got = {}, 0
  while got < q.bytes do
    local bytes, err = file:read(math.min(q.bytes - got, READ_CHUNK), q.at + got)
    if err then return nil, err end
    if not bytes then return refuse("os", 'cannot read a part of "%s": it is no regular file', q.path) end
    if bytes == "" then break end
    got = got + #bytes
    parts[#parts + 1] = bytes
  end
  return table.concat(parts)
end

local function read(q)
  local file, err = host.open(q.path, "read")
  if err then return nil, err end
  local _ <close> = file
  local max = q.max or READ_MAX
  local st, failed = file:stat()
  if failed then return nil, failed end
  if st.type == "directory" then return refuse("os", 'cannot read "%s": it is a folder', q.path) end
  local regular = st.type == "file"
  if q.at then
    if not regular then return refuse("os", 'cannot read a part of "%s": it is no regular file', q.path) end
    return slice(file, q)
  end
  if regular and st.size > max then
    return refuse("limit", 'cannot read "%s": it has %d bytes, more than %d', q.path, st.size, max)
  end
  if not regular then -- a fifo without a writer looks like end of file
    local _, gone = file:wait()
    if gone then return nil, gone end
  end
  return slurp(file, q.path, regular and st.size or 0, regular and st.size > 0, max)
end

-- ---- write ----------------------------------------------------------------------------------------------------------------

local function put(file, data)
  local at, size = 1, #data
  while at <= size do
    local n, err = file:write(data, at, math.min(size - at + 1, WRITE_CHUNK))
    if err then return nil, err, at - 1 end
    if n then
      at = at + n
    else
      local _, failed = file:wait(true)
      if failed then return nil, failed, at - 1 end
    end
  end
  return true
end

--- Write into an existing object: a device, a fifo, or the end of a file.
local function write_in_place(q, regular)
  local file, err = host.open(q.path, regular and "append" or "write", q.mode)
  if err then return nil, err end
  local _ <close> = file
  local before = regular and file:stat()
  local ok, failed, written = put(file, q.data)
  if ok then return true end
  if before and written > 0 then -- undo the partial write, unless another process has appended since
    local now = file:stat()
    if now and now.size == before.size + written then file:truncate(before.size) end
  end
  return nil, failed
end

local count = 0

--- Create a unique temp file in the target's folder.
local function open_temp(target, mode, shown)
  local folder = target:match "^(.*/)[^/]*$" or ""
  while true do
    count = count + 1
    local path = ("%s.stoke-%d-%d-p%s.tmp"):format(folder, env.pid(), count, env.place())
    local file, err = host.open(path, "temp", mode, shown)
    if file or err.code ~= host.EEXIST then return file, err end
  end
end

--- Atomic replacement, so that readers see the old or the new content: write and sync a temp file, then rename it.
local function replace(q, st)
  local target = q.path
  if st then -- a link stays a link: replace its target
    local link, err = host.stat(target, true)
    if link and link.type == "link" then target, err = host.resolve(target) end
    if err then return nil, err end
  end
  local mode = q.mode or (st and st.mode) or nil
  local file, err = open_temp(target, mode, q.path)
  if err then return nil, err end
  local _ <close> = file
  if mode then
    local _, failed = file:chmod(mode) -- the umask may have removed bits
    if failed and (q.mode or failed.kind == "cancelled") then return nil, failed end
  end
  local ok
  ok, err = put(file, q.data)
  if ok then ok, err = file:sync() end
  if ok then ok, err = file:publish(target) end
  if ok then leftover.sweep(target:match "^(.*/)[^/]*$" or "./", host.list, host.unlink) end
  return ok, err
end

local function write(q)
  local st, err = host.stat(q.path)
  if err then return nil, err end
  if st and st.type == "directory" then return refuse("os", 'cannot write "%s": it is a folder', q.path) end
  local regular = not st or st.type == "file"
  if q.append or not regular then return write_in_place(q, regular) end
  return replace(q, st)
end

-- ---- the rest ---------------------------------------------------------------------------------------------------------------

local function list(q)
  local entries, err = host.list(q.path)
  if err then return nil, err end
  for _, entry in ipairs(entries) do
    if entry.type == "unknown" then -- some file systems do not report the type
      local st, failed = host.stat(q.path .. "/" .. entry.name, true)
      if failed and failed.kind == "cancelled" then return nil, failed end
      if st then entry.type = st.type end
    end
  end
  return entries
end

local function mkdir(path, parents)
  local ok, err = host.mkdir(path)
  if ok or not parents then return ok, err end
  if err.code == host.ENOENT then
    local up = path:match "^(.*[^/])/+[^/]+/*$"
    if not up then return nil, err end
    local made, failed = mkdir(up, true)
    if not made then return nil, failed end
    ok, err = host.mkdir(path)
    if ok then return true end
  end
  if err.code == host.EEXIST then
    local st, failed = host.stat(path)
    if failed then return nil, failed end
    if st and st.type == "directory" then return true end
  end
  return nil, err
end

local function remove(q)
  local path = q.path:match "^(.-)/+$" or q.path -- with a trailing slash a link would be followed
  if path == "" then path = "/" end
  if q.recursive then return host.remove_tree(path) end
  local st, err = host.stat(path, true)
  if err then return nil, err end
  if st and st.type == "directory" then return host.rmdir(path) end
  return host.unlink(path)
end

--- The subject of policy rules.
local function at(q)
  local inside = q.root and q.path:sub(1, 1) ~= "/"
  return "path", inside and q.root .. "/" .. q.path or q.path
end

--- Replacing a whole file, or creating a folder with its parents, may be repeated.
local function class_of(q)
  if q.data then return q.append and "unsafe" or "idempotent" end
  return q.parents and "idempotent" or "unsafe"
end

local CLASS = { read = "pure", list = "pure", stat = "pure", write = class_of, mkdir = class_of, remove = "unsafe",
  rename = "unsafe" }

local function define(name, run, subject)
  local confined = jail[name]
  effect.define("fs." .. name, { subject = subject or at, class = CLASS[name], run = function(q)
    if q.root ~= nil then return confined(q) end
    return run(q)
  end })
end

define("read", read)
define("write", write)
define("list", list)
define("stat", function(q) return host.stat(q.path, q.link) end)
define("mkdir", function(q) return mkdir(q.path, q.parents) end)
define("remove", remove)
define("rename", function(q) return host.rename(q.from, q.to) end, function(q) return "path", q.from, q.to end)
