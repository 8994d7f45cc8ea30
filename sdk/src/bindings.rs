//! What `wit-bindgen` generates.
//!
//! The worlds of the contract share the interface `plugin`, and two generated worlds of one
//! crate must not export the same interface. So each module has a world with one export;
//! `export_skill!` and `export_provider!` join two of them, and the linker merges the worlds.
#![allow(
    unsafe_code,
    missing_docs,
    dead_code,
    clippy::all,
    reason = "generated code; what it needs changes with the generator"
)]

pub mod plugin {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package moxxy:sdk;
            world plugin {
                import wasi:config/store@0.2.0-rc.1;
                import wasi:logging/logging@0.1.0-draft;
                import moxxy:plugin/vault@0.2.0;
                import moxxy:plugin/vault-sign@0.2.0;
                import moxxy:plugin/vault-reveal@0.2.0;
                export moxxy:plugin/plugin@0.2.0;
            }
        ",
        pub_export_macro: true,
        export_macro_name: "export_plugin",
        default_bindings_module: "::moxxy_sdk::bindings::plugin",
        additional_derives: [PartialEq],
        generate_all,
    });
}

pub mod tools {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package moxxy:sdk;
            world tools {
                import wasi:keyvalue/store@0.2.0-draft2;
                import moxxy:plugin/session@0.2.0;
                export moxxy:plugin/tools@0.2.0;
            }
        ",
        pub_export_macro: true,
        export_macro_name: "export_tools",
        default_bindings_module: "::moxxy_sdk::bindings::tools",
        additional_derives: [PartialEq],
        generate_all,
    });
}

pub mod models {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package moxxy:sdk;
            world models {
                export moxxy:plugin/models@0.2.0;
            }
        ",
        pub_export_macro: true,
        export_macro_name: "export_models",
        default_bindings_module: "::moxxy_sdk::bindings::models",
        additional_derives: [PartialEq],
        generate_all,
    });
}
