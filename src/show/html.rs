//! Escapes text for HTML.

/// The text as content of an element or of an attribute in quotes.
pub fn escape_html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
#[test]
fn nothing_becomes_markup() {
    assert_eq!(escape_html("<a b='c' d=\"e\">&ä"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;ä");
}
