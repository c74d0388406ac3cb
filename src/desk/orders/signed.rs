use super::Prepared;
use crate::arguments::Format;
use crate::backend::Backend;
use crate::organisation::Organisation;
use crate::private_file;
use crate::signing::Signer;
use crate::stop::Stop;
use crate::{clock, table};
use netsonde_contract::api::fleet::{OrderSummary, SubmitOrder};
use netsonde_contract::api::path;
use netsonde_contract::id::OrderId;
use netsonde_contract::order::{MAX_BYTES, MEDIA_TYPE};
use netsonde_contract::trust::Role;
use std::path::{Path, PathBuf};

/// What became of an order, or what is to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Enough engineers have signed: [`submit`] hands it in, and again where that failed.
    Ready(Box<SubmitOrder>),
    /// More engineers must sign.
    Kept { file: PathBuf, signed: usize, needed: usize },
    /// Somebody wanted the file only.
    Written { file: PathBuf },
}

/// Signs; where more engineers must, the order goes to a file. The draft that it came from is over either way: the backend forgets it with the order,
/// or in time. What could not be signed is as it was.
pub(crate) fn sign_prepared(
    own: &Organisation,
    prepared: &mut Prepared,
    signer: &Signer,
    output: Option<&Path>,
) -> Result<Outcome, Stop> {
    refuse_twice(prepared, signer)?;
    let before = prepared.envelope.clone();
    sign_once(own, prepared, signer, output).inspect_err(|_| prepared.envelope = before)
}

fn sign_once(own: &Organisation, prepared: &mut Prepared, signer: &Signer, output: Option<&Path>) -> Result<Outcome, Stop> {
    let now = clock::now();
    if prepared.order.expires <= now {
        return Err(
            Stop::failed(format!("the order expired at {}", table::moment(prepared.order.expires))).next("draft it again")
        );
    }
    signer.sign(&mut prepared.envelope)?;
    let json = prepared.envelope.to_json();
    if json.len() > MAX_BYTES {
        return Err(
            Stop::failed(format!("the order is larger than {MAX_BYTES} bytes")).next("use a shorter set, or name fewer targets")
        );
    }
    let signed = count(own, prepared)?;
    let needed = prepared.needed;
    let submit = SubmitOrder {
        envelope: String::from_utf8_lossy(&json).into_owned(),
        agents: prepared.addressees.clone(),
        waves: prepared.waves.clone(),
        stop_at_failed_percent: prepared.stop_at,
        draft: prepared.draft.clone(),
    };
    let is_enough = signed >= needed;
    if !is_enough || output.is_some() {
        let file = output.map_or_else(|| PathBuf::from(format!("order-{}.json", prepared.order.id.short())), Path::to_owned);
        // A page shows it to somebody who does not see in which folder the program runs.
        let file = std::path::absolute(&file).unwrap_or(file);
        private_file::replace(&file, Format::json(&submit)?.as_bytes())?;
        return Ok(if is_enough { Outcome::Written { file } } else { Outcome::Kept { file, signed, needed } });
    }
    Ok(Outcome::Ready(Box::new(submit)))
}

/// Hands a signed order in. The backend knows one that it has taken already, and takes it for the same.
pub(crate) async fn submit(backend: &Backend, id: &OrderId, order: &SubmitOrder) -> Result<(), Stop> {
    let summary: OrderSummary = backend.post("submitting the order", path::ORDERS, order).await?;
    if summary.id != *id {
        return Err(Stop::failed("the backend answered for another order").next("see `netsonde-desk orders list`"));
    }
    Ok(())
}

/// A second signature by the same key counts for nothing, and is another engineer's to give.
///
/// # Errors
/// Where the key has signed these bytes already.
pub(super) fn refuse_twice(prepared: &Prepared, signer: &Signer) -> Result<(), Stop> {
    match prepared.envelope.verify(MEDIA_TYPE, signer.public().key()) {
        Ok(_) => Err(Stop::failed(format!("{} has signed this order already, and another engineer must", signer.name()))
            .next("hand the file to a second engineer, who runs netsonde-desk sign FILE with a key of their own")),
        Err(_) => Ok(()),
    }
}

/// So many will have signed once this key has.
pub(super) fn signed_with_this(own: &Organisation, prepared: &Prepared) -> Result<usize, Stop> {
    Ok(count(own, prepared)? + 1)
}

/// How many engineers whose keys count have signed these bytes.
fn count(own: &Organisation, prepared: &Prepared) -> Result<usize, Stop> {
    let list = own.live_list(clock::now()).map_err(|error| {
        Stop::failed(format!("no agent would take the order: {error}")).next("netsonde-desk org sign-list, then org publish")
    })?;
    let (_, signers) = prepared
        .envelope
        .signers(MEDIA_TYPE, list.keys(Role::Order))
        .map_err(|error| Stop::failed(format!("the order's file cannot be used: {error}")).next("ask for the file again"))?;
    Ok(signers.len())
}
