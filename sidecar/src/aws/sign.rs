//! The signature of a proof (`sds_types::proof`), by AWS's signature version 4.
//!
//! The crate of AWS's SDK for it (aws-sigv4) would bring some thirty crates and a second SHA-256 into a program that sits in
//! each task, for one request of which all but four words is constant. So the few steps are here, over ring, which TLS brings
//! anyway, and are held to AWS's published vectors. ("Create a signed AWS API request", AWS documentation.)

use ring::hmac;
use sds_types::{
    hex,
    proof::{self, Audience, Claims, Proof},
    sha256_hex,
};

use super::credentials::Key;

/// Signs; `date` is now, `YYYYMMDDTHHMMSSZ`.
pub fn sign(key: &Key, claims: &Claims, audience: &Audience, date: &str) -> Proof {
    let region = claims.task.region();
    let (host, token, audience, hash) = (region.sts_host(), &key.session_token, audience.as_str(), claims.hash());
    let canonical = format!(
        "POST\n/\n\n\
         content-type:{}\nhost:{host}\nx-amz-date:{date}\nx-amz-security-token:{token}\n\
         {}:{audience}\n{}:{hash}\n\n{}\n{}",
        proof::CONTENT_TYPE,
        proof::AUDIENCE_HEADER,
        proof::CLAIMS_HEADER,
        proof::SIGNED_HEADERS,
        sha256_hex(proof::BODY.as_bytes()),
    );
    Proof {
        access_key_id: key.id.clone(),
        date: date.to_owned(),
        session_token: token.clone(),
        signature: signature(&key.secret, date, region.name(), proof::SERVICE, &canonical),
    }
}

/// Of a canonical request; 64 lower hexadecimal digits.
fn signature(secret: &str, date: &str, region: &str, service: &str, canonical: &str) -> String {
    const END: &str = "aws4_request";
    let day = date.get(..8).unwrap_or_default();
    let step = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    let key = step(format!("AWS4{secret}").as_bytes(), day);
    let key = [region, service, END].iter().fold(key, |key, word| step(key.as_ref(), word));
    let hash = sha256_hex(canonical.as_bytes());
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{day}/{region}/{service}/{END}\n{hash}");
    hex(step(key.as_ref(), &text).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    /// Of AWS's signing test suite: get-vanilla, get-vanilla-with-session-token, post-x-www-form-urlencoded-parameters.
    #[test]
    fn aws_s_own_vectors() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
        let body = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e";
        let (host, date) = ("host:example.amazonaws.com", "x-amz-date:20150830T123600Z");
        for (canonical, expected) in [
            (
                format!("GET\n/\n\n{host}\n{date}\n\nhost;x-amz-date\n{empty}"),
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                format!(
                    "GET\n/\n\n{host}\n{date}\nx-amz-security-token:{token}\n\nhost;x-amz-date;x-amz-security-token\n{empty}"
                ),
                "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
            ),
            (
                format!(
                    "POST\n/\n\ncontent-length:13\ncontent-type:application/x-www-form-urlencoded; charset=utf-8\n{host}\n\
                     x-amz-content-sha256:{body}\n{date}\n\n\
                     content-length;content-type;host;x-amz-content-sha256;x-amz-date\n{body}"
                ),
                "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
            ),
        ] {
            assert_eq!(signature(SECRET, "20150830T123600Z", "us-east-1", "service", &canonical), expected);
        }
    }

    #[test]
    fn the_names_that_are_signed_are_in_order() {
        let names: Vec<&str> = proof::SIGNED_HEADERS.split(';').collect();
        assert!(names.is_sorted());
        assert_eq!(&names[names.len() - 2..], [proof::AUDIENCE_HEADER, proof::CLAIMS_HEADER]);
    }
}
