//! What the firmware (DMI, SMBIOS) says of the machine, where the system lets everybody read it.

/// Words of the firmware's maker. Serial numbers and identities are not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Firmware {
    pub(crate) vendor: Option<String>,
    pub(crate) product: Option<String>,
    pub(crate) chassis_tag: Option<String>,
}

/// Reads files: call it where blocking is allowed.
#[cfg(target_os = "linux")]
pub(crate) fn read() -> Firmware {
    /// Real entries have some dozen letters.
    const MAX_CHARS: usize = 128;
    let entry = |name: &str| {
        let text = std::fs::read_to_string(format!("/sys/class/dmi/id/{name}")).ok()?;
        let text: String = text.trim().chars().filter(|letter| !letter.is_control()).take(MAX_CHARS).collect();
        (!text.is_empty()).then_some(text)
    };
    Firmware { vendor: entry("sys_vendor"), product: entry("product_name"), chassis_tag: entry("chassis_asset_tag") }
}

#[cfg(windows)]
pub(crate) use super::windows::version::firmware as read;

#[cfg(not(any(target_os = "linux", windows)))]
pub(crate) fn read() -> Firmware {
    Firmware::default()
}
