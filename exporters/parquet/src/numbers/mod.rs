//! Encodes flat columns of integers, times and short lists of text, without the crate `parquet`'s levels and gathers.
//!
//! A busy engine writes a row per step, and in most steps most columns say what they said before. So a column's values are
//! walked as runs: one that changes seldom becomes a dictionary of its few values with run-length indices, at a fraction
//! of a nanosecond a value. Everything else goes into the encoding that was [measured](crate::encoding), on native integers.
//!
//! | file | what it does |
//! |---|---|
//! | `native.rs` | the integers, as bits |
//! | `page.rs` | rows that wait for their page to be full: values that are there, levels as runs |
//! | `runs.rs` | runs of equal values |
//! | `packing.rs` | variable-length integers and bit packing |
//! | `hybrid.rs` | run-length / bit-packed hybrid: levels and dictionary indices |
//! | `dictionary.rs` | distinct values |
//! | `delta.rs` | `DELTA_BINARY_PACKED` |
//! | `body.rs` | a page's values to its bytes |
//! | `integers.rs`, `texts.rs` | which encoding a page gets; dictionaries and statistics |
//! | `column.rs` | arrays in, pages out |
//! | `chunk.rs` | pages to a column chunk of a file |

mod body;
mod chunk;
mod column;
mod delta;
mod dictionary;
mod hybrid;
mod integers;
mod native;
mod packing;
mod page;
mod runs;
#[cfg(test)]
mod tests;
mod texts;

pub(crate) use chunk::{Chunk, Codec};
pub(crate) use column::OpenColumn;
