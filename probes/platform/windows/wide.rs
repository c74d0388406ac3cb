//! Text in UTF-16, as every function of the system takes and gives it.

/// Longer texts are cut: no name, path or list of addresses that the system gives is as long.
const MAX_LETTERS: usize = 32_768;

/// With the zero that ends it.
pub(super) fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().filter(|letter| *letter != 0).chain([0]).collect()
}

/// Up to the zero that ends it.
pub(super) fn text(letters: &[u16]) -> String {
    String::from_utf16_lossy(letters.split(|letter| *letter == 0).next().unwrap_or_default())
}

/// What a pointer of the system leads to; nothing for a null pointer.
///
/// # Safety
/// Where it is not null, the letters up to a zero, or [`MAX_LETTERS`] of them, can be read.
#[expect(unsafe_code, reason = "the system gives text by pointers")]
pub(super) unsafe fn text_at(letters: *const u16) -> Option<String> {
    if letters.is_null() {
        return None;
    }
    let mut found = Vec::new();
    while found.len() < MAX_LETTERS {
        // SAFETY: the caller vouches for every letter up to the first zero.
        let letter = unsafe { letters.add(found.len()).read_unaligned() };
        if letter == 0 {
            break;
        }
        found.push(letter);
    }
    Some(String::from_utf16_lossy(&found))
}
