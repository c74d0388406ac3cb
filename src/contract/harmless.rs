//! Text from elsewhere, made fit for a terminal and for people's eyes.

use std::borrow::Cow;
use std::fmt::Write;

/// The text on one line and harmless to a terminal: every character that would move the cursor, change colours, reverse the reading
/// direction or hide is written out, as `\n`, `\x1b` or `\u{202e}`.
///
/// Servers, tickets and bundles choose much of what netsonde's programs show, so each piece of such text passes through here.
pub fn clean(text: &str) -> Cow<'_, str> {
    written_out(text, is_unsafe)
}

/// The same for a text of several lines, whose line ends stay.
pub fn clean_lines(text: &str) -> Cow<'_, str> {
    written_out(text, |c| c != '\n' && is_unsafe(c))
}

/// The same of at most `most` characters: what is longer is cut and ends in `…`. For words that a far side chooses, on their way into a log.
pub fn clean_up_to(text: &str, most: usize) -> Cow<'_, str> {
    let end = text.char_indices().nth(most).map_or(text.len(), |(at, _)| at);
    // What is written out is longer than it was, so that only so much of a long text is looked at.
    let clean = clean(&text[..end]);
    if end == text.len() && clean.chars().count() <= most {
        return clean;
    }
    Cow::Owned(clean.chars().take(most.saturating_sub(1)).chain(['…']).collect())
}

/// Whether [`clean`] would leave the text as it is.
pub fn is_clean(text: &str) -> bool {
    !text.chars().any(is_unsafe)
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and the invisible characters with which text is disguised:
/// direction marks and overrides, zero-width characters, interlinear annotations, tags.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xAD | 0x61C | 0x180E | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0xFEFF | 0xFFF9..=0xFFFB | 0xE_0000..=0xE_007F)
}

fn written_out(text: &str, unwanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&unwanted) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        // Writing to a `String` cannot fail.
        let _ = match c {
            c if !unwanted(c) => out.write_char(c),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            c if u32::from(c) < 0x100 => write!(out, "\\x{:02x}", u32::from(c)),
            c => write!(out, "\\u{{{:x}}}", u32::from(c)),
        };
    }
    Cow::Owned(out)
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
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(clean_up_to("four", 4), "four");
        assert_eq!(clean_up_to("fives", 4), "fiv…");
        assert_eq!(clean_up_to("a\n\n", 4), r"a\n…");
        assert_eq!(clean_up_to(&"ü\u{202e}".repeat(1 << 20), 1_024).chars().count(), 1_024);
    }

    #[test]
    fn lines_stay_lines_and_nothing_else_stays() {
        assert_eq!(clean_lines("one\n  two\x1b[2J\r\n"), "one\n  two\\x1b[2J\\r\n");
    }
}
