--- File effects with a `root`: each is one call of host.jail, which confines the path to the root.
---
--- The path is untrusted: any problem with it is an error of kind `denied` or `os`. The root is trusted.

local errors = require "core.errors"
local host = require "host.jail"
local env = require "host.env"
local leftover = require "core.leftover"

local READ_MAX = 64 << 20 -- fs.read refuses more, unless told otherwise
local LIST_MAX = 100000

local M = {}

--- Resolve the path component by component although the kernel could confine it: for tests; older kernels always need it.
M.walk = not host.kernel
--- Can the kernel confine paths?
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

--- Unsupported: no caller needs it, and ignoring `root` silently would be unsafe.
function M.rename()
  return nil, errors.new("denied", "fs.rename knows no root")
end

return M
