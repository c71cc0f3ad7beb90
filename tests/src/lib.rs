//! The tests that cross crates are in `tests/`, one file per theme; `README.md` says which.
