//! What a PromQL expression asks for, read from its words: the metrics with the labels that are matched, and the labels by
//! which is grouped. No parser: promtool and Prometheus judge whether an expression is one; this only finds names, so that
//! a test without Prometheus sees a metric or a label that nobody has.

use std::collections::BTreeSet;

use anyhow::{Context, bail};

/// Words that stand where a metric could, and are none.
const WORDS: [&str; 12] =
    ["and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right", "inf"];

/// A metric and the labels that it is chosen by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// Its name.
    pub metric: String,
    /// Names of labels.
    pub labels: BTreeSet<String>,
}

/// All that one asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Metrics.
    pub selectors: Vec<Selector>,
    /// Labels of `by`, `on` and their like.
    pub grouped: BTreeSet<String>,
    /// Labels that the expression makes itself.
    pub made: BTreeSet<String>,
}

/// What this expression asks for.
pub fn asked(expression: &str) -> anyhow::Result<Asked> {
    let mut asked = Asked::default();
    let mut rest = expression;
    while let Some(next) = rest.chars().next() {
        if next == '"' {
            rest = string(rest)?.1;
        } else if next == '[' {
            rest = rest.split_once(']').with_context(|| format!("no end of a window in {expression}"))?.1;
        } else if next.is_ascii_digit() {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else if is_name(next) {
            let (name, after) = word(rest);
            rest = after.trim_start();
            if WORDS.contains(&name) {
                if let Some(list) = rest.strip_prefix('(').filter(|_| !matches!(name, "and" | "or" | "unless")) {
                    let (labels, after) = list.split_once(')').context("no end of a list of labels")?;
                    let labels = labels.split(',').map(str::trim).filter(|label| !label.is_empty());
                    asked.grouped.extend(labels.map(str::to_owned));
                    rest = after;
                }
            } else if let Some(matchers) = rest.strip_prefix('{') {
                let (labels, after) = matched(matchers)?;
                asked.selectors.push(Selector { metric: name.to_owned(), labels });
                rest = after;
            } else if rest.starts_with('(') || matches!(word(rest).0, "by" | "without") {
                if name == "label_replace" {
                    asked.made.insert(made(rest)?);
                }
            } else {
                asked.selectors.push(Selector { metric: name.to_owned(), labels: BTreeSet::new() });
            }
        } else {
            rest = &rest[next.len_utf8()..];
        }
    }
    Ok(asked)
}

/// The label that `label_replace(EXPRESSION, "label", ..` makes: the first string that stands outside of braces.
fn made(call: &str) -> anyhow::Result<String> {
    let (mut rest, mut depth) = (call, 0);
    while let Some(next) = rest.chars().next() {
        match next {
            '"' if depth == 0 => return Ok(string(rest)?.0.to_owned()),
            '"' => {
                rest = string(rest)?.1;
                continue;
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        rest = &rest[next.len_utf8()..];
    }
    bail!("label_replace makes no label in {call}")
}

/// The labels up to the closing brace, and what follows it.
fn matched(matchers: &str) -> anyhow::Result<(BTreeSet<String>, &str)> {
    let (mut labels, mut rest) = (BTreeSet::new(), matchers);
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (label, after) = word(rest);
        let value = after.trim_start_matches(['=', '!', '~', ' ']);
        if label.is_empty() || !value.starts_with('"') {
            bail!("no matcher: {rest}");
        }
        labels.insert(label.to_owned());
        rest = string(value)?.1;
    }
}

/// A string that begins here, and what follows it.
fn string(text: &str) -> anyhow::Result<(&str, &str)> {
    let body = text.get(1..).unwrap_or_default();
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            '"' if !escaped => return Ok((&body[..at], &body[at + 1..])),
            _ => escaped = c == '\\' && !escaped,
        }
    }
    bail!("no end of the string {text}")
}

fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !is_name(c) && !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == ':'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `metric{label,..} .. / grouped / made`.
    fn told(expression: &str) -> String {
        let Asked { selectors, grouped, made } = asked(expression).unwrap();
        let list = |labels: BTreeSet<String>| labels.into_iter().collect::<Vec<_>>().join(",");
        let selectors: Vec<_> =
            selectors.into_iter().map(|it| format!("{}{{{}}}", it.metric, list(it.labels))).collect();
        format!("{} / {} / {}", selectors.join(" "), list(grouped), list(made))
    }

    #[test]
    fn names_are_found_wherever_they_stand() {
        for (expression, wanted) in [
            ("up", "up{} /  / "),
            (r#"up{job="a b{c}", x!~"\"y\"|z"} == 0"#, "up{job,x} /  / "),
            ("sum by (a, b) (rate(m_total[5m])) > 0.1", "m_total{} / a,b / "),
            ("sum(rate(m_total{}[5m])) by (le)", "m_total{} / le / "),
            ("(time() - t > 60) and on (i) (sds_ready == 1)", "t{} sds_ready{} / i / "),
            ("a < on (job) group_left () (count by (job) (b == 1) - 1)", "a{} b{} / job / "),
            ("a and (b or c unless (d))", "a{} b{} c{} d{} /  / "),
            (r#"label_replace(max by (x) (r:rate5m{x="1"}), "y", "$1", "x", "(.+)")"#, "r:rate5m{x} / x / y"),
            ("histogram_quantile(0.99, m_bucket) offset 5m or vector(1e3)", "m_bucket{} /  / "),
        ] {
            assert_eq!(told(expression), wanted, "{expression}");
        }
        for wrong in [r#"up{job="a"#, "up{job}", "up[5m", "sum by (a"] {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
    }
}
