use crate::clean::clean;
use std::fmt::Display;

/// Writes HTML and SVG. Names of tags and attributes are constants of the program; every text and every attribute's value is
/// cleaned and escaped here, and there is no way round it.
#[derive(Default)]
pub(crate) struct Writer {
    out: String,
}

pub(crate) type Attributes<'a> = &'a [(&'static str, &'a str)];

/// Elements that end a line, so that a page's source and its golden file can be read.
const BLOCKS: &[&str] = &[
    "header",
    "main",
    "footer",
    "section",
    "article",
    "div",
    "figure",
    "figcaption",
    "h1",
    "h2",
    "h3",
    "h4",
    "p",
    "ul",
    "ol",
    "li",
    "dl",
    "dd",
    "table",
    "caption",
    "thead",
    "tbody",
    "tr",
    "details",
    "summary",
    "pre",
    "svg",
    "g",
    "desc",
    "text",
    "style",
    "title",
    "head",
    "body",
];

impl Writer {
    pub(crate) fn element(&mut self, tag: &'static str, attributes: Attributes<'_>, inside: impl FnOnce(&mut Self)) {
        self.tag(tag, attributes, ">");
        inside(self);
        self.out.push_str("</");
        self.out.push_str(tag);
        self.out.push('>');
        if BLOCKS.contains(&tag) {
            self.out.push('\n');
        }
    }

    /// An element that holds a text.
    pub(crate) fn leaf(&mut self, tag: &'static str, attributes: Attributes<'_>, text: &str) {
        self.element(tag, attributes, |html| html.text(text));
    }

    /// An SVG shape, which holds nothing.
    pub(crate) fn shape(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.tag(tag, attributes, "/>");
        self.out.push('\n');
    }

    pub(crate) fn text(&mut self, text: &str) {
        escape(&mut self.out, &clean(text));
    }

    /// Running text of a finding, in which paired backticks mark what is typed or read as it stands.
    pub(crate) fn prose(&mut self, text: &str) {
        let parts: Vec<&str> = text.split('`').collect();
        // An odd number of backticks has one that ends nothing: then all of them are plain characters.
        if parts.len().is_multiple_of(2) {
            return self.text(text);
        }
        for (number, part) in parts.into_iter().enumerate() {
            if number.is_multiple_of(2) {
                self.text(part);
            } else {
                self.leaf("code", &[], part);
            }
        }
    }

    /// A text that keeps its lines.
    pub(crate) fn lines(&mut self, text: &str) {
        for (number, line) in text.lines().enumerate() {
            if number > 0 {
                self.out.push('\n');
            }
            self.text(line);
        }
    }

    /// A row of header cells.
    pub(crate) fn header_row(&mut self, names: &[&str]) {
        self.element("thead", &[], |html| {
            html.element("tr", &[], |html| names.iter().for_each(|name| html.leaf("th", &[("scope", "col")], name)));
        });
    }

    /// Names and values as a list of definitions.
    pub(crate) fn pairs<Name: Display>(&mut self, pairs: &[(Name, String)]) {
        self.element("dl", &[("class", "ns-pairs")], |html| {
            for (name, value) in pairs {
                html.leaf("dt", &[], &name.to_string());
                html.leaf("dd", &[], value);
            }
        });
    }

    /// Text that is part of this program: the style sheet, the document type, a fragment made by this writer.
    pub(crate) fn own(&mut self, markup: &str) {
        self.out.push_str(markup);
    }

    pub(crate) fn finish(self) -> String {
        self.out
    }

    fn tag(&mut self, tag: &'static str, attributes: Attributes<'_>, end: &str) {
        self.out.push('<');
        self.out.push_str(tag);
        for (name, value) in attributes {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(&mut self.out, &clean(value));
            self.out.push('"');
        }
        self.out.push_str(end);
    }
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

/// A number for a drawing's attribute, with one decimal.
pub(crate) fn coordinate(value: f64) -> String {
    let rounded = format!("{value:.1}");
    rounded.strip_suffix(".0").map_or(rounded.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_text_nor_attribute_can_leave_its_place() {
        let mut html = Writer::default();
        html.leaf("p", &[("class", "\"><script>")], "</p><script>alert('1') & \x1b[31m");
        assert_eq!(
            html.finish(),
            "<p class=\"&quot;&gt;&lt;script&gt;\">&lt;/p&gt;&lt;script&gt;alert(&#39;1&#39;) &amp; \\x1b[31m</p>\n"
        );
    }

    #[test]
    fn what_stands_between_backticks_is_code_and_still_escaped() {
        let mut html = Writer::default();
        html.prose("Run `a <b>` now.");
        html.prose(" A lone ` stays.");
        assert_eq!(html.finish(), "Run <code>a &lt;b&gt;</code> now. A lone ` stays.");
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!((coordinate(12.0), coordinate(0.25), coordinate(99.96)), ("12".into(), "0.2".into(), "100".into()));
    }
}
