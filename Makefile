# `make run` starts Moxxy, `make test` checks everything. Both fetch what they need by themselves.

SKILLS  := text notes
PROVIDERS := offline script
WASM    := wasm32-wasip2
BUILT   := target/$(WASM)/component
HOME_DIR ?= $(CURDIR)/.moxxy
DENY    := target/tools/bin/cargo-deny

.PHONY: run test deps components test-components bench targets clean

run: components
	cargo build --release --bin moxxy
	target/release/moxxy --home "$(HOME_DIR)" serve --demo

test: components test-components $(DENY)
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	$(DENY) --log-level error check bans licenses sources
	cargo test --workspace --exclude hostile --quiet

# System packages that the tests use: none yet.
deps:

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
	cargo build --quiet --profile component --target $(WASM) -p hostile --examples
	cargo build --quiet --profile component --target wasm32-unknown-unknown -p text
	mkdir -p target/test-components
	for file in $(BUILT)/examples/[a-z_]*.wasm; do case $$file in *-[0-9a-f]*) ;; *) cp $$file target/test-components/;; esac; done
	cp target/wasm32-unknown-unknown/component/text.wasm target/test-components/text_module.wasm

# Prints ratios against a floor measured in the same run.
bench: components test-components
	cargo bench --bench calls
	cargo bench --bench neighbours

$(DENY):
	cargo install cargo-deny --locked --version 0.20.2 --root target/tools --quiet

clean:
	cargo clean
