//! Behaviour across the crates of kvlens.
