-- Commands that must never start a process under the rules below. A string is one line, a table is argv. What each would do, if
-- it did anything, is make a file named canary (or read what is not its business).

local M = {}

--- The rules they meet: every program here is harmless, and allowed in some form.
M.allow = { "ls", "ls -l *", "cat *", "git status", "git diff *", "git log --oneline *", "make test", "make *", "grep -n *", "wc -l *",
  "sort *", "find * ", "touch safe" }

M.commands = {
  -- shell syntax in one line
  "ls | touch canary", "ls|touch canary", "ls || touch canary", "ls && touch canary", "ls; touch canary", "ls;touch canary",
  "ls & touch canary", "ls &", "ls > canary", "ls >canary", "ls>canary", "ls >> canary", "ls 2> canary", "ls 2>&1", "ls &> canary",
  "ls >| canary", "cat < canary", "cat <<EOF", "cat <<< canary", "cat <(touch canary)", "ls >(touch canary)", "ls $(touch canary)",
  "ls `touch canary`", "ls ${HOME}", "ls $HOME", "ls $PATH", "ls $((1+1))", "ls \"$(touch canary)\"", "ls \"`touch canary`\"",
  "ls \"$HOME\"", "ls *", "ls *.c", "cat ?", "cat [a-z]", "ls ~", "ls ~root", "cat ~/.ssh/id_rsa", "ls {a,b}(", "(touch canary)",
  "{ touch canary; }", "( ls )", "!ls", "! ls", "# ls", "ls #\ntouch canary", "ls\ntouch canary", "ls\r\ntouch canary",
  "ls\rtouch canary", "ls \\\n touch canary", "ls\\;touch canary", "ls \\$HOME", "touch\\ canary", "\\ls -l x\\;y", "ls |& touch canary",
  "ls ;; touch canary", "if true; then touch canary; fi", "for f in a; do touch canary; done", "while :; do touch canary; done",
  "function f { touch canary; }; f", "f(){ touch canary; };f", ":(){ :|:& };:", "eval touch canary", "exec touch canary",
  "command touch canary", "builtin echo x", "source canary", ". ./canary", "coproc touch canary", "time touch canary",
  "trap 'touch canary' EXIT", "alias ls=touch", "set -e", "cd / && ls", "cd ..", "export X=1", "unset PATH", "ls\ttouch;canary",
  "ls 'unclosed", "ls \"unclosed", "ls \"un\\\"closed", "'ls", "\"", "'", "ls $'\\x3b'touch", "ls $\"x\"", "ls ^canary>x",
  -- assignments before and after
  "PATH=. ls", "LD_PRELOAD=./evil.so ls", "X=1 ls", "BASH_ENV=canary ls", "IFS=x ls", "_=x ls", "GIT_PAGER='touch canary' git diff",
  "X+=1 ls", "GIT_SSH_COMMAND=touch git status", "PAGER=touch git log --oneline", "env X=1 ls", "env", "make SHELL=./evil test",
  "make CC=./evil", "make test SHELL=./evil", "make MAKEFLAGS=--eval=x", "make X:=1", "make X?=1", "make X!=touch", "make X+=1",
  "make X::=1", "make .SHELLFLAGS=-c SHELL=./evil",
  -- programs that run programs
  "sh", "sh -c 'touch canary'", "bash -c 'touch canary'", "bash", "dash -c x", "zsh -c x", "busybox sh", "busybox touch canary",
  "env touch canary", "env -S 'touch canary'", "xargs touch", "nice touch canary", "nohup touch canary", "timeout 1 touch canary",
  "setsid touch canary", "stdbuf -o0 touch canary", "sudo touch canary", "su -c 'touch canary'", "doas touch canary",
  "chroot . touch canary", "unshare touch canary", "nsenter -t 1 touch canary", "strace touch canary", "gdb -ex 'shell touch canary'",
  "python3 -c 'open(\"canary\",\"w\")'", "python3", "perl -e 'open F,q{>canary}'", "ruby -e 'x'", "node -e 'x'", "lua -e 'x'",
  "php -r x", "awk 'BEGIN{system(\"touch canary\")}'", "gawk 'BEGIN{x}'", "sed -n '1e touch canary' safe", "sed -i s/a/b/ safe",
  "sed 'w canary' safe", "ed safe", "vim -c ':!touch canary'", "vi safe", "less safe", "man ls", "tclsh", "expect -c x",
  "tar -cf x --to-command=touch x", "tar cf x --checkpoint=1 --checkpoint-action=exec=touch canary", "tar xf x", "zip x -T -TT touch",
  "ssh localhost touch canary", "scp a b:c", "rsync -e 'touch canary' a b:", "nc -e sh 127.0.0.1 1", "curl file:///etc/passwd",
  "wget http://127.0.0.1/", "at now", "batch", "crontab -e", "docker run x", "systemctl start x", "script -c 'touch canary'",
  "watch touch canary", "parallel touch canary", "flock x touch canary", "run-parts .", "ld.so ./evil", "/lib64/ld-linux-x86-64.so.2 ls",
  "screen -dm touch canary", "tmux new touch canary", "npx x", "npm exec x", "pip install x", "go run x", "gcc -wrapper touch,canary x.c",
  "rm -rf .", "mv safe canary", "cp safe canary", "ln -s / canary", "dd of=canary", "tee canary", "touch canary", "mkdir canary",
  "install safe canary", "truncate -s 1 canary", "mkfifo canary", "kill -9 1", "reboot", "mount x y", "stoke -e x",
  -- options of allowed programs
  "git -c core.pager='touch canary' log --oneline", "git -c core.pager=touch status", "git --exec-path=. status",
  "git -C / status", "git --git-dir=evil status", "git --work-tree=/ status", "git -p status", "git --config-env=x=y status",
  "git status --porcelain", "git status --ignored -z", "git diff --ext-diff", "git diff --output=canary", "git diff -O/etc/passwd",
  "git diff --no-index /etc/passwd safe", "git diff --textconv", "git diff -- safe", "git log", "git log --oneline --output=canary",
  "git log --oneline -p --ext-diff", "git log -1 --oneline", "git push", "git commit -m x", "git clone ext::touch canary",
  "git config alias.x '!touch canary'", "git x", "git submodule foreach touch canary", "git bisect run touch canary",
  "git rebase -x 'touch canary'", "git grep -Otouch x", "git archive --remote=x", "git ls-remote --upload-pack=touch x", "git",
  "git diff /etc/passwd", "git diff ../x", "git diff a/../../x", "git diff ~/x", "git status x", "git  -c x=y  diff",
  "find . -exec touch canary {} +", "find . -delete", "find . -execdir touch canary", "find . -ok touch canary", "find . -fprint canary",
  "find . -fprintf canary x", "find . -fls canary", "find / -name x", "find .. -name x", "find -files0-from canary",
  "sort -o canary safe", "sort --output=canary safe", "sort --compress-program=touch safe", "sort -T / safe", "sort --files0-from=x",
  "grep -f /etc/passwd x", "grep -n -f x", "grep -n --file=/etc/passwd x", "grep x /etc/passwd", "grep -n x /etc/passwd",
  "grep -n x ../secret", "grep -rn x", "wc -l --files0-from=x", "wc -l /etc/passwd", "wc safe", "cat /etc/passwd", "cat ../secret",
  "cat a/../../secret", "cat ..", "cat -A safe", "cat -- -x", "cat -", "cat /proc/self/environ", "cat ~/secret", "ls -la", "ls -l /",
  "ls -l ..", "ls -R", "ls -lR /", "ls /", "ls safe", "ls --color=always", "ls -l --hyperlink", "make -f evil", "make --eval=x",
  "make -C / test", "make test -j", "make -n test", "make --file=evil", "make /etc/x", "make ../x", "make -", "touch safe canary",
  "touch canary safe", "touch safe -r x",
  -- names that only look allowed
  "./ls", "/bin/ls", "/usr/bin/ls", "./canary.sh", "bin/../ls", "ls/../sh", "../ls", "LS", "Ls", "ls.exe", "ls\\", "l's' | x", "gitstatus",
  "git_status", "git-status", "git\u{A0}status", "git\u{2003}status", "ls\u{200B}", "ls\u{FEFF}", "\u{FEFF}ls", "ls\u{202E}x", "ls\u{3000}-l",
  "ｌｓ", "lѕ", "ls\u{2028}touch canary", "ls\u{85}touch canary", "", " ", "\t", "''", "\"\"", "'' ls", "'ls '", "' ls'", "'git status'",
  "'make test'", "ls\0", "ls\0 touch canary", "ls\v-l", "ls\f-l", "ls\27[0m", "ls\127", "\8ls", "-ls", "--", "-c ls", "@ls", "%ls", "=ls",
  "file:///bin/ls", "ls:touch", "ls,touch", "%2Fbin%2Fls", "&#108;s", "\\x6c\\x73", "ls" .. (" a"):rep(300), "cat " .. ("x"):rep(70000),
  -- lists of words
  {}, { "" }, { " " }, { "", "ls" }, { "ls", "" , "|" }, { "ls", "|", "touch", "canary" }, { "cat", "safe", "|", "sh" },
  { "cat", "safe", ">", "canary" }, { "cat", "safe", ">canary" }, { "cat", "safe", "2>canary" }, { "cat", "safe", "&&", "touch", "canary" },
  { "cat", "safe", ";", "touch", "canary" }, { "cat", "$(touch canary)" }, { "cat", "`touch canary`" }, { "cat", "${IFS}" },
  { "cat", "a\nb" }, { "cat", "a\rb" }, { "cat", "a\0b" }, { "cat\0", "safe" }, { "ls\0" }, { "cat", "\27[2J" }, { "cat", "a\u{202E}b" },
  { "cat", "\u{A0}" }, { "cat", "-" }, { "cat", "--", "safe" }, { "cat", "-n", "safe" }, { "cat", "/etc/shadow" }, { "cat", "//etc/shadow" },
  { "cat", "./../secret" }, { "cat", "x/.." }, { "cat", ".." }, { "cat", "~" }, { "cat", "~root/x" }, { "cat", "A=1" }, { "cat", "A+=1" },
  { "LD_PRELOAD=x", "ls" }, { "env", "ls" }, { "sh", "-c", "ls" }, { "ls -l" , "x" }, { "ls;touch canary" }, { "ls|touch canary" },
  { "ls && touch canary" }, { "touch canary" }, { "git status; touch canary" }, { "git", "-c", "core.pager=touch canary", "log", "--oneline" },
  { "git", "status", "--short" }, { "git", "diff", "--output=canary" }, { "git", "diff", "-O", "x" }, { "git", "--exec-path=.", "diff" },
  { "git", "diff", "--ext-diff" }, { "git", "log", "--oneline", "--output", "canary" }, { "git", "upload-pack", "." }, { "GIT", "status" },
  { "git ", "status" }, { " git", "status" }, { "git", " status" }, { "git", "status " }, { "git", "Status" }, { "git", "", "status" },
  { "make", "test", "SHELL=./evil" }, { "make", "SHELL=./evil" }, { "make", "--eval", "x" }, { "make", "-f", "-" },
  { "find", "safe", "-exec", "touch", "canary", ";" }, { "find", "safe", "-delete" }, { "find", "(", "-exec", "touch", "canary", ")" },
  { "sort", "-o", "canary", "safe" }, { "sort", "--compress-program", "touch", "safe" }, { "sort", "-ocanary" },
  { "./cat", "safe" }, { "/bin/cat", "safe" }, { "/usr/bin/../bin/cat", "safe" }, { "cat/", "safe" }, { "bin/cat", "safe" },
  { "touch", "safe", "canary" }, { "touch", "canary" }, { "touch", "./safe" }, { "safe" }, { "./safe" }, { "*" }, { "**" },
  { "ls", "*" }, { "ls", "**" }, { "exec", "ls" }, { "cat", ("x"):rep(70000) },
}

local many = { "cat" }
for i = 2, 300 do many[i] = "a" end
M.commands[#M.commands + 1] = many

return M
