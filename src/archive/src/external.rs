//! rar, unpacked by an installed program into a folder of our own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{ArchiveError, Census, Fault, Limits, Maker, Member, Watch, Writer};

/// The programs that are looked for, best first.
const PROGRAMS: [&str; 5] = ["unar", "bsdtar", "unrar", "7z", "7zz"];
/// How often a program at work is looked at.
const TICK: Duration = Duration::from_millis(200);

/// Unpacks into `folder`, which is made. The program is killed when it writes
/// more than the limits allow, or when the watch stops.
pub(super) fn unpack(
    path: &Path,
    folder: &Path,
    limits: &Limits,
    watch: Watch<'_>,
) -> Result<(), ArchiveError> {
    let (name, program) = find().ok_or_else(|| ArchiveError::NoProgram { archive: path.to_owned() })?;
    let read = |source| ArchiveError::Read { archive: path.to_owned(), source };
    let write = |source| ArchiveError::Write { path: folder.to_owned(), source };
    // Absolute: a name that begins with a dash must not read as an option.
    let archive = path.canonicalize().map_err(read)?;
    fs::create_dir_all(folder).map_err(write)?;
    let log = folder.with_extension("log");
    let complaints = File::create(&log).map_err(write)?;
    let mut child = command(name, &program, &archive, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(complaints)
        .spawn()
        .map_err(|error| failed(path, name, &error.to_string()))?;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => return Err(ended(&mut child, failed(path, name, &error.to_string()))),
        }
        if watch.stopped() {
            return Err(ended(&mut child, ArchiveError::Stopped));
        }
        let written = size_of(folder);
        (watch.told)(written);
        if written > limits.total {
            let (needed, allowed) = (written, limits.total);
            let (archive, folder) = (path.to_owned(), folder.to_owned());
            return Err(ended(&mut child, ArchiveError::NoSpace { archive, needed, allowed, folder }));
        }
        std::thread::sleep(TICK);
    };
    let said = fs::read_to_string(&log).unwrap_or_default();
    fs::remove_file(&log).map_err(write)?;
    if status.success() {
        return Ok(());
    }
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
    Err(failed(path, name, &format!("{last} ({status})")))
}

/// Kills and reaps a program.
fn ended(child: &mut Child, error: ArchiveError) -> ArchiveError {
    // It may have ended by itself meanwhile; either way it is gone afterwards.
    let _ = child.kill();
    let _ = child.wait();
    error
}

fn failed(path: &Path, program: &str, message: &str) -> ArchiveError {
    ArchiveError::Program {
        archive: path.to_owned(),
        program: program.to_owned(),
        message: message.to_owned(),
    }
}

/// The first program that is installed, with its path.
fn find() -> Option<(&'static str, PathBuf)> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    PROGRAMS.into_iter().find_map(|name| {
        let mut candidates = folders.iter().map(|folder| folder.join(name));
        let runs = |path: &PathBuf| {
            fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        candidates.find(runs).map(|path| (name, path))
    })
}

fn command(name: &str, program: &Path, archive: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    match name {
        "unar" => command.args(["-quiet", "-no-directory", "-output-directory"]).arg(folder).arg(archive),
        "bsdtar" => command.arg("-xf").arg(archive).arg("-C").arg(folder),
        // An empty password, so that an encrypted archive fails instead of asking.
        "unrar" => command.args(["x", "-inul", "-o-", "-p-"]).arg(archive).arg(folder.join("")),
        _ => command
            .args(["x", "-y", "-bso0", "-bsp0", "-p-"])
            .arg(format!("-o{}", folder.display()))
            .arg(archive),
    };
    command
}

/// Bytes of the files below a folder; what vanishes meanwhile counts nothing.
fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => size_of(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Looks at what the program left.
pub(super) fn list(path: &Path, folder: &Path, limits: &Limits) -> Result<Vec<Member>, ArchiveError> {
    let mut census = Census::default();
    visit(folder, "", &mut census, limits)
        .map_err(|source| ArchiveError::Read { archive: folder.to_owned(), source })?;
    if census.members.len() > limits.members {
        return Err(ArchiveError::TooMany { archive: path.to_owned(), limit: limits.members });
    }
    census.finish(path)
}

fn visit(folder: &Path, prefix: &str, census: &mut Census, limits: &Limits) -> io::Result<()> {
    let mut entries: Vec<fs::DirEntry> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str() else {
            census.fault(&format!("{prefix}{}", file_name.to_string_lossy()), Fault::NotUtf8);
            continue;
        };
        let name = format!("{prefix}{name}");
        // Of the entry itself: a link is not followed.
        let found = entry.metadata()?;
        if found.is_dir() {
            visit(&entry.path(), &format!("{name}/"), census, limits)?;
        } else if found.is_symlink() {
            census.fault(&name, Fault::Link);
        } else if found.is_file() {
            census.file(name.as_bytes(), Maker::Unix, found.len(), None, limits);
        } else {
            census.fault(&name, Fault::Special);
        }
    }
    Ok(())
}

/// Takes the wanted files out of what the program left.
pub(super) fn take(
    folder: &Path,
    wanted: &BTreeMap<String, String>,
    writer: &mut Writer<'_>,
) -> Result<(), ArchiveError> {
    for (name, into) in wanted {
        let to = writer.into.join(into);
        let write = |source| ArchiveError::Write { path: to.clone(), source };
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(write)?;
        }
        fs::rename(folder.join(name), &to).map_err(write)?;
    }
    Ok(())
}
