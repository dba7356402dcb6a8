-- URLs that a model, or a page it has read, may come up with to reach what is not public. A list of
--
--     { url = "http://0x7f.1:{port}/", kind = "denied", reaches = true, resolve = { ["evil.test"] = "10.0.0.1" } }
--
-- `{port}` stands for the port of a server at 127.0.0.1 and ::1 that must not be reached. `kind` is what a guarded request must
-- fail with: `denied`, or `argument` when it is no URL of the web. `reaches`: without the guard this one does get there, which
-- shows that the list is no list of typing errors. `resolve` gives every name in it an address, so that nobody is asked.

local urls = {}

local function add(url, options)
  local entry = { url = url, kind = "denied" }
  for key, value in pairs(options or {}) do entry[key] = value end
  -- whatever of the text might be taken for the name is a private address
  entry.resolve = entry.resolve or {}
  local authority = url:match "^%a+:/+([^/?#]*)" or ""
  authority = authority .. " " .. authority:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  for name in authority:gmatch "[%w.%-_]+" do
    local number = name:find "^%d+$" or name:find "^%-"
    for _, form in ipairs { name, (name:gsub("%.+$", "")) } do
      if not number and form ~= "" and entry.resolve[form] == nil then entry.resolve[form] = entry.address or "127.0.0.1" end
    end
  end
  entry.address = nil
  urls[#urls + 1] = entry
end

local function no_url(url) add(url, { kind = "argument" }) end

-- ---- IPv4, in all its spellings -------------------------------------------------------------------------------------------

local SPECIAL = {
  "127.0.0.1", "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255",
  "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
  "240.0.0.1", "255.255.255.255",
}

local function wide(text) -- full-width digits and an ideographic full stop, which IDNA maps to ASCII
  return (text:gsub("%d", function(d) return utf8.char(0xFF10 + tonumber(d)) end):gsub("%.", "\u{3002}"))
end

local function escaped(text) return (text:gsub(".", function(c) return ("%%%02X"):format(c:byte()) end)) end

for _, address in ipairs(SPECIAL) do
  local a, b, c, d = address:match "(%d+)%.(%d+)%.(%d+)%.(%d+)"
  a, b, c, d = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
  local number = a << 24 | b << 16 | c << 8 | d
  local reaches = address == "127.0.0.1" or address == "0.0.0.0"
  for _, form in ipairs {
    address,
    ("%d"):format(number),
    ("0x%x"):format(number),
    ("0X%X"):format(number),
    ("0%o"):format(number),
    ("0x%x.0x%x.0x%x.0x%x"):format(a, b, c, d),
    ("0%o.0%o.0%o.0%o"):format(a, b, c, d),
    ("%d.%d"):format(a, number & 0xFFFFFF),
    ("%d.%d.%d"):format(a, b, number & 0xFFFF),
    ("0x%x.%d"):format(a, number & 0xFFFFFF),
    ("0%o.%d.0x%x"):format(a, b, number & 0xFFFF),
    ("0000%o.%d.%d.%d"):format(a, b, c, d),
  } do
    add(("http://%s:{port}/"):format(form), { address = address, reaches = reaches })
  end
  add(("http://%s.:{port}/"):format(address), { address = address })
  add(("http://%s:{port}/"):format(escaped(address)), { address = address })
  add(("https://%s/latest/meta-data/"):format(address), { address = address })
  add(("http://%s:{port}/"):format(wide(address)), { address = address, kind = "any" }) -- refused as a URL where no IDNA is
end

for _, odd in ipairs { "127.0.0.1.5", "256.256.256.256", "127.0.0.257", "4294967297", "0x100000001", "127..1", ".127.0.0.1",
  "127.0.0.1..",
  "08.0.0.1", "0x", "1e3", "127.0.0.0x" } do
  add(("http://%s:{port}/"):format(odd), { resolve = { [odd] = "127.0.0.1" }, kind = "any" })
end

-- ---- IPv6, alone and with an IPv4 address inside ----------------------------------------------------------------------------

for _, address in ipairs {
  "::1", "::", "0:0:0:0:0:0:0:1", "0000:0000:0000:0000:0000:0000:0000:0001", "::0001", "0::1", "fe80::1", "febf::1",
  "fc00::1",
  "fd00:ec2::254", "fdff::1", "fec0::1", "feff::1", "ff01::1", "ff02::1", "ff0e::1", "2001:db8::1", "2001::1",
  "2001:0:7f00:1::",
  "2001:10::1", "2001:20::1", "100::1", "3fff::1", "5f00::1", "4000::1", "8000::1", "1::1", "64:ff9b:1::7f00:1",
  "64:ff9b:1:7f00:0:100::",
} do
  add(("http://[%s]:{port}/"):format(address), { reaches = address:find "^[0:]*1?$" ~= nil })
end

for _, address in ipairs { "127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "0.0.0.0", "224.0.0.1" } do
  local a, b, c, d = address:match "(%d+)%.(%d+)%.(%d+)%.(%d+)"
  local hex = ("%x:%x"):format(tonumber(a) << 8 | tonumber(b), tonumber(c) << 8 | tonumber(d))
  local inverted = ("%x:%x"):format((tonumber(a) << 8 | tonumber(b)) ~ 0xFFFF, (tonumber(c) << 8 | tonumber(d)) ~ 0xFFFF)
  for _, form in ipairs {
    "::ffff:" .. address, "::ffff:" .. hex, "::FFFF:" .. hex, "0:0:0:0:0:ffff:" .. hex, -- mapped
    "::" .. address, "::" .. hex,                                                      -- compatible
    "::ffff:0:" .. address,                                                            -- translated (SIIT)
    "64:ff9b::" .. address, "64:ff9b::" .. hex, "64:ff9b:1::" .. address,              -- NAT64
    "2002:" .. hex .. "::", "2002:" .. hex .. "::1",                                   -- 6to4
    "2001:0:" .. hex .. "::" .. inverted, "fe80::5efe:" .. address, "fe80::200:5efe:" .. address, -- Teredo, ISATAP
  } do
    add(("http://[%s]:{port}/"):format(form), { reaches = address == "127.0.0.1" and form:find "^[0:]+:[fF]+:[^0]" ~= nil })
  end
end

for _, host in ipairs { "[fe80::1%25lo]", "[fe80::1%lo]", "[::1%25lo]", "[::1%251]", "[fe80::1%25eth0]", "[::1%25]" } do
  add(("http://%s:{port}/"):format(host), { kind = "any" })
end
for _, host in ipairs { "[::1", "::1]", "[]", "[::1]]", "[[::1]]", "[127.0.0.1]", "[::g]", "[1::2::3]",
  "[::ffff:127.0.0.1.1]", "[::1]x" } do
  add(("http://%s:{port}/"):format(host), { kind = "any" })
end

-- ---- names ------------------------------------------------------------------------------------------------------------------

for _, name in ipairs { "localhost", "LOCALHOST", "LocalHost", "a.localhost", "localhost.localdomain", "localhost.",
  "a.localhost." } do
  add(("http://%s:{port}/"):format(name), { reaches = not name:find "%.$" })
end

local RANGES = {
  "0.0.0.0", "10.255.0.1", "100.127.0.1", "127.0.0.1", "169.254.169.254", "172.20.0.1", "192.0.0.9", "192.0.2.9",
  "192.88.99.2",
  "192.168.9.9", "198.19.0.1", "198.51.100.9", "203.0.113.9", "239.0.0.1", "250.0.0.1", "255.255.255.255", "::", "::1",
  "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b:1::1", "100::9", "2001::9",
  "2001:db8::9",
  "2002:7f00:1::", "2002:a00:1::", "3fff::9", "5f00::9", "fc00::9", "fd00::9", "fe80::9", "fec0::9", "ff02::9", "6000::9",
}
for i, address in ipairs(RANGES) do
  add(("http://range%d.evil.test:{port}/"):format(i), { address = address })
end

for i, list in ipairs {
  { "127.0.0.1", "10.0.0.1" }, { "10.0.0.1", "127.0.0.1" }, { "127.0.0.1", "::1" }, { "::1", "127.0.0.1" },
  { "169.254.169.254", "127.0.0.1", "::1" }, { "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::" },
  { "fe80::1", "fd00::1", "192.168.0.1", "127.0.0.1" }, { "0.0.0.0", "::" }, { "127.0.0.1", "127.0.0.1", "127.0.0.1" },
} do
  local name = ("many%d.evil.test"):format(i)
  add(("http://%s:{port}/"):format(name), { resolve = { [name] = list } })
end

for _, name in ipairs { "metadata.google.internal", "169.254.169.254.nip.test", "127.0.0.1.xip.test", "localtest.test",
  "a_b.test", "xn--p1ai",
  ("a"):rep(63) .. ".test", ("long."):rep(40) .. "test", "1.test", "test", "evil.test." } do
  add(("http://%s:{port}/"):format(name))
end

-- ---- who is the host? -------------------------------------------------------------------------------------------------------

for _, url in ipairs {
  "http://good.test@127.0.0.1:{port}/", "http://good.test:80@127.0.0.1:{port}/", "http://user:pass@127.0.0.1:{port}/",
  "http://good.test%40127.0.0.1:{port}/", "http://good.test%00@127.0.0.1:{port}/", "http://good.test%2F@127.0.0.1:{port}/",
  "http://good.test%23@127.0.0.1:{port}/", "http://good.test\\@127.0.0.1:{port}/",
  "http://good.test@good.test@127.0.0.1:{port}/",
  "http://127.0.0.1@127.0.0.1:{port}/", "http://@127.0.0.1:{port}/", "http://:@127.0.0.1:{port}/",
  "http://:x@127.0.0.1:{port}/",
  "http://good.test:x@127.0.0.1:{port}/", "http://127.0.0.1:{port}@good.test:{port}/",
  "http://127.0.0.1:{port}\\@good.test:{port}/",
  "http://127.0.0.1:{port}#@good.test/", "http://127.0.0.1:{port}?@good.test/", "http://127.0.0.1:{port}/@good.test/",
  "http://127.0.0.1:{port}#good.test", "http://127.0.0.1:{port}?good.test", "http://127.0.0.1:{port};good.test/",
  "http://127.0.0.1:{port},good.test/", "http://127.0.0.1\\good.test:{port}/", "http://127.0.0.1:{port}\\good.test/",
  "http://good.test\\127.0.0.1:{port}/", "http://good.test/\\@127.0.0.1:{port}/", "http://good.test:{port}:{port}/",
  "http://good.test:{port}%2F@127.0.0.1/", "http://127.0.0.1%00.good.test:{port}/", "http://127.0.0.1%20.good.test:{port}/",
  "http://127.0.0.1%0d%0aHost:good.test:{port}/", "http://127.0.0.1%09:{port}/", "http://127.0.0.1%2e:{port}/",
  "http://127%2e0%2e0%2e1:{port}/", "http://%6c%6f%63%61%6c%68%6f%73%74:{port}/", "http://%ff:{port}/",
  "http://127.0.0.1:{port}", "HTTP://127.0.0.1:{port}/", "HtTp://127.0.0.1:{port}/", "hTTps://127.0.0.1:{port}/",
  "http://127.0.0.1:00{port}/", "http://127.0.0.1:{port}x/", "http://127.0.0.1:/", "http://127.0.0.1:0/",
  "http://127.0.0.1:22/",
  "http://127.0.0.1:25/", "http://127.0.0.1:6379/", "http://127.0.0.1:-1/", "http://127.0.0.1:65535/",
  "http://127.0.0.1:65536/",
  "http://127.0.0.1:99999999999/", "http://127.0.0.1:0x50/", "http://127.0.0.1:8%30/", "http://127.0.0.1:+80/",
  "http://localhost:http/",
  "http://\u{24DB}\u{24DE}\u{24D2}\u{24D0}\u{24DB}\u{24D7}\u{24DE}\u{24E2}\u{24E3}:{port}/",
  "http://127\u{3002}0\u{3002}0\u{3002}1:{port}/",
  "http://127\u{FF0E}0\u{FF0E}0\u{FF0E}1:{port}/", "http://127.0.0.1\u{200B}:{port}/", "http://\u{2460}27.0.0.1:{port}/",
  "http://127.0.0.1\u{2044}good.test:{port}/", "http://good.test\u{FF0F}@127.0.0.1:{port}/", "http://loc\u{AD}alhost:{port}/",
  "http://127.0.0.1\xFF:{port}/",
} do
  add(url, { kind = "any" })
end

-- ---- in memory --------------------------------------------------------------------------------------------------------------

for _, url in ipairs { "http://canary.mem/", "http://CANARY.mem/", "http://canary.MEM/", "https://canary.mem/",
  "http://canary.mem:80/",
  "http://user@canary.mem/", "http://canary.mem?x", "http://canary.mem#x", "http://none.mem/" } do
  add(url)
end
add "http://canary.mem./"

-- ---- no URL of the web ------------------------------------------------------------------------------------------------------

for _, url in ipairs {
  "file:///etc/passwd", "FILE:///etc/passwd", "file://127.0.0.1/etc/passwd", "file:/etc/passwd", "fIlE:///etc/passwd",
  "gopher://127.0.0.1:{port}/_GET%20/", "GOPHER://127.0.0.1:{port}/", "gophers://127.0.0.1:{port}/",
  "dict://127.0.0.1:{port}/info",
  "ftp://127.0.0.1:{port}/", "ftps://127.0.0.1:{port}/", "sftp://127.0.0.1:{port}/", "scp://127.0.0.1:{port}/",
  "tftp://127.0.0.1:{port}/x",
  "ldap://127.0.0.1:{port}/", "ldaps://127.0.0.1:{port}/", "smb://127.0.0.1:{port}/", "telnet://127.0.0.1:{port}/",
  "smtp://127.0.0.1:{port}/", "imap://127.0.0.1:{port}/", "pop3://127.0.0.1:{port}/", "rtsp://127.0.0.1:{port}/",
  "rtmp://127.0.0.1:{port}/", "mqtt://127.0.0.1:{port}/", "ws://127.0.0.1:{port}/", "wss://127.0.0.1:{port}/",
  "data:text/plain,hello", "data://text/plain,hello", "javascript:alert(1)", "JAVASCRIPT://%0aalert(1)", "about:blank",
  "view-source:http://127.0.0.1:{port}/", "jar:http://127.0.0.1:{port}/!/", "unix:///var/run/docker.sock",
  "unix:/var/run/docker.sock",
  "http+unix://%2Fvar%2Frun%2Fdocker.sock/info", "http://", "http:///", "http:///127.0.0.1:{port}/",
  "http:////127.0.0.1:{port}/",
  "http:/127.0.0.1:{port}/", "http:127.0.0.1:{port}/", "http:\\\\127.0.0.1:{port}\\", "http:/\\127.0.0.1:{port}/",
  "http://?", "http://#",
  "http://#@127.0.0.1:{port}/", "http://?@127.0.0.1:{port}/", "https://", "https:///x", "//127.0.0.1:{port}/",
  "///127.0.0.1:{port}/",
  "/etc/passwd", "127.0.0.1:{port}", "localhost:{port}/", "", " ", ".", "http", "http:", "http://:{port}/", "http://@/",
  "http://user@:{port}/",
  " http://127.0.0.1:{port}/", "http://127.0.0.1:{port}/ ", "http:// 127.0.0.1:{port}/", "http://127.0.0.1 :{port}/",
  "\thttp://127.0.0.1:{port}/",
  "ht\ttp://127.0.0.1:{port}/", "http://127.0.\t0.1:{port}/", "http://127.0.\n0.1:{port}/",
  "http://127.0.0.1:{port}/\r\nHost: good.test",
  "http://127.0.0.1:{port}/ HTTP/1.1\r\nX: y", "http://127.0.0.1:{port}/\n", "\nhttp://127.0.0.1:{port}/",
  "http://good.test\r\n@127.0.0.1:{port}/",
  "http://127.0.0.1:{port}/\0", "http://127.0.0.1\0.good.test:{port}/", "http://127.0.0.1:{port}/\x7f",
  "http\0://127.0.0.1:{port}/",
  "h\u{FF54}tp://127.0.0.1:{port}/", "http\u{FF1A}//127.0.0.1:{port}/", "xhttp://127.0.0.1:{port}/",
  "http2://127.0.0.1:{port}/",
  "https+http://127.0.0.1:{port}/", "url:http://127.0.0.1:{port}/", "<http://127.0.0.1:{port}/>",
  "[x](http://127.0.0.1:{port}/)",
} do
  no_url(url)
end

return urls
