//! A certificate or a key that an option names: PEM text, as ECS hands a secret to a container, or the path of a file, as a
//! volume has it. Which of the two it is, its text tells. Neither is ever shown: what was meant as a path may be a key
//! that was pasted wrongly.

use std::{
    convert::Infallible,
    fmt,
    fs::File,
    io::{self, Read as _},
    path::PathBuf,
    str::FromStr,
};

/// Where PEM is to be read.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// Here.
    Text(String),
    /// In a file, whose content may change.
    File(PathBuf),
}

impl Pem {
    /// The most that is read, in bytes: a bundle of all public authorities has a fourth of it.
    pub const LIMIT: u64 = 1024 * 1024;

    /// What it is now.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.clone().into()),
            Self::File(path) => {
                // A pipe would be waited for.
                if !std::fs::metadata(path)?.is_file() {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
                }
                let mut content = Vec::new();
                File::open(path)?.take(Self::LIMIT).read_to_end(&mut content)?;
                Ok(content)
            }
        }
    }

    /// Whether another look may find something else.
    pub fn may_change(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

impl FromStr for Pem {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.contains("-----BEGIN") {
            // A template that knows no newlines writes them so.
            true => Self::Text(text.replace("\\n", "\n")),
            false => Self::File(text.into()),
        })
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.may_change() { "Pem(a file)" } else { "Pem(a text)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_or_a_path() {
        let text = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        for said in [text.to_owned(), text.replace('\n', "\\n")] {
            let Ok(pem) = said.parse::<Pem>();
            assert_eq!((pem.read().unwrap(), pem.may_change()), (text.as_bytes().to_vec(), false));
            assert!(!format!("{pem:?}").contains("AA"));
        }
        let Ok(file) = "/no/such/place.pem".parse::<Pem>();
        assert!(file.may_change() && file.read().is_err() && !format!("{file:?}").contains("place"));
    }
}
