# `make help` lists the targets. Each installs the pinned tools that it needs, into ignored folders.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

STEP = @printf '\n\033[1m== %s\033[0m\n'
WORKER_SOURCES := $(shell find src crates/verifier crates/policy tools/bindgen/src -name '*.rs' -o -name '*.toml') \
	src/cloudflare/entry.js src/cloudflare/forward.js src/cloudflare/queue.js Cargo.toml Cargo.lock rust-toolchain.toml \
	package-lock.json scripts/setup.sh scripts/build.sh

.PHONY: help setup build demo action test fmt lint msrv deny unit instructions counts python e2e fuzz soak bench deploy release clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 8

setup: ## install the pinned tools (.tools, node_modules)
	@scripts/setup.sh test

build: build/index_bg.wasm ## the release Worker: build/index.js, build/index_bg.wasm

# A file target, so that neither the tests nor wrangler build an up-to-date Worker again.
build/index_bg.wasm: $(WORKER_SOURCES)
	@scripts/setup.sh build
	@scripts/build.sh

demo: build ## the whole story in the terminal, offline; KEEP=1 leaves it running
	@scripts/setup.sh build
	@KEEP="$(KEEP)" node demo/demo.mjs

action: ## the bundle of the action, from action/src
	@scripts/setup.sh build
	@node scripts/build-action.mjs

test: fmt lint deny unit instructions python e2e ## everything that a change must pass, cheapest first
	$(STEP) 'all checks passed'

fmt: ## formatting
	$(STEP) 'formatting'
	@cargo fmt --all --check
	@cargo fmt --check --manifest-path benches/floor/Cargo.toml
	@cargo fmt --check --manifest-path crates/python/Cargo.toml
	@cargo fmt --check --manifest-path tools/bindgen/Cargo.toml

lint: ## clippy on both targets, warnings are errors
	@scripts/setup.sh build
	$(STEP) 'clippy, native'
	@cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	$(STEP) 'the library: every set of features, and the documentation of the libraries'
	@for tower in '' tower; do for axum in '' axum; do for client in '' client; do for allow in '' allow; do \
		cargo clippy --quiet --locked --package octo-sts --lib --features "$$tower $$axum $$client $$allow" -- -D warnings \
			|| exit 1; \
	done; done; done; done
	@RUSTDOCFLAGS='-D warnings' cargo doc --quiet --locked --no-deps --all-features \
		--package octo-sts-verifier --package octo-sts-policy --package octo-sts
	$(STEP) 'clippy, wasm32'
	@cargo clippy --locked --lib --all-features --target wasm32-unknown-unknown -- -D warnings
	$(STEP) 'action and workflows'
	@node scripts/build-action.mjs --check
	@node scripts/check-workflows.mjs

msrv: ## the libraries with the oldest Rust that they promise; installs it with rustup
	$(STEP) 'the oldest Rust'
	@scripts/check-msrv.sh

deny: ## licenses, sources and bans of all dependencies
	@scripts/setup.sh test
	$(STEP) 'dependencies'
	@.tools/bin/cargo-deny --locked --log-level error check bans licenses sources

unit: ## tests of all crates, native
	@scripts/setup.sh build
	$(STEP) 'cargo test'
	@cargo test --locked --workspace --all-features

python: ## the Python wheel: built, installed, tested from there
	$(STEP) 'python'
	@scripts/test-python.sh

counts: build ## what a young isolate compiles, and crossings into JavaScript, against their recorded counts
	@scripts/setup.sh build
	$(STEP) 'counts'
	@node scripts/check-counts.mjs

instructions: ## the core's steps against their recorded count of instructions (valgrind)
	@scripts/setup.sh test
	$(STEP) 'instructions'
	@node scripts/check-instructions.mjs

# A second Worker that verifies published signatures, and the vectors for it; both only for the end-to-end tests.
target/vectors/index_bg.wasm: $(WORKER_SOURCES)
	@scripts/setup.sh build
	@scripts/build.sh vectors

target/tmp/vectors.json: tests/vectors.rs tests/data/jws/rfc.json
	@cargo test --locked --test vectors
	@touch $@

e2e: build target/vectors/index_bg.wasm target/tmp/vectors.json ## tests of the built Worker in the real runtime
	@scripts/setup.sh build
	@node scripts/check-size.mjs
	$(STEP) 'counts'
	@node scripts/check-counts.mjs
	$(STEP) 'end to end'
	@node --test --test-reporter=spec --test-force-exit --test-timeout=120000 \
		tests/e2e/*.test.mjs tests/action/*.test.mjs tests/deploy/*.test.mjs tests/release/*.test.mjs
	$(STEP) 'end to end, for programs in Python'
	@scripts/test-relying-parties.sh

soak: build ## 100,000 exchanges while keys, policies and installations change and calls fail; N=… and SEED=… set the run
	@scripts/setup.sh build
	$(STEP) 'soak'
	@N="$(N)" SEED="$(SEED)" node tests/soak/main.mjs

fuzz: ## every fuzz target for TIME=60 seconds; needs nightly Rust, see docs/fuzzing.md
	@scripts/setup.sh fuzz
	$(STEP) 'fuzzing'
	@TIME="$(or $(TIME),60)" scripts/fuzz.sh $(TARGETS)

# The Workers that the benchmark compares with.
FLOOR_SOURCES := $(shell find benches/floor -name '*.rs' -not -path '*/target/*') benches/floor/entry.js benches/floor/Cargo.toml benches/floor/Cargo.lock scripts/build.sh
target/floor/index_bg.wasm target/empty/index_bg.wasm: target/%/index_bg.wasm: $(FLOOR_SOURCES)
	@scripts/setup.sh build
	@cd benches/floor && CARGO_TARGET_DIR=../../target/floor/cargo \
		cargo clippy --quiet --locked --target wasm32-unknown-unknown -- -D warnings
	@scripts/build.sh $*

# A run needs a quiet machine; it takes about twelve minutes after the builds.
bench: build target/floor/index_bg.wasm target/empty/index_bg.wasm ## how fast it is, compared with a floor; RECORD=1 for docs/performance.md, PARTS="warm ..." for parts
	@cargo build --quiet --locked --profile measured --package octo-sts-benches --bench curves
	@node benches/bench.mjs $(PARTS)
	@if [ -n "$(RECORD)" ]; then node benches/support/record.mjs; fi

deploy: build ## deploy to Cloudflare, check it from outside, roll back if that fails; ENV=name for an environment
	@ENV="$(ENV)" node scripts/deploy.mjs

release: ## the files of a release, in dist/; PARTS="worker command wheel", TARGET=triple for the command
	@scripts/setup.sh build
	@PARTS="$(PARTS)" TARGET="$(TARGET)" node scripts/release.mjs

clean: ## remove build output; the tools stay
	rm -rf build dist target .demo .wrangler
