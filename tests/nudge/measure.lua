-- How well the rule of stoke.agent.nudge tells announcements from answers, on answers.txt and announcements.txt: a line each,
-- language, tab, text (`\n` for a new line). Odd lines were there to make the rule on, even lines only to measure it.
--
--   stoke tests/nudge/measure.lua     prints the figures

local fs = require "stoke.fs"
local nudge = require "stoke.agent.nudge"
local stoke = require "stoke"

local M = {}

--- What the rule says of a file's texts: { made = { said, count }, held = { said, count } }, and which of the first it got wrong.
function M.of(name)
  local out, wrong, number = { made = { 0, 0 }, held = { 0, 0 } }, {}, 0
  for line in fs.read("tests/nudge/" .. name .. ".txt"):gmatch "[^\n]+" do
    number = number + 1
    local half, text = number % 2 == 1 and "made" or "held", line:match("\t(.*)"):gsub("\\n", "\n")
    local said = nudge.announces(text)
    out[half][2] = out[half][2] + 1
    if said then out[half][1] = out[half][1] + 1 end
    if half == "made" and said ~= (name == "announcements") then wrong[#wrong + 1] = text end
  end
  return out, wrong
end

function M.words(half) return ("%d of %d (%.1f %%)"):format(half[1], half[2], 100 * half[1] / half[2]) end

stoke.main(function()
  for _, row in ipairs { { "announcements found", "announcements" }, { "answers taken for one", "answers" } } do
    local found = M.of(row[2])
    print(("%s: made on %s, held out %s"):format(row[1], M.words(found.made), M.words(found.held)))
  end
end)

return M
