//! Encodes flat columns of integers, times and short lists of text, without the crate `parquet`'s levels and gathers.
//!
//! A busy engine writes a row per step, and in most steps most columns say what they said before. So a column's values are
//! walked as runs: one that changes seldom becomes a dictionary of its few values with run-length indices, at a fraction
//! of a nanosecond a value. Everything else goes into the encoding that was [measured](crate::encoding), on native integers.
//!
//! | file | what it does |
//! |---|---|
//! | `native.rs` | the integers, as bits |
//! | `gather.rs` | a column's chunks as pages: values that are there, levels as runs |
//! | `runs.rs` | runs of equal values |
//! | `packing.rs` | variable-length integers and bit packing |
//! | `hybrid.rs` | run-length / bit-packed hybrid: levels and dictionary indices |
//! | `dictionary.rs` | distinct values |
//! | `delta.rs` | `DELTA_BINARY_PACKED` |
//! | `encode.rs` | picks the encoding and makes page bodies |
//! | `chunk.rs` | page bodies to a column chunk of a file |

mod chunk;
mod delta;
mod dictionary;
mod encode;
mod gather;
mod hybrid;
mod native;
mod packing;
mod runs;
#[cfg(test)]
mod tests;

pub(crate) use chunk::{Chunk, Codec};
pub(crate) use encode::{Column, is_ours};
