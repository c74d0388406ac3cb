//! A table of a TOML text that a person wrote, read key by key; every error knows its line and column.

use crate::config_error::{ConfigError, Source};
use crate::size;
use serde_json::Value;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table with what errors need.
pub(crate) struct Table<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) span: Range<usize>,
    pub(crate) table: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    pub(crate) fn sub(&self, value: &'a Spanned<DeValue<'a>>, what: &str) -> Result<Table<'a>, ConfigError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(Table { source: self.source, span: value.span(), table }),
            _ => Err(self.source.error(value.span(), format!("`{what}` is not a table"))),
        }
    }

    pub(crate) fn refuse_unknown_keys(&self, what: &str, known: &[&str]) -> Result<(), ConfigError> {
        self.unknown_keys(what, known).next().map_or(Ok(()), Err)
    }

    /// An error for each key that is not known.
    pub(crate) fn unknown_keys(&self, what: &str, known: &[&str]) -> impl Iterator<Item = ConfigError> {
        let unknown = self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
        unknown.map(|key| self.source.unknown(key.span(), what, key.get_ref(), known.iter().copied()))
    }

    pub(crate) fn at(&self, key: &str, message: impl Into<String>) -> ConfigError {
        let span = self.table.get(key).map_or(self.span.clone(), Spanned::span);
        self.source.error(span, message)
    }

    pub(crate) fn missing(&self, key: &str) -> ConfigError {
        self.source.error(self.span.clone(), format!("`{key}` is missing"))
    }

    pub(crate) fn spanned_text(&self, key: &str) -> Result<(String, Range<usize>), ConfigError> {
        let value = self.table.get(key).ok_or_else(|| self.missing(key))?;
        Ok((self.as_text(value, key)?, value.span()))
    }

    pub(crate) fn text(&self, key: &str) -> Result<String, ConfigError> {
        Ok(self.spanned_text(key)?.0)
    }

    /// A name: lower-case letters, digits, `-` and `_`.
    pub(crate) fn word(&self, key: &str) -> Result<String, ConfigError> {
        let (text, span) = self.spanned_text(key)?;
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
            return Err(self.source.error(span, format!("`{key}` is not 1 to 64 lower-case letters, digits, `-` and `_`")));
        }
        Ok(text)
    }

    pub(crate) fn as_text(&self, value: &Spanned<DeValue<'_>>, key: &str) -> Result<String, ConfigError> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            _ => Err(self.source.error(value.span(), format!("`{key}` is not a text"))),
        }
    }

    pub(crate) fn optional_word<T: Copy>(
        &self,
        key: &str,
        what: &str,
        known: &[(&'static str, T)],
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let word = self.as_text(value, key)?;
        match known.iter().find(|(name, _)| *name == word) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => Err(self.source.unknown(value.span(), what, &word, known.iter().map(|(name, _)| *name))),
        }
    }

    pub(crate) fn list(&self, key: &str) -> Result<Vec<&'a Spanned<DeValue<'a>>>, ConfigError> {
        match self.table.get(key).map(|value| (value, value.get_ref())) {
            None => Ok(Vec::new()),
            Some((_, DeValue::Array(items))) => Ok(items.iter().collect()),
            Some((value, _)) => Err(self.source.error(value.span(), format!("`{key}` is not a list"))),
        }
    }

    pub(crate) fn boolean(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        match self.table.get(key).map(|value| (value, value.get_ref())) {
            None => Ok(None),
            Some((_, DeValue::Boolean(flag))) => Ok(Some(*flag)),
            Some((value, _)) => Err(self.source.error(value.span(), format!("`{key}` is neither true nor false"))),
        }
    }

    pub(crate) fn integer(&self, key: &str) -> Result<Option<i64>, ConfigError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        match self.json(value)?.as_i64() {
            Some(number) => Ok(Some(number)),
            None => Err(self.source.error(value.span(), format!("`{key}` is not a whole number"))),
        }
    }

    pub(crate) fn duration(&self, key: &str, default: Duration, maximum: Duration) -> Result<Duration, ConfigError> {
        let Some(value) = self.table.get(key) else { return Ok(default) };
        let text = self.as_text(value, key)?;
        let parsed: Result<jiff::SignedDuration, _> = text.parse();
        let duration = parsed.ok().and_then(|signed| Duration::try_from(signed).ok()).filter(|duration| !duration.is_zero());
        match duration {
            Some(duration) if duration <= maximum => Ok(duration),
            Some(_) => Err(self.source.error(value.span(), format!("`{key}` is longer than {} s", maximum.as_secs()))),
            None => Err(self
                .source
                .error(value.span(), format!("`{key}` is not a duration"))
                .with_help("write it as \"10s\" or \"500ms\"")),
        }
    }

    /// The same of one that may be nothing, `"0s"`; none where it is not there.
    pub(crate) fn duration_or_nothing(&self, key: &str, maximum: Duration) -> Result<Option<Duration>, ConfigError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let is_nothing = self.as_text(value, key)?.parse::<jiff::SignedDuration>().is_ok_and(|duration| duration.is_zero());
        if is_nothing { Ok(Some(Duration::ZERO)) } else { self.duration(key, Duration::ZERO, maximum).map(Some) }
    }

    /// An amount of bytes, such as "100MB".
    pub(crate) fn size(&self, key: &str, maximum: u64) -> Result<Option<u64>, ConfigError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let text = self.as_text(value, key)?;
        match size::parse(&text) {
            Some(bytes) if bytes <= maximum => Ok(Some(bytes)),
            Some(_) => Err(self.source.error(value.span(), format!("`{key}` is more than {}", size::words(maximum)))),
            None => Err(self.source.error(value.span(), format!("`{key}` is no amount of bytes")).with_help(size::HELP)),
        }
    }

    pub(crate) fn json(&self, value: &Spanned<DeValue<'_>>) -> Result<Value, ConfigError> {
        let unfit = |what: &str| self.source.error(value.span(), what);
        Ok(match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Integer(number) => {
                let number =
                    i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| unfit("this number is too large"))?;
                Value::from(number)
            }
            DeValue::Array(items) => Value::Array(items.iter().map(|item| self.json(item)).collect::<Result<_, _>>()?),
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => {
                return Err(unfit("a value here is a text, a whole number, true, false, or a list of these"));
            }
        })
    }
}
