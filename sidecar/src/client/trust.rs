//! Whom an https URL of the registry is believed, and what the sidecar shows of itself there.
//!
//! What files hold may change under way, as certificates do: they are read at the start, where a mistake ends the program,
//! and again with each new pool of connections, which comes after every failure. What cannot be used then is told, and
//! what was read before goes on.

use std::{io, sync::Arc};

use reqwest::Url;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};
use sds_types::{Pem, command::Misconfigured};

const CA: &str = "SDS_API_CA";
const CERT: &str = "SDS_API_CERT";
const KEY: &str = "SDS_API_KEY";

/// What the options say.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The only authorities to believe.
    ca: Option<Pem>,
    /// A certificate to show, and its key.
    identity: Option<(Pem, Pem)>,
}

impl Trust {
    /// Checks that the options fit together and can be used now.
    pub fn new(bases: &[Url], ca: Option<Pem>, cert: Option<Pem>, key: Option<Pem>) -> Result<Self, Misconfigured> {
        let set = [(CA, ca.is_some()), (CERT, cert.is_some()), (KEY, key.is_some())];
        let first = set.into_iter().find_map(|(variable, is_set)| is_set.then_some(variable));
        if let Some(variable) = first
            && !bases.iter().any(|base| base.scheme() == "https")
        {
            // Most often the s was forgotten, and all would go in the clear.
            return Err(Misconfigured::new(variable, "is of no use, no URL in SDS_API_URL is https"));
        }
        let identity = match (cert, key) {
            (Some(_), None) => return Err(Misconfigured::new(KEY, "is required with SDS_API_CERT")),
            (None, Some(_)) => return Err(Misconfigured::new(CERT, "is required with SDS_API_KEY")),
            (cert, key) => cert.zip(key),
        };
        let trust = Self { ca, identity };
        trust.read()?;
        Ok(trust)
    }

    /// What connections are made with from now on; nothing means as the system has it.
    pub fn read(&self) -> Result<Option<ClientConfig>, Misconfigured> {
        if self.ca.is_none() && self.identity.is_none() {
            return Ok(None);
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Misconfigured::new(CA, error.to_string()))?;
        let builder = builder.with_root_certificates(self.roots()?);
        let Some((cert, key)) = &self.identity else { return Ok(Some(builder.with_no_client_auth())) };
        let chain = certificates(CERT, cert)?;
        let key = PrivateKeyDer::from_pem_slice(&read(KEY, key)?).map_err(|error| match error {
            pem::Error::NoItemsFound => Misconfigured::new(KEY, "holds no key in PEM"),
            _ => Misconfigured::new(KEY, "is not PEM"),
        })?;
        let config = builder.with_client_auth_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => Misconfigured::new(KEY, "is not the key of SDS_API_CERT"),
            rustls::Error::InvalidCertificate(_) => Misconfigured::new(CERT, error.to_string()),
            _ => Misconfigured::new(KEY, error.to_string()),
        })?;
        Ok(Some(config))
    }

    fn roots(&self) -> Result<RootCertStore, Misconfigured> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(ca) => {
                for authority in certificates(CA, ca)? {
                    roots.add(authority).map_err(|error| Misconfigured::new(CA, error.to_string()))?;
                }
            }
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        match roots.is_empty() {
            true => Err(Misconfigured::new(CA, "is required, this system has no certificate authorities")),
            false => Ok(roots),
        }
    }
}

fn read(variable: &str, pem: &Pem) -> Result<Vec<u8>, Misconfigured> {
    let unread = |error: io::Error| Misconfigured::new(variable, format!("is no PEM text, and as a file: {error}"));
    pem.read().map_err(unread)
}

fn certificates(variable: &str, pem: &Pem) -> Result<Vec<CertificateDer<'static>>, Misconfigured> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(variable, pem)?).collect();
    match read {
        Ok(none) if none.is_empty() => Err(Misconfigured::new(variable, "holds no certificate in PEM")),
        Ok(some) => Ok(some),
        Err(error) => Err(Misconfigured::new(variable, format!("is not PEM: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(text: &str) -> Option<Pem> {
        let Ok(pem) = text.parse();
        Some(pem)
    }

    fn pair() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::new(vec!["sds.internal".into()]).unwrap().self_signed(&key).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    #[test]
    fn each_mistake_names_its_variable() {
        let https = [Url::parse("http://a").unwrap(), Url::parse("https://b").unwrap()];
        let ((cert, key), (_, other)) = (pair(), pair());
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let new = |ca: Option<&str>, cert: Option<&str>, key: Option<&str>| {
            let [ca, cert, key] = [ca, cert, key].map(|text| text.and_then(pem));
            Trust::new(&https, ca, cert, key).map_err(|error| error.to_string())
        };
        assert!(new(Some(&cert), Some(&cert), Some(&key)).is_ok() && new(Some(&cert), None, None).is_ok());
        for (ca, shown, its_key, said) in [
            (Some("/no/such/file"), None, None, "SDS_API_CA: is no PEM text, and as a file: No such file"),
            (Some(garbage), None, None, "SDS_API_CA: "),
            (Some(key.as_str()), None, None, "SDS_API_CA: holds no certificate"),
            (Some(&cert), Some(cert.as_str()), None, "SDS_API_KEY: is required with SDS_API_CERT"),
            (Some(&cert), None, Some(key.as_str()), "SDS_API_CERT: is required with SDS_API_KEY"),
            (Some(&cert), Some(&cert), Some("MC4CAQAwBQYDK2VwBCIEIJ"), "SDS_API_KEY: is no PEM text"),
            (Some(&cert), Some(&cert), Some(&cert), "SDS_API_KEY: holds no key"),
            (Some(&cert), Some(&cert), Some(&other), "SDS_API_KEY: is not the key of SDS_API_CERT"),
            (Some(&cert), Some(&key), Some(&key), "SDS_API_CERT: holds no certificate"),
        ] {
            let wrong = new(ca, shown, its_key).unwrap_err();
            assert!(wrong.starts_with(said) && !wrong.contains("MC4C"), "{said}: {wrong}");
        }
        let plain = Trust::new(&https[..1], pem(&cert), None, None).unwrap_err();
        assert_eq!((plain.variable.as_str(), plain.reason.contains("no URL")), (CA, true));
        assert!(Trust::new(&https[..1], None, None, None).unwrap().read().unwrap().is_none());
    }
}
