-- An agent with a window that holds what coding tools say of themselves: Codex lends nine tools below 5,000 tokens of instructions.

local stoke = require "stoke"

stoke.models { ["qwen2.5:3b"] = { num_ctx = 32768 } }
stoke.agent { name = "coder", model = "qwen2.5:3b", tools = { stoke.tools.calculator() } }
