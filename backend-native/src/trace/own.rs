//! The JSON lines of this project.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::entry::Entry;
use super::error::LineFault;
use super::json::object;
use super::number::{self, NS_PER_S, excerpt};
use crate::request::{Prompt, Span};

/// Unknown fields are errors: a misspelt one would be passed over in silence.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow, default)]
    arrival_s: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arrival_ns: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    spans: Option<&'a RawValue>,
    #[serde(borrow, default)]
    length: Option<&'a RawValue>,
    #[serde(borrow, default)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    priority: Option<&'a RawValue>,
    #[serde(default)]
    name: Option<String>,
}

/// Reads one line; `index` is the request's number.
pub(super) fn parse(line: &[u8], index: u64) -> Result<Entry, LineFault> {
    let fields: Fields<'_> = object(line)?;
    let Some(max_tokens) = fields.max_tokens else {
        return Err(LineFault::Missing { field: "max_tokens" });
    };
    let priority = fields.priority.map(|text| number::small("priority", text.get()));
    Ok(Entry {
        arrival_ns: arrival(&fields)?,
        prompt: prompt(&fields, index)?,
        max_tokens: number::tokens("max_tokens", max_tokens.get())?,
        priority: priority.transpose()?.unwrap_or(0),
        name: fields.name,
    })
}

fn arrival(fields: &Fields<'_>) -> Result<u64, LineFault> {
    match (fields.arrival_s, fields.arrival_ns) {
        (None, None) => Ok(0),
        (Some(text), None) => number::time("arrival_s", text.get(), NS_PER_S),
        (None, Some(text)) => number::nanoseconds("arrival_ns", text.get()),
        (Some(_), Some(_)) => Err(LineFault::OneOf {
            found: 2,
            choices: "`arrival_s`, `arrival_ns`",
        }),
    }
}

fn prompt(fields: &Fields<'_>, index: u64) -> Result<Prompt, LineFault> {
    match (fields.tokens, fields.spans, fields.length) {
        (Some(text), None, None) => tokens(text.get()).map(Prompt::tokens),
        (None, Some(text), None) => spans(text.get()).map(Prompt::spans),
        (None, None, Some(text)) => Ok(Entry::unshared(number::tokens("length", text.get())?, index)),
        (tokens, spans, length) => Err(LineFault::OneOf {
            found: [tokens, spans, length].iter().flatten().count(),
            choices: "`tokens`, `spans`, `length`",
        }),
    }
}

fn tokens(text: &str) -> Result<Vec<u32>, LineFault> {
    let list = serde_json::from_str(text)
        .ok()
        .filter(|list: &Vec<u32>| !list.is_empty());
    list.ok_or_else(|| LineFault::Number {
        field: "tokens",
        found: excerpt(text),
        wanted: "a list of one or more token ids from 0 to 4294967295",
    })
}

fn spans(text: &str) -> Result<Vec<Span>, LineFault> {
    let wanted = "a list of one or more [id, length] pairs, lengths from 1 to 4294967295";
    let fault = || LineFault::Number {
        field: "spans",
        found: excerpt(text),
        wanted,
    };
    let pairs: Vec<(u64, u32)> = serde_json::from_str(text).map_err(|_| fault())?;
    if pairs.is_empty() || pairs.iter().any(|(_, len)| *len == 0) {
        return Err(fault());
    }
    let sum: u64 = pairs.iter().map(|(_, len)| u64::from(*len)).sum();
    if sum > u64::from(u32::MAX) {
        return Err(LineFault::PromptTooLong { found: sum });
    }
    if let Some((id, _)) = pairs.iter().find(|(id, _)| *id >= Entry::FIRST_UNSHARED_ID) {
        return Err(LineFault::SpanId {
            found: *id,
            max: Entry::FIRST_UNSHARED_ID - 1,
        });
    }
    Ok(pairs.into_iter().map(|(id, len)| Span::new(id, len)).collect())
}
