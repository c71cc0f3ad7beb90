//! What tests that cross crates share: the work of the [`fuzz`] targets. The tests themselves are in `tests/`, one file
//! per theme; `README.md` says which.

pub mod fuzz;
