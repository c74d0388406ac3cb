//! Extensions of ICMP errors: the label stack of a router that switches by labels (RFC 4884 and RFC 4950).

use super::word;
use netsonde_contract::observation::MplsLabel;

/// Where extensions begin with a router that has them but does not say where (RFC 4884 section 5.5).
const LEGACY_PLACE: usize = 128;
/// Version, reserved bits, checksum.
const HEADER: usize = 4;
/// Class and type of an incoming label stack.
const LABEL_STACK: (u8, u8) = (1, 1);
/// A stack is this deep at most: deeper ones than any network's are crafted.
pub(crate) const MAX_LABELS: usize = 16;

/// The labels behind a quote whose length the message gives, in bytes; 0 where it gives none.
pub(crate) fn labels_of(quoted: &[u8], length: usize) -> Vec<MplsLabel> {
    let place = if length == 0 { LEGACY_PLACE } else { length };
    quoted.get(place..).map(labels).unwrap_or_default()
}

/// The labels of an extension structure; none where it is not one, or another version, or damaged.
pub(crate) fn labels(structure: &[u8]) -> Vec<MplsLabel> {
    let version = structure.first().map(|byte| byte >> 4);
    // A checksum of zero says that there is none (RFC 4884 section 7).
    let sums = word(structure, 2) == Some(0) || pnet::util::checksum(structure, usize::MAX) == 0;
    if version != Some(2) || !sums {
        return Vec::new();
    }
    let mut objects = structure.get(HEADER..).unwrap_or_default();
    let mut found = Vec::new();
    while let (Some(length), Some(class), Some(kind)) = (word(objects, 0).map(usize::from), objects.get(2), objects.get(3)) {
        let Some(content) = objects.get(HEADER..length) else { break };
        if (*class, *kind) == LABEL_STACK {
            found.extend(content.chunks_exact(4).filter_map(label));
        }
        objects = objects.get(length..).unwrap_or_default();
    }
    found.truncate(MAX_LABELS);
    found
}

fn label(entry: &[u8]) -> Option<MplsLabel> {
    let entry = u32::from_be_bytes(entry.try_into().ok()?);
    let [_, _, bits, ttl] = entry.to_be_bytes();
    Some(MplsLabel { label: entry >> 12, traffic_class: bits >> 1 & 7, bottom_of_stack: bits & 1 == 1, ttl })
}
