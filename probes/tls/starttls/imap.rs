use super::{Next, Talk, lines, shown};

/// IMAP (RFC 9051 sections 6.2.1 and 7.1).
#[derive(Default)]
pub(super) struct Imap {
    asked: bool,
}

impl Talk for Imap {
    fn next(&mut self, received: &[u8]) -> Next {
        let begins = |line: &[u8], word: &[u8]| line.len() >= word.len() && line[..word.len()].eq_ignore_ascii_case(word);
        if self.asked {
            return match lines(received).find(|line| begins(line, b"a1 ")) {
                Some(line) if begins(line, b"a1 OK") => Next::Agreed,
                Some(line) => Next::Refused(shown(line)),
                None => Next::Wait,
            };
        }
        match lines(received).next() {
            Some(line) if begins(line, b"* OK") => {
                self.asked = true;
                Next::Send(b"a1 STARTTLS\r\n".to_vec())
            }
            Some(line) if begins(line, b"* ") => Next::Refused(shown(line)),
            Some(_) => Next::NotThis,
            None => Next::Wait,
        }
    }
}
