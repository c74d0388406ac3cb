use super::{Next, Talk, shown};

/// Length 8, then the number that stands for "SSLRequest": PostgreSQL, frontend/backend protocol, section "SSL Session Encryption".
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// PostgreSQL: the client speaks first, and one letter answers.
#[derive(Default)]
pub(super) struct Postgres {
    asked: bool,
}

impl Talk for Postgres {
    fn next(&mut self, received: &[u8]) -> Next {
        if !self.asked {
            self.asked = true;
            return Next::Send(SSL_REQUEST.to_vec());
        }
        match received {
            [] => Next::Wait,
            b"S" => Next::Agreed,
            b"N" => Next::Refused("it answers that it has no TLS".into()),
            [b'E', words @ ..] => Next::Refused(shown(words)),
            // More than the letter would be taken for the server's hello: somebody put it there before the encryption began.
            _ => Next::NotThis,
        }
    }
}
