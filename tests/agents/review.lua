-- What the critics and the judge of review.lua say of tests/agents/coder/basket.lua.

local LAST_ITEM = '{"line": 8, "claim": "The loop leaves out the last item.", "severity": "high", "fix": "for i = 1, #items do"}'

return function(request)
  local words, last = request.messages[1].content, request.messages[#request.messages].content
  if words:find "^You look for mistakes" then
    if not last:find "does not fit" then return { text = '{"findings": [' .. LAST_ITEM:gsub("8", "80") .. "]}", delay = 0.2 } end
    return '{"findings": [{"line": 11, "claim": "It rounds down.", "severity": "medium", "fix": "add 0.5"}, ' .. LAST_ITEM .. "]}"
  elseif words:find "^You look for what misleads" then
    return '{"findings": [{"line": 3, "claim": "M says nothing.", "severity": "low", "fix": "local basket = {}"}]}'
  end
  if last:find "M says nothing" then return '{"reasoning": "M is the usual name of a module.", "verdict": "drop"}' end
  return '{"reasoning": "The comment and the code differ.", "verdict": "keep"}'
end
