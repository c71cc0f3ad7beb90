//! Mooncake's JSON lines.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::entry::Entry;
use super::error::LineFault;
use super::json::object;
use super::number::{self, NS_PER_MS, excerpt};
use crate::request::{Prompt, Span};

/// The fields as text, so that an error can name the field. Others are passed over: derived traces add their own.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input_length: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output_length: Option<&'a RawValue>,
    #[serde(borrow, default)]
    hash_ids: Option<&'a RawValue>,
}

/// Reads one line; `block_tokens` is what one hash id stands for.
pub(super) fn parse(line: &[u8], block_tokens: u32) -> Result<Entry, LineFault> {
    let fields: Fields<'_> = object(line)?;
    let input_length = number::tokens("input_length", text("input_length", fields.input_length)?)?;
    let output_length = number::tokens("output_length", text("output_length", fields.output_length)?)?;
    let arrival_ns = number::time("timestamp", text("timestamp", fields.timestamp)?, NS_PER_MS)?;
    let ids = hash_ids(text("hash_ids", fields.hash_ids)?)?;
    Ok(Entry {
        arrival_ns,
        prompt: Prompt::spans(spans(&ids, input_length, block_tokens)?),
        max_tokens: output_length,
        priority: 0,
        name: None,
    })
}

fn text<'a>(field: &'static str, value: Option<&'a RawValue>) -> Result<&'a str, LineFault> {
    value.map(RawValue::get).ok_or(LineFault::Missing { field })
}

fn hash_ids(text: &str) -> Result<Vec<u64>, LineFault> {
    serde_json::from_str(text).map_err(|_| LineFault::Number {
        field: "hash_ids",
        found: excerpt(text),
        wanted: "a list of whole numbers from 0 to 18446744073709551615",
    })
}

/// Gives every block its length: all are whole but the last, which holds what is left.
fn spans(ids: &[u64], input_length: u32, block_tokens: u32) -> Result<Vec<Span>, LineFault> {
    let expected = u64::from(input_length.div_ceil(block_tokens));
    if u64::try_from(ids.len()) != Ok(expected) {
        return Err(LineFault::Blocks {
            input_length,
            block_tokens,
            expected,
            found: ids.len(),
        });
    }
    let mut left = input_length;
    let span = |id: &u64| {
        let len = left.min(block_tokens);
        left -= len;
        Span::new(*id, len)
    };
    Ok(ids.iter().map(span).collect())
}
