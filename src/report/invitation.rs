use crate::clean::clean;
use crate::units::moment;
use netsonde_contract::api::TicketIssued;
use netsonde_contract::kind::Kind;
use netsonde_contract::set::Plan;

/// The systems that netsonde is built for, each with the program as it is started from its folder.
const BUILT: &[(&str, &str)] = &[("Linux", "./netsonde")];

/// What a customer is asked to do with a ticket, ready to paste into a mail or a support case.
pub struct Invitation<'a> {
    pub issued: &'a TicketIssued,
    /// The backend's address, as people know it.
    pub backend: &'a str,
    pub plan: &'a Plan,
}

impl Invitation<'_> {
    /// One command for each system that there is a program for, with the name that people know the system by.
    pub fn commands(&self) -> Vec<(&'static str, String)> {
        let ticket = clean(&self.issued.ticket);
        BUILT.iter().map(|(system, program)| (*system, format!("{program} run --ticket {ticket}"))).collect()
    }

    /// The whole message, as plain text.
    pub fn text(&self) -> String {
        let targets: Vec<String> = self.plan.targets.iter().map(ToString::to_string).collect();
        let aim = if targets.is_empty() { String::new() } else { format!(" It is aimed at {}.", targets.join(", ")) };
        let mut text = String::from(
            "Please run one command on the machine that has the problem. Open a terminal in the folder where the netsonde program is, \
             and paste this line. (If netsonde is installed, leave out the \"./\" before its name.)\n\n",
        );
        for (system, command) in self.commands() {
            text += &format!("{system}:\n\n    {command}\n\n");
        }
        text += &format!(
            "What it does: it measures from your machine to answer \"{}\"{aim} It takes {} seconds at most, changes nothing, installs \
             nothing and needs no administrator rights. It will do this:\n\n",
            self.plan.question,
            self.plan.budget.as_secs()
        );
        for kind in self.kinds() {
            text += &format!("  - {}: {}\n", kind.name(), kind.summary());
        }
        text += &format!(
            "\nWhat it sends: one signed file with these measurements to {}. Before it begins, it shows what it will do and send. Passwords, cookies, tokens and \
             query strings are taken out before.\n\n\
             If your machine cannot reach us, the command says where it put the file. Hand it in with any browser, on any machine, \
             without signing in:\n\n    {}\n\n\
             The command works once, until {}.\n",
            self.backend,
            clean(&self.issued.page),
            moment(self.issued.expires)
        );
        text
    }

    /// The kinds of the plan's checks, each once, in the order of the run.
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for kind in self.plan.checks.iter().map(|check| check.params.kind()) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use netsonde_contract::id::TicketId;
    use netsonde_contract::set::{Request, find_built_in};

    #[test]
    fn the_message_says_what_to_paste_what_happens_and_until_when() {
        let issued = TicketIssued {
            id: TicketId::from_bytes([1; 10]),
            ticket: "nst1_abc".into(),
            page: "https://support.example/t/aeaqcaibaeaqcaib".into(),
            expires: Timestamp::from_second(1_800_000_000).unwrap(),
        };
        let request = Request { targets: vec!["shop.example".into()], ..Request::default() };
        let plan = find_built_in("web").unwrap().parse().unwrap().plan(&request).unwrap();
        let message = Invitation { issued: &issued, backend: "https://support.example", plan: &plan };
        let text = message.text();
        for expected in [
            "./netsonde run --ticket nst1_abc",
            "aimed at https://shop.example/.",
            "- dns: ",
            "https://support.example/t/aeaqcaibaeaqcaib",
            "until 2027-01-15 08:00:00 UTC",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        assert!(!text.contains("macOS") && !text.contains("Windows"), "no program is built for them: {text}");
    }
}
