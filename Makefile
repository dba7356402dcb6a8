# stoke. `make help` lists the targets; everything generated goes below $(BUILD).
#
#   make BUILD=elsewhere     another build directory         make V=1        show the commands
#   make WERROR=1            warnings are errors             make BYTECODE=0 embed the Lua sources as text alone
#   make BARE=1              embed them without comments, too: small, and `stoke help` has nothing to say
#   make DLOPEN=0            link libcurl, libmicrohttpd, libcrypto and libsqlite3, for packages and static builds (below)

# ---- settings -------------------------------------------------------------------------------------------------------

BUILD    ?= build
PREFIX   ?= /usr/local
DESTDIR  ?=
CFLAGS   ?= -O2 -g
BYTECODE ?= 1
JOBS     ?= $(shell nproc 2>/dev/null || echo 2)

FUZZ_SECONDS ?= 30
TESTS        ?= tests/lua tests/law tests/live tests/campaign
NPM          ?= $(BUILD)/npm

WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith \
           -Wwrite-strings -Wundef -Wformat=2 -Werror=implicit $(if $(WERROR),-Werror)

# EXTRA is added to compile and link lines alike; the hostile builds below set it.
EXTRA ?=

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:

ifeq ($(V),)
  quiet = @printf '  %-5s %s\n' '$(1)' '$(2)';
endif

# A make of its own, so that packages installed a moment ago are seen; parallel unless told otherwise.
again = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))

# ---- libraries: asked of pkg-config; Lua must be 5.4, by whatever name --------------------------------------------

PKG_CONFIG ?= pkg-config
hash       := \#
comma      := ,

LUA := $(shell for name in lua5.4 lua-5.4 lua54 lua; do \
         flags=$$($(PKG_CONFIG) --cflags $$name 2>/dev/null) || continue; \
         version=$$(printf '$(hash)include <lua.h>\nLUA_VERSION_NUM\n' | $(CC) $$flags -E -P - 2>/dev/null | tail -n 1); \
         if [ "$$version" = 504 ]; then echo $$name; break; fi; \
       done)
# Those of LAZY are opened when they are first needed (host/loop/library.h): with what they need in turn they are 60 % of a start. The
# binary then does not name them, so that tools which read its dependencies, as those that make packages, miss them: a package says
# DLOPEN=0, which links them, or depends on them by hand. A static build links them, too, and so does a system that is no Linux, because
# their sonames are others there.
ifndef DLOPEN
  DLOPEN := $(if $(filter Linux,$(shell uname -s)),1,0)
endif
LAZY      = libcurl libmicrohttpd libcrypto sqlite3
LIBRARIES = $(LUA) libuv $(LAZY)

# In a plain := these run once; they are empty, quietly, while the packages are still missing.
LIB_CFLAGS := $(if $(LUA),$(shell $(PKG_CONFIG) --cflags $(LIBRARIES) 2>/dev/null))
LIB_LIBS   := $(if $(LUA),$(shell $(PKG_CONFIG) --libs $(LUA) libuv $(if $(filter 0,$(DLOPEN)),$(LAZY)) 2>/dev/null))
ifeq ($(DLOPEN),0)
  LIB_CFLAGS += -DSTOKE_LINKED
endif
LUA_CFLAGS := $(if $(LUA),$(shell $(PKG_CONFIG) --cflags $(LUA) 2>/dev/null))
LUA_LIBS   := $(if $(LUA),$(shell $(PKG_CONFIG) --libs $(LUA) 2>/dev/null))

# Without it the sandbox of child processes has one fence less, and says so.
ifneq ($(shell $(PKG_CONFIG) --exists libseccomp 2>/dev/null && echo yes),)
  LIB_CFLAGS += -DHAVE_SECCOMP $(shell $(PKG_CONFIG) --cflags libseccomp)
  LIB_LIBS   += $(shell $(PKG_CONFIG) --libs libseccomp)
endif

# Engines of queues: without one, its URL says so.
ifneq ($(shell $(PKG_CONFIG) --exists libnats 2>/dev/null && echo yes),)
  LIB_CFLAGS += -DHAVE_NATS $(shell $(PKG_CONFIG) --cflags libnats)
  LIB_LIBS   += $(if $(filter 0,$(DLOPEN)),$(shell $(PKG_CONFIG) --libs libnats))
endif
ifneq ($(shell $(PKG_CONFIG) --exists libpq 2>/dev/null && echo yes),)
  LIB_CFLAGS += -DHAVE_LIBPQ $(shell $(PKG_CONFIG) --cflags libpq)
  LIB_LIBS   += $(if $(filter 0,$(DLOPEN)),$(shell $(PKG_CONFIG) --libs libpq))
endif

COMPILE = $(CC) -std=gnu11 -D_GNU_SOURCE -fno-omit-frame-pointer -pthread $(WARNINGS) $(CPPFLAGS) $(CFLAGS) $(EXTRA) \
          -iquote host $(LIB_CFLAGS) -MMD -MP
# liblua is shared and our symbols are exported: C modules such as cjson.so find lua_* in the process.
LINK    = $(CC) $(CFLAGS) $(EXTRA) $(LDFLAGS) -pthread -rdynamic
LIBS    = $(LIB_LIBS) -lm -ldl

# ---- the binary -----------------------------------------------------------------------------------------------------

BIN         := $(BUILD)/stoke
EMBED_SRC   := $(addprefix host/embed/,generate.c strip.c bare.c)
HOST_SRC    := $(filter-out $(EMBED_SRC),$(wildcard host/*.c host/*/*.c))
HOST_OBJ    := $(HOST_SRC:%.c=$(BUILD)/obj/%.o)
ENGINE_OBJ  := $(filter-out $(BUILD)/obj/host/main.o,$(HOST_OBJ)) $(BUILD)/obj/embed.o
ENGINES     := $(BUILD)/libstoke.a
LUA_SRC     := $(shell find lua stdlib -name '*.lua' 2>/dev/null | LC_ALL=C sort)
PAGE_SRC    := $(shell find stdlib -name '*.html' -o -name '*.css' -o -name '*.js' | LC_ALL=C sort)
DOC_SRC     := docs/guide.md $(PAGE_SRC)

.PHONY: all
all: $(BIN) ## build the binary, build/stoke

$(BIN): $(HOST_OBJ) $(BUILD)/obj/embed.o
	$(call quiet,LD,$@)$(LINK) -o $@ $^ $(LIBS)

# Everything but main(): C tests and fuzz targets take all of it, benchmarks only what they name.
$(ENGINES): $(ENGINE_OBJ)
	$(call quiet,AR,$@)rm -f $@ && $(AR) rcs $@ $^

# For programs of others (host/api/stoke.h): all but main(), of which only stoke_* can be seen. Its objects are a build of their own.
SOVERSION := 0

.PHONY: lib
lib: ## build libstoke, for C programs: build/libstoke.so
	@.ci/packages build
	+@$(again) BUILD='$(BUILD)/pic' EXTRA='$(EXTRA) -fPIC' OUT='$(BUILD)' '$(BUILD)/pic/lib'

$(BUILD)/lib: $(ENGINE_OBJ) host/api/stoke.map
	@mkdir -p '$(OUT)'
	$(call quiet,LD,$(OUT)/libstoke.so)$(CC) $(CFLAGS) $(EXTRA) $(LDFLAGS) -pthread -shared -Wl,-soname,libstoke.so.$(SOVERSION) \
	  -Wl,--version-script=host/api/stoke.map -o '$(OUT)/libstoke.so.$(SOVERSION)' $(ENGINE_OBJ) $(LIBS)
	@ln -sf libstoke.so.$(SOVERSION) '$(OUT)/libstoke.so'
	@touch $@

$(BUILD)/obj/%.o: %.c $(BUILD)/flags | $(BUILD)/libraries
	@mkdir -p $(@D)
	$(call quiet,CC,$<)$(COMPILE) -c -o $@ $<

# An optional library that came or went changes them, and all is compiled again.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(LIB_CFLAGS)' | cmp -s - $@ || echo '$(LIB_CFLAGS)' >$@

# Tells a missing library by name, once, instead of a page of compiler errors.
$(BUILD)/libraries:
	@mkdir -p $(@D)
	@test -n '$(LUA)' || { echo 'stoke: no Lua 5.4 found by $(CC) and $(PKG_CONFIG); try: make packages' >&2; exit 1; }
	@$(PKG_CONFIG) --print-errors --exists $(LIBRARIES) || { echo 'stoke: try: make packages' >&2; exit 1; }
	@echo $(LIBRARIES) >$@

# ---- the Lua sources, inside the binary ----------------------------------------------------------------------------

# A program of the machine that builds: a cross build (packaging/arm64.sh) names one that is made already.
GENERATE ?= $(BUILD)/generate

$(BUILD)/generate: $(EMBED_SRC) host/embed/strip.h host/embed/bare.h | $(BUILD)/libraries
	$(call quiet,CC,$<)$(CC) -std=gnu11 $(WARNINGS) -O1 $(LUA_CFLAGS) -o $@ $(filter %.c,$^) $(LUA_LIBS)

# The list changes when a file comes or goes; its time only when it changed.
$(BUILD)/embed.list: FORCE
	@mkdir -p $(@D)
	@echo '$(LUA_SRC) $(PAGE_SRC)' | cmp -s - $@ || echo '$(LUA_SRC) $(PAGE_SRC)' >$@

$(BUILD)/embed.c: $(GENERATE) $(BUILD)/embed.list $(LUA_SRC) $(DOC_SRC)
	$(call quiet,EMBED,$(words $(LUA_SRC)) Lua files)$(GENERATE) $(if $(WERROR),--strict) \
	  $(if $(BARE),--bare,$(if $(filter 0,$(BYTECODE)),--text)) $(LUA_SRC) $(DOC_SRC) >$@

$(BUILD)/obj/embed.o: $(BUILD)/embed.c host/embed/embed.h
	@mkdir -p $(@D)
	$(call quiet,CC,$<)$(CC) -std=gnu11 $(EXTRA) -iquote host -c -o $@ $<

.PHONY: FORCE
FORCE:

# ---- the two commands ------------------------------------------------------------------------------------------------

.PHONY: packages run test
packages: ## install the packages the build needs (Debian; elsewhere: print their names)
	@.ci/packages build

run: ## install what is missing, build, and run an agent: Ollama's model, else the simulator
	@.ci/packages build
	+@$(again) all
	@$(BIN) agents/hello.lua --sim=auto

test: ## install what tests need, build, and run every test
	@.ci/packages build test
	+@$(again) tests
	+@$(again) npm
	@$(RUN_TESTS)

# ---- tests: C tests and lints are run by tests/lua/test_c.lua and test_lint.lua, so that one line counts them all ----

TEST_ENV  = STOKE_BIN='$(BIN)' STOKE_BUILD='$(BUILD)' STOKE_NPM='$(NPM)'
RUN_TESTS = $(TEST_ENV) $(BIN) test --internal $(TESTS)

C_TESTS   := $(patsubst tests/c/%.c,$(BUILD)/c/%,$(wildcard tests/c/*.c))
PEER      := $(patsubst tests/peers/%.c,$(BUILD)/%,$(wildcard tests/peers/*.c)) $(BUILD)/probe $(BUILD)/embedding
TLS_LIBS   = $(shell $(PKG_CONFIG) --libs openssl libuv)

.PHONY: tests npm
tests: all $(PEER) $(C_TESTS)

$(BUILD)/c/%: $(BUILD)/obj/tests/c/%.o $(ENGINE_OBJ)
	@mkdir -p $(@D)
	$(call quiet,LD,$@)$(LINK) -o $@ $^ $(LIBS)

$(BUILD)/peer: $(BUILD)/obj/tests/peers/peer.o
	$(call quiet,LD,$@)$(LINK) -o $@ $^ $(TLS_LIBS)

$(BUILD)/pty $(BUILD)/random: $(BUILD)/%: $(BUILD)/obj/tests/peers/%.o
	$(call quiet,LD,$@)$(LINK) -o $@ $^

# The example of libstoke, linked with its objects instead: the library is a build of its own (make lib).
$(BUILD)/embedding: $(BUILD)/obj/docs/embedding.o $(ENGINE_OBJ)
	$(call quiet,LD,$@)$(LINK) -o $@ $^ $(LIBS)

$(BUILD)/obj/docs/embedding.o: CPPFLAGS += -Ihost/api

# It stands for any program: no sanitizer of ours in it, and no library of ours.
$(BUILD)/probe: $(wildcard tests/peers/probe/*.[ch])
	@mkdir -p $(@D)
	$(call quiet,CC,$@)$(CC) -std=gnu11 -D_GNU_SOURCE -O1 -g $(filter -W%,$(ALL_CFLAGS)) -o $@ $(filter %.c,$^) -pthread

# The official JavaScript client, once; afterwards no network is needed. Its test says so when it is not there.
npm:
	@[ -f '$(NPM)/node_modules/ollama/package.json' ] || ! command -v npm >/dev/null || { \
	  mkdir -p '$(NPM)' && echo '  NPM   ollama' && \
	  npm install --prefix '$(NPM)' --no-audit --no-fund --loglevel=error --fetch-retries=1 --fetch-timeout=15000 \
	    ollama@0.6 >'$(NPM)/install.log' 2>&1 || \
	  echo 'npm: the ollama package could not be fetched (see $(NPM)/install.log); its test will be skipped'; }

# The clients and servers of others, against ours: not part of `make test`, which needs no network.
PEERS ?= $(BUILD)/peers

.PHONY: peers
peers: ## fetch programs of others (npm, PyPI, Go) once, into build/peers, and run them against `stoke serve`, `stoke mcp` and traces
	@.ci/packages build test peers
	+@$(again) all
	@sh tests/clients/install.sh '$(PEERS)'
	@$(TEST_ENV) STOKE_PEERS='$(PEERS)' $(BIN) test --internal --patience 1200 tests/clients

# ---- durable runs, killed: make test has the small form ----------------------------------------------------------------

.PHONY: campaign
campaign: ## kill durable programs N times (10000), power cuts, damaged files: SEED=1 repeats, the figures are in build/campaign.txt
	@.ci/packages build test
	+@$(again) tests
	@N=$(or $(N),10000) CUTS=$(or $(CUTS),2000) MUTATIONS=$(or $(MUTATIONS),10000) SEED=$(or $(SEED),1) $(TEST_ENV) \
	  $(BIN) test --internal --patience 36000 tests/campaign
	@tail -n 12 $(BUILD)/campaign.txt

# ---- hostile builds: the same suite, each in a directory of its own -------------------------------------------------

SANITIZE = -O1 -g -fno-omit-frame-pointer
variant  = $(again) BUILD='$(BUILD)/$(1)' NPM='$(NPM)' EXTRA='$(2)' BYTECODE=$(BYTECODE)
in       = STOKE_BIN='$(BUILD)/$(1)/stoke' STOKE_BUILD='$(BUILD)/$(1)' STOKE_NPM='$(NPM)'

ASAN_ENV = ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99 UBSAN_OPTIONS=print_stacktrace=1:exitcode=99 \
           LSAN_OPTIONS=exitcode=99

.PHONY: asan tsan valgrind gcstress oom fuzz cov
# ThreadSanitizer of gcc 12 cannot live with the wide address randomisation of newer kernels.
FIXED = $(shell setarch -R true 2>/dev/null && echo setarch -R)

asan: ## the suite under AddressSanitizer and UBSan
	@.ci/packages build test
	+@$(call variant,asan,-fsanitize=address$(comma)undefined -fno-sanitize-recover=all $(SANITIZE)) tests
	+@$(again) npm
	@$(ASAN_ENV) STOKE_SCALE=0.2 $(call in,asan) $(BUILD)/asan/stoke test --internal $(TESTS)

# Lua's jumps are invisible to it, so that its own call stacks grow with every yield: hence the small scale.
tsan: ## the suite under ThreadSanitizer
	@.ci/packages build test
	+@$(call variant,tsan,-fsanitize=thread $(SANITIZE)) tests
	@TSAN_OPTIONS=exitcode=99 STOKE_SCALE=0.02 $(call in,tsan) $(FIXED) $(BUILD)/tsan/stoke test --internal $(TESTS)

# It knows neither Landlock nor a process that may do next to nothing: the helpers run without it.
valgrind: ## the suite, scaled down, under valgrind
	@.ci/packages build test check
	+@$(call variant,valgrind,-gdwarf-4 -O1 -DMEM_POOLED=0) tests
	@STOKE_SCALE=0.02 $(call in,valgrind) valgrind -q --error-exitcode=99 --leak-check=full \
	  --show-leak-kinds=definite --errors-for-leak-kinds=definite --trace-children=yes \
	  --trace-children-skip='*/node,*/npm,*/sh,*/bash,*/lua5.4,*/luacheck,*/openssl,/usr/bin/*,/bin/*' \
	  --trace-children-skip-by-arg='--exec-helper,--lua-eval' \
	  $(BUILD)/valgrind/stoke test --internal $(TESTS)

gcstress: ## the suite with a full collection at every turn of the pump, under AddressSanitizer
	@.ci/packages build test
	+@$(call variant,asan,-fsanitize=address$(comma)undefined -fno-sanitize-recover=all $(SANITIZE)) tests
	@$(ASAN_ENV) STOKE_GC=stress STOKE_SCALE=0.05 $(call in,asan) $(BUILD)/asan/stoke test --internal $(TESTS)

oom: ## fail the Nth allocation, N counted up until the run succeeds
	@.ci/packages build test
	+@$(call variant,asan,-fsanitize=address$(comma)undefined -fno-sanitize-recover=all $(SANITIZE)) all
	@$(ASAN_ENV) lua5.4 tests/oom.lua $(BUILD)/asan/stoke

FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))

fuzz: ## each fuzz target for FUZZ_SECONDS (30), and a process asked by random servers
	@.ci/packages build check
	+@$(call variant,fuzz,-fsanitize=fuzzer-no-link$(comma)address$(comma)undefined -fno-sanitize-recover=all $(SANITIZE)) \
	  CC=clang $(FUZZERS:%='$(BUILD)/fuzz/fuzz-%')
	@set -e; for name in $(FUZZERS); do \
	  mkdir -p '$(BUILD)/fuzz/corpus/'$$name; seeds=; [ ! -d tests/fuzz/$$name ] || seeds=tests/fuzz/$$name; \
	  echo "fuzz: $$name, $(FUZZ_SECONDS) s"; \
	  '$(BUILD)/fuzz/fuzz-'$$name -max_total_time=$(FUZZ_SECONDS) -timeout=5 -rss_limit_mb=1024 -verbosity=0 \
	    -print_final_stats=1 -artifact_prefix='$(BUILD)/fuzz/'$$name- '$(BUILD)/fuzz/corpus/'$$name $$seeds; \
	done; echo "fuzz: $(words $(FUZZERS)) targets, no finding"
	+@$(call variant,asan,-fsanitize=address$(comma)undefined -fno-sanitize-recover=all $(SANITIZE)) tests
	@$(ASAN_ENV) $(call in,asan) $(BUILD)/asan/stoke tests/fuzz/net.lua --seconds $(FUZZ_SECONDS)

$(BUILD)/fuzz-%: $(BUILD)/obj/tests/fuzz/%.o $(ENGINE_OBJ)
	$(call quiet,LD,$@)$(LINK) -fsanitize=fuzzer -o $@ $^ $(LIBS)

cov: ## line and branch coverage of the C side
	@.ci/packages build test check
	+@$(call variant,cov,--coverage -O0) tests
	@find '$(BUILD)/cov' -name '*.gcda' -delete
	@STOKE_SCALE=0.2 $(call in,cov) $(BUILD)/cov/stoke test --internal $(TESTS)
	@gcovr -r . --object-directory '$(BUILD)/cov' -f host/ --print-summary

# ---- figures, lints, the rest ---------------------------------------------------------------------------------------

BENCH := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))

.PHONY: bench lint format hooks docs man clean help
bench: ## the figures, beside a bare C client in the same run
	@.ci/packages build bench
	+@$(again) all $(BENCH)
	@BENCH='$(BUILD)/bench' STOKE_BIN='$(BIN)' sh tests/bench/run.sh

$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(ENGINES)
	@mkdir -p $(@D)
	$(call quiet,LD,$@)$(LINK) -Wl,--no-as-needed -o $@ $^ $(LIBS)

$(BUILD)/bench/client $(BUILD)/bench/hold: LIBS += $(shell $(PKG_CONFIG) --libs libcurl)
$(BUILD)/bench/mhd: LIBS += $(shell $(PKG_CONFIG) --libs libmicrohttpd)
$(BUILD)/bench/pg: LIBS += $(shell $(PKG_CONFIG) --libs libpq 2>/dev/null)
$(BUILD)/bench/nats: LIBS += $(shell $(PKG_CONFIG) --libs libnats 2>/dev/null)
$(BUILD)/bench/store: LIBS += $(shell $(PKG_CONFIG) --libs sqlite3)

lint: ## luacheck, layers, sizes, words
	@.ci/packages test
	@lua5.4 tests/lint/run.lua

format: ## clang-format on the C sources
	@.ci/packages check
	clang-format -i $(wildcard host/*.[ch] host/*/*.[ch] tests/*/*.[ch] tests/*/*/*.[ch])

hooks: ## run the lints before each commit
	@ln -sf ../../tests/lint/pre-commit "$$(git rev-parse --git-dir)/hooks/pre-commit"

docs: $(BUILD)/reference.md ## make the reference, build/reference.md, from the comments in the sources
$(BUILD)/reference.md: $(BIN)
	$(call quiet,DOC,$@)$(BIN) -e 'io.write(require("stoke.doc").reference())' >$@

man: $(BUILD)/stoke.1 $(BUILD)/stoke.3 ## make the manual pages, build/stoke.1 and build/stoke.3
$(BUILD)/stoke.1 $(BUILD)/stoke.3: $(BUILD)/stoke.%: $(BIN)
	$(call quiet,MAN,$@)$(BIN) -e 'io.write(require("stoke.doc").man($*))' >$@

include packaging/release.mk

clean: ## remove what was built
	rm -rf '$(BUILD)'

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' Makefile packaging/release.mk

-include $(HOST_OBJ:.o=.d) $(wildcard $(BUILD)/obj/tests/*/*.d)
