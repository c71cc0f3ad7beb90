//! Reads a metrics page that speaks vLLM's names.
//!
//! | module | what it does |
//! |---|---|
//! | `text` | the exposition format: lines into samples |
//! | `mapping` | which name, with which label, is which metric |
//! | `page` | samples into values, added up over engines |
//! | `source` | a page as a [`StatsSource`](kvlens_core::StatsSource) of its own |

mod mapping;
mod page;
mod source;
mod text;

pub use page::{FixedValues, Page};
pub use source::PrometheusSource;
pub use text::{Line, lines};
