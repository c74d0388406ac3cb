use crate::terminal;
use clap::ValueEnum;
use netsonde_contract::document::Document;
use netsonde_report::{html, markdown, text};

/// How the document is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Findings first, in plain words.
    #[default]
    Human,
    /// One JSON document; `netsonde schema` prints its schema.
    Json,
    /// One observation a line as it comes, then the document in one line.
    Jsonl,
    /// For a support ticket.
    Markdown,
    /// One self-contained page.
    Html,
}

/// The document as text, ending in a line end.
pub(crate) fn render(document: &Document, format: Format, depth: text::Depth) -> String {
    let mut rendered = match format {
        Format::Human => {
            let style = text::Style { colour: terminal::output_colour(), width: terminal::output_width(), depth };
            text::render(document, style)
        }
        Format::Json => json_text(serde_json::to_string_pretty(document)),
        Format::Jsonl => json_text(serde_json::to_string(document)),
        Format::Markdown => markdown::render(document),
        Format::Html => html::page(document),
    };
    if !rendered.ends_with('\n') {
        rendered.push('\n');
    }
    rendered
}

/// Serialising plain structs with text keys does not fail; if it ever did, the reason is better than nothing.
fn json_text(result: serde_json::Result<String>) -> String {
    result.unwrap_or_else(|error| serde_json::json!({ "error": error.to_string() }).to_string())
}
