//! With the feature `tch`: compiles the functions of libtorch that its binding
//! leaves out. The headers are found by the variables by which the binding
//! (torch-sys) finds them, so that both are of one libtorch.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "tch")]
    torch::compile();
}

#[cfg(feature = "tch")]
mod torch {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    const FOLDER: &str = "src/op/torch";
    const SOURCES: [&str; 3] = ["aten.cpp", "depthwise.cpp", "memory.cpp"];

    /// What a PyTorch in a Python environment says of itself.
    const ASK_PYTORCH: &str = "\
import torch
from torch.utils import cpp_extension
print('abi', int(torch._C._GLIBCXX_USE_CXX11_ABI))
for path in cpp_extension.include_paths(): print('include', path)
";

    pub fn compile() {
        println!("cargo:rerun-if-changed={FOLDER}");
        let (includes, abi) =
            if variable("LIBTORCH_USE_PYTORCH").is_some() { ask_pytorch() } else { folder() };
        if !includes.iter().any(|include| include.join("ATen/core/Tensor.h").is_file()) {
            panic!(
                "{}: there are no headers of libtorch (ATen/core/Tensor.h); `make libtorch` fetches them, \
                 LIBTORCH or LIBTORCH_INCLUDE names another place",
                includes.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
            );
        }
        cc::Build::new()
            .cpp(true)
            .pic(true)
            // Its headers are not free of warnings.
            .warnings(false)
            .std("c++17")
            // Also where Rust is compiled for a debugger: these are inner loops.
            .opt_level(3)
            // libtorch's own threads; without OpenMP its loops run on one.
            .flag_if_supported("-fopenmp")
            .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
            .includes(&includes)
            .files(SOURCES.map(|source| Path::new(FOLDER).join(source)))
            .compile("dygl_aten");
    }

    /// An environment variable, a change of which compiles again.
    fn variable(name: &str) -> Option<String> {
        println!("cargo:rerun-if-env-changed={name}");
        std::env::var(name).ok()
    }

    /// The folders of headers, and the ABI of C++'s library, of a libtorch folder.
    fn folder() -> (Vec<PathBuf>, String) {
        let libtorch = variable("LIBTORCH").map_or_else(|| PathBuf::from("/usr"), PathBuf::from);
        let above = variable("LIBTORCH_INCLUDE").map_or(libtorch, PathBuf::from);
        let include = above.join("include");
        let includes = vec![include.join("torch/csrc/api/include"), include];
        (includes, variable("LIBTORCH_CXX11_ABI").unwrap_or_else(|| "1".to_owned()))
    }

    /// [`folder`] of the PyTorch that the Python on the path has.
    fn ask_pytorch() -> (Vec<PathBuf>, String) {
        let python = if variable("VIRTUAL_ENV").is_some() { "python" } else { "python3" };
        let output = Command::new(python).args(["-c", ASK_PYTORCH]).output();
        let output = output.unwrap_or_else(|error| panic!("LIBTORCH_USE_PYTORCH: `{python}` {error}"));
        let text = String::from_utf8_lossy(&output.stdout);
        let told = |key: &str| {
            let lines = text.lines().filter_map(|line| line.split_once(' '));
            lines.filter(|(name, _)| *name == key).map(|(_, value)| value.to_owned()).collect::<Vec<_>>()
        };
        let Some(abi) = told("abi").pop() else {
            panic!(
                "LIBTORCH_USE_PYTORCH: `{python}` has no PyTorch: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        };
        (told("include").iter().map(|path| Path::new(path).to_owned()).collect(), abi)
    }
}
