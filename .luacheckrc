std = "lua54"
max_line_length = 132
self = false
codes = true
cache = false
ignore = {
  "212/_.*", -- unused argument whose name begins with an underscore
  "213/_.*", -- the same for loop variables
  "214",     -- used variable with such a name
  "211/scope", "211/guard", "211/server", "211/permit", "211/undo", "211/gone", -- to-be-closed variables: holding them is their use
  "581",     -- not (x > 0) is true of NaN, x <= 0 is not
}
files["lua/embedder.lua"] = { globals = { "pcall", "xpcall", "coroutine" } }
files["lua/boot.lua"] = { globals = { "pcall", "xpcall", "coroutine" } }
exclude_files = { "build", "**/npm" }
