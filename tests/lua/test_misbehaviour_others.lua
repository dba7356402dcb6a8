-- What a misbehaving model does (tests/hostile/model.lua), to agents it was not made for: only that each ends, readably.

local test = require "stoke.test"
local cases = require "tests.hostile.model"
local play = require "tests.hostile.play"

--- Kinds that a misbehaving model or server may end in, where nothing closer is known.
local ANY = "value invalid_output limit max_steps loop http protocol incomplete timeout overloaded context_overflow "
  .. "unreachable refused auth budget deadline needs_approval"

local OTHERS = { "plain", "tools", "output", "both", "choose" }
local parts = {}
for _, case in ipairs(cases) do
  local part = case.name:match "^%w+"
  parts[part] = parts[part] or {}
  table.insert(parts[part], case)
end
for part, list in pairs(parts) do
  if type(list[1].with) ~= "function" then
    for _, with in ipairs(OTHERS) do
      test(("misbehaviour: all of %s, to an agent of kind %s"):format(part, with), { timeout = 1e9 }, function(t)
        for _, case in ipairs(list) do
          if case.with ~= with and type(case.with) ~= "function" and not case.long then
            for _, way in ipairs { "run", "stream" } do
              play.check(t, play.play(case, way, with), ANY, case.name .. ", " .. way)
            end
          end
        end
      end)
    end
  end
end
