//! Digests of words, and bytes in hexadecimal.

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// blake3 over a domain and words, each preceded by its length (8 bytes, little-endian), hex.
pub fn digest_of<'a>(domain: &'a str, words: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = blake3::Hasher::new();
    for word in std::iter::once(domain).chain(words) {
        hasher.update(&(word.len() as u64).to_le_bytes());
        hasher.update(word.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_only_join_alike_differ() {
        let of = |words: &[&str]| digest_of("test", words.iter().copied());
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["ab"]), digest_of("tes", ["tab"]));
        assert_eq!(of(&["ab"]).len(), 64);
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
    }
}
