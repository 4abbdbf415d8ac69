//! The EC2 instance metadata service, version 2: a session token, then the instance identity document, which holds
//! address, region, zone and id in one answer. An instance without IPv4 tells its address under `meta-data/ipv6`.
//! (AWS documentation, "Use IMDSv2" and "Instance identity documents". From a bridge container it answers only where
//! the instance's hop limit is 2 or more.)

use reqwest::{Client, Method, Url};
use serde::Deserialize;

use super::{
    Host,
    metadata::{MetadataError, fetch},
};

const LIMIT: usize = 64 * 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Document {
    private_ip: Option<String>,
    region: Option<String>,
    availability_zone: Option<String>,
    instance_id: Option<String>,
}

/// Asks once; `base` is `http://169.254.169.254` unless somebody stands in for it.
pub async fn ask(client: &Client, base: &Url) -> Result<Host, MetadataError> {
    let url = |path: &str| base.join(path).map_err(|_| MetadataError::Document);
    let token = client.request(Method::PUT, url("/latest/api/token")?);
    let token = fetch(token.header("x-aws-ec2-metadata-token-ttl-seconds", "60"), LIMIT).await?;
    let token = String::from_utf8(token).map_err(|_| MetadataError::Document)?;
    let get = |path| Ok::<_, MetadataError>(client.get(url(path)?).header("x-aws-ec2-metadata-token", &token));
    let document = fetch(get("/latest/dynamic/instance-identity/document")?, LIMIT).await?;
    let document: Document = serde_json::from_slice(&document).map_err(|_| MetadataError::Document)?;
    let mut ip = document.private_ip.and_then(|text| text.parse().ok());
    if ip.is_none() {
        let text = fetch(get("/latest/meta-data/ipv6")?, LIMIT).await?;
        ip = String::from_utf8_lossy(&text).trim().parse().ok();
    }
    Ok(Host {
        ip,
        region: document.region.unwrap_or_default(),
        zone: document.availability_zone.unwrap_or_default(),
        id: document.instance_id.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        stand_in::{Heard, Reply, StandIn, say},
        web,
    };

    const V4: &str = r#"{"privateIp":"10.1.2.3","region":"eu-west-1","availabilityZone":"eu-west-1a",
        "instanceId":"i-0abc","accountId":"1","new":null}"#;
    const V6: &str = r#"{"privateIp":null,"region":"eu-west-1","availabilityZone":"eu-west-1a","instanceId":"i-0abc"}"#;

    async fn asked(rule: impl Fn(usize, &Heard) -> Reply + Clone + Send + Sync + 'static) -> Option<Host> {
        let service = StandIn::start(rule).await;
        let client = web::client(false).timeout(Duration::from_secs(2)).build().unwrap();
        ask(&client, &format!("http://{}", service.address).parse().unwrap()).await.ok()
    }

    fn rule(document: &'static str) -> impl Fn(usize, &Heard) -> Reply + Clone + Send + Sync {
        move |_, heard| match heard.line.as_str() {
            "PUT /latest/api/token" => say(200, "t0ken"),
            "GET /latest/dynamic/instance-identity/document" => say(200, document),
            "GET /latest/meta-data/ipv6" => say(200, "2001:db8::9\n"),
            _ => say(404, ""),
        }
    }

    #[tokio::test]
    async fn token_then_document() {
        let host = asked(rule(V4)).await.unwrap();
        assert_eq!(host.ip.unwrap().to_string(), "10.1.2.3");
        assert_eq!((host.region.as_str(), host.zone.as_str(), host.id.as_str()), ("eu-west-1", "eu-west-1a", "i-0abc"));
        assert_eq!(asked(rule(V6)).await.unwrap().ip.unwrap().to_string(), "2001:db8::9");
    }

    #[tokio::test]
    async fn no_token_no_answer() {
        assert_eq!(asked(|_, _| say(403, "")).await, None);
        assert_eq!(asked(rule("<html>")).await, None);
        assert_eq!(asked(|_, _| say(200, &"x".repeat(LIMIT + 1))).await, None);
    }
}
