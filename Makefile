# chromafs: see README.md. `make help` lists the targets.
#
#   V=1             show the commands
#   D=asan|tsan|gcov   build with a sanitizer (asan: address and undefined behaviour) or for coverage, in a build folder of its own
#   WERROR=1        warnings are errors (as in CI)
#   TEST=GLOB       only tests whose name matches, for check-unit, check-fuzz-corpus, check-mount and fuzz
#   BUILD=DIR       where everything that is built goes (build, or build-$D)
#   FUZZ_SECONDS=N  how long `make fuzz` runs each target (1800)
#   CC, CFLAGS, CPPFLAGS, LDFLAGS   are yours: ours are added to them
#   DESTDIR, PREFIX, BINDIR, MANDIR, SBINDIR, UNITDIR   for install and uninstall; SBINDIR= leaves the mount helper out

.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all

VERSION := $(shell cat VERSION)
D ?=
TEST ?= *
BUILD ?= build$(if $(D),-$(D))
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
UNITDIR ?= $(PREFIX)/lib/systemd/system
SBINDIR ?= /sbin
FUZZ_CC ?= clang
FUZZ_SECONDS ?= 1800

ifneq ($(filter-out asan tsan gcov fuzz,$(D)),)
$(error D=$(D) is unknown: asan, tsan, gcov or nothing)
endif

# --- flags ----------------------------------------------------------------

PKG_CONFIG ?= pkg-config
PACKAGES := fuse3 >= 3.14 sqlite3 >= 3.40 json-c >= 0.16 libxxhash >= 0.8 libcrypto >= 3.0
NO_PACKAGES = $(error a library is missing (needed: $(PACKAGES)): run scripts/install-deps.sh)
# Asked once, and only by what compiles: the variable replaces itself by its value.
PKG_FLAGS = $(eval PKG_FLAGS := $$(or $(shell $(PKG_CONFIG) --cflags --libs '$(PACKAGES)'),$$(NO_PACKAGES)))$(PKG_FLAGS)
PKG_CFLAGS = $(patsubst -I%,-isystem %,$(filter -I% -D%,$(PKG_FLAGS)))
PKG_LIBS = $(filter -L% -l% -Wl%,$(PKG_FLAGS))

# FORTIFY_SOURCE needs an optimizing compiler, and hides errors from the sanitizers.
CFLAGS ?= $(CFLAGS_$(or $(D),release))
CFLAGS_release := -O2 -g
CFLAGS_asan := -O1 -g
CFLAGS_tsan := -O1 -g
CFLAGS_fuzz := -O1 -g
CFLAGS_gcov := -O0 -g
FORTIFY = $(if $(D),,$(if $(filter -O1 -O2 -O3 -Os -Og,$(CFLAGS)),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3))
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual \
            -Wwrite-strings -Wvla -Wundef -Wformat=2 $(if $(WERROR),-Werror)
HARDENING = -fstack-protector-strong -fPIE $(FORTIFY)
SANITIZE_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SANITIZE_tsan := -fsanitize=thread
SANITIZE_gcov := --coverage -fprofile-update=atomic
SANITIZE_fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SANITIZE := $(if $(D),$(SANITIZE_$(D)))
OUR_CPPFLAGS = -I. -D_GNU_SOURCE -DFUSE_USE_VERSION=314 -DCHROMAFS_VERSION='"$(VERSION)"' $(PKG_CFLAGS)
OUR_CFLAGS = -std=gnu11 -ffp-contract=off $(WARNINGS) $(HARDENING) $(SANITIZE) -pthread
OUR_LDFLAGS = -pie -Wl,-z,relro,-z,now $(SANITIZE) -pthread
LIBS = $(PKG_LIBS) -lm

# The user's flags come last: they win.
COMPILE = $(CC) $(OUR_CPPFLAGS) $(CPPFLAGS) $(OUR_CFLAGS) $(CFLAGS)
LINK = $(CC) $(OUR_CFLAGS) $(CFLAGS) $(OUR_LDFLAGS) $(LDFLAGS)

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)')

# --- files ----------------------------------------------------------------

OPS_SRC := $(wildcard ops/*.c ops/*/*.c)
FS_SRC := $(wildcard fs/*.c)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT_LIB := $(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c))
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_LIB := $(filter-out $(FUZZ_SRC) tests/fuzz/replay.c,$(wildcard tests/fuzz/*.c))
BENCH_SRC := $(wildcard tests/bench/*.c)
HELPER_SRC := $(wildcard tests/mount/helpers/*.c)
FAULTS_SRC := $(wildcard tests/faults/*.c)
CHROMA_SRC := $(wildcard tests/chroma/*.c)
ALL_SRC := $(OPS_SRC) $(FS_SRC) $(UNIT_SRC) $(UNIT_LIB) $(wildcard tests/fuzz/*.c) $(BENCH_SRC) $(HELPER_SRC) $(FAULTS_SRC) $(CHROMA_SRC)
ALL_HDR := $(wildcard ops/*.h ops/*/*.h fs/*.h tests/*/*.h)
FIXTURES := $(patsubst tests/fixtures/%.tar.xz,%,$(wildcard tests/fixtures/*.tar.xz))
MAN_SRC := $(wildcard man/*.scd)
COMMANDS := scripts/chromafs-wal-backup scripts/chromafs-maintain scripts/chromafs-erase
UNITS := scripts/chromafs@.service scripts/chromafs-maintain@.service scripts/chromafs-maintain@.timer

OPS_OBJ := $(OPS_SRC:%.c=$(BUILD)/%.o)
FS_OBJ := $(FS_SRC:%.c=$(BUILD)/%.o)
MAN := $(MAN_SRC:man/%.scd=$(BUILD)/man/%)
BENCH_BIN := $(BENCH_SRC:%.c=$(BUILD)/%)
HELPER_BIN := $(HELPER_SRC:%.c=$(BUILD)/%)
CHROMA_BIN := $(CHROMA_SRC:%.c=$(BUILD)/%)
# TEST=pickle, TEST=test_pickle and TEST='*pick*' all find tests/unit/test_pickle.c
UNIT_RUN := $(filter $(UNIT_SRC),$(sort $(wildcard tests/unit/test_$(TEST).c tests/unit/$(TEST).c)))
FUZZ_RUN := $(filter $(FUZZ_SRC),$(sort $(wildcard tests/fuzz/fuzz_$(TEST).c tests/fuzz/$(TEST).c)))
UNIT_BIN := $(UNIT_RUN:%.c=$(BUILD)/%)
REPLAY_BIN := $(FUZZ_RUN:tests/fuzz/fuzz_%.c=$(BUILD)/tests/fuzz/replay_%)
FUZZ_BIN := $(FUZZ_RUN:%.c=$(BUILD)/%)

# --- build ----------------------------------------------------------------

.PHONY: all
all: $(BUILD)/chromafs ## build the program

.PHONY: programs
programs: $(BUILD)/chromafs $(UNIT_BIN) $(REPLAY_BIN) $(BENCH_BIN) $(HELPER_BIN) $(CHROMA_BIN) $(BUILD)/tests/faults/faults ## build the tests, too, and run none

$(BUILD)/chromafs: $(BUILD)/fs/main.o $(BUILD)/libfs.a $(BUILD)/libops.a
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ $(LIBS)

# The mount without main(), so that tests can link its parts.
$(BUILD)/libfs.a: $(filter-out $(BUILD)/fs/main.o,$(FS_OBJ))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/libops.a: $(OPS_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<

# Where -O3 pays: a sixth of the time of building an index. Flags of the user stay what they are.
ifeq ($(origin CFLAGS)$(D),file)
$(patsubst %.c,$(BUILD)/%.o,$(filter ops/hnsw/%,$(OPS_SRC))): private CFLAGS := -O3 -g
endif

# Changes when the compiler or its flags do, so that what was compiled otherwise is compiled again.
.PHONY: FORCE
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(call quote,$(COMPILE) / $(LINK) $(LIBS)) >$@.$$$$ && \
	if cmp -s $@.$$$$ $@; then rm -f $@.$$$$; else mv -f $@.$$$$ $@; fi
quote = '$(subst ','\'',$(1))'

$(BUILD)/tests/unit/test_%: $(BUILD)/tests/unit/test_%.o $(UNIT_LIB:%.c=$(BUILD)/%.o) $(BUILD)/libfs.a $(BUILD)/libops.a
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ $(LIBS) -lcmocka

$(BUILD)/tests/fuzz/replay_%: $(BUILD)/tests/fuzz/fuzz_%.o $(FUZZ_LIB:%.c=$(BUILD)/%.o) $(BUILD)/tests/fuzz/replay.o \
                              $(BUILD)/libfs.a $(BUILD)/libops.a
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ $(LIBS)

$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(FUZZ_LIB:%.c=$(BUILD)/%.o) $(BUILD)/libfs.a $(BUILD)/libops.a
	$(call say,LINK,$@)
	$(Q)$(LINK) -fsanitize=fuzzer -o $@ $^ $(LIBS)

$(BENCH_BIN) $(CHROMA_BIN): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libops.a
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ $(LIBS)

# They share no code with the program: what they find out is independent of it.
$(BUILD)/tests/mount/helpers/%: $(BUILD)/tests/mount/helpers/%.o
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^

# It defines functions of the C library, which the libraries that it is linked with shall find. A sanitizer calls these before it is ready for code that it
# has instrumented; what runs in the operation's process besides them must not count as the operation's.
FAULTS_BARE := $(filter $(wildcard $(addprefix tests/faults/,call.c site.c take_*.c power*.c)),$(FAULTS_SRC))
$(FAULTS_BARE:%.c=$(BUILD)/%.o): private SANITIZE := $(if $(filter asan,$(D)),-DFAULTS_ASAN)
$(BUILD)/tests/faults/faults: $(FAULTS_SRC:%.c=$(BUILD)/%.o) $(BUILD)/libops.a
	$(call say,LINK,$@)
	$(Q)$(LINK) -rdynamic -o $@ $^ $(LIBS)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# --- check ----------------------------------------------------------------
# Each part writes its count to $(BUILD)/results/<part>; scripts/sum.sh adds them up.

PARTS := unit fuzz-corpus faults mount docs
RESULTS := $(BUILD)/results
TEST_ENV = CHROMAFS='$(BUILD)/chromafs' CHROMAFS_FIXTURES='$(BUILD)/fixtures' CHROMAFS_WRAPPER='$(TEST_WRAPPER)' \
           CHROMAFS_HELPERS='$(abspath $(BUILD))/tests/mount/helpers' TEST='$(TEST)'
# ThreadSanitizer can't live with as much address space randomization as recent kernels do.
TEST_WRAPPER := $(if $(filter tsan,$(D)),setarch -R)
HELP_D := $(if $(D), D=$(D))

.PHONY: check
check: check-parts ## run all tests: unit, fuzz corpus, mounts, documentation
	@scripts/sum.sh $(PARTS:%=$(RESULTS)/%)

.PHONY: check-parts
check-parts: $(PARTS:%=check-%)

.PHONY: check-unit
check-unit: $(UNIT_BIN) fixtures ## run the unit tests
	@$(TEST_ENV) RESULT=$(RESULTS)/unit scripts/check-unit.sh $(UNIT_BIN)

.PHONY: check-fuzz-corpus
check-fuzz-corpus: $(REPLAY_BIN) ## run every fuzz target once over its seeds
	@$(TEST_ENV) RESULT=$(RESULTS)/fuzz-corpus scripts/check-corpus.sh $(REPLAY_BIN)

.PHONY: check-faults
check-faults: $(BUILD)/tests/faults/faults fixtures ## kill operations, and make their calls fail: a sample; FULL=1 for all of it
	@$(TEST_ENV) RESULT=$(RESULTS)/faults tests/faults/run.sh '$(BUILD)/tests/faults/faults'

.PHONY: check-mount
check-mount: $(BUILD)/chromafs $(HELPER_BIN) fixtures ## run the tests of a mounted directory
	@$(TEST_ENV) RESULT=$(RESULTS)/mount LOGS=$(RESULTS)/mount-logs REPEAT='make check-mount$(HELP_D)' tests/mount/run.sh

.PHONY: check-docs
check-docs: $(BUILD)/chromafs $(MAN) fixtures ## check the manual pages, the links and what the documents promise
	@$(TEST_ENV) RESULT=$(RESULTS)/docs scripts/check-docs.sh

.PHONY: check-full
check-full: ## all tests, again with sanitizers, and against real Chroma releases; what CI does in part, whole
	+$(Q)FULL=1 $(MAKE) --no-print-directory check
	+$(Q)$(MAKE) --no-print-directory D=asan check
	+$(Q)$(MAKE) --no-print-directory D=tsan check-mount
	+$(Q)FULL=1 $(MAKE) --no-print-directory check-chroma
	+$(Q)$(MAKE) --no-print-directory ANALYSIS_NODES= lint

.PHONY: check-chroma
check-chroma: $(BUILD)/chromafs $(CHROMA_BIN) $(BUILD)/tests/faults/faults $(BUILD)/tests/bench/hnsw_recall fixtures ## run the tests against real Chroma releases (downloads them)
	@$(TEST_ENV) tests/chroma/run.sh

.PHONY: fixtures
fixtures: $(FIXTURES:%=$(BUILD)/fixtures/.%.stamp) ## unpack the directories that real Chroma releases wrote

$(BUILD)/fixtures/.%.stamp: tests/fixtures/%.tar.xz
	@mkdir -p $(@D)
	$(call say,UNPACK,$<)
	$(Q)rm -rf $(@D)/$* && tar -xJf $< -C $(@D) --no-same-owner && touch $@

# --- lint -----------------------------------------------------------------

SH_SRC = $(shell grep -rlE '^\#! ?/.*[/ ](sh|bash)$$' scripts .ci tests --include='*.sh' --include=run --include='chromafs-*')
COMPLETION := $(wildcard scripts/completion/*.bash)

.PHONY: lint
lint: lint-format lint-tidy lint-cppcheck lint-shell lint-spelling ## check format, clang-tidy, cppcheck, shellcheck, spelling

.PHONY: lint-format
lint-format:
	$(call say,FORMAT,$(words $(ALL_SRC) $(ALL_HDR)) files)
	$(Q)clang-format --dry-run -Werror $(ALL_SRC) $(ALL_HDR)

# ANALYSIS_NODES=N ends the analysis of a function after N states instead of 225,000: twice the states take twice the time.
ANALYSIS := $(if $(ANALYSIS_NODES),-Xclang -analyzer-config -Xclang max-nodes=$(ANALYSIS_NODES))

.PHONY: lint-tidy
lint-tidy: $(ALL_SRC:%.c=$(BUILD)/lint/%.tidy)

$(BUILD)/lint/%.tidy: %.c .clang-tidy scripts/analysis.h $(ALL_HDR)
	@mkdir -p $(@D)
	$(call say,TIDY,$<)
	$(Q)clang-tidy --quiet $< -- $(OUR_CPPFLAGS) -std=gnu11 $(if $(filter ops/error.c,$<),,-include scripts/analysis.h) $(ANALYSIS) 2>$@.err || { cat $@.err; exit 1; }
	@touch $@

.PHONY: lint-cppcheck
lint-cppcheck:
	$(call say,CPPCHECK,ops fs tests)
	@mkdir -p $(BUILD)/lint/cppcheck
	$(Q)cppcheck --quiet --std=c11 --language=c --enable=warning,performance,portability -j 2 --inline-suppr --error-exitcode=1 \
	  --cppcheck-build-dir=$(BUILD)/lint/cppcheck --suppressions-list=.cppcheck-suppressions -I. -D_GNU_SOURCE -D__GNUC__ \
	  -D__cppcheck__ --include=scripts/analysis.h 	  -DFUSE_USE_VERSION=314 -DCHROMAFS_VERSION='""' $(ALL_SRC)

.PHONY: lint-shell
lint-shell:
	$(call say,SHELL,$(words $(SH_SRC) $(COMPLETION)) files)
	$(Q)shellcheck -x $(SH_SRC) $(COMPLETION)

.PHONY: lint-spelling
lint-spelling:
	$(call say,SPELL,everything)
	$(Q)codespell

# --- more -----------------------------------------------------------------

.PHONY: bench
bench: $(BUILD)/chromafs $(BENCH_BIN) fixtures ## measure speed and memory
	@$(TEST_ENV) BENCH_PROGRAMS='$(BUILD)/tests/bench' tests/bench/run.sh

.PHONY: fuzz
fuzz: ## fuzz each decoder for FUZZ_SECONDS; the corpus grows in build-fuzz/corpus
	+$(Q)$(MAKE) --no-print-directory D=fuzz CC='$(FUZZ_CC)' fuzz-run

.PHONY: fuzz-run
fuzz-run: $(FUZZ_BIN) fixtures
	@$(TEST_ENV) FUZZ_SECONDS='$(FUZZ_SECONDS)' scripts/fuzz.sh '$(BUILD)' $(FUZZ_BIN)

.PHONY: coverage
coverage: ## run all tests and show which lines they reach (build-gcov/coverage/index.html)
	+$(Q)$(MAKE) --no-print-directory D=gcov check
	@mkdir -p build-gcov/coverage
	$(Q)gcovr --root . --filter ops/ --filter fs/ --exclude-unreachable-branches --print-summary --txt \
	  --html-details build-gcov/coverage/index.html build-gcov

compile_commands.json: $(BUILD)/flags $(ALL_SRC) ## for editors and language servers
	$(call say,GEN,$@)
	@printf '[\n%s\n]\n' $(call quote,$(subst } {,}$(COMMA) {,$(foreach f,$(ALL_SRC),$(call ENTRY,$(f))))) >$@

COMMA := ,
json = "$(subst ",\",$(subst \,\\,$(1)))"
ENTRY = {"directory": $(call json,$(CURDIR)), "file": "$(1)", "command": $(call json,$(COMPILE) -c $(1))}

.PHONY: man
man: $(MAN) ## build the manual pages

$(BUILD)/man/%: man/%.scd
	@mkdir -p $(@D)
	$(call say,MAN,$<)
	$(Q)scdoc <$< >$@

.PHONY: install
install: $(BUILD)/chromafs $(MAN) ## install the programs, manual pages, completion, mount helper, systemd units
	install -D -m 755 $(BUILD)/chromafs '$(DESTDIR)$(BINDIR)/chromafs'
	$(foreach c,$(COMMANDS),install -D -m 755 $(c) '$(DESTDIR)$(BINDIR)/$(notdir $(c))' &&) :
	$(foreach m,$(MAN),install -D -m 644 $(m) '$(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(m)))/$(notdir $(m))' &&) :
	$(foreach c,$(COMPLETION),install -D -m 644 $(c) '$(DESTDIR)$(COMPLETIONDIR)/$(basename $(notdir $(c)))' &&) :
	$(foreach u,$(UNITS),install -D -m 644 $(u) '$(DESTDIR)$(UNITDIR)/$(notdir $(u))' &&) :
	$(if $(SBINDIR),install -d '$(DESTDIR)$(SBINDIR)' && ln -sf mount.fuse3 '$(DESTDIR)$(SBINDIR)/mount.fuse.chromafs')

.PHONY: uninstall
uninstall: ## remove what install installed
	rm -f '$(DESTDIR)$(BINDIR)/chromafs' $(foreach c,$(COMMANDS),'$(DESTDIR)$(BINDIR)/$(notdir $(c))') $(foreach u,$(UNITS),'$(DESTDIR)$(UNITDIR)/$(notdir $(u))')
	rm -f $(foreach c,$(COMPLETION),'$(DESTDIR)$(COMPLETIONDIR)/$(basename $(notdir $(c)))')
	$(foreach m,$(MAN),rm -f '$(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(m)))/$(notdir $(m))' &&) :
	$(if $(SBINDIR),rm -f '$(DESTDIR)$(SBINDIR)/mount.fuse.chromafs')

# What fuzzing found in hours is kept, and $(BUILD) may be a folder that holds other things as well.
BUILT := chromafs libops.a flags ops fs tests man fixtures results lint ci coverage
.PHONY: clean
clean: ## remove what was built, but not what fuzzing found
	rm -rf $(foreach b,$(sort $(BUILD) build build-asan build-tsan build-gcov build-clang build-gcc build-fuzz),$(BUILT:%=$(b)/%))
	rm -f compile_commands.json

.PHONY: help
help: ## this list
	@sed -n 's/^#   */  /p' Makefile
	@echo
	@sed -n 's/^\([a-z_.-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 26
