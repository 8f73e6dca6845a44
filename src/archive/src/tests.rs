//! Archives made here, good and hostile, and a rar written by hand.

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use ::zip::CompressionMethod;
use ::zip::write::{SimpleFileOptions, ZipWriter};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// A folder to work in.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().expect("folder") };
        fs::create_dir(bench.path("scratch")).expect("made");
        fs::create_dir(bench.path("out")).expect("made");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, bytes: &[u8]) -> PathBuf {
        let path = self.path("archive");
        fs::write(&path, bytes).expect("written");
        path
    }

    fn open_with(&self, bytes: &[u8], limits: Limits) -> Result<Archive, ArchiveError> {
        Archive::open(&self.put(bytes), &self.path("scratch"), limits, quiet())
    }

    fn open(&self, bytes: &[u8]) -> Result<Archive, ArchiveError> {
        self.open_with(bytes, Limits::with_total(1 << 30))
    }

    /// The faults of a refused archive.
    fn faults(&self, bytes: &[u8]) -> Vec<(String, Fault)> {
        match self.open(bytes) {
            Err(ArchiveError::Refused { faults, archive }) => {
                assert!(archive.ends_with("archive"));
                faults
            }
            other => panic!("{other:?}"),
        }
    }

    fn take(&self, archive: &Archive, names: &[&str]) -> Result<(), ArchiveError> {
        let wanted = names.iter().map(|name| ((*name).to_owned(), format!("in/{name}"))).collect();
        archive.extract(&wanted, &self.path("out"), quiet())
    }
}

fn quiet() -> Watch<'static> {
    static STOP: AtomicBool = AtomicBool::new(false);
    Watch { told: &|_| {}, stop: &STOP }
}

fn plain() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Deflated)
}

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, plain()).expect("started");
        writer.write_all(content).expect("written");
    }
    writer.finish().expect("finished").into_inner()
}

/// A tar of headers made by hand, so that nothing is put right on the way.
fn tar_of(files: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, kind, content) in files {
        let mut header = ::tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(::tar::EntryType::new(*kind));
        if *kind == b'2' {
            header.set_link_name("/etc/passwd").expect("a link");
        }
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("packed");
    encoder.finish().expect("packed")
}

/// A stored rar (version 4) with one file, after the published description of
/// the format: marker, archive header, file header, content, end.
pub(crate) fn rar_of(name: &str, content: &[u8]) -> Vec<u8> {
    fn block(kind: u8, flags: u16, fields: &[u8]) -> Vec<u8> {
        let size = u16::try_from(7 + fields.len()).expect("short");
        let mut rest = vec![kind];
        rest.extend(flags.to_le_bytes());
        rest.extend(size.to_le_bytes());
        rest.extend_from_slice(fields);
        let mut crc = flate2::Crc::new();
        crc.update(&rest);
        let mut bytes = (crc.sum() as u16).to_le_bytes().to_vec();
        bytes.extend(rest);
        bytes
    }
    let mut bytes = b"Rar!\x1a\x07\x00".to_vec();
    bytes.extend(block(0x73, 0, &[0; 6]));
    let size = u32::try_from(content.len()).expect("short");
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let mut fields = Vec::new();
    fields.extend(size.to_le_bytes());
    fields.extend(size.to_le_bytes());
    fields.push(3); // made on Unix
    fields.extend(crc.sum().to_le_bytes());
    fields.extend(0x5a21_0000u32.to_le_bytes()); // a date
    fields.extend([20, 0x30]); // version 2.0, stored
    fields.extend(u16::try_from(name.len()).expect("short").to_le_bytes());
    fields.extend(0o100_644u32.to_le_bytes());
    fields.extend(name.as_bytes());
    bytes.extend(block(0x74, 0x8000, &fields));
    bytes.extend_from_slice(content);
    bytes.extend(block(0x7b, 0x4000, &[]));
    bytes
}

#[test]
fn zip_tar_and_gzipped_tar_give_the_same_files() {
    let tar = tar_of(&[(b"./", b'5', b""), (b"./a/1.txt", b'0', b"one"), (b"./b.txt", b'0', b"two")]);
    for bytes in [zip_of(&[("a/1.txt", b"one"), ("b.txt", b"two")]), gzipped(&tar), tar] {
        let bench = Bench::new();
        let archive = bench.open(&bytes).expect("sound");
        let members: Vec<_> = archive.members().iter().map(|m| (m.name.as_str(), m.size)).collect();
        assert_eq!(members, [("a/1.txt", 3), ("b.txt", 3)]);
        bench.take(&archive, &["a/1.txt"]).expect("taken");
        assert_eq!(fs::read(bench.path("out/in/a/1.txt")).expect("there"), b"one");
        assert!(!bench.path("out/in/b.txt").exists(), "only what is wanted is written");
    }
}

#[test]
fn names_that_lead_out_are_refused_all_at_once() {
    let names: [(&str, Fault); 4] = [
        ("../evil.png", Fault::Escapes),
        ("a/../../evil.png", Fault::Escapes),
        ("C:\\evil.png", Fault::ForeignPath),
        ("a\\..\\evil.png", Fault::ForeignPath),
    ];
    let files: Vec<(&str, &[u8])> = names.iter().map(|(name, _)| (*name, &b"x"[..])).collect();
    let expected: Vec<_> = names.iter().map(|(name, fault)| ((*name).to_owned(), fault.clone())).collect();
    assert_eq!(Bench::new().faults(&zip_of(&files)), expected);
    let tar: Vec<(&[u8], u8, &[u8])> = names.iter().map(|(n, _)| (n.as_bytes(), b'0', &b"x"[..])).collect();
    assert_eq!(Bench::new().faults(&tar_of(&tar)), expected);
    let absolute = tar_of(&[(b"/etc/x", b'0', b"x")]);
    assert_eq!(Bench::new().faults(&absolute), [("/etc/x".to_owned(), Fault::Escapes)]);
}

/// The zip as a packer of Windows writes it, with backslashes for `/`.
fn of_windows(mut bytes: Vec<u8>) -> Vec<u8> {
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"PK\x01\x02")).collect();
    places.iter().for_each(|at| bytes[at + 5] = 0);
    for at in 0..bytes.len() {
        if bytes[at..].starts_with(b"~") {
            bytes[at] = b'\\';
        }
    }
    bytes
}

#[test]
fn backslashes_of_a_zip_made_on_windows_part_folders() {
    let bench = Bench::new();
    let bytes = of_windows(zip_of(&[("data~images~0.png", b"one"), ("data~masks~0.png", b"two")]));
    let archive = bench.open(&bytes).expect("sound");
    let names: Vec<&str> = archive.members().iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["data/images/0.png", "data/masks/0.png"]);
    bench.take(&archive, &["data/images/0.png"]).expect("taken");
    assert_eq!(fs::read(bench.path("out/in/data/images/0.png")).expect("there"), b"one");
    assert_eq!(archive.read("data/masks/0.png").expect("there"), b"two");
    // They lead out of the folder no more than slashes do, and two spellings are one name.
    let hostile =
        of_windows(zip_of(&[("..~evil.png", b"x"), ("a~..~..~evil.png", b"x"), ("C:~a.png", b"x")]));
    let kinds: Vec<Fault> = Bench::new().faults(&hostile).into_iter().map(|(_, fault)| fault).collect();
    assert_eq!(kinds, [Fault::Escapes, Fault::Escapes, Fault::ForeignPath]);
    let twice = of_windows(zip_of(&[("a~1.png", b"x"), ("a/1.png", b"y")]));
    assert_eq!(Bench::new().faults(&twice), [("a/1.png".to_owned(), Fault::Twice)]);
}

#[test]
fn what_is_not_read_is_named_with_a_remedy() {
    for (bytes, told) in [
        (&b"\xfd7zXZ\0 and so on"[..], "xz"),
        (b"BZh91AY", "bzip2"),
        (b"7z\xbc\xaf\x27\x1c", "7z archive"),
        (b"\x28\xb5\x2f\xfd", "Zstandard"),
        (b"\x89PNG\r\n", "single PNG"),
        (b"", "empty file"),
        (b"words", "neither a folder nor an archive"),
    ] {
        let error = Bench::new().open(bytes).expect_err("refused").to_string();
        assert!(error.contains(told) && error.contains("zip, tar, tar.gz and rar"), "{error}");
        let remedies = ["unpack it yourself and give the folder", "give the folder that", "fetch it again"];
        assert!(remedies.iter().any(|remedy| error.contains(remedy)), "{error}");
    }
}

#[test]
fn links_and_devices_are_refused() {
    let tar =
        tar_of(&[(b"link", b'2', b""), (b"hard", b'1', b""), (b"device", b'3', b""), (b"pipe", b'6', b"")]);
    let faults = Bench::new().faults(&tar);
    let kinds: Vec<&Fault> = faults.iter().map(|(_, fault)| fault).collect();
    assert_eq!(kinds, [&Fault::Link, &Fault::Link, &Fault::Special, &Fault::Special]);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_symlink("link.png", "/etc/passwd", plain()).expect("added");
    let bytes = writer.finish().expect("finished").into_inner();
    assert_eq!(Bench::new().faults(&bytes), [("link.png".to_owned(), Fault::Link)]);
}

#[test]
fn bombs_are_refused_before_the_disk_fills() {
    let zeros = vec![0; 20 << 20];
    let bench = Bench::new();
    let faults = bench.faults(&zip_of(&[("bomb.bmp", &zeros)]));
    assert!(matches!(faults[..], [(_, Fault::Ratio { .. })]), "{faults:?}");
    let bomb = gzipped(&tar_of(&[(b"bomb.bmp", b'0', &zeros)]));
    let error = bench.open(&bomb).expect_err("refused");
    assert!(matches!(error, ArchiveError::Bomb { .. }), "{error}");

    let limits = Limits { file: 10, ..Limits::with_total(1 << 30) };
    let error = bench.open_with(&zip_of(&[("a", b"more than ten")]), limits).expect_err("refused");
    assert!(error.to_string().contains("a: unpacks to 13 bytes, more than the 10 bytes allowed"), "{error}");
    let limits = Limits { members: 1, ..Limits::with_total(1 << 30) };
    let two: &[(&str, &[u8])] = &[("a", b"1"), ("b", b"2")];
    assert!(matches!(bench.open_with(&zip_of(two), limits), Err(ArchiveError::TooMany { limit: 1, .. })));
    let archive = bench.open_with(&zip_of(two), Limits::with_total(1)).expect("sound");
    let error = bench.take(&archive, &["a", "b"]).expect_err("no room");
    assert!(error.to_string().contains("--store"), "{error}");
    assert_eq!(fs::read_dir(bench.path("out")).expect("folder").count(), 0);
}

#[test]
fn encrypted_double_and_foreign_members_are_refused() {
    // The flag of encryption, in the local header and in the directory.
    let mut bytes = zip_of(&[("secret.png", b"x")]);
    bytes[6] |= 1;
    let at = bytes.windows(4).position(|w| w == b"PK\x01\x02").expect("a directory");
    bytes[at + 8] |= 1;
    assert_eq!(Bench::new().faults(&bytes), [("secret.png".to_owned(), Fault::Encrypted)]);

    let replace = |bytes: &mut Vec<u8>, from: &[u8], to: &[u8]| {
        let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
        places.iter().for_each(|at| bytes[*at..*at + to.len()].copy_from_slice(to));
    };
    let mut twice = zip_of(&[("a1.png", b"x"), ("a2.png", b"y")]);
    replace(&mut twice, b"a2.png", b"a1.png");
    let faults = Bench::new().faults(&twice);
    assert!(faults.contains(&("a1.png".to_owned(), Fault::Twice)), "{faults:?}");
    let tar = tar_of(&[(b"a", b'0', b"x"), (b"./a", b'0', b"y")]);
    assert_eq!(Bench::new().faults(&tar), [("a".to_owned(), Fault::Twice)]);

    let mut foreign = zip_of(&[("a1.png", b"x")]);
    replace(&mut foreign, b"a1.png", b"a\xff.png");
    assert!(matches!(Bench::new().faults(&foreign)[..], [(_, Fault::NotUtf8)]));
    assert!(matches!(Bench::new().faults(&tar_of(&[(b"a\xff", b'0', b"x")]))[..], [(_, Fault::NotUtf8)]));
}

#[test]
fn truncated_and_altered_archives_are_damaged_and_never_panic() {
    let mut noise = vec![0; 5000];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let tar = tar_of(&[(b"a.png", b'0', &noise)]);
    let packed = [zip_of(&[("a.png", &noise)]), gzipped(&tar), tar];
    for good in &packed {
        for share in 1..20 {
            let cut = &good[..good.len() * share / 20];
            let bench = Bench::new();
            // A tar may be cut in its zeros at the end without loss.
            if let Ok(archive) = bench.open(cut) {
                bench.take(&archive, &["a.png"]).expect("whole");
                assert_eq!(fs::read(bench.path("out/in/a.png")).expect("there"), noise);
            }
        }
        assert!(matches!(Bench::new().open(&good[..good.len() / 2]), Err(ArchiveError::Damaged { .. })));
    }
    // One altered byte of the packed content: the checksum tells.
    for good in &packed[..2] {
        let mut altered = good.clone();
        altered[2000] ^= 1;
        let bench = Bench::new();
        let taken = bench.open(&altered).and_then(|archive| bench.take(&archive, &["a.png"]));
        assert!(matches!(taken, Err(ArchiveError::Damaged { .. })), "{taken:?}");
    }
    let error = Bench::new().open(b"no archive at all").expect_err("refused");
    assert!(error.to_string().contains("neither a folder nor"), "{error}");
}

#[test]
fn it_stops_when_it_is_told_to() {
    let bench = Bench::new();
    let archive = bench.open(&zip_of(&[("a", b"1")])).expect("sound");
    let stop = AtomicBool::new(true);
    let wanted = BTreeMap::from([("a".to_owned(), "a".to_owned())]);
    let watch = Watch { told: &|_| {}, stop: &stop };
    assert!(matches!(archive.extract(&wanted, &bench.path("out"), watch), Err(ArchiveError::Stopped)));
}

#[test]
fn a_rar_is_unpacked_by_a_program_of_the_machine() {
    let bench = Bench::new();
    match bench.open(&rar_of("a.txt", b"one")) {
        Err(ArchiveError::NoProgram { .. }) => println!("skipped: no program for rar is installed"),
        archive => {
            let archive = archive.expect("sound");
            bench.take(&archive, &["a.txt"]).expect("taken");
            assert_eq!(fs::read(bench.path("out/in/a.txt")).expect("there"), b"one");
        }
    }
}

#[test]
fn what_a_program_left_is_looked_at_too() {
    let bench = Bench::new();
    let folder = bench.path("scratch/unpacked");
    fs::create_dir_all(folder.join("a")).expect("made");
    fs::write(folder.join("a/1.txt"), "one").expect("written");
    let limits = Limits::with_total(1 << 30);
    let path = Path::new("a.rar");
    let members = external::list(path, &folder, &limits).expect("sound");
    assert_eq!(members, [Member { name: "a/1.txt".into(), size: 3 }]);
    std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).expect("made");
    let error = external::list(path, &folder, &limits).expect_err("refused");
    assert!(error.to_string().contains("link: is a link"), "{error}");
    File::create(folder.join("x")).expect("made");
}
