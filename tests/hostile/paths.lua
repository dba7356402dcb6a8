-- Paths that models and strangers send, for tests/lua/test_jail.lua. `{BASE}` stands for a folder that holds `jail` (the root),
-- `jailx` and `outside` (with secret.txt and sub/deep.txt); the links are made by the test. Three lists:
--
--   refused   no effect may take one
--   names     odd, but names like others: what is written there lies in the root and is read back
--   harmless  may work or fail, by where they lead inside the root

local refused, names, harmless = {}, {}, {}

local function refuse(path) refused[#refused + 1] = path end

-- ---- up and out -------------------------------------------------------------------------------------------------------------

local UPS = { "..", "./..", ".//..", "../.", "a/../..", "a/b/../../..", "a/./../..", "./././..", "none/../..", "plain.txt/../..",
  "a//b//..//..//..", "../../..", "../a/..", "a/../../jail/..", "link_in/../.." }
local BEHIND = { "", "/", "/outside", "/outside/", "/outside/secret.txt", "/outside/sub/deep.txt", "/outside/./sub/../secret.txt",
  "/outside/made.txt", "/jailx", "/jailx/secret.txt", "/jail/plain.txt" }
for _, up in ipairs(UPS) do
  for _, rest in ipairs(BEHIND) do refuse(up .. rest) end
end
for n = 2, 40, 3 do refuse(("../"):rep(n) .. "etc/passwd") end
refuse(("a/"):rep(20) .. ("../"):rep(21) .. "outside/secret.txt")
refuse(("../"):rep(1000) .. "outside")

-- ---- absolute ---------------------------------------------------------------------------------------------------------------

for _, path in ipairs {
  "/", "//", "///", "/.", "/..", "/../..", "/etc/passwd", "//etc/passwd", "/etc/../etc/passwd", "/etc/shadow", "/tmp", "/tmp/made",
  "/proc/self/environ", "/proc/self/cwd", "/proc/self/cwd/README.md", "/proc/self/exe", "/proc/self/fd/0", "/proc/self/fd/1",
  "/proc/self/root" .. "/etc/passwd", "/proc/self/root" .. "{BASE}/outside/secret.txt", "/proc/1/cwd", "/proc/1/environ",
  "/proc/thread-self/root" .. "{BASE}/outside/secret.txt", "/dev/fd/0", "/dev/fd/1", "/dev/stdin", "/dev/stdout", "/dev/null",
  "/dev/zero", "/dev/full", "/dev/tty", "/dev/random", "/dev/mem", "/sys/kernel", "{BASE}", "{BASE}/", "{BASE}/outside",
  "{BASE}/outside/secret.txt", "{BASE}/outside/made.txt", "{BASE}/jailx/secret.txt", "{BASE}/jail.txt", "{BASE}/jail/..",
  "{BASE}/jail/../outside/secret.txt", "{BASE}/jail/a/../../outside/secret.txt", "{BASE}/jail/link_dir/secret.txt",
  "{BASE}/jail/link_file", "/{BASE}/jail/../outside/secret.txt", "{BASE}//outside//secret.txt", "{BASE}/./outside/secret.txt",
  "{BASE}/jail/./../outside/secret.txt", "{BASE}/outside/../jail/plain.txt",
} do refuse(path) end

-- ---- links, each at the end and on the way ----------------------------------------------------------------------------------

local LINKS = { "link_file", "link_dir", "link_abs", "link_root", "link_self", "link_loop", "link_dangling", "link_nowhere",
  "link_in", "link_slash", "link_proc", "link_fd", "link_dev", "link_up", "chain1", "a/link_dir", "a/link_up", "a/b/link_dir",
  "a/b/link_in",
  "a/b/chain", "./link_dir", "a/../link_dir", "a/b/../link_dir" }
local BELOW = { "", "/", "/.", "/secret.txt", "/sub/deep.txt", "/made.txt", "/outside/secret.txt" }
for _, link in ipairs(LINKS) do
  for _, rest in ipairs(BELOW) do refuse(link .. rest) end
end
for _, path in ipairs {
  "link_root/link_root/plain.txt", "link_root/link_dir/secret.txt", "link_up/outside/secret.txt", "link_slash/etc/passwd",
  "link_proc/etc/passwd", "link_proc/{BASE}/outside/secret.txt", "link_fd/0", "link_fd/3", "link_dev/null", "link_dev/zero",
  "a/link_up/link_dir/secret.txt", "chain1/secret.txt", "link_in/x", "link_root/a/b/c.txt",
} do refuse(path) end

-- ---- no paths at all --------------------------------------------------------------------------------------------------------

for _, path in ipairs {
  "", "\0", "plain.txt\0", "plain.txt\0.md", "\0plain.txt", "a\0/../../outside/secret.txt", "../outside/secret.txt\0.txt",
  "plain.txt\0/../../outside/secret.txt", ("x"):rep(256), ("x"):rep(5000), ("a/"):rep(2500), ("x/"):rep(5000) .. "y",
  "a/" .. ("x"):rep(300), ("x"):rep(300) .. "/plain.txt", ("./"):rep(2100) .. "plain.txt", ("\u{E4}"):rep(200),
  "fifo", "fifo/", "a/fifo", "plain.txt/", "plain.txt/.", "plain.txt/x", "a/b/c.txt/d/e",
} do refuse(path) end

-- ---- names ------------------------------------------------------------------------------------------------------------------

for _, path in ipairs {
  "...", "....", ".. ", " ..", ". .", ". ", "..\t", "\t..", "..a", "a..", "..\n", "...x", ".../.x", " ", "  /x", ".\u{200B}.",
  "%2e%2e", "%2e%2e%2foutside", "..%2f..%2foutside", "%2e%2e/%2e%2e/x", "..%00", "%00", "..%c0%af", "%252e%252e%252f",
  "%2Fetc%2Fpasswd",
  "\u{2025}", "\u{2024}\u{2024}", "\u{FF0E}\u{FF0E}", "\u{FF0E}\u{FF0E}/x", "\u{2024}\u{2024}/x", "..\u{2215}x", "..\u{FF0F}x",
  "\u{2044}etc", "..\u{200B}", "\u{FEFF}..", "\u{202E}txt.x", "e\u{301}", "\u{E9}x", "\u{130}", "..\xC0\xAF", "\xC0\xAE\xC0\xAE/x",
  "..\\outside\\secret.txt", "\\", "..\\", "\\..", "C:", "C:\\Windows", "c:/windows/x", "\\\\server\\share", "a\\..\\b",
  "~", "~root", "~/x", "~user/.ssh/key", "$HOME", "${HOME}/x", "$(id)", "`id`", "%HOME%",
  "file:", "file:///etc/passwd", "file://localhost/x", "http://localhost/x", "data:text,x",
  "-", "--", "-rf", "*", "?", "[a]", "{a,b}", "!", "'", "\"", "a'b\"c", ";", "a;b", "&", "|", "<x>", "#", "%s%n", "%d",
  "line\nbreak", "car\rriage", "tab\tbed", "\27[31mred", "\7bell", "\127", "\1", "\xFF\xFE", "\xE4", "nul", "CON", "aux.txt", "a:b",
  ("x"):rep(255), ("\u{E4}"):rep(127), "d/" .. ("x"):rep(255), ("e/"):rep(100) .. "x", "./here", "f//double", "./g/./h/./i",
  "none/../back", "k/../l/../m", "LINK_DIR", "link_dir ", "link_dir.", "Plain.txt", "plain.txt.", ".hidden", ".git/config",
} do names[#names + 1] = path end

-- ---- harmless ---------------------------------------------------------------------------------------------------------------

for _, path in ipairs {
  ".", "./", ".//", "./.", "a/..", "a/../", "a/b/../..", "link_dir/..", "link_dir/../plain.txt", "link_dir/../outside/secret.txt",
  "link_root/..", "link_slash/../plain.txt", "a/link_up/../b/c.txt", "none/..", "none/../plain.txt",
  "plain.txt/..", "fifo/../plain.txt",
  "a/", "a/.", "a//", "a/b/", "{BASE}/jail", "{BASE}/jail/", "{BASE}/jail/plain.txt", "{BASE}/jail/a/../plain.txt",
  "{BASE}//jail/plain.txt", "hard", ("./"):rep(1500) .. "plain.txt", ("a/../"):rep(700) .. "plain.txt", "none", "none/none",
} do harmless[#harmless + 1] = path end

return { refused = refused, names = names, harmless = harmless }
