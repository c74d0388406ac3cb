//! A cloud's services next to the machine: metadata, and Azure's platform address. The addresses are the clouds' own and no parameter.
//!
//! What these services tell may hold credentials. Nothing is kept but the closed list of [`fields`]; AWS's session token stays in memory,
//! is wiped, and is never recorded.

/// One HTTP request.
mod ask;
/// One question to a name server.
mod dns;
/// What is kept of an answer.
mod fields;
/// The parsers here, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;

use crate::clock::microseconds;
use crate::context::{Context, Ending, NotMeasurable};
use crate::platform::firmware;
use crate::tls::draft::{Draft, Drafted};
use ask::{Answer, Times, ask};
use futures_util::future::join_all;
use http::{Method, Request};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::CloudParams;
use netsonde_contract::observation::{
    CLOUD_ADDRESSES, CloudHint, CloudMetadata, CloudProvider, Fact, PlatformAddress, PlatformService,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use zeroize::Zeroizing;

const HTTP_PORT: u16 = 80;
/// Before 2021-01-01 the document had no user data.
const AZURE_PATH: &str = "/metadata/instance/compute?api-version=2020-09-01&format=json";
const AWS_TOKEN_PATH: &str = "/latest/api/token";
/// The session token is needed for a few requests.
const AWS_TOKEN_SECONDS: &str = "60";
/// AWS's tokens have 56 characters; what is longer is none.
const MAX_TOKEN_BYTES: usize = 512;
const GCP_PATH: &str = "/computeMetadata/v1/";

/// Asks the chosen clouds' services, or those of the cloud that the firmware names, or all. Ends as expected where one that is recognised has
/// nothing that fails, and where no cloud was named, by nobody and no firmware, and none answers.
///
/// # Errors
/// Never: a machine outside every cloud is a fact.
pub(crate) async fn run(context: &Context, params: &CloudParams) -> Result<Ending, NotMeasurable> {
    let hint = hint(context).await;
    let mut providers = params.chosen();
    // Whoever names a cloud expects it. Else a machine may well be in none.
    let none_is_fine = providers.is_empty() && hint.provider.is_none();
    if providers.is_empty() {
        providers = hint.provider.map_or_else(|| CloudProvider::ALL.to_vec(), |provider| vec![provider]);
    }
    let timeout = Duration::from_millis(params.timeout_ms);
    let [v4, platform, v6] = CLOUD_ADDRESSES;
    let mut places: Vec<(CloudProvider, IpAddr)> = providers.iter().map(|provider| (*provider, v4)).collect();
    if providers.contains(&CloudProvider::Aws) {
        places.push((CloudProvider::Aws, v6));
    }
    let metadata = join_all(places.into_iter().map(|(provider, address)| metadata(context, provider, address, timeout)));
    let services: &[(PlatformService, u16)] = if providers.contains(&CloudProvider::Azure) {
        &[(PlatformService::Dns, 53), (PlatformService::Agent, 80), (PlatformService::Health, 32_526)]
    } else {
        &[]
    };
    let services = join_all(
        services.iter().map(|(service, port)| platform_address(context, *service, SocketAddr::new(platform, *port), timeout)),
    );
    let (metadata, services) = tokio::join!(metadata, services);
    let of_cloud = metadata.iter().any(|fact| fact.recognised);
    // The platform's own services answer wherever its metadata does.
    if !of_cloud && none_is_fine {
        return Ok(Ending::AsExpected);
    }
    Ok(if of_cloud && services.iter().all(|fact| fact.failure.is_none() || !azure(&metadata)) {
        Ending::AsExpected
    } else {
        Ending::Failed
    })
}

fn azure(metadata: &[CloudMetadata]) -> bool {
    metadata.iter().any(|fact| fact.recognised && fact.provider == CloudProvider::Azure)
}

/// What the firmware says, as a fact of its own.
async fn hint(context: &Context) -> CloudHint {
    let at_us = context.clock.now_us();
    let read = tokio::task::spawn_blocking(firmware::read).await.unwrap_or_default();
    let hint = CloudHint { provider: provider_of(&read), vendor: read.vendor, product: read.product };
    context.recorder.record(at_us, Fact::CloudHint(hint.clone()));
    hint
}

/// The makers that clouds write into their machines' firmware; Hyper-V outside Azure has the same maker, and another chassis tag.
fn provider_of(read: &firmware::Firmware) -> Option<CloudProvider> {
    /// Azure's chassis asset tag, which every machine of it has.
    const AZURE_TAG: &str = "7783-7084-3265-9085-8269-3286-77";
    let vendor = read.vendor.as_deref().unwrap_or_default();
    let product = read.product.as_deref().unwrap_or_default();
    match (vendor, product) {
        _ if read.chassis_tag.as_deref() == Some(AZURE_TAG) => Some(CloudProvider::Azure),
        ("Amazon EC2", _) => Some(CloudProvider::Aws),
        ("Google", "Google Compute Engine") => Some(CloudProvider::Gcp),
        _ => None,
    }
}

async fn metadata(context: &Context, provider: CloudProvider, address: IpAddr, timeout: Duration) -> CloudMetadata {
    let address = SocketAddr::new(address, HTTP_PORT);
    let blank = CloudMetadata {
        provider,
        address,
        recognised: false,
        status: None,
        connect_us: None,
        answer_us: None,
        fields: BTreeMap::new(),
        took_us: 0,
        failure: None,
    };
    let mut draft = Draft::begin(context, Step::Connect, blank);
    let began = context.clock.now();
    let mut times = Times::default();
    let first = ask(context, address, first_request(provider, address), timeout, &mut times).await;
    (draft.connect_us, draft.answer_us) = (times.connect_us, times.answer_us);
    match first {
        Ok(answer) => {
            draft.status = Some(answer.status.as_u16());
            draft.recognised = recognised(provider, &answer);
            if draft.recognised {
                further(context, &answer, timeout, &mut draft).await;
            } else {
                let text =
                    format!("what answers is not {}'s metadata service (status {})", provider.title(), answer.status.as_u16());
                draft.failure = Some(Failure::new(FailureCode::Other("not_this_cloud".into()), Step::Receive, text));
            }
        }
        Err(failure) => draft.failure = Some(failure),
    }
    draft.took_us = microseconds(context.clock.now().saturating_sub(began));
    draft.finish()
}

/// The request of which the answer tells the service from any other, as each cloud documents it.
fn first_request(provider: CloudProvider, address: SocketAddr) -> http::request::Builder {
    match provider {
        CloudProvider::Aws => {
            request(Method::PUT, AWS_TOKEN_PATH, address).header("X-aws-ec2-metadata-token-ttl-seconds", AWS_TOKEN_SECONDS)
        }
        CloudProvider::Gcp => request(Method::GET, GCP_PATH, address).header("Metadata-Flavor", "Google"),
        CloudProvider::Azure | CloudProvider::Other => request(Method::GET, AZURE_PATH, address).header("Metadata", "true"),
    }
}

fn request(method: Method, path: &str, address: SocketAddr) -> http::request::Builder {
    let host = if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() };
    Request::builder()
        .method(method)
        .uri(path)
        .header("Host", host)
        .header("User-Agent", "netsonde")
        .header("Connection", "close")
}

fn recognised(provider: CloudProvider, answer: &Answer) -> bool {
    match provider {
        CloudProvider::Aws => answer.status.is_success() && token(answer).is_some(),
        CloudProvider::Gcp => answer.headers.get("Metadata-Flavor").is_some_and(|flavor| flavor == "Google"),
        CloudProvider::Azure => answer.status.is_success() && fields::of_azure(&answer.body).contains_key("region"),
        CloudProvider::Other => false,
    }
}

/// A session token, in memory that is wiped.
fn token(answer: &Answer) -> Option<Zeroizing<String>> {
    let text = std::str::from_utf8(&answer.body).ok()?.trim();
    let is_token = (16..=MAX_TOKEN_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=+/".contains(&byte));
    is_token.then(|| Zeroizing::new(text.to_owned()))
}

/// The fields that are asked for one by one.
async fn further(context: &Context, first: &Answer, timeout: Duration, draft: &mut Draft<CloudMetadata>) {
    let (provider, address) = (draft.provider, draft.address);
    if provider == CloudProvider::Azure {
        draft.fields = fields::of_azure(&first.body);
        return;
    }
    let token = token(first).filter(|_| provider == CloudProvider::Aws);
    draft.step = Step::Receive;
    for (path, name) in fields::paths(provider) {
        let mut asked = request(Method::GET, path, address);
        asked = match &token {
            Some(token) => asked.header("X-aws-ec2-metadata-token", token.as_str()),
            None => asked.header("Metadata-Flavor", "Google"),
        };
        match ask(context, address, asked, timeout, &mut Times::default()).await {
            Ok(answer) if answer.status.is_success() => {
                if let Some(value) = fields::of_value(&answer.body) {
                    if let (CloudProvider::Gcp, "zone", Some(region)) = (provider, *name, fields::region_of_zone(&value)) {
                        draft.fields.insert("region".to_owned(), region);
                    }
                    draft.fields.insert((*name).to_owned(), value);
                }
            }
            // A field that a machine does not have.
            Ok(_) => {}
            Err(failure) => {
                draft.failure = Some(failure);
                return;
            }
        }
    }
}

/// One service at Azure's platform address.
async fn platform_address(
    context: &Context,
    service: PlatformService,
    address: SocketAddr,
    timeout: Duration,
) -> PlatformAddress {
    let blank = PlatformAddress {
        provider: CloudProvider::Azure,
        address,
        service,
        recognised: false,
        connect_us: None,
        answer_us: None,
        status: None,
        failure: None,
    };
    let mut draft = Draft::begin(context, Step::Connect, blank);
    if service == PlatformService::Dns {
        match dns::ask(context, address, timeout).await {
            Ok((code, took_us)) => (draft.status, draft.answer_us) = (Some(code), Some(took_us)),
            Err(failure) => draft.failure = Some(failure),
        }
        return draft.finish();
    }
    let path = if service == PlatformService::Agent { "/?comp=versions" } else { "/versions" };
    let mut times = Times::default();
    let asked = ask(context, address, request(Method::GET, path, address), timeout, &mut times).await;
    (draft.connect_us, draft.answer_us) = (times.connect_us, times.answer_us);
    match asked {
        Ok(answer) => {
            draft.status = Some(answer.status.as_u16());
            // The list of protocol versions begins so.
            draft.recognised = service == PlatformService::Agent && answer.body.windows(9).any(|piece| piece == b"<Versions");
        }
        Err(failure) => draft.failure = Some(failure),
    }
    draft.finish()
}

impl Drafted for CloudMetadata {
    fn cut_off(&mut self, failure: Failure, after_us: u64) {
        self.took_us = after_us;
        self.failure.get_or_insert(failure);
    }

    fn into_fact(self) -> Fact {
        Fact::CloudMetadata(Box::new(self))
    }
}

impl Drafted for PlatformAddress {
    fn cut_off(&mut self, failure: Failure, _after_us: u64) {
        self.failure.get_or_insert(failure);
    }

    fn into_fact(self) -> Fact {
        Fact::PlatformAddress(Box::new(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::firmware::Firmware;

    #[test]
    fn a_hyper_v_machine_is_not_taken_for_azure() {
        let firmware = |vendor: &str, product: &str, tag: &str| Firmware {
            vendor: Some(vendor.into()),
            product: Some(product.into()),
            chassis_tag: Some(tag.into()),
        };
        let azure = firmware("Microsoft Corporation", "Virtual Machine", "7783-7084-3265-9085-8269-3286-77");
        assert_eq!(provider_of(&azure), Some(CloudProvider::Azure));
        assert_eq!(provider_of(&firmware("Microsoft Corporation", "Virtual Machine", "")), None);
        assert_eq!(provider_of(&firmware("Amazon EC2", "m5.large", "Amazon EC2")), Some(CloudProvider::Aws));
        assert_eq!(provider_of(&firmware("Google", "Google Compute Engine", "")), Some(CloudProvider::Gcp));
        assert_eq!(provider_of(&firmware("Google", "Chromebook", "")), None);
    }

    #[test]
    fn a_page_of_a_portal_is_no_token() {
        let answer = |body: &str| Answer {
            status: http::StatusCode::OK,
            headers: http::HeaderMap::new(),
            body: Zeroizing::new(body.as_bytes().to_vec()),
        };
        assert!(!recognised(CloudProvider::Aws, &answer("<html>please sign in to the network</html>")));
        assert!(recognised(CloudProvider::Aws, &answer("AQAEAJxPc1wF6n1k3lK6pAmSdKYRkoaYGrqyhGj9yW==")));
        assert!(!recognised(CloudProvider::Azure, &answer("{}")));
        assert!(!recognised(CloudProvider::Gcp, &answer("instance/")));
    }
}
