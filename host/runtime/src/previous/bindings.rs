//! Generated from the frozen interfaces of version 0.1.

pub(super) mod tools {
    wasmtime::component::bindgen!({
        path: "wit-0.1",
        inline: "
            package moxxy:host;
            world tools-world {
                export moxxy:plugin/plugin@0.1.0;
                export moxxy:plugin/tools@0.1.0;
            }
        ",
        world: "moxxy:host/tools-world",
        exports: { default: async },
    });
}

pub(super) mod models {
    wasmtime::component::bindgen!({
        path: "wit-0.1",
        inline: "
            package moxxy:host;
            world models-world {
                export moxxy:plugin/plugin@0.1.0;
                export moxxy:plugin/models@0.1.0;
            }
        ",
        world: "moxxy:host/models-world",
        exports: { default: async },
    });
}

pub(super) mod imports {
    wasmtime::component::bindgen!({
        path: "wit-0.1",
        inline: "
            package moxxy:host;
            world imports {
                import moxxy:plugin/session@0.1.0;
                import moxxy:plugin/vault@0.1.0;
                import moxxy:plugin/vault-sign@0.1.0;
                import moxxy:plugin/vault-reveal@0.1.0;
            }
        ",
        world: "moxxy:host/imports",
        imports: { default: async | trappable },
        with: { "moxxy:plugin/vault.secret": crate::imports::vault::Secret },
    });
}
