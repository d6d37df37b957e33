# Everything that a user, a developer and CI need: `make help`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

CARGO ?= cargo
# The oldest compiler that builds this. Its warnings are errors in `make check`; a newer one's are only shown, because
# lints that this code was never checked with must not break a user's build.
RUST_VERSION := $(shell sed -n 's/^rust-version = "\(.*\)"$$/\1/p' Cargo.toml)
BINARY := target/release/chanwire
MAN := target/assets/man
WASM := target/wasm32-unknown-unknown/wasm
BINDINGS := web/src/wasm/chanwire_wasm_bg.wasm web/src/wasm/chanwire_compose_bg.wasm web/src/wasm/chanwire_sandbox_bg.wasm
PAGE := web/dist/index.html
# The page's packages are there when npm has written this file after the lock file changed.
WEB_PACKAGES := web/node_modules/.package-lock.json
E2E_PACKAGES := tests/e2e/node_modules/.package-lock.json
PREFIX ?= /usr/local
ARGS ?=

RUST_SOURCES := $(shell find core native wasm -name '*.rs' -o -name '*.d.ts' -o -name Cargo.toml -o -name '*.html') Cargo.toml Cargo.lock
WEB_SOURCES := $(shell find web -type f -not -path '*/node_modules/*' -not -path 'web/dist/*' -not -path 'web/src/wasm/*')

.PHONY: help
help: ## Show this
	@echo 'make run      build if needed, then start the server with the inspector (ARGS="--listen …" goes to it)'
	@echo 'make build    build the whole release binary, page embedded, and print its path'
	@echo 'make test     set up, check and run every test'
	@echo 'make check    formats, lints and documentation, without tests'
	@echo 'make msrv     make check with Rust $(RUST_VERSION), whose warnings are errors'
	@echo 'make deny     licences and sources of what it is built with'
	@echo 'make bench    measure: core against serde_json, the server against Redis and NATS'
	@echo 'make bench-web  measure: the inspector in a browser, against plain JavaScript'
	@echo 'make package  make and check the packages that cargo would publish, page included'
	@echo 'make man      write the manual pages to $(MAN), and print their directory'
	@echo 'make install  copy the binary to PREFIX/bin and the manual pages to PREFIX/share/man (PREFIX=$(PREFIX))'
	@echo
	@echo 'make pictures make the README'\''s pictures again'
	@echo 'make fuzz     every fuzz target for FUZZ_SECONDS each (600)'
	@echo 'make simulate the simulator for SEEDS seeds (100000), or SEED=n to see one run'
	@echo 'make test-rules  the alert rules, with promtool'
	@echo 'make test-long  crashes by the hundred, readers by the thousand'

.PHONY: run
run: $(BINARY)
	@exec $(BINARY) serve $(ARGS)

.PHONY: build
build: $(BINARY)
	@echo $(CURDIR)/$(BINARY)

# What `cargo publish` would upload, checked by building it; the page is a part of it.
.PHONY: package
package: $(PAGE) | needs-rust
	trap 'rm -rf native/page' EXIT; rm -rf native/page; cp -r web/dist native/page; \
		$(CARGO) package --locked --allow-dirty -p chanwire-core -p chanwire-inspect -p chanwire

.PHONY: man
man: $(MAN)
	@echo $(CURDIR)/$(MAN)

$(MAN): $(BINARY)
	rm -rf $@
	$(BINARY) man $@

.PHONY: install
install: $(BINARY) $(MAN)
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/chanwire
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 $(MAN)/*.1
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man5 $(MAN)/*.5

# Tools: each is checked in one line, which says how to get it.

.PHONY: needs-rust needs-node
needs-rust:
	@$(CARGO) --version >/dev/null 2>&1 || { echo 'Rust is missing: install it with rustup ($(RUST_VERSION) or newer), then run this again' >&2; exit 1; }
	@cc --version >/dev/null 2>&1 || { echo "A C compiler is missing: run 'apt-get install build-essential' as root, then this again" >&2; exit 1; }
	@rustc --version | awk -v wanted=$(RUST_VERSION) '{ split($$2, v, "."); split(wanted, w, "."); exit !(v[1] > w[1] || v[1] == w[1] && v[2] >= w[2]) }' \
		|| { echo "Rust $(RUST_VERSION) or newer is needed, found $$(rustc --version): run 'rustup update stable'" >&2; exit 1; }

needs-node:
	@node -e 'process.exit((([a, b]) => a > 20 || a == 20 && b >= 19 ? 0 : 1)(process.versions.node.split(".")))' 2>/dev/null || { echo "Node.js 20.19 or newer is missing: install it from your system's packages or by nvm, then run this again" >&2; exit 1; }
	@npm --version >/dev/null 2>&1 || { echo 'npm is missing, which comes with Node.js: install it, then run this again' >&2; exit 1; }

.PHONY: wasm-target
wasm-target: | needs-rust
	@test -d "$$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown/lib" || rustup target add wasm32-unknown-unknown

# The binary: the browser's module, the page that loads it, and the program that embeds the page.

# The sandbox hears of a few frames a second, so its core is small rather than fast.
SMALL_CORE := --config 'profile.wasm.package.chanwire-core.opt-level="z"'

$(BINDINGS) &: $(RUST_SOURCES) | wasm-target
	CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS='-C target-feature=+simd128' \
		$(CARGO) build --locked -p chanwire-wasm -p chanwire-compose --lib --target wasm32-unknown-unknown --profile wasm
	CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS='-C target-feature=+simd128' \
		$(CARGO) build --locked -p chanwire-sandbox --lib --target wasm32-unknown-unknown --profile wasm $(SMALL_CORE)
	$(CARGO) run --locked --quiet -p chanwire-bindgen -- $(WASM)/chanwire_wasm.wasm web/src/wasm
	$(CARGO) run --locked --quiet -p chanwire-bindgen -- $(WASM)/chanwire_compose.wasm web/src/wasm
	$(CARGO) run --locked --quiet -p chanwire-bindgen -- $(WASM)/chanwire_sandbox.wasm web/src/wasm
	@touch $(BINDINGS)

$(WEB_PACKAGES): web/package.json web/package-lock.json | needs-node
	cd web && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

$(PAGE): $(BINDINGS) $(WEB_PACKAGES) $(WEB_SOURCES)
	cd web && npm run build
	@touch $@

$(BINARY): $(PAGE) $(RUST_SOURCES) | needs-rust
	$(CARGO) build --locked --release -p chanwire
	@touch $@

# Tests.

.PHONY: test
test: system-packages check test-rust test-wasm test-web test-e2e

.PHONY: test-rust
test-rust: $(BINARY) | needs-rust
	CHANWIRE_BIN=$(CURDIR)/$(BINARY) $(CARGO) test --locked --workspace --exclude chanwire-bindgen --features chanwire-tests/binary

# Core's tests again, where a pointer has 32 bits and nothing but WASI can be called; of the longest ones a part.
WASM_TESTS := fuzz_corpus wire_properties round_trip json_reader hub endpoint golden fault_table fields payload_errors \
	golden_channels protocol_page recorded
WASM_LONG_TESTS := endpoint_properties hub_properties together simulator
.PHONY: test-wasm
test-wasm: export CARGO_TARGET_WASM32_WASIP1_RUNNER = node --no-warnings $(CURDIR)/tests/wasm/run.mjs
test-wasm: | needs-rust needs-node
	@test -d "$$(rustc --print sysroot)/lib/rustlib/wasm32-wasip1/lib" || rustup target add wasm32-wasip1
	$(CARGO) test --locked -p chanwire-core -p chanwire-tests --target wasm32-wasip1 --lib $(WASM_TESTS:%=--test %)
	CHANWIRE_FEWER=20 $(CARGO) test --locked -p chanwire-tests --target wasm32-wasip1 $(WASM_LONG_TESTS:%=--test %) \
		-- --skip two_hundred_thousand

.PHONY: test-web
test-web: $(BINDINGS) $(WEB_PACKAGES)
	node --test wasm/tests/module.test.mjs
	cd web && npm run check && npm test

$(E2E_PACKAGES): tests/e2e/package.json tests/e2e/package-lock.json | needs-node
	cd tests/e2e && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

.PHONY: test-e2e
test-e2e: $(BINARY) $(E2E_PACKAGES)
	cd tests/e2e && CHANWIRE_BIN=$(CURDIR)/$(BINARY) npm test

# The pictures in the README come out of a test.
.PHONY: pictures
pictures: $(BINARY) $(E2E_PACKAGES) system-packages
	cd tests/e2e && CHANWIRE_PICTURES=$(CURDIR)/web/pictures CHANWIRE_BIN=$(CURDIR)/$(BINARY) node --test tap.test.mjs

# Debian puts servers where only root looks.
SYSTEM_PATH := $(PATH):/usr/sbin
NGINX_STREAM := /usr/lib/nginx/modules/ngx_stream_module.so

.PHONY: system-packages
system-packages:
	@tests/install-packages.sh chromium haproxy iproute2:/usr/bin/ip libnginx-mod-stream:$(NGINX_STREAM) nginx openssl strace tmux tshark

# The servers that this one is measured beside, and what counts instructions.
.PHONY: bench-packages
bench-packages:
	@tests/install-packages.sh redis-server nats-server valgrind

.PHONY: bench
bench: $(BINARY) bench-packages | needs-rust
	$(CARGO) bench --locked -p chanwire-tests --bench targets
	tests/benches/instructions.sh "$$($(CARGO) bench --locked -p chanwire-tests --bench targets --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))/\1/p')"
	$(CARGO) bench --locked -p chanwire-tests --bench speed
	PATH="$(SYSTEM_PATH)" CHANWIRE_BIN=$(CURDIR)/$(BINARY) $(CARGO) bench --locked -p chanwire-tests --bench network

# What the page can do, in a browser; everything it needs is what the end-to-end tests need.
.PHONY: bench-web
bench-web: system-packages $(BINARY) $(E2E_PACKAGES)
	cd tests/e2e && CHANWIRE_BIN=$(CURDIR)/$(BINARY) node bench.mjs

FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?= $(basename $(notdir $(wildcard tests/fuzz/fuzz_targets/*.rs)))
# Inputs longer than the decoder's BUFFER_STEP take another path through it.
fuzz-length = $$(case $(1) in decoder|oracle) echo 6000;; *) echo 512;; esac)
.PHONY: fuzz
fuzz: | needs-rust
	@cargo +nightly --version >/dev/null 2>&1 || rustup toolchain install nightly --profile minimal
	@cargo fuzz --version >/dev/null 2>&1 || cargo +nightly install cargo-fuzz --locked
	for target in $(FUZZ_TARGETS); do \
		mkdir -p tests/fuzz/found/$$target; \
		cargo +nightly fuzz run --fuzz-dir tests/fuzz -s none $$target tests/fuzz/found/$$target tests/fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=$(call fuzz-length,$$target) -timeout=20 -dict=tests/fuzz/dictionary -print_final_stats=1; \
	done

SEEDS ?= 100000
FROM ?= 0
.PHONY: simulate
simulate: | needs-rust
	$(CARGO) run --locked --quiet --profile simulate -p chanwire-tests --bin simulate -- \
		$(if $(SEED),--seed $(SEED) --verbose,--seeds $(SEEDS) --from $(FROM))

.PHONY: test-long
test-long: system-packages $(BINARY) | needs-rust
	CHANWIRE_CRASH_ROUNDS=300 CHANWIRE_READERS=1000 CHANWIRE_DRAINED=5000 CHANWIRE_BIN=$(CURDIR)/$(BINARY) $(CARGO) test --locked -p chanwire-tests --features binary

# Not part of `make test`: promtool comes in Debian's package `prometheus` only, with a server of 100 MB that it starts.
.PHONY: test-rules
test-rules:
	@command -v promtool >/dev/null || { echo "promtool is missing: run 'apt-get install prometheus' as root, which also starts a Prometheus server, then this again" >&2; exit 1; }
	cd native/packaging && promtool check rules prometheus.rules.yml && promtool test rules prometheus.rules.test.yml

# The flags that make warnings errors, for the one compiler of which all warnings are known.
deny-warnings = $$(case "$$($(CARGO) --version)" in "cargo $(RUST_VERSION)."*) echo '-D warnings';; esac)

.PHONY: check
check: | needs-rust
	@cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1 || rustup component add clippy rustfmt
	@test -n "$(deny-warnings)" || echo "$$($(CARGO) --version) is not $(RUST_VERSION): its warnings are shown and are no errors; see 'make msrv'"
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --features chanwire-tests/binary -- $(deny-warnings)
	RUSTDOCFLAGS="$(deny-warnings)" $(CARGO) doc --locked --workspace --no-deps --document-private-items

# The same with the oldest compiler, whichever is the default one.
.PHONY: msrv
msrv:
	@rustup run $(RUST_VERSION).0 rustc --version >/dev/null 2>&1 \
		|| rustup toolchain install $(RUST_VERSION).0 --profile minimal --no-self-update
	RUSTUP_TOOLCHAIN=$(RUST_VERSION).0 $(MAKE) check

# Advisories have to be fetched: `make deny DENY='advisories bans licenses sources'` looks at them too.
DENY ?= licenses bans sources
.PHONY: deny
deny: | needs-rust
	@cargo deny --version >/dev/null 2>&1 || $(CARGO) install cargo-deny --locked
	$(CARGO) deny --locked check $(DENY)
