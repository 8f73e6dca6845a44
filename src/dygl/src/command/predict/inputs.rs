//! Which images `dygl predict` was given: files, folders, patterns; and a
//! name for the outputs of each that no other has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use dygl_base::exit::{Exit, Failure};
use dygl_base::signature;
use dygl_datasets::{outputs, text};
use dygl_exec::predict::Picture;
use dygl_pixels::decode;

use super::pattern::glob;
use super::truths::Truths;

/// A file to predict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// As it was given.
    pub(super) file: PathBuf,
    pub(super) canonical: PathBuf,
    /// Below the folder that was given; of a single file its name.
    pub(super) relative: PathBuf,
}

/// What the arguments came to.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) pictures: Vec<Picture>,
    /// Files of folders that are no images.
    pub(super) ignored: usize,
    /// Pictures of folders that this program wrote.
    pub(super) written: usize,
    /// Pictures of folders that are true masks of others.
    pub(super) masks: usize,
}

/// Finds the images. Folders are searched to the bottom, without hidden
/// entries, without `out`, stores and what an earlier call wrote.
///
/// # Errors
/// Exit 3 with every argument that names nothing, exit 2 if `out` is one of
/// the folders or truths do not fit the images, exit 4 if there is no image.
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
        let mut text = format!("no image ({}) in {}", decode::FORMATS, given.join(", "));
        if search.written > 0 {
            let count = search.written;
            text.push_str(&format!(
                " but {count} that dygl wrote itself; name such files one by one if they are meant"
            ));
        }
        return Err(Failure::new(Exit::NothingSelected, text));
    }
    let truths = truth.map(Truths::open).transpose()?;
    let masks = truths.as_ref().map(|truths| truths.among(&search.found)).unwrap_or_default();
    let all = search.found.len();
    search.found.retain(|found| !masks.contains(&found.canonical));
    let masks = all - search.found.len();
    let truths = truths.map(|truths| truths.of(&search.found)).transpose()?;
    let names = names(&search.found);
    let pictures = search.found.into_iter().zip(names).enumerate();
    let pictures = pictures
        .map(|(index, (found, name))| Picture {
            file: found.file,
            name,
            truth: truths.as_ref().map(|truths| truths[index].clone()),
        })
        .collect();
    Ok(Inputs { pictures, ignored: search.ignored, written: search.written, masks })
}

#[derive(Debug, Default)]
struct Search {
    found: Vec<Found>,
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
    ignored: usize,
    written: usize,
    out: Option<PathBuf>,
    /// Whether predictions were written into a folder or one above it, by its path.
    folders_written: BTreeMap<PathBuf, bool>,
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
            } else if self.is_output(&path) {
                self.written += 1;
            } else if is_image(&path) {
                let relative = path.strip_prefix(base).unwrap_or(&path).to_owned();
                self.add(path, relative)?;
            } else {
                self.ignored += 1;
            }
        }
        Ok(())
    }

    /// Whether this program wrote a file: a prediction is named so and lies below its
    /// table, sheets and figures are signed.
    fn is_output(&mut self, file: &Path) -> bool {
        if signature::is_signed(&outputs::head(file)) {
            return true;
        }
        let is_named_so = file.file_name().is_some_and(|name| outputs::is_named_so(&name.to_string_lossy()));
        let folder = file.parent().unwrap_or(Path::new(""));
        is_named_so && fs::canonicalize(folder).is_ok_and(|folder| self.is_written(&folder))
    }

    fn is_written(&mut self, folder: &Path) -> bool {
        if let Some(known) = self.folders_written.get(folder) {
            return *known;
        }
        let written = outputs::are_in(folder) || folder.parent().is_some_and(|above| self.is_written(above));
        self.folders_written.insert(folder.to_owned(), written);
        written
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
        // Who writes the end of a prediction's name means predictions.
        if !outputs::is_named_so(pattern) {
            let all = files.len();
            files.retain(|file| !self.is_output(file));
            self.written += all - files.len();
        }
        for file in files {
            let relative = file.strip_prefix(&base).unwrap_or(&file).to_owned();
            self.add(file, relative).map_err(|error| format!("{pattern}: {error}"))?;
        }
        Ok(())
    }
}

/// The entries of a folder in byte order, without hidden ones and without stores,
/// which hold pictures of this program.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !is_hidden && !outputs::is_store(&entry.path()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Every file below a folder, named from `shown`.
pub(super) fn below(
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

/// Whether a file of a folder is to be taken: its ending promises a picture that
/// is read, or it begins like one.
pub(super) fn is_image(path: &Path) -> bool {
    if text::is_read(&path.to_string_lossy()) {
        return true;
    }
    // What cannot be read and promises nothing is no image.
    decode::is_picture(&outputs::head(path))
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

#[cfg(test)]
mod tests;
