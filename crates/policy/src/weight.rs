//! How many bytes a value takes on the heap, for the caches' bounds. `tests/weights.rs` compares the sums with an
//! allocator: never less, and seldom much more.

/// A block of this many bytes, including the allocator's overhead.
pub(crate) const fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes.next_multiple_of(8) + 8 }
}

/// The nodes of a `BTreeMap` with this many entries, without what the entries point to. A node has room for 11 entries
/// and keeps at least 5; inserting in order fills every node but the last with 6.
pub(crate) const fn map<K, V>(entries: usize) -> usize {
    if entries == 0 {
        return 0;
    }
    let leaf = block(11 * (size_of::<K>() + size_of::<V>()) + 2 * size_of::<usize>());
    let leaves = entries.div_ceil(6);
    let above = if entries > 11 { leaves.div_ceil(6) } else { 0 };
    leaves * leaf + above * (leaf + 12 * size_of::<usize>())
}
