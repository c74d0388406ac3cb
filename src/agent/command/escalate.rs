use super::bundle::{document, open};
use crate::stop::Stop;
use crate::{exit, terminal};
use clap::{Args, ValueEnum};
use netsonde_report::escalation;
use std::path::PathBuf;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  netsonde escalate evidence.tar.gz\n  netsonde escalate evidence.tar.gz --format html > note.html"
)]
pub(super) struct EscalateCommand {
    /// The bundle's file.
    file: PathBuf,
    /// How to print the note.
    #[arg(long, value_enum, default_value_t)]
    format: NoteFormat,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum NoteFormat {
    /// For a ticket.
    #[default]
    Markdown,
    /// A page to print.
    Html,
}

impl EscalateCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let document = document(&open(&self.file)?.1, &self.file)?;
        terminal::output(&match self.format {
            NoteFormat::Markdown => escalation::markdown(&document),
            NoteFormat::Html => escalation::html(&document),
        })?;
        Ok(exit::AS_EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use crate::command::run::RunCommand;
    use crate::command::{Cli, Command};
    use crate::redaction::{MappingKey, Redaction, redact};
    use clap::Parser;
    use netsonde_contract::document::{Document, SCHEMA};
    use netsonde_contract::set::Plan;
    use netsonde_report::escalation::commands;
    use serde_json::json;

    /// The words of one line, as a POSIX shell takes it apart; only single quotes and backslashes outside them mean anything here.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
        let mut letters = line.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\'' => (quoted, word) = (!quoted, Some(word.unwrap_or_default())),
                '\\' if !quoted => word.get_or_insert_default().extend(letters.next()),
                ' ' if !quoted => words.extend(word.take()),
                other => word.get_or_insert_default().push(other),
            }
        }
        assert!(!quoted, "{line}");
        words.extend(word);
        words
    }

    fn parsed(line: &str) -> Command {
        Cli::try_parse_from(words(line)).unwrap_or_else(|error| panic!("{line}: {error}")).command
    }

    fn run(arguments: &[&str]) -> Box<RunCommand> {
        let line: Vec<&str> = ["netsonde", "run"].iter().chain(arguments).copied().collect();
        let Command::Run(run) = Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{error}")).command else { panic!() };
        run
    }

    /// A run in which every check of the plan failed.
    fn failed(run: &RunCommand, plan: &Plan) -> Document {
        let outcomes = plan.checks.iter().map(|check| {
            json!({"check": check.id, "kind": check.params.kind(), "required": true, "target": check.target,
                "parameters": check.params.to_value(), "status": "failed", "began_us": 1, "took_us": 1, "observations": []})
        });
        let outcomes: Vec<_> = outcomes.collect();
        serde_json::from_value(
            json!({"schema": SCHEMA, "state": "unexplained", "findings": [], "unexplained": [], "not_measured": [],
            "run": {"id": "r", "set": plan.set, "targets": plan.targets, "began": "2026-01-01T00:00:00Z", "took_us": 1,
                "asked": run.asked(None, plan)},
            "environment": {"version": "0.1.0", "os": "linux", "os_release": "r", "kernel": "k", "architecture": "x86_64",
                "hostname": "vm", "raw_sockets": true, "ping_sockets": true, "elevated": true, "began": "2026-01-01T00:00:00Z"},
            "outcomes": outcomes}),
        )
        .unwrap()
    }

    #[test]
    fn the_commands_of_a_note_repeat_the_run_and_each_check_as_they_were() {
        let trust = tempfile::NamedTempFile::new().unwrap();
        for arguments in [
            &[
                "web",
                "--target",
                "https://shop.example/pay?x=1",
                "--expect-status",
                "2xx,401",
                "--resolver",
                "192.0.2.53",
                "--resolver",
                "[2001:db8::53]:5353",
                "--budget",
                "90s",
                "--no-follow-up",
            ][..],
            &["path", "--target", "192.0.2.1", "--target", "db.example", "--param", "count=50", "--param", "rounds=2"],
            &[
                "web",
                "--target",
                "https://shop.example/it's",
                "--proxy",
                "socks5h://proxy.example:1080",
                "--trust",
                trust.path().to_str().unwrap(),
            ],
            &["web", "--target", "https://shop.example/", "--proxy", "none"],
            &["tls", "--target", "shop.example:443", "--param", "fetch=true"],
            &["dns", "--target", "shop.example"],
            &["port", "--target", "[2001:db8::1]:5432"],
            &["reflect", "--target", "192.0.2.9", "--reflector-key", "key"],
            &["service", "--target", "mail.example", "--param", "protocol=smtp", "--param", "port=2525"],
        ] {
            let first = run(arguments);
            let plan = first.plan(None).unwrap();
            let (document, _) = redact(&failed(&first, &plan), Redaction::None, &[]);
            let lines = commands(&document);
            let Command::Run(again) = parsed(&lines[0]) else { panic!("{}", lines[0]) };
            assert_eq!(again.plan(None).unwrap(), plan, "{}", lines[0]);
            assert_eq!(again.asked(None, &plan), first.asked(None, &plan), "{}", lines[0]);
            assert_eq!(again.measuring.trust.len(), first.measuring.trust.len());
            let mut params: Vec<_> = plan.checks.iter().map(|check| &check.params).collect();
            params.dedup();
            let probes: Vec<_> = lines[1..]
                .iter()
                .map(|line| match parsed(line) {
                    Command::Probe(probe) => {
                        probe.plan().unwrap_or_else(|stop| panic!("{line}: {stop:?}")).checks.remove(0).params
                    }
                    _ => panic!("{line}"),
                })
                .collect();
            assert_eq!(probes.iter().collect::<Vec<_>>(), params, "{lines:#?}");
        }
    }

    #[test]
    fn commands_of_a_note_hold_no_secret_and_can_still_be_typed() {
        let first = run(&[
            "web",
            "--target",
            "https://shop.example/",
            "--proxy",
            "http://anna:s3cr3t@proxy.example:3128",
            "--resolver",
            "192.0.2.53",
        ]);
        let plan = first.plan(None).unwrap();
        for strict in [false, true] {
            let key = MappingKey::from_bytes([7; 32]);
            let redaction = if strict { Redaction::Strict(&key) } else { Redaction::Default };
            let lines = commands(&redact(&failed(&first, &plan), redaction, &[]).0);
            assert!(lines.iter().all(|line| !line.contains("s3cr3t") && !line.contains("anna")), "{lines:#?}");
            assert!(lines[0].contains(" --proxy http://") && lines[0].contains(" --resolver "), "{lines:#?}");
            assert_eq!(lines[0].contains("proxy.example"), !strict, "{lines:#?}");
            assert!(matches!(parsed(&lines[0]), Command::Run(_)));
        }
    }

    #[test]
    fn a_parameter_that_a_check_does_not_show_is_withheld() {
        let first = run(&["service", "--target", "mail.example", "--param", "protocol=smtp"]);
        let plan = first.plan(None).unwrap();
        let mut document = failed(&first, &plan);
        let asked = document.run.asked.as_mut().unwrap();
        asked.parameters.insert("word".into(), "correct horse".into());
        let lines = commands(&redact(&document, Redaction::Default, &[]).0);
        assert!(lines[0].contains("--param protocol=smtp") && lines[0].contains("--param word=[redacted]"), "{lines:#?}");
        assert!(!lines[0].contains("horse"));
    }
}
