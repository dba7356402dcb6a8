--- The texts of notes: which files a folder has, and what is in them.
---
--- Links are not followed, and nothing outside of the folder is read. What cannot be read, is no text or is too large is passed
--- over, with the reason.

local combine = require "core.combine"
local errors = require "core.errors"
local fs = require "stoke.fs"
local glob = require "stoke.tools.files.glob"
local leftover = require "core.leftover"
local terms = require "core.text"

local M = {}

--- Endings of files whose lines may be headings of Markdown.
local HEADED = { md = true, markdown = true, mdx = true, mkd = true, txt = true }

--- May lines of this file be headings? Elsewhere `# text` is a comment more often.
---@param name string
---@return boolean
---
--- Example: `assert(read.headed "guide.md" and not read.headed "tool.py")`
function M.headed(name)
  local ending = name:match "[^/.]%.([%w]+)$"
  return ending == nil or HEADED[ending:lower()] == true
end

local function fits_any(path, globs)
  for _, one in ipairs(globs) do
    if glob.fits(path, one) then return true end
  end
  return false
end

--- The files of the database that the notes are kept in.
local function own(self, name)
  local base = self.path:match "([^/]*)$"
  local rest = name:sub(1, #base) == base and name:sub(#base + 1)
  return rest == "" or rest == "-wal" or rest == "-shm" or rest == "-journal"
end

--- Is this entry left out, so that it is not even counted?
local function left_out(self, path, entry)
  local name = entry.name
  if name:find "^%." and not self.hidden or leftover.is_file(name) or own(self, name) then return true end
  if fits_any(path, self.skip) then return true end
  return entry.type ~= "directory" and self.only ~= nil and not fits_any(path, self.only)
end

--- What of the file alone can go wrong; all else is raised.
local OF_FILE = { os = true, denied = true, limit = true }

--- Call a function; where that fails, the error, and why in a few words.
local function attempt(f, path, options)
  local value, err = combine.try(f, path, options)
  if not err then return value end
  if not OF_FILE[err.kind] then error(err, 0) end
  return nil, err, err.message:match ": ([^:]*)$" or err.message
end

--- What says that a file has not changed: size and times. Of one written just now the next write may have the same time: nil.
local function stamp_of(stat, now)
  if stat.mtime > now - 2 then return nil end
  return ("%d %.6f %.6f"):format(stat.size, stat.mtime, stat.ctime)
end

--- A file as an entry.
local function file_of(self, path, now)
  if not utf8.len(path) then return { name = terms.printable(path, 4096), why = "its name is not UTF-8" } end
  local stat, err, why = attempt(fs.stat, path, { root = self.folder, link = true })
  if err then return { name = path, why = why } end
  if not stat or stat.type ~= "file" then return nil end -- gone meanwhile; a link, a device
  local entry = { name = path, path = path, stamp = stamp_of(stat, now) }
  if stat.size > self.max_bytes then
    entry.path, entry.why = nil, ("it has %d bytes, more than max_bytes = %d"):format(stat.size, self.max_bytes)
  end
  return entry
end

--- The files of the folder, in the order of their paths, and all folders.
---@param self stoke.notes
---@param now number seconds since 1970
---@return { name: string, path?: string, stamp?: string, why?: string }[] entries why: it is passed over
---@return string[] folders
---Raises `os` where the folder itself cannot be listed, `limit` for more than max_files, `denied`, `cancelled`.
function M.folder(self, now)
  local entries, folders, open = {}, { self.folder }, { "" }
  while open[1] do
    local above = table.remove(open)
    local list, err, why = attempt(fs.list, above == "" and "." or above, { root = self.folder })
    if err then
      if above == "" then error(err, 0) end
      entries[#entries + 1] = { name = terms.printable(above, 4096) .. "/", why = why }
    end
    for _, entry in ipairs(list or {}) do
      local path = above == "" and entry.name or above .. "/" .. entry.name
      local kind = not left_out(self, path, entry) and entry.type
      if kind == "directory" then
        open[#open + 1], folders[#folders + 1] = path, self.folder .. "/" .. path
      elseif kind == "file" then
        entries[#entries + 1] = file_of(self, path, now)
      end
      if #entries > self.max_files then
        errors.raise("limit", ("%s: it has more than max_files = %d files"):format(self.folder, self.max_files),
          { hint = 'choose some: only = { "*.md" }, or skip = { "build" }' })
      end
    end
  end
  table.sort(entries, function(x, y) return x.name < y.name end)
  return entries, folders
end

--- Is it no text?
local function is_binary(content)
  local sample = content:sub(1, 8192)
  if sample:find("\0", 1, true) then return true end
  local _, broken = terms.valid(sample):gsub("\u{FFFD}", "")
  return broken > 8 and broken > #sample // 5
end

--- The text of an entry.
---@param self stoke.notes
---@param entry table
---@return string|nil text
---@return string|nil why there is none
function M.text(self, entry)
  if entry.why then return nil, entry.why end
  if entry.text then return entry.text end
  local text, err, why = attempt(fs.read, entry.path, { root = self.folder, max = self.max_bytes })
  if err then return nil, why end
  if is_binary(text) then return nil, "it is a binary file" end
  return text
end

return M
