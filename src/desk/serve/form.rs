use crate::arguments::{SignWish, TriggerWish};
use crate::orders::{self, Wish};
use crate::signing::Signer;
use crate::stop::Stop;
use crate::terminal::harmless;
use std::str::FromStr;

/// The fields of a form, as they came.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(bytes).into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }

    fn all(&self, name: &str) -> impl Iterator<Item = String> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.clone())
    }

    /// What is wanted, by the same rules as `trigger` on the command line; a field that is empty was not given.
    pub(super) fn wish(&self, signer: &Signer) -> Result<Wish, Stop> {
        // A page names no file of this machine.
        orders::known_set(self.get("set"))?;
        let mut agents = self.words("agents");
        agents.extend(self.all("agent"));
        let wish = TriggerWish {
            set: self.get("set").to_owned(),
            agents,
            labels: self.words("labels"),
            targets: self.words("targets"),
            parameters: self.words("parameters"),
            case: self.get("case").trim().to_owned(),
            reason: self.get("reason").trim().to_owned(),
            requester: self.given("requester"),
            with: self.given("with"),
            answering: numbers("the address", &self.words("answering"), "the measuring agents' addresses, with spaces between")?,
            waves: numbers("the wave", &self.words("waves"), "numbers with spaces between, such as 1 10, or 0 for all at once")?,
            stop_at: self.given("stop_at").map(|text| number("the share", &text, "0 to 100, in percent")).transpose()?,
            expires: self.given("expires").unwrap_or_else(|| super::site::LIFE.to_owned()),
            bytes: self.given("bytes"),
            every: self.given("every"),
            repeat_for: self.given("for"),
            deep: self.given("deep").map(|name| orders::known_set(&name).map(|_| name)).transpose()?,
            spread: self.given("spread"),
            how: SignWish { key: None, yes: true, no_follow: true, follow: false, output: None },
        };
        check(&wish)?;
        Wish::of(&wish, signer)
    }

    /// Words with spaces, or commas, between.
    fn words(&self, name: &str) -> Vec<String> {
        let commas = matches!(name, "waves" | "answering");
        let parts = self.get(name).split(|letter: char| letter.is_whitespace() || commas && letter == ',');
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    fn given(&self, name: &str) -> Option<String> {
        Some(self.get(name).trim().to_owned()).filter(|text| !text.is_empty())
    }
}

/// What the command line refuses of itself: fields that need each other, or cannot go together.
fn check(wish: &TriggerWish) -> Result<(), Stop> {
    let wrong = |message: &str, next: &str| Err(Stop::usage(message).next(next));
    if wish.with.is_some() == wish.answering.is_empty() {
        return wrong("an agent that answers, and the addresses that it answers, go together", "fill in both, or neither");
    }
    if wish.every.is_some() != wish.repeat_for.is_some() {
        return wrong("a schedule says how often, and for how long", "fill in both, or neither");
    }
    if wish.deep.is_some() && wish.every.is_none() {
        return wrong("only a schedule has a deep set", "say how often and for how long, or leave the deep set empty");
    }
    if wish.stop_at.is_some_and(|percent| percent > 100) || wish.stop_at.is_some() && wish.waves.is_empty() {
        return wrong("the share at which the next wave waits is 0 to 100, of waves that are given", "fill in the waves, too");
    }
    if !wish.waves.is_empty() && (wish.with.is_some() || wish.every.is_some()) {
        return wrong("agents that measure each other, or keep a schedule, go together", "leave the waves empty");
    }
    if wish.spread.is_some() && (wish.with.is_some() || wish.every.is_some()) {
        return wrong(
            "agents that measure each other begin together, and those of a schedule by themselves",
            "leave the spread empty",
        );
    }
    if wish.with.is_some() && wish.every.is_some() {
        return wrong("agents that answer each other do so once", "leave the schedule empty, or the answering agent");
    }
    Ok(())
}

fn numbers<T: FromStr>(what: &str, texts: &[String], expected: &str) -> Result<Vec<T>, Stop> {
    texts.iter().map(|text| number(what, text, expected)).collect()
}

fn number<T: FromStr>(what: &str, text: &str, expected: &str) -> Result<T, Stop> {
    text.parse().map_err(|_| Stop::usage(format!("{what} `{}` cannot be read", harmless(text))).next(format!("write {expected}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing;

    fn wish(more: &str) -> Result<Wish, Stop> {
        let place = tempfile::tempdir().unwrap();
        let signer = signing::make(&place.path().join("asha"), "asha", None).unwrap();
        Form::parse(format!("set=web&case=4711&agents=vm1&targets=https%3A%2F%2Fshop.example%2F{more}").as_bytes()).wish(&signer)
    }

    #[test]
    fn every_field_of_the_command_line_can_be_filled_in() {
        let plain = wish("&requester=&expires=&waves=&stop_at=&with=&answering=&bytes=&every=&for=").unwrap();
        assert_eq!((plain.requester.as_str(), plain.life.as_secs()), ("asha", 3_600));
        assert!(plain.waves.is_empty() && plain.with.is_none() && plain.bytes.is_none() && plain.repeat.is_none());
        let waves = wish("&waves=1%2C+10&stop_at=25&expires=4h&requester=Bo").unwrap();
        assert_eq!((waves.waves, waves.stop_at, waves.life.as_secs()), (vec![1, 10], Some(25), 14_400));
        assert_eq!(waves.requester, "Bo");
        let pair = wish("&with=vm2&answering=10.0.0.1+10.0.0.2").unwrap().with.unwrap();
        assert_eq!((pair.0.as_str(), pair.1.len()), ("vm2", 2));
        assert_eq!(wish("&bytes=10MB").unwrap().bytes, Some(10_000_000));
        assert!(wish("&bytes=lots").is_err());
        let schedule = wish("&every=5m&for=7d").unwrap().repeat.unwrap();
        assert_eq!((schedule.every_seconds, schedule.life_seconds), (300, 604_800));
        let deep = wish("&every=5m&for=7d&deep=tls").unwrap().deep.unwrap();
        assert!(deep.contains("name = \"tls\""), "{deep}");
        assert_eq!((wish("&spread=600").unwrap().spread, wish("&spread=10m").unwrap().spread), (Some(600), Some(600)));
    }

    #[test]
    fn what_the_command_line_refuses_the_form_refuses() {
        for wrong in [
            "&waves=x",
            "&stop_at=20",
            "&waves=1&stop_at=101",
            "&waves=1&stop_at=300",
            "&with=vm2",
            "&answering=10.0.0.1",
            "&with=vm2&answering=vm3",
            "&with=vm2&answering=10.0.0.1&waves=1",
            "&every=5m",
            "&for=7d",
            "&every=5m&for=7d&waves=1",
            "&every=5m&for=7d&with=vm2&answering=10.0.0.1",
            "&every=1s&for=7d",
            "&deep=tls",
            "&every=5m&for=7d&deep=%2Fetc%2Fpasswd.toml",
            "&expires=9d",
            "&spread=0",
            "&spread=61m",
            "&spread=600&every=5m&for=7d",
            "&spread=600&with=vm2&answering=10.0.0.1",
        ] {
            assert!(wish(wrong).is_err(), "{wrong}");
        }
        let place = tempfile::tempdir().unwrap();
        let signer = signing::make(&place.path().join("asha"), "asha", None).unwrap();
        assert!(Form::parse(b"set=%2Fetc%2Fpasswd.toml&case=1&agents=a").wish(&signer).is_err(), "no file of this machine");
    }
}
