local stoke = require "stoke"

return stoke.eval { run = require "clerk", scorers = { stoke.eval.equal() }, cases = {
  { input = "I was charged twice.", expected = "billing" },
  { input = "What does it cost?", expected = "billing" },
  { input = "The app closes at once.", expected = "bug" },
  { input = "I cannot sign in.", expected = "account" },
} }
