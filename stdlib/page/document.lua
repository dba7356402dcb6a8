--- The page as one HTML document: its parts lie below stdlib/page/ and in the binary, and are put together when it is first asked
--- for. The browser is told their digests, and runs nothing else.

local errors = require "core.errors"
local hash = require "core.hash"
local source = require "core.source"

local M = {}

--- The scripts and the styles, in the order in which they are put together.
local SCRIPTS = { "base", "stream", "zoom", "map", "timeline", "person", "feed", "town", "now", "waterfall", "transcript", "run",
  "runs", "approvals", "main" }
local STYLES = { "page", "host", "runs" }

local function part(name)
  return source.document("page/" .. name) or errors.raise("internal", "the page misses its part " .. name)
end

local function digest(text) return ("'sha256-%s'"):format(hash.base64(hash.sha256(text, true))) end

--- Nothing comes from anywhere else, no frame holds the page, and no text can become script.
local POLICY = "default-src 'none'; script-src %s; style-src %s; connect-src 'self'; img-src data:; base-uri 'none'; "
  .. "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

local function joined(names, ending)
  local out = {}
  for i, name in ipairs(names) do out[i] = part(name .. ending) end
  return table.concat(out)
end

local function make()
  local parts = { style = joined(STYLES, ".css"), script = "\"use strict\";\n(() => {\n" .. joined(SCRIPTS, ".js") .. "})();\n" }
  local html, count = part "page.html":gsub("@(%l+)@", parts)
  if count ~= 2 then errors.raise("internal", "page.html must have one place for the style and one for the script") end
  return { html = html, headers = {
    ["Content-Type"] = "text/html; charset=utf-8", ["Cache-Control"] = "no-store", ["Referrer-Policy"] = "no-referrer",
    ["X-Content-Type-Options"] = "nosniff", ["Cross-Origin-Resource-Policy"] = "same-origin",
    ["Content-Security-Policy"] = POLICY:format(digest(parts.script), digest(parts.style)),
  } }
end

local made

--- The document, and the headers it is sent with.
---@return { html: string, headers: table<string, string> }
---
--- Example: `res:reply(200, document.get().headers, document.get().html)`
function M.get()
  made = made or make()
  return made
end

return M
