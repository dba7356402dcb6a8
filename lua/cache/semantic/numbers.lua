--- Numbers of a question: digits with the marks of a language, words ("twenty-five"), and what is counted.

local M = {}

--- A number as it is compared: "1,000" and "1000" are the same in English; where a mark may mean either, only the same writing is
--- the same. Zeros at the end stay: version 3.10 is not 3.1.
---@param lex core.semantic.lexicon
---@param raw string "1,000.50"
---@return string
function M.canonical(lex, raw)
  local sign, digits = raw:match "^(-?)(.*)$"
  if digits:find "^%d+$" then return sign .. (digits:gsub("^0+(%d)", "%1")) end
  if not lex.sure then return sign .. "raw:" .. digits end
  local mark, point = "%" .. lex.thousands, "%" .. lex.decimal
  local whole, fraction = digits:match("^(%d%d?%d?" .. mark .. "[%d" .. mark .. "]*)" .. point .. "(%d+)$")
  if not whole and digits:find("^%d%d?%d?" .. mark .. "%d%d%d") then whole = digits end
  if whole then
    for group in whole:gmatch("[^" .. mark .. "]+") do
      if #group ~= 3 and not whole:find("^" .. group) then return sign .. "raw:" .. digits end
    end
    return sign .. whole:gsub(mark, "") .. (fraction and "." .. fraction or "")
  end
  local a, b = digits:match("^(%d+)" .. point .. "(%d+)$")
  if a then return sign .. a .. "." .. b end
  return sign .. "raw:" .. digits
end

--- German, one word: "einundzwanzig", "zweihundertfünf".
local function german(lex, word)
  local function small(text)
    local known = lex.words[text]
    if known and known.kind == "number" then return tonumber(known.key) end
    local one, ten = text:match "^(.+)und(.+)$"
    if not one then return nil end
    one, ten = one == "ein" and 1 or small(one), lex.words[ten]
    if one and one < 10 and ten and ten.kind == "number" then return one + tonumber(ten.key) end
  end
  local function below(text)
    if text == "" then return 0 end
    local head, tail = text:match "^(.-)hundert(.*)$"
    if head then
      local many = head == "" and 1 or head == "ein" and 1 or small(head)
      local rest = tail == "" and 0 or small(tail)
      return many and rest and many * 100 + rest
    end
    return small(text)
  end
  if #word < 6 then return nil end
  local head, tail = word:match "^(.-)tausend(.*)$"
  if head then
    local many = (head == "" or head == "ein") and 1 or below(head)
    local rest = below(tail)
    return many and rest and many * 1000 + rest
  end
  return below(word)
end

local function value_of(lex, item)
  if item.kind == "number" then return not item.raw and tonumber(item.key) or nil end
  if lex.language == "de" and item.kind == "word" and item.lower then return german(lex, item.lower) end
end

--- One number out of the words that stand together from `at` on.
local function spoken(lex, items, at)
  local total, current, last, n = 0, 0, nil, at
  while items[n] do
    local value = value_of(lex, items[n])
    local join = items[n].lower == lex.join and last and items[n + 1] and value_of(lex, items[n + 1]) and
      (last >= 100 or lex.language == "es")
    if join then
      n = n + 1
      value = value_of(lex, items[n])
    elseif not value then
      break
    end
    if value >= 1000 then
      total, current = total + (current == 0 and 1 or current) * value, 0
    elseif value == 100 and last and last < 10 then
      current = current * 100
    elseif not last or (value < last and (value < 10 and last >= 20 or last >= 100)) then
      current = current + value
    else
      break -- "two three": two numbers
    end
    last = value
    n = n + 1
    if items[n - 1].stop or items[n - 1].comma then break end
  end
  return total + current, n - 1
end

local function unit_of(lex, item, previous)
  if not previous or (previous.kind ~= "number") then return nil end
  local units = lex.units_by
  if not units then
    units = {}
    for group in (lex.data.units .. "|"):gmatch "([^|]*)|" do
      local key, rest = group:match "^%s*(%S+):%s(.*)$"
      for form in (rest or ""):gmatch "%S+" do
        units[form] = key
        if form:find "%a%a$" then units[form .. "s"] = key end
      end
    end
    lex.units_by = units
  end
  return units[item.lower or ""]
end

--- Join the words of numbers, and see what is a unit because a number stands before it.
---@param lex core.semantic.lexicon
---@param items table[]
---@return table[]
function M.joined(lex, items)
  local out, at = {}, 1
  while at <= #items do
    local item = items[at]
    local unit = item.kind ~= "unit" and unit_of(lex, item, out[#out])
    if unit then
      item.kind, item.key = "unit", unit
      out[#out + 1] = item
    elseif item.raw then
      item.key = M.canonical(lex, item.raw)
      out[#out + 1] = item
    elseif value_of(lex, item) then
      local value, last = spoken(lex, items, at)
      out[#out + 1] = { kind = "number", key = tostring(value), lower = item.lower, stop = items[last].stop,
        comma = items[last].comma,
        start = item.start }
      at = last
    else
      out[#out + 1] = item
    end
    at = at + 1
  end
  return out
end

return M
