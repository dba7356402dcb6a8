--- The effect embedder.emit { name, json }: an event for the C program that holds this host. A run that goes on after a crash tells
--- its last events once more.

local effect = require "core.effect"
local host = require "host.embedder"

effect.define("embedder.emit", { class = "idempotent", quiet = true, run = function(q) return host.event(q.name, q.json) end })

--- Is there such a program?
---@type fun(): boolean
return { embedded = host.embedded }
