-- What the model of hello.lua says.

return {
  { tool_calls = { { name = "count_letter", arguments = { letter = "r", word = "strawberry" } } } },
  'The letter "r" is three times in "strawberry".',
}
