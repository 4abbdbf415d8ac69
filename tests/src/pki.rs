//! Certificates for tests: authorities of their own, and what they sign.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

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
        // Names of their own: with the same name an authority is another one's impostor, and a leaf its own authority.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut params = CertificateParams::new(Vec::new())?;
        let name = format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
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

    /// The same, that ends then, in seconds since 1970.
    pub fn local_until(&self, seconds: u64) -> anyhow::Result<Pair> {
        let end = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
        self.sign(&["127.0.0.1", "localhost"], |params| params.not_after = end)
    }

    /// One for these names and addresses.
    pub fn pair(&self, names: &[&str]) -> anyhow::Result<Pair> {
        self.sign(names, |_| ())
    }

    fn sign(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> anyhow::Result<Pair> {
        let key = KeyPair::generate()?;
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "leaf");
        change(&mut params);
        let cert = params.signed_by(&key, &self.0)?;
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
