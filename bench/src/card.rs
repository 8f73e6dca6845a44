//! The memory that a process holds on a card.

/// MiB that the process `id` holds, of a listing of `pid, MiB` lines as
/// `nvidia-smi` prints; none where it is not listed or the driver does not tell.
pub fn held_mib(listing: &str, id: u32) -> Option<u64> {
    let of = |line: &str| {
        let (process, held) = line.split_once(',')?;
        if process.trim().parse() == Ok(id) { held.trim().parse().ok() } else { None }
    };
    // A process has a line for each card that it uses.
    let held: Vec<u64> = listing.lines().filter_map(of).collect();
    (!held.is_empty()).then(|| held.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_process_counts() {
        let listing = "120, 512\n77, 1024\n77, 10\n78, [N/A]\n";
        assert_eq!(held_mib(listing, 77), Some(1034));
        assert_eq!(held_mib(listing, 78), None);
        assert_eq!(held_mib(listing, 79), None);
        assert_eq!(held_mib("No devices were found", 1), None);
    }
}
