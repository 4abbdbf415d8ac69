//! When a certificate ends, read from its DER (RFC 5280, 4.1): nothing else in it matters here, and what verifies
//! certificates does not tell. So five elements are stepped over instead of a parser of all of them being carried.

use crate::clock::Timestamp;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When `certificate` is no longer valid; nothing if that cannot be read.
pub fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = of(SEQUENCE, certificate)?;
    let (signed, _) = of(SEQUENCE, certificate)?;
    let (tag, _, after) = element(signed)?;
    // A first version has no number.
    let mut rest = if tag == VERSION { element(after)?.2 } else { after };
    // The signature's algorithm, the issuer.
    for _ in 0..2 {
        rest = of(SEQUENCE, rest)?.1;
    }
    let (validity, _) = of(SEQUENCE, rest)?;
    let (tag, text, _) = element(element(validity)?.2)?;
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            (format!("{}{year}", if year < "50" { "20" } else { "19" }), rest)
        }
        GENERALIZED_TIME => text.split_at_checked(4).map(|(year, rest)| (year.to_owned(), rest))?,
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2);
    let (month, day, hour, minute, second) = (two(0)?, two(2)?, two(4)?, two(6)?, two(8)?);
    Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

/// The content of an element with this tag, and what follows it.
fn of(wanted: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    element(bytes).filter(|(tag, ..)| *tag == wanted).map(|(_, content, rest)| (content, rest))
}

/// The first element: its tag, its content, what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = bytes else { return None };
    let (length, rest) = match usize::from(*length) {
        short @ 0..0x80 => (short, rest),
        long => {
            let (digits, rest) = rest.split_at_checked(long - 0x80).filter(|(digits, _)| digits.len() <= 4)?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found() {
        let key = rcgen::KeyPair::generate().unwrap();
        // From 2050 on a time is written with all digits of its year.
        for (year, told) in [(2027, "2027-06-05T00:00:00Z"), (2075, "2075-06-05T00:00:00Z")] {
            let mut params = rcgen::CertificateParams::new(vec!["sds.internal".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 6, 5);
            let certificate = params.self_signed(&key).unwrap();
            let der = certificate.der().as_ref();
            assert_eq!(not_after(der).map(Timestamp::iso_seconds).as_deref(), Some(told));
            for cut in 0..der.len() {
                assert_eq!(not_after(&der[..cut]), None, "{cut}");
            }
            for at in 0..der.len() {
                let mut torn = der.to_vec();
                torn[at] ^= 0x85;
                let _ = not_after(&torn);
            }
        }
    }
}
