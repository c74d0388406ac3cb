//! What was expected of an answer, held against what came. Pure. No part of a body that came comes out of here: only types, sizes,
//! digests.

use super::sought::Sought;
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::kind::{HeaderMust, HeaderRule, HttpParams, JsonRule};
use netsonde_contract::observation::{Exchange, Expectation, ExpectationAbout, Relation, type_and_size};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Longest value of a header that is recorded with its expectation.
const MAX_VALUE_CHARS: usize = 200;

/// Every expectation of the check's parameters; empty where there is none but the usual statuses.
pub(super) fn judge(params: &HttpParams, exchange: &Exchange, sought: &Sought) -> Vec<Expectation> {
    let mut all = Vec::new();
    if params.chooses_status() {
        all.push(Expectation {
            about: ExpectationAbout::Status,
            name: None,
            relation: Relation::Equals,
            wanted: Some(params.expect_status.join(" or ")),
            got: exchange.status.map(|status| status.to_string()),
            met: exchange.expected,
        });
    }
    all.extend(params.header_rules().map(|rule| of_header(&rule, exchange)));
    let whole = exchange.failure.is_none() && !exchange.body_cut;
    let passed = if whole { "a body" } else { "a body that was not read to its end" };
    all.extend(params.expect_body_sha256.as_ref().map(|wanted| Expectation {
        about: ExpectationAbout::BodySha256,
        name: None,
        relation: Relation::Equals,
        wanted: Some(wanted.to_ascii_lowercase()),
        got: exchange.body_sha256.clone(),
        met: whole && exchange.body_sha256.as_ref().is_some_and(|got| got.eq_ignore_ascii_case(wanted)),
    }));
    all.extend(params.expect_body.iter().zip(sought.found()).map(|(text, found)| Expectation {
        about: ExpectationAbout::BodyText,
        name: None,
        relation: Relation::Contains,
        wanted: Some(Value::from(text.as_str()).to_string()),
        got: Some(if found { "that text".to_owned() } else { format!("{passed} of {} bytes without it", exchange.body_bytes) }),
        met: found,
    }));
    let document = serde_json::from_slice::<Value>(sought.kept()).ok().filter(|_| whole);
    let too_large = exchange.body_bytes > HttpParams::MAX_JSON_BYTES;
    all.extend(params.json_rules().map(|rule| of_json(&rule, document.as_ref(), too_large)));
    all
}

/// The known answer's body as a whole, without white space at its ends.
pub(super) fn known_body(wanted: &str, exchange: &Exchange, sought: &Sought) -> Expectation {
    let text = String::from_utf8_lossy(sought.kept());
    let digest = hexadecimal(&Sha256::digest(wanted.trim().as_bytes()));
    Expectation {
        about: ExpectationAbout::BodyText,
        name: None,
        relation: Relation::Equals,
        wanted: Some(format!("a text of {} bytes with the SHA-256 {digest}", wanted.trim().len())),
        got: Some(format!("a body of {} bytes", exchange.body_bytes)),
        met: exchange.failure.is_none() && !exchange.body_cut && text.trim() == wanted.trim(),
    }
}

fn of_header(rule: &HeaderRule, exchange: &Exchange) -> Expectation {
    let values: Vec<&str> = exchange
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case(&rule.name))
        .map(|header| header.value.as_str())
        .collect();
    let (relation, wanted, met) = match &rule.must {
        HeaderMust::BePresent => (Relation::Present, None, !values.is_empty()),
        HeaderMust::BeAbsent => (Relation::Absent, None, values.is_empty()),
        HeaderMust::Equal(wanted) => (Relation::Equals, Some(wanted), values.iter().any(|value| value.trim() == wanted)),
        HeaderMust::Contain(text) => (Relation::Contains, Some(text), values.iter().any(|value| value.contains(text.as_str()))),
    };
    Expectation {
        about: ExpectationAbout::Header,
        name: Some(rule.name.clone()),
        relation,
        wanted: wanted.cloned(),
        got: values.first().map(|value| value.chars().take(MAX_VALUE_CHARS).collect()),
        met,
    }
}

fn of_json(rule: &JsonRule, document: Option<&Value>, too_large: bool) -> Expectation {
    let got = document.and_then(|document| document.pointer(&rule.pointer));
    let words = match (got, document) {
        (Some(got), _) => Some(type_and_size(got)),
        (None, Some(_)) => None,
        (None, None) if too_large => Some("a body larger than is read as JSON".to_owned()),
        (None, None) => Some("a body that is not JSON".to_owned()),
    };
    let met = got == Some(&rule.value);
    // Of two texts of one length, only that they differ can be told.
    let words = words.map(|words| if !met && words == type_and_size(&rule.value) { format!("another: {words}") } else { words });
    Expectation {
        about: ExpectationAbout::Json,
        name: Some(rule.pointer.clone()),
        relation: Relation::Equals,
        wanted: Some(rule.value.to_string()),
        got: words,
        met,
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::blank;
    use super::*;
    use netsonde_contract::observation::Header;
    use serde_json::json;

    const BODY: &str = r#"{"status":"up","count":3,"secret":"hunter2","deep":[{"x":null}]}"#;

    fn judged(params: Value) -> Vec<(bool, Option<String>)> {
        let mut with = json!({"url": "http://a.test/"});
        with.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
        let params: HttpParams = serde_json::from_value(with).unwrap();
        let mut sought = Sought::new(&params.expect_body, 1_000);
        sought.feed(BODY.as_bytes());
        let header = |name: &str, value: &str| Header { name: name.into(), value: value.into() };
        let exchange = Exchange {
            status: Some(200),
            expected: params.expects(200),
            headers: vec![header("server", "nginx/1.22"), header("x-twice", "a"), header("x-twice", "b")],
            body_bytes: BODY.len() as u64,
            body_sha256: Some(hexadecimal(&Sha256::digest(BODY))),
            ..blank("http://a.test/", "GET", 0, None)
        };
        let all = judge(&params, &exchange, &sought);
        for got in all.iter().filter_map(|expectation| expectation.got.as_deref()) {
            assert!(!got.contains("hunter2") && !got.contains("up"), "a part of the body came out: {got}");
        }
        all.into_iter().map(|expectation| (expectation.met, expectation.got)).collect()
    }

    fn met(params: Value) -> Vec<bool> {
        judged(params).into_iter().map(|(met, _)| met).collect()
    }

    #[test]
    fn the_usual_statuses_are_no_expectation_of_their_own() {
        assert!(met(json!({})).is_empty());
        assert_eq!(met(json!({"expect_status": ["200-204"]})), [true]);
        assert_eq!(met(json!({"expect_status": ["401"]})), [false]);
    }

    #[test]
    fn any_of_several_headers_of_a_name_may_meet_the_rule() {
        let rules =
            json!({"expect_headers": ["Server", "!x-other", "x-twice=b", "server~ngin", "server=nginx", "x-gone", "!server"]});
        assert_eq!(met(rules), [true, true, true, true, false, false, false]);
    }

    #[test]
    fn a_json_value_is_met_by_type_and_value() {
        let rules = json!({"expect_json": ["/status=up", "/count=3", "/count=\"3\"", "/deep/0/x=null", "/none=1", "/status=no"]});
        let judged = judged(rules);
        assert_eq!(judged.iter().map(|(met, _)| *met).collect::<Vec<_>>(), [true, true, false, true, false, false]);
        assert_eq!(judged[2].1.as_deref(), Some("a number"));
        assert_eq!(judged[4].1, None);
        assert_eq!(judged[5].1.as_deref(), Some("another: a text of 2 bytes"));
    }

    /// What the person at the machine asked for is no secret to them.
    #[test]
    fn the_expectation_is_said_in_its_own_words() {
        let params =
            serde_json::from_value(json!({"url": "http://a.test/", "expect_body": ["all is well"], "expect_json": ["/a=up"]}));
        let params: HttpParams = params.unwrap();
        let sought = Sought::new(&params.expect_body, 1_000);
        let all = judge(&params, &blank("http://a.test/", "GET", 0, None), &sought);
        let words: Vec<String> = all.iter().map(Expectation::words).collect();
        assert_eq!(words[0], "the body should contain \"all is well\", but there is a body of 0 bytes without it");
        assert!(words[1].starts_with("the JSON at /a should be \"up\", but there is"), "{}", words[1]);
    }

    #[test]
    fn a_text_and_a_digest_are_told_by_whether_they_fit() {
        let digest = hexadecimal(&Sha256::digest(BODY)).to_uppercase();
        assert_eq!(met(json!({"expect_body": ["count", "absent"], "expect_body_sha256": digest})), [true, true, false]);
    }
}
