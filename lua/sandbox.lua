--- Sandboxes child processes: the command line of the helper (host/fence/sandbox.h), its report, and a private temp folder.

local about = require "core.about"
local env = require "host.env"
local errors = require "core.errors"
local fs = require "host.fs"
local host = require "host.proc"
local leftover = require "core.leftover"
local random = require "core.random"

local M = {}

--- Default limits. They apply to the program and its descendants together, file_size to each file.
M.DEFAULTS = { memory = 2 << 30, processes = 512, file_size = 256 << 20 }

local HINT = "what was demanded is not to be had here; without `require` the sandbox takes what there is and tells its level"
local REMOVALS = 5 -- attempts: killed processes of the group may still write for a moment
local LIMITS = { "cpu", "memory", "file_size", "processes" }

local function add_limits(words, wanted)
  if wanted.net then words[#words + 1] = "net" end
  for _, name in ipairs(LIMITS) do
    local value, word = wanted[name], name
    if value == nil then -- by default limit the memory in use, not the address space: sanitizers reserve terabytes
      value, word = M.DEFAULTS[name], name == "memory" and "used" or name
    end
    if value and value < math.huge then words[#words + 1] = ("%s=%d"):format(word, math.ceil(value)) end
  end
  if wanted.require then words[#words + 1] = "require=" .. wanted.require end
end

--- The level that a sandbox with default options reaches on this system: "landlock7+seccomp+rlimits(memory=2G,...)", at least
--- "rlimits(...)".
---@return string
function M.level()
  local words = {}
  add_limits(words, {})
  return host.sandbox_level(words)
end

---@class core.sandbox
---@field argv string[] the command line to start instead
---@field temp string its private folder, removed with it
---@field level? string set once it runs
local Fence = {}
Fence.__index = Fence

local swept = false

--- Remove the folders of killed processes. Once per process is enough: these are few.
local function sweep(folder)
  if swept then return end
  swept = true
  for _, entry in ipairs(fs.list(folder) or {}) do
    if leftover.folder(entry.name) then fs.remove_tree(folder .. "/" .. entry.name) end
  end
end

local function make_temp()
  local folder = env.get "TMPDIR"
  if not folder or folder:sub(1, 1) ~= "/" then folder = "/tmp" end
  sweep(folder)
  while true do
    local path = ("%s/stoke-%d-%s%08x"):format(folder, env.pid(), env.place(), random.stream("temp"):int(0, 0xffffffff))
    local ok, err = fs.mkdir(path, 448) -- rwx------
    if ok then return path end
    if err.code ~= fs.EEXIST then return nil, err end
  end
end

--- Add folders by their resolved paths: the child may start in another folder, and a link is judged by its target.
local function add_folders(words, name, paths)
  for _, path in ipairs(paths) do
    local real, err = fs.resolve(path)
    if not real then return nil, err end
    words[#words + 1] = name .. "=" .. real
  end
  return true
end

--- Create the sandbox that a request asks for; nil if it asks for none. The caller closes it when the child has ended.
---@param q table the request: sandbox, argv, cwd
---@return core.sandbox|nil
---@return stoke.error|nil err
function M.open(q)
  if not q.sandbox then return nil end
  local wanted = q.sandbox == true and {} or q.sandbox
  local program, missing = about.helper()
  if not program then return nil, missing end
  local words = { program, "--exec-helper" }
  local ok, err = add_folders(words, "write", wanted.write or { q.cwd or "." })
  if ok then ok, err = add_folders(words, "read", wanted.read or {}) end
  if not ok then return nil, err end
  add_limits(words, wanted)
  local temp
  temp, err = make_temp()
  if err then return nil, err end
  local fence = setmetatable({ argv = words, temp = temp }, Fence)
  ok, err = add_folders(words, "write", { temp })
  if not ok then
    fence:close()
    return nil, err
  end
  words[#words + 1] = "--"
  table.move(q.argv, 1, #q.argv, #words + 1, words)
  return fence
end

--- Wait until the helper has executed the program.
---@param p table the process
---@param program string for the message
---@return boolean|nil
---@return stoke.error|nil err
function Fence:started(p, program)
  local said = ""
  while not said:find "started\n" do
    local bytes, err = p:read "report"
    if err then return nil, err end
    if not bytes then break end
    said = said .. bytes
  end
  self.level = said:match "^ok ([^\n]*)"
  local denied = said:match "^denied ([^\n]*)"
  if denied then return nil, errors.new("denied", ('cannot start "%s": %s'):format(program, denied), { hint = HINT }) end
  local code, reason = said:match "failed (%d+) ([^\n]*)"
  if code then return nil, errors.new("os", ('cannot start "%s": %s'):format(program, reason), { code = tonumber(code) }) end
  return true
end

--- The limit that ended the process, from the supervisor's last report: "memory", "processes".
---@param p table the process, ended
---@return string|nil
function Fence:limit(p)
  if self.asked then return self.over end
  self.asked = true -- the report can be read once
  local said = ""
  for bytes in function() return (p:read "report") end do said = said .. bytes end
  self.over = said:match "limit (%w+)\n"
  return self.over
end

function Fence:close()
  for _ = 1, REMOVALS do
    if fs.remove_tree(self.temp) then return end
  end
end

Fence.__close = Fence.close

return M
