//! Takes the revisions of the sources and the commit, so that every result
//! can say what it was computed by.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    // Read now: a build script from a cache may have been compiled elsewhere.
    let here = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let root = Path::new(&here).join("../..");
    let revisions = dygl_revision::of_workspace(&root).expect("the sources of the workspace can be read");
    let mut code = String::from(
        "/// Revisions of the sources at build time.\npub const REVISIONS: &[(&str, &str)] = &[\n",
    );
    for (name, value) in &revisions {
        code.push_str(&format!("    ({name:?}, {value:?}),\n"));
    }
    code.push_str("];\n");
    let commit = git(&root, &["rev-parse", "HEAD"]);
    let dirty = git(&root, &["status", "--porcelain", "--untracked-files=no"]).is_some_and(|s| !s.is_empty());
    code.push_str(&format!(
        "/// Commit at build time.\npub const COMMIT: &str = {:?};\n",
        commit.as_deref().unwrap_or("unknown")
    ));
    code.push_str(&format!(
        "/// Whether tracked files differed from the commit.\npub const DIRTY: bool = {dirty};\n"
    ));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("revisions.rs"), code).expect("OUT_DIR can be written");

    for file in dygl_revision::watched(&root).expect("the folders of the workspace can be listed") {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    // The log of HEAD grows with every commit and checkout.
    if let Some(log) = git(&root, &["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={}", root.join(log).display());
    }
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
