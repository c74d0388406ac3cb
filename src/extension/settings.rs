use crate::Failure;
use crate::folders::without_mark;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

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

#[derive(Deserialize)]
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

impl Settings {
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
        // What stands in there is not repeated: it may be a secret.
        value => serde_json::from_value(value).map_err(|error| {
            let words =
                if name == "protected" { "something unknown (known: ticket, enrolment)".to_owned() } else { error.to_string() };
            Failure::Unusable(format!("the {name} settings: {words}"))
        }),
    }
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
    fn settings_that_nobody_knows_are_named_and_secrets_are_not_repeated() {
        let failed = |public: &str, protected: &str| parsed(public, protected).map(|_| ()).unwrap_err();
        assert!(failed(r#"{"runs":{}}"#, "null").words().contains("`runs`"));
        assert!(!failed("{}", r#"{"nst1_secret":1}"#).words().contains("secret"));
        assert!(!failed("{}", r#"{"ticket":["nst1_secret"]}"#).words().contains("secret"));
        for text in ["{", "[]", r#"{"runtimeSettings":[]}"#] {
            assert!(Settings::parse(text, |_, _| Ok(Vec::new())).is_err(), "{text}");
        }
        assert!(parsed("{}", r#""%%%""#).is_err());
    }
}
