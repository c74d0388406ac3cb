//! The table for people.

use super::{Means, Right, Rights, SIGHTS, Seen, Sight, System};
use std::fmt::Write;

/// The way that outlasts one command, which is not among the advice of a run: it gives the right to more than the run.
const LASTING: &str = "\nOn Linux, `sudo setcap cap_net_raw=ep FILE` gives raw sockets to everybody who may start that file, and not to one command alone. Do so only \
     with a file\nof your own making that only administrators may start, never with one that every user may. The packaged service needs none of it: it has \
     the right by its unit.\n";

/// The whole table as markdown: `docs/capabilities.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# What netsonde sees, where, and with which right\n\n\
         Written from the table that the probe kinds themselves ask before they measure (`netsonde capabilities --all` prints it; \
         `netsonde capabilities`\nsays what is seen on this machine, by this user, and what grants the rest). *no right* means that any \
         user sees it; *not yet* that this\nversion has no means of that system.\n\n| what | kind | Linux | Windows | macOS |\n|---|---|---|---|---|\n",
    );
    for sight in SIGHTS {
        let kind = sight.kind.map_or("any run", |kind| kind.name());
        let _ = write!(text, "| {} | {kind} |", sight.what);
        for system in System::ALL {
            let _ = write!(text, " {} |", words(sight.means(system)));
        }
        text.push('\n');
    }
    text.push_str("\n| right | Linux | Windows | macOS |\n|---|---|---|---|\n");
    for right in Right::ALL {
        let _ = write!(text, "| {} |", right.name());
        for system in System::ALL {
            let _ = write!(text, " {} |", right.grant(system).replace('|', "\\|"));
        }
        text.push('\n');
    }
    text.push_str(LASTING);
    text
}

/// What a process with these rights sees there, a line each, and at the end what grants the rest.
pub fn plain(system: System, rights: Rights) -> String {
    let longest = SIGHTS.iter().map(|sight| label(sight).len()).max().unwrap_or_default();
    let mut text = String::new();
    for sight in SIGHTS {
        let state = match sight.seen(system, rights) {
            Seen::Yes => "yes".to_owned(),
            Seen::Lacks(right) => format!("no: needs {}", right.name()),
            Seen::Unbuilt => format!("no: not yet on {}", system.name()),
        };
        let _ = writeln!(text, "{:longest$}  {state}\n{:longest$}  {}", label(sight), "", sight.what);
    }
    for right in Right::ALL {
        let lacking = SIGHTS.iter().any(|sight| sight.seen(system, rights) == Seen::Lacks(right));
        if lacking {
            let _ = writeln!(text, "\n{} would be granted by:\n  {}", sentence(right.name()), right.grant(system));
        }
    }
    text
}

fn label(sight: &Sight) -> &'static str {
    sight.name
}

fn words(means: Means) -> &'static str {
    match means {
        Means::Free => "no right",
        Means::With(right) => right.name(),
        Means::Unbuilt => "not yet",
    }
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
