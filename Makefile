# Penstock. `make help` lists the targets. Sources are listed, not globbed; objects live in build/<variant>/.

CC       ?= gcc
CLANG    ?= clang
VARIANT  ?= release
BUILD    ?= build
OUT      := $(BUILD)/$(VARIANT)
WERROR   ?=
NODE     ?= node
TIMEOUT  ?= timeout

# --- sources, by folder (each list: one owner, reading order) -------------------------------------------------
BASE_SRC      := base/status.c
NET_SRC       :=
STORE_SRC     :=
SEQUENCER_SRC :=
GATEWAY_SRC   :=
TOOLS_SRC     :=

# Programs of their own in perf/: perf/NAME.c -> build/NAME
PERF_PROGRAMS :=
# Criterion tests: tests/unit/NAME.c -> build/<variant>/unit/NAME
UNIT_TESTS    :=
# Plain programs that run threads (also under TSan): tests/tsan/NAME.c
THREAD_TESTS  :=
# libFuzzer targets: tests/fuzz/NAME.c, corpora in tests/fuzz/corpus/NAME/
FUZZ_TARGETS  :=

# --- flags ----------------------------------------------------------------------------------------------------
WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wcast-qual -Wwrite-strings -Wstrict-prototypes -Wmissing-prototypes \
        -Wundef -Wvla -Wformat=2 -Wswitch-enum -Wnull-dereference -Wdouble-promotion -Wconversion -Wno-sign-conversion
CFLAGS_COMMON := -std=gnu11 -g -fno-omit-frame-pointer -fstack-protector-strong -D_GNU_SOURCE -I. $(WARN) $(WERROR)
CFLAGS_release := -O2 -D_FORTIFY_SOURCE=2
CFLAGS_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
CFLAGS_tsan := -O1 -fsanitize=thread
CFLAGS_fuzz := -O1 -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_tsan := -fsanitize=thread
LDFLAGS_fuzz := -fsanitize=address,undefined,fuzzer
ifeq ($(VARIANT),fuzz)
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
all: $(BUILD)/penstock

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@
$(OUT)/%.o: %.S
	@mkdir -p $(@D)
	$(CC) -I. -MMD -MP -c $< -o $@

$(OUT)/libbase.a:      $(call obj,$(BASE_SRC))
$(OUT)/libnet.a:       $(call obj,$(NET_SRC))
$(OUT)/libstore.a:     $(call obj,$(STORE_SRC))
$(OUT)/libsequencer.a: $(call obj,$(SEQUENCER_SRC))
$(OUT)/libgateway.a:   $(call obj,$(GATEWAY_SRC))
$(OUT)/lib%.a:
	@rm -f $@ && ar rcs $@ $^

$(OUT)/penstock: $(call obj,$(TOOLS_SRC)) $(ARCHIVES)
	$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@
$(BUILD)/penstock: $(OUT)/penstock
	@ln -sf $(VARIANT)/penstock $@

$(OUT)/unit/%: $(OUT)/tests/unit/%.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $^ -lcriterion $(UNIT_LIBS_$*) $(LIBS) -o $@
$(OUT)/tsan/%: $(OUT)/tests/tsan/%.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@
$(OUT)/fuzz/%: $(OUT)/tests/fuzz/%.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@
$(BUILD)/%: $(OUT)/perf/%.o $(ARCHIVES)
	$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
