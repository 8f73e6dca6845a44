//! The training protocol: section 4.1 of the paper as one typed value.
//!
//! Every field is set (there is no `Option`): `experiments/protocol.toml`
//! gives each a value and says whether the paper states it or whether it had
//! to be assumed. Every leaf is part of the key of a result. Fields of
//! [`Evaluate`] belong to the evaluation key alone.

use serde::{Deserialize, Serialize};

/// The whole protocol, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// How images and masks become input and targets.
    pub image: Image,
    /// How training images are varied.
    pub augment: Augment,
    /// What training minimises.
    pub loss: Loss,
    /// How gradients move the weights.
    pub optimizer: Optimizer,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// How long and in what portions training goes on.
    pub train: Train,
    /// Which epoch's weights are kept.
    pub selection: Selection,
    /// Which images train, validate and test.
    pub split: Split,
    /// How the reported scores are taken.
    pub evaluate: Evaluate,
}

/// How a stored image becomes network input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Side of the square network input, pixels.
    pub size: usize,
    /// Filter that resizes images (masks always use nearest).
    pub filter: Filter,
    /// Per-channel mean (RGB, of values in 0..1) subtracted from the input.
    pub mean: [f64; 3],
    /// Per-channel standard deviation (RGB) that the input is divided by.
    pub std: [f64; 3],
    /// Whether training targets are the mask's grey values or 0/1.
    pub training_masks: MaskMode,
}

/// Resize filter of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// The nearest pixel alone.
    Nearest,
    /// Two-tap bilinear at pixel centres, no anti-aliasing (OpenCV's INTER_LINEAR).
    Bilinear,
    /// Triangle filter whose support grows with the reduction (Pillow's BILINEAR).
    Triangle,
    /// Lanczos filter of three lobes whose support grows with the reduction.
    Lanczos3,
}

impl Filter {
    /// As the protocol writes it.
    pub fn word(self) -> &'static str {
        match self {
            Filter::Nearest => "nearest",
            Filter::Bilinear => "bilinear",
            Filter::Triangle => "triangle",
            Filter::Lanczos3 => "lanczos3",
        }
    }
}

/// Training masks: soft (the share of a grey between the least and the greatest of the dataset, one half at
/// its rule) or thresholded by the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskMode {
    /// Targets in 0..=1.
    Soft,
    /// Targets 0 or 1.
    Threshold,
}

/// Training-time augmentation. Each step draws from (seed, epoch, image id) only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Probability of a left-right flip.
    pub horizontal_flip: f64,
    /// Probability of a top-bottom flip.
    pub vertical_flip: f64,
    /// What rotation and elastic deformation find beyond the image.
    pub border: Border,
    /// A window of the image, brought to the network size.
    pub crop: Crop,
    /// A turn about the centre.
    pub rotate: Rotate,
    /// Shifts that vary from place to place.
    pub elastic: Elastic,
    /// Brighter or darker, with more or less contrast.
    pub brightness_contrast: BrightnessContrast,
}

/// What a warp finds beyond the image, in image and mask alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Border {
    /// The mirrored image, the edge pixel once (OpenCV's BORDER_REFLECT_101).
    Reflect,
    /// Black, and background (OpenCV's BORDER_CONSTANT with 0).
    Zero,
}

/// Random resized crop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// Probability of a crop; else the whole image is taken.
    pub probability: f64,
    /// Which image the crop is cut from.
    pub from: CropFrom,
    /// Area of the crop relative to the image, lower and upper bound.
    pub scale: [f64; 2],
    /// Aspect ratio (width / height) of the crop, lower and upper bound.
    pub aspect: [f64; 2],
}

/// Which image a crop is cut from; it ends at the network size either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CropFrom {
    /// The image already resized to the network size.
    Resized,
    /// The image as stored: a small crop shows detail that the network size has lost.
    Stored,
}

/// Random rotation about the centre.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// Probability of a rotation.
    pub probability: f64,
    /// Angles are drawn from [-degrees, degrees].
    pub degrees: f64,
}

/// Elastic deformation: a displacement field of Gaussian-smoothed noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elastic {
    /// Probability of a deformation.
    pub probability: f64,
    /// Factor on the smoothed noise (drawn from -1..1), pixels at the network size.
    pub alpha: f64,
    /// Standard deviation of the smoothing Gaussian, pixels.
    pub sigma: f64,
}

/// Brightness and contrast perturbation: `x * (1 + c) + b`, on values in 0..1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrightnessContrast {
    /// Probability of a change of both.
    pub probability: f64,
    /// b is drawn from [-brightness, brightness].
    pub brightness: f64,
    /// c is drawn from [-contrast, contrast].
    pub contrast: f64,
}

/// Equations 13-15: `lambda * BCE + (1 - lambda) * Dice`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Weight of the cross-entropy (eq. 15).
    pub lambda: f64,
    /// Epsilon of eq. 13, in numerator and denominator.
    pub dice_smoothing: f64,
    /// Whether the sums of eq. 13 run over the batch or over each image.
    pub dice_pooling: Pooling,
}

/// What the sums of the Dice loss run over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The whole batch: one ratio for all of its images.
    Batch,
    /// Each image: the mean of their ratios.
    Image,
}

/// AdamW with decoupled decay, clipped by the global norm of all gradients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimizer {
    /// Which optimizer it is.
    pub name: OptimizerName,
    /// Peak learning rate, reached at the end of the warm-up.
    pub learning_rate: f64,
    /// Decay of the running means of the gradient and of its square, each in 0..1.
    pub betas: [f64; 2],
    /// Added to the root of the second moment before it divides.
    pub epsilon: f64,
    /// Share of a weight that a step takes off, times the learning rate.
    pub weight_decay: f64,
    /// Parameters exempt from decay.
    pub decay_exclude: DecayExclude,
    /// Largest global L2 norm of the gradient; 0 switches clipping off.
    pub clip_norm: f64,
}

/// The optimizers that can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerName {
    /// Adam with decoupled weight decay.
    Adamw,
}

/// Which parameters weight decay leaves alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecayExclude {
    /// Every parameter decays (PyTorch's default).
    Nothing,
    /// Parameters of rank one (biases, normalisation) do not decay.
    Vectors,
}

/// Linear warm-up, then polynomial decay to zero:
/// `lr = peak * (1 - t / T)^power` with t counted after the warm-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Epochs until the peak; 0 starts there.
    pub warmup_epochs: usize,
    /// Fraction of the peak at which the warm-up starts.
    pub warmup_start: f64,
    /// Exponent of the decay; 1 is a straight line.
    pub power: f64,
    /// Whether the rate moves each step or each epoch.
    pub unit: ScheduleUnit,
}

/// When the learning rate moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleUnit {
    /// Each step.
    Step,
    /// Each epoch: its steps share one rate.
    Epoch,
}

/// How long and in what portions training goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Epochs in all, the warm-up among them.
    pub epochs: usize,
    /// Images of a step; the last one of an epoch may have fewer.
    pub batch_size: usize,
    /// Whether the last, smaller batch of an epoch is left out.
    pub drop_last: bool,
    /// Images per epoch: 0 takes each once; fewer than there are is a part of
    /// a pass; more is further passes, each shuffled anew.
    pub images_per_epoch: usize,
    /// In which arithmetic steps are computed.
    pub precision: Precision,
}

/// Arithmetic of the training steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Everything in f32.
    F32,
    /// Mixed: products of convolutions and linear layers round their operands
    /// to bfloat16; weights, normalisation, attention scores, loss, optimizer
    /// and evaluation stay f32.
    Bf16Amp,
}

/// Which epoch's weights are reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// How the epoch is chosen.
    pub rule: SelectionRule,
    /// The part that is scored during training (for `best-dice`, and for the curve).
    pub part: Part,
    /// Score the selection part every so many epochs; 0 never.
    pub every: usize,
}

/// How the epoch is chosen whose weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelectionRule {
    /// The last epoch.
    Last,
    /// The epoch of the highest mean Dice on the selection part.
    BestDice,
}

/// One part of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Images to train on.
    Train,
    /// Images to select an epoch by.
    Validation,
    /// Images to report scores of.
    Test,
}

impl Part {
    /// In the order of their use.
    pub const ALL: [Part; 3] = [Part::Train, Part::Validation, Part::Test];

    /// As its folder and the TOML spell it.
    pub fn name(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Validation => "validation",
            Part::Test => "test",
        }
    }
}

/// How a dataset is divided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// What divides it.
    pub source: SplitSource,
    /// Seed of the shuffle of the sorted ids or groups (all sources but
    /// `official` and `file`).
    pub seed: u64,
    /// Folds of the two k-fold sources.
    pub folds: usize,
    /// The fold that tests, from 0.
    pub fold: usize,
    /// The lists of ids of source `file`, relative to the working directory;
    /// else empty. A key holds its content and not its path.
    pub file: String,
}

/// What divides a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitSource {
    /// As the dataset's manifest says: its own folders, else seeded with its counts.
    Manifest,
    /// A seeded shuffle with the manifest's counts, even where folders exist.
    Seeded,
    /// Whole groups (patients, slides, videos), near to the manifest's counts.
    ByGroup,
    /// As the dataset's authors divided it.
    Official,
    /// As the lists of `file` say.
    File,
    /// `folds` equal runs of a seeded shuffle: `fold` tests, the next validates
    /// where the dataset has such a part, the others train.
    KFold,
    /// The same with whole groups.
    GroupedKFold,
}

impl SplitSource {
    /// Every source, in the order of the enum.
    pub const ALL: [SplitSource; 7] = [
        SplitSource::Manifest,
        SplitSource::Seeded,
        SplitSource::ByGroup,
        SplitSource::Official,
        SplitSource::File,
        SplitSource::KFold,
        SplitSource::GroupedKFold,
    ];

    /// Whether `folds` and `fold` mean something.
    pub fn has_folds(self) -> bool {
        matches!(self, SplitSource::KFold | SplitSource::GroupedKFold)
    }

    /// As the TOML spells it.
    pub fn name(self) -> &'static str {
        match self {
            SplitSource::Manifest => "manifest",
            SplitSource::Seeded => "seeded",
            SplitSource::ByGroup => "by-group",
            SplitSource::Official => "official",
            SplitSource::File => "file",
            SplitSource::KFold => "k-fold",
            SplitSource::GroupedKFold => "grouped-k-fold",
        }
    }
}

/// How the reported images took part before they were reported: what a reader
/// must be told beside the scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exposure {
    /// They trained the weights.
    Trained,
    /// Their scores chose the epoch.
    Selected,
    /// They were scored during training, without influence on the weights.
    Watched,
}

impl Exposure {
    /// One sentence for readers.
    pub fn note(self) -> &'static str {
        match self {
            Exposure::Trained => {
                "The reported part is the one that trained: the scores say nothing about new images."
            }
            Exposure::Selected => {
                "The weights were selected on the reported part: the scores are optimistic."
            }
            Exposure::Watched => {
                "The reported part was scored during training; it chose no weights, but people saw the curve."
            }
        }
    }
}

impl Protocol {
    /// Whether and how the reported part took part in training.
    pub fn exposure(&self) -> Option<Exposure> {
        let Selection { rule, part, every } = self.selection;
        let scored = every > 0 && part == self.evaluate.part;
        match (self.evaluate.part, rule) {
            (Part::Train, _) => Some(Exposure::Trained),
            (_, SelectionRule::BestDice) if scored => Some(Exposure::Selected),
            (_, SelectionRule::Last) if scored => Some(Exposure::Watched),
            _ => None,
        }
    }
}

/// What a score is. Nothing here touches the weights: changing it re-evaluates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluate {
    /// The part that is reported.
    pub part: Part,
    /// A pixel is foreground where sigmoid(logit) > threshold.
    pub threshold: f64,
    /// Added to each denominator (the official code's 1e-8).
    pub epsilon: f64,
    /// Score of an image where prediction and truth are both empty.
    pub empty: EmptyRule,
}

/// Score of an image where prediction and truth are both empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmptyRule {
    /// What the formula gives: 0 / epsilon = 0 (the official code).
    Formula,
    /// Perfect agreement scores 1.
    One,
    /// Such images are left out of the mean. Where epochs are selected each counts as 1,
    /// so that all epochs are compared over the same images.
    Skip,
}
