//! How large the index of a weight file may be. The largest published
//! checkpoints of this field (with their optimizers) have a few thousand
//! tensors and a pickle below one megabyte.

/// Tensors (of all dictionaries together), storages, and members of a zip.
pub(super) const TENSORS: usize = 65_536;
/// Bytes of a pickle.
pub(super) const PICKLE: u64 = 32 << 20;
/// Bytes that the values of a pickle may take.
pub(super) const BUILT: u64 = 256 << 20;
/// Bytes of the header of a safetensors file.
pub(super) const HEADER: u64 = 16 << 20;
/// Dimensions of a tensor.
pub(super) const RANK: usize = 8;
/// Bytes of a tensor's name.
pub(super) const NAME: usize = 512;
/// Dictionaries within dictionaries on the way to the tensors.
pub(super) const DEPTH: usize = 4;
/// Dictionaries and lists that are looked through for tensors.
pub(super) const PLACES: usize = 4096;
/// Items of a list that are looked through for tensors.
pub(super) const ITEMS: usize = 16;
/// Values of a view that has more of them than its storage (strides of 0).
pub(super) const EXPANDED: usize = 1 << 28;
/// Files of one set of weights.
pub(super) const SHARDS: usize = 1024;
/// Bytes of one storage.
pub(super) const STORAGE: u64 = 8 << 30;
