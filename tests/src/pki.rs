//! Certificates for tests: authorities of their own, and what they sign.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// Who signs.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// A new one that nobody knows.
    pub fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Its own certificate, as PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for loopback.
    pub fn local(&self) -> anyhow::Result<Pair> {
        self.pair(&["127.0.0.1", "localhost"])
    }

    /// One for these names and addresses.
    pub fn pair(&self, names: &[&str]) -> anyhow::Result<Pair> {
        let key = KeyPair::generate()?;
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let cert = CertificateParams::new(names)?.signed_by(&key, &self.0)?;
        Ok(Pair { cert: cert.pem(), key: key.serialize_pem() })
    }
}

impl Pair {
    /// Puts it into two files, in the place of what is there.
    pub fn write(&self, cert: &Path, key: &Path) -> anyhow::Result<()> {
        std::fs::write(cert, &self.cert)?;
        Ok(std::fs::write(key, &self.key)?)
    }

    /// Both in one text.
    pub fn pem(&self) -> String {
        format!("{}{}", self.cert, self.key)
    }
}
