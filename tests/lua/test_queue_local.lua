-- The local engine: what every engine has to do (tests/queue/battery.lua), and what is its own.

package.path = "tests/queue/?.lua;" .. package.path

local test = require "stoke.test"
local battery = require "battery"
local engine = require "core.engine"
local errors = require "core.errors"

local function open(path) return errors.check(engine.open("local:" .. path)) end

local folders = setmetatable({}, { __mode = "k" }) -- one a test, however often it opens
battery.run(test, "local", { open = function(t)
  folders[t] = folders[t] or t.tmp()
  return open(folders[t] .. "/q.db")
end })
