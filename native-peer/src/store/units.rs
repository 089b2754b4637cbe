//! Between the widths in which memory and files count.

/// A length in memory as files count it.
pub(super) fn len64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A length from a file as memory counts it; too large ones become a length nothing can have.
pub(super) fn to_usize(length: impl TryInto<usize>) -> usize {
    length.try_into().unwrap_or(usize::MAX)
}
