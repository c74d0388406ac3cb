use super::ParameterError;

/// More application protocols than any server knows; keeps the ClientHello within a packet or two.
const MAX_NAMES: usize = 16;
/// RFC 7301 section 3.1: a protocol's name has 1 to 255 bytes.
const MAX_BYTES: usize = 255;

/// # Errors
/// Where the list is shorter than `least` or longer than a hello should carry, or a name cannot be a protocol's.
pub(super) fn check(names: &[String], least: usize) -> Result<(), ParameterError> {
    let fits = |name: &String| (1..=MAX_BYTES).contains(&name.len());
    if (least..=MAX_NAMES).contains(&names.len()) && names.iter().all(fits) {
        return Ok(());
    }
    let at_fault = match names.iter().find(|name| !fits(name)) {
        Some(name) => format!("a name of {} bytes", name.len()),
        None => format!("{} names", names.len()),
    };
    let least = if least == 0 { "at most".to_owned() } else { format!("{least} to") };
    let text = format!("`alpn` has {at_fault}, but takes {least} {MAX_NAMES} protocol names of 1 to {MAX_BYTES} bytes each");
    Err(ParameterError::of("alpn", text))
}
