use crate::stop::Stop;

/// Bytes of the system's random number generator.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Stop> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Stop::failed(format!("the system gives no random numbers: {error}")).next("try again, or use another machine")
    })?;
    Ok(bytes)
}
