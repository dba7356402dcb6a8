-- Vectors without a model, for tests of what finds texts by their meaning.

local M = {}

--- Vectors that say how often a text has each letter: alike for texts of the same letters.
---@param texts string[]
---@return number[][]
function M.letters(texts)
  local out = {}
  for i, text in ipairs(texts) do
    local vector = {}
    for k = 1, 26 do vector[k] = 0.01 end
    for letter in text:lower():gmatch "%l" do vector[letter:byte() - 96] = vector[letter:byte() - 96] + 1 end
    out[i] = vector
  end
  return out
end

return M
