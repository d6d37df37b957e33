//! The forms of groups of digits in a dump.

/// The notation of a dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::import) enum Form {
    /// Nothing but digits.
    #[default]
    Plain,
    /// Each byte is `0x4c` or `\x4c`.
    Escaped,
    /// A literal of a programming language.
    Literal,
    /// A list of numbers in base 10.
    List,
    /// Lines with offsets, and groups of this number of bytes, the high byte first.
    Offsets(Group),
    /// Lines with offsets, and words, the low byte first.
    Words(Group),
}

/// A group of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::import) struct Group {
    pub(super) base: u32,
    /// The number of bytes that it stands for. In base 16, two digits each.
    pub(super) bytes: usize,
}

impl Form {
    /// Returns its name.
    pub(in crate::import) fn words(self) -> String {
        let base = |base| match base {
            2 => "a dump of bits",
            8 => "an octal dump",
            10 => "a decimal dump",
            _ => "a hex dump",
        };
        match self {
            Self::Plain => "hexadecimal digits".into(),
            Self::Escaped => "escaped bytes".into(),
            Self::Literal => "a literal of bytes".into(),
            Self::List => "a list of numbers".into(),
            Self::Offsets(group) => base(group.base).into(),
            Self::Words(group) => {
                format!("{} of {}-bit words, the low byte first", base(group.base), 8 * group.bytes)
            }
        }
    }

    /// Returns whether the low byte comes first.
    pub(super) const fn is_swapped(self) -> bool {
        matches!(self, Self::Words(_))
    }

    /// Returns the bytes that a group stands for.
    pub(super) fn read(self, digits: &str) -> Option<Vec<u8>> {
        let (Self::Offsets(group) | Self::Words(group)) = self else { return None };
        let mut bytes = group.read(digits)?;
        if self.is_swapped() {
            bytes.reverse();
        }
        Some(bytes)
    }
}

impl Group {
    /// Returns the bytes, the high one first.
    fn read(self, digits: &str) -> Option<Vec<u8>> {
        let Self { base, bytes } = self;
        if base == 16 {
            // The last group of a line may have fewer.
            let mut read = Vec::with_capacity(bytes);
            return super::digits::pairs(digits, &mut read).filter(|()| read.len() <= bytes).map(|()| read);
        }
        let bits = 8 * u32::try_from(bytes).ok()?;
        let value = match digits.strip_prefix('-') {
            // od has its numbers signed as well.
            Some(digits) => {
                let value = i128::from(u64::from_str_radix(digits, base).ok()?);
                (value <= 1 << (bits - 1)).then_some(((1_i128 << bits) - value) & ((1 << bits) - 1))?
            }
            None if digits.starts_with('+') => return None,
            None => i128::from(u64::from_str_radix(digits, base).ok()?),
        };
        let is_full = base != 2 || digits.len() == 8;
        let value = u64::try_from(value).ok().filter(|value| is_full && (bits == 64 || *value < 1 << bits))?;
        value.to_be_bytes().get(8 - bytes..).map(<[u8]>::to_vec)
    }
}
