//! Names of members: which of them may become paths.

use super::Fault;

/// Whose habits the names of an archive follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    /// A backslash is a letter like any other.
    Unix,
    /// A backslash parts folders, as some packers of Windows write it.
    Windows,
}

/// The name as a relative path, without `./` before and `/` behind it; or what
/// is wrong with it.
pub(super) fn checked(raw: &[u8], from: Maker) -> Result<String, Fault> {
    let text = std::str::from_utf8(raw).map_err(|_| Fault::NotUtf8)?;
    let parted = text.replace('\\', "/");
    let text = if from == Maker::Windows { parted.as_str() } else { text };
    if text.contains('\\') || text.as_bytes().get(1) == Some(&b':') {
        return Err(Fault::ForeignPath);
    }
    if text.starts_with('/') {
        return Err(Fault::Escapes);
    }
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Fault::BadName);
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(Fault::Escapes);
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(raw: &[u8]) -> Result<String, Fault> {
        super::checked(raw, Maker::Unix)
    }

    #[test]
    fn backslashes_of_windows_part_folders_and_lead_nowhere_else() {
        let of_windows = |raw: &[u8]| super::checked(raw, Maker::Windows);
        assert_eq!(of_windows(b"data\\images\\0.png"), Ok("data/images/0.png".to_owned()));
        assert_eq!(of_windows(b".\\a/b\\"), Ok("a/b".to_owned()));
        for (raw, fault) in [
            (&b"..\\a"[..], Fault::Escapes),
            (b"a\\..\\..\\b", Fault::Escapes),
            (b"\\a", Fault::Escapes),
            (b"\\\\host\\share\\a", Fault::Escapes),
            (b"C:\\a", Fault::ForeignPath),
            (b"a\\\x07", Fault::BadName),
        ] {
            assert_eq!(of_windows(raw), Err(fault), "{raw:?}");
        }
    }

    #[test]
    fn only_relative_paths_inside_are_let_through() {
        assert_eq!(checked(b"./a/b c/(1).bmp"), Ok("a/b c/(1).bmp".to_owned()));
        assert_eq!(checked(b"a/b/"), Ok("a/b".to_owned()));
        assert_eq!(checked("Ü.png".as_bytes()), Ok("Ü.png".to_owned()));
        for (raw, fault) in [
            (&b"../a"[..], Fault::Escapes),
            (b"a/../../b", Fault::Escapes),
            (b"/etc/passwd", Fault::Escapes),
            (b"a\\..\\b", Fault::ForeignPath),
            (b"C:/a", Fault::ForeignPath),
            (b"a\0b", Fault::BadName),
            (b"", Fault::BadName),
            (b"\xff.png", Fault::NotUtf8),
        ] {
            assert_eq!(checked(raw), Err(fault), "{raw:?}");
        }
    }
}
