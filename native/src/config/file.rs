//! The configuration file: reading it whole, and finding every fault in it at once.

use std::{
    collections::BTreeMap,
    fs::{Metadata, OpenOptions},
    io::{self, Read},
    ops::Range,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    finding::{Finding, Origin, Place},
    keys::{Key, REPEATED, Table},
    suggest,
    toml_text::{TomlText, position},
    value::Value,
};

/// The largest file that is read.
const LARGEST: u64 = 1 << 20;

/// A value of a file.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) key: &'static Key,
    pub(super) value: Value,
    /// The place of the key.
    pub(super) place: Place,
    /// The place of the value, or of each value of a list.
    pub(super) values: Vec<Place>,
}

/// The values of a file that are right, and everything that is not.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) given: Vec<Given>,
    pub(super) findings: Vec<Finding>,
}

/// Reads and checks a file.
pub(super) fn read(table: &Table, path: &Path) -> Contents {
    let file: Arc<Path> = path.into();
    let whole = |message: String| {
        let place = Place { file: file.clone(), line: 1, column: 1 };
        Contents { given: Vec::new(), findings: vec![Finding::of_file(place, message)] }
    };
    match text(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) if text.trim().is_empty() => {
                whole("the file is empty; a file without settings has at least a comment".into())
            }
            Ok(text) => parse(table, &file, &text),
            Err(error) => {
                let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
                let (line, column) = position(&String::from_utf8_lossy(before), before.len());
                let place = Place { file: file.clone(), line, column };
                Contents { given: Vec::new(), findings: vec![Finding::of_file(place, "the file is not UTF-8")] }
            }
        },
        Err(error) => whole(format!("cannot read the configuration: {error}")),
    }
}

/// Reads a file that nobody else may write and that nobody writes meanwhile.
fn text(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let before = file.metadata()?;
    if !before.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if before.mode() & 0o002 != 0 {
        return Err(io::Error::other("everybody may write it; run `chmod o-w` on it"));
    }
    if before.len() > LARGEST {
        return Err(io::Error::other(format!("it has more than {LARGEST} bytes")));
    }
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(LARGEST + 1).read_to_end(&mut bytes)?;
    let changed = |after: &Metadata| {
        let of = |it: &Metadata| (it.len(), it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec());
        of(after) != of(&before) || after.len() != bytes.len() as u64
    };
    if changed(&file.metadata()?) {
        return Err(io::Error::other("it changed while it was read; write another file and rename it"));
    }
    Ok(bytes)
}

/// Finds the values in a text, and every fault.
pub(super) fn parse(table: &Table, file: &Arc<Path>, text: &str) -> Contents {
    let text = TomlText { file, text };
    let mut reader = Reader { table, text, given: BTreeMap::new(), findings: Vec::new() };
    let findings = text.read(|table| {
        reader.table(table, "", "");
        std::mem::take(&mut reader.findings)
    });
    Contents { given: reader.given.into_values().collect(), findings }
}

struct Reader<'a> {
    table: &'a Table,
    text: TomlText<'a>,
    /// By path.
    given: BTreeMap<&'static str, Given>,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        self.text.place(span)
    }

    fn fault(&mut self, span: Range<usize>, key: &str, message: impl Into<String>) {
        let at = Origin::File(self.place(span));
        self.findings.push(Finding::fault(at, key, message));
    }

    /// Reads the keys of a table. `written` is its name in the file, `section` the one that is meant.
    fn table(&mut self, table: &DeTable<'_>, written: &str, section: &str) {
        for (name, value) in table {
            let join = |section: &str| {
                if section.is_empty() { name.get_ref().to_string() } else { format!("{section}.{}", name.get_ref()) }
            };
            let (shown, path) = (join(written), join(section));
            if let Some(key) = self.table.find(&path) {
                self.value(key, name.span(), value, section);
            } else if self.table.sections().contains(&path.as_str()) {
                self.section(value, name.span(), &path, &path);
            } else {
                self.unknown(name.span(), value, &shown, &path);
            }
        }
    }

    /// Reads a section, which is a table, or one of several.
    fn section(&mut self, value: &Spanned<DeValue<'_>>, name: Range<usize>, written: &str, section: &str) {
        match (value.get_ref(), REPEATED.contains(&section)) {
            (DeValue::Table(table), false) => self.table(table, written, section),
            (DeValue::Array(tables), true) => {
                for element in tables.iter() {
                    match element.get_ref() {
                        DeValue::Table(table) => self.element(table, element.span(), written, section),
                        _ => self.fault(element.span(), written, "expected a table"),
                    }
                }
            }
            (DeValue::Table(_), true) => {
                self.fault(name, written, format!("there may be several of them: write [[{section}]]"));
            }
            (_, false) => self.fault(name, written, format!("it is a section: write [{section}]")),
            (_, true) => self.fault(name, written, format!("it is a list of sections: write [[{section}]]")),
        }
    }

    fn element(&mut self, table: &DeTable<'_>, span: Range<usize>, written: &str, section: &str) {
        let before = self.findings.len();
        self.table(table, written, section);
        if self.findings.len() > before {
            // What is missing may be misspelled.
            return;
        }
        let keys = self.table.keys.iter().copied().filter(|key| key.section() == section);
        for key in keys {
            if table.keys().any(|name| name.get_ref() == key.name()) {
                continue;
            }
            if key.only_in_file {
                let place = self.place(span.clone());
                self.add(key, Value::Unset, place.clone(), place);
            } else {
                self.fault(span.clone(), section, format!("it has no {}", key.name()));
            }
        }
    }

    fn value(&mut self, key: &'static Key, name: Range<usize>, value: &Spanned<DeValue<'_>>, section: &str) {
        let is_element = REPEATED.contains(&section);
        // A key with a flag has one value a section, and several flags.
        let takes_list = key.is_list && (key.only_in_file || !is_element);
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::Array(items) if takes_list => items.iter().collect(),
            other if takes_list => {
                let found = other.type_str();
                return self.fault(value.span(), key.path, format!("expected a list, as in [\"…\"], found {found}"));
            }
            _ => vec![value],
        };
        let (mut values, mut places) = (Vec::new(), Vec::new());
        let mut is_right = true;
        for item in items {
            match key.kind.parse_toml(item.get_ref()) {
                Ok(value) => values.push(value),
                Err(message) => {
                    is_right = false;
                    self.fault(item.span(), key.path, message);
                }
            }
            places.push(self.place(item.span()));
        }
        if !is_right {
            return;
        }
        let place = self.place(name);
        let Some(of_key) = (if takes_list { Some(Value::List(values)) } else { values.pop() }) else { return };
        if is_element {
            let at = self.place(value.span());
            self.add(key, of_key, place, at);
        } else {
            self.given.insert(key.path, Given { key, value: of_key, place, values: places });
        }
    }

    /// Adds the value that one of several sections has for a key.
    fn add(&mut self, key: &'static Key, value: Value, place: Place, at: Place) {
        let list = Given { key, value: Value::List(Vec::new()), place, values: Vec::new() };
        let given = self.given.entry(key.path).or_insert(list);
        given.values.push(at);
        if let Value::List(list) = &mut given.value {
            list.push(value);
        }
    }

    /// Reports a key that there is not. Reads on where another section was meant.
    fn unknown(&mut self, name: Range<usize>, value: &Spanned<DeValue<'_>>, shown: &str, path: &str) {
        if let Some(retired) = self.table.retired.iter().find(|retired| retired.path == path) {
            let at = Origin::File(self.place(name.clone()));
            let successor = retired.successor.and_then(|path| self.table.find(path));
            let message = match successor {
                Some(key) => format!("is retired: write {} instead", key.path),
                None => "is retired and has no effect".into(),
            };
            self.findings.push(Finding::fault(at, path, message).warning());
            if let Some(key) = successor
                && !self.given.contains_key(key.path)
            {
                self.value(key, name, value, key.section());
            }
            return;
        }
        let is_table = |value: &Spanned<DeValue<'_>>| matches!(value.get_ref(), DeValue::Table(_));
        let is_section = match value.get_ref() {
            DeValue::Array(elements) => !elements.is_empty() && elements.iter().all(is_table),
            _ => is_table(value) && !path.contains('.'),
        };
        let (message, suggestion) = if is_section {
            ("is no section", suggest::section(self.table, path))
        } else {
            ("is no key", suggest::key(self.table, path))
        };
        let at = Origin::File(self.place(name.clone()));
        self.findings.push(Finding::fault(at, shown, message).suggest(suggestion.clone()));
        if let Some(section) = suggestion.filter(|_| is_section) {
            self.section(value, name, shown, &section);
        }
    }
}
