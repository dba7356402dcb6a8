-- What stoke is handed on as: the source archive, what `make install` puts where, the Debian package in a bare Debian.

local fs = require "stoke.fs"
local peers = require "peers"
local proc = require "stoke.proc"
local test = require "stoke.test"

local BUILD = os.getenv "STOKE_BUILD" or "build"
local REAL <const> = { real = true, timeout = 900 }

-- Runs it, from the top unless told otherwise; its output.
local function run(t, argv, options)
  options = options or {}
  local r = proc.run { argv = argv, cwd = options.cwd, env = options.env, stderr = "merge", timeout = 600 }
  t.ok(r.code == 0, table.concat(argv, " ") .. "\n" .. r.stdout)
  return r.stdout
end

local function make(t, ...) return run(t, { "make", "--no-print-directory", "BUILD=" .. BUILD, ... }) end

local function there(name) return proc.run { argv = { "sh", "-c", "command -v " .. name } }.code == 0 end

local function lines(text)
  local out = {}
  for line in text:gmatch "[^\n]+" do out[#out + 1] = line end
  return out
end

local function version() return fs.read "host/base.h":match 'STOKE_VERSION "([%d.]+)"' end

-- ---- the source archive -----------------------------------------------------------------------------------------------------

local function needs_git(t)
  if proc.run { argv = { "git", "rev-parse", "--git-dir" }, stderr = "merge" }.code ~= 0 then t.skip "no git repository" end
end

test("dist: made twice it is the same, byte for byte, and holds what git holds", REAL, function(t)
  needs_git(t)
  local home <close> = peers.home()
  local name = ("stoke-%s.tar.gz"):format(version())
  for _, folder in ipairs { "a", "b" } do run(t, { "sh", "packaging/dist.sh", version(), home.path .. "/" .. folder }) end
  run(t, { "cmp", home.path .. "/a/" .. name, home.path .. "/b/" .. name })
  run(t, { "sha256sum", "--check", name .. ".sha256" }, { cwd = home.path .. "/a" })
  local held, expected = {}, {}
  for _, path in ipairs(lines(run(t, { "tar", "-tzf", home.path .. "/a/" .. name }))) do
    if path:sub(-1) ~= "/" then held[#held + 1] = path end
  end
  for _, path in ipairs(lines(run(t, { "git", "ls-tree", "-r", "--name-only", "HEAD" }))) do
    expected[#expected + 1] = ("stoke-%s/%s"):format(version(), path)
  end
  table.sort(held)
  table.sort(expected)
  t.eq(held, expected)
end)

test("dist: unpacked, without git, it builds, tests and makes no archive", REAL, function(t)
  needs_git(t)
  local home <close> = peers.home()
  run(t, { "sh", "packaging/dist.sh", version(), home.path })
  run(t, { "tar", "-xzf", ("stoke-%s.tar.gz"):format(version()) }, { cwd = home.path })
  local top = ("%s/stoke-%s"):format(home.path, version())
  local env = { PATH = os.getenv "PATH", HOME = home.path, GIT_CEILING_DIRECTORIES = home.path }
  run(t, { "make", "--no-print-directory", "CFLAGS=-O0", "-j2", "all" }, { cwd = top, env = env })
  t.eq(run(t, { "build/stoke", "--version" }, { cwd = top, env = env }), ("stoke %s\n"):format(version()))
  t.contains(run(t, { "build/stoke", "test", "--internal", "tests/agents/hello.lua" }, { cwd = top, env = env }), " 0 failed")
  local refused = proc.run { argv = { "make", "--no-print-directory", "dist" }, cwd = top, env = env, stderr = "merge" }
  t.ok(refused.code ~= 0)
  t.contains(refused.stdout, "this is no git repository")
end)

-- ---- installed --------------------------------------------------------------------------------------------------------------

test("install: files stand below DESTDIR and PREFIX, as their readers want them, and uninstall takes each away", REAL, function(t)
  local home <close> = peers.home()
  make(t, "install", "PREFIX=/opt/stoke", "DESTDIR=" .. home.path) -- libstoke: test_embedding.lua
  local root = home.path .. "/opt/stoke"
  t.eq(run(t, { root .. "/bin/stoke", "--version" }), ("stoke %s\n"):format(version()))
  for _, path in ipairs { "share/man/man1/stoke.1", "share/man/man3/stoke.3", "share/stoke/types/stoke.lua",
    "share/stoke/types/stoke/team/stop.lua", "share/doc/stoke/guide.md", "share/doc/stoke/agents/hello.lua" } do
    t.ok(fs.stat(root .. "/" .. path), path .. " is missing")
  end
  for shell, path in pairs { bash = "bash-completion/completions/stoke", zsh = "zsh/site-functions/_stoke",
    fish = "fish/vendor_completions.d/stoke.fish" } do
    if there(shell) then run(t, { shell, "-n", root .. "/share/" .. path }) end
  end
  t.eq(run(t, { "find", home.path, "-type", "f", "-perm", "/022" }), "")
  make(t, "uninstall", "PREFIX=/opt/stoke", "DESTDIR=" .. home.path)
  t.eq(run(t, { "find", home.path, "!", "-type", "d" }), "")
end)

test("install: bash completes words of the installed file", REAL, function(t)
  if not there "bash" then t.skip "no bash here" end
  local home <close> = peers.home()
  make(t, "install", "PREFIX=/usr", "DESTDIR=" .. home.path)
  local script = [[PATH=$0/bin:$PATH; . "$0/share/bash-completion/completions/stoke"
    COMP_LINE="stoke vers"; COMP_POINT=${#COMP_LINE}; _stoke; printf '%s\n' "${COMPREPLY[@]}"]]
  t.eq(run(t, { "bash", "-c", script, home.path .. "/usr" }), "version\n")
end)

test("the rockspec is one that luarocks takes", REAL, function(t)
  if not there "luarocks" then t.skip "no luarocks here" end
  make(t, "rock")
  run(t, { "luarocks", "lint", ("%s/stoke-types-%s-1.rockspec"):format(BUILD, version()) })
end)

-- ---- the Debian package -----------------------------------------------------------------------------------------------------

-- A bare Debian of this machine's release, made once; nil and why not.
local function debian(t)
  for _, tool in ipairs { "debootstrap", "dpkg-deb", "unshare" } do
    if not there(tool) then t.skip(tool .. " is not here: no bare Debian can be made") end
  end
  if proc.run { argv = { "id", "-u" } }.stdout ~= "0\n" then t.skip "only root can make a bare Debian" end
  local release = fs.read "/etc/os-release":match "VERSION_CODENAME=(%w+)"
  local root = peers.path("debian-" .. release)
  if not fs.stat(root .. "/made") then
    run(t, { "rm", "-rf", root })
    local made = proc.run { argv = { "debootstrap", "--variant=minbase", release, root }, stderr = "merge", timeout = 300 }
    if made.code ~= 0 then
      local words = "debootstrap failed: " .. made.stdout:sub(-200)
      if os.getenv "PEERS_REQUIRED" then error(words, 0) end
      t.skip(words)
    end
    run(t, { "touch", root .. "/made" }) -- by a program: what a test writes itself is taken away after it
  end
  return root
end

-- Every file of that Debian but those that packages come and go with.
local function files(t, root)
  local out = {}
  local argv = { "find", root, "-xdev" }
  for _, folder in ipairs { "/proc", "/var", "/tmp" } do
    table.move({ "-path", root .. folder, "-prune", "-o" }, 1, 4, #argv + 1, argv)
  end
  argv[#argv + 1] = "-print"
  for _, path in ipairs(lines(run(t, argv))) do
    out[path:sub(#root + 1)] = true
  end
  return out
end

-- A command in there, with a /proc of its own.
local function inside(t, root, command)
  return run(t, { "unshare", "--mount", "sh", "-ec", 'mount -t proc proc "$0/proc"; exec chroot "$0" sh -ec "$1"', root, command },
    { env = { PATH = "/usr/sbin:/usr/bin:/sbin:/bin", HOME = "/tmp", LC_ALL = "C.UTF-8", DEBIAN_FRONTEND = "noninteractive" } })
end

test("deb: installed in a bare Debian it runs, and removed it leaves nothing", REAL, function(t)
  local base = debian(t)
  local home <close> = peers.home()
  local root = home.path .. "/debian"
  make(t, "deb")
  run(t, { "cp", "-a", base, root })
  run(t, { "sh", "-c", 'cp "$0"/stoke_*.deb "$1"/tmp/stoke.deb', BUILD, root })
  inside(t, root, "apt-get -q update")
  -- Its libraries first, so that what comes with it alone can be told from them.
  inside(t, root, [[apt-get -q install -y --no-install-recommends $(dpkg-deb -f /tmp/stoke.deb Depends |
    sed -e 's/([^)]*)//g' -e 's/,/ /g')]])
  local before = files(t, root)
  inside(t, root, "dpkg -i /tmp/stoke.deb")
  t.eq(inside(t, root, "stoke --version"), ("stoke %s\n"):format(version()))
  local ask = [[print(require("stoke").agent { model = "qwen2.5:3b" }:run("What is 17 * 23?").text)]]
  t.contains(inside(t, root, ("cd /tmp && stoke -e '%s' --sim"):format(ask)), "not a language model. You wrote")
  t.contains(inside(t, root, "cd /tmp && stoke /usr/share/doc/stoke/examples/hello.lua --sim"), "count_letter returned 3.")
  t.eq(inside(t, root, "dpkg --verify stoke"), "")
  inside(t, root, "dpkg --purge stoke")
  t.eq(files(t, root), before)
  t.eq(inside(t, root, "dpkg -s stoke 2>/dev/null | grep -c Status || true"), "0\n")
end)

test("deb: lintian finds nothing", REAL, function(t)
  if not there "lintian" then t.skip "lintian is not here" end
  run(t, { "make", "--no-print-directory", "BUILD=" .. BUILD, "deb" },
    { env = { PATH = os.getenv "PATH", HOME = os.getenv "HOME", DEBEMAIL = "stoke@stoke.invalid" } })
  local home <close> = peers.home()
  run(t, { "sh", "-c", 'cp "$0"/stoke_*.deb "$1"/', BUILD, home.path })
  local found = run(t, { "sh", "-c", 'lintian --allow-root "$0"/stoke_*.deb', home.path })
  t.eq(found, "")
end)
