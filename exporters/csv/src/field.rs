//! Single fields.

use memchr::memchr3;

/// Appends an integer.
pub(crate) fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a float in the shortest form that reads back as the same number.
pub(crate) fn float(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(zmij::Buffer::new().format(value).as_bytes());
}

/// Appends text, quoted where a reader could take it for something else: see RFC 4180. Empty text is quoted, since an
/// empty field is a missing value.
pub(crate) fn text(out: &mut Vec<u8>, value: &str) {
    if !needs_quotes(value) {
        out.extend_from_slice(value.as_bytes());
        return;
    }
    out.push(b'"');
    for (place, piece) in value.split('"').enumerate() {
        if place > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(piece.as_bytes());
    }
    out.push(b'"');
}

fn needs_quotes(value: &str) -> bool {
    let bytes = value.as_bytes();
    // Space at the ends is trimmed by some readers.
    let bare = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_whitespace);
    bare(bytes.first())
        || bare(bytes.last())
        || memchr3(b',', b'"', b'\n', bytes).is_some()
        || bytes.contains(&b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_where_needed() {
        for (value, expected) in [
            ("plain", "plain"),
            ("größe-日本", "größe-日本"),
            ("", "\"\""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("cr\r", "\"cr\r\""),
            (" space", "\" space\""),
        ] {
            let mut out = Vec::new();
            text(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
