--- POST /v1/responses, as Ollama has it: stateless, its items rewritten into messages of a chat.

local json = require "stoke.ollama.server.gojson"
local decode = require "stoke.ollama.server.decode"
local inference = require "stoke.sim.inference"
local responses = require "stoke.ollama.server.responses"
local v1 = require "stoke.sim.v1"

local M = {}

local EMPTY = {}

local function line(about, value)
  responses.begin(about)
  local message = type(value.message) == "table" and value.message or EMPTY
  if (message.thinking or "") ~= "" then responses.thought(about, message.thinking) end
  if (message.content or "") ~= "" then responses.text(about, message.content) end
  if message.tool_calls then responses.calls(about, message.tool_calls) end
  if value.done then responses.finish(about, value.prompt_eval_count or 0, value.eval_count or 0) end
  return responses.take(about)
end

--- POST /v1/responses
---@param sim table
---@param req table
---@param res table
function M.handle(sim, req, res)
  local text = req.body or ""
  if not text:find "%S" then return v1.refuse(res, "EOF") end
  local body, err = decode.request(text, responses.REQUEST, sim.habits)
  if not body then return v1.refuse(res, err) end
  local raw = json.decode(text)
  local native, wrong = responses.native(raw, sim.habits)
  if not native then return v1.refuse(res, wrong) end
  local about = responses.about(raw, "resp_" .. sim.random(999999) - 1, "msg_" .. sim.random(999999) - 1, sim.wall)
  about.sim, about.res = sim, res
  about.whole = function(value)
    local message = value.message
    return responses.whole(about, message.content or "", message.thinking or "", message.tool_calls or EMPTY,
      value.prompt_eval_count or 0, value.eval_count or 0)
  end
  about.line = function(value) return line(about, value) end
  return v1.ask(sim, req, native, inference.chat, v1.writer(about))
end

return M
