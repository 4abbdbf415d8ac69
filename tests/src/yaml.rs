//! YAML as JSON: of the configurations that are shipped and read by others.

use anyhow::Context;
use serde_json::Value;

/// What a text says; anchors and merged keys are followed, and a key that is there twice is an error.
pub fn read(text: &str) -> anyhow::Result<Value> {
    serde_saphyr::from_str(text).context("not YAML")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn anchors_and_merged_keys_are_followed_and_doubled_keys_refused() {
        let text = "x: &x {a: 1, b: {c: [d]}}\ny: {<<: *x, a: 2}\nz: \"on\"\n";
        let told = read(text).unwrap();
        assert_eq!(told["y"], json!({"a": 2, "b": {"c": ["d"]}}));
        assert_eq!(told["z"], "on");
        assert!(read("a: 1\na: 2\n").is_err());
    }
}
