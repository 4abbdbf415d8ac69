//! The container metadata file, which ECS's agent on EC2 writes into each container when
//! `ECS_ENABLE_CONTAINER_METADATA` is set: the only document of a bridge or host task that names the host's address.
//! (AWS documentation, "Amazon ECS container metadata file".)

use std::{io::Read as _, net::IpAddr, path::Path};

use serde::Deserialize;

use super::Host;

const LIMIT: u64 = 512 * 1024;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct File {
    #[serde(rename = "HostPrivateIPv4Address")]
    host: Option<String>,
    availability_zone: Option<String>,
    metadata_file_status: Option<String>,
}

/// Reads the file; `None` as long as the agent has not written all of it.
pub fn read(path: &Path) -> Option<Host> {
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(LIMIT).read_to_string(&mut text).ok()?;
    parse(&text)
}

fn parse(text: &str) -> Option<Host> {
    let file: File = serde_json::from_str(text).ok()?;
    let ip: IpAddr = file.host.filter(|_| file.metadata_file_status.as_deref() == Some("READY"))?.parse().ok()?;
    Some(Host { ip: Some(ip), zone: file.availability_zone.unwrap_or_default(), ..Host::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_file_counts() {
        let whole = r#"{"Cluster":"prod","ContainerName":"sds","HostPrivateIPv4Address":"10.0.0.9",
            "AvailabilityZone":"us-east-1b","MetadataFileStatus":"READY","New":[1]}"#;
        let host = parse(whole).unwrap();
        assert_eq!((host.ip, host.zone.as_str()), (Some("10.0.0.9".parse().unwrap()), "us-east-1b"));
        let partial = whole.replace("READY", "NOT_READY");
        for text in ["", "{}", "[]", "<html>", r#"{"MetadataFileStatus":"READY"}"#, &partial, &whole[..60]] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(read(Path::new("/nonexistent/ecs-container-metadata.json")), None);
    }
}
