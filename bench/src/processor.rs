//! What a measured process takes of the processor.

/// Processor time of this process so far, all threads, seconds; NaN where the
/// system has no `/proc`.
pub fn processor_seconds() -> f64 {
    /// Of what Linux shows to programs, on all its architectures.
    const TICKS_PER_SECOND: f64 = 100.0;
    let told = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field, the program's name, may hold spaces.
    let fields = told.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    match ticks[..] {
        [user, system] => (user + system) / TICKS_PER_SECOND,
        _ => f64::NAN,
    }
}
