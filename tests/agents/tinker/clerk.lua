local stoke = require "stoke"

local INSTRUCTIONS = [[
Sort the message: billing, bug or account. Answer with the word alone.]]

return stoke.agent { name = "clerk", model = "qwen2.5:3b", instructions = INSTRUCTIONS }
