//! A body as HTML forms send it, in either of its two encodings: a few named texts.
//!
//! A field that comes twice is refused: which of the two was meant, nobody knows. Uploaded files are no fields.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream;
use multer::Multipart;
use sds_types::Invalid;

/// The fields of a form, taken out one by one.
#[derive(Debug, Default)]
pub struct Form(BTreeMap<String, String>);

impl Form {
    /// Whether a body looks like `name=value&..`.
    pub fn is_urlencoded(body: &[u8]) -> bool {
        let name = body.split(|byte| *byte == b'=').next().unwrap_or_default();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'%');
        name.len() < body.len() && !name.is_empty() && name.iter().all(plain)
    }

    /// `name=value&..`
    pub fn urlencoded(body: &[u8]) -> Result<Self, Invalid> {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            form.add(name.into(), value.into())?;
        }
        Ok(form)
    }

    /// `multipart/form-data`; the boundary is the one of the Content-Type.
    pub async fn multipart(body: Bytes, boundary: String) -> Result<Self, Invalid> {
        let mut form = Self::default();
        let mut parts = Multipart::new(stream::iter([Ok::<_, std::convert::Infallible>(body)]), boundary);
        while let Some(part) = parts.next_field().await.map_err(|_| not_a_form())? {
            let name = part.name().map(str::to_owned);
            let is_file = part.file_name().is_some();
            let value = part.bytes().await.map_err(|_| not_a_form())?;
            if let Some(name) = name.filter(|_| !is_file) {
                form.add(name, String::from_utf8_lossy(&value).into())?;
            }
        }
        Ok(form)
    }

    fn add(&mut self, name: String, value: String) -> Result<(), Invalid> {
        // What both decoders leave in the place of bytes that are no UTF-8.
        if name.contains(char::REPLACEMENT_CHARACTER) || value.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Invalid::new("InvalidForm", "body", "the form is not UTF-8"));
        }
        match self.0.insert(name, value) {
            None => Ok(()),
            Some(_) => Err(Invalid::new("InvalidForm", "body", "the form has a field twice")),
        }
    }

    /// A field, unless it is missing or empty.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    /// The names of what was not taken, as far as they can stand in a header.
    pub fn ignored(&self) -> Vec<String> {
        super::super::body::nameable(self.0.keys())
    }
}

fn not_a_form() -> Invalid {
    Invalid::new("InvalidForm", "body", "the body is not a form")
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use proptest::prelude::*;

    fn multipart(body: &str) -> Result<Form, Invalid> {
        Form::multipart(body.replace('\n', "\r\n").into(), "b".into()).now_or_never().expect("nothing to wait for")
    }

    fn part(name: &str, value: &str) -> String {
        format!("--b\nContent-Disposition: form-data; name=\"{name}\"\n\n{value}\n")
    }

    #[test]
    fn both_encodings_carry_the_same() {
        let mut plain = Form::urlencoded(b"ip=10.0.0.1&tags=%7B%22az%22%3A%22a+b%22%7D&empty=&x=").unwrap();
        let parts = part("ip", "10.0.0.1") + &part("tags", r#"{"az":"a b"}"#) + &part("empty", "") + &part("x", "");
        let mut parts = multipart(&(parts + "--b--\n")).unwrap();
        for form in [&mut plain, &mut parts] {
            assert_eq!(form.take("ip").as_deref(), Some("10.0.0.1"));
            assert_eq!(form.take("tags").as_deref(), Some(r#"{"az":"a b"}"#));
            assert_eq!(form.take("empty"), None);
            assert_eq!(form.ignored(), ["x"]);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(Form::urlencoded(b"a=1&a=2").is_err());
        assert!(Form::urlencoded(b"a=%ff").is_err());
        assert!(Form::urlencoded(b"a=\xff").is_err());
        assert!(multipart(&(part("a", "1") + &part("a", "2") + "--b--\n")).is_err());
        assert!(multipart(&part("a", "1")).is_err(), "an end is missing");
        assert!(multipart("--b\nContent-Disposition: form-data; name=\"a\"\n").is_err());
        assert!(multipart("").is_err());
    }

    #[test]
    fn a_file_is_no_field() {
        let file = "--b\nContent-Disposition: form-data; name=\"ip\"; filename=\"x\"\n\n10.0.0.1\n--b--\n";
        assert_eq!(multipart(file).unwrap().take("ip"), None);
    }

    #[test]
    fn a_form_is_known_by_its_first_name() {
        for form in ["ip=10.0.0.1", "auto_ip=1&port=80", "tags={}", "a%5B%5D=1"] {
            assert!(Form::is_urlencoded(form.as_bytes()), "{form}");
        }
        for other in ["", "=", "ip", "{\"a\":\"b=c\"}", "[\"a=b\"]", "not json = at all", "\u{feff}{}", "<a b=\"c\"/>"]
        {
            assert!(!Form::is_urlencoded(other.as_bytes()), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = (Form::is_urlencoded(&body), Form::urlencoded(&body));
            let _ = Form::multipart(body.into(), "b".into()).now_or_never().expect("nothing to wait for");
        }

        #[test]
        fn no_multipart_panics(lines in prop::collection::vec(prop_oneof![
            Just("--b".to_owned()), Just("--b--".to_owned()), Just(String::new()),
            Just("Content-Disposition: form-data; name=\"a\"".to_owned()), ".{0,20}",
        ], 0..12)) {
            let _ = multipart(&lines.join("\n"));
        }
    }
}
