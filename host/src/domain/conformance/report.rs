//! What came of a check, for programs and for people.
