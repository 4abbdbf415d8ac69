//! The two messages of `grpc.health.v1`, each in gRPC's frame of a flag and a length:
//! `HealthCheckRequest { string service = 1 }` and `HealthCheckResponse { ServingStatus status = 1 }`.
//!
//! What comes from the app may be anything: fields that are not known are passed over, and whatever does not add up is
//! an error in words.

use bytes::{BufMut as _, Bytes, BytesMut};

/// Asks about `service`.
pub fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(1 << 3 | 2);
        let mut length = service.len();
        while length > 0x7f {
            message.put_u8(0x80 | (length & 0x7f) as u8);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put(message);
    frame.freeze()
}

/// The status in the one frame that an answer must be; 0, UNKNOWN, if it is not said.
pub fn answer(frame: &[u8]) -> Result<u64, &'static str> {
    let (head, mut message) = frame.split_first_chunk::<5>().ok_or("there is no message")?;
    let [flag, length @ ..] = *head;
    if flag != 0 {
        return Err("it is compressed, unasked");
    }
    if u32::from_be_bytes(length) as usize != message.len() {
        return Err("it is not as long as it says");
    }
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match (key >> 3, key & 7) {
            (0, _) => return Err("it has a field 0"),
            (1, 0) => status = varint(&mut message)?,
            (_, 0) => _ = varint(&mut message)?,
            (_, 1) => skip(&mut message, 8)?,
            (_, 2) => {
                let length = varint(&mut message)?;
                skip(&mut message, length)?;
            }
            (_, 5) => skip(&mut message, 4)?,
            _ => return Err("it has a field of no known type"),
        }
    }
    Ok(status)
}

fn varint(message: &mut &[u8]) -> Result<u64, &'static str> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().ok_or(CUT)?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("it has a number that is too long")
}

fn skip(message: &mut &[u8], length: u64) -> Result<(), &'static str> {
    let length = usize::try_from(length).map_err(|_| CUT)?;
    *message = message.get(length..).ok_or(CUT)?;
    Ok(())
}

const CUT: &str = "it is cut off";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut frame = vec![0];
        frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
        frame.extend_from_slice(message);
        frame
    }

    #[test]
    fn requests() {
        assert_eq!(request("").as_ref(), [0, 0, 0, 0, 0]);
        assert_eq!(request("ab").as_ref(), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = request(&"x".repeat(300));
        assert_eq!((&long[..8], long.len()), (&[0, 0, 0, 0x01, 0x2f, 0x0a, 0xac, 0x02][..], 5 + 3 + 300));
    }

    #[test]
    fn answers() {
        for (message, expected) in [
            (&[][..], Ok(0)),
            (&[0x08, 1], Ok(1)),
            (&[0x08, 2], Ok(2)),
            (&[0x08, 1, 0x08, 2], Ok(2)),
            (&[0x08, 0x81, 0x00], Ok(1)),
            (&[0x12, 3, 8, 2, 8, 0x08, 1, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4, 0x28, 7], Ok(1)),
            (&[0x08], Err(CUT)),
            (&[0x08, 0x80], Err(CUT)),
            (&[0x12, 3, 8, 1], Err(CUT)),
            (&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Err(CUT)),
            (&[0x08; 12], Ok(8)),
            (&[0xff; 12], Err("it has a number that is too long")),
            (&[0x00, 1], Err("it has a field 0")),
            (&[0x0b, 1], Err("it has a field of no known type")),
        ] {
            assert_eq!(answer(&framed(message)), expected, "{message:?}");
        }
    }

    #[test]
    fn frames() {
        for (frame, expected) in [
            (&[][..], "there is no message"),
            (&[0, 0, 0, 0], "there is no message"),
            (&[1, 0, 0, 0, 2, 8, 1], "it is compressed, unasked"),
            (&[0, 0, 0, 0, 3, 8, 1], "it is not as long as it says"),
            (&[0, 0xff, 0xff, 0xff, 0xff, 8, 1], "it is not as long as it says"),
            (&[0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 0, 2, 8, 1], "it is not as long as it says"),
        ] {
            assert_eq!(answer(frame), Err(expected), "{frame:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(frame: Vec<u8>) {
            let (_, _) = (answer(&frame), answer(&framed(&frame)));
        }
    }
}
