use crate::Failure;
use crate::folders::without_mark;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// What whoever manages the VM asks for.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) public: Public,
    pub(crate) protected: Protected,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Public {
    pub(crate) run: Option<Run>,
    /// The text of `agent.toml`.
    pub(crate) agent: Option<String>,
    /// The text of `policy.toml`.
    pub(crate) policy: Option<String>,
}

/// Secrets: neither is shown anywhere.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Protected {
    pub(crate) ticket: Option<String>,
    pub(crate) enrolment: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    #[serde(default = "web")]
    pub(crate) set: String,
    #[serde(default)]
    pub(crate) targets: Vec<String>,
    #[serde(default)]
    pub(crate) parameters: Map<String, Value>,
}

fn web() -> String {
    "web".to_owned()
}

/// The run that settings ask for.
pub(crate) enum Asked<'a> {
    /// As the ticket says, and sent to support.
    Ticket(&'a str),
    /// Stays on the machine.
    Run(&'a Run),
}

impl<'a> Asked<'a> {
    pub(crate) fn by(settings: &'a Settings) -> Option<Self> {
        let ticket = settings.protected.ticket.as_deref().map(Self::Ticket);
        ticket.or_else(|| settings.public.run.as_ref().map(Self::Run))
    }

    /// What the run is known by afterwards: a ticket works once; any other run is asked for once by its settings under their number.
    pub(crate) fn key(&self, number: Option<u64>) -> String {
        let text = match self {
            Self::Ticket(ticket) => (*ticket).to_owned(),
            Self::Run(run) => json!([number, run]).to_string(),
        };
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Settings {
    pub(crate) fn ask_for_the_service(&self) -> bool {
        self.public.agent.is_some() || self.public.policy.is_some() || self.protected.enrolment.is_some()
    }

    /// From the text of a settings file. `decrypt` takes the thumbprint of a certificate and what was encrypted to it.
    ///
    /// # Errors
    /// Where the text is not what the guest agent writes, asks for something unknown, or cannot be decrypted.
    pub(crate) fn parse(text: &str, decrypt: impl FnOnce(&str, &[u8]) -> Result<Vec<u8>, Failure>) -> Result<Self, Failure> {
        let text = without_mark(text).trim();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let strange = || Failure::Unusable("the settings are not what the guest agent writes".to_owned());
        let document: Value = serde_json::from_str(text).map_err(|_| strange())?;
        let handler = document.get("runtimeSettings").map_or(Some(&document), |list| list.get(0));
        let handler = handler.and_then(|handler| handler.get("handlerSettings")).ok_or_else(strange)?;
        let protected = match handler.get("protectedSettings") {
            Some(Value::String(text)) if !text.is_empty() => {
                let thumbprint = handler.get("protectedSettingsCertThumbprint").and_then(Value::as_str).unwrap_or_default();
                let sealed = BASE64_STANDARD.decode(text).map_err(|_| strange())?;
                let opened = decrypt(thumbprint, &sealed)?;
                serde_json::from_slice(&opened).map_err(|_| strange())?
            }
            Some(other) => other.clone(),
            None => Value::Null,
        };
        Ok(Self {
            public: section("public", handler.get("publicSettings").cloned().unwrap_or_default())?,
            protected: section("protected", protected)?,
        })
    }
}

/// A section that is not there, or empty, asks for nothing.
fn section<T: Default + DeserializeOwned>(name: &str, value: Value) -> Result<T, Failure> {
    match value {
        Value::Null => Ok(T::default()),
        Value::String(text) if text.is_empty() => Ok(T::default()),
        value => serde_json::from_value(value.clone()).map_err(|error| {
            // What stands among the protected ones is not repeated: it may be a secret.
            let words = match named_by::<T>(&value) {
                Some(key) if name == "protected" && ["ticket", "enrolment"].contains(&key.as_str()) => {
                    format!("{key} has to be a text")
                }
                _ if name == "protected" => "something unknown (known: ticket, enrolment)".to_owned(),
                Some(key) => format!("{key}: {error}"),
                None => error.to_string(),
            };
            Failure::Unusable(format!("the {name} settings: {words}"))
        }),
    }
}

/// The setting that cannot be read, by its names from the outside in.
fn named_by<T: DeserializeOwned>(value: &Value) -> Option<String> {
    let alone = |key: &str, value: &Value| Value::Object(Map::from_iter([(key.to_owned(), value.clone())]));
    let (key, wrong) = value.as_object()?.iter().find(|(key, value)| serde_json::from_value::<T>(alone(key, value)).is_err())?;
    let deeper = if key == "run" { named_by::<Run>(wrong) } else { None };
    Some(deeper.map_or_else(|| key.clone(), |deeper| format!("{key}.{deeper}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(public: &str, protected: &str) -> Result<Settings, Failure> {
        let text = format!(
            r#"{{"runtimeSettings":[{{"handlerSettings":{{"publicSettings":{public},"protectedSettings":{protected},"protectedSettingsCertThumbprint":"AB"}}}}]}}"#
        );
        Settings::parse(&text, |thumbprint, sealed| {
            assert_eq!(thumbprint, "AB");
            Ok(sealed.to_vec())
        })
    }

    #[test]
    fn what_is_asked_for_is_read_sealed_or_not() {
        let settings = parsed(r#"{"run":{"targets":["127.0.0.1"],"parameters":{"count":3}}}"#, "null").unwrap();
        let run = settings.public.run.unwrap();
        assert_eq!((run.set.as_str(), run.parameters["count"].to_string().as_str()), ("web", "3"));
        let sealed = BASE64_STANDARD.encode(r#"{"ticket":"nst1_x"}"#);
        assert_eq!(parsed("null", &format!("\"{sealed}\"")).unwrap().protected.ticket.as_deref(), Some("nst1_x"));
        assert_eq!(parsed("{}", r#"{"enrolment":"nse1_x"}"#).unwrap().protected.enrolment.as_deref(), Some("nse1_x"));
        assert!(Settings::parse("\u{feff}  ", |_, _| Ok(Vec::new())).unwrap().public.run.is_none());
    }

    #[test]
    fn a_ticket_is_one_run_and_any_other_is_one_for_each_number_of_its_settings() {
        let of = |public: &str, protected: &str, number| {
            let settings = parsed(public, protected).unwrap();
            Asked::by(&settings).map(|asked| asked.key(Some(number)))
        };
        let ticket = r#"{"ticket":"nst1_x"}"#;
        assert_eq!(of("{}", ticket, 1), of(r#"{"run":{}}"#, ticket, 2));
        assert_ne!(of("{}", ticket, 1), of("{}", r#"{"ticket":"nst1_y"}"#, 1));
        assert_eq!(of(r#"{"run":{}}"#, "{}", 1), of(r#"{"run":{"set":"web"}}"#, "{}", 1));
        assert_ne!(of(r#"{"run":{}}"#, "{}", 1), of(r#"{"run":{}}"#, "{}", 2));
        assert_ne!(of(r#"{"run":{}}"#, "{}", 1), of(r#"{"run":{"set":"port"}}"#, "{}", 1));
        assert_eq!(of("{}", "{}", 1), None);
    }

    #[test]
    fn settings_that_nobody_knows_are_named_and_secrets_are_not_repeated() {
        let failed = |public: &str, protected: &str| parsed(public, protected).map(|_| ()).unwrap_err();
        assert!(failed(r#"{"runs":{}}"#, "null").words().contains("`runs`"));
        assert!(failed(r#"{"agent":5}"#, "null").words().contains("agent: "));
        assert!(failed(r#"{"run":{"targets":"https://x/"}}"#, "null").words().contains("run.targets: "));
        assert!(failed(r#"{"run":"web"}"#, "null").words().contains("run: "));
        assert!(failed("{}", r#"{"ticket":5}"#).words().contains("ticket has to be a text"));
        assert!(!failed("{}", r#"{"nst1_secret":1}"#).words().contains("secret"));
        assert!(!failed("{}", r#"{"ticket":["nst1_secret"]}"#).words().contains("secret"));
        for text in ["{", "[]", r#"{"runtimeSettings":[]}"#] {
            assert!(Settings::parse(text, |_, _| Ok(Vec::new())).is_err(), "{text}");
        }
        assert!(parsed("{}", r#""%%%""#).is_err());
    }
}
