//! `SDS_CONFIG`: several services of one task as JSON. The schema that is published beside the README is made from
//! these types. An unknown key is a slip of the pen, and refused like any other mistake.

use std::path::Path;

use serde::Deserialize;

use super::Service;

/// More than this is no configuration: a task has at most ten containers.
const LIMIT: u64 = 256 * 1024;

/// The services of a task
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(title = "SDS_CONFIG"))]
pub struct File {
    /// One for each service and port that the task serves
    #[cfg_attr(test, schemars(length(min = 1)))]
    services: Vec<Service>,
}

/// Reads `text`; an error names the place in it.
pub fn parse(text: &str) -> Result<Vec<Service>, String> {
    // serde would take an array for an object.
    if !text.trim_start().starts_with('{') {
        return Err("is not a JSON object, as in {\"services\":[{...}]}".to_owned());
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let file: File = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (place, cause) = (error.path().to_string(), error.into_inner().to_string());
        if matches!(place.as_str(), "." | "?") { cause } else { format!("{place}: {cause}") }
    })?;
    json.end().map_err(|_| "goes on behind the end of the JSON".to_owned())?;
    if file.services.is_empty() {
        return Err("services: at least one is required".to_owned());
    }
    Ok(file.services)
}

/// Reads the file at `path`.
pub fn read(path: &Path) -> Result<Vec<Service>, String> {
    let named = |reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
    let size = std::fs::metadata(path).map_err(|error| named(&error))?.len();
    if size > LIMIT {
        return Err(named(&format!("is longer than {LIMIT} bytes")));
    }
    parse(&std::fs::read_to_string(path).map_err(|error| named(&error))?)
}
