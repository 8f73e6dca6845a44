//! Types of values, and their way to f32.

/// Type of a tensor's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE binary64.
    F64,
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// bfloat16: the upper half of an IEEE binary32.
    Bf16,
    /// Signed, 8 bytes.
    I64,
    /// Signed, 4 bytes.
    I32,
    /// Signed, 2 bytes.
    I16,
    /// Signed, 1 byte.
    I8,
    /// Unsigned, 1 byte.
    U8,
    /// True or false, 1 byte.
    Bool,
    /// One that no network here uses: its word and bytes. Values of it are not
    /// read; a tensor of it lies in a file without harm.
    Unread(&'static str, u8),
}

/// Types that are known by their size alone: (word, class or type in PyTorch,
/// bytes). The word is safetensors' where it has one.
const UNREAD: [(&str, &str, u8); 13] = [
    ("U16", "uint16", 2),
    ("U32", "uint32", 4),
    ("U64", "uint64", 8),
    ("F8_E4M3", "float8_e4m3fn", 1),
    ("F8_E5M2", "float8_e5m2", 1),
    ("F8_E8M0", "float8_e8m0fnu", 1),
    ("C64", "ComplexFloatStorage", 8),
    ("C128", "ComplexDoubleStorage", 16),
    ("quantized I8", "QInt8Storage", 1),
    ("quantized U8", "QUInt8Storage", 1),
    ("quantized I32", "QInt32Storage", 4),
    ("quantized U4", "QUInt4x2Storage", 1),
    ("bytes", "UntypedStorage", 1),
];

impl Dtype {
    /// Bytes of a value.
    pub fn size(self) -> u64 {
        match self {
            Dtype::Unread(_, bytes) => bytes.into(),
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 => 2,
            Dtype::I8 | Dtype::U8 | Dtype::Bool => 1,
        }
    }

    /// Whether values are fractions, as those of weights are.
    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::Bf16)
    }

    /// As safetensors spells it.
    pub fn word(self) -> &'static str {
        match self {
            Dtype::F64 => "F64",
            Dtype::F32 => "F32",
            Dtype::F16 => "F16",
            Dtype::Bf16 => "BF16",
            Dtype::I64 => "I64",
            Dtype::I32 => "I32",
            Dtype::I16 => "I16",
            Dtype::I8 => "I8",
            Dtype::U8 => "U8",
            Dtype::Bool => "BOOL",
            Dtype::Unread(word, _) => word,
        }
    }

    /// Whether values of it can be had.
    pub fn is_read(self) -> bool {
        !matches!(self, Dtype::Unread(..))
    }

    const ALL: [Dtype; 10] = [
        Dtype::F64,
        Dtype::F32,
        Dtype::F16,
        Dtype::Bf16,
        Dtype::I64,
        Dtype::I32,
        Dtype::I16,
        Dtype::I8,
        Dtype::U8,
        Dtype::Bool,
    ];

    pub(super) fn of_safetensors(word: &str) -> Option<Self> {
        let unread = || UNREAD.into_iter().find(|(known, ..)| *known == word);
        Self::ALL
            .into_iter()
            .find(|dtype| dtype.word() == word)
            .or_else(|| unread().map(|(word, _, bytes)| Dtype::Unread(word, bytes)))
    }

    /// By the class that PyTorch stores it in.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "DoubleStorage" => Dtype::F64,
            "FloatStorage" => Dtype::F32,
            "HalfStorage" => Dtype::F16,
            "BFloat16Storage" => Dtype::Bf16,
            "LongStorage" => Dtype::I64,
            "IntStorage" => Dtype::I32,
            "ShortStorage" => Dtype::I16,
            "CharStorage" => Dtype::I8,
            "ByteStorage" => Dtype::U8,
            "BoolStorage" => Dtype::Bool,
            other => {
                let (word, _, bytes) = UNREAD.into_iter().find(|(_, class, _)| *class == other)?;
                Dtype::Unread(word, bytes)
            }
        })
    }

    /// The value at an index of little-endian bytes, rounded to the nearest
    /// f32; 0 beyond the end, NaN of a type that is not read.
    pub(super) fn get(self, bytes: &[u8], index: usize) -> f32 {
        fn at<const N: usize>(bytes: &[u8], index: usize) -> [u8; N] {
            bytes.get(index * N..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
        }
        match self {
            Dtype::F64 => f64::from_le_bytes(at(bytes, index)) as f32,
            Dtype::F32 => f32::from_le_bytes(at(bytes, index)),
            Dtype::F16 => half(u16::from_le_bytes(at(bytes, index))),
            Dtype::Bf16 => f32::from_bits(u32::from(u16::from_le_bytes(at(bytes, index))) << 16),
            Dtype::I64 => i64::from_le_bytes(at(bytes, index)) as f32,
            Dtype::I32 => i32::from_le_bytes(at(bytes, index)) as f32,
            Dtype::I16 => i16::from_le_bytes(at(bytes, index)).into(),
            Dtype::I8 => i8::from_le_bytes(at(bytes, index)).into(),
            Dtype::U8 | Dtype::Bool => u8::from_le_bytes(at(bytes, index)).into(),
            Dtype::Unread(..) => f32::NAN,
        }
    }
}

/// IEEE binary16, exactly.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_exact() {
        let known = [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ];
        for (bits, value) in known {
            assert_eq!(half(bits).to_bits(), value.to_bits(), "{bits:04x}");
        }
        assert!(half(0x7c01).is_nan() && half(0xffff).is_nan());
    }

    #[test]
    fn every_type_is_read_little_endian() {
        assert_eq!(Dtype::F64.get(&0.1f64.to_le_bytes(), 0), 0.1f32);
        assert_eq!(Dtype::Bf16.get(&[0, 0, 0xc0, 0xbf], 1), -1.5);
        assert_eq!(Dtype::I64.get(&(-3i64).to_le_bytes(), 0), -3.0);
        assert_eq!(Dtype::I16.get(&[0, 0, 0xff, 0xff], 1), -1.0);
        assert_eq!((Dtype::I8.get(&[0x80], 0), Dtype::U8.get(&[0x80], 0)), (-128.0, 128.0));
        assert_eq!(Dtype::F32.get(&[1, 2], 0), 0.0);
    }

    #[test]
    fn types_of_no_network_are_known_by_their_size() {
        let complex = Dtype::of_storage("ComplexDoubleStorage").expect("known");
        assert_eq!((complex.word(), complex.size(), complex.is_read()), ("C128", 16, false));
        assert_eq!(Dtype::of_safetensors("F8_E5M2").map(Dtype::size), Some(1));
        assert!(!complex.is_float() && Dtype::of_safetensors("X9").is_none());
    }
}
