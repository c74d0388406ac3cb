/// Every cause that has an article, with its text in markdown.
pub const ARTICLES: &[(&str, &str)] = &[
    ("tcp.refused", include_str!("../../docs/causes/tcp.refused.md")),
];

/// The article of a cause, in markdown: what it means, how it was told, how to confirm it by hand, who fixes it and how, and
/// what it is often mistaken for. None for a code that no rule gives yet.
pub fn article(code: &str) -> Option<&'static str> {
    ARTICLES.iter().find(|(known, _)| *known == code).map(|(_, text)| *text)
}

/// Where the article of a cause lies in the repository, for findings.
pub(crate) fn path_of(code: &str) -> String {
    format!("docs/causes/{code}.md")
}
