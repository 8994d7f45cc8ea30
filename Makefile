# `make run` starts Moxxy, `make test` checks everything. Both fetch what they need by themselves.

# The folder of everything that is built, which can be kept between checkouts: CARGO_TARGET_DIR.
TARGET  := $(shell cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
# The crates among the examples: `build.rs` embeds their components.
BUNDLED := $(sort $(notdir $(patsubst %/Cargo.toml,%,$(wildcard example-skills/*/*/Cargo.toml))))
WASM    := wasm32-wasip2
HOME_DIR ?= $(CURDIR)/.moxxy
WIT     := $(shell find wit -name "*.wit")
TOOLS   := $(TARGET)/tools
DENY    := $(TOOLS)/bin/cargo-deny
STAGE   := @.ci/stage
MAKE    += --no-print-directory

.PHONY: run test peers peers-if-changed lint deps targets components test-components languages clients bench crash fuzz clean

run: components
	cargo build --release --bin moxxy
	$(TARGET)/release/moxxy --home "$(HOME_DIR)" serve --demo

test:
	$(STAGE) 'components and clients' $(MAKE) --jobs=4 components test-components languages clients
	$(STAGE) 'lints and licences' $(MAKE) lint
	rm -f $(TARGET)/outcomes.txt
	$(STAGE) 'build of the tests' cargo test --workspace --exclude hostile --quiet --no-run
	$(STAGE) 'tests' cargo test --workspace --exclude hostile --quiet
	@echo 'What became of each attack:'; sort -u $(TARGET)/outcomes.txt

lint: $(DENY)
	cargo fmt --all --check
	$(DENY) --log-level error check bans licenses sources
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo doc --workspace --exclude hostile --no-deps --quiet

# System packages that the tests use: Python and Node.js, which build the skills in their languages,
# and what stands between a server and its callers, a browser and a proxy.
deps:
	python3 -c 'import ensurepip, venv' || (apt-get update && apt-get install -y python3 python3-venv)
	npm --version > /dev/null || (apt-get update && apt-get install -y nodejs npm)
	chromium-headless-shell --version > /dev/null || chromium --version > /dev/null || (apt-get update \
		&& apt-get install -y --no-install-recommends chromium-headless-shell)
	curl --version > /dev/null || (apt-get update && apt-get install -y --no-install-recommends curl)
	PATH="$$PATH:/usr/sbin" nginx -v || (apt-get update && apt-get install -y --no-install-recommends nginx)

targets:
	rustup target add $(WASM) wasm32-unknown-unknown

# The components that we ship.
components: targets
	cargo build --quiet --profile component --target $(WASM) $(addprefix -p ,$(BUNDLED))
	mkdir -p $(TARGET)/components
	for name in $(BUNDLED); do cmp -s $(TARGET)/$(WASM)/component/$$name.wasm $(TARGET)/components/$$name.wasm \
		|| cp $(TARGET)/$(WASM)/component/$$name.wasm $(TARGET)/components/ || exit 1; done

# Components that only the tests use: those that misbehave, and a core module.
test-components: targets
	cargo build --quiet --profile component --target $(WASM) -p hostile -p moxxy-sdk --examples
	cargo build --quiet --profile component --target wasm32-unknown-unknown -p text
	mkdir -p $(TARGET)/test-components
	cd $(TARGET)/$(WASM)/component/examples && for file in [a-z_]*.wasm; do \
		case $$file in *-[0-9a-f]*) ;; *) cp $$file $(TARGET)/test-components/ || exit 1;; esac; done
	cp $(TARGET)/wasm32-unknown-unknown/component/text.wasm $(TARGET)/test-components/text_module.wasm

# Skills in other languages, by their own tools. Without those the tests of them are skipped.
languages: $(TARGET)/test-components/stats.wasm $(TARGET)/test-components/regex.wasm

$(TARGET)/python/bin/componentize-py:
	python3 -m venv $(TARGET)/python
	$(TARGET)/python/bin/pip install --quiet --no-compile componentize-py==0.25.1

$(TARGET)/test-components/stats.wasm: example-skills/skills/stats/app.py $(WIT)
	mkdir -p $(@D)
	if python3 -c 'import ensurepip, venv'; then \
		$(MAKE) $(TARGET)/python/bin/componentize-py && \
		$(TARGET)/python/bin/componentize-py -d wit -w skill componentize -p example-skills/skills/stats app -o $@; \
	else echo "skipped: there is no Python with venv to build $@"; fi

$(TARGET)/test-components/regex.wasm: example-skills/skills/regex/skill.js example-skills/skills/regex/build.mjs $(WIT)
	mkdir -p $(@D) $(TARGET)/node
	if npm --version > /dev/null; then \
		cp example-skills/skills/regex/package*.json $(TARGET)/node/ && npm install --silent --prefix $(TARGET)/node && \
		ln -sfn $(TARGET)/node/node_modules example-skills/skills/regex/node_modules && \
		node example-skills/skills/regex/build.mjs $@; \
	else echo "skipped: there is no Node.js to build $@"; fi

# Clients that talk to the server. Without them the tests of them are skipped.
clients: $(TARGET)/clients/node_modules/.package-lock.json $(TARGET)/clients/python/installed

$(TARGET)/clients/node_modules/.package-lock.json: tests/clients/package.json tests/clients/package-lock.json
	mkdir -p $(TARGET)/clients
	if npm --version > /dev/null; then \
		cp tests/clients/package*.json $(TARGET)/clients/ && npm ci --silent --prefix $(TARGET)/clients \
		&& touch $@; \
	else echo "skipped: there is no Node.js for the clients"; fi

$(TARGET)/clients/python/installed: tests/clients/requirements.txt
	if python3 -c 'import ensurepip, venv'; then \
		python3 -m venv $(TARGET)/clients/python && \
		$(TARGET)/clients/python/bin/pip install --quiet --no-compile -r tests/clients/requirements.txt && touch $@; \
	else echo "skipped: there is no Python with venv for the clients"; fi

# Linters and generators that read the API's description, and the clients that they make. They take long, and
# find nothing new while what they cover is as it was when they last passed: $(PASSED) is its digest.
PASSED := tests/clients/passed.sha256
DIGEST  = cat $(TARGET)/openapi.json Makefile tests/it/clients.rs $(filter-out $(PASSED),$(wildcard tests/clients/*)) | sha256sum

peers: clients
	cargo test --quiet --test it -- --include-ignored clients:: the_documentation
	$(DIGEST) > $(PASSED)

peers-if-changed:
	@if $(DIGEST) | cmp -s - $(PASSED); then echo 'Nothing that `make peers` covers has changed.'; else $(MAKE) peers; fi

# Prints ratios against a floor measured in the same run, and what many components and much data cost.
bench: components test-components
	cargo bench --bench calls
	cargo bench --bench growth
	cargo bench --bench neighbours
	cargo bench --bench many
	cargo bench --bench rates
	cargo bench --bench runs
	cargo bench --bench redact
	cargo bench --bench schemas
	cargo bench --bench secrets
	cargo bench --bench streams

# Kills the server at every moment of its journal, and a thousand runs at random.
crash: components test-components
	EVERY_MOMENT=1 cargo test --workspace --exclude hostile --quiet --test it crash:: -- --nocapture

# Looks for bytes that break what `tests/fuzz/checks` says, a minute a target. What it finds is kept in
# tests/fuzz/artifacts; what reaches further than before joins the corpus.
SECONDS_EACH ?= 60
fuzz: $(TOOLS)/bin/cargo-fuzz
	for target in grants inject noninterference redact urls install; do \
		RUSTC_BOOTSTRAP=1 PATH="$(TOOLS)/bin:$$PATH" cargo fuzz run --fuzz-dir tests/fuzz \
			--target-dir $(TARGET)/fuzz $$target -- -max_total_time=$(SECONDS_EACH) -max_len=65536 || exit 1; \
	done

$(TOOLS)/bin/%: .ci/tools.txt
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --no-compile -r .ci/tools.txt
	touch -c $(TOOLS)/bin/*

clean:
	cargo clean
