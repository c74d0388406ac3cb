use super::meter::Ledger;
use super::proxy::{self, Route};
use super::request::{AGENT, Post, Request};
use super::{echo, exchange, expect, first_url, header};
use crate::context::{Context, NotMeasurable};
use http::header::{ACCEPT_LANGUAGE, CACHE_CONTROL, HeaderName, HeaderValue};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::{ByteRange, HttpMethod, HttpParams};
use netsonde_contract::observation::{Exchange, ExchangePurpose, TransferEnd};
use std::time::Duration;
use url::Url;

/// Bytes of a known answer or of an echo that are read: both are small by their nature.
const MAX_SMALL_BYTES: u64 = 65_536;

/// A header that no program on the way knows.
const OWN_HEADER: HeaderName = HeaderName::from_static("x-netsonde-echo");

/// What is asked beside the check's own question. Everything is read before anything is sent.
pub(super) struct Beside<'a> {
    context: &'a Context,
    params: &'a HttpParams,
    known: Option<Aim>,
    echo: Option<Aim>,
    range: Option<(Aim, ByteRange)>,
    upload: Option<Aim>,
}

struct Aim {
    url: Url,
    route: Route,
}

impl<'a> Beside<'a> {
    /// # Errors
    /// Where one of the URLs, or the proxy for it, cannot be used.
    pub(super) fn read(context: &'a Context, params: &'a HttpParams, url: &Url) -> Result<Self, NotMeasurable> {
        let at = |url: Url| Ok(Aim { route: proxy::choose(&context.proxy, &url)?, url });
        let aim = |text: &Option<String>| text.as_deref().map(|text| at(first_url(text)?)).transpose();
        let range = params.byte_range().map(|range| Ok((at(url.clone())?, range))).transpose()?;
        let upload = match (params.upload_bytes, &params.upload_url) {
            (0, _) => None,
            (_, None) => Some(at(url.clone())?),
            (_, given) => aim(given)?,
        };
        Ok(Self { context, params, known: aim(&params.known_url)?, echo: aim(&params.echo_url)?, range, upload })
    }

    /// Asks for the known answer, before everything else: what stands between answers here, too. True where it came, or was not asked
    /// for.
    pub(super) async fn known_answer(&self) -> bool {
        let Some(aim) = &self.known else { return true };
        let params = self.plain(MAX_SMALL_BYTES, &[&self.params.known_status.to_string()]);
        let request = Request { keep: small(), ..self.request(aim, &params, ExchangePurpose::KnownAnswer) };
        let mut asked = exchange::ask(&request).await;
        if asked.draft.status.is_some() && asked.draft.method != "CONNECT" {
            asked.draft.expectations = expect::judge(&params, &asked.draft, &asked.sought);
            let body = self.params.known_body.as_ref().map(|body| expect::known_body(body, &asked.draft, &asked.sought));
            asked.draft.expectations.extend(body);
        }
        is_met(&asked.draft.finish()) && asked.trusted
    }

    /// What comes after the check's own question; a part of the body and an upload only from a server that `answers`.
    pub(super) async fn after(&self, answers: bool) -> bool {
        let mut met = self.header_echo().await;
        if answers {
            met &= self.part().await;
        }
        if answers || self.params.upload_url.is_some() {
            met &= self.upload().await;
        }
        met
    }

    async fn header_echo(&self) -> bool {
        let Some(aim) = &self.echo else { return true };
        let params = self.plain(MAX_SMALL_BYTES, &["2xx"]);
        let own = format!("{:032x}", rand::random::<u128>());
        let mut sent = vec![("user-agent".to_owned(), AGENT.to_owned()), ("accept".to_owned(), "*/*".to_owned())];
        let mut extra = Vec::new();
        for (name, value) in [(ACCEPT_LANGUAGE, "en, de;q=0.7"), (CACHE_CONTROL, "no-cache"), (OWN_HEADER, own.as_str())] {
            if let Ok(written) = HeaderValue::from_str(value) {
                sent.push((name.to_string(), value.to_owned()));
                extra.push((name, written));
            }
        }
        let request = Request { extra, keep: small(), ..self.request(aim, &params, ExchangePurpose::HeaderEcho) };
        let mut asked = exchange::ask(&request).await;
        if asked.draft.failure.is_none() && asked.draft.expected {
            asked.draft.echoed = echo::compare(&sent, asked.sought.kept()).map(Box::new);
            if asked.draft.echoed.is_none() {
                let text =
                    "the answer is no echo of the request's headers, neither as JSON nor in lines: choose another `echo_url`";
                asked.draft.failure = Some(Failure::new(FailureCode::ProtocolError, Step::Receive, text));
            }
        }
        let last = asked.draft.finish();
        let untouched = last.echoed.as_ref().is_some_and(|echoed| echoed.lost.is_empty() && echoed.changed.is_empty());
        asked.trusted && untouched && is_met(&last)
    }

    /// Servers may ignore a range (RFC 9110 section 14.2): whether this one honours it is a fact, and no failure.
    async fn part(&self) -> bool {
        let Some((aim, range)) = &self.range else { return true };
        // One byte more than was asked for tells a whole body from a part, and no server makes this check read much more.
        let length = match range {
            ByteRange::FirstLast(first, last) => last - first + 1,
            ByteRange::Last(count) => *count,
        };
        let params = self.plain(length.saturating_add(1).min(self.params.max_body_bytes), &["2xx"]);
        let extra = HeaderValue::from_str(&range.header()).map(|value| vec![(http::header::RANGE, value)]).unwrap_or_default();
        let mut asked = exchange::ask(&Request { extra, ..self.request(aim, &params, ExchangePurpose::Range) }).await;
        if asked.draft.status.is_some() && asked.draft.method != "CONNECT" {
            let Exchange { status, body_bytes, .. } = *asked.draft;
            asked.draft.range = Some(header::range_answer(*range, status, asked.draft.header("content-range"), body_bytes));
        }
        is_met(&asked.draft.finish())
    }

    async fn upload(&self) -> bool {
        let Some(aim) = &self.upload else { return true };
        let params = self.plain(0, &["2xx", "3xx"]);
        let time = Duration::from_secs(self.params.max_body_s);
        let ledger = Ledger::open(self.context.clock, self.params.upload_bytes, time);
        let (post, ledger) = (Post::Exactly(self.params.upload_bytes), Some(ledger));
        let request = Request { post, ledger: ledger.clone(), ..self.request(aim, &params, ExchangePurpose::Upload) };
        let mut asked = exchange::ask(&request).await;
        if asked.draft.transfer.is_none() {
            let passed = ledger.filter(|ledger| ledger.bytes() > 0);
            asked.draft.transfer = passed.map(|ledger| Box::new(ledger.transfer(TransferEnd::Broken)));
        }
        is_met(&asked.draft.finish())
    }

    fn request<'r>(&'r self, aim: &'r Aim, params: &'r HttpParams, purpose: ExchangePurpose) -> Request<'r> {
        Request { purpose, ..Request::new(self.context, params, &aim.url, aim.route.clone()) }
    }

    /// The check's parameters without what belongs to its own question.
    fn plain(&self, max_body_bytes: u64, statuses: &[&str]) -> HttpParams {
        HttpParams {
            method: HttpMethod::Get,
            expect_status: statuses.iter().map(|status| (*status).to_owned()).collect(),
            expect_headers: Vec::new(),
            expect_body_sha256: None,
            expect_body: Vec::new(),
            expect_json: Vec::new(),
            max_body_bytes,
            ..self.params.clone()
        }
    }
}

fn small() -> usize {
    usize::try_from(MAX_SMALL_BYTES).unwrap_or(usize::MAX)
}

fn is_met(exchange: &Exchange) -> bool {
    exchange.expected && exchange.failure.is_none() && exchange.unmet().next().is_none()
}
