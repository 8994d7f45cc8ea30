//! Bindings generated from `wit/`. Each exported interface has its own world, so one prepared component serves
//! `manifest`, `list-tools` and calls with one set of types.
#![allow(unreachable_pub, unsafe_code, reason = "generated code lifts and lowers values itself, and is public")]
#![allow(clippy::all, clippy::unwrap_used, clippy::indexing_slicing, reason = "generated code")]

pub mod imports {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package moxxy:host;
            world imports {
                import wasi:config/store@0.2.0-rc.1;
                import wasi:logging/logging@0.1.0-draft;
                import moxxy:plugin/session@0.2.0;
            }
        ",
        world: "moxxy:host/imports",
        imports: { default: trappable },
    });
}

/// Async imports, which wait for the database.
pub mod waiting {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package moxxy:host;
            world waiting {
                import wasi:keyvalue/store@0.2.0-draft2;
                import moxxy:plugin/vault@0.2.0;
                import moxxy:plugin/vault-sign@0.2.0;
                import moxxy:plugin/vault-reveal@0.2.0;
            }
        ",
        world: "moxxy:host/waiting",
        imports: { default: async | trappable },
        with: {
            "wasi:keyvalue/store.bucket": crate::imports::keyvalue::Bucket,
            "moxxy:plugin/vault.secret": crate::imports::vault::Secret,
        },
    });
}

pub mod plugin {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package moxxy:host; world plugin-world { export moxxy:plugin/plugin@0.2.0; }",
        world: "moxxy:host/plugin-world",
        exports: { default: async },
    });
}

pub mod tools {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package moxxy:host; world tools-world { export moxxy:plugin/tools@0.2.0; }",
        world: "moxxy:host/tools-world",
        exports: { default: async },
    });
}

pub mod models {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package moxxy:host; world models-world { export moxxy:plugin/models@0.2.0; }",
        world: "moxxy:host/models-world",
        additional_derives: [serde::Serialize],
        exports: { default: async },
    });
}

impl Default for models::exports::moxxy::plugin::models::ModelOptions {
    /// Returns options of which none is set.
    fn default() -> Self {
        Self { temperature: None, top_p: None, stop: Vec::new(), reasoning_effort: None, thinking: None, extra: None }
    }
}
