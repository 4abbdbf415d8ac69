//! Words of a path, by the kept inputs and random changes of them: what is accepted is its own text, so that no two texts
//! are one key.

use std::net::SocketAddr;

use crate::{Endpoint, Invalid, ServiceName, corpus::play, parse_span};

fn check_words(error: &Invalid) {
    assert!(!error.reason.is_empty() && !error.reason.chars().any(char::is_control), "{error:?}");
}

#[test]
fn fuzz_endpoint() {
    play("endpoint", |bytes| {
        let Ok(text) = str::from_utf8(bytes) else { return };
        match text.parse::<Endpoint>() {
            Ok(endpoint) => {
                let printed = endpoint.to_string();
                assert_eq!(printed.parse(), Ok(endpoint));
                // A mapped address alone has two spellings; a client connects to what is printed.
                assert!(printed == text || text.starts_with("[::ffff:"), "{printed} of {text}");
                let address: SocketAddr = printed.parse().expect("an address to connect to");
                assert_eq!((address.ip(), address.port()), (endpoint.ip(), endpoint.port()));
            }
            Err(error) => check_words(&error),
        }
    });
}

#[test]
fn fuzz_service() {
    play("service", |bytes| {
        let Ok(text) = str::from_utf8(bytes) else { return };
        match text.parse::<ServiceName>() {
            Ok(name) => {
                assert_eq!(name.as_str(), text);
                // It is one segment of a path as it stands, and no key of the registry's own.
                assert!(text != "repo" && !text.starts_with(['#', '_', '.']) && (1..=128).contains(&text.len()));
                assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)));
            }
            Err(error) => check_words(&error),
        }
        let _ = parse_span(text);
    });
}
