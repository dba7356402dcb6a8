PRAGMA user_version = 0
;
PRAGMA application_id = 1937010539
;
CREATE TABLE actors (
  -- A table that changes by the messages it gets, one after another: stoke.actor.
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  kind ANY NOT NULL,
  id ANY NOT NULL,
  state TEXT,                    -- NULL: as it was made
  handled INTEGER NOT NULL DEFAULT 0,
  created REAL NOT NULL,
  changed REAL NOT NULL,
  UNIQUE (kind, id)
) STRICT
;
CREATE TABLE contents (
  -- Long texts, and values as text, each once: of requests, outcomes and sources, shared by all runs.
  id INTEGER PRIMARY KEY,
  hash TEXT NOT NULL UNIQUE,     -- the first 120 bits of the SHA-256, in base64 with - and _
  value ANY NOT NULL
) STRICT
;
INSERT INTO "contents" ("id","hash","value") VALUES (1,'iQ2-YjC6TSDrH8UC_TMM','{"body":{"messages":{},"model":"qwen2.5:3b","options":{"num_predict":4096},"stream":false,"think":false,"tools":[{  "type":"function","function":{  "name":"get_weather","description":"Current weather in a city","parameters":{ "properties":{  "city":{ "description":"city","type":"string"}},"required":[ "city"],"type":"object"}}}],"truncate":false},"model":"qwen2.5:3b","path":"/api/chat","protocol":"ollama"}')
;
INSERT INTO "contents" ("id","hash","value") VALUES (2,'rkBK9hsn6GsES9b_NYBr','-- One small run of each kind, for the journals that later versions must be able to replay. Run by make.lua.
-- A new kind is added below, with its name in KINDS; what is here stays as it is.

local stoke = require "stoke"
local db = require "stoke.db"

local KINDS = { "agent", "stream", "race", "parent", "signal", "database", "error" }

local flows = {}
local weather = stoke.tool { name = "get_weather", description = "Current weather in a city", params = { city = "string: city" },
  run = function(args) return "4 degrees, rain in " .. args.city end }
local guide = stoke.agent { name = "guide", model = "qwen2.5:3b", tools = { weather } }
local teller = stoke.agent { name = "teller", model = "qwen2.5:3b" }

flows.agent = stoke.workflow("agent", function(city) return guide:run("Umbrella in " .. city .. "?").text end)

flows.stream = stoke.workflow("stream", function()
  local parts = {}
  for event in teller:stream "Tell me a story." do
    if event.type == "text" then parts[#parts + 1] = event.text end
  end
  print(table.concat(parts))
  return parts
end)

flows.race = stoke.workflow("race", function()
  local which, value = stoke.race { function() stoke.sleep(5) return "slow" end,
    function() stoke.sleep(0.002) return "fast" .. math.random(1000) end }
  local late, why = stoke.try(stoke.timeout, 0.002, function() stoke.sleep(5) end)
  local scope <close> = stoke.scope {}
  local squares = scope:map({ 1, 2, 3 }, function(n)
    stoke.sleep(0.001 * (4 - n))
    return n * n
  end)
  return { which = which, value = value, late = late == nil, why = why.kind, squares = squares }
end)

local child = stoke.workflow("child", function(n) return stoke.step("double", function() return n * 2 end) end)
flows.parent = stoke.workflow("parent", function(n)
  local first, second = child:start(n, { id = "child" }), child:start(n + 1)
  return { first:await(), second:await() }
end)

flows.signal = stoke.workflow("signal", function()
  local paid = stoke.signal "paid"
  local none, why = stoke.signal("paid", { timeout = 0.005 })
  return { paid = paid, none = none == nil, why = why, patched = stoke.patched "later" }
end)

flows.database = stoke.workflow("database", function()
  local shop <close> = db.open "shop.db"
  shop:exec "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT, bytes BLOB)"
  shop:transaction(function(tx) tx:exec("INSERT INTO orders (item, bytes) VALUES (?, ?)", "lamp", "\0\xFF") end)
  return shop:query "SELECT * FROM orders"
end)

flows.error = stoke.workflow("error", function()
  local _, err = stoke.try(stoke.step, "broken", function() stoke.raise("tool", "the bank was closed") end)
  stoke.sleep(0.001)
  stoke.raise("limit", "enough: " .. err.message)
end)

-- Left in the middle of its life.
flows.waits = stoke.workflow("waits", function()
  local first = stoke.step("ask", function() return "asked" end)
  return { first, stoke.signal "go" }
end)

stoke.main(function()
  for _, kind in ipairs(KINDS) do
    local run = flows[kind]:start(kind == "agent" and "Oslo" or 21, { id = kind })
    if kind == "signal" then run:signal("paid", { amount = 12.5 }) end
    stoke.try(run.await, run)
  end
  local waits = flows.waits:start(1, { id = "waits" })
  while waits:status().state ~= "waiting" do stoke.sleep(0.005) end
  print "ready"
end)
')
;
INSERT INTO "contents" ("id","hash","value") VALUES (3,'FJB3rTkZGGKwUHoPu0xf','stack traceback:
	[C]: in function ''error''
	stoke:lua/errors.lua:99: in function ''core.errors.raise''
	stoke:lua/errors.lua:355: in function ''stoke.raise''
	kinds.lua:58: in field ''f''
	stoke:lua/driver/run.lua:35: in function <stoke:lua/driver/run.lua:33>
	[C]: in function ''core.coro.raw_xpcall''
	stoke:lua/driver/run.lua:23: in upvalue ''?''
	stoke:lua/driver/run.lua:46: in field ''run''
	stoke:lua/effect.lua:183: in function <stoke:lua/effect.lua:168>
	(...tail calls...)
	[C]: in function ''core.coro.raw_xpcall''
	stoke:lua/journal/body.lua:38: in function ''core.journal.body.done''
	stoke:lua/journal.lua:217: in function <stoke:lua/journal.lua:209>
	(...tail calls...)
	stoke:lua/effect.lua:273: in function <stoke:lua/effect.lua:255>
	(...tail calls...)
	stoke:stdlib/workflow.lua:34: in function <stoke:stdlib/workflow.lua:34>
	(...tail calls...)
	stoke:lua/combine.lua:226: in function <stoke:lua/combine.lua:224>
	[C]: in function ''core.coro.raw_xpcall''
	stoke:lua/coro.lua:154: in function ''xpcall''
	stoke:lua/combine.lua:233: in function ''stoke.try''
	kinds.lua:58: in upvalue ''?''
	stoke:lua/journal.lua:523: in function <stoke:lua/journal.lua:523>
	[C]: in function ''core.coro.raw_xpcall''
	stoke:lua/task.lua:106: in function <stoke:lua/task.lua:105>')
;
INSERT INTO "contents" ("id","hash","value") VALUES (4,'9VyVj7YDXLAKqUUBop-n','stack traceback:
	[C]: in function ''error''
	stoke:lua/errors.lua:99: in function ''core.errors.raise''
	stoke:lua/errors.lua:355: in function ''stoke.raise''
	kinds.lua:60: in upvalue ''?''
	stoke:lua/journal.lua:523: in function <stoke:lua/journal.lua:523>
	[C]: in function ''core.coro.raw_xpcall''
	stoke:lua/task.lua:106: in function <stoke:lua/task.lua:105>
in task run (the host)')
;
CREATE TABLE decisions (
  -- What people decided: about calls that wait for approval, and about effects in doubt.
  run INTEGER,
  kind TEXT CHECK (kind IN ('approval', 'resolution')),
  key ANY,                       -- records.key
  digest ANY,                    -- of exactly what was asked
  verdict TEXT NOT NULL,
  decided REAL NOT NULL,
  PRIMARY KEY (run, kind, key)
) STRICT, WITHOUT ROWID
;
CREATE TABLE deliveries (
  -- The order in which outcomes, timers and cancellations came to the tasks of a run: the log that a replay follows.
  run INTEGER,
  first INTEGER,                 -- bytes before these
  records INTEGER NOT NULL,      -- records begun by then
  bytes BLOB NOT NULL,
  size INTEGER,                  -- of the bytes before they were squeezed (host/bind/plain.c); NULL: they were not
  PRIMARY KEY (run, first)
) STRICT, WITHOUT ROWID
;
INSERT INTO "deliveries" ("run","first","records","bytes","size") VALUES (1,0,4,X'0801000100',4)
;
INSERT INTO "deliveries" ("run","first","records","bytes","size") VALUES (2,0,2,X'040202',2)
;
INSERT INTO "deliveries" ("run","first","records","bytes","size") VALUES (3,0,6,X'1C03040202020B0000040A00080006',14)
;
INSERT INTO "deliveries" ("run","first","records","bytes","size") VALUES (4,0,4,X'100100010001000100',8)
;
INSERT INTO "deliveries" ("run","first","records","bytes","size") VALUES (5,0,1,X'040100',2)
;
INSERT INTO "deliveries" ("run","first","records","bytes","size") VALUES (6,0,1,X'040100',2)
;
INSERT INTO "deliveries" ("run","first","records","bytes","size") VALUES (7,0,3,X'0801000100',4)
;
INSERT INTO "deliveries" ("run","first","records","bytes","size") VALUES (8,0,6,X'0401001902',14)
;
INSERT INTO "deliveries" ("run","first","records","bytes","size") VALUES (9,0,2,X'0801000100',4)
;
INSERT INTO "deliveries" ("run","first","records","bytes","size") VALUES (10,0,2,X'0100',NULL)
;
CREATE TABLE epochs (
  -- When a process took a run up.
  run INTEGER,
  epoch INTEGER,
  began REAL NOT NULL,
  records INTEGER NOT NULL,      -- records begun before
  PRIMARY KEY (run, epoch)
) STRICT, WITHOUT ROWID
;
CREATE TABLE learned (
  -- What calls have taught of model servers, so that a new process does not begin blind: slots, speeds, loads, lengths of answers.
  key ANY PRIMARY KEY,           -- address of a server; and a blank and a model, where it is of that
  version ANY,                   -- of the server
  facts TEXT NOT NULL,
  changed REAL NOT NULL
) STRICT, WITHOUT ROWID
;
CREATE TABLE mail (
  -- Messages to actors, in the order in which they are handled.
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  actor INTEGER NOT NULL,
  name ANY NOT NULL,
  arguments TEXT NOT NULL,
  once ANY,                      -- one message with this text is enough for an actor
  chain TEXT,                    -- numbers of the actors that wait for its answer
  asked INTEGER,                 -- 1: somebody waits for the answer
  state TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'dead')), -- dead: its handler failed
  tries INTEGER NOT NULL DEFAULT 0,
  sent REAL NOT NULL,
  ended REAL,
  answer TEXT,
  error TEXT
) STRICT
;
CREATE TABLE messages (
  -- The messages of sessions. Long ones are in contents, each once, whoever said them.
  session INTEGER,
  number INTEGER,
  value TEXT NOT NULL,
  sum INTEGER,                   -- 32 bits of value: damage is seen
  PRIMARY KEY (session, number)
) STRICT, WITHOUT ROWID
;
CREATE TABLE meta (
  -- What this file is: the state of stoke's durable runs (stoke runs, stoke show ID). Every table says what is in it.
  -- Values are JSON; where JSON cannot say it:
  --   {"$text":"H"}, {"$value":"H"}   a long string, or a value, that is in the table contents under the hash H
  --   {"$bytes":"..."}                a string that is not UTF-8, in base64
  --   {"$number":"inf"}, {"$error":{...}}, {"$pairs":[[key, value], ...]}   numbers, errors and tables that JSON does not have
  --   a blank after [ or {            the table was marked as a JSON array or object (two blanks: with this order of its keys)
  -- Texts of others (ids, names, paths) are TEXT, or BLOB where they are not UTF-8. Times are seconds since 1970.
  name TEXT PRIMARY KEY,
  value ANY
) STRICT
;
CREATE TABLE migrations (
  -- Which version of these tables was made when, by which stoke; the largest is the present one.
  version INTEGER PRIMARY KEY,
  applied REAL NOT NULL,
  stoke TEXT NOT NULL
) STRICT
;
INSERT INTO "migrations" ("version","applied","stoke") VALUES (1,1.79609767940800404547e+09,'0.1.0')
;
INSERT INTO "migrations" ("version","applied","stoke") VALUES (2,1.79609767940862894057e+09,'0.1.0')
;
CREATE TABLE modules (
  -- The modules that a run required, in that order.
  run INTEGER,
  number INTEGER,
  name ANY NOT NULL,
  PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID
;
CREATE TABLE pieces (
  -- What was read of streams that have not ended yet; then it moves into the record.
  record INTEGER,                -- records.id
  first INTEGER,                 -- position of the first item
  items TEXT NOT NULL,
  sum INTEGER,                   -- 32 bits of items
  PRIMARY KEY (record, first)
) STRICT, WITHOUT ROWID
;
CREATE TABLE records (
  -- What a run asked of the world and what came of it: one row an effect, in the order in which they were begun.
  id INTEGER PRIMARY KEY,        -- run * 4294967296 + number
  run INTEGER AS (id >> 32) VIRTUAL,
  number INTEGER AS (id & 4294967295) VIRTUAL,
  key ANY NOT NULL,              -- place in the run: frames, name of the effect, its number among those of that name
  name ANY,                      -- of the effect, where the key does not end with it
  class TEXT NOT NULL,           -- pure, idempotent or unsafe: how bad it is to do it twice
  digest ANY,                    -- SHA-256 of the request
  base INTEGER,                  -- number of an earlier record whose request this one continues
  kept INTEGER,                  -- so many of its messages; "add" of this request are those that follow
  request TEXT,                  -- with messages: "rest" is what it is beside them; a number: the same as of that record
  line ANY,                      -- of the script
  time REAL,                     -- when it was begun
  took REAL,                     -- seconds until its outcome
  inside INTEGER,                -- 1: done by the body of another effect
  inline INTEGER,                -- 1: its outcome was there without a wait
  intent INTEGER,                -- 1: its work had begun; without an outcome it is in doubt
  seen INTEGER,                  -- the place of its outcome among those of the run: 1, 2, ...
  at INTEGER,                    -- bytes of the run's deliveries by then
  outcome TEXT,
                     -- value, error, refused (by a gate: nothing was done), cut (cancelled), secret, stream; NULL: none yet
  value TEXT,                    -- of a stream: its pieces, those of text joined
  lengths BLOB,                  -- of a stream: where the joined pieces part
  error TEXT,
  input_tokens INTEGER,          -- what a call of a model used
  output_tokens INTEGER,
  seconds REAL,
  facts TEXT,                    -- what else is known beside the value; NULL: one attempt, nothing unusual
  more TEXT,
  asks TEXT,                     -- what a person is asked before it is done
  sum INTEGER                    -- 32 bits of key, class, digest, outcome, value, lengths, error: damage is seen
) STRICT
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (4294967297,'run/agent guide:1/llm.learned#1',NULL,'pure',X'104346ACE91E6C82F783FF072E358B770C0BDF65994AAA4E78E20C43865258E8',NULL,NULL,'{"body":{"model":"qwen2.5:3b"},"model":"qwen2.5:3b","path":"learned","protocol":"ollama"}','kinds.lua:15',1.79609767942255902292e+09,5.3882598876953125e-05,NULL,1,NULL,1,0,'value','{}',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,441621725)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (4294967298,'run/agent guide:1/llm.chat#1',NULL,'idempotent',X'8C75BE4EE71D91E0EFC9DD4A8AEB970EDCBA85C7A6DFAB1FC04E51C4AE55ABC3',NULL,0,'{"add":[{"content":"Umbrella in Oslo?","role":"user"}],"rest":{"$value":"iQ2-YjC6TSDrH8UC_TMM"}}','kinds.lua:15',1796097679.42267,3.48131656646728515625e-02,NULL,0,NULL,2,0,'value','{"created_at":"2026-12-01T04:01:19.457136Z","done":true,"done_reason":"stop","eval_count":7,"eval_duration":1000,"load_duration":1000000,"message":{"content":"","role":"assistant","tool_calls":[ {"function":{"arguments":{  "city":"Oslo"},"index":0,"name":"get_weather"},"id":"call_pdiybtkg"}]},"model":"qwen2.5:3b","prompt_eval_count":61,"prompt_eval_duration":30500000,"total_duration":31500000}',NULL,NULL,61,7,0.0315,'{"usage":{"load_seconds":0.001,"tool_calls":1}}',NULL,NULL,342175369)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (4294967299,'run/agent guide:1/tool get_weather:1/tool.call#1',NULL,'unsafe',X'A78BBE4C1FD4C190C4F3D409EAD2A4DFF657E9A52131B5FD498C844F779CF132',NULL,NULL,'{"agent":"guide","args":{  "city":"Oslo"},"id":"call_pdiybtkg","name":"get_weather"}','kinds.lua:15',1.79609767945771789552e+09,2.992153167724609375e-04,NULL,1,NULL,3,2,'value','"4 degrees, rain in Oslo"',NULL,NULL,NULL,NULL,NULL,'{"attempts":1,"counts":true,"nested_beyond_0":{}}',NULL,NULL,-794281363)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (4294967300,'run/agent guide:1/llm.chat#2',NULL,'idempotent',X'DF1AD9CFA96F31ABCA4F1CA6B34C749EBA570D06040A25E3790D223D0043CD6D',2,1,'{"add":[{"content":"","role":"assistant","tool_calls":[ {"function":{"arguments":{  "city":"Oslo"},"index":0,"name":"get_weather"},"id":"call_pdiybtkg"}]},{"content":"4 degrees, rain in Oslo","role":"tool","tool_call_id":"call_pdiybtkg","tool_name":"get_weather"}],"rest":2}','kinds.lua:15',1.79609767945810198776e+09,1.74930095672607421875e-02,NULL,0,NULL,4,2,'value','{"created_at":"2026-12-01T04:01:19.475401Z","done":true,"done_reason":"stop","eval_count":2,"eval_duration":1000,"load_duration":1000000,"message":{"content":"Take one.","role":"assistant"},"model":"qwen2.5:3b","prompt_eval_count":90,"prompt_eval_duration":15000000,"total_duration":16000000}',NULL,NULL,90,2,0.016,'{"usage":{"load_seconds":0.001}}',NULL,NULL,1504137238)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (8589934593,'run/agent:1/agent teller:1/llm.learned#1',NULL,'pure',X'104346ACE91E6C82F783FF072E358B770C0BDF65994AAA4E78E20C43865258E8',NULL,NULL,'{"body":{"model":"qwen2.5:3b"},"model":"qwen2.5:3b","path":"learned","protocol":"ollama"}',NULL,1.79609767947843790053e+09,4.8160552978515625e-05,NULL,1,NULL,1,0,'value','{"rate":3.8555555555555556}',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1646165031)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (8589934594,'run/agent:1/agent teller:1/llm.stream#1',NULL,'idempotent',X'B5CE93BD86C8F694B1C274ED134040155D7A08774BA15948AEAA76C972DB0ACC',NULL,0,'{"add":[{"content":"Tell me a story.","role":"user"}],"rest":{"body":{"messages":{},"model":"qwen2.5:3b","options":{"num_predict":4096},"stream":true,"think":false,"truncate":false},"model":"qwen2.5:3b","path":"/api/chat","protocol":"ollama"}}',NULL,1.79609767947853589059e+09,5.2821636199951171875e-03,NULL,0,NULL,2,0,'stream','[["text",6,"Once upon a time, in Oslo.",true],{"inline":true,"value":{"reason":"stop","reply":{"created_at":"2026-12-01T04:01:19.483421Z","done":true,"done_reason":"stop","eval_count":6,"eval_duration":1000,"load_duration":1000000,"message":{"content":"","role":"assistant"},"model":"qwen2.5:3b","prompt_eval_count":6,"prompt_eval_duration":3000000,"total_duration":4000000},"type":"done","usage":{"attempts":1,"calls":1,"estimated":false,"input_tokens":6,"load_seconds":0.001,"output_tokens":6,"repairs":0,"seconds":0.004,"tool_calls":0}}},{"ended":true,"inline":true}]',X'452636',NULL,NULL,NULL,NULL,'{"attempts":1,"counts":true}','{"closed":{"inline":true},"rests":false}',NULL,-1145915243)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (12884901889,'run/task:1/time.sleep#1',NULL,'pure',X'EF2D127DE37B942BAAD06145E54B0C619A1F22327B2EBBCFBEC78F5564AFE39D',NULL,NULL,'5','kinds.lua:27',1.79609767948780608181e+09,2.687931060791015625e-03,NULL,0,NULL,2,0,'cut',NULL,NULL,'{"$error":{"kind":"cancelled","message":"cancelled while waiting for time.sleep"}}',NULL,NULL,NULL,'{"attempts":1,"counts":true}',NULL,NULL,606436443)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (12884901890,'run/task:2/time.sleep#1',NULL,'pure',X'8D938122D3904436FD32A463678148C7B7595BF667F263A65AB79059E5833A21',NULL,NULL,'0.002','kinds.lua:28',1.79609767948786091802e+09,0.00251007080078125,NULL,0,NULL,1,0,'value','false',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,328408548)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (12884901891,'run/time.sleep#1',NULL,'pure',X'EF2D127DE37B942BAAD06145E54B0C619A1F22327B2EBBCFBEC78F5564AFE39D',NULL,NULL,'5','kinds.lua:29',1796097679.49057,2.6628971099853515625e-03,NULL,0,NULL,3,4,'cut',NULL,NULL,'{"$error":{"kind":"cancelled","message":"cancelled while waiting for time.sleep"}}',NULL,NULL,NULL,'{"attempts":1,"counts":true}',NULL,NULL,649711406)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (12884901892,'run/map:1/1/time.sleep#1',NULL,'pure',X'414369A18B9A0BB5B48E3EE8793144AA88E25115CBCC2128DD8293B5B9225DF0',NULL,NULL,'0.003','kinds.lua:32',1.79609767949442696577e+09,4.457950592041015625e-03,NULL,0,NULL,6,8,'value','false',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,2054430538)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (12884901893,'run/map:1/2/time.sleep#1',NULL,'pure',X'8D938122D3904436FD32A463678148C7B7595BF667F263A65AB79059E5833A21',NULL,NULL,'0.002','kinds.lua:32',1.79609767949446606631e+09,0.00441288948059082,NULL,0,NULL,5,8,'value','false',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,-191223141)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (12884901894,'run/map:1/3/time.sleep#1',NULL,'pure',X'9FCA51987C96BA92D35F303353B7065F31114501C9F2AFA37463FF1FDFFE8F1F',NULL,NULL,'0.001','kinds.lua:32',1.79609767949448299404e+09,4.3699741363525390625e-03,NULL,0,NULL,4,8,'value','false',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,-2120480672)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (17179869185,'run/run.start#1',NULL,'idempotent',X'8D7253A8ADACB4946B5E98C87FD31472A235EB96E86E29D5234743515CBC3EA9',NULL,NULL,'{"id":"child","input":21,"workflow":"child"}','kinds.lua:40',1796097679.50294,9.100437164306640625e-04,NULL,0,NULL,1,0,'value','"child"',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,-1073876695)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (17179869186,'run/run.start#2',NULL,'idempotent',X'5B7AF7750E7762B66D510F8E51215EB817C855967958C492BADB8141CFDE012B',NULL,NULL,'{"input":22,"workflow":"child"}','kinds.lua:40',1.7960976795039269924e+09,8.690357208251953125e-04,NULL,0,NULL,2,2,'value','"3b76dc0b9085dc60"',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,855229753)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (17179869187,'run/run.await#1',NULL,'pure',X'768E4FCE26E1B2D0D678AAC99866A95292D4839182AA0BE8703CF879F0FC56BF',NULL,NULL,'{"id":"child"}','kinds.lua:41',1.79609767950486397744e+09,1.4629364013671875e-03,NULL,0,NULL,3,4,'value','{"result":42,"state":"done"}',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,-965666575)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (17179869188,'run/run.await#2',NULL,'pure',X'BE7BF81034875447952CC4AC842C14607DF714538135193AA73E2C1253C8121F',NULL,NULL,'{"id":"3b76dc0b9085dc60"}','kinds.lua:41',1.79609767950635600087e+09,3.4809112548828125e-04,NULL,0,NULL,4,6,'value','{"result":44,"state":"done"}',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,-1085488391)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (21474836481,'run/step double:1/step#1',NULL,'unsafe',X'AEF56CB7A67647E2F1D77CDAD00ABD9A9B66878D3CB7004BD01C17FC12C076B4',NULL,NULL,'{"name":"double"}',NULL,1.79609767950446605686e+09,1.2099742889404296875e-03,NULL,0,1,1,0,'value','42',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,-512080650)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (25769803777,'run/step double:1/step#1',NULL,'unsafe',X'AEF56CB7A67647E2F1D77CDAD00ABD9A9B66878D3CB7004BD01C17FC12C076B4',NULL,NULL,'{"name":"double"}',NULL,1.79609767950540208814e+09,5.45024871826171875e-04,NULL,0,1,1,0,'value','44',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1801877893)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (30064771073,'run/run.signal#1',NULL,'pure',X'8E8C2C07B86973C23AB6DD32AD16E2AB012F6924C8E8DF9209433BAA4968221B',NULL,NULL,'{"name":"paid"}','kinds.lua:45',1.79609767950856304163e+09,1.709461212158203125e-04,NULL,NULL,NULL,1,0,'value','{"value":{"amount":12.5}}',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,-1815222696)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (30064771074,'run/run.signal#2',NULL,'pure',X'C214821B0E102E0F652EA742CCA7BDA705494B42AF9FA45E1C2A2B0E74AC34CF',NULL,NULL,'{"name":"paid","timeout":0.005}','kinds.lua:46',1.7960976795093150139e+09,5.558013916015625e-03,NULL,0,NULL,2,2,'error',NULL,NULL,'{"$error":{"kind":"timeout","message":"no signal \"paid\" came in time"}}',NULL,NULL,NULL,'{"attempts":1,"counts":true}',NULL,NULL,-1248191512)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (30064771075,'run/run.patched#1',NULL,'pure',X'DF3DA8009237FA032035E5A2B8908DF3F3A99A4FB58CFCB5D2B6481CE469509B',NULL,NULL,'{"name":"later"}','kinds.lua:47',1.79609767951501393323e+09,3.40938568115234375e-05,NULL,1,NULL,3,4,'value','true',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1951958299)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (34359738369,'run/db.open#1',NULL,'idempotent',X'63F3FB925A36B07A52A9A7CC902D80605B9644EAB951003D197C26E58C8F165F',NULL,NULL,'{"path":"shop.db"}','kinds.lua:51',1.79609767951931095127e+09,2.683162689208984375e-03,NULL,0,NULL,1,0,'stream',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"about":{"path":"shop.db"},"came":[0],"closed":{"inline":false},"rests":false}',NULL,1547474449)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (34359738370,'run/db.write#1',NULL,'unsafe',X'63B69DA88E2836DC0D9EA197BC83E14E7748A826EC0BFC2FA971DF2042BFF936',NULL,NULL,'{"db":"shop.db","sql":"CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT, bytes BLOB)"}','kinds.lua:52',1.79609767952214503285e+09,2.6400089263916015625e-03,NULL,0,1,2,2,'value','{"changes":0,"columns":{},"rows":{}}',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,-1304930066)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (34359738371,'run/db.begin#1',NULL,'pure',X'73540136DAF597F1359F1C5D91541C7CE3CC2FBE94E26EBFDD5B84B3B31F42E5',NULL,NULL,'{"db":"shop.db","depth":0}','kinds.lua:53',1.79609767952483510974e+09,1.199245452880859375e-04,NULL,0,NULL,3,4,'value','true',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,-303363362)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (34359738372,'run/db.write#2',NULL,'pure',X'E731F348D7CEC02FB28A1DED5F93DC53E07184B285CC3E159F3E0FE7EE3D5987',NULL,NULL,'{"db":"shop.db","depth":0,"params":["lamp",{"$bytes":"AP8="}],"sql":"INSERT INTO orders (item, bytes) VALUES (?, ?)"}','kinds.lua:53',1.79609767952508401871e+09,1.199245452880859375e-04,NULL,0,NULL,4,6,'value','{"changes":1,"columns":{},"last_id":1,"rows":{}}',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1454740837)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (34359738373,'run/db.commit#1',NULL,'unsafe',X'73540136DAF597F1359F1C5D91541C7CE3CC2FBE94E26EBFDD5B84B3B31F42E5',NULL,NULL,'{"db":"shop.db","depth":0}','kinds.lua:53',1.79609767952522492414e+09,1.141071319580078125e-03,NULL,0,1,5,8,'value','true',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1450068934)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (34359738374,'run/db.query#1',NULL,'pure',X'DE0FAF73E6290EC697DC85491033EA6F49B33B5A8D88BD0ECEC7FB682ACEA843',NULL,NULL,'{"db":"shop.db","max":100001,"sql":"SELECT * FROM orders"}','kinds.lua:54',1.79609767952644610406e+09,5.49793243408203125e-03,NULL,0,NULL,6,10,'value','{"columns":["id","item","bytes"],"more":false,"rows":[[1,"lamp",{"$bytes":"AP8="}]]}',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,-1111107682)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (38654705665,'run/step broken:1/step#1',NULL,'unsafe',X'35D70EDFAE21ED91083053AD91EDE4B9D9787A40B0E342A9B047CF4C3BBB6AEB',NULL,NULL,'{"name":"broken"}','kinds.lua:58',1.79609767953747701645e+09,2.153873443603515625e-03,NULL,0,1,1,0,'error',NULL,NULL,'{"$error":{"kind":"tool","message":"the bank was closed","traceback":{"$text":"FJB3rTkZGGKwUHoPu0xf"},"where":"kinds.lua:58"}}',NULL,NULL,NULL,'{"attempts":1,"counts":true}',NULL,NULL,-274096525)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (38654705666,'run/time.sleep#1',NULL,'pure',X'9FCA51987C96BA92D35F303353B7065F31114501C9F2AFA37463FF1FDFFE8F1F',NULL,NULL,'0.001','kinds.lua:59',1796097679.53968,1.1990070343017578125e-03,NULL,0,NULL,2,2,'value','false',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,-2077044057)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (42949672961,'run/step ask:1/step#1',NULL,'unsafe',X'ED304784B257940AC45ECB6C90FA0E5ABCA42543E0D0BFE2E47C422A748E73C6',NULL,NULL,'{"name":"ask"}','kinds.lua:65',1.79609767954510307318e+09,8.36849212646484375e-04,NULL,0,1,1,0,'value','"asked"',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,828065532)
;
INSERT INTO "records" ("id","key","name","class","digest","base","kept","request","line","time","took","inside","inline","intent","seen","at","outcome","value","lengths","error","input_tokens","output_tokens","seconds","facts","more","asks","sum") VALUES (42949672962,'run/run.signal#1',NULL,'pure',X'BD5FA626F0015F2C1C200D6C0806629B3664555B18576698D3E93208E8B47C64',NULL,NULL,'{"name":"go"}','kinds.lua:66',1.79609767954596805574e+09,NULL,NULL,NULL,NULL,NULL,2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,70689947)
;
CREATE TABLE runs (
  -- A durable run: one call of a workflow.
  number INTEGER PRIMARY KEY AUTOINCREMENT, -- of this file, never used again
  id ANY NOT NULL UNIQUE,        -- what its starter calls it
  workflow ANY NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('running', 'waiting', 'parked', 'done', 'failed', 'cancelled')),
  waits ANY,                     -- what it waits for, or why it is parked, in words
  created REAL NOT NULL,
  changed REAL NOT NULL,
  input TEXT,
  result TEXT,
  error TEXT,
  code ANY,                      -- what tells one code of the workflow from another
  seed ANY NOT NULL,             -- its ids and random numbers follow from this
  snapshots INTEGER NOT NULL DEFAULT 0, -- how often it began anew from its state; the records before are gone
  epoch INTEGER NOT NULL DEFAULT 0,    -- how often a process has taken it up
  calls INTEGER NOT NULL DEFAULT 0,    -- of models
  tokens INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,    -- of its records, about
  printed INTEGER NOT NULL DEFAULT 0,  -- prints that are in its records
  parent INTEGER,                -- number of the run that started it
  fork_of INTEGER,               -- number of the run whose records up to fork_at it began with
  fork_at INTEGER,
  sum INTEGER                    -- 32 bits of id, workflow, input, result, error: damage is seen
, why TEXT CHECK (why IN ('in_doubt', 'replay', 'parked'))) STRICT
;
INSERT INTO "runs" ("number","id","workflow","state","waits","created","changed","input","result","error","code","seed","snapshots","epoch","calls","tokens","bytes","printed","parent","fork_of","fork_at","sum","why") VALUES (1,'agent','agent','done',NULL,1.79609767941407704348e+09,1796097679.47579,'"Oslo"','"Take one."',NULL,NULL,'agent',0,0,2,160,5692,0,NULL,NULL,NULL,-1822171880,NULL)
;
INSERT INTO "runs" ("number","id","workflow","state","waits","created","changed","input","result","error","code","seed","snapshots","epoch","calls","tokens","bytes","printed","parent","fork_of","fork_at","sum","why") VALUES (2,'stream','stream','done',NULL,1.79609767947694897653e+09,1.79609767948464298242e+09,'21','["Once"," upon"," a"," time,"," in"," Oslo."]',NULL,NULL,'stream',0,0,1,12,4623,1,NULL,NULL,NULL,-1631536727,NULL)
;
INSERT INTO "runs" ("number","id","workflow","state","waits","created","changed","input","result","error","code","seed","snapshots","epoch","calls","tokens","bytes","printed","parent","fork_of","fork_at","sum","why") VALUES (3,'race','race','done',NULL,1.7960976794857420922e+09,1.7960976794990310669e+09,'21','{"late":true,"squares":[1,4,9],"value":2,"which":"fast505","why":"timeout"}',NULL,NULL,'race',0,0,0,0,4391,0,NULL,NULL,NULL,-437413887,NULL)
;
INSERT INTO "runs" ("number","id","workflow","state","waits","created","changed","input","result","error","code","seed","snapshots","epoch","calls","tokens","bytes","printed","parent","fork_of","fork_at","sum","why") VALUES (4,'parent','parent','done',NULL,1.79609767950142407413e+09,1796097679.50679,'21','[42,44]',NULL,NULL,'parent',0,0,0,0,4170,0,NULL,NULL,NULL,-1982096550,NULL)
;
INSERT INTO "runs" ("number","id","workflow","state","waits","created","changed","input","result","error","code","seed","snapshots","epoch","calls","tokens","bytes","printed","parent","fork_of","fork_at","sum","why") VALUES (5,'child','child','done',NULL,1.79609767950306701655e+09,1.79609767950571608545e+09,'21','42',NULL,NULL,'child',0,0,0,0,3508,0,NULL,NULL,NULL,-1881219163,NULL)
;
INSERT INTO "runs" ("number","id","workflow","state","waits","created","changed","input","result","error","code","seed","snapshots","epoch","calls","tokens","bytes","printed","parent","fork_of","fork_at","sum","why") VALUES (6,'3b76dc0b9085dc60','child','done',NULL,1796097679.50406,1.79609767950598192215e+09,'22','44',NULL,NULL,'3b76dc0b9085dc60',0,0,0,0,3508,0,NULL,NULL,NULL,-385793219,NULL)
;
INSERT INTO "runs" ("number","id","workflow","state","waits","created","changed","input","result","error","code","seed","snapshots","epoch","calls","tokens","bytes","printed","parent","fork_of","fork_at","sum","why") VALUES (7,'signal','signal','done',NULL,1.79609767950751304625e+09,1.79609767951515197749e+09,'21','{"none":true,"paid":{"amount":12.5},"patched":true,"why":"timeout"}',NULL,NULL,'signal',0,0,0,0,3905,0,NULL,NULL,NULL,-1207853310,NULL)
;
INSERT INTO "runs" ("number","id","workflow","state","waits","created","changed","input","result","error","code","seed","snapshots","epoch","calls","tokens","bytes","printed","parent","fork_of","fork_at","sum","why") VALUES (8,'database','database','done',NULL,1.79609767951664805411e+09,1.79609767953396892549e+09,'21','[ {"bytes":{"$bytes":"AP8="},"id":1,"item":"lamp"}]',NULL,NULL,'database',0,0,0,0,4826,0,NULL,NULL,NULL,1511077107,NULL)
;
INSERT INTO "runs" ("number","id","workflow","state","waits","created","changed","input","result","error","code","seed","snapshots","epoch","calls","tokens","bytes","printed","parent","fork_of","fork_at","sum","why") VALUES (9,'error','error','failed',NULL,1.79609767953553795816e+09,1.79609767954135894768e+09,'21',NULL,'{"$error":{"kind":"limit","message":"enough: the bank was closed","traceback":{"$text":"9VyVj7YDXLAKqUUBop-n"},"where":"kinds.lua:60"}}',NULL,'error',0,0,0,0,5315,0,NULL,NULL,NULL,-368748691,NULL)
;
INSERT INTO "runs" ("number","id","workflow","state","waits","created","changed","input","result","error","code","seed","snapshots","epoch","calls","tokens","bytes","printed","parent","fork_of","fork_at","sum","why") VALUES (10,'waits','waits','waiting','signal go',1.79609767954368090628e+09,1.79609767954601597791e+09,'1',NULL,NULL,NULL,'waits',0,0,0,0,3686,0,NULL,NULL,NULL,-1604134669,NULL)
;
CREATE TABLE sessions (
  -- A conversation that is kept: agent:session { id = } (stoke sessions).
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id ANY NOT NULL UNIQUE,
  agent ANY NOT NULL,            -- the agent that it was begun with
  speaker ANY NOT NULL,          -- the agent that answers next: after a handoff another one
  turns INTEGER NOT NULL DEFAULT 0,
  messages INTEGER NOT NULL DEFAULT 0,
  first INTEGER NOT NULL DEFAULT 1, -- number of the oldest message that is still sent
  summary TEXT,                  -- of those before it
  created REAL NOT NULL,
  changed REAL NOT NULL,
  fork_of ANY,                   -- id of the session that it began as, after so many turns
  fork_at INTEGER
) STRICT
;
CREATE TABLE signals (
  -- What was sent to a run from outside.
  number INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,
  name ANY NOT NULL,
  value TEXT,
  once ANY,                      -- one signal with this text is enough for a run
  sent REAL NOT NULL,
  taken INTEGER                  -- number of the record that has it
) STRICT
;
INSERT INTO "signals" ("number","run","name","value","once","sent","taken") VALUES (1,7,'paid','{"amount":12.5}',NULL,1.7960976795080931187e+09,1)
;
CREATE TABLE sources (
  -- The source files that a run continues on.
  run INTEGER,
  number INTEGER,
  name ANY NOT NULL,
  hash TEXT NOT NULL,            -- contents.hash
  PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID
;
INSERT INTO "sources" ("run","number","name","hash") VALUES (1,1,'main kinds.lua','rkBK9hsn6GsES9b_NYBr')
;
INSERT INTO "sources" ("run","number","name","hash") VALUES (2,1,'main kinds.lua','rkBK9hsn6GsES9b_NYBr')
;
INSERT INTO "sources" ("run","number","name","hash") VALUES (3,1,'main kinds.lua','rkBK9hsn6GsES9b_NYBr')
;
INSERT INTO "sources" ("run","number","name","hash") VALUES (4,1,'main kinds.lua','rkBK9hsn6GsES9b_NYBr')
;
INSERT INTO "sources" ("run","number","name","hash") VALUES (5,1,'main kinds.lua','rkBK9hsn6GsES9b_NYBr')
;
INSERT INTO "sources" ("run","number","name","hash") VALUES (6,1,'main kinds.lua','rkBK9hsn6GsES9b_NYBr')
;
INSERT INTO "sources" ("run","number","name","hash") VALUES (7,1,'main kinds.lua','rkBK9hsn6GsES9b_NYBr')
;
INSERT INTO "sources" ("run","number","name","hash") VALUES (8,1,'main kinds.lua','rkBK9hsn6GsES9b_NYBr')
;
INSERT INTO "sources" ("run","number","name","hash") VALUES (9,1,'main kinds.lua','rkBK9hsn6GsES9b_NYBr')
;
INSERT INTO "sources" ("run","number","name","hash") VALUES (10,1,'main kinds.lua','rkBK9hsn6GsES9b_NYBr')
;
CREATE TABLE turns (
  -- The turns of sessions, those that failed, too. Each is a run while it lasts; its messages come with its end.
  session INTEGER,
  serial INTEGER,
  state TEXT NOT NULL CHECK (state IN ('begun', 'done', 'failed', 'cancelled')),
  turn INTEGER,                  -- the how manieth of the conversation
  key ANY,                       -- what the caller calls it: the same key is the same turn
  run ANY,                       -- runs.id
  process INTEGER,               -- that began it
  began REAL NOT NULL,
  ended REAL,
  messages INTEGER,              -- of the session after it, as all that follows
  speaker ANY,
  first INTEGER,
  summary TEXT,
  result TEXT,                   -- what the turn gave, without its messages
  PRIMARY KEY (session, serial)
) STRICT, WITHOUT ROWID
;
CREATE TABLE uses (
  -- Which run needs which content; what nobody needs is deleted with the last of them.
  run INTEGER,                   -- a session's messages: its number below zero
  content INTEGER,               -- contents.id
  PRIMARY KEY (run, content)
) STRICT, WITHOUT ROWID
;
INSERT INTO "uses" ("run","content") VALUES (1,1)
;
INSERT INTO "uses" ("run","content") VALUES (1,2)
;
INSERT INTO "uses" ("run","content") VALUES (2,2)
;
INSERT INTO "uses" ("run","content") VALUES (3,2)
;
INSERT INTO "uses" ("run","content") VALUES (4,2)
;
INSERT INTO "uses" ("run","content") VALUES (5,2)
;
INSERT INTO "uses" ("run","content") VALUES (6,2)
;
INSERT INTO "uses" ("run","content") VALUES (7,2)
;
INSERT INTO "uses" ("run","content") VALUES (8,2)
;
INSERT INTO "uses" ("run","content") VALUES (9,2)
;
INSERT INTO "uses" ("run","content") VALUES (9,3)
;
INSERT INTO "uses" ("run","content") VALUES (9,4)
;
INSERT INTO "uses" ("run","content") VALUES (10,2)
;
CREATE INDEX mail_dead ON mail (actor, number) WHERE state='dead'
;
CREATE UNIQUE INDEX mail_once ON mail (actor, once) WHERE once IS NOT NULL
;
CREATE INDEX mail_waiting ON mail (actor, number) WHERE state='waiting'
;
CREATE INDEX runs_by_origin ON runs (fork_of) WHERE fork_of IS NOT NULL
;
CREATE INDEX runs_by_state ON runs (state, number)
;
CREATE INDEX signals_of_run ON signals (run) WHERE taken IS NULL
;
CREATE UNIQUE INDEX signals_once ON signals (run, once) WHERE once IS NOT NULL
;
CREATE UNIQUE INDEX turns_by_key ON turns (session, key) WHERE key IS NOT NULL
;
CREATE UNIQUE INDEX turns_present ON turns (session) WHERE state='begun'
;
