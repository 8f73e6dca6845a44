//! `dygl dataset`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use dygl_spec::protocol::{Part, SplitSource};
use dygl_spec::schema;

use super::Common;

#[derive(Debug, Subcommand)]
pub enum Dataset {
    /// List known datasets and which are registered
    List(Common),
    /// Register a dataset from a folder or its archives: pair, check and hash its files
    #[command(after_help = "Examples:\n  dygl dataset add kvasir-seg ~/kvasir-seg.zip\n  \
                      dygl dataset add isic2016 ~/ISBI2016_ISIC_Part1_*.zip\n  \
                      dygl dataset add my-polyps ~/my-polyps --manifest my-polyps.toml")]
    Add {
        name: String,
        /// One folder, or zip, tar, tar.gz or rar archives that together hold the dataset
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Accept fewer images than the dataset has; tables say so
        #[arg(long)]
        partial: bool,
        /// Register masks that the rule does not fit; tables say so
        #[arg(long)]
        accept_masks: bool,
        /// Take every warning for a mistake
        #[arg(long)]
        strict: bool,
        /// Describes a dataset of your own; see `dygl dataset template`
        #[arg(long, value_name = "FILE")]
        manifest: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Show how a dataset is divided: images of each part, groups torn apart, digest
    #[command(
        after_help = "Example:\n  dygl dataset split tnbc --source by-group --seed 7 --out splits/tnbc.csv\n\n\
                      The file is taken by --set split.source=file --set split.file=splits/tnbc.csv"
    )]
    Split {
        /// NAME, or NAME,option=value,... of a phantom
        name: String,
        #[command(flatten)]
        division: Division,
        /// Write the parts as a split file: .toml, .csv or .txt
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Look for duplicates, leaks between the parts and odd masks
    #[command(
        after_help = "Example:\n  dygl dataset audit cvc-clinicdb --out reports/audit --embed-images\n\n\
                      Findings are facts: the exit code is 0 whatever is found, and 1 for those of --fail-on"
    )]
    Audit {
        /// NAME, or NAME,option=value,... of a phantom
        name: String,
        #[command(flatten)]
        division: Division,
        /// Folder for a page with pictures (index.html) and everything found (audit.json)
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Embed images of datasets whose terms forbid showing them to others
        #[arg(long)]
        embed_images: bool,
        /// Exit with 1 if there is any of these
        #[arg(long, value_enum, value_delimiter = ',', value_name = "FINDING")]
        fail_on: Vec<FailOn>,
        #[command(flatten)]
        common: Common,
    },
    /// Hash every file of a registered dataset again, and compare with the official release
    #[command(after_help = "Example:\n  dygl dataset verify cvc-clinicdb --against cvc-clinicdb.sha256")]
    Verify {
        name: String,
        /// A list of your own in the form of sha256sum, in place of the built-in one
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Print a manifest to start from, for a dataset of your own
    #[command(after_help = "Example:\n  dygl dataset template > my-polyps.toml")]
    Template,
    /// Draw a contact sheet: images with the outlines of their masks
    #[command(
        after_help = "Example:\n  dygl dataset preview phantom-gland,size=224 --count 12 --out glands.png"
    )]
    Preview(Preview),
}

/// A part of a split, as words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PartName {
    Train,
    Validation,
    Test,
}

impl PartName {
    /// The part in lower case: `validation`.
    pub fn word(self) -> &'static str {
        match self {
            PartName::Train => "train",
            PartName::Validation => "validation",
            PartName::Test => "test",
        }
    }
}

impl From<PartName> for Part {
    fn from(name: PartName) -> Self {
        match name {
            PartName::Train => Part::Train,
            PartName::Validation => Part::Validation,
            PartName::Test => Part::Test,
        }
    }
}

#[derive(Debug, Args)]
pub struct Preview {
    /// NAME, or NAME,option=value,... for phantoms
    pub name: String,
    /// Where the PNG goes (default: NAME.png)
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Pictures on the sheet
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub count: usize,
    /// Only images of one part of the split
    #[arg(long, value_enum)]
    pub part: Option<PartName>,
    /// Draw the images with a seed (default: evenly spread over the sorted ids)
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Show what training sees: crops, flips and so on, three epochs of each image
    #[arg(long)]
    pub augment: bool,
    /// Profile whose split and augmentation are meant: paper, quick, smoke, ...
    #[arg(long, value_name = "P")]
    pub profile: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

/// How a dataset is divided; what is not given is as experiments/protocol.toml says.
#[derive(Debug, Clone, Default, Args)]
pub struct Division {
    /// Where the parts come from
    #[arg(long, value_name = "S", value_parser = SplitSource::ALL.map(SplitSource::name))]
    pub source: Option<String>,
    /// Seed of the shuffle
    #[arg(long, value_name = "N", value_parser = |text: &str| schema::read::<u64>("split.seed", text))]
    pub seed: Option<u64>,
    /// Number of folds; means --source k-fold where none is given
    #[arg(long, value_name = "K", value_parser = |text: &str| schema::read::<usize>("split.folds", text))]
    pub folds: Option<usize>,
    /// The fold that tests, from 0
    #[arg(long, value_name = "I", value_parser = |text: &str| schema::read::<usize>("split.fold", text))]
    pub fold: Option<usize>,
    /// Split file; means --source file where none is given
    #[arg(long, value_name = "FILE")]
    pub file: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Groups, or equal or nearly equal images (also mirrored or turned), that lie in several parts
    Leak,
    /// Equal or nearly equal images, also mirrored or turned
    Duplicates,
}
