# Penstock. `make help` lists the targets. Sources are listed, not globbed; objects live in build/<variant>/.

CC       ?= gcc
CLANG    ?= clang
VARIANT  ?= release
BUILD    ?= build
OUT      := $(BUILD)/$(VARIANT)
WERROR   ?=
NODE     ?= node
JOBS     ?= $(shell nproc)
# Where make was not told a number of jobs, it takes JOBS.
PARALLEL  = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(JOBS))
# V=1 shows whole commands.
Q        := $(if $(V),,@)

# --- sources, by folder (each list: one owner, reading order) -------------------------------------------------
BASE_SRC      := base/status.c base/say.c base/clock.c base/utf.c base/counters.c base/pool.c base/role.c
NET_SRC       := net/ring.c net/link.c net/message.c net/op.c net/op_attrs.c
STORE_SRC     := store/record.c store/segment.c store/log.c store/log_files.c store/log_recover.c store/log_walk.c store/log_cursor.c \
                 store/disk_uring.c store/disk_uring_dir.c store/view.c store/view_read.c store/view_apply.c store/view_write.c \
                 store/view_run.c store/view_doc.c store/archive.c
SEQUENCER_SRC := sequencer/transform.c sequencer/rope.c sequencer/rope_edit.c sequencer/rope_walk.c sequencer/rope_tree.c sequencer/rope_leaf.c sequencer/rope_attrs.c sequencer/rope_check.c
SEQUENCER_SRC += sequencer/access.c sequencer/history.c sequencer/document.c sequencer/session.c sequencer/cache.c sequencer/accept.c \
                 sequencer/merge.c sequencer/outbox.c sequencer/shard.c sequencer/shard_out.c sequencer/shard_request.c \
                 sequencer/shard_document.c sequencer/shard_ops.c sequencer/shard_merge.c sequencer/shard_join.c \
                 sequencer/shard_catchup.c sequencer/shard_session.c sequencer/shard_presence.c sequencer/shard_create.c \
                 sequencer/shard_calls.c sequencer/shard_changes.c sequencer/loader.c sequencer/loader_content.c sequencer/loader_list.c
GATEWAY_SRC   := gateway/json.c gateway/json_canonical.c gateway/opjson.c gateway/opjson_write.c gateway/http.c gateway/http_text.c gateway/http_chunked.c gateway/ws.c gateway/tls.c \
                 gateway/slab.c gateway/loop.c gateway/loop_open.c gateway/conn.c gateway/conn_http.c gateway/conn_ws.c gateway/conn_tls.c \
                 gateway/token_keys.c gateway/token_check.c gateway/token_sign.c gateway/base64.c
GATEWAY_SRC   += gateway/wheel.c gateway/cursor.c gateway/ids.c gateway/problem.c gateway/reply.c gateway/batch.c gateway/uplink.c \
                 gateway/fanout.c gateway/native.c gateway/native_in.c gateway/native_out.c gateway/rest_route.c gateway/rest_body.c \
                 gateway/rest_open.c gateway/rest.c gateway/rest_answer.c gateway/rest_list.c gateway/metrics.c gateway/static.c \
                 gateway/web.S gateway/gateway.c
TOOLS_SRC     := tools/main.c tools/options.c tools/serve.c tools/config.c tools/datadir.c tools/server.c tools/server_shard.c tools/token.c \
                 tools/client.c tools/doc.c tools/doc_edit.c tools/doc_print.c tools/log.c
TOOLS_SRC     += tools/replay.c tools/replay_doc.c tools/replay_agent.c tools/replay_message.c tools/replay_text.c tools/trace.c \
                 tools/wsclient.c tools/histogram.c

# Programs of their own in perf/: perf/NAME.c -> build/NAME
PERF_PROGRAMS := calibrate pipeline load donothing
# Criterion tests: tests/unit/NAME.c -> build/<variant>/unit/NAME
UNIT_TESTS    := bytes utf clock pool counters roles ring message options http ws json opjson op transform rope record log disk view archive token
UNIT_TESTS    += wheel cursor uplink fanout reply gateway rest
UNIT_TESTS    += access accept history documents merge shard_ops shard_join shard_calls shard_converge
UNIT_TESTS    += slab tls conn_http conn_ws replay
UNIT_LIBS_http := -lhttp_parser
UNIT_LIBS_ws   := -lwslay
# Plain programs that run threads (also under TSan): tests/tsan/NAME.c
THREAD_TESTS  := ring_threads loop_thread log_archive
# libFuzzer targets: tests/fuzz/NAME.c, corpora in tests/fuzz/corpus/NAME/
FUZZ_TARGETS  := ws http json opjson token op_cursor transform rope log_segment
FUZZ_LIBS_ws   := -lwslay

# --- flags ----------------------------------------------------------------------------------------------------
WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wcast-qual -Wwrite-strings -Wstrict-prototypes -Wmissing-prototypes \
        -Wundef -Wvla -Wformat=2 -Wswitch-enum -Wnull-dereference -Wdouble-promotion -Wconversion -Wno-sign-conversion
CFLAGS_COMMON := -std=gnu11 -g -fno-omit-frame-pointer -fstack-protector-strong -D_GNU_SOURCE -I. $(WARN) $(WERROR)
CFLAGS_release := -O2 -D_FORTIFY_SOURCE=2
CFLAGS_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
CFLAGS_tsan := -O1 -fsanitize=thread
CFLAGS_canary = $(CFLAGS_fuzz) -DCANARY
CFLAGS_fuzz := -O1 -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_tsan := -fsanitize=thread
LDFLAGS_fuzz := -fsanitize=address,undefined,fuzzer
LDFLAGS_canary = $(LDFLAGS_fuzz)
ifneq ($(filter fuzz canary,$(VARIANT)),)
CC := $(CLANG)
endif
CFLAGS  ?=
LDFLAGS ?=
ALL_CFLAGS  = $(CFLAGS_COMMON) $(CFLAGS_$(VARIANT)) $(CFLAGS)
ALL_LDFLAGS = $(LDFLAGS_$(VARIANT)) $(LDFLAGS)
LIBS := -luring -llmdb -lxxhash -lssl -lcrypto -linih -lz -lpthread -lm

obj = $(patsubst %,$(OUT)/%.o,$(basename $(1)))
ARCHIVES := $(OUT)/libgateway.a $(OUT)/libsequencer.a $(OUT)/libstore.a $(OUT)/libnet.a $(OUT)/libbase.a

.PHONY: all
all: $(BUILD)/penstock ## builds build/penstock

.SECONDARY: # objects of tests are kept, and no list of them is printed
$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(if $(V),,echo "  cc    $@" && )$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@
$(OUT)/%.o: %.S
	@mkdir -p $(@D)
	$(Q)$(CC) -I. -MMD -MP -c $< -o $@

# .incbin leaves no trace in the .d file.
$(OUT)/gateway/web.o: $(wildcard gateway/web/*.html gateway/web/*.js gateway/web/*.css)

$(OUT)/libbase.a:      $(call obj,$(BASE_SRC))
$(OUT)/libnet.a:       $(call obj,$(NET_SRC))
$(OUT)/libstore.a:     $(call obj,$(STORE_SRC))
$(OUT)/libsequencer.a: $(call obj,$(SEQUENCER_SRC))
$(OUT)/libgateway.a:   $(call obj,$(GATEWAY_SRC))
$(OUT)/lib%.a:
	@rm -f $@ && ar rcs $@ $^

$(OUT)/libtools.a:     $(call obj,$(filter-out tools/main.c,$(TOOLS_SRC)))
$(OUT)/penstock: $(call obj,tools/main.c) $(OUT)/libtools.a $(ARCHIVES)
	$(Q)$(if $(V),,echo "  link  $@" && )$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@
$(BUILD)/penstock: $(OUT)/penstock
	@ln -sf $(VARIANT)/penstock $@

$(OUT)/unit/%: $(OUT)/tests/unit/%.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(if $(V),,echo "  link  $@" && )$(CC) $(ALL_LDFLAGS) $^ -lcriterion $(UNIT_LIBS_$*) $(LIBS) -o $@
$(OUT)/oracle/%: $(OUT)/tests/oracle/%.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(if $(V),,echo "  link  $@" && )$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@
$(OUT)/unit/options: $(call obj,tools/options.c tools/config.c tools/datadir.c tools/client.c)
UNIT_LIBS_options = $(ARCHIVES)
$(OUT)/unit/replay: $(OUT)/libtools.a
UNIT_LIBS_replay = $(ARCHIVES)
$(OUT)/tsan/%: $(OUT)/tests/tsan/%.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(if $(V),,echo "  link  $@" && )$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@
$(OUT)/fuzz/%: $(OUT)/tests/fuzz/%.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(if $(V),,echo "  link  $@" && )$(CC) $(ALL_LDFLAGS) $^ $(FUZZ_LIBS_$*) $(LIBS) -o $@
$(BUILD)/%: $(OUT)/perf/%.o $(OUT)/libtools.a $(ARCHIVES)
	$(Q)$(if $(V),,echo "  link  $@" && )$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

# --- set-up -----------------------------------------------------------------------------------------------------
.PHONY: deps test-deps
deps: ## installs what building needs
	@bash tools/deps.sh build
test-deps: ## installs what the tests need
	@bash tools/deps.sh test
tests/node_modules/.installed: tests/package.json tests/package-lock.json
	cd tests && npm ci --no-audit --no-fund --silent
	@touch $@

# --- run --------------------------------------------------------------------------------------------------------
LISTEN ?= 127.0.0.1:8080
DATA   ?= data
.PHONY: run
run: ## installs what is missing, builds, starts the embedded default, and says what to open
	@bash tools/deps.sh build
	@$(MAKE) --no-print-directory $(PARALLEL) all
	@mkdir -p $(DATA)
	@echo "penstock: documents are kept in $(DATA)/"
	@exec $(BUILD)/penstock serve --dev --data $(DATA) --listen $(LISTEN)

# --- tests ------------------------------------------------------------------------------------------------------
UNIT_BINS   = $(addprefix $(OUT)/unit/,$(UNIT_TESTS))
THREAD_BINS = $(addprefix $(OUT)/tsan/,$(THREAD_TESTS))
FUZZ_BINS   = $(addprefix $(OUT)/fuzz/,$(FUZZ_TARGETS))
UNIT_SUITES   = $(foreach t,$(UNIT_TESTS),"criterion:unit-$t:$(OUT)/unit/$t -j1")
THREAD_SUITES = $(foreach t,$(THREAD_TESTS),"program:threads-$t:$(OUT)/tsan/$t")
CORPUS_SUITES = $(foreach t,$(FUZZ_TARGETS),"program:corpus-$t:$(BUILD)/fuzz/fuzz/$t -runs=0 tests/fuzz/corpus/$t")
RUN_NODE = $(NODE) --test --test-reporter=tap
KILLS ?= 20
TRACES ?= all
NODE_SUITES = "node:blackbox:$(RUN_NODE) tests/blackbox/*.test.mjs" "counted:kills:KILLS=$(KILLS) $(NODE) tests/crash/kill.mjs"
# What a sanitizer would only make slow, or whose figures it would change.
PLAIN_SUITES = "counted:budget:$(NODE) tests/crash/budget.mjs" "counted:full-disk:$(NODE) tests/crash/fulldisk.mjs" \
               "counted:browser:$(NODE) tests/browser/coedit.mjs" "counted:replay:TRACES=$(TRACES) $(NODE) tests/replay.mjs"
ORACLE_BINS = $(OUT)/oracle/algebra_child
NODE_SUITES += "program:oracle-algebra:$(NODE) tests/oracle/algebra.mjs $(OUT)/oracle/algebra_child"
export PENSTOCK_BIN ?= $(abspath $(OUT)/penstock)

.PHONY: programs
programs: $(BUILD)/penstock $(addprefix $(BUILD)/,$(PERF_PROGRAMS))
.PHONY: test
test: ## builds and runs every suite; the last line adds them up
	@bash tools/deps.sh test
	@$(MAKE) --no-print-directory $(PARALLEL) test-build
	@bash tests/run.sh $(UNIT_SUITES) $(THREAD_SUITES) $(CORPUS_SUITES) $(NODE_SUITES) $(PLAIN_SUITES)
.PHONY: test-build
test-build: programs $(UNIT_BINS) $(THREAD_BINS) $(ORACLE_BINS) tests/node_modules/.installed
	@$(MAKE) --no-print-directory $(PARALLEL) VARIANT=fuzz fuzz-build
.PHONY: unit
unit: $(UNIT_BINS) $(THREAD_BINS) ## unit and thread tests alone
	@bash tests/run.sh $(UNIT_SUITES) $(THREAD_SUITES)
.PHONY: fuzz-build
fuzz-build: $(FUZZ_BINS)

# The claims of the failure model with more of everything; the seed is printed, SEED=N repeats a run.
LONG_ROUNDS ?= 5000
LONG_ALGEBRA_ROUNDS ?= 1000000
.PHONY: long
long: test-build ## 200 kills, thousands of rounds of random clients, a million of the algebra (15 min)
	@SUITE_SECONDS_MAX=7200 LOGS=$(BUILD)/test-logs/long bash tests/run.sh \
	    "counted:kills:KILLS=200 $(NODE) tests/crash/kill.mjs" \
	    "node:model:ROUNDS=$(LONG_ROUNDS) $(RUN_NODE) tests/blackbox/model.test.mjs" \
	    "program:oracle-algebra:ALGEBRA_ROUNDS=$(LONG_ALGEBRA_ROUNDS) $(NODE) tests/oracle/algebra.mjs $(OUT)/oracle/algebra_child"

.PHONY: asan
asan: ## unit tests and black-box suite under AddressSanitizer and UBSan
	@$(MAKE) --no-print-directory $(PARALLEL) VARIANT=asan asan-run
.PHONY: asan-run
asan-run: export ASAN_OPTIONS = abort_on_error=1:detect_leaks=1
asan-run: export UBSAN_OPTIONS = print_stacktrace=1
asan-run: export PATIENCE ?= 5
asan-run: $(OUT)/penstock $(UNIT_BINS) $(ORACLE_BINS) tests/node_modules/.installed
	@PENSTOCK_BIN=$(abspath $(OUT)/penstock) LOGS=$(BUILD)/test-logs/asan bash tests/run.sh $(UNIT_SUITES) $(NODE_SUITES)
.PHONY: tsan
tsan: ## rings, roles and threads under ThreadSanitizer
	@$(MAKE) --no-print-directory $(PARALLEL) VARIANT=tsan tsan-run
.PHONY: tsan-run
tsan-run: $(THREAD_BINS)
	@LOGS=$(BUILD)/test-logs/tsan bash tests/run.sh $(THREAD_SUITES)

FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: ## fuzzes each target for FUZZ_SECONDS (60), and shows that the rig finds a planted bug
	@$(MAKE) --no-print-directory $(PARALLEL) VARIANT=fuzz fuzz-build
	@$(MAKE) --no-print-directory $(PARALLEL) VARIANT=canary fuzz-build
	@LOGS=$(BUILD)/test-logs/fuzz bash tests/run.sh $(foreach t,$(FUZZ_TARGETS),"program:canary-$t:bash tests/fuzz/canary.sh $(BUILD)/canary/fuzz/$t tests/fuzz/corpus/$t") $(foreach t,$(FUZZ_TARGETS),"program:fuzz-$t:bash tests/fuzz/run.sh $(BUILD)/fuzz/fuzz/$t tests/fuzz/corpus/$t $(FUZZ_SECONDS)")

# --- the rest ---------------------------------------------------------------------------------------------------
.PHONY: lint
lint: ## format, include edges, banned words, sizes
	@bash tools/lint/lint.sh
.PHONY: format
format: ## rewrites the sources as clang-format wants them
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i
.PHONY: perf
perf: programs ## measures, beside the limits, and prints ratios (see docs/performance.md)
	@bash perf/run.sh
.PHONY: clean
clean: ## removes what was built
	rm -rf $(BUILD) tests/node_modules
.PHONY: help
help: ## lists the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

$(BUILD)/ws-echo: $(OUT)/tests/ws_echo.o $(ARCHIVES)
	$(Q)$(if $(V),,echo "  link  $@" && )$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
