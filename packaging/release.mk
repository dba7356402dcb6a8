# Targets that hand stoke on: installed, as an archive, as packages, for other machines. The Makefile includes this file.

# Both stand in host/base.h, and nowhere else.
VERSION = $(shell sed -n 's/^.define STOKE_VERSION "\(.*\)"/\1/p' host/base.h)
DATE    = $(shell sed -n 's/^.define STOKE_DATE "\([^"]*\)".*/\1/p' host/base.h)

# ---- installed --------------------------------------------------------------------------------------------------------

ROOT  = $(DESTDIR)$(PREFIX)
SHARE = $(ROOT)/share

# What installing makes: `make uninstall` removes these files, and the folders that are stoke's alone.
INSTALLED = bin/stoke share/man/man1/stoke.1 share/man/man3/stoke.3 share/bash-completion/completions/stoke \
            share/zsh/site-functions/_stoke share/fish/vendor_completions.d/stoke.fish \
            lib/libstoke.so lib/libstoke.so.$(SOVERSION) lib/pkgconfig/stoke.pc include/stoke.h
OWN       = share/stoke share/doc/stoke
PAGES     = README.md CHANGELOG.md UPGRADING.md SECURITY.md LICENSE docs/guide.md docs/figures.md docs/gallery.md docs/machines.md \
            docs/stoke-worker.service

COMPLETIONS = $(BUILD)/completion/stoke $(BUILD)/completion/_stoke $(BUILD)/completion/stoke.fish

$(BUILD)/completion/stoke: SHELL_OF = bash
$(BUILD)/completion/_stoke: SHELL_OF = zsh
$(BUILD)/completion/stoke.fish: SHELL_OF = fish
$(COMPLETIONS): $(BIN)
	@mkdir -p $(@D)
	$(call quiet,SHELL,$@)$(BIN) completion $(SHELL_OF) >$@

# Definition files for lua-language-server, as `stoke init` writes them beside a project.
TYPES = $(BUILD)/init/.stoke/types

$(TYPES)/stoke.lua: $(BIN)
	@mkdir -p $(BUILD)/init
	$(call quiet,TYPES,$(TYPES))$(BIN) init --types $(BUILD)/init >$(BUILD)/init/log

.PHONY: types install install-lib uninstall
types: $(TYPES)/stoke.lua ## make the definition files for lua-language-server, build/init/.stoke/types

install: all man docs types $(COMPLETIONS) ## install program, manual pages, completion, types and documents below PREFIX (/usr/local; DESTDIR)
	install -d '$(ROOT)/bin' '$(SHARE)/man/man1' '$(SHARE)/man/man3' '$(SHARE)/bash-completion/completions' \
	  '$(SHARE)/zsh/site-functions' '$(SHARE)/fish/vendor_completions.d' '$(SHARE)/stoke/types' '$(SHARE)/doc/stoke/agents'
	install -m 755 $(BIN) '$(ROOT)/bin/stoke'
	install -m 644 $(BUILD)/stoke.1 '$(SHARE)/man/man1/stoke.1'
	install -m 644 $(BUILD)/stoke.3 '$(SHARE)/man/man3/stoke.3'
	install -m 644 $(BUILD)/completion/stoke '$(SHARE)/bash-completion/completions/stoke'
	install -m 644 $(BUILD)/completion/_stoke '$(SHARE)/zsh/site-functions/_stoke'
	install -m 644 $(BUILD)/completion/stoke.fish '$(SHARE)/fish/vendor_completions.d/stoke.fish'
	cp -R $(TYPES)/. '$(SHARE)/stoke/types'
	chmod -R u=rwX,go=rX '$(SHARE)/stoke/types'
	install -m 644 $(PAGES) $(BUILD)/reference.md '$(SHARE)/doc/stoke'
	install -m 644 agents/*.lua '$(SHARE)/doc/stoke/agents'

install-lib: lib ## install libstoke, for C programs: library, header, pkg-config file and example
	install -d '$(ROOT)/lib/pkgconfig' '$(ROOT)/include' '$(SHARE)/doc/stoke'
	install -m 644 $(BUILD)/libstoke.so.$(SOVERSION) '$(ROOT)/lib/libstoke.so.$(SOVERSION)'
	ln -sf libstoke.so.$(SOVERSION) '$(ROOT)/lib/libstoke.so'
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' host/api/stoke.pc.in >'$(ROOT)/lib/pkgconfig/stoke.pc'
	install -m 644 host/api/stoke.h '$(ROOT)/include/stoke.h'
	install -m 644 docs/embedding.c '$(SHARE)/doc/stoke/embedding.c'

uninstall: ## remove what install and install-lib put below PREFIX
	rm -f $(INSTALLED:%='$(ROOT)/%')
	rm -rf $(OWN:%='$(ROOT)/%')

# ---- handed on --------------------------------------------------------------------------------------------------------

ROCK = stoke-types-$(VERSION)

.PHONY: dist deb rock
dist: ## make the source archive of the last commit, build/stoke-VERSION.tar.gz: the same bytes each time
	@sh packaging/dist.sh '$(VERSION)' '$(BUILD)'

deb: ## make a Debian package for this machine, build/stoke_VERSION_ARCH.deb
	@.ci/packages build
	+@$(again) -s all man docs types
	+@MAKE='$(MAKE)' sh packaging/deb.sh '$(VERSION)' '$(BUILD)'

rock: types ## make a rock's two files, the definition files and their rockspec: build/stoke-types-VERSION...
	@rm -rf '$(BUILD)/rock' && mkdir -p '$(BUILD)/rock/$(ROCK)' && cp -R $(TYPES) '$(BUILD)/rock/$(ROCK)/types'
	@tar -C '$(BUILD)/rock' -cf - '$(ROCK)' | gzip -n >'$(BUILD)/$(ROCK).tar.gz'
	@sed -e 's|@VERSION@|$(VERSION)|' packaging/stoke-types.rockspec.in >'$(BUILD)/$(ROCK)-1.rockspec'
	@echo '$(BUILD)/$(ROCK)-1.rockspec'

.PHONY: gallery
gallery: all ## write docs/gallery.md anew: what every agent prints
	@STOKE_BIN='$(BIN)' $(BIN) tests/gallery/make.lua >'$(BUILD)/gallery.md'
	@cp '$(BUILD)/gallery.md' docs/gallery.md

# ---- other machines ---------------------------------------------------------------------------------------------------

# Without bytecode (sources are compiled as they load), comments and what only a debugger reads, for machines with little room (docs/machines.md).
.PHONY: lean arm64
lean: ## build a small binary, build/lean/stoke, stripped
	@.ci/packages build
	+@$(again) BUILD='$(BUILD)/lean' CFLAGS='-Os -ffunction-sections -fdata-sections' LDFLAGS='-Wl,--gc-sections' BARE=1 all
	strip '$(BUILD)/lean/stoke'

arm64: ## cross-build for 64-bit ARM (Debian's compiler, a root of arm64 packages in build/arm64) and run a part of the tests under qemu
	@.ci/packages build arm64
	+@$(again) '$(BUILD)/generate'
	+@MAKE='$(MAKE)' sh packaging/arm64.sh '$(BUILD)'
