--- A page of HTML as text for a small model: headings, paragraphs, lists and where links lead; no scripts, styles or tags. Not a
--- browser: what a style sheet hides is shown. Takes time in proportion to the page, whatever is in it.

local charset = require "stoke.tools.fetch.charset"
local urls = require "stoke.tools.fetch.url"

local M = {}

--- Links of a page that are shown with their target; of the others only the text is.
M.LINKS = 100
--- Longest target that is shown, bytes.
M.LINK_LENGTH = 200

-- ---- entities ---------------------------------------------------------------------------------------------------------------

local ENTITIES = {
  amp = "&", lt = "<", gt = ">", quot = '"', apos = "'", hellip = "…", mdash = "—", ndash = "–", lsquo = "‘", rsquo = "’",
  sbquo = "‚", ldquo = "“", rdquo = "”", bdquo = "„", bull = "•", trade = "™", euro = "€", minus = "−", larr = "←",
  rarr = "→", uarr = "↑", darr = "↓", harr = "↔", le = "≤", ge = "≥", ne = "≠", infin = "∞", asymp = "≈", prime = "′",
  Prime = "″", ensp = " ", emsp = " ", thinsp = " ", zwnj = "", zwj = "", OElig = "Œ", oelig = "œ", Scaron = "Š",
  scaron = "š", Yuml = "Ÿ", lsaquo = "‹", rsaquo = "›", dagger = "†", Dagger = "‡", permil = "‰", check = "✓", star = "☆",
  alpha = "α", beta = "β", gamma = "γ", delta = "δ", epsilon = "ε", lambda = "λ", mu = "μ", pi = "π", sigma = "σ",
  omega = "ω", Delta = "Δ", Omega = "Ω", sum = "∑", radic = "√", lbrack = "[", rbrack = "]", lpar = "(", rpar = ")",
  colon = ":", comma = ",", period = ".", excl = "!", num = "#", sol = "/", Tab = "\t", NewLine = "\n",
}
-- U+00A0 to U+00FF, in their order.
local code = 0xA0
for name in ([[nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro
  para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute
  Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute
  THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde
  ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml]]):gmatch "%a+%d*" do
  ENTITIES[name] = utf8.char(code)
  code = code + 1
end
ENTITIES.nbsp, ENTITIES.shy = " ", ""

local BARE = { amp = true, lt = true, gt = true, quot = true, nbsp = true } -- often written without their semicolon

local function numeric(digits, base)
  local number = #digits <= 8 and tonumber(digits, base) or 0
  if number >= 0x80 and number <= 0x9F then number = charset.c1(number) end
  if number == 0 or number > 0x10FFFF or (number >= 0xD800 and number <= 0xDFFF) then number = 0xFFFD end
  return utf8.char(number)
end

--- Replace the entities of a text; those not known stay.
---@param text string
---@return string
---
--- Example: `html.unescape "caf&eacute; &#38; more"  --> "café & more"`
function M.unescape(text)
  if not text:find("&", 1, true) then return text end
  return (text:gsub("&(#?[xX]?)(%w+)(;?)", function(sign, word, stop)
    if sign == "#" then return word:find "^%d+$" and numeric(word, 10) or nil end
    if sign == "#x" or sign == "#X" then return word:find "^%x+$" and numeric(word, 16) or nil end
    word = sign .. word -- a name may begin with an x
    return (stop == ";" or BARE[word]) and ENTITIES[word] or nil
  end))
end

-- ---- the page, piece by piece -----------------------------------------------------------------------------------------------

local function set(names)
  local found = {}
  for name in names:gmatch "%S+" do found[name] = true end
  return found
end

-- Elements whose content is not for reading. Their end is searched as text, as browsers do.
local SKIPPED = set "script style noscript template svg math iframe object canvas audio video textarea select"
local BLOCKS = set [[address article aside blockquote body center dd details dialog div dl dt fieldset figcaption figure footer form
  header hr html legend main nav ol p pre section summary table tbody tfoot thead ul h1 h2 h3 h4 h5 h6]]
local LINES = set "br li tr option caption"
local HREF_MAX = 2048

--- Where `needle` is next, from a place that never goes back; a place beyond is remembered, so all calls together read the text
--- once.
local function finder(text, needle)
  local at = 0
  return function(from)
    if at and at < from then at = text:find(needle, from, true) end
    return at
  end
end

--- The end of the tag whose "<" is at `from`: a ">" in a quoted value is none, unless the quote never ends.
local function tag_end(page, from)
  local stop = page.close(from)
  if not stop then return nil end
  local at = from + 1
  while true do
    local double, single = page.double(at), page.single(at)
    local quote = double and single and math.min(double, single) or double or single
    if not quote or quote > stop then return stop end
    local before = page.text:sub(quote - 1, quote - 1)
    if before == "=" or before:find "%s" then
      local closing = (quote == double and page.double or page.single)(quote + 1)
      if not closing or closing - from > 8192 then return stop end
      at = closing + 1
      stop = page.close(at)
      if not stop then return nil end
    else
      at = quote + 1
    end
  end
end

local function attribute(tag, name)
  local at = #tag:match "^<[^%s/>]*" + 1
  while true do
    local key, sign, from = tag:match("^[%s/\"'=]*([^%s=/>\"']+)%s*(=?)%s*()", at)
    if not key then return nil end
    at = from
    if sign == "=" then
      local value
      local quote = tag:match("^[\"']", at)
      if quote then
        local closing = tag:find(quote, at + 1, true)
        if not closing then return nil end
        value, at = tag:sub(at + 1, closing - 1), closing + 1
      else
        value, at = tag:match("^([^%s>]*)()", at)
      end
      if key:lower() == name then return M.unescape(value) end
    end
  end
end

-- ---- what comes out -----------------------------------------------------------------------------------------------------------

local Out = {}
Out.__index = Out

--- Text of one run: blanks are one blank, none at the start of a line.
function Out:put(text)
  if self.pre == 0 then
    text = text:gsub("%s+", " ")
    if self.bare then text = text:gsub("^ ", "") end
  end
  if text == "" then return end
  self.parts[#self.parts + 1] = text
  local last = text:byte(-1)
  self.bare = last == 32 or (last >= 9 and last <= 13)
  self.broken = 0
end

--- End the line; with count = 2, leave an empty one.
function Out:line(count)
  while self.broken < count do
    self.parts[#self.parts + 1] = "\n"
    self.broken = self.broken + 1
  end
  self.bare = true
end

--- Without blanks at its end. A pattern would look at a long run of blanks once for each of them.
local function trim(line)
  local last = #line
  while last > 0 and (line:byte(last) == 32 or line:byte(last) == 9) do last = last - 1 end
  return line:sub(1, last)
end

local function finish(parts)
  local text = table.concat(parts):gsub("[\0-\8\11-\31\127]", "")
  local lines, empty = {}, true -- no empty lines at the start, and never two
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    line = trim(line)
    if line ~= "" or not empty then lines[#lines + 1] = line end
    empty = line == ""
  end
  if lines[#lines] == "" then lines[#lines] = nil end
  return table.concat(lines, "\n")
end

local function end_link(state)
  local href, out = state.href, state.out
  state.href = nil
  if not href or state.links >= M.LINKS or #out.parts == state.href_at then return end
  local url = urls.join(state.base, href)
  if not url or #url.text > M.LINK_LENGTH or url.text == state.base.text then return end
  state.links = state.links + 1
  local blank = out.bare and out.broken == 0 -- it goes behind
  if blank then out.parts[#out.parts] = trim(out.parts[#out.parts]) end
  out.bare = false
  out:put((" (%s)%s"):format(url.text, blank and " " or ""))
end

local function begin_link(state, tag)
  end_link(state)
  local href = attribute(tag, "href")
  if not href or href == "" or href:sub(1, 1) == "#" or #href > HREF_MAX then return end
  state.href, state.href_at = href, #state.out.parts
end

--- Skip to the end tag of an element; the title's content is kept.
local function skip(page, name, from)
  local at = page.find_end(name, from)
  if not at then return nil, #page.text + 1 end
  local stop = page.close(at)
  return at - 1, stop and stop + 1 or #page.text + 1
end

local function open_tag(state, page, name, tag, after)
  local out = state.out
  if SKIPPED[name] then
    if tag:sub(-2) == "/>" and (name == "svg" or name == "math") then return after end
    local _, next_at = skip(page, name, after)
    out:put " "
    return next_at
  elseif name == "title" then
    local last, next_at = skip(page, name, after)
    if last and state.title == "" then
      state.title = finish { (M.unescape(page.text:sub(after, last)):gsub("%s+", " "):gsub("^ ", "")) }
    end
    return next_at
  elseif name == "a" then
    begin_link(state, tag)
  elseif name == "base" then
    local href = attribute(tag, "href")
    state.base = href and #href <= HREF_MAX and urls.join(state.base, href) or state.base
  elseif name == "img" then
    local alt = attribute(tag, "alt")
    if alt and alt:find "%S" then out:put(("[image: %s]"):format(alt)) end
  elseif name == "li" then
    out:line(1)
    out:put "- "
    out.bare = true
  elseif name == "td" or name == "th" then
    if out.broken == 0 then out:put " | " end
  elseif LINES[name] then
    out:line(name == "br" and out.broken + 1 or 1)
  elseif BLOCKS[name] then
    out:line(2)
    local level = name:match "^h(%d)$"
    if level then out:put(("#"):rep(tonumber(level)) .. " ") end
    if name == "pre" then out.pre = out.pre + 1 end
  end
  return after
end

local function close_tag(state, name)
  local out = state.out
  if name == "a" then
    end_link(state)
  elseif BLOCKS[name] then
    end_link(state)
    if name == "pre" and out.pre > 0 then out.pre = out.pre - 1 end
    out:line(2)
  elseif LINES[name] then
    out:line(1)
  end
end

--- One piece of markup at a "<"; where the next piece begins.
local function markup(state, page, at)
  local text = page.text
  if text:find("^<!%-%-", at) then
    local stop = page.comment(at + 4)
    return stop and stop + 3 or #text + 1
  end
  local slash, name = text:match("^<(/?)(%a[%w:-]*)", at)
  if not name and not text:find("^<[!?/]", at) then
    state.out:put "<"
    return at + 1
  end
  local stop = tag_end(page, at)
  if not stop then return #text + 1 end
  if not name then return stop + 1 end
  name = name:lower()
  if slash == "/" then
    close_tag(state, name)
    return stop + 1
  end
  return open_tag(state, page, name, text:sub(at, stop), stop + 1)
end

--- Text and title of a page.
---@param page string UTF-8
---@param base stoke.tools.fetch.url where it came from, for relative links
---@return string text
---@return string title "" when it has none
---
--- Example: `html.text("<p>Hello <b>world</b>", url.parse "http://example.org/")  --> "Hello world", ""`
function M.text(page, base)
  local low = page:lower()
  local ends = {}
  local source = {
    text = page, close = finder(page, ">"), double = finder(page, '"'), single = finder(page, "'"), comment = finder(page, "-->"),
    find_end = function(name, from)
      ends[name] = ends[name] or finder(low, "</" .. name)
      return ends[name](from)
    end,
  }
  local out = setmetatable({ parts = {}, bare = true, broken = 2, pre = 0 }, Out)
  local state = { out = out, base = base, links = 0, title = "" }
  local at = 1
  while at <= #page do
    local lt = page:find("<", at, true)
    if lt ~= at then out:put(M.unescape(page:sub(at, (lt or #page + 1) - 1))) end
    if not lt then break end
    at = markup(state, source, lt)
  end
  end_link(state)
  return finish(out.parts), state.title
end

return M
