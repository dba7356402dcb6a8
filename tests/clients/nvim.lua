-- What a Neovim does for test_nvim.lua, without a screen: it opens a text, asks the server for completions, types, and writes
-- what it got into a file.

-- luacheck: globals vim

local stoke, agent, out = vim.env.CHECK_STOKE, vim.env.CHECK_AGENT, vim.env.CHECK_OUT
local said = {}

local function say(...) said[#said + 1] = table.concat({ ... }, " ") end

local function done()
  vim.fn.writefile(said, out)
  vim.cmd "qall!"
end

local function ask(method)
  local answers = vim.lsp.buf_request_sync(0, method, vim.lsp.util.make_position_params(0, "utf-16"), 10000)
  return answers and select(2, next(answers)) or {}
end

local ok, err = pcall(function()
  local id = vim.lsp.start_client { name = "stoke", root_dir = vim.fn.getcwd(),
    cmd = { stoke, "lsp", agent, "--sim=tests/agents/complete.lua", "--wait", "0.01" } }
  vim.cmd "enew"
  vim.cmd "file add.py"
  vim.bo.filetype = "python"
  vim.api.nvim_buf_set_lines(0, 0, -1, false, { "# é 😀", "def add(a, b):", "    return" })
  vim.lsp.buf_attach_client(0, id)
  local function there() return vim.lsp.buf_get_clients(0)[id] ~= nil and vim.lsp.get_client_by_id(id).initialized end
  assert(vim.wait(10000, there, 20), "the server did not start")
  vim.bo.omnifunc = "v:lua.vim.lsp.omnifunc"
  vim.api.nvim_win_set_cursor(0, { 3, 10 })

  local inline = ask "textDocument/inlineCompletion"
  say("inline", vim.inspect(inline.result and inline.result.items[1].insertText))

  -- Typing: Neovim tells what has changed, by ranges.
  vim.api.nvim_buf_set_text(0, 2, 10, 2, 10, { " a" })
  vim.api.nvim_win_set_cursor(0, { 3, 12 })
  vim.wait(300)
  local plain = ask "textDocument/completion"
  say("completion", vim.inspect(plain.result and plain.result.items[1].textEdit.newText))

  vim.cmd "bwipeout!"
  vim.lsp.stop_client(id)
  local function gone() return vim.lsp.get_client_by_id(id) == nil or vim.lsp.get_client_by_id(id).is_stopped() end
  assert(vim.wait(10000, gone, 20), "the server did not stop")
  say "stopped"
end)
if not ok then say("failed", tostring(err)) end
done()
