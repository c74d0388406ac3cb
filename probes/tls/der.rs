//! The least of DER (X.690): one element after the other, with definite lengths. For what no parser at hand reads: OCSP responses and
//! LDAP messages.

/// Reads elements one after the other. Total: what is cut or wrong ends the reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// An element: its tag, and its content.
pub(crate) type Element<'a> = (u8, &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next element; none at the end and where the bytes are no element.
    pub(crate) fn next(&mut self) -> Option<Element<'a>> {
        self.next_whole().map(|(tag, content, _)| (tag, content))
    }

    /// The next element's content where it has this tag; otherwise nothing is taken.
    pub(crate) fn next_of(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let (found, content) = ahead.next()?;
        if found != tag {
            return None;
        }
        *self = ahead;
        Some(content)
    }

    /// The next element with its own bytes, tag and length included.
    pub(crate) fn next_whole(&mut self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let tag = *self.rest.first()?;
        let first = *self.rest.get(1)?;
        let (length, header) = match first {
            0..=0x7f => (usize::from(first), 2),
            // At most four bytes of length: nothing that is read here has 4 GiB.
            0x81..=0x84 => {
                let count = usize::from(first & 0x7f);
                let bytes = self.rest.get(2..2 + count)?;
                (bytes.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte)), 2 + count)
            }
            _ => return None,
        };
        let end = header.checked_add(length)?;
        let (whole, rest) = (self.rest.get(..end)?, self.rest.get(end..)?);
        self.rest = rest;
        Some((tag, &whole[header..], whole))
    }
}

/// An element with this tag and content, of at most 65,535 bytes: what is written here has some hundred.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head: &[u8] = match content.len() {
        0..=0x7f => &[tag, low],
        0x80..=0xff => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [head, content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn elements_follow_each_other() {
        let mut reader = Reader::new(&[0x30, 3, 2, 1, 5, 4, 0x81, 2, 7, 8]);
        assert_eq!(reader.next_of(4), None);
        assert_eq!(reader.next_of(0x30), Some(&[2, 1, 5][..]));
        assert_eq!(reader.next_whole(), Some((4, &[7, 8][..], &[4, 0x81, 2, 7, 8][..])));
        assert_eq!(reader.next(), None);
    }

    #[test]
    fn a_length_beyond_the_bytes_ends_the_reading() {
        for bytes in [&[4, 5, 1][..], &[4, 0x84, 0xff, 0xff, 0xff, 0xff], &[4, 0x80, 0, 0], &[4, 0x85, 0, 0, 0, 0, 0], &[4]] {
            assert_eq!(Reader::new(bytes).next(), None, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_written_can_be_read_whatever_its_length() {
        for length in [0, 127, 128, 255, 256, 5_000] {
            let content = vec![7; length];
            assert_eq!(Reader::new(&element(4, &content)).next(), Some((4, &content[..])));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_run_on(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(&bytes);
            let mut elements = 0;
            while reader.next().is_some() {
                elements += 1;
            }
            prop_assert!(elements <= bytes.len() / 2);
        }
    }
}
