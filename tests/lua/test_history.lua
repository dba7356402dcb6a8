-- What prompts remember: the files of their entries, and what is not written into them.

local test = require "stoke.test"
local fs = require "stoke.fs"
local histories = require "stoke.term.history"
local proc = require "stoke.proc"
local secrets = require "core.secrets"

local function folder()
  local path = proc.run { argv = { "mktemp", "-d" } }.stdout:gsub("\n$", "")
  return setmetatable({ path = path }, { __close = function() fs.remove(path, { recursive = true }) end })
end

local REAL = { real = true }

test("history: lines that look like a secret are told from others", function(t)
  for _, line in ipairs {
    "sk-proj-4f9a8b7c6d5e4f3a2b1c0d9e", "stoke.env.set('OLLAMA_API_KEY', 'a1b2c3d4e5f6')", "api_key = \"hunter2hunter2\"",
    "config = { password = 'hunter2' }", "http.get(url, { headers = { Authorization = 'Bearer abc123def' } })",
    "{\"client_secret\": \"s3cr3t!\"}", "OPENAI_API_KEY=abcdef123456 make", "--api-key abcdef123456", "my password is hunter2",
    "http.get 'https://ada:lovelace1@example.org/'", "key = '0123456789abcdef0123456789abcdef'",
    "ghp_0123456789abcdefghij0123456789abcdef", "hf_abcdefghijklmnopqrstuvwxyz", "AKIAIOSFODNN7EXAMPLE",
    "x = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln'", "t = 'Zm9vYmFyMTIzNDU2Nzg5MEFCQ0RFRkdISUpLTE1OT1A'",
    "h['X-API-Key'] = 'abc123456'", "Basic dXNlcjpwYXNz", "cookie: sid=0123456789ab", "-----BEGIN RSA PRIVATE KEY-----",
    "AIzaSyA-0123456789abcdefghijklmnopqrstu" } do
    t.ok(secrets.like(line), line)
  end
  for _, line in ipairs {
    "1 + 1", "for k, v in pairs(t) do print(k, v) end", "{ key = 'temperature' }", "local key = next(t)", "tokens = 500",
    "bot:run { max_tokens = 2048 }", "ollama.chat { model = 'qwen2.5:3b', prompt = 'What is a secret?' }", "Basic usage of keys",
    "what is the key to success?", "require 'stoke.schema'", "local token = lexer:next()", "os.getenv 'OLLAMA_API_KEY'",
    "http.get 'https://example.org:8080/a'", "x = '0123456789abcdef0123456789abcdef'", "bearer of good news", "session.id",
    "stoke.budget { tokens = 20000 }", "author = 'Ada'", "keys = { 'a', 'b' }", "password = os.getenv 'DB_PASSWORD'",
    "skeleton-of-a-very-long-file-name.lua", "thisIsAVeryLongCamelCaseFunctionNameWithoutEnd()" } do
    t.ok(not secrets.like(line), line)
  end
end)

test("history: a secret, and a line that begins with a blank, are there to go back to and not in the file", REAL, function(t)
  local here <close> = folder()
  local path = here.path .. "/history"
  local history = histories.open(path)
  t.eq(history:add "1 + 1", true)
  t.eq({ history:add "api_key = 'abcdef123456'" }, { false, "it looks like a secret" })
  history:add " private()"
  history:add "2 + 2"
  t.eq(fs.read(path), "1 + 1\n2 + 2\n")
  t.eq(#history.entries, 4)
  t.eq(histories.open(path).entries, { "1 + 1", "2 + 2" })
end)

test("history: nobody else may read the file, whoever made it and however often it is cut", REAL, function(t)
  local here <close> = folder()
  local path = here.path .. "/sub/history"
  histories.open(path):add "one"
  t.eq(fs.stat(path).mode & 511, 384)
  fs.remove(path)
  local history = histories.open(path)
  fs.remove(path)
  history:add "two" -- somebody took it away meanwhile
  t.eq(fs.stat(path).mode & 511, 384)
  fs.write(path, "three\n", { mode = "0644" })
  proc.run { argv = { "chmod", "644", path } }
  histories.open(path)
  t.eq({ fs.stat(path).mode & 511, fs.read(path) }, { 384, "three\n" })
end)

test("history: where it is: STOKE_HISTORY, XDG_STATE_HOME, HOME; nowhere when STOKE_HISTORY is empty", function(t)
  local function path(env, name) return histories.path(name, function(key) return env[key] end) end
  t.eq(path { HOME = "/h" }, "/h/.local/state/stoke/history")
  t.eq(path({ HOME = "/h" }, "chat"), "/h/.local/state/stoke/history-chat")
  t.eq(path { HOME = "/h", XDG_STATE_HOME = "/s" }, "/s/stoke/history")
  t.eq(path({ HOME = "/h", STOKE_HISTORY = "/x/mine" }, "chat"), "/x/mine-chat")
  t.eq(path { HOME = "/h", STOKE_HISTORY = "" }, nil)
  t.eq(path {}, nil)
  t.eq(path({ HOME = "/h" }, "/my/own"), "/my/own")
  local history = histories.open(nil)
  history:add "one"
  t.eq(history.entries, { "one" })
end)
