//! The systemd units that are shipped, read as systemd reads them, as far as they use it: so that tests run the programs
//! with exactly what stands there.

use std::{fs, path::Path};

use anyhow::{Context, ensure};

/// A unit's lines, by name; sections are told apart by nobody here.
#[derive(Debug)]
pub struct Unit(Vec<(String, String)>);

impl Unit {
    /// One of this repository, as `sds-api/systemd/sds-api.service`; the pairs are what specifiers such as `%S` stand for.
    pub fn shipped(file: &str, specifiers: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut text = read(file)?;
        for (specifier, value) in specifiers {
            text = text.replace(specifier, value);
        }
        Ok(Self(pairs(text.lines().filter(|line| !line.starts_with('[')))?))
    }

    /// All values of a name, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The only value of a name.
    pub fn one(&self, name: &str) -> anyhow::Result<&str> {
        let all = self.all(name);
        ensure!(all.len() == 1, "{name} stands there {} times", all.len());
        Ok(all[0])
    }

    /// What `Environment=` sets.
    pub fn environment(&self) -> anyhow::Result<Vec<(String, String)>> {
        pairs(self.all("Environment").into_iter().flat_map(str::split_whitespace))
    }
}

/// What an example of an environment file sets, what is commented out included: so nothing there may be wrong.
pub fn variables(file: &str) -> anyhow::Result<Vec<(String, String)>> {
    let text = read(file)?;
    pairs(text.lines().filter_map(|line| match line.strip_prefix('#') {
        Some(comment) => comment.starts_with(|first: char| first.is_ascii_uppercase()).then_some(comment),
        None => Some(line),
    }))
}

/// The same with other values for some; those have to be there.
pub fn changed(
    mut variables: Vec<(String, String)>,
    changes: &[(&str, &str)],
) -> anyhow::Result<Vec<(String, String)>> {
    for (name, value) in changes {
        let variable = variables.iter_mut().find(|(known, _)| known == name);
        variable.with_context(|| format!("{name} is not there"))?.1 = (*value).to_owned();
    }
    Ok(variables)
}

fn read(file: &str) -> anyhow::Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(file);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn pairs<'a>(lines: impl Iterator<Item = &'a str>) -> anyhow::Result<Vec<(String, String)>> {
    let pair = |line: &str| {
        let (name, value) = line.split_once('=').with_context(|| format!("no pair: {line}"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(pair).collect()
}
