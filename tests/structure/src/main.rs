//! `cargo run -p structure -- FOLDER [DEPTH]` prints the edges between modules of the crate in a folder, merged below
//! a depth, and the cycles among files.

use std::{env, io, path::PathBuf};

use structure::Graph;

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let source = PathBuf::from(arguments.next().unwrap_or_else(|| "host/server/src".into()));
    let depth = arguments.next().and_then(|depth| depth.parse().ok()).unwrap_or(usize::MAX);
    let graph = Graph::of_crate(&source)?;
    let top = |module: &str| module.split("::").take(depth).collect::<Vec<_>>().join("::");
    for (from, to) in graph.grouped(top).edges() {
        println!("{from} -> {to}");
    }
    for cycle in graph.cycles() {
        println!("cycle of {}: {}", cycle.len(), cycle.into_iter().collect::<Vec<_>>().join(" "));
    }
    Ok(())
}
