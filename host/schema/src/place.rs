//! Position within a value.

use std::fmt;

/// Path into a value, linked from its end to the root.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'p> {
    Root,
    Field(&'p Place<'p>, &'p str),
    Item(&'p Place<'p>, usize),
}

/// Maximum length of a field name in a message, in characters.
const MAX_NAME_CHARS: usize = 64;

impl Place<'_> {
    /// Returns the number of fields and items in the path.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::Root => 0,
            Self::Field(parent, _) | Self::Item(parent, _) => 1 + parent.depth(),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => write!(f, "{name:.MAX_NAME_CHARS$}"),
            Self::Field(parent, name) => write!(f, "{parent}.{name:.MAX_NAME_CHARS$}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}
