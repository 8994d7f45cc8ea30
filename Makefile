# `make run` starts Moxxy, `make test` checks everything. Both fetch what they need by themselves.

SKILLS  := text notes clock fetch github
PROVIDERS := offline script openai anthropic ollama
WASM    := wasm32-wasip2
BUILT   := target/$(WASM)/component
HOME_DIR ?= $(CURDIR)/.moxxy
WIT     := $(shell find wit -name "*.wit")
DENY    := target/tools/bin/cargo-deny

.PHONY: run test deps components test-components languages clients bench crash fuzz targets clean

run: components
	cargo build --release --bin moxxy
	target/release/moxxy --home "$(HOME_DIR)" serve --demo

test: components test-components languages clients $(DENY)
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	$(DENY) --log-level error check bans licenses sources
	rm -f target/outcomes.txt
	cargo test --workspace --exclude hostile --quiet
	@echo 'What became of each attack:'; sort -u target/outcomes.txt

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

# The components that we ship: the binary embeds what lies in target/components.
components: targets
	cargo build --quiet --profile component --target $(WASM) $(addprefix -p ,$(SKILLS) $(PROVIDERS))
	mkdir -p target/components
	$(foreach name,$(SKILLS) $(PROVIDERS),cmp -s $(BUILT)/$(name).wasm target/components/$(name).wasm \
		|| cp $(BUILT)/$(name).wasm target/components/$(name).wasm;)

# Components that only the tests use: those that misbehave, and a core module.
test-components: targets
	cargo build --quiet --profile component --target $(WASM) -p hostile -p moxxy-sdk --examples
	cargo build --quiet --profile component --target wasm32-unknown-unknown -p text
	mkdir -p target/test-components
	for file in $(BUILT)/examples/[a-z_]*.wasm; do case $$file in *-[0-9a-f]*) ;; *) cp $$file target/test-components/;; esac; done
	cp target/wasm32-unknown-unknown/component/text.wasm target/test-components/text_module.wasm

# Skills in other languages, by their own tools. Without those the tests of them are skipped.
languages: target/test-components/stats.wasm target/test-components/regex.wasm

target/python/bin/componentize-py:
	python3 -m venv target/python
	target/python/bin/pip install --quiet componentize-py==0.25.1

target/test-components/stats.wasm: example-skills/stats/app.py $(WIT)
	mkdir -p $(@D)
	if python3 -c 'import ensurepip, venv'; then \
		$(MAKE) target/python/bin/componentize-py && \
		target/python/bin/componentize-py -d wit -w skill componentize -p example-skills/stats app -o $@; \
	else echo "skipped: there is no Python with venv to build $@"; fi

target/test-components/regex.wasm: example-skills/regex/skill.js example-skills/regex/build.mjs $(WIT)
	mkdir -p $(@D) target/node
	if npm --version > /dev/null; then \
		cp example-skills/regex/package*.json target/node/ && npm install --silent --prefix target/node && \
		ln -sfn ../../target/node/node_modules example-skills/regex/node_modules && \
		node example-skills/regex/build.mjs $@; \
	else echo "skipped: there is no Node.js to build $@"; fi

# What generates, checks and runs clients of the API. Without it the tests of them are skipped.
clients: target/clients/node_modules/.package-lock.json target/clients/python/installed

target/clients/node_modules/.package-lock.json: tests/clients/package.json tests/clients/package-lock.json
	mkdir -p target/clients
	if npm --version > /dev/null; then \
		cp tests/clients/package*.json target/clients/ && npm ci --silent --prefix target/clients && touch $@; \
	else echo "skipped: there is no Node.js for the clients"; fi

target/clients/python/installed: tests/clients/requirements.txt
	if python3 -c 'import ensurepip, venv'; then \
		python3 -m venv target/clients/python && \
		target/clients/python/bin/pip install --quiet -r tests/clients/requirements.txt && touch $@; \
	else echo "skipped: there is no Python with venv for the clients"; fi

# Prints ratios against a floor measured in the same run, and what many components cost.
bench: components test-components
	cargo bench --bench calls
	cargo bench --bench neighbours
	cargo bench --bench many
	cargo bench --bench rates
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
fuzz: target/tools/bin/cargo-fuzz
	for target in grants inject noninterference redact urls install; do \
		RUSTC_BOOTSTRAP=1 PATH="$(CURDIR)/target/tools/bin:$$PATH" cargo fuzz run --fuzz-dir tests/fuzz \
			--target-dir target/fuzz $$target -- -max_total_time=$(SECONDS_EACH) -max_len=65536 || exit 1; \
	done

target/tools/bin/cargo-fuzz:
	cargo install cargo-fuzz --locked --version 0.13.2 --root target/tools --quiet

$(DENY):
	cargo install cargo-deny --locked --version 0.20.2 --root target/tools --quiet

clean:
	cargo clean
