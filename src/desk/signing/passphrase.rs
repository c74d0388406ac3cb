use crate::stop::Stop;
use crate::terminal;
use zeroize::Zeroizing;

/// Asks for passphrases, and tries one that opened a key on the next key first.
#[derive(Default)]
pub(crate) struct Passphrases {
    last: Option<Zeroizing<String>>,
}

impl Passphrases {
    /// As if `passphrase` had opened a key already.
    #[cfg(test)]
    pub(crate) fn knowing(passphrase: &str) -> Self {
        Self { last: Some(Zeroizing::new(passphrase.to_owned())) }
    }

    /// What `attempt` makes of the right passphrase for `what`; `attempt` answers `None` to a wrong one.
    pub(crate) fn open<T>(&mut self, what: &str, attempt: impl Fn(&str) -> Option<T>) -> Result<T, Stop> {
        if let Some(opened) = self.last.as_deref().and_then(|last| attempt(last)) {
            return Ok(opened);
        }
        let text = terminal::read_secret(&format!("Passphrase of {what}"))?;
        let passphrase = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
        let opened = attempt(&passphrase).ok_or_else(|| {
            Stop::failed(format!("the passphrase does not open {what}")).next("run the command again with the right one")
        })?;
        self.last = Some(passphrase);
        Ok(opened)
    }

    /// A passphrase for new keys; none where the person leaves it empty.
    pub(crate) fn fresh(&mut self) -> Result<Option<Zeroizing<String>>, Stop> {
        let text = terminal::new_secret("Passphrase for the new key")?;
        let passphrase = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
        if passphrase.is_empty() {
            return Err(Stop::usage("no passphrase was given for the new key")
                .next("give one, or --no-passphrase where the file itself is kept under lock"));
        }
        self.last = Some(passphrase.clone());
        Ok(Some(passphrase))
    }
}
