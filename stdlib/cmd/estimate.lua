-- stoke estimate MODEL [TEXT] [--tokens N] [--answer N] [--json]

local args = require "stoke.args"
local errors = require "core.errors"
local forecast = require "stoke.model.forecast"
local json = require "core.json"
local stdio = require "core.stdio"
local term = require "stoke.term"

local SPEC = {
  name = "stoke estimate", summary = "How long a call would take, by what was learned of the model. Nothing is sent.",
  examples = { { "stoke estimate qwen2.5:3b \"Why is the sky blue?\"", "a question" },
               { "stoke estimate fast --tokens 8000 --answer 500", "a long prompt, along a route of the settings" } },
  positionals = { { "model", help = "a model, model@endpoint, or a route of the settings" },
                  { "text", optional = true, help = "the prompt" } },
  options = { { "tokens", type = "integer", placeholder = "N", help = "tokens of the prompt, instead of the text" },
              { "answer", type = "integer", placeholder = "N", help = "tokens of the answer (the usual length)" },
              { "json", type = "boolean", help = "as JSON, with the parts" } },
}

local function seconds(n) return n < 0.05 and "0 s" or ("%.1f s"):format(n) end

local function speed(n) return n and ("%.0f"):format(n) or "?" end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  for _, name in ipairs { "tokens", "answer" } do
    if a[name] and a[name] < 0 then errors.raise("usage", ("--%s must be a number of tokens"):format(name)) end
  end
  local found = forecast.of { model = a.model, prompt = a.text, tokens = a.tokens, answer = a.answer }
  if a.json then return stdio.write(json.encode(found) .. "\n") end
  local rows, guessed = { { "MODEL", "ENDPOINT", "TOGETHER", "QUEUE", "PROMPT", "ANSWER", "LOAD", "TOKENS/S" } }, {}
  for _, one in ipairs(found.servers) do
    if not one.known then guessed[#guessed + 1] = ("%s at %s"):format(one.model, one.endpoint) end
    rows[#rows + 1] = { one.model, one.endpoint, (one.known and "" or "~") .. seconds(one.seconds), seconds(one.queue),
      seconds(one.prefill), seconds(one.decode), one.loaded == true and "is loaded" or (one.load_known and "" or "~") ..
        seconds(one.load), speed(one.speeds.prefill) .. " / " .. speed(one.speeds.decode) }
  end
  term.table(rows, { right = { [3] = true, [4] = true, [5] = true, [6] = true, [7] = true } })
  stdio.print(("%d %s of prompt, none of it remembered; %d of answer; loading comes on top where the model is not in memory")
    :format(found.input, found.input == 1 and "token" or "tokens", found.output))
  if guessed[1] then
    stdio.print(("~ a guess: nothing was learned yet of %s. The server was not asked whether it has this model (stoke models does)")
      :format(table.concat(guessed, ", ")))
  end
end
