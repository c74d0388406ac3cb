use crate::stop::Stop;
use crate::{exit, terminal};
use anstyle::Style;
use clap::Args;
use netsonde_contract::nearest::nearest;
use netsonde_diagnosis::ARTICLES;
use std::fmt::Write;

#[derive(Args)]
#[command(after_help = "Examples:\n  netsonde explain               lists every code\n  netsonde explain tls.expired")]
pub(super) struct ExplainCommand {
    /// The code of a finding, such as tls.expired; none lists them all.
    code: Option<String>,
}

impl ExplainCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let Some(code) = self.code else {
            terminal::output(&list())?;
            return Ok(exit::AS_EXPECTED);
        };
        let article = netsonde_diagnosis::article(&code).ok_or_else(|| unknown(&code))?;
        terminal::output(&if terminal::output_colour() { with_headings(article) } else { article.to_owned() })?;
        Ok(exit::AS_EXPECTED)
    }
}

/// Every code with the title of its article.
fn list() -> String {
    let longest = ARTICLES.iter().map(|(code, _)| code.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (code, article) in ARTICLES {
        let _ = writeln!(text, "{code:<longest$}  {}", title(article, code));
    }
    text
}

/// The words of the first heading beside the code itself.
fn title<'a>(article: &'a str, code: &str) -> &'a str {
    let heading = article.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default();
    heading.trim_start_matches(['`']).strip_prefix(code).unwrap_or(heading).trim_start_matches(['`', ':', ' ', '-', '–'])
}

/// Markdown reads well as it is; on a terminal its headings stand out.
fn with_headings(article: &str) -> String {
    let bold = Style::new().bold();
    let mut text = String::new();
    for line in article.lines() {
        let _ = match line.strip_prefix('#') {
            Some(heading) => writeln!(text, "{bold}{}{bold:#}", heading.trim_start_matches('#').trim_start()),
            None => writeln!(text, "{line}"),
        };
    }
    text
}

fn unknown(code: &str) -> Stop {
    let explained = || ARTICLES.iter().map(|(code, _)| *code);
    if let Some(meaning) = netsonde_contract::cause::meaning(code) {
        return Stop::usage(format!("`{code}`: {meaning}. This version does not report it as a cause and has no article for it"))
            .next("netsonde explain lists what it explains");
    }
    let stop = Stop::usage(format!("there is no finding `{code}`"));
    match nearest(code, explained()) {
        Some(meant) => stop.next(format!("did you mean `{meant}`? netsonde explain lists all")),
        None => stop.next("netsonde explain lists all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_code_is_refused_with_the_nearest_one() {
        assert!(unknown("tcp.refsed").next.unwrap().contains("did you mean `tcp.refused`"));
        assert!(unknown("weather").next.unwrap().contains("lists all"));
    }

    #[test]
    fn the_list_names_every_article_once() {
        let list = list();
        for (code, _) in ARTICLES {
            assert_eq!(list.lines().filter(|line| line.split(' ').next() == Some(code)).count(), 1, "{code}");
        }
    }
}
