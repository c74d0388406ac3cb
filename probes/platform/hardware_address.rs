/// Ethernet and Wi-Fi have six bytes, InfiniBand twenty.
const LENGTHS: [usize; 3] = [6, 8, 20];

/// Bytes as `02:00:5e:10:00:01`; none where they are no hardware address, as on a tunnel, or all zero, as on loopback.
pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    if !LENGTHS.contains(&bytes.len()) || bytes.iter().all(|byte| *byte == 0) {
        return None;
    }
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(pairs.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_tunnels_address_nor_zeros_are_a_hardware_address() {
        assert_eq!(text(&[2, 0, 0x5e, 0x10, 0, 1]).as_deref(), Some("02:00:5e:10:00:01"));
        assert_eq!((text(&[192, 0, 2, 1]), text(&[0; 6])), (None, None));
    }
}
