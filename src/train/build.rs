//! With the feature `tch`: tells the worker where libtorch lies, so that
//! nobody has to set LD_LIBRARY_PATH, and which version it was built against.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if env::var_os("CARGO_FEATURE_TCH").is_none() {
        return;
    }
    // Read now: a build script from a cache may have been compiled elsewhere.
    let here = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let root = Path::new(&here).join("../..");
    let libtorch = env::var_os("LIBTORCH").map_or_else(|| root.join("libtorch"), PathBuf::from);
    let Ok(libtorch) = libtorch.canonicalize() else {
        panic!("{}: there is no libtorch; `make libtorch` fetches it", libtorch.display());
    };
    let version = version(&libtorch).unwrap_or_else(|| {
        panic!("{}: neither build-version nor version.py says which libtorch it is", libtorch.display())
    });
    println!("cargo:rustc-env=DYGL_LIBTORCH_VERSION={version}");
    let library = libtorch.join("lib");
    println!("cargo:rerun-if-changed={}", library.display());
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", library.display());
    // What CUDA's libraries want of each other is found when the program starts.
    println!("cargo:rustc-link-arg=-Wl,--allow-shlib-undefined");
    if library.join("libtorch_cuda.so").is_file() {
        // libtorch finds its CUDA half by the fact that it is loaded; no
        // symbol of it is called, so the linker would leave it out.
        println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
        println!("cargo:rustc-link-arg={}", library.join("libtorch_cuda.so").display());
        println!("cargo:rustc-link-arg=-Wl,--as-needed");
    }
}

/// `2.9.0+cu128`, as `make libtorch`, a libtorch archive or a torch package says.
fn version(libtorch: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(libtorch.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    let text = fs::read_to_string(libtorch.join("version.py")).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix("__version__ = '"))?;
    Some(rest.trim_end_matches('\'').to_owned())
}
