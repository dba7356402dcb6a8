--- The key file: a secret shared by the processes of one user, readable by this user only, created by the first process that needs
--- it. It bypasses the effects, so it appears in no trace and no cassette.

local env = require "host.env"
local errors = require "core.errors"
local fs = require "host.fs"
local jail = require "host.jail"
local rand = require "host.rand"

local M = {}

local BYTES_MAX = 4096
local PRIVATE = 384 -- rw-------

--- A secret of 64 hexadecimal digits. Not from the runtime's own generator: its numbers can be reproduced from the seed.
---@return string
function M.secret()
  local words = {}
  for i = 1, 4 do words[i] = ("%016x"):format(rand.new():int(math.mininteger, math.maxinteger)) end
  return table.concat(words)
end

local function read(folder, name)
  local text, err = jail.read(folder, name, not jail.kernel, BYTES_MAX)
  if err then return nil, err end
  local st, failed = jail.stat(folder, name, not jail.kernel, true)
  if failed then return nil, failed end
  if st and st.mode & 63 ~= 0 then -- 077
    return nil, errors.new("denied", ('"%s/%s" may be read or written by others'):format(folder, name),
      { hint = "remove it; it is made again" })
  end
  local secret = text:match "^%x+\n$"
  if not secret or #secret < 33 then
    return nil, errors.new("os", ('"%s/%s" holds no secret'):format(folder, name), { hint = "remove it; it is made again" })
  end
  return secret:sub(1, -2)
end

--- Read the secret of a file; nil if the file does not exist.
---@param folder string
---@param name string
---@return string|nil
---@return stoke.error|nil err
function M.read(folder, name)
  local secret, err = read(folder, name)
  if err and err.code == fs.ENOENT then return nil end
  return secret, err
end

--- Read the secret of a file; create the file if it does not exist.
---@param folder string
---@param name string
---@return string|nil
---@return stoke.error|nil err
function M.make(folder, name)
  local secret, err = M.read(folder, name)
  if secret or err then return secret, err end
  local token = ("%d-0-p%s"):format(env.pid(), env.place())
  local ok, failed = jail.write(folder, name, not jail.kernel, M.secret() .. "\n", token, "fresh", PRIVATE)
  if not ok and failed.code ~= fs.EEXIST then return nil, failed end
  return read(folder, name) -- another process may have created it first
end

return M
