# `make` alone lists the targets. The work is in scripts/ and cargo; this file only names it.

PREFIX := $(shell scripts/llvm-prefix.sh)
# .cargo/config.toml says /usr/lib/llvm-22; what the environment says wins over it.
ifneq ($(PREFIX),)
ifneq ($(PREFIX),/usr/lib/llvm-22)
export MLIR_SYS_220_PREFIX := $(PREFIX)
export TABLEGEN_220_PREFIX := $(PREFIX)
export LLVM_SYS_221_PREFIX := $(PREFIX)
endif
endif

TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help setup model models try-model build run test test-models example lit upstream-lit fmt fmt-check lint docs bench bench-report clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## Find LLVM and MLIR 22 and install what is missing
	@scripts/setup.sh

model: ## Fetch the default model (93 MB) into the cache directory
	@scripts/model.sh

models: ## Fetch also Gemma 3 270M and Qwen2.5 Coder 0.5B (709 MB), for `make test-models`
	@scripts/model.sh all

test-models: build ## Compare the models that are in the cache directory with their references
	@scripts/test-models.sh

# Without a network the rest goes on without the model; the script has said so.
try-model:
	@scripts/model.sh || true

build: setup ## Build everything, optimised
	@cargo build --release

run: build try-model ## Show a decoder block go through the passes, then decode real text
	@scripts/tour.sh

test: setup try-model ## Check formatting and lints, run every test, and list the slowest
	@scripts/test.sh

# Not part of `test`: its dependencies are compiled again, with the features that it alone needs.
example: setup ## Build and check examples/out-of-tree, a crate outside the workspace
	@scripts/out-of-tree.sh

lit: setup ## Run test/ under our own runner, then under LLVM's lit and FileCheck
	@cargo test --quiet -p kforge-tools --test lit
	@prefix=$$(scripts/llvm-prefix.sh); \
	PATH="$(abspath $(TARGET))/debug:$$prefix/bin:$$PATH" "$$prefix/bin/lit" -q test

# Without BIN the tools are built, optimised.
upstream-lit: $(if $(BIN),setup,build) ## Run MLIR's own tests with our tools, and compare (BIN=DIR: those of a folder)
	@scripts/upstream-lit.py $(if $(BIN),--bin "$(BIN)")

fmt: ## Format the code
	@cargo fmt --all

fmt-check: ## Check that the code is formatted
	@cargo fmt --all --check

lint: setup ## Run clippy, warnings as errors
	@cargo clippy --workspace --all-targets -- -D warnings

docs: setup ## Regenerate docs/dialect.md, docs/passes.md and docs/bench-suite.schema.json
	@KFORGE_BLESS=1 cargo test --quiet -p kforge-tools --test docs

bench: build try-model ## Measure the default model and single kernels; compare with reports/cpu_baseline.json
	@scripts/bench.sh

bench-report: build ## After `make test` and `make bench`: write docs/run_summary.md
	@scripts/bench-report.sh > docs/run_summary.md.tmp && mv docs/run_summary.md.tmp docs/run_summary.md

clean: ## Remove build outputs (the model and the caches stay)
	@cargo clean
