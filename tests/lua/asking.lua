-- Asking a fake server, and what its answers make stoke.ollama raise.

local errors = require "core.errors"
local fake = require "fake"
local ollama = require "stoke.ollama"

local M = {}

M.HI = { { role = "user", content = "Hi" } }
M.DONE = [[{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}]]
M.TEXT = [[{"model":"m","created_at":"x","message":{"role":"assistant","content":"Hi"},"done":false}]]
M.WHOLE = [[{"model":"m","message":{"role":"assistant","content":"Hi"},"done":true,"done_reason":"stop"}]]

function M.options_for(server, more)
  local options = { model = "m", messages = M.HI, endpoint = server.url }
  for k, v in pairs(more or {}) do options[k] = v end
  return options
end

function M.stream(options, out)
  out = out or {}
  for ev in ollama.stream(options) do out[#out + 1] = ev end
  return out
end

-- Both ways to ask fail alike. `want`: kind, message, hint, retryable, tries, and fields.
function M.both(t, answer, want)
  for _, ask in ipairs { ollama.chat, M.stream } do
    local server <close> = fake { answer }
    local err = t.raises(want.kind, ask, M.options_for(server, want.options))
    t.eq(err.kind, want.kind)
    t.eq(err.message, want.message)
    t.eq(err.hint, want.hint or errors.kinds[want.kind].hint, want.message)
    t.eq(err.retryable, want.retryable or false, want.message)
    local tries = 0
    for _, request in ipairs(server.requests) do tries = tries + (request.path ~= "/api/tags" and 1 or 0) end
    t.eq(tries, want.tries or 1, want.message .. ": attempts")
    t.eq(err.model, "m")
    for name, value in pairs(want.fields or {}) do t.eq(err[name], value, name) end
  end
end

return M
