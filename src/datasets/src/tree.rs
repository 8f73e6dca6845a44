//! Every file of a folder or of an archive's list, before any layout is tried.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dygl_base::signature;

use super::{DataError, outputs, text};

/// Where files are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tree<'a> {
    Folder(&'a Path),
    /// Files of an archive: relative paths with `/` between parts.
    Names {
        archive: &'a Path,
        names: &'a [String],
    },
}

/// What a tree holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Paths relative to the tree, `/` between parts, sorted.
    pub files: Vec<String>,
    /// Pictures and folders whose names are no text, as near as text gets.
    pub unnameable: Vec<String>,
    /// Folders that cannot be read, and why.
    pub closed: Vec<(String, String)>,
    /// Whether a file was reached through a link, and so may stand under two paths.
    has_links: bool,
}

/// How many folders around the dataset are looked through, each the only one
/// in its place.
const WRAPPERS: usize = 3;
/// Folders deeper than this are a circle of links.
const DEEPEST: usize = 64;
/// Folders of other programs: what lies in them is not the user's data.
const NOT_DATA: [&str; 9] = [
    "__MACOSX",
    "@eaDir",
    "lost+found",
    ".dygl",
    ".git",
    ".ipynb_checkpoints",
    ".thumbnails",
    ".AppleDouble",
    "$RECYCLE.BIN",
];

/// Whether a file or folder is made by other programs for themselves, so that
/// nobody misses it: `__MACOSX`, and `._x.png`, in which macOS keeps attributes of `x.png`.
pub(crate) fn is_not_data(name: &str) -> bool {
    NOT_DATA.contains(&name) || name.starts_with("._") || name.starts_with(".Trash")
}

/// Whether a part of a path begins with a dot.
pub(super) fn is_hidden(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.'))
}

impl Tree<'_> {
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Tree::Folder(root) => root.to_path_buf(),
            Tree::Names { archive, .. } => archive.to_path_buf(),
        }
    }

    /// Every file, those of other programs' own folders left out.
    ///
    /// # Errors
    /// The folder itself cannot be read; of folders below it the listing tells.
    pub(super) fn list(&self) -> Result<Listing, DataError> {
        let mut listing = Listing::default();
        match self {
            Tree::Folder(root) => {
                let mut above = vec![root.canonicalize().unwrap_or_else(|_| root.to_path_buf())];
                walk(root, "", &mut above, &mut listing)
                    .map_err(|source| DataError::Read { path: root.to_path_buf(), source })?;
            }
            Tree::Names { names, .. } => {
                listing.files =
                    names.iter().filter(|name| !name.split('/').any(is_not_data)).cloned().collect();
            }
        }
        listing.files.sort_unstable();
        Ok(listing)
    }

    /// Whether a file without an ending begins like a picture; of the names of an
    /// archive that is not known.
    pub(super) fn is_picture_inside(&self, file: &str) -> bool {
        text::ending(file).is_none() && image::guess_format(&self.head(file)).is_ok()
    }

    /// Whether this program drew a picture; of the names of an archive that is not known.
    pub(super) fn is_signed(&self, file: &str) -> bool {
        signature::is_signed(&self.head(file))
    }

    /// The first bytes of a file; none where they cannot be read.
    fn head(&self, file: &str) -> Vec<u8> {
        match self {
            Tree::Folder(root) => outputs::head(&root.join(file)),
            Tree::Names { .. } => Vec::new(),
        }
    }

    /// Leaves out of `files` what is one of `used` under another path.
    pub(super) fn without_copies(&self, listing: &Listing, files: &mut Vec<String>, used: &BTreeSet<String>) {
        let Tree::Folder(root) = self else { return };
        if !listing.has_links {
            return;
        }
        let real = |path: &String| root.join(path).canonicalize().ok();
        let used: BTreeSet<PathBuf> = used.iter().filter_map(real).collect();
        files.retain(|file| real(file).is_none_or(|real| !used.contains(&real)));
    }
}

impl Listing {
    /// The folders in which the layouts are tried: the tree itself, then its
    /// only subfolder, and so on; empty, or with `/` at the end.
    pub(super) fn bases(&self) -> Vec<String> {
        let mut bases = vec![String::new()];
        while bases.len() <= WRAPPERS {
            let last = &bases[bases.len() - 1];
            let below: BTreeSet<&str> = self
                .files
                .iter()
                .filter_map(|file| Some(file.strip_prefix(last.as_str())?.split_once('/')?.0))
                .filter(|name| !name.starts_with('.'))
                .collect();
            let mut below = below.into_iter();
            let (Some(only), None) = (below.next(), below.next()) else { break };
            let next = format!("{last}{only}/");
            bases.push(next);
        }
        bases
    }
}

fn walk(folder: &Path, prefix: &str, above: &mut Vec<PathBuf>, listing: &mut Listing) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (raw, path) = (entry.file_name(), entry.path());
        let kind = entry.file_type()?;
        let mut is_folder = kind.is_dir();
        let mut real = None;
        if kind.is_symlink() {
            listing.has_links = true;
            // A link that leads nowhere is a file that cannot be read, which is told when it is.
            is_folder = path.is_dir();
            real = path.canonicalize().ok();
        }
        let Some(name) = raw.to_str() else {
            let shown = raw.to_string_lossy();
            if is_folder || text::is_picture(&shown) {
                let end = if is_folder { "/" } else { "" };
                listing.unnameable.push(format!("{prefix}{shown}{end}"));
            }
            continue;
        };
        if is_not_data(name) || (is_folder && outputs::is_store(&path)) {
            continue;
        }
        if !is_folder {
            listing.files.push(format!("{prefix}{name}"));
            continue;
        }
        let real = real.unwrap_or_else(|| above.last().map_or_else(|| path.clone(), |last| last.join(name)));
        if above.contains(&real) || above.len() > DEEPEST {
            continue;
        }
        above.push(real);
        let below = format!("{prefix}{name}/");
        if let Err(error) = walk(&path, &below, above, listing) {
            listing.closed.push((below, error.to_string()));
        }
        above.pop();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dygl_testing::folder;

    use super::*;

    #[test]
    fn a_folder_and_a_list_of_its_names_are_one() {
        let files = [
            "data/images/1.png",
            "data/.hidden/2.png",
            "data/images/.3.png",
            "data/__MACOSX/images/._1.png",
            "data/images/._1.png",
            "data/images/@eaDir/1.png",
            "data/notes.txt",
        ];
        let root = folder(&files);
        let listed = Tree::Folder(root.path()).list().expect("readable");
        assert_eq!(
            listed.files,
            ["data/.hidden/2.png", "data/images/.3.png", "data/images/1.png", "data/notes.txt"]
        );
        assert_eq!(listed.bases(), ["", "data/", "data/images/"]);
        let names = files.map(str::to_owned);
        let of_names = Tree::Names { archive: Path::new("a.zip"), names: &names }.list().expect("a list");
        assert_eq!(of_names.files, listed.files);
        assert_eq!(of_names.bases(), listed.bases());
    }

    #[test]
    fn links_are_followed_and_circles_end() {
        let root = folder(&["real/images/1.png"]);
        let link = |from: &str, to: &str| {
            std::os::unix::fs::symlink(root.path().join(from), root.path().join(to)).expect("linked");
        };
        link("real/images", "images");
        link("real", "real/back");
        link("nowhere", "lost.png");
        let tree = Tree::Folder(root.path());
        let listed = tree.list().expect("readable");
        assert_eq!(listed.files, ["images/1.png", "lost.png", "real/images/1.png"]);
        let mut left = listed.files.clone();
        tree.without_copies(&listed, &mut left, &BTreeSet::from(["images/1.png".to_owned()]));
        assert_eq!(left, ["lost.png"]);
    }

    #[test]
    fn names_that_are_no_text_are_told() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let root = folder(&["images/1.png"]);
        fs::write(root.path().join("images").join(OsStr::from_bytes(b"K\xf6ln.png")), "").expect("written");
        fs::write(root.path().join("images").join(OsStr::from_bytes(b"K\xf6ln.txt")), "").expect("written");
        let listed = Tree::Folder(root.path()).list().expect("readable");
        assert_eq!(listed.unnameable, ["images/K\u{fffd}ln.png"]);
    }
}
