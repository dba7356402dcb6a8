-- libstoke, installed and found by pkg-config, as a packager and a C programmer do it.
local proc = require "stoke.proc"
local test = require "stoke.test"

local BUILD = os.getenv "STOKE_BUILD" or "build"

local function run(t, argv, env)
  local r = proc.run { argv = argv, env = env, stderr = "merge", timeout = 600 }
  t.ok(r.code == 0, table.concat(argv, " ") .. "\n" .. r.stdout)
  return r.stdout
end

test("libstoke: installed, its example builds by pkg-config and runs", { real = true, timeout = 900 }, function(t)
  local root = run(t, { "mktemp", "-d" }):gsub("\n$", "")
  local prefix = root .. "/usr"
  run(t, { "make", "--no-print-directory", "BUILD=" .. BUILD, "PREFIX=" .. prefix, "install-lib" })
  local flags = run(t, { "pkg-config", "--cflags", "--libs", "stoke" }, { PKG_CONFIG_PATH = prefix .. "/lib/pkgconfig" })
  local argv = { "cc", "-o", root .. "/ask", prefix .. "/share/doc/stoke/embedding.c" }
  for word in flags:gmatch "%S+" do argv[#argv + 1] = word end
  run(t, argv)
  local said = run(t, { root .. "/ask", "--sim", "What is 17 * 23?" }, { LD_LIBRARY_PATH = prefix .. "/lib" })
  t.match(said, "391")
  t.eq(run(t, { "sh", "-c", "nm -D --defined-only \"$0\" | grep ' T ' | grep -cv ' stoke_' || true",
    prefix .. "/lib/libstoke.so" }), "0\n")
  run(t, { "make", "--no-print-directory", "BUILD=" .. BUILD, "PREFIX=" .. prefix, "uninstall" })
  t.eq(run(t, { "find", prefix, "!", "-type", "d" }), "")
  run(t, { "rm", "-r", root })
end)
