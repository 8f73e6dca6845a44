//! What a file is that no decoder reads, and what to do with it.

use super::FORMATS;

/// Where a signature stands, its bytes, what the file is, and the remedy.
const KNOWN: [(usize, &[u8], &str, &str); 32] = [
    (128, b"DICM", "a DICOM file", TO_PNG),
    (344, b"n+1\0", "a NIfTI volume", SLICES),
    (344, b"ni1\0", "a NIfTI volume", SLICES),
    (0, b"NRRD", "an NRRD volume", SLICES),
    (0, b"ObjectType", "a MetaImage volume", SLICES),
    (0, b"\x93NUMPY", "a NumPy array", TO_PNG),
    (0, b"MATLAB", "a MATLAB file", TO_PNG),
    (0, b"\x89HDF", "an HDF5 file", TO_PNG),
    (0, b"SIMPLE  =", "a FITS file", TO_PNG),
    (0, b"\0\0\0\x0CjP  ", "a JPEG 2000 picture", TO_PNG),
    (0, b"\xFF\x4F\xFF\x51", "a JPEG 2000 picture", TO_PNG),
    (0, b"\0\0\0\x0CJXL ", "a JPEG XL picture", TO_PNG),
    (0, b"\xFF\x0A", "a JPEG XL picture", TO_PNG),
    (4, b"ftypavif", "an AVIF picture", TO_PNG),
    (4, b"ftyphei", "a HEIC picture", TO_PNG),
    (4, b"ftypmif1", "a HEIF picture", TO_PNG),
    (4, b"ftyp", "a film", "save the frames that are meant as PNG"),
    (0, b"8BPS", "a Photoshop file", TO_PNG),
    (0, b"gimp xcf", "a GIMP file", TO_PNG),
    (0, b"%PDF", "a PDF document", TO_PNG),
    (0, b"v/1\x01", "an OpenEXR picture", TO_PNG),
    (0, b"#?RADIANCE", "a Radiance picture", TO_PNG),
    (0, b"qoif", "a QOI picture", TO_PNG),
    (0, b"\0\0\x01\0", "an icon", TO_PNG),
    (0, b"<svg", "an SVG drawing", TO_PNG),
    (0, b"<?xml", "an XML document", "give the picture itself"),
    (0, b"<!DOCTYPE", "a web page", FETCH),
    (0, b"<html", "a web page", FETCH),
    (0, b"version https://git-lfs", "a pointer of Git LFS to the picture", "fetch it: git lfs pull"),
    (0, b"PK\x03\x04", "a zip archive", UNPACK),
    (0, b"\x1F\x8B", "a gzip file", UNPACK),
    (0, b"7z\xBC\xAF", "a 7z archive", UNPACK),
];

const TO_PNG: &str = "convert it to PNG";
const SLICES: &str = "save the slices that are meant as PNG";
const FETCH: &str = "the download brought no picture; fetch it again";
const UNPACK: &str = "unpack it";

/// Names what a file is, as far as its first bytes tell, with the remedy.
pub(super) fn told(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return format!("it is empty (0 bytes), and no picture ({FORMATS}); fetch or write it again");
    }
    let found =
        KNOWN.iter().find(|(at, magic, ..)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    if let Some((_, _, kind, remedy)) = found {
        return format!("it is {kind}, which is not read ({FORMATS} are); {remedy}");
    }
    if matches!(bytes, [b'P', b'1'..=b'7', b'\n' | b'\r' | b' ' | b'\t', ..]) {
        return format!("it is a Netpbm picture, which is not read ({FORMATS} are); {TO_PNG}");
    }
    format!("it is no picture of a format that is read ({FORMATS}); {TO_PNG}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_named_with_what_to_do() {
        let dicom = [&[0; 128][..], b"DICM and so on"].concat();
        for (bytes, kind, remedy) in [
            (&dicom[..], "DICOM", "convert it to PNG"),
            (b"P5 4 4 255 ", "Netpbm", "convert it to PNG"),
            (b"\0\0\0\x18ftypheic", "HEIC", "convert it to PNG"),
            (b"\0\0\0\x0CjP  \r\n", "JPEG 2000", "convert it to PNG"),
            (b"<!DOCTYPE html>", "web page", "fetch it again"),
            (b"PK\x03\x04", "zip", "unpack it"),
            (b"", "0 bytes", "again"),
            (b"no image", "no picture of a format that is read (PNG, JPEG,", "convert"),
        ] {
            let told = told(bytes);
            assert!(told.contains(kind) && told.contains(remedy), "{told}");
        }
    }
}
