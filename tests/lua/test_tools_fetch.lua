-- The tool http_fetch: what a model gets to read of a page, what it is told when there is nothing, and where it does not get.

local test = require "stoke.test"
local stoke = require "stoke"
local http = require "stoke.http"
local html = require "stoke.tools.fetch.html"
local http_fetch = require("stoke.tools.fetch").http_fetch
local start_peer = require "peer"
local urls = require "stoke.tools.fetch.url"
local hostile = dofile "tests/hostile/urls.lua"

local BASE = urls.parse "http://site.test/a/b?q=1"

--- A server in memory with one page for each path: { type, body } or a function(req, res).
local function site(pages, name)
  return http.serve { mem = name or "site", handler = function(req, res)
    local page = pages[req.path]
    if type(page) == "function" then return page(req, res) end
    if not page then return res:reply(404, { ["Content-Type"] = "text/plain" }, "no such page\nmore") end
    res:reply(page.status or 200, { ["Content-Type"] = page[1] }, page[2])
  end }
end

local function get(path, options)
  options = options or {}
  options.allow = options.allow or { "site.mem" }
  return http_fetch(options):call { url = "http://site.mem" .. path }
end

-- ---- pages as text --------------------------------------------------------------------------------------------------------

local function text(page) return (html.text(page, BASE)) end

test("html: tags, scripts, styles and comments go, blanks collapse", function(t)
  t.eq(text "<p>Hello   <b>wor</b>ld\n again</p>", "Hello world again")
  t.eq(text "a<script>if (a<b) { c = '</p>' }</script>b<STYLE>p { }</Style >c<!-- <p>no -->d", "a b cd")
  t.eq(text "<noscript>x</noscript><template>y</template><svg><text>z</text></svg>", "")
  t.eq(text "<svg/>still<br/>here", "still\nhere")
  t.eq(text "<div><div><p>one</p></div></div>\n\n\n<div>two</div>", "one\n\ntwo")
  t.eq(text "1 < 2 and 3 > 2 <3", "1 < 2 and 3 > 2 <3")
  t.eq(text "<p title=\"a > b\">x<p title='a > b'>y", "x\n\ny")
  t.eq(text "<?xml version='1.0'?><!DOCTYPE html><p>x</p></p></div>", "x")
  t.eq(text "a\27[31mb\7\0c", "a[31mbc")
end)

test("html: headings, lists, tables and preformatted text keep their shape", function(t)
  t.eq(text "<h1>Top</h1><h2>Sub</h2>text", "# Top\n\n## Sub\n\ntext")
  t.eq(text "<ul><li>one<li> two</li><li>three</ul>", "- one\n- two\n- three")
  t.eq(text "<table><tr><th>a<th>b</tr><tr><td>1 </td><td>2</td></tr></table>", "a | b\n1 | 2")
  t.eq(text "x<pre>a\n  b   c</pre>y", "x\n\na\n  b   c\n\ny")
  t.eq(text "one<br>two<br><br>three", "one\ntwo\n\nthree")
end)

test("html: entities become characters, unknown ones stay", function(t)
  t.eq(text "&lt;b&gt; &amp;amp; &quot;&apos; caf&eacute; &Eacute; &euro;5 &#65;&#x42;&#X43; a&nbsp;b",
    "<b> &amp; \"' café É €5 ABC a b")
  t.eq(text "&frac12; &yuml; &xi; &nosuch; &amp &copy; &; &#; &#x; AT&T", "½ ÿ &xi; &nosuch; & © &; &#; &#x; AT&T")
  t.eq(text "&#150; &#0; &#xD800; &#1114112; &#99999999999999999999;", "– \u{FFFD} \u{FFFD} \u{FFFD} \u{FFFD}")
  t.eq(text "&lt;script&gt;alert(1)&lt;/script&gt;", "<script>alert(1)</script>")
end)

test("html: links show where they lead, those of the page itself and of other schemes do not", function(t)
  t.eq(text "<a href='/x'> more </a>!", "more (http://site.test/x) !")
  t.eq(text "<a href=c>c</a> <a href='../d?e=1#f'>d</a> <a href='//o.test'>o</a> <a href='?z'>z</a>",
    "c (http://site.test/a/c) d (http://site.test/d?e=1) o (http://o.test/) z (http://site.test/a/b?z)")
  t.eq(text "<a href='#top'>top</a> <a href='javascript:x()'>js</a> <a href='mailto:a@b'>m</a> <a>n</a> <a href='/i'></a>",
    "top js m n")
  t.eq(text "<base href='https://other.test/x/'><a href=y>y</a>", "y (https://other.test/x/y)")
  t.eq(text "<a href='/1'>one <a href='/2'>two</a>", "one (http://site.test/1) two (http://site.test/2)")
  t.eq(text "<a title='href=\"/no\"' href=\"/a&amp;b\">x</a>", "x (http://site.test/a&b)")
  t.eq(text "<img alt='A cat' src=x><img src=y><img alt=''>", "[image: A cat]")
  t.eq(text("<a href='/" .. ("x"):rep(300) .. "'>long</a>"), "long")
  local many = text(("<a href='/x'>y</a> "):rep(html.LINKS + 20))
  local _, shown = many:gsub("%(http", "")
  t.eq(shown, html.LINKS)
end)

test("html: the title is told apart", function(t)
  local body, title = html.text("<head><title>\n A &amp; B </title><title>no</title></head><body>x", BASE)
  t.eq({ body, title }, { "x", "A & B" })
end)

test("html: broken and hostile pages take time in proportion", function(t)
  local big = 1 << 18
  for _, piece in ipairs { "<", "<b", "<b>", "<script>", "<!--", "<a href=\"", "<a b=\"'", "&", "&#", "<title>", "</", "<?",
    "<a 'x", " ", "<pre> ",
    "<a href=x>", "<a x='y' ", "</script", "\"'<a=" } do
    local out = html.text(piece:rep(big // #piece), BASE)
    t.ok(#out <= 2 * big, piece)
    stoke.sleep(0)
  end
end)

-- ---- urls -----------------------------------------------------------------------------------------------------------------

test("urls: one form for each, and none for what could be read in two ways", function(t)
  local function parse(given) return (urls.parse(given) or { text = false }).text end
  for given, want in pairs {
    ["HTTP://Example.ORG"] = "http://example.org/", ["http://a.test:80/x"] = "http://a.test/x",
      ["https://a.test:443"] = "https://a.test/",
    ["https://a.test:80/"] = "https://a.test:80/", ["http://a.test./x#y"] = "http://a.test/x",
      ["http://a.test?q"] = "http://a.test/?q",
    ["  http://a.test/ "] = "http://a.test/", ["http://a.test/ä b\\c"] = "http://a.test/%C3%A4%20b%5Cc",
      ["http://[::1]:8/"] = "http://[::1]:8/",
    ["http://a.test/%41"] = "http://a.test/%41", ["http://a.test/<>\""] = "http://a.test/%3C%3E%22",
  } do
    t.eq(parse(given), want, given)
  end
  for _, given in ipairs { "", "a.test", "//a.test", "ftp://a.test", "http:a.test", "http://", "http:///x",
    "http://u@a.test", "http://a b/",
    "http://a.test\\@b", "http://a%2eb/", "http://ä.test/", "http://[::1", "http://[::1%25lo]/", "http://a..b/",
      "http://.a/", "http://a:0/",
    "http://a:65536/", "http://a:x/", "http://a:1:2/", "http://a\n.test/", "http://a.test/\0",
      "http://a.test/" .. ("x"):rep(5000) } do
    t.eq(parse(given), false, given)
  end
end)

test("urls: references are resolved as RFC 3986 does", function(t)
  local base = urls.parse "http://a/b/c/d;p?q"
  for reference, want in pairs {
    ["g"] = "http://a/b/c/g", ["./g"] = "http://a/b/c/g", ["g/"] = "http://a/b/c/g/", ["/g"] = "http://a/g",
      ["//g"] = "http://g/",
    ["?y"] = "http://a/b/c/d;p?y", ["g?y"] = "http://a/b/c/g?y", ["#s"] = "http://a/b/c/d;p?q", ["g#s"] = "http://a/b/c/g",
    [";x"] = "http://a/b/c/;x", [""] = "http://a/b/c/d;p?q", ["."] = "http://a/b/c/", ["./"] = "http://a/b/c/",
      [".."] = "http://a/b/",
    ["../"] = "http://a/b/", ["../g"] = "http://a/b/g", ["../.."] = "http://a/", ["../../g"] = "http://a/g",
      ["../../../g"] = "http://a/g",
    ["/./g"] = "http://a/g", ["/../g"] = "http://a/g", ["g."] = "http://a/b/c/g.", ["..g"] = "http://a/b/c/..g",
      ["./../g"] = "http://a/b/g",
    ["g;x=1/../y"] = "http://a/b/c/y", ["g?y/../x"] = "http://a/b/c/g?y/../x", ["https://x/y"] = "https://x/y",
  } do
    t.eq((urls.join(base, reference) or {}).text, want, reference)
  end
  for _, reference in ipairs { "mailto:a@b", "javascript:x", "data:,x", "http://u@h/", "//[", "file:///x" } do
    t.eq(urls.join(base, reference), nil, reference)
  end
end)

-- ---- answers --------------------------------------------------------------------------------------------------------------

test("a page comes as its title and its text", function(t)
  local server <close> = site { ["/"] = { "text/html; charset=utf-8", "<title>T</title><p>a <a href=x>b</a>" },
    ["/e"] = { "text/html", "" },
    ["/t"] = { "text/html", "<title>only</title>" } }
  t.eq(get "/", "T\n\na b (http://site.mem/x)")
  t.eq(get "/e", "(nothing to read there)")
  t.eq(get "/t", "only")
end)

test("JSON and text come as they are, other content is refused by name", function(t)
  local json = '{"a": [1,\n 2]}'
  local server <close> = site {
    ["/json"] = { "application/json", json }, ["/ld"] = { "application/ld+json; x=y", json }, ["/txt"] = { "text/plain",
      " <b> & \n" },
    ["/csv"] = { "Text/CSV", "a,b" }, ["/feed"] = { "application/atom+xml", "<feed/>" }, ["/png"] = { "image/png", "\137PNG" },
    ["/svg"] = { "image/svg+xml", "<svg/>" }, ["/pdf"] = { "application/pdf", "%PDF" },
      ["/bin"] = { "application/octet-stream", "x" },
  }
  t.eq(get "/json", json)
  t.eq(get "/ld", json)
  t.eq(get "/txt", " <b> & \n")
  t.eq(get "/csv", "a,b")
  t.eq(get "/feed", "<feed/>")
  for path, name in pairs { ["/png"] = "image/png", ["/svg"] = "image/svg+xml", ["/pdf"] = "application/pdf",
    ["/bin"] = "application/octet-stream" } do
    local err = t.raises("tool", get, path)
    t.eq(err.message, ("http://site.mem%s is %s; http_fetch reads HTML, JSON and text only"):format(path, name))
  end
end)

test("a server that names no type is believed to send text, unless it shows otherwise", function(t)
  local bodies = { ["/h"] = " <!DOCTYPE html><p>x", ["/t"] = "plain", ["/b"] = "\1\0\2" }
  local server <close> = site(setmetatable({}, { __index = function(_, path)
    return function(_, res) res:reply(200, { ["Content-Type"] = "" }, bodies[path]) end
  end }))
  t.eq({ get "/h", get "/t" }, { "x", "plain" })
  t.match(t.raises("tool", get, "/b").message, "is no text")
end)

test("charsets become UTF-8; broken UTF-8 is replaced; unknown ones are refused", function(t)
  local server <close> = site {
    ["/latin"] = { "text/plain; charset=ISO-8859-1", "caf\xE9 \x80\x93" }, ["/meta"] = { "text/html",
      "<meta charset='latin1'>caf\xE9" },
    ["/equiv"] = { "text/html", "<meta http-equiv=Content-Type content='text/html; charset=windows-1252'>\xFC" },
    ["/quoted"] = { 'text/plain; charset="Latin1"', "\xE4" }, ["/nine"] = { "text/plain; charset=iso-8859-15", "\xA4" },
    ["/utf8"] = { "text/plain; charset=UTF-8", "\xEF\xBB\xBFé" }, ["/broken"] = { "text/plain", "a\xE9b\xC3" },
    ["/jis"] = { "text/html; charset=Shift_JIS", "x" },
  }
  t.eq({ get "/latin", get "/meta", get "/equiv", get "/quoted", get "/nine", get "/utf8" }, { "café €“", "café", "ü", "ä",
    "€", "é" })
  t.eq(get "/broken", "a\u{FFFD}b\u{FFFD}")
  t.match(t.raises("tool", get, "/jis").message, "charset Shift_JIS, which http_fetch cannot read")
end)

test("a status of 400 or more says what the server said and what may help", function(t)
  local server <close> = site {
    ["/500"] = { "text/html", "<title>Oops</title><p>It broke", status = 500 }, ["/403"] = { "image/png",
      "\0\1", status = 403 },
    ["/429"] = { "application/json", '{"error":"slow down"}', status = 429 }, ["/402"] = { "text/plain",
      "\n\n  pay  \n", status = 402 },
    ["/418"] = { "text/plain", "", status = 418 },
  }
  local function said(path)
    local err = t.raises("http", get, path)
    t.ok(not err.retryable)
    return err.message
  end
  t.eq(said "/none", "http://site.mem/none answered 404: no such page; check the URL, or look for another page")
  t.eq(said "/500", "http://site.mem/500 answered 500: Oops; the server has trouble; try later, or another source")
  t.eq(said "/403", "http://site.mem/403 answered 403; it is closed to this tool; look for another source")
  t.eq(said "/429", 'http://site.mem/429 answered 429: {"error":"slow down"}; it was asked too often; wait, or use another source')
  t.eq(said "/402", "http://site.mem/402 answered 402: pay")
  t.eq(said "/418", "http://site.mem/418 answered 418")
end)

test("redirects are followed, told, counted, and judged one by one", function(t)
  local function to(location, status)
    return function(_, res) res:reply(status or 302, { Location = location }, "") end
  end
  local server <close> = site {
    ["/1"] = to("/dir/2", 301), ["/dir/2"] = to("../3", 307), ["/3"] = { "text/html", "<title>T</title>there" },
      ["/loop"] = to "/loop",
    ["/out"] = to "http://other.mem/", ["/file"] = to "file:///etc/passwd", ["/user"] = to "http://u:p@site.mem/",
      ["/bare"] = to(""),
  }
  local other <close> = site({ ["/"] = { "text/plain", "other" } }, "other")
  t.ok(other)
  t.eq(get "/1", "redirected to: http://site.mem/3\n\nT\n\nthere")
  t.eq(t.raises("protocol", get, "/loop").message, "http://site.mem/loop: more than 5 redirects")
  t.raises("protocol", get, "/1", { max_redirects = 1 })
  t.eq(get("/1", { max_redirects = 2 }), "redirected to: http://site.mem/3\n\nT\n\nthere")
  t.eq(t.raises("denied", get, "/out").message, "http://other.mem/ is not a public address")
  t.eq(get("/out", { allow = { "site.mem", "other.mem" } }), "redirected to: http://other.mem/\n\nother")
  local err = t.raises("denied", get, "/out", { allow = { "site.mem", "other.mem" }, hosts = { "site.mem" } })
  t.eq(err.message, "other.mem is not among the hosts this tool may ask: site.mem (after a redirect from http://site.mem/out)")
  t.match(t.raises("protocol", get, "/file").message, "^http://site.mem/file redirects to what is no page of the web")
  t.match(t.raises("protocol", get, "/user").message, "user name")
end)

test("hosts names the only ones that may be asked", function(t)
  local server <close> = site { ["/"] = { "text/plain", "ok" } }
  local function may(hosts) return (stoke.try(get, "/", { hosts = hosts })) == "ok" end
  for _, hosts in ipairs { { "site.mem" }, { "SITE.mem." }, { "a.test", "*.mem" } } do t.ok(may(hosts), hosts[1]) end
  for _, hosts in ipairs { { "a.test" }, { "*.site.mem" }, { "ite.mem" }, { "*.test",
    "mem" } } do t.ok(not may(hosts), hosts[1]) end
  t.raises("denied", function() http_fetch { hosts = { "site.mem" } }:call { url = "http://site.mem/" } end)
  for _, bad in ipairs { "", "*", "*x.test", "http://a.test", "a.test/", "a test", 1 } do
    t.raises("argument", http_fetch, { hosts = { bad } })
  end
  t.raises("argument", http_fetch, { hosts = {} })
end)

test("a page longer than max_bytes is read to there and no further", function(t)
  local written = 0
  local server <close> = site { ["/"] = function(_, res)
    res:start(200, { ["Content-Type"] = "text/plain" })
    for _ = 1, 100000 do
      res:write(("x"):rep(1000))
      written = written + 1
    end
  end }
  local out = get("/", { max_bytes = 2500 })
  t.eq(out, ("x"):rep(2500) .. "\n[cut: the first 2500 bytes of a longer page]")
  t.ok(written < 50000, "the connection was cut")
  local tool = http_fetch { allow = { "site.mem" }, max_output = 100 }
  t.match(tool:text(get("/", { max_bytes = 5000 })), "^x+\n%[cut: the first 100 of 50%d%d bytes%]$")
end)

test("timeout holds for all of it", function(t)
  local server <close> = site { ["/"] = function() stoke.sleep(1000) end }
  t.raises("timeout", get, "/", { timeout = 3 })
  t.raises("timeout", get, "/")
end)

test("the model is told of one tool with one parameter", function(t)
  local tool = http_fetch { name = "read_page", needs_approval = true, description = "Read it" }
  local about = tool:definition()["function"]
  t.eq({ about.name, about.description, about.parameters.required }, { "read_page", "Read it", { "url" } })
  t.eq({ tool.idempotent, tool.needs_approval, http_fetch().name }, { true, true, "http_fetch" })
  t.raises("argument", http_fetch, { host = { "a.test" } })
  t.raises("argument", http_fetch, { max_bytes = 0 })
  t.raises("argument", http_fetch, { max_redirects = 1.5 })
  t.raises("invalid_output", function() tool:call { uri = "x" } end)
end)

-- ---- where it does not get ------------------------------------------------------------------------------------------------

local function canary()
  local peer = start_peer()
  peer:stats()
  return peer, peer.url:match "%d+$", function()
    stoke.sleep(0.05)
    return peer:stats().connections - 1
  end
end

test("no hostile URL gets the tool to a server on loopback", { real = true, timeout = 120 }, function(t)
  local _ <close>, port, reached = canary()
  local server <close> = site({ ["/"] = function() t.fail "the server in memory was reached" end }, "canary")
  for _, entry in ipairs(hostile) do
    local url = entry.url:gsub("{port}", port)
    local res, err = stoke.try(function() return http_fetch { resolve = entry.resolve, timeout = 10 }:call { url = url } end)
    local clear = err and (err.kind == "denied" or err.kind == "argument")
    t.ok(res == nil and clear and not err.message:find "[%z\r\n]", ("%q: %s"):format(url, tostring(err or res)))
  end
  t.eq(reached(), 0, "connections")
end)

test("nor does a redirect to one", { real = true, timeout = 120 }, function(t)
  local _ <close>, port, reached = canary()
  local target
  local server <close> = http.serve { port = 0, hosts = { "pub.test" }, handler = function(req, res)
    if req.path == "/next" then return res:reply(302, { Location = target }, "") end
    return "text"
  end }
  local honest = http_fetch { allow = { "127.0.0.1:" .. server.port }, resolve = { ["pub.test"] = "127.0.0.1" } }
  t.eq(honest:call { url = ("http://pub.test:%d/"):format(server.port) }, "text", "an honest page")
  for _, entry in ipairs(hostile) do
    target = entry.url:gsub("{port}", port)
    if target:find "^%a+:" and not target:find "[%c\x7f]" then
      local resolve = { ["pub.test"] = "127.0.0.1" }
      for name, address in pairs(entry.resolve) do resolve[name] = address end
      local tool = http_fetch { allow = { "127.0.0.1:" .. server.port }, resolve = resolve, timeout = 10 }
      local _, err = stoke.try(function() return tool:call { url = ("http://pub.test:%d/next"):format(server.port) } end)
      t.ok(err and (err.kind == "denied" or err.kind == "protocol"), ("to %q: %s"):format(target, tostring(err)))
    end
  end
  t.eq(reached(), 0, "connections")
end)
