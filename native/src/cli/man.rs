//! `chanwire man`: writes the manual pages, from the command line's own help and the table of keys.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::{
    Man as Page,
    roff::{Inline, Roff, bold, italic, roman},
};

use super::{Cli, Failure, Outcome};
use crate::config::{Fallback, Key, REPEATED, TABLE};

/// Write the manual pages into a directory: chanwire(1), one for each command, and chanwire.toml(5)
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The directory, which is created
    directory: PathBuf,
}

impl Man {
    pub(super) fn run(&self) -> Result<Outcome, Failure> {
        let cannot = |path: &Path| {
            let path = path.display().to_string();
            move |error: io::Error| Failure::from(format!("cannot write {path}: {error}"))
        };
        fs::create_dir_all(&self.directory).map_err(cannot(&self.directory))?;
        for (name, text) in pages().map_err(|error| error.to_string())? {
            let path = self.directory.join(name);
            fs::write(&path, text).map_err(cannot(&path))?;
        }
        Ok(Outcome::Done)
    }
}

/// Returns the name and the text of each page.
fn pages() -> io::Result<Vec<(String, String)>> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    command_pages(&command, &mut pages)?;
    pages.push(("chanwire.toml.5".into(), configuration_page()));
    Ok(pages)
}

fn command_pages(command: &Command, pages: &mut Vec<(String, String)>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    pages.push((format!("{name}.1"), command_page(command)?));
    let visible = command.get_subcommands().filter(|command| !command.is_hide_set());
    visible.into_iter().try_for_each(|command| command_pages(command, pages))
}

fn command_page(command: &Command) -> io::Result<String> {
    let page = Page::new(command.clone()).manual("Chanwire");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        page.render_options_section(&mut text)?;
    }
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    let mut roff = Roff::default();
    if let Some(after) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        // It is formatted already.
        roff.control("SH", ["NOTES"]).control("nf", []);
        for line in after.to_string().lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text(see_also(command.get_display_name().is_some_and(|name| name != "chanwire")));
    roff.to_writer(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn see_also(is_subcommand: bool) -> Vec<Inline> {
    let mut names = if is_subcommand { vec![bold("chanwire"), roman("(1), ")] } else { Vec::new() };
    names.extend([bold("chanwire.toml"), roman("(5)")]);
    names
}

/// Returns the page of the configuration file, with every key.
fn configuration_page() -> String {
    let mut roff = Roff::default();
    let source = concat!("chanwire ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["chanwire.toml", "5", "", source, "Chanwire"]);
    roff.control("SH", ["NAME"]).text([roman("chanwire.toml - configuration of chanwire serve")]);
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in [
        "The file is TOML. `chanwire serve --config FILE` reads it, or the variable CHANWIRE_CONFIG names it. Each key, \
         but for the further ones of a listener, is also \
         an option of `chanwire serve` and an environment variable; an option overrides the variable, which overrides the \
         file.",
        "`chanwire config check FILE` reports every fault of a file, `chanwire config show` prints the values in force with \
         their origins, and `chanwire config explain KEY` describes a key.",
        "SIGHUP makes a running server read the file again. If there is any fault, it is logged, and every setting stays \
         as it is.",
    ] {
        roff.control("PP", []).text([roman(paragraph)]);
    }
    for section in TABLE.sections() {
        let is_repeated = REPEATED.contains(&section);
        let title = if is_repeated { format!("[[{section}]]") } else { format!("[{section}]") };
        roff.control("SH", [title.as_str()]);
        if is_repeated {
            roff.text([roman("A section for each; it may be repeated.")]);
        }
        TABLE.keys.iter().filter(|key| key.section() == section).for_each(|key| describe(&mut roff, key));
    }
    roff.control("SH", ["SEE ALSO"]).text([bold("chanwire"), roman("(1), "), bold("chanwire-serve"), roman("(1)")]);
    roff.to_roff()
}

fn describe(roff: &mut Roff, key: &Key) {
    roff.control("TP", []).text([bold(key.name())]).text([roman(format!("{}.", key.help))]);
    let default = match key.default {
        Fallback::Value(value) => value,
        Fallback::Empty => "none",
        Fallback::Found(words) => words,
    };
    let expected = format!("{}{}", if key.is_list { "a list; each " } else { "" }, key.kind.expected());
    let mut rows = vec![("Value", expected), ("Default", default.to_owned())];
    if !key.only_in_file {
        rows.push(("Option", format!("--{} {}", key.flag, key.value_name)));
        rows.push(("Variable", key.variable()));
    }
    rows.push(("A change", key.applied.to_string()));
    for (name, words) in rows {
        roff.control("br", []).text([italic(name), roman(format!(": {words}"))]);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command as Process;

    use super::*;

    #[test]
    fn each_command_and_each_key_has_its_place() {
        let pages = pages().unwrap();
        let text = |name: &str| {
            let page = pages.iter().find(|(page, _)| page == name).map(|(_, text)| text.replace('\\', ""));
            page.unwrap_or_else(|| {
                panic!("no page {name}: {:?}", pages.iter().map(|(name, _)| name).collect::<Vec<_>>())
            })
        };
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let page = text(&format!("chanwire-{}.1", command.get_name()));
            for long in command.get_arguments().filter(|it| !it.is_hide_set()).filter_map(|it| it.get_long()) {
                assert!(page.contains(&format!("--{long}")), "--{long} in {page}");
            }
            assert!(text("chanwire.1").contains(&format!("chanwire-{}(1)", command.get_name())));
        }
        let configuration = text("chanwire.toml.5");
        for key in TABLE.keys {
            for words in [key.name(), key.help] {
                assert!(configuration.contains(words), "{words} of {}", key.path);
            }
            for words in [key.variable(), format!("--{} {}", key.flag, key.value_name)] {
                assert_ne!(configuration.contains(&words), key.only_in_file, "{words} of {}", key.path);
            }
        }
        assert!(text("chanwire.1").contains("3  the server refused it"), "{}", text("chanwire.1"));
        // Hidden ones are for the build.
        assert!(pages.iter().all(|(name, _)| name != "chanwire-man.1"));
    }

    #[test]
    fn man_shows_each_page_without_a_warning() {
        let directory = tempfile::tempdir().unwrap();
        Man { directory: directory.path().join("man") }.run().unwrap();
        for (name, _) in pages().unwrap() {
            let path = directory.path().join("man").join(&name);
            let shown =
                Process::new("man").args(["--warnings", "-P", "cat", "-l"]).arg(path).env("LC_ALL", "C.UTF-8").output();
            // Not every system has man-db.
            let Ok(shown) = shown else { return };
            let (out, error) = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
            assert!(shown.status.success() && error.is_empty() && out.contains("NAME"), "{name}: {error}{out}");
        }
    }
}
