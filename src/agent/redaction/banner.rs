//! The first words of another protocol. What speaks and in which version stays, and so do the plain words of a refusal; of which machine,
//! mail address or person it speaks goes. A word stays because it is in a list: nobody knows what any other one is.

use super::Redactor;
use super::header::is_number;
use std::net::IpAddr;

/// How a reply begins whose other words are worth a look, beside a number of three digits, SSH and HTTP.
const GREETINGS: [&str; 6] = ["* OK", "+OK", "-ERR", "RFB", "AMQP", "<"];

/// Products, in lower case.
const PRODUCTS: &[&str] = &[
    "apache",
    "bftpd",
    "bind",
    "citadel",
    "communigate",
    "courier",
    "courier-imap",
    "cyrus",
    "debian",
    "gnu",
    "default",
    "dovecot",
    "dropbear",
    "exchange",
    "exim",
    "fedora",
    "filezilla",
    "freebsd",
    "ftpd",
    "gmail",
    "gsmtp",
    "haraka",
    "icewarp",
    "imapd",
    "james",
    "libssh",
    "linux",
    "mailenable",
    "mariadb",
    "mdaemon",
    "microsoft",
    "mysql",
    "netbsd",
    "nginx",
    "openbsd",
    "opensmtpd",
    "openssh",
    "postfix",
    "postgresql",
    "proftpd",
    "proxmox",
    "pure-ftpd",
    "qmail",
    "qpsmtpd",
    "raspbian",
    "redis",
    "red",
    "hat",
    "rocky",
    "alpine",
    "sendmail",
    "serv-u",
    "stalwart",
    "suse",
    "tls",
    "tlsv1",
    "ubuntu",
    "uw",
    "vsftpd",
    "windows",
    "wing",
    "zimbra",
    "kerio",
    "smtpd",
    "centos",
    "almalinux",
    "amazon",
    "google",
    "office",
    "outlook",
    "protection",
    "mimecast",
    "barracuda",
    "ironport",
    "fortimail",
    "hmailserver",
    "mailcow",
    "maildir",
    "pop3d",
    "smtpsrv",
    "wsftp",
    "ws_ftp",
    "crushftp",
    "cerberus",
    "titan",
    "gene6",
    "iis",
];

/// Protocols, what they offer, and words in which servers greet and refuse, in lower case.
const WORDS: &[&str] = &[
    // Protocols and what they offer.
    "smtp",
    "esmtp",
    "lmtp",
    "asmtp",
    "esmtpa",
    "esmtps",
    "ftp",
    "sftp",
    "ftps",
    "imap",
    "imap4",
    "imap4rev1",
    "imap4rev2",
    "pop",
    "pop3",
    "ssh",
    "ssl",
    "starttls",
    "stls",
    "http",
    "https",
    "capability",
    "capa",
    "auth",
    "plain",
    "login",
    "cram",
    "md5",
    "digest",
    "ntlm",
    "gssapi",
    "scram",
    "sha",
    "sha1",
    "sha256",
    "xoauth2",
    "oauthbearer",
    "external",
    "anonymous",
    "sasl",
    "ir",
    "id",
    "enable",
    "idle",
    "literal",
    "literal+",
    "literal-",
    "referrals",
    "logindisabled",
    "namespace",
    "quota",
    "sort",
    "thread",
    "uidplus",
    "unselect",
    "children",
    "condstore",
    "qresync",
    "move",
    "esearch",
    "within",
    "context",
    "list",
    "status",
    "binary",
    "compress",
    "deflate",
    "special",
    "use",
    "acl",
    "preview",
    "notify",
    "metadata",
    "utf8",
    "accept",
    "only",
    "pipelining",
    "size",
    "vrfy",
    "etrn",
    "enhancedstatuscodes",
    "8bitmime",
    "dsn",
    "smtputf8",
    "chunking",
    "help",
    "turn",
    "expn",
    "prdr",
    "limits",
    "binarymime",
    "hello",
    // Greetings.
    "mail",
    "server",
    "service",
    "services",
    "ready",
    "at",
    "welcome",
    "to",
    "the",
    "this",
    "is",
    "on",
    "by",
    "of",
    "and",
    "or",
    "in",
    "for",
    "with",
    "from",
    "version",
    "v",
    "protocol",
    "daemon",
    "agent",
    "transfer",
    "file",
    "host",
    "hosts",
    "here",
    "installation",
    "proxy",
    "gateway",
    "relay",
    "you",
    "your",
    "we",
    "are",
    "our",
    "be",
    "will",
    "can",
    "cannot",
    "may",
    "has",
    "have",
    "been",
    "no",
    "not",
    "greetings",
    "featuring",
    "local",
    "time",
    "now",
    "gmt",
    "utc",
    "cet",
    "cest",
    "est",
    "edt",
    "pst",
    "pdt",
    "mon",
    "tue",
    "wed",
    "thu",
    "fri",
    "sat",
    "sun",
    "jan",
    "feb",
    "mar",
    "apr",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
    // Refusals, and what a port says that speaks something else.
    "access",
    "denied",
    "refused",
    "rejected",
    "blocked",
    "banned",
    "listed",
    "connection",
    "connections",
    "connect",
    "client",
    "ip",
    "address",
    "too",
    "many",
    "closed",
    "closing",
    "terminating",
    "channel",
    "timeout",
    "timed",
    "out",
    "try",
    "again",
    "later",
    "temporarily",
    "temporary",
    "permanently",
    "unavailable",
    "available",
    "allowed",
    "authorized",
    "required",
    "requires",
    "must",
    "issue",
    "first",
    "command",
    "commands",
    "unknown",
    "unrecognized",
    "invalid",
    "bad",
    "request",
    "syntax",
    "error",
    "errors",
    "found",
    "internal",
    "maximum",
    "limit",
    "exceeded",
    "reached",
    "rate",
    "load",
    "busy",
    "system",
    "user",
    "users",
    "policy",
    "reasons",
    "security",
    "reverse",
    "dns",
    "lookup",
    "failed",
    "failure",
    "due",
    "because",
    "mismatch",
    "expected",
    "resources",
    "insufficient",
    "shutting",
    "down",
    "up",
    "overloaded",
    "maintenance",
    "forbidden",
    "method",
    "moved",
    "gone",
    "length",
    "encrypted",
    "tcp",
    "port",
    "plaintext",
    "sent",
    "used",
    "using",
    "speak",
    "talk",
    "wrong",
    "number",
    "max",
    "clients",
    "sorry",
    "please",
    "abuse",
    "spam",
    "reputation",
    "greylisted",
    "handshake",
    "certificate",
    "unsupported",
];

/// Letters within a version: `9.2p1`, `2+deb12u3`, `3ubuntu0.10`, `4.98rc2`.
const IN_VERSIONS: &[&str] = &[
    "a", "alpha", "b", "beta", "build", "deb", "dev", "el", "fc", "git", "p", "pl", "r", "rc", "rel", "sp", "u", "ubuntu", "v",
    "x",
];
/// The longest version that is kept, and the longest date or time.
const MAX_VERSION_BYTES: usize = 24;

/// What one word is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Known,
    /// A number, a version or a time: it stays behind a word that stays.
    Figure,
    Unknown,
}

impl Redactor<'_> {
    /// The first words of a reply in another protocol.
    pub(super) fn banner(&mut self, reply: &str) -> String {
        let lines: Vec<String> = reply.lines().map(|line| self.banner_line(line)).collect();
        let kept = lines.join("\n");
        if kept.contains("[redacted]") {
            self.count("banner");
        }
        kept
    }

    fn banner_line(&mut self, line: &str) -> String {
        let line = line.trim();
        let Some((beginning, rest)) = self.beginning(line) else {
            return if line.is_empty() { String::new() } else { "[redacted]".to_owned() };
        };
        let mut kept: Vec<&str> = Vec::new();
        let mut follows_known = true;
        for word in rest.split_whitespace() {
            let stays = match said(word) {
                Said::Known => true,
                Said::Figure => follows_known,
                Said::Unknown => false,
            };
            follows_known = stays;
            match (stays, kept.last()) {
                (true, _) => kept.push(word),
                // What was left out together stands for one thing.
                (false, Some(&"[redacted]")) => {}
                (false, _) => kept.push("[redacted]"),
            }
        }
        let gap = if beginning.is_empty() || kept.is_empty() { "" } else { " " };
        format!("{beginning}{gap}{}", kept.join(" "))
    }

    /// How the line shows which protocol speaks, and what follows; none where it shows none.
    fn beginning<'l>(&mut self, line: &'l str) -> Option<(String, &'l str)> {
        let first = line.split_whitespace().next()?;
        let after = &line[first.len()..];
        let digits = first.bytes().take_while(u8::is_ascii_digit).count();
        if first.starts_with("SSH-") {
            Some((self.word(first), after))
        } else if first.starts_with("HTTP/") {
            let status = after.split_whitespace().next().filter(|status| is_number(status));
            let rest = status.and_then(|status| after.trim_start().strip_prefix(status)).unwrap_or(after);
            let words = [Some(self.word(first)), status.map(str::to_owned)];
            Some((words.into_iter().flatten().collect::<Vec<_>>().join(" "), rest))
        } else if digits == 3 {
            let code = if first[digits..].starts_with('-') { digits + 1 } else { digits };
            Some((first[..code].to_owned(), &line[code..]))
        } else {
            let greeting = GREETINGS.iter().find(|greeting| line.starts_with(**greeting))?;
            let rest = &line[greeting.len()..];
            // `<` begins a page: nothing of it is a greeting.
            if *greeting == "<" { Some(("< [redacted]".to_owned(), "")) } else { Some(((*greeting).to_owned(), rest)) }
        }
    }
}

fn said(word: &str) -> Said {
    let is_sign = |c: char| "()[]<>,;:.!?'\"*-".contains(c);
    let inner = word.trim_matches(is_sign);
    if inner.is_empty() {
        return Said::Known;
    }
    if inner.parse::<IpAddr>().is_ok() {
        return Said::Unknown;
    }
    let parts = || inner.split(['/', '_', '-', '=', '+', '(', ')', '[', ']', ',', ':']).filter(|part| !part.is_empty());
    if is_known(inner) || (parts().any(is_known) && parts().all(|part| is_known(part) || is_figure(part))) {
        Said::Known
    } else if inner.len() <= MAX_VERSION_BYTES && parts().all(is_figure) {
        Said::Figure
    } else {
        Said::Unknown
    }
}

fn is_known(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    PRODUCTS.contains(&lower.as_str()) || WORDS.contains(&lower.as_str())
}

/// Digits with dots, and between them only letters that versions have.
fn is_figure(part: &str) -> bool {
    /// The year and the time of day have no more; account and telephone numbers have.
    const MAX_DIGITS: usize = 6;
    let mut runs = part.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty()).peekable();
    let letters = part.split(|c: char| !c.is_ascii_alphabetic()).filter(|run| !run.is_empty());
    let plain = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".~".contains(&byte));
    plain
        && part.len() <= MAX_VERSION_BYTES
        && part.parse::<IpAddr>().is_err()
        && runs.peek().is_some()
        && runs.all(|run| run.len() <= MAX_DIGITS)
        && letters.into_iter().all(|run| IN_VERSIONS.contains(&run.to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use crate::redaction::tests::redactor;

    #[test]
    fn a_banner_tells_product_and_version_and_not_its_machine() {
        let cases = [
            ("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3", "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3"),
            ("SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.5", "SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.5"),
            ("220 mail.corp.example ESMTP Postfix (Debian)", "220 [redacted] ESMTP Postfix (Debian)"),
            ("220-mail.corp.example ESMTP", "220- [redacted] ESMTP"),
            (
                "220 mx7 ESMTP Exim 4.98rc2 Wed, 22 Nov 2026 15:13:00 +0000",
                "220 [redacted] ESMTP Exim 4.98rc2 Wed, 22 Nov 2026 15:13:00 +0000",
            ),
            ("220 (vsFTPd 3.0.5)", "220 (vsFTPd 3.0.5)"),
            ("220 ProFTPD Server (Acme Billing) [::ffff:192.0.2.7]", "220 ProFTPD Server [redacted]"),
            (
                "* OK [CAPABILITY IMAP4rev1 SASL-IR IDLE LITERAL+ AUTH=PLAIN] Dovecot (Debian) ready.",
                "* OK [CAPABILITY IMAP4rev1 SASL-IR IDLE LITERAL+ AUTH=PLAIN] Dovecot (Debian) ready.",
            ),
            ("+OK Dovecot ready. <1896.697170952@dbc.mtview.example>", "+OK Dovecot ready. [redacted]"),
            (
                "554 5.7.1 Service unavailable; client [192.0.2.7] blocked",
                "554 5.7.1 Service unavailable; client [redacted] blocked",
            ),
            ("421 Too many connections from anna@corp.example", "421 Too many connections from [redacted]"),
            ("220 call +49 221 471188", "220 [redacted]"),
            ("220 10.20.30.40 ready", "220 [redacted] ready"),
            ("220 Postfix hunter2", "220 Postfix [redacted]"),
            ("HTTP/1.1 400 Bad Request", "HTTP/1.1 400 Bad Request"),
            ("hunter2 is the password", "[redacted]"),
            ("<html><body>hunter2", "< [redacted]"),
            ("220-mail.corp.example ESMTP\r\n220 ready\r\n", "220- [redacted] ESMTP\n220 ready"),
        ];
        for (given, expected) in cases {
            let mut redactor = redactor();
            assert_eq!(redactor.banner(given), expected);
            assert_eq!(redactor.removed.contains_key("banner"), expected.contains("[redacted]"), "{given}");
        }
    }
}
