//! How both programs read their options: each is a flag and an environment variable, and a wrong one is one line that
//! names the variable, since whoever reads a task's log configured by environment.
//!
//! A variable that is set to nothing counts as unset: templates of task definitions leave such behind.

use std::ffi::OsString;

use clap::{
    CommandFactory, FromArgMatches,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// Why the program ends before it begins.
#[derive(Debug)]
pub enum Halt {
    /// Help or version, for stdout; exit 0.
    Shown(String),
    /// For stderr; exit [`MISCONFIGURED`].
    Wrong(Misconfigured),
}

/// `EX_USAGE`: the configuration is wrong, and no restart helps.
pub const MISCONFIGURED: u8 = 64;

/// A wrong value of an option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {reason}")]
pub struct Misconfigured {
    /// The environment variable, also if it was a flag.
    pub variable: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl Misconfigured {
    /// A wrong value of `variable`.
    pub fn new(variable: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { variable: variable.into(), reason: reason.into() }
    }
}

/// Reads flags and environment; the first argument is the program's name.
pub fn parse<O: CommandFactory + FromArgMatches>(args: impl IntoIterator<Item = OsString>) -> Result<O, Halt> {
    // The help is a reference; what happens to be set does not belong in it.
    let command = O::command().mut_args(|arg| {
        let arg = arg.hide_env_values(true);
        if set_to_nothing(&arg) { arg.env(None::<&str>) } else { arg }
    });
    let parsed = command.try_get_matches_from(args).and_then(|matches| O::from_arg_matches(&matches));
    parsed.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Halt::Shown(error.to_string()),
        _ => Halt::Wrong(one_line(&error, &O::command())),
    })
}

/// A value as a mistake repeats it: escaped, and without the user and the password that a URL may have in it.
pub fn shown(value: &str) -> String {
    match value.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, rest)) => format!("{scheme}://***@{}", rest.escape_debug()),
        None => value.escape_debug().to_string(),
    }
}

/// Checks a log filter, a list of levels and `target=level`, for both programs: `tracing_subscriber` takes a misspelt
/// level for the name of a target, and then logs nothing.
pub fn log_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for part in text.split(',') {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        let twice = part.matches('=').count() > 1;
        if twice || !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
            let levels = LEVELS.join(", ");
            return Err(format!("'{}' is not one of {levels}, nor target=level", part.escape_debug()));
        }
    }
    Ok(text.to_owned())
}

#[allow(clippy::disallowed_methods, reason = "this file reads the environment; clap does not tell empty from unset")]
fn set_to_nothing(arg: &clap::Arg) -> bool {
    arg.get_env().is_some_and(|name| std::env::var_os(name).is_some_and(|value| value.is_empty()))
}

/// Variables named `SDS_...` that no option of `O` has: most often a slip of the pen, which would go unnoticed until the
/// option it was meant for is needed. They are told and not refused, because two programs may share an environment.
#[allow(clippy::disallowed_methods, reason = "this file reads the environment")]
pub fn unknown_variables<O: CommandFactory>() -> Vec<String> {
    let command = O::command();
    let known: Vec<_> = arguments(&command).filter_map(clap::Arg::get_env).collect();
    let names = std::env::vars_os().map(|(name, _)| name);
    let strangers =
        names.filter(|name| name.to_string_lossy().starts_with("SDS_") && !known.contains(&name.as_os_str()));
    let mut strangers: Vec<_> = strangers.map(|name| shown(&name.to_string_lossy())).collect();
    strangers.sort();
    strangers
}

/// Those of the subcommands too.
fn arguments(command: &clap::Command) -> impl Iterator<Item = &clap::Arg> {
    command.get_arguments().chain(command.get_subcommands().flat_map(clap::Command::get_arguments))
}

/// clap names the flag and adds advice in several lines; whoever reads a task's log needs the variable in one.
fn one_line(error: &clap::Error, command: &clap::Command) -> Misconfigured {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg).unwrap_or_default();
    let long = flag.trim_start_matches("--").split([' ', '=']).next().unwrap_or_default();
    let option = arguments(command).find(|arg| arg.get_long() == Some(long));
    let variable = match option.map(clap::Arg::get_env) {
        Some(Some(name)) => name.to_string_lossy().into_owned(),
        Some(None) => format!("--{long}"),
        None => command.get_name().to_owned(),
    };
    let value = text(ContextKind::InvalidValue).filter(|value| !value.is_empty());
    let reason = match (error.kind(), std::error::Error::source(error)) {
        (ErrorKind::MissingRequiredArgument, _) => "is required".into(),
        (_, Some(source)) => match value {
            Some(value) if !source.to_string().contains(&value) => format!("'{}': {source}", shown(&value)),
            _ => source.to_string(),
        },
        (ErrorKind::InvalidValue, None) => match (value, error.get(ContextKind::ValidValue)) {
            (Some(value), Some(ContextValue::Strings(valid))) => {
                format!("'{}' is not one of {}", shown(&value), valid.join(", "))
            }
            _ => "needs a value".into(),
        },
        _ => {
            let text = error.to_string();
            text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
    };
    Misconfigured { variable, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_shown_without_a_password() {
        for (value, expected) in [
            ("http://me:pass@word@host:80/a@b", "http://***@b"),
            ("http://me:pass@host:80/", "http://***@host:80/"),
            ("http://host:80/", "http://host:80/"),
            ("me@host\n", "me@host\\n"),
        ] {
            assert_eq!(shown(value), expected);
        }
    }

    #[test]
    fn a_log_filter_is_made_of_levels() {
        for good in ["info", "WARN", "info,sds_sidecar=debug", "sds_api::registry=trace"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for bad in ["", "inof", "info,", "sds_api", "sds_api=loud", "a=b=info", "sds_api=debug inof", "info;debug"] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
    }
}
