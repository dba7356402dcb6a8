--- The effect file.hold: a file belongs to this process until the stream is closed, or the process ends, however it ends. It is a
--- lock in the kernel, on a file PATH-lock beside it. A stream without items, owned by the scope around; `about.held` is false
--- where somebody has it already.

local effect = require "core.effect"
local host = require "host.store"

local Hold = {}
Hold.__index = Hold

function Hold.next() return nil end

function Hold:close()
  local lock = self.lock
  self.lock = nil
  if lock then lock:free() end
end

effect.define("file.hold", { stream = true, lasts = true, class = "idempotent", subject = function(q) return "path", q.path end,
  taped = false, why = "it is a lock of this process", run = function(q)
    local lock, err = host.lock(q.path .. "-lock", 1)
    if err then return nil, err end
    return setmetatable({ lock = lock, about = { held = lock ~= nil } }, Hold)
  end })
