//! A proof as it stands in the header `Authorization`, read to the letter before anybody is asked about it.
//!
//! Everything in it goes into headers of a request to AWS, so each field has an alphabet of its own, and nothing is passed over:
//! an unknown key, a key twice or another type is a proof of something that this registry does not know.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sds_types::proof::{PROOF_LIMIT, Proof, SCHEME};

use crate::clock::Timestamp;

/// How far a proof's date may be from this machine's clock: what AWS itself grants ("Create a signed AWS API request").
pub const SKEW: Duration = Duration::from_secs(15 * 60);

/// Whether the header holds a proof at all, right or wrong.
pub fn is_one(authorization: &[u8]) -> bool {
    authorization.strip_prefix(SCHEME.as_bytes()).is_some_and(|rest| rest.first().is_none_or(|&byte| byte == b' '))
}

/// Reads the header's value; an error says what is wrong and never what stood there.
pub fn read(authorization: &[u8]) -> Result<Proof, &'static str> {
    let shape = "the proof is not 'SDS-AWS' and base64url of JSON";
    let text = authorization.strip_prefix(SCHEME.as_bytes()).and_then(|rest| rest.strip_prefix(b" ")).ok_or(shape)?;
    if text.len() > PROOF_LIMIT.div_ceil(3) * 4 {
        return Err("the proof is too long");
    }
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| shape)?;
    if json.len() > PROOF_LIMIT {
        return Err("the proof is too long");
    }
    // serde would take an array for an object.
    let object = Some(json).filter(|json| json.starts_with(b"{"));
    let proof: Option<Proof> = object.and_then(|json| serde_json::from_slice(&json).ok());
    let proof = proof.ok_or("the proof is not a JSON object of access_key_id, date, session_token and signature")?;
    let all = |text: &str, is: fn(u8) -> bool| text.bytes().all(is);
    let id = &proof.access_key_id;
    if !(16..=128).contains(&id.len()) || !all(id, |b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
        return Err("the proof's access_key_id is no id of a key");
    }
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if proof.signature.len() != 64 || !all(&proof.signature, lower_hex) {
        return Err("the proof's signature is not 64 lower hexadecimal digits");
    }
    let token = &proof.session_token;
    if token.is_empty() || !all(token, |b| b.is_ascii_alphanumeric() || b"+/=_-".contains(&b)) {
        return Err("the proof's session_token is none: only a role's temporary key has one");
    }
    date(&proof).map(|_| proof)
}

/// Whether it was signed less than [`SKEW`] ago, and not later than that ahead.
pub fn is_of_now(proof: &Proof, now: Timestamp) -> Result<(), &'static str> {
    let at = date(proof)?;
    if now.since(at) > SKEW || at.since(now) > SKEW {
        return Err("the proof's date is more than 15 min from the registry's clock");
    }
    Ok(())
}

fn date(proof: &Proof) -> Result<Timestamp, &'static str> {
    let text = proof.date.as_str();
    let wrong = "the proof's date is not YYYYMMDDTHHMMSSZ";
    let digits = text.bytes().enumerate().all(|(at, b)| match at {
        8 => b == b'T',
        15 => b == b'Z',
        _ => b.is_ascii_digit(),
    });
    let part = |from: usize, to: usize| text.get(from..to).filter(|_| digits && text.len() == 16).ok_or(wrong);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(9, 11)?, part(11, 13)?, part(13, 15)?);
    Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::corpus::play;

    fn good() -> Value {
        json!({
            "access_key_id": "ASIAEXAMPLE012345678",
            "date": "20261129T120000Z",
            "session_token": "IQoJb3JpZ2luX2VjEXAMPLE//+==",
            "signature": "0f".repeat(32),
        })
    }

    fn header(json: &str) -> String {
        format!("{SCHEME} {}", URL_SAFE_NO_PAD.encode(json))
    }

    fn of(json: &Value) -> Result<Proof, &'static str> {
        read(header(&json.to_string()).as_bytes())
    }

    #[test]
    fn a_good_one_is_read() {
        let proof = of(&good()).ok().unwrap();
        assert_eq!((proof.access_key_id.as_str(), proof.signature.len()), ("ASIAEXAMPLE012345678", 64));
        let longest = PROOF_LIMIT - good().to_string().len() + 28;
        let mut long = good();
        long["session_token"] = "x".repeat(longest).into();
        assert_eq!(long.to_string().len(), PROOF_LIMIT);
        assert!(of(&long).is_ok());
        long["session_token"] = "x".repeat(longest + 1).into();
        assert_eq!(of(&long).err(), Some("the proof is too long"));
    }

    #[test]
    fn fields_are_held_to_their_alphabets() {
        for (field, bad) in [
            ("access_key_id", json!("")),
            ("access_key_id", json!("ASIAEXAMPLE01234567/")),
            ("access_key_id", json!("asiaexample012345678")),
            ("access_key_id", json!("A".repeat(129))),
            ("access_key_id", json!("ASIAEXAMPLE012345678/20261129/us-east-1")),
            ("access_key_id", json!(1)),
            ("access_key_id", json!(null)),
            ("date", json!("")),
            ("date", json!("20261129T120000")),
            ("date", json!("20261129T120000Z ")),
            ("date", json!("20261329T120000Z")),
            ("date", json!("20261129T120060Z")),
            ("date", json!("2026-11-29T12:00:00Z")),
            ("date", json!("+0261129T120000Z")),
            ("date", json!(20_261_129)),
            ("session_token", json!("")),
            ("session_token", json!("a\r\nx-sds-audience: b")),
            ("session_token", json!("a b")),
            ("session_token", json!(["a"])),
            ("session_token", json!("\u{e4}")),
            ("signature", json!("0F".repeat(32))),
            ("signature", json!("0f".repeat(31))),
            ("signature", json!(format!("{}, x", "0f".repeat(30)))),
            ("signature", json!("0f".repeat(33))),
            ("signature", json!("0g".repeat(32))),
        ] {
            let mut json = good();
            json[field] = bad.clone();
            assert!(of(&json).is_err(), "{field} {bad}");
            json.as_object_mut().unwrap().remove(field);
            assert!(of(&json).is_err(), "without {field}");
        }
    }

    #[test]
    fn more_than_that_cannot_be_said() {
        for more in ["url", "host", "method", "headers", "body", "region", "session_token2", "Date"] {
            let mut json = good();
            json[more] = "x".into();
            assert!(of(&json).is_err(), "{more}");
        }
        let text = good().to_string();
        let twice = text.replacen('{', "{\"date\":\"20261129T120000Z\",", 1);
        let array = json!(["ASIAEXAMPLE012345678", "20261129T120000Z", "t", "0f".repeat(32)]).to_string();
        for bad in [
            twice.as_str(),
            &array,
            &format!("[{text}]"),
            &format!(" {text}"),
            &format!("{text}{text}"),
            &format!("{text},"),
            &text[..text.len() - 1],
            "",
            "null",
            "\"\"",
        ] {
            assert!(read(header(bad).as_bytes()).is_err(), "{bad}");
        }
        let good = header(&text);
        for bad in [
            good.replace(SCHEME, "sds-aws"),
            good.replace(SCHEME, "Bearer"),
            good.replace(' ', "  "),
            good.replace(' ', ""),
            format!("{good}="),
            format!("{good} "),
            format!("{good}, {good}"),
            format!("{SCHEME} {text}"),
            SCHEME.to_owned(),
            String::new(),
            // The last character of an encoding may not carry bits that mean nothing: one proof, one spelling.
            format!("{SCHEME} {}", "e31"),
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(is_one(good.as_bytes()) && is_one(SCHEME.as_bytes()) && is_one(b"SDS-AWS x"));
        assert!(!is_one(b"SDS-AWSx") && !is_one(b"Bearer x") && !is_one(b""));
    }

    #[test]
    fn fuzz_proof() {
        play("proof", |json| {
            let Ok(proof) = read(format!("{SCHEME} {}", URL_SAFE_NO_PAD.encode(json)).as_bytes()) else { return };
            let plain: Value = serde_json::from_slice(json).expect("we read what is no JSON");
            assert_eq!(serde_json::to_value(&proof).unwrap(), plain);
            for text in [&proof.access_key_id, &proof.date, &proof.session_token, &proof.signature] {
                assert!(text.bytes().all(|b| b.is_ascii_graphic() && !b",;".contains(&b)), "{text:?}");
            }
        });
        play("proof", |bytes| drop(read(bytes)));
    }

    #[test]
    fn a_date_is_of_now() {
        let proof = of(&good()).ok().unwrap();
        let at = Timestamp::parse("2026-11-29T12:00:00Z").unwrap();
        let second = Duration::from_secs(1);
        for (now, fine) in [
            (at, true),
            (at.plus(SKEW), true),
            (at.minus(SKEW), true),
            (at.plus(SKEW).plus(second), false),
            (at.minus(SKEW).minus(second), false),
        ] {
            assert_eq!(is_of_now(&proof, now).is_ok(), fine, "{now:?}");
        }
    }
}
