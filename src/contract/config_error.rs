use std::fmt;
use std::ops::Range;

/// An error in a file that a person wrote: where, what, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file's name, or what stands for it (`built-in set web`, `standard input`).
    pub origin: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub message: String,
    /// One thing to do about it.
    pub help: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.origin, self.line, self.column, self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// A text with its name, so that a byte range in it becomes a line and a column.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub origin: &'a str,
    pub text: &'a str,
}

impl Source<'_> {
    pub fn error(&self, span: Range<usize>, message: impl Into<String>) -> ConfigError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ConfigError {
            origin: self.origin.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
            help: None,
        }
    }

    /// An unknown word, with the nearest of the known ones.
    pub fn unknown<'k>(
        &self,
        span: Range<usize>,
        what: &str,
        word: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> ConfigError {
        let known: Vec<&str> = known.into_iter().collect();
        let help = match crate::nearest::nearest(word, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if known.is_empty() => "there is none yet".to_owned(),
            None => format!("known: {}", known.join(", ")),
        };
        self.error(span, format!("unknown {what} `{word}`")).with_help(help)
    }
}

impl ConfigError {
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_offset_becomes_line_and_column_in_characters() {
        let source = Source { origin: "a.toml", text: "first\nnäme = 1\n" };
        let error = source.unknown(12..13, "key", "colour", ["color", "size"]);
        assert_eq!((error.line, error.column), (2, 6));
        assert_eq!(error.to_string(), "a.toml:2:6: unknown key `colour` (did you mean `color`?)");
    }
}
