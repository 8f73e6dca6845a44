//! The locked versions of the crates whose code makes numbers.

use std::collections::BTreeMap;

/// The crates that bind libtorch: they compute nothing for other backends.
const BINDINGS: &[&str] = &["burn-tch", "tch", "torch-sys"];

/// The crates that only record what a pass does.
const RECORDERS: &[&str] = &["burn-capture", "burn-router"];

/// Revision name and the crates (by prefix of their names) it covers.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("library.tensor", &["burn", "gemm", "libm", "macerator", "cubecl"]),
    ("library.libtorch", BINDINGS),
    ("library.image", &["image", "png", "tiff", "zune-jpeg", "fdeflate"]),
];

/// `library.*` -> `name version, name version`, sorted, from the text of a
/// Cargo.lock.
pub(crate) fn libraries(lock: &str) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, Vec<String>> =
        LIBRARIES.iter().map(|(name, _)| ((*name).to_owned(), Vec::new())).collect();
    let mut package = None;
    for line in lock.lines() {
        if let Some(name) = field(line, "name") {
            package = Some(name);
        } else if let (Some(version), Some(name)) = (field(line, "version"), package) {
            for (library, prefixes) in LIBRARIES {
                let is_bound = BINDINGS.iter().any(|prefix| is_of(name, prefix));
                if prefixes.iter().any(|prefix| is_of(name, prefix))
                    && !RECORDERS.contains(&name)
                    && (is_bound == (*library == "library.libtorch"))
                    && let Some(list) = found.get_mut(*library)
                {
                    list.push(format!("{name} {version}"));
                }
            }
            package = None;
        }
    }
    found
        .into_iter()
        .map(|(name, mut list)| {
            list.sort();
            (name, list.join(", "))
        })
        .collect()
}

/// `burn-flex` is of `burn`; `imageproc` is not of `image`.
fn is_of(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.trim().strip_prefix('=')?.trim().strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_computes_is_listed() {
        let lock = "[[package]]\nname = \"burn-capture\"\nversion = \"0.22.1\"\n\n[[package]]\nname = \"serde\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"burn-flex\"\nversion = \"0.22.1\"\n\n[[package]]\nname = \"burn-tch\"\nversion = \"0.22.1\"\n\n[[package]]\nname = \"libm\"\nversion = \"0.2.16\"\n";
        let found = libraries(lock);
        assert_eq!(found["library.tensor"], "burn-flex 0.22.1, libm 0.2.16");
        assert_eq!(found["library.libtorch"], "burn-tch 0.22.1");
        assert_eq!(found["library.image"], "");
    }
}
