-- What the people of focusgroup.lua say, and what is read out of it: each by its age. Two prices are made up, and so are verdicts.

local function last(request) return request.messages[#request.messages].content end

local function age_of(text) return tonumber(text:match "Age: (%d+)") or 0 end

-- What a person answers: the old do not buy, those who are told a price pay near it.
local function answer(age, asked)
  if asked:find "Talk about" then return age > 50 and "It is all too dear now." or "The smell in the street makes me buy." end
  if age > 64 then return "I bake my own. I would not buy it." end
  if asked:find "4 crowns" then return ("That is honest. I would buy it, for %d crowns at the most."):format(3 + age % 3) end
  return age > 50 and "A story is no bread. Perhaps, for 2 crowns." or "I like grandmothers. I would pay 3.50 crowns."
end

-- The form of a person, out of its first turn.
local function form(text)
  local said = text:match "%[1%] [^\n]+:\n> ([^\n]+)" or ""
  local price = tonumber(said:match "(%d[%d.]*) crowns")
  local buy = said:find "not buy" and "no" or said:find "Perhaps" and "maybe" or "yes"
  local reason = buy == "no" and "bakes at home" or buy == "maybe" and "no more than a story" or "likes it"
  if price == 2 then price = 20 end -- nobody has said that
  return { json = { buy = { turn = 1, value = buy }, price = { turn = price and 1 or 0, value = price or 0 },
    reason = { turn = 1, value = reason } } }
end

return function(request)
  local first, text = request.messages[1].content, last(request)
  if text:find "^Invent one person" then
    return { json = { job = age_of(text) > 64 and "retired" or "clerk", text = "Walks to work, whatever the weather." } }
  elseif text:find "does not hold" then
    return { json = { turn = 0, value = 0 } }
  elseif request.format and request.format.properties.answer then
    local answers = request.format.properties.answer.enum -- the value that is asked about stands last
    return { json = { answer = answers[#answers] == "maybe" and answers[1] or answers[#answers] } }
  elseif text:find "Fill in the form" then
    return form(text)
  elseif text:find "The statement" then
    return { json = { turn = 1, why = "as was said", score = text:find "not buy" and 1 or text:find "honest" and 8 or 6 } }
  end
  return answer(age_of(first), text)
end
