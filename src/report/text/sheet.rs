use crate::clean::clean;
use anstyle::Style as Paint;

/// Lines of a terminal page: wrapped, indented, painted only when asked, never with trailing spaces. All text that goes in is
/// cleaned here, so that nothing a server says can steer the terminal.
pub(super) struct Sheet {
    width: usize,
    colour: bool,
    out: String,
}

/// Narrower than this, wrapping does more harm than a line that is too long.
const MIN_WIDTH: usize = 24;
/// Wider than this, the eye loses the line.
const MAX_WIDTH: usize = 110;
/// Below this width labels and columns stand above their text instead of beside it.
const NARROW: usize = 64;

/// Indentation of a text that stands below its label.
const BELOW: usize = 4;

/// No colour, no weight.
pub(super) const PLAIN: Paint = Paint::new();

impl Sheet {
    pub(super) fn new(width: usize, colour: bool) -> Self {
        Self { width: width.clamp(MIN_WIDTH, MAX_WIDTH), colour, out: String::new() }
    }

    pub(super) fn is_narrow(&self) -> bool {
        self.width < NARROW
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn blank(&mut self) {
        self.out.push('\n');
    }

    /// A text from column `indent`, wrapped.
    pub(super) fn paragraph(&mut self, indent: usize, paint: Paint, text: &str) {
        self.hanging(&[], indent, paint, text);
    }

    /// Columns on the left (each padded to its width, in its paint), then a text which wraps under itself from column `indent`.
    /// Columns that do not fit before `indent` get a line of their own.
    pub(super) fn hanging(&mut self, columns: &[Column<'_>], indent: usize, paint: Paint, text: &str) {
        let mut at = 0;
        let mut gap = 0;
        for column in columns {
            let label = clean(column.text);
            let length = label.chars().count();
            let lead = if column.right { column.width.saturating_sub(length) } else { 0 };
            if !label.is_empty() {
                self.spaces(gap + lead);
                self.painted(column.paint, &label);
                at += gap + lead + length;
                gap = 0;
            }
            gap += if label.is_empty() { column.width } else { column.width.saturating_sub(length + lead) };
            gap += column.space;
        }
        if text.is_empty() {
            self.out.push('\n');
            return;
        }
        let text = clean(text);
        let longest = text.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
        // A digest or a path that does not fit beside its label may well fit below it.
        let indent = if at > 0 && longest + indent > self.width { indent.min(BELOW) } else { indent };
        if at > 0 && at >= indent {
            self.out.push('\n');
            at = 0;
        }
        for (number, line) in wrapped(&text, self.width.saturating_sub(indent)).into_iter().enumerate() {
            self.spaces(if number == 0 { indent - at } else { indent });
            self.painted(paint, line);
            self.out.push('\n');
        }
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    fn spaces(&mut self, count: usize) {
        self.out.extend(std::iter::repeat_n(' ', count));
    }

    fn painted(&mut self, paint: Paint, text: &str) {
        if self.colour && paint != PLAIN {
            self.out.push_str(&format!("{}{text}{}", paint.render(), paint.render_reset()));
        } else {
            self.out.push_str(text);
        }
    }
}

/// One column before a text.
pub(super) struct Column<'a> {
    pub(super) text: &'a str,
    pub(super) width: usize,
    pub(super) right: bool,
    /// Empty columns after it.
    pub(super) space: usize,
    pub(super) paint: Paint,
}

impl<'a> Column<'a> {
    pub(super) fn new(text: &'a str, width: usize) -> Self {
        Self { text, width, right: false, space: 2, paint: PLAIN }
    }

    pub(super) fn right(self) -> Self {
        Self { right: true, ..self }
    }

    pub(super) fn space(self, space: usize) -> Self {
        Self { space, ..self }
    }

    pub(super) fn paint(self, paint: Paint) -> Self {
        Self { paint, ..self }
    }
}

/// The text in lines of at most `width` characters, broken at spaces. A longer word has a line of its own: cut in two, an
/// address or a command could no longer be copied.
fn wrapped(text: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (mut end, mut chars) = (None, 0);
        for (at, c) in rest.char_indices() {
            if c == ' ' && (chars <= width || end.is_none()) {
                end = Some(at);
            }
            chars += 1;
            if chars > width && end.is_some() {
                break;
            }
        }
        let end = if chars <= width { rest.len() } else { end.unwrap_or(rest.len()) };
        let (line, after) = rest.split_at(end);
        lines.push(line.trim_end());
        rest = after.trim_start();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_breaks_at_spaces_and_a_long_word_stays_whole() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("a https://long.example/ b c", 5), ["a", "https://long.example/", "b c"]);
        assert_eq!(wrapped("äöü äöü", 3), ["äöü", "äöü"]);
        assert_eq!(wrapped("", 3), [""; 0]);
    }

    #[test]
    fn columns_leave_no_trailing_space() {
        let mut sheet = Sheet::new(30, false);
        sheet.hanging(&[Column::new("a", 5), Column::new("", 3)], 12, PLAIN, "");
        sheet.hanging(&[Column::new("a", 5), Column::new("7", 3).right()], 12, PLAIN, "text");
        sheet.hanging(&[Column::new("a long label", 5)], 6, PLAIN, "text");
        assert_eq!(sheet.finish(), "a\na        7  text\na long label\n      text\n");
    }
}
