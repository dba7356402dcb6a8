-- A server of OpenAI's wire in memory, that says what the test tells it to in the bytes of a known one:
--
--     local server <close> = speaking("vllm", { { sse = { "{...}", "[DONE]" } }, { status = 400, body = "..." } })
--     stoke.chat { model = "m", prompt = "Hi", endpoint = server.name }
--     server.sent[1].messages
--
-- GET /v1/models is answered as that server does; questions are answered in turn, the last answer again and again. An answer is a
-- body, { body =, status =, headers = }, { sse = list of data }, { bytes = text } (as it is, in a stream) or a function(req,
-- res, n).

local config = require "stoke.config"
local fake = require "fake"
local json = require "stoke.json"

local M = {}

M.MODELS = {
  vllm = [[{"object":"list","data":[{"id":"m","object":"model","created":1730000000,"owned_by":"vllm","root":"m","parent":null,]]
    .. [["max_model_len":4096,"permission":[{"id":"modelperm-1","object":"model_permission","allow_sampling":true}]}]}]],
  llama = [[{"models":[{"name":"m","model":"m","modified_at":"","size":"","digest":"","type":"model","description":"",]]
    .. [["capabilities":["completion"]}],"object":"list","data":[{"id":"m","object":"model","created":1730000000,]]
    .. [["owned_by":"llamacpp","meta":{"vocab_type":2,"n_vocab":151936,"n_ctx_train":32768,"n_embd":896}}]}]],
  openai = [[{"object":"list","data":[{"id":"m","object":"model","created":1686935002,"owned_by":"system"}]}]],
  litellm = [[{"data":[{"id":"m","object":"model","created":1677610602,"owned_by":"openai"}],"object":"list"}]],
  ollama = [[{"object":"list","data":[{"id":"m:latest","object":"model","created":1796015578,"owned_by":"library"}]}]],
  python = [[{"object":"list","data":[{"id":"m","object":"model","owned_by":"me","permissions":[]}]}]],
  other = [[{"object":"list","data":[{"id":"m","object":"model","owned_by":"somebody"}]}]],
  deepseek = [[{"object":"list","data":[{"id":"m","object":"model","owned_by":"deepseek"}]}]],
}
M.PROPS = [[{"default_generation_settings":{"id":0,"n_ctx":2048,"speculative":false},"total_slots":4,"model_path":"m.gguf"}]]

local JSON, SSE = { ["Content-Type"] = "application/json" }, { ["Content-Type"] = "text/event-stream; charset=utf-8" }

local function answer(a, req, res, n)
  if type(a) == "function" then return a(req, res, n) end
  if type(a) == "string" then a = { body = a } end
  if a.body then return res:reply(a.status or 200, a.headers or JSON, a.body) end
  res:start(200, SSE)
  if a.bytes then return res:write(a.bytes) end
  for _, data in ipairs(a.sse) do res:write("data: " .. data .. "\n\n") end
  if a.reset then res:reset() end
end

return setmetatable(M, { __call = function(_, kind, answers, dialect)
  local sent, paths = {}, {}
  local server = fake(function(req, res)
    if req.method == "GET" then
      if req.path == "/v1/models" and M.MODELS[kind] then return res:reply(200, JSON, M.MODELS[kind]) end
      if req.path == "/props" and kind == "llama" then return res:reply(200, JSON, M.PROPS) end
      return res:reply(404, JSON, [[{"detail":"Not Found"}]])
    end
    local n = #sent + 1
    sent[n], paths[n] = json.decode(req.body), req.path
    return answer(answers[math.min(n, #answers)], req, res, n)
  end)
  config.use_endpoint(server.name, server.url, "this test", false, dialect or "openai")
  server.sent, server.paths = sent, paths
  return server
end })
