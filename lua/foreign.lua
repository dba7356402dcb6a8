--- Names from other libraries and languages, and their equivalents here. Used only when a name is wrong: by errors.options for the
--- options of a function, by core.names for the members of a module or an object.

local M = {}

-- ---- options ------------------------------------------------------------------------------------------------------------------

--- names (several per line) -> equivalent here
local function table_of(rows)
  local out = {}
  for names, here in next, rows do
    for name in names:gmatch "%S+" do out[name] = here end
  end
  return out
end

local function with(base, rows)
  local out = table_of(rows)
  for name, here in next, base do
    if out[name] == nil then out[name] = here end
  end
  return out
end

local MODEL = table_of {
  ["temperature top_p top_k min_p typical_p seed stop num_predict repeat_penalty presence_penalty frequency_penalty repeat_last_n "
    .. "num_keep"] = "options = { %s = ... }",
  ["max_tokens max_completion_tokens max_output_tokens max_new_tokens n_predict maxTokens"] = "options = { num_predict = ... }",
  ["stop_sequences stops"] = "options = { stop = { ... } }", ["repetition_penalty"] = "options = { repeat_penalty = ... }",
  ["num_ctx num_batch num_gpu num_thread main_gpu use_mmap"] = 'a load option: stoke.models { ["MODEL"] = { %s = ... } }',
  ["context_length context_window n_ctx max_context"] = 'num_ctx, a load option: stoke.models { ["MODEL"] = { num_ctx = ... } }',
  ["functions function tool"] = "tools",
  ["tool_choice function_call parallel_tool_calls"] = "the list of tools alone: Ollama lets the model choose",
  ["api_key apikey token key"] = 'OLLAMA_API_KEY, or endpoints = { NAME = { url = "...", key = "..." } } in stoke.config.lua',
  ["base_url baseUrl baseURL url host server api_base"] = 'endpoint = "http://HOST:11434", or a name of stoke.config.lua',
  ["headers"] = "endpoints = { NAME = { url = ..., headers = { ... } } } in stoke.config.lua",
  ["reasoning reasoning_effort thinking enable_thinking"] = "think", ["timeout"] = "timeouts = { total = ... }",
  ["max_retries retries"] = "nothing: what may be repeated is repeated (stoke help retry)",
  ["n best_of"] = "one call for each answer, at once by scope:map", ["model_name modelName"] = "model",
}

local AGENT = with(MODEL, {
  ["system system_prompt systemPrompt prompt system_message persona role goal backstory"] = "instructions",
  ["messages history memory"] = "agent:session(), which keeps them; agent:run takes a question or a list of messages",
  ["format response_format schema json_schema output_schema output_type response_model result_type outputSchema"] = "output",
  ["max_iterations max_turns max_iter maxSteps steps recursion_limit"] = "max_steps",
  ["stream streaming"] = "agent:stream(question)", ["timeout"] = "deadline = seconds, for a whole run",
  ["agents sub_agents subagents team"] = "tools (asked and answers) or handoffs (takes over)", ["handoff"] = "handoffs",
  ["verbose debug"] = "--log debug, --trace FILE, or STOKE_DEBUG=effect",
  ["callbacks callback on_token on_event hooks"] = "for ev in agent:stream(question) do ... end",
  ["images image"] = "a message: agent:run { { role = \"user\", content = \"...\", images = { ... } } }",
  ["keep_alive"] = 'a load option: stoke.models { ["MODEL"] = { keep_alive = ... } }',
})

local CHAT = with(MODEL, {
  ["prompt input question text content"] = 'messages = { { role = "user", content = ... } }; ollama.generate takes a prompt',
  ["system system_prompt instructions"] = 'a message: { role = "system", content = ... }, the first',
  ["images image"] = "a field of the message: { role = \"user\", content = ..., images = { ... } }",
  ["response_format schema json_schema output"] = "format", ["history context"] = "messages",
})

local GENERATE = with(MODEL, {
  ["messages history"] = "prompt; ollama.chat takes messages", ["input question text content"] = "prompt",
  ["system_prompt instructions"] = "system", ["response_format schema json_schema output"] = "format", ["image"] = "images",
  ["tools functions"] = "ollama.chat, which takes tools",
})

local RUN = table_of {
  ["temperature top_p top_k min_p seed stop num_predict max_tokens options"] = "the agent's: stoke.agent { options = { ... } }",
  ["tools instructions system model output handoffs think endpoint name"] = "the agent's: stoke.agent { %s = ... }",
  ["timeout deadline"] = "the agent's deadline, or stoke.timeout(seconds, bot.run, bot, question)",
  ["budget"] = "the agent's, or stoke.scope { budget = { ... } }",
  ["stream on_token on_event"] = "stream: for ev in bot:stream(question)",
  ["messages history images"] = "the first argument: a text, { text =, images = } or messages",
  ["max_turns max_iterations"] = "max_steps",
}

local HTTP = table_of {
  ["data content payload text"] = "body (bytes), json or form", ["params qs search args"] = "query",
  ["auth authorization bearer token api_key"] = 'headers = { Authorization = "Bearer ..." }',
  ["cookies cookie"] = "headers = { Cookie = ... }", ["verify rejectUnauthorized skip_verify"] = "insecure = true",
  ["allow_redirects follow follow_redirects redirect redirects"] = "max_redirects", ["files file"] = "multipart",
  ["proxies"] = "proxy", ["cert ca cacert"] = "ca_file", ["method"] = "http.request { method = ..., url = ... }",
  ["retries retry max_retries"] = "nothing: what may be repeated is repeated (stoke help retry)", ["header"] = "headers",
  ["timeouts"] = "timeout, a number or { connect =, first_byte =, idle =, total = }", ["max_size"] = "max_bytes",
}

local PROC = table_of {
  ["command cmd program args arguments exec"] = "argv = { \"program\", \"word\", ... }", ["environment environ"] = "env",
  ["dir directory workdir working_directory chdir"] = "cwd", ["shell"] = 'argv = { "sh", "-c", "..." }', ["input"] = "stdin",
  ["capture capture_output stdout"] = "nothing: what it writes is in the result", ["deadline"] = "timeout",
}

local LOAD = table_of { ["name"] = "model", ["options"] = 'stoke.models { ["MODEL"] = { ... } }',
  ["num_ctx num_gpu num_batch num_thread"] = 'stoke.models { ["MODEL"] = { %s = ... } }' }
local TRANSFER = table_of { ["name"] = "model", ["url host base_url"] = "endpoint", ["stream"] = "nothing: it gives its progress" }
local ROOT = table_of { ["dir directory folder path base"] = "root" }

--- function -> { foreign name -> equivalent here }
M.options = {
  ["stoke.agent"] = AGENT, ["agent:run"] = RUN, ["agent:stream"] = RUN, ["session:run"] = RUN, ["session:stream"] = RUN,
  ["ollama.chat"] = CHAT, ["ollama.try_chat"] = CHAT, ["ollama.generate"] = GENERATE,
  ["ollama.stream"] = with(CHAT, { ["input question text content"] = "prompt, or messages",
    ["system_prompt instructions"] = 'system, or a message { role = "system" }' }),
  ["ollama.embed"] = with(MODEL, { ["prompt text texts inputs content documents"] = "input" }),
  ["ollama.load"] = LOAD, ["ollama.pull"] = TRANSFER, ["ollama.push"] = TRANSFER, ["ollama.show"] = TRANSFER,
  ["ollama.delete"] = TRANSFER, ["ollama.unload"] = TRANSFER, ["ollama.pin"] = TRANSFER,
  ["ollama.create"] = table_of { ["name"] = "model", ["base base_model parent"] = "from", ["options"] = "parameters",
    ["modelfile"] = "from, system, template, parameters ...", ["system_prompt instructions"] = "system" },
  ["options"] = table_of { ["max_tokens max_completion_tokens max_output_tokens max_new_tokens n_predict"] = "num_predict",
    ["repetition_penalty"] = "repeat_penalty", ["stop_sequences stops"] = "stop",
      ["context_length n_ctx"] = "num_ctx, for the model" },
  ["json.encode"] = table_of { ["indent spaces pretty_print prettify space compact"] = "pretty = true",
    ["sort_keys sorted"] = "nothing: keys are sorted already", ["max_bytes"] = "max_size", ["depth"] = "max_depth" },
  ["json.decode"] = table_of { ["object_pairs_hook keep_order preserve_order"] = "ordered = true", ["max_bytes"] = "max_size",
    ["depth"] = "max_depth", ["strict"] = "nothing: it is strict; json.repair reads what is not" },
  ["http.get"] = HTTP, ["http.post"] = HTTP, ["http.request"] = HTTP,
  ["multipart part"] = table_of { ["data content body text bytes"] = "value, or path", ["file"] = "path",
    ["mime content_type"] = "type" },
  ["http.serve"] = table_of { ["host bind hostname"] = "address", ["on_request callback app routes listener"] = "handler",
    ["unix path"] = "socket", ["timeout"] = "drain" },
  ["proc.run"] = PROC, ["proc.spawn"] = PROC,
  ["stoke.tool"] = table_of { ["parameters input_schema inputSchema schema args arguments args_schema inputs"] = "params",
    ["func fn handler execute callback call function invoke implementation"] = "run", ["desc doc help"] = "description",
    ["confirm approval requires_approval ask human"] = "needs_approval", ["id title"] = "name", ["max_chars"] = "max_output" },
  ["stoke.choose"] = with(MODEL, { ["choices labels values enum among categories classes"] = "options",
    ["question input text messages query"] = "prompt", ["system system_prompt"] = "instructions",
    ["temperature top_p top_k min_p seed"] = "sampling = { %s = ... }" }),
  ["stoke.scope"] = table_of { ["timeout seconds"] = "deadline", ["tokens calls"] = "budget = { %s = ... }",
    ["limit concurrency"] = "scope:map(list, f, { limit = ... })", ["name"] = "nothing: stoke.tasks() names it by its line" },
  ["scope:map"] = table_of { ["concurrency parallel parallelism workers max max_concurrency n"] = "limit",
    ["timeout deadline"] = "stoke.scope { deadline = ... }" },
  ["stoke.policy"] = table_of { ["permit accept whitelist allowlist"] = "allow",
    ["block forbid reject blacklist denylist"] = "deny",
    ["confirm prompt"] = "ask", ["default"] = "otherwise" },
  ["db.open"] = table_of { ["read_only ro mode"] = "readonly = true", ["must_exist fileMustExist"] = "create = false",
    ["timeout busy_timeout"] = "stoke.timeout(seconds, f), or a scope's deadline", ["limit"] = "max_rows",
    ["wal journal_mode journal"] = "nothing: it is WAL", ["foreign_keys"] = "nothing: they hold" },
  ["fs.mkdir"] = table_of { ["recursive p all"] = "parents = true" },
  ["fs.remove"] = table_of { ["force parents all r"] = "recursive = true" },
  ["fs.read"] = table_of { ["encoding binary"] = "nothing: a text is the bytes of the file", ["size limit max_bytes"] = "max" },
  ["fs.write"] = table_of { ["encoding binary"] = "nothing: the text is the bytes of the file", ["flag"] = "append = true",
    ["exclusive overwrite"] = "fresh = true: it must not be there" },
}
for _, name in ipairs { "files.read_file", "files.write_file", "files.list_dir", "files.patch_file" } do M.options[name] = ROOT end

-- ---- globals ------------------------------------------------------------------------------------------------------------------

--- global of another language -> equivalent here
M.globals = table_of {
  ["null None undefined NULL nullptr"] = "here it is nil, and json.null in JSON", ["True TRUE"] = "here it is true",
  ["False FALSE"] = "here it is false", ["len"] = "here it is #value", ["str String"] = "here it is tostring(value)",
  ["int float Number parseInt parseFloat"] = "here it is tonumber(text), or value // 1", ["console printf echo puts"] = "print",
  ["range"] = "for i = 1, 10 do ... end", ["enumerate"] = "ipairs(list)", ["self this"] = "only a function obj:name() has self",
  ["sleep setTimeout wait"] = "stoke.sleep(seconds)", ["setInterval"] = "stoke.every(name, seconds, f)",
  ["fetch requests axios"] = ("local http = require %q"):format "stoke.http", ["setfenv getfenv loadstring"] = "Lua 5.4 has load",
  ["await"] = "nothing is awaited: a call waits until it has its value",
  ["unpack"] = "table.unpack", ["process"] = "stoke.env, stoke.proc, or args of stoke.main", ["input"] = "stoke.term.prompt",
}

local IMPORT = ("Lua writes local name = require %q"):format "name"

--- Syntax of other languages: pattern of a line that the parser rejected -> how to write it in Lua.
M.syntax = {
  { "!=", "Lua writes a ~= b" }, { "[%w_%])]%s*[%+%-%*/%%]=", "Lua writes x = x + 1" },
  { "[%w_%])]%+%+", "Lua writes x = x + 1" },
  { "&&", "Lua writes a and b" }, { "||", "Lua writes a or b" }, { "=>", "Lua writes function(x) return x end" },
  { "^%s*const%s", "Lua writes local name = value" }, { "^%s*let%s", "Lua writes local name = value" },
  { "^%s*var%s", "Lua writes local name = value" },
  { "^%s*import%s", IMPORT },
  { "^%s*from%s+%S+%s+import", IMPORT },
  { "^%s*elif%f[%W]", "Lua writes elseif x then" }, { "else%s+if%f[%W]", "Lua writes elseif x then" },
  { "^%s*def%s", "Lua writes local function name() ... end" },
  { "^%s*async%f[%W]", "nothing is marked async: every call may wait" },
  { "^%s*try%f[%W]", "stoke.try(f, ...) gives the value, or nil and the error" },
  { "^%s*//", "a comment begins with --" }, { "^%s*#", "a comment begins with --" },
  { "^%s*%f[%w]if%s*%(.*{%s*$", "Lua writes if x then ... end" },
  { "^%s*for%s.*:%s*$", "Lua writes for i, v in ipairs(list) do ... end" },
  { '"[^"]*"%s*:', "in a table Lua writes name = value" }, { "%f[%w]not%s+in%f[%W]", "Lua has no in: look the key up, t[key]" },
}

-- ---- members ------------------------------------------------------------------------------------------------------------------

local ASK = table_of { ["ask chat send query call invoke prompt complete execute generate"] = "run", ["stream_run"] = "stream",
  ["conversation start"] = "session" }

local DATABASE = table_of { ["execute run executescript executemany write insert update delete"] = "exec",
  ["all select fetchall fetch_all rows"] = "query", ["get first row fetchone fetch_one get_row"] = "one",
  ["iterate iter nrows rowsof cursor stream"] = "each", ["copy dump"] = "backup",
  ["begin commit rollback savepoint atomic begin_transaction"] = "transaction(function(tx) ... end), which ends by itself",
  ["prepare"] = "nothing: statements are kept prepared; query(sql, ...)",
  ["last_insert_rowid lastInsertRowid lastrowid last_id"] = "the second value of exec",
  ["changes rowcount total_changes"] = "the first value of exec" }

--- module or class -> { foreign member -> equivalent here }
M.members = {
  ["stoke"] = table_of { ["go async start thread fork create_task"] = "spawn", ["wait delay setTimeout"] = "sleep",
    ["setInterval interval"] = "every", ["gather parallel"] = "all",
    ["map pmap"] = "scope:map(list, f, { limit = 8 }), of a stoke.scope", ["Agent agents"] = "agent",
    ["serve server listen"] = "http.serve",
    ["generate complete"] = "chat, or ollama.generate", ["queue chan"] = "channel", ["mutex lock"] = "semaphore",
    ["catch pcall protect"] = "try", ["throw error"] = "raise" },
  ["stoke.fs"] = table_of { ["open readfile readFile read_file load slurp"] = "read",
    ["writefile writeFile write_file save dump"] = "write",
    ["unlink delete rm rmdir rmtree"] = "remove", ["exists is_file is_dir isfile isdir size"] = "stat",
    ["ls dir readdir listdir list_dir walk glob scandir"] = "list", ["makedirs mkdirs"] = "mkdir", ["move mv"] = "rename",
    ["append"] = "write, with { append = true }" },
  ["stoke.http"] = table_of { ["fetch"] = "get", ["put patch delete head options"] = 'request, with method = "..."',
    ["server listen createServer"] = "serve", ["urlencode quote"] = "escape" },
  ["stoke.json"] = table_of { ["parse loads load read from_string"] = "decode", ["stringify dumps dump serialize write"] = "encode",
    ["fix loose"] = "repair" },
  ["stoke.proc"] = table_of { ["exec execute system shell call check_output"] = "run", ["popen open start Popen"] = "spawn" },
  ["stoke.db"] = table_of { ["connect new create Database sqlite"] = "open", ["NULL nil"] = "null",
    ["query execute exec run"] = "a method of an open database: local notes <close> = stoke.db.open(path)" },
  ["stoke.db.database"] = DATABASE, ["stoke.db.transaction"] = DATABASE,
  ["stoke.time"] = table_of { ["time clock date"] = "now", ["wait"] = "sleep" },
  ["stoke.rand"] = table_of { ["random"] = "float", ["randint range integer"] = "int", ["choice choose"] = "pick" },
  ["stoke.env"] = table_of { ["getenv"] = "get", ["set setenv"] = "nothing: it is read-only; a program gets env = { ... }",
    ["list all"] = "names" },
  ["stoke.ollama"] = table_of { ["complete completion completions ask"] = "chat", ["list models"] = "tags",
    ["rm remove"] = "delete",
    ["embeddings embedding"] = "embed", ["running loaded"] = "ps", ["info"] = "show", ["stop"] = "unload", ["cp"] = "copy" },
  ["stoke.log"] = table_of { ["warning"] = "warn", ["err fatal critical"] = "error", ["trace"] = "debug", ["print log"] = "info" },
  ["stoke.args"] = table_of { ["get argv"] = "parse" },
  ["stoke.agent"] = ASK, ["stoke.agent.session"] = with(ASK, { ["history"] = "messages, a field",
    ["add_message add append push add_user_message"] = "a turn, session:run; or agent:run with a list of messages",
    ["load restore"] = "agent:session(saved)",
    ["clear reset"] = "a new one: agent:session()", ["copy clone"] = "fork" }),
  ["stoke.task"] = table_of { ["join wait get result"] = "await", ["kill stop abort"] = "cancel", ["done"] = "state, a field" },
  ["stoke.channel"] = table_of { ["receive get pop take read next"] = "recv", ["put push write publish"] = "send" },
  ["stoke.scope"] = table_of { ["go start fork async start_soon run"] = "spawn", ["join"] = "wait", ["stop abort"] = "cancel" },
  ["stoke.semaphore"] = table_of { ["lock wait enter"] = "acquire",
    ["release unlock"] = "<close>: local _ <close> = sem:acquire()" },
  ["stoke.tool"] = table_of { ["run execute invoke"] = "call", ["validate"] = "check", ["schema"] = "definition" },
  ["stoke.schema"] = table_of { ["validate parse"] = "check", ["safe_parse is_valid test"] = "try", ["to_json"] = "json_schema",
    ["from_json"] = "json",
    ["object struct"] = "fields" },
  ["stoke.http.server"] = table_of { ["stop shutdown"] = "close", ["listen start"] = "nothing: it listens already",
    ["wait run join serve_forever"] = "wait" },
  ["stoke.http.response"] = table_of { ["text content data"] = "body, a field", ["code status_code statusCode"] = "status, a field",
    ["ok"] = "status < 400", ["header"] = "headers", ["iter_lines"] = "lines", ["decode"] = "json" },
  ["stoke.http.incoming"] = table_of { ["text content data"] = "body, a field", ["params args"] = "query",
    ["url uri"] = "target, or path",
    ["header"] = "headers", ["verb"] = "method" },
  ["stoke.http.reply"] = table_of { ["send end_ respond"] = "reply", ["flush"] = "write", ["close"] = "finish",
    ["header set_header setHeader add_header writeHead write_head set status set_status headers"] =
      'res:start(200, { ["Name"] = "value" }), or res:reply(status, headers, body)',
    ["json"] = "a handler returns a table, which goes out as JSON" },
  ["stoke.stream"] = table_of { ["read recv"] = "next", ["stop cancel"] = "close" },
  ["stoke.agent.stream"] = table_of { ["read recv next events"] = "for ev in stream do ... end", ["stop cancel"] = "close",
    ["text output result usage content delta messages"] =
      "in the events, for ev in stream do ... end; agent:run gives a result with text and output" },
  ["stoke.process"] = table_of { ["stop terminate"] = "kill", ["join"] = "wait", ["send"] = "write" },
  ["stoke.pending"] = table_of { ["accept allow yes ok"] = "approve", ["deny refuse no"] = "reject" },
  ["stoke.agent.result"] = table_of { ["content answer message response reply"] = "text", ["value data parsed json"] = "output",
    ["tokens"] = "usage", ["history"] = "messages", ["finish_reason done_reason"] = "reason" },
  ["stoke.study"] = table_of { ["listen_and_act interview question survey poll"] = "ask", ["listen inform intervene"] = "tell",
    ["talk meet focus_group"] = "discuss", ["randomize split partition"] = "assign", ["extract_results read parse"] = "extract",
    ["proposition holds judge"] = "check", ["rate grade"] = "score", ["messages history log"] = "turns, a field",
    ["save"] = "nothing: answers are kept in its file" },
  ["stoke.population"] = table_of { ["filter select"] = "where", ["get person by_id"] = "find", ["connect link"] = "relate",
    ["friends neighbours"] = "related" },
  ["string"] = table_of { ["split"] = 'gmatch, as in s:gmatch "[^,]+"', ["trim strip"] = 'match "^%s*(.-)%s*$"',
    ["replace"] = "gsub",
    ["startswith starts_with endswith ends_with contains includes"] = "find", ["upper_case toUpperCase"] = "upper",
    ["lower_case toLowerCase"] = "lower", ["length size"] = "len, or #s" },
}

return M
