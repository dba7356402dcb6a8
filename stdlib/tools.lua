--- stoke.tools: built-in tools. Each function returns a tool for an agent:
---
---     local tools = require "stoke.tools"
---     local bot = stoke.agent { model = "qwen2.5:3b", tools = { tools.now(), tools.read_file { root = "notes" } } }
---
---   read_file, write_file, list_dir, patch_file   files below a root that no path leaves     stdlib/tools/files.lua
---   run_command                                   programs of an allow-list, in a sandbox    stdlib/tools/command.lua
---   http_fetch                                    pages at public addresses                  stdlib/tools/fetch.lua
---   lua_eval                                      Lua of the model's, in a capped process    stdlib/tools/lua.lua
---   now, calculator                               the time; arithmetic                       stdlib/tools/basic.lua

local errors = require "core.errors"
local ordered = require "core.ordered"

---@class stoke.tools
---@field read_file fun(options?: table): stoke.tool
---@field write_file fun(options?: table): stoke.tool
---@field list_dir fun(options?: table): stoke.tool
---@field patch_file fun(options?: table): stoke.tool
---@field run_command fun(options: table): stoke.tool
---@field http_fetch fun(options?: table): stoke.tool
---@field lua_eval fun(options?: table): stoke.tool
---@field now fun(options?: table): stoke.tool
---@field calculator fun(): stoke.tool
local M = {}

local FROM = { read_file = "files", write_file = "files", list_dir = "files", patch_file = "files", run_command = "command",
  http_fetch = "fetch", lua_eval = "lua", now = "basic", calculator = "basic" }

local function names() return ordered.names(FROM) end

return setmetatable(M, {
  __index = function(_, name)
    local module = FROM[name]
    if module then
      M[name] = require("stoke.tools." .. module)[name]
      return M[name]
    end
    local near = type(name) == "string" and errors.suggest(name, names())
    near = near and (" (did you mean stoke.tools.%s?)"):format(near) or "; there are " .. table.concat(names(), ", ")
    errors.argument("stoke.tools.%s does not exist%s", tostring(name), near)
  end,
})
