//! The module graph of the server, read from every path in its source, nested imports included.

mod graph;
mod imports;

pub use graph::Graph;
