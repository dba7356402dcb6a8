--- A world for a candidate: a copy of the project's folder, in which programs run that can change nothing else.

local about = require "core.about"
local config = require "stoke.config"
local errors = require "core.errors"
local fs = require "stoke.fs"
local policy = require "core.gate.policy"
local proc = require "stoke.proc"
local random = require "core.random"

local M = {}

--- What a copy may hold at most.
M.FILES, M.BYTES = 5000, 64 << 20

--- Folders that are made again by those who need them, or that are nobody's source.
local LEFT_OUT <const> = { build = true, node_modules = true, lua_modules = true }

--- Variables that programs of a world are given, those that are set.
local VARIABLES <const> = { "PATH", "LANG", "LC_ALL", "TZ", "OLLAMA_HOST", "NO_COLOR" }

---@class stoke.evolve.world
---@field folder string
---@field files integer
---@field bytes integer
local World = {}
World.__index = World

--- Folders first, so that a file has one to be written into. Links are not followed: what they lead to is not the project's.
local function copy(self, from, to)
  fs.mkdir(to, { parents = true })
  for _, entry in ipairs(fs.list(from)) do
    local source, target = from .. "/" .. entry.name, to .. "/" .. entry.name
    if entry.type == "directory" and not entry.name:find "^%." and not LEFT_OUT[entry.name] then
      copy(self, source, target)
    elseif entry.type == "file" then
      local text = fs.read(source, { max = M.BYTES })
      self.files, self.bytes = self.files + 1, self.bytes + #text
      if self.files > M.FILES or self.bytes > M.BYTES then
        errors.raise("limit", ("the project in %s is too large to be copied: more than %d files or %d MB"):format(self.project,
          M.FILES, M.BYTES >> 20), { hint = "folder = \"...\" of stoke.evolve names the part that matters" })
      end
      fs.write(target, text)
    end
  end
end

--- The settings of this process, for a stoke in the world, and the folders of the files that they name.
---@return string[] words
---@return string[] folders
local function settings()
  local words, folders, flags = {}, {}, config.flags()
  if flags.endpoint then words[1] = "--endpoint=" .. flags.endpoint end
  for _, name in ipairs { "config", "sim" } do
    local value = flags[name]
    if type(value) == "string" and value ~= "auto" then
      value = policy.absolute(value)
      folders[#folders + 1] = value:match "^(.*)/"
    end
    if value then words[#words + 1] = value == true and "--" .. name or ("--%s=%s"):format(name, value) end
  end
  return words, folders
end

--- Copy the project, with the candidate in its place. It is gone when it is closed.
---@param evolve stoke.evolve
---@param job stoke.evolve.job
---@param name string of the copy: one that a killed process left is replaced
---@return stoke.evolve.world
---Raises `limit`, `os`, `denied`.
function M.open(evolve, job, name)
  local folder = ("%s/.stoke/evolve/%s"):format(evolve.folder, name)
  if fs.stat(folder) then fs.remove(folder, { recursive = true }) end
  local self = setmetatable({ folder = folder, project = evolve.folder, files = 0, bytes = 0, timeout = evolve.timeout,
    env = evolve.env, file = job.file }, World)
  self.settings, self.readable = settings()
  copy(self, evolve.folder, folder)
  self:put(job.text)
  return self
end

--- Give the file that is on trial this text.
---@param text string
function World:put(text) fs.write(self.folder .. "/" .. self.file, text) end

function World:__close() fs.remove(self.folder, { recursive = true }) end

local function variables(self)
  local list = table.move(VARIABLES, 1, #VARIABLES, 1, {})
  return table.move(self.env, 1, #self.env, #list + 1, list)
end

--- Run a program in the world.
---@param argv string[]
---@param options? { net?: boolean }
---@return stoke.proc.result
---Raises `os`, `denied`.
function World:run(argv, options)
  local readable = { about.executable():match "^(.*)/" }
  table.move(self.readable, 1, #self.readable, 2, readable)
  return proc.run { argv = argv, cwd = self.folder, env_allow = variables(self), env = { STOKE_HISTORY = "" },
    timeout = self.timeout, max_output = 4 << 20, keep = "last",
    sandbox = { write = { self.folder }, read = readable, net = options and options.net or false } }
end

--- Run a stoke in the world.
---@param verb string
---@param words string[]
---@param options? { net?: boolean }
---@return stoke.proc.result
function World:stoke(verb, words, options)
  local argv = { about.executable(), verb, "--seed", tostring(random.seeded or 1) }
  table.move(self.settings, 1, #self.settings, #argv + 1, argv)
  return self:run(table.move(words, 1, #words, #argv + 1, argv), options)
end

return M
