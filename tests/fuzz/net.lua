-- Many random answers for one process: tests/peers/random.c draws them, requests of all kinds read them over recycled handles and
-- kept connections, and cancels and deadlines come at any moment.
--
--     build/stoke tests/fuzz/net.lua [--draw N] [--seconds S] [--requests N] [--from N] [--each]
--
-- Request N of a draw is always the same one, with the same answer; --from N begins there. What must hold: each request ends with
-- a value or an error of the network's kinds; when all have ended no descriptor and no object of the host is left over; no answer
-- is read for ever. The memory errors are for AddressSanitizer to find (`make fuzz`).

local stoke = require "stoke"
local args = require "stoke.args"
local fs = require "stoke.fs"
local http = require "stoke.http"
local ollama = require "stoke.ollama"
local proc = require "stoke.proc"
local time = require "stoke.time"

local BUILD = os.getenv "STOKE_BUILD" or "build"
local WORKERS, BATCH = 12, 240
local MB = 1024 * 1024
local MAX_BYTES = 4 * MB
-- One answer's bytes that a peer may get rid of: what is allowed, and what the sockets' buffers swallow beside it.
local MOST = 32 * MB

-- What the network can bring about. Everything else (script, os, argument) is a fault of ours.
local KINDS = {}
for _, kind in ipairs { "refused", "dns", "tls", "unreachable", "timeout", "incomplete", "protocol", "limit", "http", "auth",
  "overloaded", "cancelled", "deadline", "invalid_output", "context_overflow" } do KINDS[kind] = true end

-- ---- chance -----------------------------------------------------------------------------------------------------------------

--- A generator of its own for each request: its numbers do not depend on what runs beside it.
local function generator(seed)
  local state = seed * 0x9e3779b97f4a7c15 + 0x1234567
  return function(n)
    state = state * 6364136223846793005 + 1442695040888963407
    local x = (state >> 33) ~ (state >> 17)
    return (x & 0x7fffffff) % n + 1
  end
end

-- ---- one request --------------------------------------------------------------------------------------------------------------

local function options_of(pick)
  local options = { max_bytes = MAX_BYTES, raise = pick(2) == 1 or nil, max_redirects = pick(4) - 1 }
  options.timeout = pick(3) == 1 and pick(200) / 1000 or { connect = 2, first_byte = 2, idle = 1, total = 4 }
  if pick(12) == 1 then options.headers = { ["X-Other"] = "1" } end
  if pick(15) == 1 then options.resolve = { ["one.test"] = "127.0.0.1" } end
  if pick(15) == 1 then options.max_bytes = pick(2000) end
  return options
end

local BODIES = { 0, 10, 5000, 70000, 300000 }

local function whole(url, pick, options)
  local kind = pick(8)
  if kind == 1 then options.method = "HEAD" end
  if kind == 2 then options.method = "PUT" end
  if kind == 2 or kind > 5 then options.body = ("b"):rep(BODIES[pick(#BODIES)]) end
  options.url = url
  http.request(options)
end

local MODES = { "lines", "sse", "bytes" }

--- A stream, read to its end, or slowly, or left in the middle.
local function stream(url, pick, options)
  options.stream, options.max_line = MODES[pick(3)], pick(3) == 1 and 100 or nil
  local res = http.get(url, options)
  if not res.stream then return end
  local next_item = options.stream == "lines" and res:lines() or options.stream == "sse" and res:events() or res:chunks()
  local last, slow = pick(3) == 1 and pick(5) or math.huge, pick(4) == 1
  local count = 0
  while next_item() do
    count = count + 1
    if slow and count < 5 then stoke.sleep(pick(10) / 1000) end
    if count >= last then break end
  end
  res:close()
end

local function model(url, pick)
  local timeouts = { connect = 2, first_byte = 2, idle = 1, total = 3 }
  local given = { model = "m", endpoint = url, timeouts = timeouts, messages = { { role = "user", content = "hello" } } }
  if pick(2) == 1 then return ollama.chat(given) end
  local last, count = pick(3) == 1 and pick(3) or math.huge, 0
  for _ in ollama.stream(given) do
    count = count + 1
    if count >= last then break end
  end
end

local function request(peer, n, pick)
  local way, url = pick(10), ("%s/%d"):format(peer.url, n)
  if way <= 2 then return model(url, pick) end
  local options = options_of(pick)
  if way == 3 then -- the peer is the proxy
    options.proxy, options.resolve = peer.url, nil
    url = ("%s://%d.test/"):format(pick(2) == 1 and "http" or "https", n)
  end
  if way == 4 then return http.get(peer.url .. "/plain", options) end
  if way <= 7 then return whole(url, pick, options) end
  return stream(url, pick, options)
end

--- Play it. An error that is no outcome of the network is raised with its number.
local function play(peer, n, log)
  local pick = generator(peer.seed * 1000003 + n)
  local limit = pick(4) == 1 and pick(40) / 1000 or 20
  local seed = peer.seed * 1000000007 + n & 0xffffffffffff
  local _, err = stoke.try(stoke.timeout, limit, request, peer, seed, pick)
  if log then io.stderr:write(("%d %d %s\n"):format(n, seed, err and tostring(err):match "^[^\n]*" or "ok")) end
  if err and not KINDS[err.kind] then
    error(("request %d (answer %d): %s\n%s"):format(n, seed, tostring(err), err.traceback or ""), 0)
  end
end

-- ---- what is left over ----------------------------------------------------------------------------------------------------------

local function descriptors() return fs.stat "/proc/self/fd" and #fs.list "/proc/self/fd" or nil end

local function resident()
  local status = fs.stat "/proc/self/status" and fs.read "/proc/self/status" or ""
  return tonumber(status:match "VmRSS:%s*(%d+)") or 0
end

--- Kept connections are no leak: as many as were open at once, to each of few places.
local function check_descriptors(first, peer)
  local now = descriptors()
  if not now then return end
  if now > first + 4 * WORKERS + 60 then
    error(("%d descriptors are open, %d were at the start, and all requests have ended (--draw %d)"):format(now, first,
      peer.seed), 0)
  end
end

local function check_peer(peer)
  local stats = http.get(peer.url .. "/stats"):json()
  if stats.most > MOST then
    error(("the peer got rid of %d MB of one answer (answer %d)"):format(stats.most // MB, stats.most_seed), 0)
  end
  return stats
end

-- ---- the run ----------------------------------------------------------------------------------------------------------------

--- The longest time that nothing else could run, seconds.
local function watch(state)
  while true do
    local before = time.monotonic()
    stoke.sleep(0.01)
    state.gap = math.max(state.gap, time.monotonic() - before - 0.01)
  end
end

local function batch(peer, first, count, log)
  local scope <close> = stoke.scope()
  local n = first
  for _ = 1, WORKERS do
    scope:spawn(function()
      while n < first + count do
        n = n + 1
        play(peer, n - 1, log)
      end
    end)
  end
  scope:wait()
end

--- Good requests, one after the other, as a host makes them when the storm is over: none may leave anything behind.
local function calm(peer)
  for _ = 1, 100 do
    local value, err = stoke.try(http.get, peer.url .. "/plain")
    if not value then error("a good request failed after the storm: " .. tostring(err), 0) end
  end
end

--- The server is started anew: all kept connections die at their next request, and the calls that meet that are cancelled early.
local function restart(peer, pick)
  local scope <close> = stoke.scope()
  for _ = 1, 40 do scope:spawn(stoke.try, http.get, peer.url .. "/slow") end
  scope:wait()
  http.get(peer.url .. "/restart")
  for _ = 1, 6 do stoke.try(stoke.timeout, pick(20) / 1000, http.get, peer.url .. "/slow") end
end

local function run(options)
  local process = proc.spawn { argv = { BUILD .. "/random" } }
  local peer <close> = setmetatable({ seed = options.draw, url = "http://127.0.0.1:" .. process:lines()():match "%d+" },
    { __close = function() process:close() end })
  print(("net: --draw %d"):format(options.draw))
  local scope <close> = stoke.scope()
  local state = { gap = 0 }
  local watcher = scope:spawn(watch, state)
  calm(peer)
  local start, open, done = time.monotonic(), descriptors(), options.from
  local stats
  repeat
    local count = math.min(BATCH, options.requests - done)
    batch(peer, done, count, options.each)
    done = done + count
    restart(peer, generator(options.draw + done))
    calm(peer)
    check_descriptors(open or 0, peer)
    stats = check_peer(peer)
  until done >= options.requests or time.monotonic() - start >= options.seconds
  watcher:cancel()
  print(("net: %d requests, %d connections, longest answer %d KB, longest pause %d ms, %d MB resident"):format(done - options.from,
    stats.connections, stats.most // 1024, state.gap * 1000 // 1, resident() // 1024))
end

local SPEC = {
  name = "net", summary = "Random answers for one process.",
  options = {
    { "draw", type = "integer", help = "the seed of requests and answers" },
    { "seconds", default = 30.0, help = "stop after so long" },
    { "requests", default = math.maxinteger, help = "stop after so many" },
    { "from", default = 0, help = "the first request" },
    { "each", type = "boolean", help = "a line for each request" },
  },
}

stoke.main(function(argv)
  local options = args.parse(SPEC, argv)
  options.draw = options.draw or math.tointeger(time.now() * 1000 // 1 % 1000000)
  run(options)
end)
