//! Values that were typed into a form, field by field, and the problems in them.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive, str::FromStr};

use crate::{Problem, visible};

/// A form that is being read. An empty field counts as absent.
#[derive(Debug)]
pub(crate) struct Form<'a> {
    typed: &'a BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl<'a> Form<'a> {
    pub(crate) const fn new(typed: &'a BTreeMap<String, String>) -> Self {
        Self { typed, problems: Vec::new() }
    }

    /// Returns the value, or all problems if there are any.
    pub(crate) fn finish<T>(self, read: T) -> Result<T, Vec<Problem>> {
        if self.problems.is_empty() { Ok(read) } else { Err(self.problems) }
    }

    pub(crate) fn text(&self, field: &str) -> Option<&'a str> {
        self.typed.get(field).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    pub(crate) fn wrong(&mut self, field: &str, message: String) {
        self.problems.push(Problem { field: Some(field.into()), message });
    }

    pub(crate) fn choice<T: Copy>(&mut self, field: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(field)?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("'{name}'")).collect();
            self.wrong(field, format!("'{}' must be {}", visible(text), names.join(" or ")));
        }
        found
    }

    pub(crate) fn number<T: FromStr + PartialOrd + Display>(
        &mut self,
        field: &str,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let text = self.text(field)?;
        let number = number(text, &range);
        if number.is_none() {
            let (from, to) = range.into_inner();
            self.wrong(field, format!("'{}' must be an integer from {from} to {to}", visible(text)));
        }
        number
    }
}

/// Digits and nothing else.
pub(crate) fn number<T: FromStr + PartialOrd>(text: &str, range: &RangeInclusive<T>) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && range.contains(number))
}
