//! The table for people.

use super::right::grant;
use super::{Grantor, Means, Right, Rights, SIGHTS, Seen, Sight, System};
use std::fmt::Write;

/// The way that outlasts one command, which is not among the advice of a run: it gives the right to more than the run.
const LASTING: &str = "\nOn Linux the table goes by the capabilities that are in effect, whoever the user is: root in a container has few of them. Where sudo cannot bring one \
     back, because\nwhoever started the process took it away, `netsonde capabilities` names the lines of a systemd unit in its place.\n\n\
     `sudo setcap cap_net_raw=ep FILE` gives raw sockets to everybody who may start that file, and not to one command alone. Do so only \
     with a file\nof your own making that only administrators may start, never with one that every user may. The packaged service needs none of it: it has \
     the right by its unit.\n";

/// The whole table as markdown: `docs/capabilities.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# What netsonde sees, where, and with which right\n\n\
         Written from the table that the probe kinds themselves ask before they measure (`netsonde capabilities --all` prints it; \
         `netsonde capabilities`\nsays what is seen on this machine, by this user, and what grants the rest). *no right* means that any \
         user sees it; *not yet* that this\nversion has no means of that system. What stands under macOS is type-checked, and unproven on macOS itself (`docs/platforms.md`).\n\n| what | kind | Linux | Windows | macOS |\n|---|---|---|---|---|\n",
    );
    for sight in SIGHTS {
        let kind = sight.kind.map_or("any run", |kind| kind.name());
        let _ = write!(text, "| {} | {kind} |", sight.what);
        for system in System::ALL {
            let _ = write!(text, " {} |", words(sight.means(system)));
        }
        text.push('\n');
    }
    text.push_str("\n| right | Linux | in a container | Windows | macOS |\n|---|---|---|---|---|\n");
    for right in Right::ALL {
        let _ = write!(text, "| {} |", right.name());
        let places = [
            (System::Linux, Grantor::Person),
            (System::Linux, Grantor::Container),
            (System::Windows, Grantor::Person),
            (System::Macos, Grantor::Person),
        ];
        for (system, grantor) in places {
            let is_asked_for = SIGHTS.iter().any(|sight| sight.means(system) == Means::With(right));
            let granted = if is_asked_for { right.grant(system, grantor).replace('|', "\\|") } else { "-".to_owned() };
            let _ = write!(text, " {granted} |");
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
    for (grant, granted) in granted_together(system, rights) {
        let names = granted.iter().map(|right| right.name()).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "\n{} would be granted by:\n  {grant}", sentence(&names));
    }
    text
}

/// The rights that are lacking, those together that one command grants, behind that command.
fn granted_together(system: System, rights: Rights) -> Vec<(String, Vec<Right>)> {
    let is_lacking = |right: &Right| SIGHTS.iter().any(|sight| sight.seen(system, rights) == Seen::Lacks(*right));
    let lacking: Vec<Right> = Right::ALL.into_iter().filter(is_lacking).collect();
    // The smaller right has a command of its own.
    let alone = |right: &&Right| rights.grantor.is_person() && **right == Right::Ping;
    let (first, rest): (Vec<Right>, Vec<Right>) = lacking.iter().partition(alone);
    let parts = [first, rest].into_iter().filter(|part| !part.is_empty());
    parts.map(|part| (grant(&part, system, rights.grantor), part)).collect()
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
