//! What is taken, and that what is wrong names its variable and shows nothing of a key.

use super::*;

struct Pair {
    cert: String,
    key: String,
}

fn pair() -> Pair {
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::new(vec!["sds.internal".to_owned()]).unwrap().self_signed(&key).unwrap();
    Pair { cert: cert.pem(), key: key.serialize_pem() }
}

fn keys(cert: &str, key: &str, client_ca: Option<&str>) -> Result<Keys, Misconfigured> {
    let pem = |text: &str| match text.parse::<Pem>() {
        Ok(pem) => pem,
    };
    Files { cert: pem(cert), key: pem(key), client_ca: client_ca.map(pem) }.read()?.keys()
}

#[test]
fn each_mistake_names_its_variable() {
    let (ours, other) = (pair(), pair());
    assert!(keys(&ours.cert, &ours.key, Some(&other.cert)).is_ok());
    assert!(keys(&ours.cert.replace('\n', "\\n"), &ours.key.replace('\n', "\\n"), None).is_ok());
    let torn = &ours.cert[..ours.cert.len() / 2];
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (cert, key, ca, said) in [
        ("/no/such/file", ours.key.as_str(), None, "SDS_TLS_CERT: is no PEM text, and as a file: No such file"),
        (torn, &ours.key, None, "SDS_TLS_CERT: is not PEM"),
        (garbage, &ours.key, None, "SDS_TLS_CERT: "),
        (&ours.key, &ours.key, None, "SDS_TLS_CERT: holds no certificate"),
        (&ours.cert, "MC4CAQAwBQYDK2VwBCIEIJ", None, "SDS_TLS_KEY: is no PEM text, and as a file: No such file"),
        (&ours.cert, &ours.cert, None, "SDS_TLS_KEY: holds no key"),
        (&ours.cert, &other.key, None, "SDS_TLS_KEY: is not the key of SDS_TLS_CERT"),
        (&ours.cert, &ours.key, Some(""), "SDS_TLS_CLIENT_CA: "),
        (&ours.cert, &ours.key, Some(garbage), "SDS_TLS_CLIENT_CA: "),
        (&ours.cert, &ours.key, Some(&ours.key), "SDS_TLS_CLIENT_CA: holds no certificate"),
    ] {
        let wrong = keys(cert, key, ca).unwrap_err().to_string();
        assert!(wrong.starts_with(said), "{said}: {wrong}");
        assert!(!wrong.contains("MC4C") && wrong.lines().count() == 1, "{wrong}");
    }
}
