--- Is a text a template that Go's text/template would take? Only parsing, and only its usual
--- complaints, with their texts.

local M = {}

local FUNCTIONS = {}
for name in ("and or not len index slice print printf println html js urlquery call eq ge gt le lt ne json currentDate " ..
  "yesterdayDate toTypeScriptType"):gmatch "%S+" do FUNCTIONS[name] = true end

local OPENS = { ["if"] = true, range = true, with = true, block = true, define = true }
local NEEDS = { ["if"] = true, range = true, with = true }

local function fail(line, what) error({ go = ("template: :%d: %s"):format(line, what) }, 0) end

local function lines_in(text) return select(2, text:gsub("\n", "")) end

-- The words of an action, from its place behind `{{` to behind `}}`: list of words, index after.
local function words_of(text, i, line)
  local words = {}
  while true do
    i = text:find("%S", i)
    if not i then fail(line, "unclosed action") end
    local c = text:sub(i, i)
    local close = text:match("^%-?}}()", i)
    if close then return words, close, text:sub(i, i) == "-" end
    local word
    if c == '"' then
      word = text:match('^"[^"\\\n]*"', i)
      if not word then
        local e = i + 1
        while text:sub(e, e) ~= '"' do
          if e > #text or text:sub(e, e) == "\n" then fail(line, "unterminated quoted string") end
          e = e + (text:sub(e, e) == "\\" and 2 or 1)
        end
        word = text:sub(i, e)
      end
    elseif c == "`" then
      word = text:match("^`[^`]*`", i) or fail(line, "unterminated raw quoted string")
    else
      word = text:match("^[$.]?[%w_][%w_.]*", i) or text:match("^[$.]", i) or text:match("^:=", i) or text:match("^[|(),=]", i)
        or text:match("^%-%d[%w.]*", i)
      if not word then
        if c == "}" or c == "{" then fail(line, ('unexpected "%s" in operand'):format(c)) end
        fail(line, ("unexpected bad character U+%04X '%s' in command"):format(c:byte(), c))
      end
    end
    words[#words + 1], i = word, i + #word
  end
end

local CONSTANTS = { ["true"] = true, ["false"] = true, ["nil"] = true }

local function check_operands(words, from, line, known)
  for k = from, #words do
    local w = words[k]
    local name = w:match "^%a[%w_]*"
    if name and name == w and not CONSTANTS[w] and not FUNCTIONS[w] then
      fail(line, ('function "%s" not defined'):format(w))
    end
    local variable = w:match "^%$[%w_]+"
    if variable then
      local assigned = words[k + 1] == ":=" or words[k + 1] == ","
      if assigned then known[variable] = true
      elseif not known[variable] then fail(line, ('undefined variable "%s"'):format(variable)) end
    end
  end
end

local function parse(text)
  local open, known, line, i, undefined = {}, {}, 1, 1, false
  while true do
    local at = text:find("{{", i, true)
    if not at then break end
    line = line + lines_in(text:sub(i, at - 1))
    local begin = text:match("^{{%-%s()", at) or at + 2
    local comment = text:match("^%s*/%*.-%*/%s*%-?}}()", begin)
    if comment then
      line, i = line + lines_in(text:sub(at, comment - 1)), comment
    else
      local words, after = words_of(text, begin, line)
      local head = words[1]
      if not head then fail(line, "missing value for command") end
      if head == "end" then
        if #open == 0 then fail(line, "unexpected {{end}}") end
        open[#open] = nil
      elseif head == "else" then
        if #open == 0 then fail(line, "unexpected {{else}}") end
        check_operands(words, 3, line, known)
      elseif OPENS[head] then
        if NEEDS[head] and not words[2] then fail(line, "missing value for " .. head) end
        check_operands(words, 2, line, known)
        open[#open + 1] = head
      elseif head == "template" then
        undefined = true
      elseif head ~= "break" and head ~= "continue" then
        check_operands(words, 1, line, known)
      end
      line, i = line + lines_in(text:sub(at, after - 1)), after
    end
  end
  if #open > 0 then fail(line + lines_in(text:sub(i)), "unexpected EOF") end
  if undefined and not text:find("define", 1, true) then error({ go = "undefined template specified" }, 0) end
end

--- What is wrong with a template, as Go says it; nil when nothing is.
---@param text string
---@return string?
function M.problem(text)
  local ok, err = pcall(parse, text)
  if ok then return nil end
  if type(err) == "table" and err.go then return err.go end
  error(err, 0)
end

return M
