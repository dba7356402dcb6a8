-- stoke sessions: lists, shows, exports, forks and deletes the sessions that are kept.

local approve = require "stoke.approve"
local args = require "stoke.args"
local errors = require "core.errors"
local fs = require "stoke.fs"
local output = require "stoke.runs.output"
local sessions = require "stoke.sessions"
local show = require "stoke.show"
local stdio = require "core.stdio"
local term = require "stoke.term"
local text = require "stoke.tool.text"
local time = require "stoke.time"

local SPEC = {
  name = "stoke sessions", summary = "List the sessions that are kept, show what was said, copy and delete them.",
  examples = { { "stoke sessions", "what there is, the one that changed last first" },
               { "stoke sessions show ada", "the conversation; --json: as a table" },
               { "stoke sessions export ada ada.json", "as JSON, which agent:session(saved) goes on with" },
               { "stoke sessions fork ada ada-2 --at 3", "another one, which begins as ada was after 3 turns" },
               { "stoke sessions delete ada", "all of it: messages, runs, and contents that nobody else needs" } },
  options = { { "at", type = "integer", placeholder = "N", help = "fork: after so many turns (all)" },
              { "agent", placeholder = "NAME", help = "list: only sessions of this agent" },
              { "limit", short = "n", default = 100, help = "list: so many at most" },
              { "no-compact", type = "boolean", help = "delete: do not write the file anew, which takes long where it is large" },
              { "json", type = "boolean", help = "JSON: one object, or one a line" } },
  positionals = { { "what", optional = true, choices = { "list", "show", "export", "fork", "delete" } },
                  { "id", optional = true, help = "the session" },
                  { "to", optional = true, help = "export: the file; fork: the id of the new one" } },
}

local DO = {}

function DO.list(a)
  local list = sessions.list { agent = a.agent, limit = a.limit }
  if a.json then
    for _, session in ipairs(list) do output.print_json(session) end
    return
  end
  if #list == 0 then
    return stdio.err(a.agent and "no such session; stoke sessions lists all\n"
      or "no session yet: agent:session { id = \"ada\" } keeps one\n")
  end
  local now, rows = time.now(), { { "ID", "AGENT", "TURNS", "MESSAGES", "CHANGED", "" } }
  for i, session in ipairs(list) do
    rows[i + 1] = { approve.visible(session.id), approve.visible(session.speaker), ("%d"):format(session.turns),
      ("%d"):format(session.messages), term.duration(math.max(now - session.changed, 0)) .. " ago",
      session.present and "in a turn" or "" }
  end
  term.table(rows, { right = { [3] = true, [4] = true, [5] = true } })
  if #list == a.limit then stdio.err(("(the first %d; --limit N shows more)\n"):format(a.limit)) end
end

--- Lines of what was said, each further one indented.
local function said(who, words) return ("%s: %s\n"):format(who, (term.clean(words):gsub("\n", "\n  "))) end

local RESULT <const> = 400

local function line_of(message)
  local out = {}
  if message.content ~= "" or not message.tool_calls then
    local who = message.role == "tool" and "  < " .. (message.tool_name or "tool") or message.role
    local words = message.role == "tool" and text.cut(message.content, RESULT) or message.content
    out[1] = said(who, words)
  end
  for _, call in ipairs(message.tool_calls or {}) do
    out[#out + 1] = said("  > " .. call["function"].name, show.line(call["function"].arguments))
  end
  for _, image in ipairs(message.images or {}) do out[#out + 1] = ("  [an image, %s]\n"):format(term.bytes(#image * 3 // 4)) end
  return table.concat(out)
end

function DO.show(a)
  local shown = sessions.show(a.id)
  if a.json then return output.print_json(shown) end
  local session, at = shown.session, 0
  stdio.write(("%s  %s  %d turn%s, %d messages\n"):format(approve.visible(session.id), approve.visible(session.speaker),
    session.turns, session.turns == 1 and "" or "s", session.messages))
  if session.fork_of then
    stdio.write(("begun as %s was after %d turns\n"):format(approve.visible(session.fork_of), session.fork_at))
  end
  for turn, last in ipairs(shown.ends) do
    stdio.write(("\n-- turn %d\n"):format(turn))
    for i = at + 1, last do stdio.write(line_of(shown.messages[i])) end
    at = last
  end
  local present = session.present
  if present then stdio.write(("\n-- a turn goes on: stoke show %s\n"):format(show.word(present.run))) end
end

function DO.export(a)
  local saved = output.json(sessions.export(a.id))
  if not a.to then return stdio.write(saved) end
  fs.write(a.to, saved)
  if a.json then return output.print_json { path = a.to } end
  stdio.write(("%s: agent:session(stoke.json.decode(stoke.fs.read %q)) goes on with it\n"):format(a.to, a.to))
end

function DO.fork(a)
  if not a.to then errors.raise("usage", "what is the new session called?", { hint = "stoke sessions fork ID NEW --at N" }) end
  local made = sessions.fork(a.id, a.to, { at = a.at })
  if a.json then return output.print_json(made) end
  stdio.write(("%s begins as %s was after %d turns\n"):format(approve.visible(made.id), approve.visible(a.id), made.turns))
end

function DO.delete(a)
  local done = sessions.delete(a.id, { compact = not a.no_compact })
  if a.json then return output.print_json(done) end
  stdio.write(("%s is deleted: %d messages, %d runs\n"):format(approve.visible(a.id), done.messages, done.runs))
  if not done.compacted then
    stdio.err("what it held is still in free pages of the file: " ..
      (a.no_compact and "you said --no-compact\n" or "another program uses the file now; delete any session later, or VACUUM it\n"))
  end
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local what = a.what or "list"
  if what ~= "list" and not a.id then
    errors.raise("usage", "which session? " .. what .. " needs an id", { hint = "stoke sessions lists them" })
  end
  return DO[what](a)
end
