-- Writes down what a client asks, conversation by conversation, for tests/lua/test_served_clients.lua to ask again without it:
--
--     build/stoke tests/clients/record.lua NAME PROGRAM ARGS...
--
-- writes tests/golden/clients/NAME.txt; {url} in ARGS is the address. It stands between the client and
-- `stoke serve agents/served.lua --sim`. A client says where a conversation begins by asking for /mark/TITLE (the programs here do,
-- where MARK is set); one that cannot is one conversation a run, whose title is in TITLE. What has no one order, or is cut by the
-- clock, is left out. Ids that the server made up are counted, so that the file says which one a client repeats. The replies are
-- not kept: the test writes them (STOKE_UPDATE=1), and they are looked at before they are committed.

local fs = require "stoke.fs"
local http = require "stoke.http"
local proc = require "stoke.proc"
local stoke = require "stoke"

local PASSED_ON = { "PATH", "LANG", "TMPDIR", "PEERS" }
local LEFT_OUT = { a_stream_can_be_left = true, asynchronous = true }
local KEPT = { "accept", "authorization", "content-type", "user-agent", "x-stainless-lang" }

--- Ids in what the server says, by the number that they came in.
local function number_ids(seen, text)
  for kind, rest in text:gmatch "%f[%a](%l+_)(%x+)" do
    local id = kind .. rest
    if #rest == 32 and not seen[id] then
      seen.count[kind] = (seen.count[kind] or 0) + 1
      seen[id] = kind .. seen.count[kind]
    end
  end
end

local function numbered(seen, text) return (text:gsub("%f[%a]%l+_%x+", seen)) end

--- A request as the file has it.
local function written(req, seen)
  local lines = { "> " .. req.method .. " " .. req.target }
  for _, name in ipairs(KEPT) do
    if req.headers[name] then lines[#lines + 1] = ("> %s: %s"):format(name, req.headers[name]) end
  end
  if req.body and req.body ~= "" then
    lines[#lines + 1] = ">"
    for line in (numbered(seen, req.body) .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = "> " .. line end
  end
  return table.concat(lines, "\n") .. "\n"
end

stoke.main(function(argv)
  local file = ("tests/golden/clients/%s.txt"):format(argv[1] or "")
  if not argv[2] then stoke.raise("usage", "record.lua NAME PROGRAM ARGS...") end
  local home = proc.run { argv = { "mktemp", "-d" } }.stdout:gsub("\n$", "")
  local binary = os.getenv "STOKE_BIN" or "build/stoke"
  local server = proc.spawn { argv = { binary, "serve", "agents/served.lua", "--sim", "--port", "0" }, env = { HOME = home },
    env_allow = PASSED_ON }
  local behind = server:lines()()
  local out, seen, skipped = {}, { count = {} }, nil
  local function begin(title)
    out[#out + 1] = ("## %s\n\n"):format((title:gsub("_", " ")))
    seen = { count = {} }
  end
  if os.getenv "TITLE" then
    out[1] = fs.stat(file) and fs.read(file) or ""
    begin(os.getenv "TITLE")
  end
  local front <close> = http.serve { port = 0, handler = function(req, res)
    local title = req.path:match "^/mark/(.*)$"
    if title then
      skipped = LEFT_OUT[title]
      if not skipped then begin(title) end
      return res:reply(200, {}, "")
    end
    if not skipped then out[#out + 1] = written(req, seen) .. "\n" end
    local headers = {}
    for _, kept in ipairs(KEPT) do headers[kept] = req.headers[kept] end
    local reply = http.request { method = req.method, url = behind .. req.target, body = req.body, headers = headers,
      raise = false }
    number_ids(seen, reply.body)
    return res:reply(reply.status, { ["Content-Type"] = reply.headers["content-type"] }, reply.body)
  end }
  local given = {}
  for i = 2, #argv do given[i - 1] = argv[i]:gsub("{url}", front.url) end
  local result = proc.run { argv = given, env = { HOME = home, MARK = front.url, OLLAMA_HOST = front.url:gsub("^http://", ""),
    LLM_USER_PATH = home }, env_allow = PASSED_ON, timeout = 250 }
  io.write(result.stdout, result.stderr)
  server:close()
  proc.run { argv = { "rm", "-rf", home } }
  if not fs.stat "tests/golden/clients" then fs.mkdir "tests/golden/clients" end
  fs.write(file, table.concat(out))
  print(("%s: %d requests"):format(file, #out))
end)
