//! The alert rules as they are shipped, and the same in a hurry: a test that waits for `for: 5m` would take five minutes.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Deserialize;

use crate::mesh::{observed::RULES, text};

/// The file.
#[derive(Debug, Deserialize)]
pub struct Rules {
    /// Its groups.
    pub groups: Vec<Group>,
}

/// Rules that are evaluated together.
#[derive(Debug, Deserialize)]
pub struct Group {
    /// For people.
    pub name: String,
    /// In their order.
    pub rules: Vec<Rule>,
}

/// An alert, or a series that is recorded.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The alert's name.
    pub alert: Option<String>,
    /// The series' name.
    pub record: Option<String>,
    /// What it asks for.
    pub expr: String,
    /// How long that must be so.
    #[serde(rename = "for")]
    pub lasts: Option<String>,
    /// Added to the alert.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// For people.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// The shipped ones.
pub fn shipped() -> anyhow::Result<Rules> {
    serde_saphyr::from_str(&text(RULES)?).context(RULES)
}

impl Rules {
    /// Names and rules of the alerts.
    pub fn alerts(&self) -> impl Iterator<Item = (&str, &Rule)> {
        let rules = self.groups.iter().flat_map(|group| &group.rules);
        rules.filter_map(|rule| Some((rule.alert.as_deref()?, rule)))
    }

    /// Names and rules of what is recorded.
    pub fn records(&self) -> impl Iterator<Item = (&str, &Rule)> {
        let rules = self.groups.iter().flat_map(|group| &group.rules);
        rules.filter_map(|rule| Some((rule.record.as_deref()?, rule)))
    }
}

/// The text of rules with every duration divided by this number: `for: 5m`, windows such as `[5m]`, offsets, and ages, `time() - x > 600`.
/// What is no age stays: a certificate's last fortnight, a count, a share.
pub fn hurried(text: &str, by: u32) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        match line.trim_start().strip_prefix("for: ").and_then(millis) {
            Some(lasts) => out += &format!("{indent}for: {}ms", lasts / u64::from(by)),
            None => out += &ages(&offsets(&windows(line, by), by), by),
        }
        out.push('\n');
    }
    out
}

fn windows(line: &str, by: u32) -> String {
    let (mut out, mut rest) = (String::new(), line);
    while let Some((before, after)) = rest.split_once('[') {
        let window = after.split_once(']').and_then(|(window, after)| Some((millis(window)?, after)));
        out += before;
        rest = match window {
            Some((window, after)) => {
                out += &format!("[{}ms]", window / u64::from(by));
                after
            }
            None => {
                out.push('[');
                after
            }
        };
    }
    out + rest
}

fn offsets(line: &str, by: u32) -> String {
    let Some((before, after)) = line.split_once(" offset ") else { return line.to_owned() };
    let end = after.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(after.len());
    match millis(&after[..end]) {
        Some(back) => format!("{before} offset {}ms{}", back / u64::from(by), &after[end..]),
        None => line.to_owned(),
    }
}

fn ages(line: &str, by: u32) -> String {
    let Some((before, after)) = line.split_once("time() - ") else { return line.to_owned() };
    let Some((series, bound)) = after.split_once(" > ") else { return line.to_owned() };
    let digits = bound.find(|c: char| !c.is_ascii_digit()).unwrap_or(bound.len());
    // Between the series and its bound stands nothing else, or it is no age.
    match (bound[..digits].parse::<f64>(), series.contains(' ')) {
        (Ok(age), false) => format!("{before}time() - {series} > {}{}", age / f64::from(by), &bound[digits..]),
        _ => line.to_owned(),
    }
}

/// A duration as Prometheus writes it, of one unit.
fn millis(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let unit = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(text[..digits].parse::<u64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_shrink_and_nothing_else_does() {
        for (line, wanted) in [
            ("    for: 5m", "    for: 15000ms"),
            (
                "expr: sum(rate(a[5m])) / sum(rate(b[1h])) > 0.1",
                "expr: sum(rate(a[15000ms])) / sum(rate(b[180000ms])) > 0.1",
            ),
            ("expr: (time() - a > 60) and on (i) (b == 1)", "expr: (time() - a > 3) and on (i) (b == 1)"),
            ("expr: (a unless a offset 10m) > 5", "expr: (a unless a offset 30000ms) > 5"),
            ("summary: an offset of 5m", "summary: an offset of 5m"),
            (r#"expr: (time() - a{b="c"} > 30)"#, r#"expr: (time() - a{b="c"} > 1.5)"#),
            ("expr: a - time() < 14 * 86400", "expr: a - time() < 14 * 86400"),
            ("expr: b < time() - 7 and a > 60", "expr: b < time() - 7 and a > 60"),
            ("summary: waits for: 5m [see] > 600 [5m", "summary: waits for: 5m [see] > 600 [5m"),
        ] {
            assert_eq!(hurried(line, 20), format!("{wanted}\n"));
        }
    }
}
