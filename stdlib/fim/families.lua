--- Families of models that fill a hole, and the tokens they were trained with. Data alone; `source` says where it is written down.

local M = {}

---@class stoke.fim.family
---@field name string
---@field match string[] patterns of the model's name in lower case
---@field before string in front of what precedes the cursor
---@field between string in front of what follows it
---@field after string behind both: here the model begins
---@field suffix_first? boolean what follows the cursor comes first, after `between`; then `before` and the rest
---@field repo? string in front of a repository's name
---@field file? string in front of another file; without it other files are comments
---@field path? boolean its path stands in the line after `file`
---@field inside? boolean the path of the file itself stands after `before`, and not in front of it
---@field stop string[] what ends the answer, where the server has not ended it already
---@field source string

local QWEN <const> = { "<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>", "<|repo_name|>",
  "<|file_sep|>", "<|im_start|>", "<|im_end|>" }
local STAR <const> = { "<|endoftext|>", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<file_sep>" }
local DEEPSEEK <const> = { "<｜end▁of▁sentence｜>", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>" }

--- The first whose pattern a name has.
---@type stoke.fim.family[]
M.list = {
  { name = "qwen2.5-coder", match = { "qwen[%d.]*%-?coder" }, before = "<|fim_prefix|>", between = "<|fim_suffix|>",
    after = "<|fim_middle|>", repo = "<|repo_name|>", file = "<|file_sep|>", path = true, stop = QWEN,
    source = "README of QwenLM/Qwen2.5-Coder, file level and repository level completion" },
  { name = "codellama", match = { "codellama", "code%-llama" }, before = "<PRE> ", between = " <SUF>", after = " <MID>",
    stop = { "<EOT>", "<PRE>", "<SUF>", "<MID>" },
    source = "infilling prompt of facebookresearch/codellama, as Ollama's library and Continue write it" },
  { name = "deepseek-coder-v2", match = { "deepseek%-coder%-?v2" }, before = "<｜fim▁begin｜>", between = "<｜fim▁hole｜>",
    after = "<｜fim▁end｜>", stop = DEEPSEEK, source = "the tokens of its first version" },
  { name = "deepseek-coder", match = { "deepseek%-coder", "deepseek" }, before = "<｜fim▁begin｜>", between = "<｜fim▁hole｜>",
    after = "<｜fim▁end｜>", stop = DEEPSEEK, source = "model card of deepseek-ai/deepseek-coder-1.3b-base, code insertion" },
  { name = "starcoder2", match = { "starcoder2" }, before = "<fim_prefix>", between = "<fim_suffix>", after = "<fim_middle>",
    repo = "<repo_name>", file = "<file_sep>", path = true, inside = true, stop = STAR, source = "arXiv 2402.19173, section 5.1" },
  { name = "starcoder", match = { "starcoder" }, before = "<fim_prefix>", between = "<fim_suffix>", after = "<fim_middle>",
    stop = STAR, source = "model card of bigcode/starcoder, fill in the middle" },
  { name = "codegemma", match = { "codegemma" }, before = "<|fim_prefix|>", between = "<|fim_suffix|>", after = "<|fim_middle|>",
    file = "<|file_separator|>", stop = { "<|file_separator|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
      "<end_of_turn>", "<eos>" }, source = "ai.google.dev, CodeGemma: formatting and prompt structure" },
  { name = "codestral", match = { "codestral" }, before = "[PREFIX]", between = "[SUFFIX]", after = "", suffix_first = true,
    file = "+++++ ", path = true, inside = true, stop = { "[PREFIX]", "[SUFFIX]", "</s>" },
    source = "the templates of Continue, codestralMultifileFimTemplate" },
  { name = "granite-code", match = { "granite.*code", "granite" }, before = "<fim_prefix>", between = "<fim_suffix>",
    after = "<fim_middle>", stop = STAR, source = "StarCoder's tokenizer, which it has; not compared with a card of its own" },
  { name = "stable-code", match = { "stable%-?code" }, before = "<fim_prefix>", between = "<fim_suffix>", after = "<fim_middle>",
    stop = STAR, source = "model card of stabilityai/stable-code-3b, fill in middle" },
  { name = "refact", match = { "refact" }, before = "<fim_prefix>", between = "<fim_suffix>", after = "<fim_middle>", stop = STAR,
    source = "model card of smallcloudai/Refact-1_6B-fim" },
}

--- The family of a model, by its name.
---@param model string
---@return stoke.fim.family|nil
---
--- Example: `print(families.of("qwen2.5-coder:1.5b").name)`
function M.of(model)
  local name = model:lower()
  for _, family in ipairs(M.list) do
    for _, pattern in ipairs(family.match) do
      if name:find(pattern) then return family end
    end
  end
end

--- A family by its own name.
---@param name string
---@return stoke.fim.family|nil
---
--- Example: `print(families.named("codestral").source)`
function M.named(name)
  for _, family in ipairs(M.list) do
    if family.name == name then return family end
  end
end

return M
