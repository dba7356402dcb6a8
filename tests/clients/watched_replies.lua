-- What the people of watched.lua answer: a plan, and something to say to whoever is near. What a text can do to a page is tried,
-- too.

local HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>'

--- What may be answered, by the grammar: the parameters of each action.
local function offered(format)
  local actions = format and format.properties.actions
  local offers = {}
  for _, shape in ipairs(actions and (actions.items.anyOf or { actions.items }) or {}) do
    offers[shape.properties.action.enum[1]] = shape.properties
  end
  return offers
end

local function answer(...) return { json = { actions = { ... } } } end

return function(request, n)
  local offers = offered(request.format)
  if request.format and request.format.properties.plan then
    return { json = { plan = { { from = "07:00", place = "square", activity = "a walk" },
      { from = "12:00", place = "bakery", activity = "a meal" }, { from = "18:00", place = "library", activity = "reading" } } } }
  elseif offers.ACCEPT then
    return answer { action = "ACCEPT", text = "Good morning! " .. HOSTILE }
  elseif offers.TALK then
    return answer { action = "TALK", text = ("This is answer %d. %s"):format(n, HOSTILE) }
  elseif offers.REACH_OUT then
    return answer { action = "REACH_OUT", to = offers.REACH_OUT.to.enum[1], text = "Hello! " .. HOSTILE }
  elseif offers.DONE then
    return answer { action = "DONE" }
  end
end
