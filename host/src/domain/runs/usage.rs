//! What model calls used, and what is reserved for them.
