-- What the model of extract.lua says: well, damaged, wrong and then corrected, never right. The first is the slowest.

return function(request)
  local words, again = "", false
  for _, message in ipairs(request.messages) do
    if message.role == "user" then words = words .. message.content end
    again = again or message.content:find("does not fit", 1, true) ~= nil
  end
  if words:find "Acme" then return { text = '{"vendor": "Acme Ltd.", "total": 120.5, "due": "2026-03-01"}', delay = 0.5 } end
  if words:find "Bolt" then return "```json\n{'vendor': 'Bolt & Sons', total: \"99\",}\n```" end
  if words:find "Cable" then
    return ('{"vendor": "Cable Co.", "total": %s, "due": "2026-04-10"}'):format(again and "20" or "-20")
  end
  return '{"weather": "fine"}'
end
