use crate::clean::clean;

/// The text as a code span, which shows every character as it is. Its fence is longer than any run of backticks inside
/// (CommonMark 0.31 section 6.1).
pub(crate) fn code(text: &str) -> String {
    let text = clean(text);
    if text.trim().is_empty() {
        return "(empty)".to_owned();
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') || text.starts_with(' ') && text.ends_with(' ') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// A code span inside a table, where a bar would end the cell even within the span (GFM section 4.10).
pub(crate) fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// Running text: marks that would format are escaped, and whatever a ticket system would make a link or a mention of becomes a
/// code span.
pub(crate) fn prose(text: &str) -> String {
    let text = clean(text);
    let word = |word: &str| {
        let lower = word.to_ascii_lowercase();
        if lower.contains("://") || lower.contains("www.") || word.contains('@') {
            // A sentence's last stop or comma is not part of the address.
            let core = word.trim_end_matches(['.', ',', ';', ':', ')']);
            format!("{}{}", cell(core), &word[core.len()..])
        } else {
            escaped(word)
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn escaped(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut before = None;
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        let inside_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '_' if inside_word(before) && inside_word(chars.peek().copied()) => out.push('_'),
            '#' if inside_word(before) => out.push('#'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
        before = Some(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_formats_nothing() {
        assert_eq!(prose("<b>*x*</b> ![a](b) a_b _c_ | #1"), r"&lt;b&gt;\*x\*&lt;/b&gt; \!\[a\](b) a_b \_c\_ \| \#1");
        assert_eq!(prose("see https://x.example/a|b, or @all."), r"see `https://x.example/a\|b`, or `@all`.");
    }

    #[test]
    fn a_code_span_cannot_be_closed_from_inside() {
        assert_eq!(code("a``b`"), "``` a``b` ```");
        assert_eq!(cell("a|b"), r"`a\|b`");
        assert_eq!(code("a\nb"), r"`a\nb`");
    }
}
