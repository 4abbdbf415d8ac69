//! Signature version 4 as AWS checks it, for the stand-ins of AWS's services: written from AWS's description alone
//! ("Create a signed AWS API request"), and tested with AWS's published vectors, so that it shares no mistake with who signs.
//!
//! It recomputes the signature over the request that came, from the headers that the signature itself lists. As at AWS, a
//! header that is not listed is not covered and is no reason to refuse, unless it is `host` or one of AWS's own `x-amz-`. A
//! reason to refuse is AWS's own word for it (`SignatureDoesNotMatch`).

use std::collections::BTreeMap;

use axum::http::{HeaderMap, Method, Uri};
use ring::{digest, hmac};

/// How far the date of a request may be from the service's clock, seconds.
pub const SKEW: u64 = 15 * 60;

/// A request as it came.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Path and query; a host in it does not count.
    pub uri: &'a Uri,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
}

/// A key that the service knows.
#[derive(Clone)]
pub struct Secret {
    /// The secret access key.
    pub key: String,
    /// The session token that goes with it; `None` is a long-lived key.
    pub token: Option<String>,
}

/// Checks that the request is signed for `service` in `region` by a known key, at most 15 min from `now` (seconds since
/// 1970); tells the access key's id, or AWS's word for what is wrong.
pub fn verify(
    seen: &Seen<'_>,
    region: &str,
    service: &str,
    lookup: impl Fn(&str) -> Option<Secret>,
    now: u64,
) -> Result<String, &'static str> {
    let text = sole(seen.headers, "authorization")?.ok_or("MissingAuthenticationToken")?;
    let parts = parts(&text).ok_or("IncompleteSignature")?;
    let scope: Vec<&str> = parts.credential.split('/').collect();
    let &[id, day, of_region, of_service, "aws4_request"] = scope.as_slice() else { return Err("IncompleteSignature") };
    if (of_region, of_service) != (region, service) {
        return Err("SignatureDoesNotMatch");
    }
    let date = sole(seen.headers, "x-amz-date")?.ok_or("IncompleteSignature")?;
    let at = seconds(&date).ok_or("IncompleteSignature")?;
    if !date.starts_with(day) || day.len() != 8 || at.abs_diff(now) > SKEW {
        return Err("SignatureDoesNotMatch");
    }
    let secret = lookup(id).ok_or("InvalidClientTokenId")?;
    if sole(seen.headers, "x-amz-security-token")? != secret.token {
        return Err("InvalidClientTokenId");
    }
    let own = |name: &str| name == "host" || name.starts_with("x-amz-");
    let mut must = seen.headers.keys().map(|name| name.as_str()).filter(|name| own(name));
    if !parts.signed.is_sorted() || !parts.signed.contains(&"host") || !must.all(|name| parts.signed.contains(&name)) {
        return Err("SignatureDoesNotMatch");
    }
    let right = signature(seen, &parts.signed, (region, service), &date, &secret.key);
    if right.as_deref() == Some(parts.signature) { Ok(id.to_owned()) } else { Err("SignatureDoesNotMatch") }
}

/// Signs over the headers of these names, for a service in a region; `None` if one is not there.
pub fn signature(
    seen: &Seen<'_>,
    signed: &[&str],
    (region, service): (&str, &str),
    date: &str,
    secret: &str,
) -> Option<String> {
    let (canonical, day) = (canonical(seen, signed)?, date.get(..8)?);
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let mut key = format!("AWS4{secret}").into_bytes();
    for word in [day, region, service, "aws4_request"] {
        key = hmac(&key, word);
    }
    Some(hex(&hmac(&key, &to_sign)))
}

struct Parts<'a> {
    credential: &'a str,
    signed: Vec<&'a str>,
    signature: &'a str,
}

/// `AWS4-HMAC-SHA256 Credential=.., SignedHeaders=a;b, Signature=..`, in any order.
fn parts(text: &str) -> Option<Parts<'_>> {
    let mut named = BTreeMap::new();
    for part in text.strip_prefix("AWS4-HMAC-SHA256 ")?.split(',') {
        let (name, value) = part.trim().split_once('=')?;
        if named.insert(name, value).is_some() {
            return None;
        }
    }
    let signed = named.remove("SignedHeaders")?.split(';').collect();
    let parts = Parts { credential: named.remove("Credential")?, signed, signature: named.remove("Signature")? };
    named.is_empty().then_some(parts)
}

/// Of a header that may be there once.
fn sole(headers: &HeaderMap, name: &str) -> Result<Option<String>, &'static str> {
    let mut all = headers.get_all(name).iter();
    let first =
        all.next().map(|value| value.to_str().map(str::to_owned)).transpose().map_err(|_| "IncompleteSignature")?;
    if all.next().is_some() { Err("IncompleteSignature") } else { Ok(first) }
}

fn canonical(seen: &Seen<'_>, signed: &[&str]) -> Option<String> {
    let mut headers = String::new();
    for &name in signed {
        let values: Vec<_> =
            seen.headers.get_all(name).iter().map(|value| value.to_str().ok()).collect::<Option<_>>()?;
        if values.is_empty() || name != name.to_ascii_lowercase() {
            return None;
        }
        let values: Vec<_> = values.iter().map(|v| v.split_ascii_whitespace().collect::<Vec<_>>().join(" ")).collect();
        headers.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    let mut query: Vec<_> = seen.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).collect();
    let pairs = query.iter_mut().map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut pairs: Vec<_> =
        pairs.map(|(name, value)| (encode(&decode(name), b""), encode(&decode(value), b""))).collect();
    pairs.sort();
    let query = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    // Of the path as it was sent: what was encoded is encoded once more, for all services but S3.
    let path = encode(seen.uri.path().as_bytes(), b"/");
    let (signed, body) = (signed.join(";"), sha256(seen.body));
    Some(format!("{}\n{path}\n{query}\n{headers}\n{signed}\n{body}", seen.method))
}

fn encode(bytes: &[u8], keep: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte);
    bytes.iter().map(|&byte| if plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") }).collect()
}

fn decode(text: &str) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| byte == b'%').and_then(|two| str::from_utf8(two).ok());
        let escaped = hex.and_then(|two| u8::from_str_radix(two, 16).ok());
        decoded.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    decoded
}

/// Seconds since 1970 of `20150830T123600Z`.
pub fn seconds(date: &str) -> Option<u64> {
    let shape = date.bytes().enumerate().all(|(at, byte)| match at {
        8 => byte == b'T',
        15 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    });
    let number = |from: usize, to: usize| date.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = |month| match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let fits = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=days(month)).contains(&day);
    if !shape || date.len() != 16 || !fits || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let years: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    let months: u64 = (1..month).map(days).sum();
    Some((((years + months + day - 1) * 24 + hour) * 60 + minute) * 60 + second)
}

/// The reverse of [`seconds`]: the date and time of a request that is signed now.
pub fn date(seconds: u64) -> String {
    let (mut day, rest) = (seconds / 86400, seconds % 86400);
    let midnight = (1970..).find_map(|year| {
        (1..=12).find_map(|month| {
            (1..=31).find_map(|date| {
                let text = format!("{year:04}{month:02}{date:02}");
                self::seconds(&format!("{text}T000000Z"))?;
                if day == 0 {
                    return Some(text);
                }
                day -= 1;
                None
            })
        })
    });
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{}T{hour:02}{minute:02}{second:02}Z", midnight.unwrap_or_default())
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const TOKEN: &str = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";

    /// One of AWS's signing test suite: the request without its last header, the names that are signed, the signature.
    struct Vector {
        line: &'static str,
        headers: &'static [(&'static str, &'static str)],
        body: &'static str,
        signature: &'static str,
    }

    const VECTORS: [Vector; 7] = [
        Vector {
            line: "GET /",
            headers: &[],
            body: "",
            signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        },
        Vector {
            line: "POST /",
            headers: &[],
            body: "",
            signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        },
        Vector {
            line: "GET /?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
            headers: &[],
            body: "",
            signature: "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
        },
        Vector {
            line: "GET /",
            headers: &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
            body: "",
            signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        },
        Vector {
            line: "GET /",
            headers: &[("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")],
            body: "",
            signature: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
        },
        Vector {
            line: "GET /",
            headers: &[("x-amz-security-token", TOKEN)],
            body: "",
            signature: "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
        },
        Vector {
            line: "POST /",
            headers: &[
                ("content-length", "13"),
                ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
                ("x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"),
            ],
            body: "Param1=value1",
            signature: "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
        },
    ];

    impl Vector {
        fn headers(&self) -> HeaderMap {
            let mut headers = HeaderMap::new();
            for (name, value) in [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")] {
                headers.insert(name, value.parse().unwrap());
            }
            for (name, value) in self.headers {
                headers.append(*name, value.parse().unwrap());
            }
            let mut signed: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
            signed.sort();
            let authorization = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={}, Signature={}",
                signed.join(";"),
                self.signature
            );
            headers.insert("authorization", authorization.parse().unwrap());
            headers
        }

        fn token(&self) -> Option<String> {
            self.headers.iter().find(|(name, _)| *name == "x-amz-security-token").map(|(_, token)| (*token).to_owned())
        }
    }

    const NOW: u64 = 1_440_938_160;

    fn check(
        line: &str,
        headers: &HeaderMap,
        body: &str,
        token: Option<String>,
        now: u64,
    ) -> Result<String, &'static str> {
        let (method, uri) = line.split_once(' ').unwrap();
        let (method, uri) = (method.parse().unwrap(), uri.parse().unwrap());
        let seen = Seen { method: &method, uri: &uri, headers, body: body.as_bytes() };
        let secret = Secret { key: SECRET.to_owned(), token };
        let lookup = |id: &str| (id == "AKIDEXAMPLE").then(|| secret.clone());
        verify(&seen, "us-east-1", "service", lookup, now)
    }

    #[test]
    fn aws_s_own_vectors_pass() {
        for vector in VECTORS {
            let checked = check(vector.line, &vector.headers(), vector.body, vector.token(), NOW);
            assert_eq!(checked, Ok("AKIDEXAMPLE".into()), "{} {:?}", vector.line, vector.headers);
        }
    }

    #[test]
    fn anything_else_does_not() {
        const NO: &str = "SignatureDoesNotMatch";
        let vector = &VECTORS[6];
        let edited = |name: &'static str, value: &str| {
            let mut headers = vector.headers();
            headers.insert(name, value.parse().unwrap());
            headers
        };
        let with = |from: &str, to: &str| {
            let text = vector.headers()["authorization"].to_str().unwrap().replace(from, to);
            edited("authorization", &text)
        };
        for (headers, line, body, expected) in [
            (vector.headers(), "POST /", "Param1=value2", NO),
            (vector.headers(), "PUT /", vector.body, NO),
            (vector.headers(), "POST /a", vector.body, NO),
            (vector.headers(), "POST /?a=b", vector.body, NO),
            (edited("host", "sts.us-east-1.amazonaws.com"), "POST /", vector.body, NO),
            (edited("x-amz-more", "1"), "POST /", vector.body, NO),
            (edited("x-amz-security-token", "1"), "POST /", vector.body, "InvalidClientTokenId"),
            (edited("x-amz-date", "20150830T123601Z"), "POST /", vector.body, NO),
            (edited("x-amz-date", "20150830"), "POST /", vector.body, "IncompleteSignature"),
            (with("20150830/", "20150831/"), "POST /", vector.body, NO),
            (with("us-east-1", "us-east-2"), "POST /", vector.body, NO),
            (with("/service/", "/sts/"), "POST /", vector.body, NO),
            (with("AKIDEXAMPLE", "AKIDEXAMPLF"), "POST /", vector.body, "InvalidClientTokenId"),
            (with("content-type;host", "host"), "POST /", vector.body, NO),
            (with("content-type;host", "host;content-type"), "POST /", vector.body, NO),
            (with("Signature=3", "Signature=4"), "POST /", vector.body, NO),
            (with("Signature=", "Signature=a, Signature="), "POST /", vector.body, "IncompleteSignature"),
            (with("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), "POST /", vector.body, "IncompleteSignature"),
            (with("aws4_request", "aws3_request"), "POST /", vector.body, "IncompleteSignature"),
        ] {
            assert_eq!(check(line, &headers, body, None, NOW), Err(expected), "{line} {body} {headers:?}");
        }
        // As at AWS: not listed, not covered, and no harm.
        assert!(check("POST /", &edited("x-other", "1"), vector.body, None, NOW).is_ok());
        assert_eq!(check("POST /", &HeaderMap::new(), "", None, NOW), Err("MissingAuthenticationToken"));
        for (now, fine) in [(NOW - SKEW, true), (NOW + SKEW, true), (NOW - SKEW - 1, false), (NOW + SKEW + 1, false)] {
            assert_eq!(check("POST /", &vector.headers(), vector.body, None, now).is_ok(), fine, "{now}");
        }
        assert_eq!(check("POST /", &vector.headers(), vector.body, Some("t".into()), NOW), Err("InvalidClientTokenId"));
    }

    #[test]
    fn dates() {
        for (text, at) in [("19700101T000000Z", 0), ("20150830T123600Z", NOW), ("20240229T235959Z", 1_709_251_199)] {
            assert_eq!(seconds(text), Some(at), "{text}");
            assert_eq!(date(at), text);
        }
        for bad in
            ["", "20230229T000000Z", "20151330T123600Z", "20150830T243600Z", "20150830 123600Z", "+0150830T123600Z"]
        {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
