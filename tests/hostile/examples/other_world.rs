//! A component that is no plugin: it exports something of its own.

mod bindings {
    #![allow(unsafe_code, clippy::all, reason = "generated code; what it needs changes with the generator")]
    wit_bindgen::generate!({
        inline: "
            package other:thing@1.0.0;
            interface greeter {
                greet: func(name: string) -> string;
            }
            world other {
                export greeter;
            }
        ",
    });

    use super::Other;
    export!(Other);
}

use bindings::exports::other::thing::greeter::Guest;

struct Other;

impl Guest for Other {
    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }
}
