-- A host that is watched in a browser: calls that wait for approval, each asked again once it is decided; an agent at work; a tool
-- that fails the same way again and again. What was done is written into the file DONE, a line each.

local fs = require "stoke.fs"
local stoke = require "stoke"

local HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>'

local done = {}

local function note(text)
  done[#done + 1] = text
  fs.write(stoke.env.get "DONE", table.concat(done, "\n"))
end

local delete = stoke.tool { name = "delete", params = { path = "string", api_key = "string?", rest = "string?" },
  needs_approval = true, run = function(args)
    note(("%s %s %d"):format(args.path, args.api_key or "-", #(args.rest or "")))
    return "deleted"
  end }

local broken = stoke.tool { name = "broken", params = { n = "integer" }, run = function(args)
  stoke.raise("timeout", ("shelf %d is locked %s"):format(args.n, HOSTILE))
end }

--- Ask for it, again and again.
local function ask(agent, args)
  while true do
    local _, err = delete:perform(args, { agent = agent })
    if err and err.kind == "denied" then note("rejected: " .. tostring(err.reason)) end
    stoke.sleep(0.3)
  end
end

stoke.main(function()
  local bot = stoke.agent { name = "writer", model = "qwen2.5:3b" }
  local scope <close> = stoke.scope {}
  scope:spawn(ask, "janitor", { path = "/srv/a.txt" })
  scope:spawn(ask, "hostile", { path = "/srv/" .. HOSTILE .. "\u{202E}.txt" })
  scope:spawn(ask, "keeper", { path = "/srv/secret.txt", api_key = "xyzzy-plugh-42" })
  scope:spawn(ask, "archivist", { path = "/srv/long.txt", rest = ("0123456789"):rep(5000) })
  scope:spawn(function()
    for n = 1, 1000000 do
      stoke.try(broken.call, broken, { n = n })
      bot:run("Write line " .. n)
      stoke.sleep(0.5)
    end
  end)
  stoke.sleep(3600)
end)
