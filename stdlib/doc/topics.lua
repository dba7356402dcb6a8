--- Topics for `stoke help TOPIC` and ?topic: sections of the guide, which is embedded in the binary.
---
--- A topic is a line of LIST: its name, the heading of its section (a heading below another one will do), and other words for it.

local source = require "core.source"

local M = {}

---@type { [1]: string, [2]: string, also?: string }[]
local LIST = {
  { "start", "The first script", also = "begin first tutorial" },
  { "streaming", "Answers as they come", also = "stream" },
  { "concurrency", "Tasks and scopes", also = "async parallel" },
  { "functions", "Tools", also = "function-calling tool-calling" },
  { "agents", "Agents" },
  { "events", "Events of a stream" },
  { "sessions", "Sessions", also = "conversation history" },
  { "output", "Structured output", also = "structured format" },
  { "choosing", "Choosing", also = "classify" },
  { "context", "The context window, and budgets", also = "num_ctx truncation" },
  { "budget", "Budgets", also = "budgets limits cost tokens" },
  { "approval", "Approvals and policy", also = "approvals approve permission" },
  { "policy", "Policy", also = "deny allow" },
  { "toolbox", "Built-in tools", also = "built-in" },
  { "sandbox", "The sandbox" },
  { "ten-agents", "Ten agents", also = "handoffs" },
  { "testing", "Testing", also = "tests mocking" },
  { "prompt", "The prompt, and code that changes while it runs", also = "watch hot-reload" },
  { "configuration", "Configuration", also = "settings environment" },
  { "env-file", "Files of variables", also = "dotenv .env" },
  { "modules", "Where modules are looked for", also = "luarocks lua_modules require path" },
  { "errors", "Errors and exit codes", also = "exit-codes codes exceptions" },
  { "retry", "Retries", also = "retries again backoff" },
  { "images", "Images", also = "image vision pictures" },
  { "thinking", "Thinking", also = "think reasoning" },
  { "embeddings", "Embeddings", also = "embedding vectors" },
  { "serving", "Serving over HTTP", also = "server http-server sse" },
  { "databases", "Databases", also = "database sqlite sql" },
  { "durable", "Runs that survive", also = "workflow workflows resume replay fork" },
  { "doubt", "In doubt", also = "in-doubt parked" },
  { "cache", "Caches", also = "caches caching cached" },
  { "meaning", "Questions that mean the same", also = "semantic" },
  { "pool", "The pool", also = "routes route class classes priority queue slots hedge fallbacks scheduler watching why" },
  { "messages", "Messages", also = "mailbox mailboxes letters" },
  { "teams", "Teams", also = "multi-agent group-chat debate vote" },
  { "remembering", "Memory", also = "memories remember recall" },
  { "graphs", "Graphs", also = "knowledge-graph" },
  { "agents-as-models", "Serving agents as models", also = "serve served open-webui openai-api ollama-run" },
  { "model-context-protocol", "MCP", also = "mcp-servers tools-of-others" },
  { "editors", "Agents in an editor", also = "acp-agents zed agent-client-protocol" },
  { "secrets", "Secrets", also = "secret redaction redacted keys" },
  { "metrics", "Metrics", also = "prometheus promtool figures gauges counters" },
  { "evaluations", "Evaluations", also = "evals evaluation scorers judge" },
  { "documents", "Notes", also = "notes rag retrieval citations" },
  { "many-hosts", "From one machine to many", also = "workers worker hosts farm engine distributed" },
  { "watching-worlds", "The page", also = "browser watch-at web-page html" },
}

--- The names of all topics, in the order of the guide.
---@return string[]
---
--- Example: `print(table.concat(topics.names(), " "))`
function M.names()
  local out = {}
  for i, topic in ipairs(LIST) do out[i] = topic[1] end
  return out
end

local function topic_named(word)
  for _, topic in ipairs(LIST) do
    if topic[1] == word then return topic end
  end
  for _, topic in ipairs(LIST) do
    for other in (topic.also or ""):gmatch "%S+" do
      if other == word then return topic end
    end
  end
end

--- The lines of the section with a heading, up to the next heading of its rank.
local function section(text, heading)
  local out, rank, fenced = nil, nil, false
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    if line:find "^```" then fenced = not fenced end
    local marks, title = line:match "^(#+)%s+(.-)%s*$"
    if fenced then marks = nil end
    if out and marks and #marks <= rank then break end
    if out then
      out[#out + 1] = line
    elseif marks and title:gsub("^%d+%.%s+", "") == heading then
      out, rank = {}, #marks
    end
  end
  return out
end

local function inline(text)
  return (text:gsub("%[([^%]]*)%]%([^)]*%)", "%1"):gsub("%*%*(.-)%*%*", "%1"):gsub("`([^`]*)`", "%1"))
end

--- Markdown as the text of a description: code is indented, a list has a line an entry, a row of a table is one, too.
local function plain(lines)
  local out, code, row, prose = {}, false, 0, nil
  local function flush() -- as one line: what is marked in it may go over the end of a line
    if prose then out[#out + 1] = inline(prose) end
    prose = nil
  end
  for _, line in ipairs(lines) do
    local goes_on = prose and not code
      and (line:find "^%s?%S" and not line:find "^[-|#`] ?" or line:find "^  %S" and prose:find "^%- ")
    if not goes_on then flush() end
    if goes_on then
      prose = prose .. " " .. line:match "^%s*(.*)$"
    elseif line:find "^```" then
      code, row = not code, 0
    elseif code or line:find "^    " then
      out[#out + 1] = code and (line ~= "" and "    " .. line or "") or line
    elseif line:find "^|" then
      row = row + 1
      local first, rest = line:match "^|%s*(.-)%s*|%s*(.-)%s*|%s*$"
      if first and row > 2 then out[#out + 1] = ("- %s: %s"):format(inline(first), inline(rest)) end
    elseif line:find "^#+%s" then
      out[#out + 1] = inline(line:gsub("^#+%s+", "")) .. ":"
      out[#out + 1] = ""
    elseif line == "" then
      out[#out + 1] = ""
    else
      prose = line
    end
  end
  flush()
  return (table.concat(out, "\n"):gsub("^\n+", ""):gsub("\n+$", ""):gsub("\n\n\n+", "\n\n"))
end

--- The entry of a topic.
---@param word string its name, or another word for it
---@return stoke.doc.entry|nil
---
--- Example: `local entry = topics.find "retry"`
function M.find(word)
  local topic = topic_named(word:lower())
  local text, path = nil, nil
  if topic then text, path = source.document "guide" end
  local lines = text and section(text, topic[2])
  if not lines then return nil end
  return { name = topic[1], kind = "topic", signature = topic[2], description = plain(lines), params = {}, returns = {},
    where = path }
end

return M
