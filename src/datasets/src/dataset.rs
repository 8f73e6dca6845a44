//! An opened dataset: the one thing that the rest of the house sees.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dygl_base::words::alike;
use dygl_pixels::mask::{MaskRule, Reading, Scale};
use dygl_pixels::phantom::{Family, Phantom};
use dygl_pixels::prepare::{self, Form, Picture, Resized};
use dygl_pixels::split::{self, Grouping, Partition, SplitError};
use dygl_pixels::{Counts, ImageRule, PixelError, Sample, decode};
use dygl_spec::name::Named;
use dygl_spec::project;
use dygl_spec::protocol::{Image, Part, Split, SplitSource};
use serde::Serialize;

use super::facts::Concern;
use super::files::FileEntry;
use super::ingest::{Entry, Registration};
use super::manifest::{Manifest, SplitKind};
use super::pack::Pack;
use super::registry::Registry;
use super::{DataError, Problem, split_file, unknown_dataset};

/// An opened dataset; cheap to clone, shared between threads.
#[derive(Debug, Clone)]
pub struct Dataset {
    inner: Arc<Inner>,
    /// Decoded images, where a cache holds them.
    pack: Option<Arc<Pack>>,
}

#[derive(Debug)]
struct Inner {
    id: Named,
    title: String,
    digest: String,
    ids: Vec<String>,
    expected: usize,
    source: Source,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one value for each open dataset")]
enum Source {
    Folder {
        manifest: Cow<'static, Manifest>,
        registration: Registration,
        /// Place of each id in the registration.
        places: HashMap<String, usize>,
        reading: Reading,
    },
    Phantom(Phantom),
}

/// Parts of the phantoms, as proportions.
const PHANTOM_PARTS: Counts = Counts { train: 8, validation: 1, test: 1 };

impl Dataset {
    /// Opens a dataset. Folders must be registered; phantoms need nothing.
    /// No image is read: [`Registry::check`] says whether the files are still
    /// there, and [`Dataset::load`] checks the content of what it reads.
    pub fn open(named: &Named, registry: &Registry) -> Result<Self, DataError> {
        let id = Self::resolve_in(named, registry)?;
        if let Some(phantom) = Phantom::parse(&id) {
            return Ok(Self::of_phantom(id, phantom?));
        }
        let manifest = registry.manifest(&id.name)?.ok_or_else(|| unknown_dataset(&id.name))?;
        let registration = registry.require(&id.name)?;
        let ids: Vec<String> = registration.entries.iter().map(|e| e.id.clone()).collect();
        let places = ids.iter().cloned().zip(0..).collect();
        // The built-in ones are published over the whole scale, whatever part of them is there.
        let found = || scale(&manifest, &registration, registry);
        let reading = Reading::of_dataset(manifest.mask, !manifest.is_own(), found)?;
        let inner = Inner {
            id,
            title: manifest.title.clone(),
            digest: registration.digest.clone(),
            ids,
            expected: registration.expected,
            source: Source::Folder { manifest, registration, places, reading },
        };
        Ok(Self { inner: Arc::new(inner), pack: None })
    }

    fn of_phantom(id: Named, phantom: Phantom) -> Self {
        let inner = Inner {
            id,
            title: phantom.family.title().to_owned(),
            digest: phantom.digest(),
            ids: phantom.ids(),
            expected: phantom.count,
            source: Source::Phantom(phantom),
        };
        Self { inner: Arc::new(inner), pack: None }
    }

    /// The canonical form of a name: the id is known, options are valid and,
    /// for phantoms, all written out; folders take none. Needs no registry, and
    /// so knows no datasets of the user's own.
    pub fn resolve(named: &Named) -> Result<Named, DataError> {
        if let Some(phantom) = Phantom::parse(named) {
            return Ok(phantom?.named());
        }
        if Manifest::find(&named.name)?.is_none() {
            return Err(unknown_dataset(&named.name));
        }
        Self::without_options(named)
    }

    /// The same with the user's own datasets, which the registry knows.
    pub fn resolve_in(named: &Named, registry: &Registry) -> Result<Named, DataError> {
        match Self::resolve(named) {
            Err(DataError::UnknownDataset { .. }) if registry.manifest(&named.name)?.is_some() => {
                Self::without_options(named)
            }
            resolved => resolved,
        }
    }

    fn without_options(named: &Named) -> Result<Named, DataError> {
        if let Some(option) = named.options.keys().next() {
            return Err(PixelError::UnknownOption {
                dataset: named.name.clone(),
                option: option.clone(),
                candidates: alike(option, []),
                options: Vec::new(),
            }
            .into());
        }
        Ok(named.clone())
    }

    /// Canonical.
    pub fn id(&self) -> &Named {
        &self.inner.id
    }

    /// One line for people, of the manifest or the phantom.
    pub fn title(&self) -> &str {
        &self.inner.title
    }

    /// Digest of the content, hex: of the files, or of what phantoms are drawn from.
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// Images present.
    pub fn images(&self) -> usize {
        self.inner.ids.len()
    }

    /// Images of the whole dataset.
    pub fn expected(&self) -> usize {
        self.inner.expected
    }

    /// Whether its terms allow showing its images to others.
    pub fn redistributable(&self) -> bool {
        match &self.inner.source {
            Source::Folder { manifest, .. } => manifest.redistributable,
            Source::Phantom(_) => true,
        }
    }

    /// Every image id, in byte order.
    pub fn ids(&self) -> &[String] {
        &self.inner.ids
    }

    /// What the image shares a patient, slide or video with, where that is known.
    pub fn group<'a>(&'a self, id: &'a str) -> Option<&'a str> {
        self.entry(id)?.group.as_deref()
    }

    /// The part that the dataset's authors put the image into, where they did.
    pub fn official_part(&self, id: &str) -> Option<Part> {
        self.entry(id)?.part
    }

    fn entry(&self, id: &str) -> Option<&Entry> {
        match &self.inner.source {
            Source::Folder { registration, places, .. } => registration.entries.get(*places.get(id)?),
            Source::Phantom(_) => None,
        }
    }

    /// What the masks' stored values were read by.
    pub fn mask_rule(&self) -> MaskRule {
        match &self.inner.source {
            Source::Folder { reading, .. } => reading.rule(),
            Source::Phantom(_) => MaskRule::OF_LEVELS,
        }
    }

    /// What speaks against the dataset as it was registered.
    pub fn concerns(&self) -> &[Concern] {
        self.registration().map_or(&[], Registration::concerns)
    }

    /// How stored image values become levels of 8 bits.
    pub fn image_rule(&self) -> ImageRule {
        match &self.inner.source {
            Source::Folder { manifest, .. } => manifest.image,
            Source::Phantom(_) => ImageRule::default(),
        }
    }

    /// The registration behind a dataset of files; `None` for phantoms.
    pub fn registration(&self) -> Option<&Registration> {
        match &self.inner.source {
            Source::Folder { registration, .. } => Some(registration),
            Source::Phantom(_) => None,
        }
    }

    /// [`Registry::check`] of the registration behind it; phantoms never change.
    pub fn check(&self, registry: &Registry) -> Result<Vec<Problem>, DataError> {
        self.registration().map_or_else(|| Ok(Vec::new()), |registration| registry.check(registration))
    }

    /// Reads (or draws) one image with its mask. The bytes of files are hashed
    /// as they are read: content that is not the registered one is an error.
    pub fn load(&self, id: &str) -> Result<Sample, DataError> {
        let unknown = || self.unknown(id);
        match &self.inner.source {
            Source::Phantom(phantom) => {
                let index = self.inner.ids.binary_search_by(|known| known.as_str().cmp(id));
                Ok(phantom.draw(index.map_err(|_| unknown())?))
            }
            Source::Folder { manifest, registration, places, reading } => {
                let entry = &registration.entries[*places.get(id).ok_or_else(unknown)?];
                let read = |file: &FileEntry| self.read(&registration.root, &file.path, &file.blake3);
                let image = read(&entry.image)?;
                let masks = entry.masks().map(read).collect::<Result<Vec<_>, _>>()?;
                Sample::decode(&image, &masks, manifest.image, reading)?.ok_or_else(unknown)
            }
        }
    }

    /// The same dataset, its images served from a pack where that holds them.
    #[must_use]
    pub(super) fn with_pack(&self, pack: Pack) -> Self {
        Self { inner: Arc::clone(&self.inner), pack: Some(Arc::new(pack)) }
    }

    /// The pack that images are served from.
    pub fn pack(&self) -> Option<&Pack> {
        self.pack.as_deref()
    }

    /// Shows one image with its mask in a form: from the pack, or loaded and
    /// resized. What is seen is the same bytes either way.
    ///
    /// # Errors
    /// As [`Dataset::load`].
    pub fn look<T>(&self, id: &str, form: Form, see: impl FnOnce(Picture<'_>) -> T) -> Result<T, DataError> {
        if let Some(pack) = &self.pack
            && (pack.form() == form || pack.form() == Form::Stored)
            && let Some(picture) = pack.get(id)
        {
            return Ok(prepare::show(picture, pack.form(), form, see));
        }
        Ok(prepare::show(self.load(id)?.picture(), Form::Stored, form, see))
    }

    /// One image at the network's size.
    ///
    /// # Errors
    /// As [`Dataset::load`].
    pub fn resized(&self, id: &str, image: &Image) -> Result<Resized, DataError> {
        self.look(id, Form::resized(image), |picture| Resized {
            size: image.size,
            rgb: picture.rgb.to_vec(),
            mask: picture.mask.to_vec(),
        })
    }

    /// Width and height of one image as it is shown, pixels; decodes no pixel.
    pub(super) fn dimensions(&self, id: &str) -> Result<(u32, u32), DataError> {
        match &self.inner.source {
            Source::Phantom(phantom) => Ok((phantom.size as u32, phantom.size as u32)),
            Source::Folder { registration, places, .. } => {
                let place = places.get(id).ok_or_else(|| self.unknown(id))?;
                Ok(decode::dimensions(&registration.root.join(&registration.entries[*place].image.path))?)
            }
        }
    }

    fn unknown(&self, id: &str) -> DataError {
        DataError::UnknownImage { dataset: self.inner.id.to_string(), id: id.to_owned() }
    }

    fn read(&self, root: &Path, path: &str, blake3: &str) -> Result<(PathBuf, Vec<u8>), DataError> {
        let path = root.join(path);
        match std::fs::read(&path) {
            Ok(bytes) if blake3::hash(&bytes).to_hex().as_str() == blake3 => Ok((path, bytes)),
            Ok(_) => Err(DataError::Altered { name: self.inner.id.name.clone(), path }),
            Err(source) => Err(DataError::Read { path, source }),
        }
    }

    /// What is known of which images belong together.
    pub fn grouping(&self) -> Grouping {
        Grouping::of(self.ids().iter().map(|id| self.group(id)))
    }

    /// Images of each part according to the paper; phantoms are divided 80:10:10.
    fn proportions(&self) -> Counts {
        match &self.inner.source {
            Source::Phantom(_) => PHANTOM_PARTS,
            Source::Folder { manifest, .. } => manifest.counts(),
        }
    }

    /// Divides the ids. `Manifest` takes the dataset's own folders where it has
    /// them, and else, as `Seeded` always, a shuffle with the counts of the
    /// paper, in proportion where images are missing. Datasets to which the
    /// paper gives no validation part get none, whatever the source, but for
    /// files and official splits that have one. For the other sources see
    /// [`dygl_pixels::split`].
    ///
    /// # Errors
    /// The dataset cannot be divided so; the text names the remedy.
    pub fn split(&self, split: &Split) -> Result<Partition, DataError> {
        let (name, ids, counts) = (self.inner.id.name.as_str(), self.ids(), self.proportions());
        let has_validation = counts.validation > 0;
        match split.source {
            SplitSource::Manifest if self.lies_in_parts() => self.official(),
            SplitSource::Manifest | SplitSource::Seeded => Ok(split::seeded(name, ids, counts, split.seed)?),
            SplitSource::Official => self.official(),
            SplitSource::ByGroup => Ok(split::by_group(name, self.groups("by-group")?, counts, split.seed)?),
            SplitSource::KFold => {
                Ok(split::k_fold(name, ids, has_validation, split.folds, split.fold, split.seed)?)
            }
            SplitSource::GroupedKFold => {
                let groups = self.groups("grouped-k-fold")?;
                Ok(split::grouped_k_fold(name, groups, has_validation, split.folds, split.fold, split.seed)?)
            }
            SplitSource::File if split.file.is_empty() => {
                Err(SplitError::NoFile { dataset: self.inner.id.to_string() }.into())
            }
            SplitSource::File => Ok(split_file::read(&project::reach(&split.file), name, ids)?),
        }
    }

    fn lies_in_parts(&self) -> bool {
        match &self.inner.source {
            Source::Folder { manifest, .. } => manifest.split == SplitKind::Folders,
            Source::Phantom(_) => false,
        }
    }

    fn groups(&self, wanted: &'static str) -> Result<Vec<Vec<String>>, SplitError> {
        let grouping = self.grouping();
        let dataset = || self.inner.id.name.clone();
        let rule = match &self.inner.source {
            Source::Folder { manifest, .. } => manifest.group.as_ref(),
            Source::Phantom(_) => None,
        };
        if let Some(doubt) =
            rule.and_then(|rule| rule.doubt(self.ids().iter().map(|id| (id.as_str(), self.group(id)))))
        {
            return Err(SplitError::DoubtfulGroups { dataset: dataset(), wanted, doubt });
        }
        if grouping.groups == 0 {
            let have = ids_where(|manifest| manifest.group.is_some());
            return Err(SplitError::NoGroups {
                dataset: dataset(),
                wanted,
                remedy: self.remedy_for_groups(),
                have,
            });
        }
        Ok(split::grouped(self.ids(), |id| self.group(id)))
    }

    /// What the owner of a dataset writes so that its groups are known.
    fn remedy_for_groups(&self) -> Option<String> {
        let is_own = matches!(Manifest::find(&self.inner.id.name), Ok(None)) && self.registration().is_some();
        is_own.then(|| {
            format!(
                "write group = {{ kind = \"start\", before = \"_\" }} or another rule into its manifest \
                 (`dygl dataset template` shows all) and register it anew: dygl dataset add {} PATH \
                 --manifest FILE",
                self.inner.id.name
            )
        })
    }

    /// The split that the dataset's authors made.
    fn official(&self) -> Result<Partition, DataError> {
        let dataset = || self.inner.id.name.clone();
        let mut parts: [Vec<String>; 3] = Default::default();
        let mut without = Vec::new();
        for id in self.ids() {
            match self.official_part(id) {
                Some(Part::Train) => parts[0].push(id.clone()),
                Some(Part::Validation) => parts[1].push(id.clone()),
                Some(Part::Test) => parts[2].push(id.clone()),
                None => without.push(id),
            }
        }
        if without.len() == self.images() {
            let have = ids_where(|manifest| manifest.parts.is_some());
            return Err(SplitError::NoOfficial { dataset: dataset(), have }.into());
        }
        if let Some(first) = without.first() {
            let first = (*first).clone();
            return Err(
                SplitError::PartlyOfficial { dataset: dataset(), without: without.len(), first }.into()
            );
        }
        let [train, validation, test] = parts;
        if train.is_empty() || test.is_empty() {
            return Err(PixelError::TooFew {
                dataset: dataset(),
                images: self.images(),
                needed: "its own split: the folders train and test must both hold images".to_owned(),
            }
            .into());
        }
        Ok(Partition::new(train, validation, test))
    }
}

/// Between which greys the masks of a registration lie.
fn scale(manifest: &Manifest, registration: &Registration, registry: &Registry) -> Result<Scale, DataError> {
    let facts = registration.facts.as_ref().ok_or_else(|| DataError::Registration {
        name: manifest.id.clone(),
        path: registry.path(&manifest.id),
        message: "an earlier version wrote it, without the values of the masks".to_owned(),
    })?;
    Ok(facts.masks.scale)
}

/// Ids of the datasets whose manifests satisfy a condition, for messages.
fn ids_where(condition: impl Fn(&Manifest) -> bool) -> Vec<String> {
    let manifests = Manifest::all().unwrap_or_default().into_iter();
    manifests.filter(|manifest| condition(manifest)).map(|manifest| manifest.id.clone()).collect()
}

/// One line of `dygl dataset list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogueEntry {
    /// The name that commands take.
    pub id: String,
    /// One line for people.
    pub title: String,
    /// Way of imaging, for people.
    pub modality: String,
    /// Images of the whole dataset; for phantoms the default count.
    pub images: usize,
    /// Terms of use, in words.
    pub terms: String,
    /// Whether the terms allow showing its images to others.
    pub redistributable: bool,
    /// Where to get it; empty for phantoms.
    pub page: String,
    /// Drawn on demand and always there; else files that the user registers.
    pub is_phantom: bool,
}

impl CatalogueEntry {
    fn of(manifest: &Manifest) -> Self {
        Self {
            id: manifest.id.clone(),
            title: manifest.title.clone(),
            modality: manifest.modality.clone(),
            images: manifest.images,
            terms: manifest.terms.clone(),
            redistributable: manifest.redistributable,
            page: manifest.page.clone(),
            is_phantom: false,
        }
    }
}

/// The same with the user's own datasets at the end.
pub fn catalogue_in(registry: &Registry) -> Vec<CatalogueEntry> {
    let mut entries = catalogue();
    for id in registry.own_ids() {
        if let (Ok(Some(manifest)), Ok(Some(registration))) = (registry.manifest(&id), registry.get(&id)) {
            let images = registration.expected;
            entries.push(CatalogueEntry { images, ..CatalogueEntry::of(&manifest) });
        }
    }
    entries
}

/// Every dataset that the program knows: folders first, then phantoms.
/// (Manifests are compiled in and tested; a broken one would be left out.)
pub fn catalogue() -> Vec<CatalogueEntry> {
    let folders = Manifest::all().unwrap_or_default().into_iter().map(CatalogueEntry::of);
    let phantoms = Family::ALL.into_iter().filter_map(|family| {
        let phantom = Phantom::parse(&Named::plain(family.id()))?.ok()?;
        Some(CatalogueEntry {
            id: family.id().to_owned(),
            title: family.title().to_owned(),
            modality: family.modality().to_owned(),
            images: phantom.count,
            terms: "none: drawn by this program".to_owned(),
            redistributable: true,
            page: String::new(),
            is_phantom: true,
        })
    });
    folders.chain(phantoms).collect()
}
