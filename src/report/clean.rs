use std::borrow::Cow;
use std::fmt::Write;

/// The text on one line and harmless to a terminal: every character that would move the cursor, change colours, reverse the reading
/// direction or hide is written out, as `\n`, `\x1b` or `\u{202e}`.
///
/// Servers choose much of what a report shows (banners, headers, certificate names, DNS data), so every writer in this crate
/// passes each piece of text through here.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if !is_unsafe(c) => out.push(c),
            c if u32::from(c) < 0x100 => write_code(&mut out, format_args!("\\x{:02x}", u32::from(c))),
            c => write_code(&mut out, format_args!("\\u{{{:x}}}", u32::from(c))),
        }
    }
    Cow::Owned(out)
}

/// Writing to a `String` cannot fail.
fn write_code(out: &mut String, code: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(code);
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and the invisible characters with which text is disguised:
/// direction marks and overrides, zero-width characters, interlinear annotations, tags.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xAD | 0x61C | 0x180E | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0xFEFF | 0xFFF9..=0xFFFB | 0xE_0000..=0xE_007F)
}

/// At most `max` characters, with an ellipsis for what was cut. A server's text may be as long as it likes.
pub(crate) fn shortened(text: &str, max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_written_out() {
        let hostile = "a\x1b[31m\x1b]0;title\x07b\r\nc\u{9b}31md\u{202e}e\u{200b}f\u{7f}";
        assert_eq!(clean(hostile), r"a\x1b[31m\x1b]0;title\x07b\r\nc\x9b31md\u{202e}e\u{200b}f\x7f");
        assert_eq!(clean("Zürich → 5 µs"), "Zürich → 5 µs");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened("äöü", 2), "äö…");
        assert_eq!(shortened("äöü", 3), "äöü");
    }
}
