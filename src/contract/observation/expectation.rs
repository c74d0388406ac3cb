use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest expectation that is shown; the whole stands with the check's parameters.
const MAX_SHOWN_CHARS: usize = 120;

/// One thing that was expected of an answer, and what came. No part of a body that came stands here: only lengths, types and digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Expectation {
    pub about: ExpectationAbout,
    /// The header, or the JSON pointer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub relation: Relation,
    /// The statuses, the header's value, the digest, or the text or JSON value as JSON; in a bundle, of the last two only type and size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// The same of what came, of a body only type and size; none where nothing came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub got: Option<String>,
    /// What was got is what was wanted.
    pub met: bool,
}

/// What an expectation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExpectationAbout {
    /// The answer's status.
    Status,
    /// A header of the answer.
    Header,
    /// The SHA-256 digest of the body.
    BodySha256,
    /// A text within the body.
    BodyText,
    /// A value within a body of JSON, by its pointer (RFC 6901).
    Json,
    /// Another one, which this version has no word for.
    #[serde(other)]
    Other,
}

/// How what came stands to what was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// It must be there.
    Present,
    /// It must not be there.
    Absent,
    /// It must be exactly this.
    Equals,
    /// It must have this in it.
    Contains,
    /// Another one, which this version has no word for.
    #[serde(other)]
    Other,
}

/// The type and size of a JSON value, which give nothing of it away; truth values and null are all that they say.
pub fn type_and_size(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(text) => format!("a text of {} bytes", text.len()),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(fields) => format!("an object of {} fields", fields.len()),
    }
}

impl Expectation {
    /// What it asks, and how it went, as in `the header server should equal "a", and is "b"`.
    pub fn words(&self) -> String {
        let name = self.name.as_deref().unwrap_or_default();
        let what = match self.about {
            ExpectationAbout::Status => "the status".to_owned(),
            ExpectationAbout::Header => format!("the header {name}"),
            ExpectationAbout::BodySha256 => "the body's SHA-256".to_owned(),
            ExpectationAbout::BodyText => "the body".to_owned(),
            ExpectationAbout::Json if name.is_empty() => "the JSON".to_owned(),
            ExpectationAbout::Json => format!("the JSON at {name}"),
            ExpectationAbout::Other => name.to_owned(),
        };
        let wanted = self.wanted.as_deref().unwrap_or_default();
        let wanted = match wanted.char_indices().nth(MAX_SHOWN_CHARS) {
            Some((end, _)) => &format!("{}…", &wanted[..end]),
            None => wanted,
        };
        let should = match self.relation {
            Relation::Present => "be there".to_owned(),
            Relation::Absent => "not be there".to_owned(),
            Relation::Equals => format!("be {wanted}"),
            Relation::Contains => format!("contain {wanted}"),
            Relation::Other => format!("be as expected ({wanted})"),
        };
        match (self.met, &self.got) {
            (true, _) => format!("{what} should {should}, and so it is"),
            (false, Some(got)) => format!("{what} should {should}, but there is {got}"),
            (false, None) => format!("{what} should {should}, but there is nothing"),
        }
    }
}
