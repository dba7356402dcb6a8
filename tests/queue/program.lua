-- What the kill campaign of queues runs in processes of their own, as any script would be:
--
--     stoke program.lua publish URL STREAM FILE      a file of { id, key, n, fate } a line; from the beginning, whatever was before
--     stoke program.lua work URL STREAM LEASE TRIES

local stoke = require "stoke"

local PIECE <const>, TASKS <const> = 40, 4

local function publish(queue, stream, file)
  local list = {}
  local function send()
    queue:publish_all(stream, list)
    list = {}
  end
  for line in stoke.fs.read(file):gmatch "[^\n]+" do
    local m = stoke.json.decode(line)
    list[#list + 1] = { id = m.id, key = m.key, value = { n = m.n, fate = m.fate } }
    if #list == PIECE then send() end
  end
  send()
end

--- Die as by a power cut.
local function die() stoke.proc.run { argv = { "sh", "-c", "kill -9 $PPID" } } end

local function work(queue, stream, lease, tries)
  local reader <close> = queue:consume(stream, "g", { lease = lease, tries = tries, prefetch = TASKS * 2 })
  local scope <close> = stoke.scope {}
  for _ = 1, TASKS do
    scope:spawn(function()
      for item in reader do
        if item.value.fate == "poison" then die() end
        if item.value.fate == "bad" then
          item:dead "it is bad"
        else
          local id = item.id .. "/" .. stoke.rand.uuid()
          item:ack { value = { id }, publish = { { stream = stream .. ".to", id = id, key = item.key, value = { item.id } } } }
        end
      end
    end)
  end
  scope:wait()
end

stoke.main(function(args)
  local role, url, stream = table.unpack(args)
  local queue <close> = stoke.queue(url)
  if role == "publish" then return publish(queue, stream, args[4]) end
  work(queue, stream, tonumber(args[4]), math.tointeger(tonumber(args[5])))
end)
