//! Which images `dygl predict` was given: files, folders, patterns; and a
//! name for the outputs of each that no other has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::pattern::glob;
use crate::data::decode;
use crate::exec::predict::Picture;
use crate::exit::{Exit, Failure, OrExit};

/// A file to predict.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    /// As it was given.
    file: PathBuf,
    canonical: PathBuf,
    /// Below the folder that was given; of a single file its name.
    relative: PathBuf,
}

/// What the arguments came to.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) pictures: Vec<Picture>,
    /// Files of folders that are no images.
    pub(super) ignored: usize,
}

/// Finds the images. Folders are searched to the bottom, without hidden
/// entries and without `out`.
///
/// # Errors
/// Exit 3 with every argument that names nothing, exit 2 if `out` is one of
/// the folders or a true mask is missing, exit 4 if there is no image.
pub(super) fn collect(arguments: &[PathBuf], out: &Path, truth: Option<&Path>) -> Result<Inputs, Failure> {
    let mut search = Search { out: fs::canonicalize(out).ok(), ..Search::default() };
    let mut mistakes = Vec::new();
    for argument in arguments {
        if let Err(mistake) = search.take(argument) {
            mistakes.push(mistake);
        }
    }
    if !mistakes.is_empty() {
        return Err(Failure::new(Exit::Environment, mistakes.join("\n")));
    }
    if search.found.iter().any(|found| found.file.to_str().is_none()) {
        let of = |found: &Found| found.file.to_str().is_none().then(|| found.file.display().to_string());
        let named: Vec<String> = search.found.iter().filter_map(of).collect();
        let text = format!("these names are no UTF-8; rename the files: {}", named.join(", "));
        return Err(Failure::new(Exit::Usage, text));
    }
    if search.found.is_empty() {
        let given: Vec<String> = arguments.iter().map(|path| path.display().to_string()).collect();
        let text = format!("no image ({}) in {}", decode::FORMATS, given.join(", "));
        return Err(Failure::new(Exit::NothingSelected, text));
    }
    let truths = truth.map(|folder| truths(folder, &search.found)).transpose()?;
    let names = names(&search.found);
    let pictures = search.found.into_iter().zip(names).enumerate();
    let pictures = pictures
        .map(|(index, (found, name))| Picture {
            file: found.file,
            name,
            truth: truths.as_ref().map(|truths| truths[index].clone()),
        })
        .collect();
    Ok(Inputs { pictures, ignored: search.ignored })
}

#[derive(Debug, Default)]
struct Search {
    found: Vec<Found>,
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
    ignored: usize,
    out: Option<PathBuf>,
}

impl Search {
    fn take(&mut self, argument: &Path) -> Result<(), String> {
        let unreadable = |error: std::io::Error| format!("{}: {error}", argument.display());
        match fs::metadata(argument) {
            Ok(metadata) if metadata.is_dir() => {
                if fs::canonicalize(argument).ok() == self.out {
                    return Err(format!(
                        "{}: --out is the folder of the images; give another",
                        argument.display()
                    ));
                }
                self.walk(argument, argument).map_err(unreadable)
            }
            Ok(_) => {
                let name = argument.file_name().map(PathBuf::from).unwrap_or_default();
                self.add(argument.to_owned(), name).map_err(unreadable)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                match argument.to_str().filter(|text| text.contains(['*', '?', '['])) {
                    Some(pattern) => self.matching(pattern),
                    None => Err(format!("{}: there is no such file or folder", argument.display())),
                }
            }
            Err(error) => Err(unreadable(error)),
        }
    }

    fn add(&mut self, file: PathBuf, relative: PathBuf) -> std::io::Result<()> {
        let canonical = fs::canonicalize(&file)?;
        if self.files.insert(canonical.clone()) {
            self.found.push(Found { file, canonical, relative });
        }
        Ok(())
    }

    fn walk(&mut self, folder: &Path, base: &Path) -> std::io::Result<()> {
        let canonical = fs::canonicalize(folder)?;
        // A link may lead back up.
        if self.out.as_ref() == Some(&canonical) || !self.folders.insert(canonical) {
            return Ok(());
        }
        for path in entries(folder)? {
            if path.is_dir() {
                self.walk(&path, base)?;
            } else if is_image(&path) {
                let relative = path.strip_prefix(base).unwrap_or(&path).to_owned();
                self.add(path, relative)?;
            } else {
                self.ignored += 1;
            }
        }
        Ok(())
    }

    /// Files that match `*`, `?`, `[...]` inside a name, `**` over folders.
    fn matching(&mut self, pattern: &str) -> Result<(), String> {
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        let expression = glob(pattern).ok_or_else(|| format!("{pattern}: it is no pattern"))?;
        let base: PathBuf = Path::new(pattern)
            .components()
            .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']))
            .collect();
        let mut files = Vec::new();
        let start = if base.as_os_str().is_empty() { Path::new(".") } else { base.as_path() };
        if start.is_dir() {
            let mut seen = BTreeSet::new();
            below(start, &base, self.out.as_deref(), &mut seen, &mut files)
                .map_err(|error| format!("{pattern}: {error}"))?;
        }
        files.retain(|file| file.to_str().is_some_and(|text| expression.is_match(text)));
        if files.is_empty() {
            return Err(format!("{pattern}: no file matches"));
        }
        for file in files {
            let relative = file.strip_prefix(&base).unwrap_or(&file).to_owned();
            self.add(file, relative).map_err(|error| format!("{pattern}: {error}"))?;
        }
        Ok(())
    }
}

/// The entries of a folder in byte order, without hidden ones.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Every file below a folder, named from `shown`.
fn below(
    folder: &Path,
    shown: &Path,
    out: Option<&Path>,
    seen: &mut BTreeSet<PathBuf>,
    files: &mut Vec<PathBuf>,
) -> std::io::Result<()> {
    let canonical = fs::canonicalize(folder)?;
    if out == Some(&canonical) || !seen.insert(canonical) {
        return Ok(());
    }
    for path in entries(folder)? {
        let shown = shown.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            below(&path, &shown, out, seen, files)?;
        } else {
            files.push(shown);
        }
    }
    Ok(())
}

/// Whether a file of a folder is to be taken: its ending promises an image, so
/// that it is a failure if it is none, or it begins like one.
fn is_image(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    if ending.is_some_and(|ending| decode::ENDINGS.contains(&ending.as_str())) {
        return true;
    }
    let mut head = Vec::new();
    // What cannot be read and promises nothing is no image.
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut head));
    read.is_ok() && decode::is_picture(&head)
}

/// A name for each: the file's, without its ending, below its folders. Where
/// that is another's too, both take as much more as tells them apart: the
/// ending, then folders above.
fn names(found: &[Found]) -> Vec<String> {
    let mut levels = vec![0usize; found.len()];
    loop {
        let names: Vec<String> =
            found.iter().zip(&levels).map(|(found, level)| name(found, *level)).collect();
        let mut same: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, name) in names.iter().enumerate() {
            same.entry(name).or_default().push(index);
        }
        let mut raised = false;
        for indices in same.values().filter(|indices| indices.len() > 1) {
            for index in indices {
                // At its top level a name is the whole path, which is nobody else's.
                raised |= levels[*index] < top_level(&found[*index]);
                levels[*index] += 1;
            }
        }
        if !raised {
            return names;
        }
    }
}

/// Even levels leave the ending out, odd ones keep it; every second level adds
/// a folder above.
fn name(found: &Found, level: usize) -> String {
    let parts: Vec<String> = normal_parts(&found.canonical);
    let kept = normal_parts(&found.relative).len() + level / 2;
    let mut name = parts[parts.len().saturating_sub(kept.max(1))..].join("/");
    if level / 2 == 0 {
        // The names that were given, not those behind links.
        name = normal_parts(&found.relative).join("/");
    }
    if level.is_multiple_of(2)
        && let Some(ending) = Path::new(&name).extension()
    {
        name.truncate(name.len() - ending.len() - 1);
    }
    name
}

fn top_level(found: &Found) -> usize {
    2 * normal_parts(&found.canonical).len() + 1
}

fn normal_parts(path: &Path) -> Vec<String> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect()
}

/// The true mask of each image: the file of the same name, whatever its
/// ending, at the same place below the folder or else directly in it.
fn truths(folder: &Path, found: &[Found]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    below(folder, Path::new(""), None, &mut BTreeSet::new(), &mut files)
        .map_err(|error| format!("--truth {}: {error}", folder.display()))
        .or_exit(Exit::Environment)?;
    let mut by_name: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for file in files.into_iter().filter(|file| is_image(&folder.join(file))) {
        by_name.entry(file.with_extension("")).or_default().push(file);
    }
    let mut mistakes = Vec::new();
    let mut truths = Vec::new();
    for found in found {
        let stem = found.relative.with_extension("");
        let alone = stem.file_name().map(PathBuf::from).unwrap_or_default();
        match by_name.get(&stem).or_else(|| by_name.get(&alone)).map(Vec::as_slice) {
            Some([one]) => truths.push(folder.join(one)),
            Some(many) => {
                mistakes.push(format!("  {}: {} masks of its name", found.file.display(), many.len()))
            }
            None => mistakes.push(format!("  {}: no mask of its name", found.file.display())),
        }
    }
    if mistakes.is_empty() {
        return Ok(truths);
    }
    let text = format!("--truth {} does not fit the images:\n{}", folder.display(), mistakes.join("\n"));
    Err(Failure::new(Exit::Usage, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, bytes: &[u8]) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        fs::write(path, bytes).expect("written");
    }

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";

    fn found(root: &Path, arguments: &[&str]) -> Vec<(String, String)> {
        let arguments: Vec<PathBuf> = arguments.iter().map(|a| root.join(a)).collect();
        let inputs = collect(&arguments, &root.join("out"), None).expect("found");
        let short = |file: &Path| file.strip_prefix(root).expect("below").display().to_string();
        inputs.pictures.iter().map(|picture| (short(&picture.file), picture.name.clone())).collect()
    }

    #[test]
    fn folders_files_and_patterns_are_searched_once() {
        let root = tempfile::tempdir().expect("folder");
        let root = fs::canonicalize(root.path()).expect("canonical");
        for file in
            ["in/a.png", "in/deep/b.JPG", "in/deep/scan", "in/.hidden.png", "in/x/c1.png", "in/x/c2.bmp"]
        {
            put(&root, file, PNG);
        }
        put(&root, "in/notes.txt", b"text");
        put(&root, "out/old.mask.png", PNG);
        std::os::unix::fs::symlink(root.join("in"), root.join("in/deep/back")).expect("link");
        let names = |found: Vec<(String, String)>| found.into_iter().map(|(_, n)| n).collect::<Vec<_>>();
        assert_eq!(names(found(&root, &["in"])), ["a", "deep/b", "deep/scan", "x/c1", "x/c2"]);
        assert_eq!(names(found(&root, &["in/a.png", "in", "in/a.png"])).len(), 5);
        assert_eq!(names(found(&root, &["in/*/*[12].*"])), ["x/c1", "x/c2"]);
        assert_eq!(names(found(&root, &["in/**/?.[!p]*"])), ["deep/b"]);
        let nothing = collect(&[root.join("in/notes")], &root.join("out"), None).expect_err("missing");
        assert_eq!(nothing.exit, Exit::Environment);
        put(&root, "empty/notes.txt", b"text");
        let nothing = collect(&[root.join("empty")], &root.join("out"), None).expect_err("empty");
        assert_eq!(nothing.exit, Exit::NothingSelected);
        let itself = collect(&[root.join("out")], &root.join("out"), None).expect_err("its own");
        assert!(itself.message.contains("--out is the folder of the images"), "{}", itself.message);
    }

    #[test]
    fn equal_names_take_what_tells_them_apart() {
        let root = tempfile::tempdir().expect("folder");
        let root = fs::canonicalize(root.path()).expect("canonical");
        for file in ["a/1.png", "b/1.png", "a/2.png", "a/2.jpg", "c/d/3.png", "e/d/3.png"] {
            put(&root, file, PNG);
        }
        let pairs = found(&root, &["a/1.png", "b/1.png", "a/2.png", "a/2.jpg", "c/d/3.png", "e/d/3.png"]);
        let names: Vec<&str> = pairs.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["a/1", "b/1", "2.png", "2.jpg", "c/d/3", "e/d/3"]);
    }

    #[test]
    fn masks_are_found_by_name_and_mistakes_told_at_once() {
        let root = tempfile::tempdir().expect("folder");
        for file in ["in/a.jpg", "in/deep/b.jpg", "in/c.jpg", "masks/a.png", "masks/b.png"] {
            put(root.path(), file, PNG);
        }
        let collect =
            || collect(&[root.path().join("in")], Path::new("out"), Some(&root.path().join("masks")));
        let told = collect().expect_err("c has none").message;
        assert!(told.contains("c.jpg: no mask") && !told.contains("a.jpg"), "{told}");
        put(root.path(), "masks/c.png", PNG);
        let masks: Vec<_> = collect().expect("all").pictures.into_iter().filter_map(|p| p.truth).collect();
        assert_eq!(masks.len(), 3);
        assert!(masks[2].ends_with("masks/b.png"), "{masks:?}");
        put(root.path(), "masks/c.bmp", PNG);
        assert!(collect().expect_err("two").message.contains("2 masks of its name"));
    }
}
