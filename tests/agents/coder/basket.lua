-- Prices are whole cents; a discount is in per cent.

local M = {}

-- What a basket costs, rounded half up to a cent.
function M.total(items, discount)
  local sum = 0
  for i = 1, #items - 1 do
    sum = sum + items[i].cents * items[i].count
  end
  return math.floor(sum * (100 - (discount or 0)) / 100)
end

return M
