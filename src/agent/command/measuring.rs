use crate::disk;
use crate::format::Format;
use crate::measurement::Measured;
use crate::proxied;
use crate::stop::Stop;
use crate::terminal;
use clap::Args;
use netsonde_contract::document::Asked;
use netsonde_contract::set::MAX_BUDGET;
use netsonde_contract::target::{Target, TargetForm};
use netsonde_probes::context::ProxyChoice;
use netsonde_probes::origins::Origins;
use netsonde_probes::{ReflectorKey, Trust};
use netsonde_report::text::Depth;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// A file of certificates is this long at most; the whole of Mozilla's store has 200 kB.
const MAX_TRUST_BYTES: u64 = 8 << 20;

/// How to measure and how to print it.
#[derive(Args)]
pub(super) struct MeasuringOptions {
    /// How to print the result.
    #[arg(long, value_enum, default_value_t, help_heading = "Output")]
    pub(super) format: Format,
    /// Print every observation, not only the summary of each check.
    #[arg(long, help_heading = "Output")]
    pub(super) detail: bool,
    /// Print how the conclusion was reached: what each cause rests on, and what was ruled out by what.
    #[arg(long, help_heading = "Output")]
    pub(super) explain: bool,
    /// The time for everything together, such as 60s or 2m.
    #[arg(long, value_name = "TIME", value_parser = parse_budget, allow_hyphen_values = true, help_heading = "Measuring")]
    pub(super) budget: Option<Duration>,
    /// Trust the certificates in this PEM file, too; SSL_CERT_FILE is honoured as well.
    #[arg(long, value_name = "CA.pem", help_heading = "Measuring")]
    pub(super) trust: Vec<PathBuf>,
    /// Capture the headers of the run's own packets (pcapng, for Wireshark): written as --capture=FILE into this file; a run's bundle has
    /// them as well, with a name or without.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, help_heading = "Measuring")]
    pub(super) capture: Option<Option<PathBuf>>,
    /// Seal packets to reflectors with the key in this file, and believe only replies that are sealed with it.
    #[arg(long, value_name = "FILE", help_heading = "Measuring")]
    pub(super) reflector_key: Option<PathBuf>,
    /// Ask for web addresses through this proxy, or `none` for directly; otherwise HTTPS_PROXY and NO_PROXY count.
    #[arg(long, value_name = "URL|none", value_parser = parse_proxy, help_heading = "Measuring")]
    pub(super) proxy: Option<ProxyChoice>,
    /// Name the networks of a traceroute's hops by this file, with lines of `prefix asn [name]`.
    #[arg(long, value_name = "FILE", help_heading = "Measuring")]
    pub(super) networks: Option<PathBuf>,
}

impl MeasuringOptions {
    pub(super) fn depth(&self) -> Depth {
        Depth { detail: self.detail, explain: self.explain }
    }

    /// Whether the capture can be written to the file that was named, before anything is measured.
    ///
    /// # Errors
    /// Where its folder takes no new file, or its name is a folder's.
    pub(super) fn check_capture(&self) -> Result<(), Stop> {
        let Some(Some(path)) = &self.capture else { return Ok(()) };
        if path.is_dir() {
            return Err(unwritable(path, &"it is a folder"));
        }
        disk::takes_files(path).map_err(|error| unwritable(path, &error))
    }

    /// Writes the capture to the file that was named, if one was; says whether it is where it was to be. A file that cannot be written
    /// costs nothing else.
    pub(super) fn keep_capture(&self, measured: &Measured) -> bool {
        let (Some(Some(path)), Some(captured)) = (&self.capture, &measured.capture) else { return true };
        let kept = disk::replace_file(path, &captured.file);
        if let Err(error) = &kept {
            terminal::say_stop(&unwritable(path, error));
        }
        kept.is_ok()
    }

    /// Reads the certificates that were named.
    pub(super) fn trust(&self) -> Result<Arc<Trust>, Stop> {
        let mut texts = Vec::new();
        for path in &self.trust {
            let failed = |why: String| {
                Stop::usage(format!("the certificates in {} cannot be used: {why}", path.display()))
                    .next("give a file with BEGIN CERTIFICATE blocks")
            };
            let length = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
            if length > MAX_TRUST_BYTES {
                return Err(failed(format!("it is longer than {MAX_TRUST_BYTES} bytes")));
            }
            texts.push(std::fs::read(path).map_err(|error| failed(error.to_string()))?);
        }
        let trust = Trust::new(texts).map_err(|error| {
            let path = self.trust.get(error.position).map(|path| path.display().to_string()).unwrap_or_default();
            Stop::usage(format!("the certificates in {path} cannot be used: {error}"))
                .next("give a file with BEGIN CERTIFICATE blocks")
        })?;
        let key = self.reflector_key.as_deref().map(read_reflector_key).transpose()?;
        Ok(Arc::new(trust.with_reflector_key(key)))
    }

    /// Reads the file that says whose addresses are. Only a person at the command line names one.
    pub(super) fn origins(&self) -> Result<Origins, Stop> {
        let Some(path) = &self.networks else { return Ok(Origins::default()) };
        let failed = |why: String| {
            Stop::usage(format!("the networks in {} cannot be used: {why}", path.display()))
                .next("give a file with lines such as `192.0.2.0/24 AS64500 Example Net`")
        };
        let length = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
        if length > Origins::MAX_BYTES {
            return Err(failed(format!("it is longer than {} bytes", Origins::MAX_BYTES)));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        Origins::parse(&text).map_err(|error| failed(error.to_string()))
    }

    /// What these options change of what is measured, without secrets.
    pub(super) fn asked(&self, targets: &[Target]) -> Asked {
        Asked {
            budget_us: self.budget.map(|budget| u64::try_from(budget.as_micros()).unwrap_or(u64::MAX)),
            proxy: proxied::asked(&self.proxy(), targets),
            trust: !self.trust.is_empty(),
            reflector_key: self.reflector_key.is_some(),
            networks: self.networks.is_some(),
            ..Asked::default()
        }
    }

    pub(super) fn proxy(&self) -> ProxyChoice {
        self.proxy.clone().unwrap_or_default()
    }
}

fn unwritable(path: &Path, why: &dyn std::fmt::Display) -> Stop {
    Stop::usage(format!("the capture cannot be written to {}: {why}", path.display()))
        .next("name a file in a folder that you may write to")
}

/// The key that a reflector and its senders share.
pub(super) fn read_reflector_key(path: &Path) -> Result<ReflectorKey, Stop> {
    let next = "give a file with 16 to 1024 random bytes, the same at both ends: head -c 32 /dev/urandom | base64 > key";
    let failed = |why: String| Stop::usage(format!("the key in {} cannot be used: {why}", path.display())).next(next);
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    // One byte more than a key may have shows that it is too long.
    let mut bytes = Zeroizing::new(Vec::new());
    let bound = ReflectorKey::MAX_BYTES as u64 + 64;
    file.take(bound).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    ReflectorKey::new(&bytes).map_err(failed)
}

/// A duration as a person writes it: `60s`, `2m`, `1m 30s`, `500ms`.
fn parse_budget(text: &str) -> Result<Duration, String> {
    let parsed: Result<jiff::SignedDuration, _> = text.parse();
    match parsed.ok().and_then(|signed| Duration::try_from(signed).ok()).filter(|budget| !budget.is_zero()) {
        Some(budget) if budget <= MAX_BUDGET => Ok(budget),
        Some(_) => Err(format!("a run takes at most {} s", MAX_BUDGET.as_secs())),
        None if text.starts_with('-') => Err("a run takes longer than nothing: write it as 60s or 2m".to_owned()),
        None => Err("write it as 60s or 2m".to_owned()),
    }
}

pub(super) fn parse_proxy(text: &str) -> Result<ProxyChoice, String> {
    if text == "none" {
        return Ok(ProxyChoice::None);
    }
    let written = "write it as http://proxy.example:3128, https://…, socks5h://proxy.example:1080, socks4a://… or none";
    // A proxy may want a user name and a password, which a target never has.
    let (scheme, rest) = text.split_once("://").ok_or(written)?;
    let authority = rest.rsplit_once('@').map_or(rest, |(_, authority)| authority);
    // Where a SOCKS proxy is stands in its URL as in any other.
    let scheme = if matches!(scheme, "socks4" | "socks4a" | "socks5" | "socks5h") { "http" } else { scheme };
    Target::parse(&format!("{scheme}://{authority}"), TargetForm::Url).map_err(|error| format!("{}; {written}", error.reason))?;
    Ok(ProxyChoice::Url(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_and_proxies_are_read_as_people_write_them() {
        assert_eq!(parse_budget("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_budget("1m30s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "0s", "-5s", "soon", "61m"] {
            assert!(parse_budget(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_proxy("none"), Ok(ProxyChoice::None));
        assert!(parse_proxy("http://anna:secret@proxy.example:3128").is_ok());
        assert!(parse_proxy("socks5h://anna:secret@proxy.example:1080").is_ok());
        for wrong in ["proxy.example", "ftp://proxy.example", "socks6://proxy.example", "socks5://", "http://"] {
            assert!(parse_proxy(wrong).is_err(), "{wrong}");
        }
    }
}
