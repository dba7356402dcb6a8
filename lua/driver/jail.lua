--- The effects on files that name a root: each is one piece of work of host.jail, which lets no path lead out of it.
---
--- The path is somebody else's: whatever is wrong with it is kind `denied` or `os`. The root is ours.

local errors = require "core.errors"
local host = require "host.jail"
local env = require "host.env"
local leftover = require "core.leftover"

local READ_MAX = 64 << 20 -- fs.read refuses more, unless told otherwise
local LIST_MAX = 100000

local M = {}

--- Go component by component where the kernel could confine the path by itself: for tests, and what older kernels get.
M.walk = not host.kernel
--- Can it?
M.kernel = host.kernel

function M.read(q) return host.read(q.root, q.path, M.walk, q.max or READ_MAX) end

local count = 0

function M.write(q)
  count = count + 1
  local how = q.append and "append" or q.fresh and "fresh" or "replace"
  local token = ("%d-%d-p%s"):format(env.pid(), count, env.place())
  local ok, err = host.write(q.root, q.path, M.walk, q.data, token, how, q.mode)
  if ok and not q.append then
    local folder = q.path:match "^(.*/)[^/]+/*$" or "./"
    leftover.sweep(folder, function(path) return host.list(q.root, path, M.walk, LIST_MAX) end,
      function(path) return host.remove(q.root, path, M.walk) end, q.root)
  end
  return ok, err
end

function M.list(q) return host.list(q.root, q.path, M.walk, q.max or LIST_MAX) end
function M.stat(q) return host.stat(q.root, q.path, M.walk, q.link) end
function M.mkdir(q) return host.mkdir(q.root, q.path, M.walk, q.parents) end
function M.remove(q) return host.remove(q.root, q.path, M.walk, q.recursive) end

--- Not offered: nobody has needed it, and a root that is not looked at would be worse than none.
function M.rename()
  return nil, errors.new("denied", "fs.rename knows no root")
end

return M
