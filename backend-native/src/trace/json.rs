//! Lines that are JSON objects.

use serde::Deserialize;
use serde::de::Error;

use super::error::LineFault;

/// Takes an object apart into its fields.
pub(super) fn object<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, LineFault> {
    let fields = if line.starts_with(b"{") {
        serde_json::from_slice(line)
    } else {
        // A list would do for a struct, its elements taken as the fields in their order.
        Err(serde_json::Error::custom("the line does not begin with `{`"))
    };
    fields.map_err(|cause| LineFault::Json { cause })
}
