use super::{Next, Talk, lines, shown};

/// SMTP (RFC 5321 section 3.2, RFC 3207).
#[derive(Default)]
pub(super) struct Smtp {
    step: Step,
}

#[derive(Clone, Copy, Default)]
enum Step {
    #[default]
    Greeting,
    Hello,
    Asked,
}

impl Talk for Smtp {
    fn next(&mut self, received: &[u8]) -> Next {
        let all: Vec<&[u8]> = lines(received).collect();
        let numbered = |line: &[u8]| line.len() >= 3 && line[..3].iter().all(u8::is_ascii_digit);
        if !all.iter().all(|line| numbered(line)) {
            return Next::NotThis;
        }
        // The last line of a reply has a space, or nothing, after its number.
        let Some(last) = all.last().filter(|line| line.get(3) != Some(&b'-')) else { return Next::Wait };
        match (self.step, &last[..3]) {
            (Step::Greeting, b"220") => {
                self.step = Step::Hello;
                // A name that is nobody's (RFC 2606), as the machine's own is nobody's business.
                Next::Send(b"EHLO netsonde.invalid\r\n".to_vec())
            }
            (Step::Hello, b"250") if all.iter().any(|line| line[3..].get(1..).is_some_and(is_starttls)) => {
                self.step = Step::Asked;
                Next::Send(b"STARTTLS\r\n".to_vec())
            }
            (Step::Hello, b"250") => Next::Refused("it does not offer STARTTLS".into()),
            (Step::Asked, b"220") => Next::Agreed,
            _ => Next::Refused(shown(last)),
        }
    }
}

fn is_starttls(word: &[u8]) -> bool {
    word.trim_ascii().eq_ignore_ascii_case(b"STARTTLS")
}
