//! Text and data put into HTML, so that nothing in them is taken for markup.

/// Escapes text for an element's content or a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters are no HTML, whichever way they are written.
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Makes JSON fit for a `script` element: what could end it, or begin a comment in it, is written as an escape of JSON.
pub(crate) fn script_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn json_in_a_script_stays_the_same_json(text in any::<String>()) {
            let json = serde_json::to_string(&text)?;
            let safe = script_json(&json);
            prop_assert!(!safe.contains(['<', '>', '&']));
            prop_assert_eq!(serde_json::from_str::<String>(&safe)?, text);
        }

        #[test]
        fn text_has_no_markup(text in any::<String>()) {
            let safe = escape(&text);
            prop_assert!(!safe.contains(['<', '>', '"', '\'']));
            prop_assert!(safe.matches('&').count() <= text.chars().count());
        }
    }

    #[test]
    fn a_script_can_t_be_ended() {
        assert_eq!(
            escape("</script>'\"&\u{0}"),
            "&lt;/script&gt;&#39;&quot;&amp;\u{fffd}"
        );
        assert_eq!(
            script_json("\"</script><!--\""),
            "\"\\u003c/script\\u003e\\u003c!--\""
        );
    }
}
