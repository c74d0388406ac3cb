//! What is looked for in a body while it passes. The body itself is not kept, but for the beginning that a rule has to read as a whole.

/// Looks for texts in a stream of pieces, across their edges.
#[derive(Debug, Default)]
pub(super) struct Sought {
    texts: Vec<(Vec<u8>, bool)>,
    /// The end of what passed, in which a text may have begun.
    tail: Vec<u8>,
    keep: usize,
    kept: Vec<u8>,
}

impl Sought {
    /// Looks for these texts, and keeps the first `keep` bytes.
    pub(super) fn new(texts: &[String], keep: usize) -> Self {
        let texts = texts.iter().map(|text| (text.clone().into_bytes(), false)).collect();
        Self { texts, keep, ..Self::default() }
    }

    pub(super) fn feed(&mut self, piece: &[u8]) {
        let room = self.keep.saturating_sub(self.kept.len()).min(piece.len());
        self.kept.extend_from_slice(&piece[..room]);
        let longest = self.texts.iter().map(|(text, _)| text.len()).max().unwrap_or_default();
        if longest == 0 {
            return;
        }
        self.tail.extend_from_slice(piece);
        for (text, found) in self.texts.iter_mut().filter(|(_, found)| !found) {
            *found = contains(&self.tail, text);
        }
        let passed = self.tail.len().saturating_sub(longest - 1);
        self.tail.drain(..passed);
    }

    /// Whether each text was found, in their order.
    pub(super) fn found(&self) -> impl Iterator<Item = bool> + '_ {
        self.texts.iter().map(|(_, found)| *found)
    }

    /// The beginning of the body, as far as it was kept.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }
}

fn contains(within: &[u8], text: &[u8]) -> bool {
    let Some((first, _)) = text.split_first() else { return true };
    let mut rest = within;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(text) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Wherever a body is cut into pieces, what is found is what stands in the whole.
        #[test]
        fn a_text_is_found_across_the_edges_of_pieces(body in "[ab]{0,30}", text in "[ab]{1,4}", size in 1_usize..6) {
            let mut sought = Sought::new(&[text.clone(), "abab".to_owned()], 7);
            body.as_bytes().chunks(size).for_each(|piece| sought.feed(piece));
            prop_assert_eq!(sought.found().collect::<Vec<_>>(), [body.contains(&text), body.contains("abab")]);
            prop_assert_eq!(sought.kept(), &body.as_bytes()[..body.len().min(7)]);
        }
    }
}
