//! The labels of the app's container as tags, so that subset routing sees what a task definition says.
//!
//! Left out are labels that tools write for themselves (the ECS agent's, the image's), and what does not fit into the
//! bounds of tags: no label is a reason not to register. Tags that are given win.

use std::collections::BTreeMap;

use sds_types::Tags;

const TOOLS: [&str; 5] = ["com.amazonaws.", "com.docker.", "org.opencontainers.", "org.label-schema.", "io.buildah."];

/// `given`, and of `labels` what fits beside it.
pub fn of(given: &Tags, labels: Option<&BTreeMap<String, String>>) -> Tags {
    let mut tags = given.clone();
    for (key, value) in labels.into_iter().flatten() {
        let tool = TOOLS.iter().any(|prefix| key.starts_with(prefix));
        if tool || tags.iter().any(|(known, _)| known == key) {
            continue;
        }
        let pairs = tags.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let more: BTreeMap<_, _> = pairs.chain([(key.clone(), value.clone())]).collect();
        tags = Tags::parse(more).unwrap_or(tags);
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn labels_fill_in() {
        let given = Tags::parse(map(&[("team", "a")])).unwrap();
        let long = "x".repeat(5_000);
        let labels = map(&[
            ("team", "b"),
            ("tier", "web"),
            ("az", "not ours to say"),
            ("long", &long),
            ("line", "a\nb"),
            ("com.amazonaws.ecs.cluster", "prod"),
            ("org.opencontainers.image.title", "app"),
        ]);
        let tags = of(&given, Some(&labels));
        assert_eq!(tags.iter().collect::<Vec<_>>(), [("team", "a"), ("tier", "web")]);
        let many: BTreeMap<_, _> = (0..100).map(|n| (format!("k{n:03}"), String::new())).collect();
        assert_eq!(of(&given, Some(&many)).iter().count(), 32);
        assert_eq!(of(&given, None), given);
    }
}
