//! Texts in pieces of one length, which processors take in without a branch for each byte.

/// Places that a block is about.
pub(crate) const PLACES: usize = 16;

/// Calls `look` with the places of `text` in blocks of [`PLACES`], each with what follows it, `N` bytes together, until it returns
/// `true`. It gets the block, the place in `text` of its first byte, and how many of its first places an earlier block was about. Places
/// that fewer bytes follow are left out, but for a text of less than `N` bytes, behind which there is `filler`. Returns whether `look`
/// returned `true`.
#[inline]
pub(crate) fn any<const N: usize>(
    text: &[u8],
    filler: u8,
    mut look: impl FnMut(&[u8; N], usize, usize) -> bool,
) -> bool {
    let Some(last) = text.last_chunk::<N>() else {
        let mut block = [filler; N];
        block[..text.len()].copy_from_slice(text);
        return look(&block, 0, 0);
    };
    let mut begin = 0;
    while let Some(block) = text[begin..].first_chunk::<N>() {
        if look(block, begin, 0) {
            return true;
        }
        begin += PLACES;
    }
    // The last one goes back as far as it needs to.
    let at = text.len() - N;
    begin < at + PLACES && look(last, at, begin - at)
}
